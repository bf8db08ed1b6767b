package rules

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/topic"
)

// TestMapAgainstModel edits a pmap at random beside a Go map, and checks that
// older maps stay what they were.
func TestMapAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var m pmap[int]
	model := map[string]int{}
	type version struct {
		m     pmap[int]
		model map[string]int
	}
	var versions []version
	for i := range 20_000 {
		key := fmt.Sprint("k", rng.IntN(2_000))
		if rng.IntN(3) == 0 {
			m = m.without(key)
			delete(model, key)
		} else {
			m = m.with(key, i)
			model[key] = i
		}
		if i%2_000 == 0 {
			versions = append(versions, version{m, maps.Clone(model)})
		}
	}
	for _, v := range append(versions, version{m, model}) {
		if got := maps.Collect(v.m.all()); !maps.Equal(got, v.model) || v.m.len() != len(v.model) {
			t.Fatalf("map has %d entries and says %d, want %d", len(got), v.m.len(), len(v.model))
		}
		for i := range 2_000 {
			key := fmt.Sprint("k", i)
			got, ok := v.m.get(key)
			want, wantOK := v.model[key]
			if got != want || ok != wantOK {
				t.Fatalf("get(%s) is %d, %t, want %d, %t", key, got, ok, want, wantOK)
			}
		}
	}
	for key := range model {
		m = m.without(key)
	}
	if m.len() != 0 || len(m.root.slots) != 0 {
		t.Errorf("a map without its entries has %d and root %v", m.len(), m.root)
	}
}

// TestMapCollisions works below the last bits of the hash, where no hash of a
// string can be made to lead by hand.
func TestMapCollisions(t *testing.T) {
	var n pnode[int]
	for i, key := range []string{"a", "b", "c", "b"} {
		n, _ = n.with(pslot[int]{key: key, val: i}, 0, hashBits)
	}
	deep := pmap[int]{n, 3}
	if got := maps.Collect(deep.all()); !maps.Equal(got, map[string]int{"a": 0, "b": 3, "c": 2}) {
		t.Errorf("colliding entries are %v", got)
	}
	n, removed := n.without("b", 0, hashBits)
	if _, again := n.without("b", 0, hashBits); !removed || again || len(n.slots) != 2 {
		t.Errorf("after the removal %v", n.slots)
	}
	// Two keys with the same hash, from the top.
	var top pnode[int]
	top, _ = top.with(pslot[int]{key: "x", val: 1}, 7, 0)
	for shift := 0; shift < hashBits; shift += levelBits {
		top = pnode[int]{1 << (7 >> shift & 31), []pslot[int]{{node: top}}}
	}
	if top, removed = top.without("y", 7, 0); removed || len(top.slots) == 0 {
		t.Error("removed what was not there")
	}
}

func checkTree(t *testing.T, root *tree, filters map[string]string, name string) {
	t.Helper()
	var got, want []string
	for _, e := range root.match(name, nil) {
		got = append(got, e.rule.Name)
	}
	for rule, filter := range filters {
		if topic.MatchBelow(filter, name) {
			want = append(want, rule)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("%q matches %q, want %q of %q", name, got, want, filters)
	}
}

// TestTreeAgainstMatch edits a tree at random and compares each look-up with
// a scan by topic.MatchBelow.
func TestTreeAgainstMatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	levels := []string{"a", "b", "", "$aws", "+", "+"}
	random := func(n int) string {
		parts := make([]string, 1+rng.IntN(4))
		for i := range parts {
			parts[i] = levels[rng.IntN(n)]
		}
		return cmp.Or(strings.Join(parts, "/"), "a") // a topic is not empty
	}
	var root *tree
	filters := map[string]string{}
	for range 20_000 {
		name := fmt.Sprint("r", rng.IntN(60))
		if filter, ok := filters[name]; ok {
			root = root.without(filter, name)
			delete(filters, name)
		} else {
			filter := random(len(levels))
			if rng.IntN(3) == 0 {
				filter = strings.TrimPrefix(filter+"/#", "/")
			}
			root = root.with(filter, &entry{rule: Rule{Name: name}})
			filters[name] = filter
		}
		checkTree(t, root, filters, random(4))
	}
	for name, filter := range filters {
		root = root.without(filter, name)
	}
	if root != nil {
		t.Errorf("a tree without its entries is %+v", root)
	}
	if root.without("a/b", "r") != nil {
		t.Error("an empty tree without something is not empty")
	}
}

func FuzzTree(f *testing.F) {
	f.Add("a/+/c", "a/#", "+", "a/b/c")
	f.Add("#", "$aws/#", "+/+", "$aws/things")
	f.Add("a/#", "a", "", "a")
	f.Fuzz(func(t *testing.T, a, b, c, name string) {
		if name == "" {
			t.Skip("not a topic")
		}
		filters := map[string]string{}
		var root *tree
		for i, filter := range []string{a, b, c} {
			if topic.CheckFilter(filter) == nil {
				rule := fmt.Sprint("r", i)
				filters[rule] = filter
				root = root.with(filter, &entry{rule: Rule{Name: rule}})
			}
		}
		checkTree(t, root, filters, name)
		for rule, filter := range filters {
			root = root.without(filter, rule)
			delete(filters, rule)
			checkTree(t, root, filters, name)
		}
		if root != nil {
			t.Fatalf("left over: %+v", root)
		}
	})
}
