package shadow

import (
	"hash/maphash"
	"sync"
)

// busy counts the requests under way for each thing.
type busy struct {
	seed   maphash.Seed
	shards [64]struct {
		mu sync.Mutex
		n  map[string]int
	}
}

func (b *busy) index(thing string) uint64 {
	return maphash.String(b.seed, thing) % uint64(len(b.shards))
}

// enter reports whether one more request may begin; a negative most is no limit.
func (b *busy) enter(thing string, most int) bool {
	s := &b.shards[b.index(thing)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if most >= 0 && s.n[thing] >= most {
		return false
	}
	if s.n == nil {
		s.n = map[string]int{}
	}
	s.n[thing]++
	return true
}

func (b *busy) leave(thing string) {
	s := &b.shards[b.index(thing)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n[thing]--; s.n[thing] == 0 {
		delete(s.n, thing)
	}
}
