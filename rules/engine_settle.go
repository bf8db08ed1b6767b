package rules

import (
	"hash/maphash"
	"slices"
	"sync"
)

// flights finds the flights of rules with a Settler by trace and rule. Its
// locks are met only by those.
type flights struct {
	seed   maphash.Seed
	shards [16]flightShard
}

type flightShard struct {
	mu sync.Mutex
	by map[flightKey][]*flight // more than one where a trace was used again
}

type flightKey struct{ trace, rule string }

func (t *flights) init() {
	t.seed = maphash.MakeSeed()
	for i := range t.shards {
		t.shards[i].by = make(map[flightKey][]*flight)
	}
}

func (t *flights) shard(trace string) *flightShard {
	return &t.shards[maphash.String(t.seed, trace)%uint64(len(t.shards))]
}

func (t *flights) add(f *flight) {
	s := t.shard(f.l.trace)
	key := flightKey{f.l.trace, f.en.rule.Name}
	s.mu.Lock()
	s.by[key] = append(s.by[key], f)
	s.mu.Unlock()
}

func (t *flights) remove(f *flight) {
	s := t.shard(f.l.trace)
	key := flightKey{f.l.trace, f.en.rule.Name}
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := slices.DeleteFunc(s.by[key], func(g *flight) bool { return g == f })
	if len(rest) == 0 {
		delete(s.by, key)
	} else {
		s.by[key] = rest
	}
}

// find returns the oldest flight in which that action has not reported.
func (t *flights) find(trace, rule string, action int) *flight {
	bit := uint64(erring)
	if action != ErrorAction {
		bit = 1 << action
	}
	s := t.shard(trace)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.by[flightKey{trace, rule}] {
		f.mu.Lock()
		open := f.open&bit != 0
		f.mu.Unlock()
		if open {
			return f
		}
	}
	return nil
}
