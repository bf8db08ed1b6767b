package broker

import (
	"maps"
	"sync"
)

// labelled counts by a label out of a small set. It is used for what is rare.
type labelled[L comparable] struct {
	mu sync.Mutex
	n  map[L]int64 // guarded by mu
}

func (l *labelled[L]) add(label L, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == nil {
		l.n = map[L]int64{}
	}
	l.n[label] += n
}

func (l *labelled[L]) snapshot() map[L]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == nil {
		return map[L]int64{}
	}
	return maps.Clone(l.n)
}
