package shadow

import (
	"hash/maphash"
	"sync"
	"time"
)

// rates bound the requests of each shadow: a bucket of as many as a second allows, refilled evenly. A bucket that is full
// again is forgotten.
type rates struct {
	seed   maphash.Seed
	shards [64]struct {
		mu      sync.Mutex
		buckets map[Ref]bucket
		sweep   int // at this size the full ones are looked for
	}
}

type bucket struct {
	left float64
	at   time.Time
}

// take reports whether one more request is within perSecond.
func (r *rates) take(ref Ref, perSecond int, now time.Time) bool {
	s := &r.shards[maphash.Comparable(r.seed, ref)%uint64(len(r.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	most := float64(perSecond)
	b, ok := s.buckets[ref]
	if !ok {
		b = bucket{most, now}
	}
	b.left = min(most, b.left+now.Sub(b.at).Seconds()*most)
	b.at = now
	allowed := b.left >= 1
	if allowed {
		b.left--
	}
	if s.buckets == nil {
		s.buckets = map[Ref]bucket{}
	}
	s.buckets[ref] = b
	if len(s.buckets) > s.sweep {
		for ref, b := range s.buckets {
			if now.Sub(b.at) >= time.Second {
				delete(s.buckets, ref)
			}
		}
		s.sweep = max(64, 2*len(s.buckets))
	}
	return allowed
}
