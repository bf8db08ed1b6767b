package rules

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestIndexCycleAgainstGraph compares what the index says of a new rule with
// the search among all rules.
func TestIndexCycleAgainstGraph(t *testing.T) {
	filters := []string{"a", "a/b", "a/+", "+/b", "#", "a/#", "c/+/d", "$aws/x", "b"}
	topics := []string{"a", "a/b", "a/${topic(1)}", "${topic(1)}/b", "c/x/d", "c/${x}d", "b/${y}/z", "$$aws/x", "$$aws/rules/r3/q", "$$aws/rules", "none", "x${y}"}
	// Conditions of every form that the index sorts by, and of none.
	wheres := []string{"k = 1", "k = 2", "j.k = 'x'", "k > 3", "k >= 1 AND k < 9", "j < 2", "k IN [1, 2]", "k <> 5", "k NOT IN [1]", "upper(k) = 'A'", "k = 1 AND j.k = 'x' AND j < 2"}
	found := 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		e := open(t, NewMemStore(), binder{"republish": ActionFunc(func(context.Context, Firing) error { return nil })}, &Options{AllowCycles: true})
		n, among := 12, filters
		if seed%3 == 0 { // groups that are more than lists
			n, among = 40, filters[:2]
		}
		for i := range n {
			r := Rule{Name: fmt.Sprint("r", i), Disabled: rng.IntN(6) == 0,
				SQL:     fmt.Sprintf("SELECT a FROM '%s' WHERE %s", pick(rng, among), pick(rng, wheres)),
				Actions: []ActionSpec{{Type: "republish", Params: fmt.Appendf(nil, `{"topic":%q}`, pick(rng, topics))}}}
			start := newNode(&r, mustCompile(t, r.SQL))
			g := graph{start}
			for _, en := range e.index.Load().rules.All() {
				if en.node != nil && en.runs() {
					g = append(g, *en.node)
				}
			}
			got, want := e.index.Load().cycle(&start), g.cycle(start)
			if (got == nil) != (want == nil) || got != nil && len(got.Rules) != len(want.Rules) {
				t.Fatalf("seed %d, rule %s: %v, want %v", seed, r.Name, got, want)
			}
			if got != nil {
				found++
			}
			if err := e.Put(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d cycles among the cases", found)
	}
}
