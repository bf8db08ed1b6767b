package pmap

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// TestMapAgainstModel edits a Map at random beside a Go map, and checks that
// older maps stay what they were.
func TestMapAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var m Map[int]
	model := map[string]int{}
	type version struct {
		m     Map[int]
		model map[string]int
	}
	var versions []version
	for i := range 20_000 {
		key := fmt.Sprint("k", rng.IntN(2_000))
		if rng.IntN(3) == 0 {
			m = m.Without(key)
			delete(model, key)
		} else {
			m = m.With(key, i)
			model[key] = i
		}
		if i%2_000 == 0 {
			versions = append(versions, version{m, maps.Clone(model)})
		}
	}
	for _, v := range append(versions, version{m, model}) {
		if got := maps.Collect(v.m.All()); !maps.Equal(got, v.model) || v.m.Len() != len(v.model) {
			t.Fatalf("map has %d entries and says %d, want %d", len(got), v.m.Len(), len(v.model))
		}
		for i := range 2_000 {
			key := fmt.Sprint("k", i)
			got, ok := v.m.Get(key)
			want, wantOK := v.model[key]
			if got != want || ok != wantOK {
				t.Fatalf("get(%s) is %d, %t, want %d, %t", key, got, ok, want, wantOK)
			}
		}
	}
	for key := range model {
		m = m.Without(key)
	}
	if m.Len() != 0 || len(m.root.slots) != 0 {
		t.Errorf("a map without its entries has %d and root %v", m.Len(), m.root)
	}
}

// TestMapCollisions works below the last bits of the hash, where no hash of a
// string can be made to lead by hand.
func TestMapCollisions(t *testing.T) {
	var n pnode[int]
	for i, key := range []string{"a", "b", "c", "b"} {
		n, _ = n.with(pslot[int]{key: key, val: i}, 0, hashBits)
	}
	deep := Map[int]{n, 3}
	if got := maps.Collect(deep.All()); !maps.Equal(got, map[string]int{"a": 0, "b": 3, "c": 2}) {
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
