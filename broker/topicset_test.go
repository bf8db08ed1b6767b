package broker

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTopicSet adds and removes random topics, and ones in order, and holds the set against a map.
func TestTopicSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	var s topicSet
	have := map[string]bool{}
	check := func() {
		t.Helper()
		all := slices.Sorted(maps.Keys(have))
		if got := s.appendFrom(nil, "", len(all)+1); !slices.Equal(got, all) || s.n != len(all) {
			t.Fatalf("%d topics, want %d", len(got), len(all))
		}
		from := fmt.Sprint(rng.IntN(9000))
		i, _ := slices.BinarySearch(all, from)
		if got, want := s.appendFrom(nil, from, 700), all[i:min(i+700, len(all))]; !slices.Equal(got, want) {
			t.Fatalf("from %q: %d topics, want %d", from, len(got), len(want))
		}
		for i, b := range s.blocks {
			if len(b) == 0 || len(b) >= topicBlock || cap(b) > 4*len(b)+topicBlock {
				t.Fatalf("block %d of %d has %d topics, room for %d", i, len(s.blocks), len(b), cap(b))
			}
		}
	}
	check()
	for i := range 60_000 {
		name := fmt.Sprint(rng.IntN(9000))
		if more := i/20_000 != 1; rng.IntN(5) > 0 == more { // grows, shrinks, grows
			s.add(name)
			have[name] = true
		} else {
			s.remove(name)
			delete(have, name)
		}
		if i%1500 == 0 {
			check()
		}
	}
	for name := range have {
		s.remove(name)
	}
	clear(have)
	check()
	for i := range 10_000 {
		name := fmt.Sprintf("%06d", i)
		s.add(name)
		have[name] = true
	}
	check()
	if most := 10_000/(topicBlock-1) + 1; len(s.blocks) > most {
		t.Errorf("%d blocks for topics that came in order, want at most %d", len(s.blocks), most)
	}
}
