package rules

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestFanAgainstMap edits a fan at random, with hashes that tell all levels
// apart, that share their first bits, and that collide, and compares it and
// what it was some edits ago with maps.
func TestFanAgainstMap(t *testing.T) {
	for name, hash := range map[string]func(string) uint64{
		"good":       hashLevel,
		"first bits": func(s string) uint64 { return hashLevel(s) << 40 },
		"last bits":  func(s string) uint64 { return hashLevel(s) &^ (1<<60 - 1) },
		"two":        func(s string) uint64 { return hashLevel(s) & 1 },
		"all":        func(string) uint64 { return ^uint64(0) },
	} {
		rng := rand.New(rand.NewPCG(8, 9))
		var f, before *fan
		now, then := map[string]*kid{}, map[string]*kid{}
		check := func(f *fan, want map[string]*kid) {
			t.Helper()
			n := 0
			f.each(func(*kid) { n++ })
			if n != len(want) {
				t.Fatalf("%s: %d kids, want %d", name, n, len(want))
			}
			for i := range 100 {
				level := fmt.Sprint(i)
				var got *kid
				if f != nil {
					got = f.get(hash(level), level)
				}
				if got != want[level] {
					t.Fatalf("%s: level %s leads to %v, want %v", name, level, got, want[level])
				}
			}
		}
		for i := range 3000 {
			level := fmt.Sprint(rng.IntN(100))
			if k := now[level]; k != nil && rng.IntN(3) > 0 {
				f = f.without(hash(level), level, 0)
				delete(now, level)
			} else {
				k := &kid{text: level}
				if rng.IntN(2) == 0 {
					k = &kid{text: level + "/+/x", only: new(entry)}
				}
				f = f.with(k, 0, hash)
				now[level] = k
			}
			check(f, now)
			if i%50 == 0 {
				check(before, then)
				before, then = f, map[string]*kid{}
				for level, k := range now {
					then[level] = k
				}
			}
		}
		for level := range now {
			f = f.without(hash(level), level, 0)
		}
		if f != nil {
			t.Errorf("%s: a fan without its kids is %+v", name, f)
		}
	}
}
