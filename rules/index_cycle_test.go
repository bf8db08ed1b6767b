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
	topics := []string{"a", "a/b", "a/${topic(1)}", "${topic(1)}/b", "c/x/d", "c/${x}d", "b/${y}/z", "$$aws/x", "$$aws/rules/r3/q", "none", "x${y}"}
	found := 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		e := open(t, NewMemStore(), binder{"republish": ActionFunc(func(context.Context, Firing) error { return nil })}, &Options{AllowCycles: true})
		for i := range 12 {
			r := Rule{Name: fmt.Sprint("r", i), Disabled: rng.IntN(6) == 0,
				SQL:     fmt.Sprintf("SELECT a FROM '%s' WHERE k = %d", pick(rng, filters), i%3),
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
