package shadow

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
)

// Writers of one shadow commit in the store, which orders them, and come back
// in any order. A lane puts their changes in commit order again without a
// lock around the commit: it knows of each write under way which version it
// tries to replace, and tells a change once no write that may precede it is open.

// none is the base of a write that is not in Store.Save.
const none = -1

// A write is one Update or Delete under way.
type write struct {
	ref    Ref
	ctx    context.Context
	epoch  int   // orders writes across a restart of the version at 1
	base   int64 // the version it tries to replace, or none
	saved  bool
	done   bool // told
	change Change
	wait   chan struct{} // made by a writer that waits, closed when told
}

// before is the order of commits. Of two writes that replace the same version
// only the saved one has; the other will find out that it lost.
func (w *write) before(o *write) bool {
	switch {
	case w.epoch != o.epoch:
		return w.epoch < o.epoch
	case w.base != o.base:
		return w.base < o.base
	}
	return w.saved && !o.saved
}

// A lane is the writes under way for one shadow.
type lane struct {
	writes  []*write // few: bounded by Options.MaxInFlight
	epoch   int
	telling bool // a goroutine is in the observers
}

// lanes is sharded, since every write passes through it several times.
type lanes struct {
	tell   func(context.Context, Change)
	seed   maphash.Seed
	shards [64]laneShard
}

type laneShard struct {
	mu    sync.Mutex
	lanes map[Ref]*lane
}

// tellingKey marks a context that was given to an observer.
type tellingKey struct{}

func (l *lanes) shard(ref Ref) *laneShard {
	return &l.shards[maphash.Comparable(l.seed, ref)%uint64(len(l.shards))]
}

func (l *lanes) begin(ctx context.Context, ref Ref) *write {
	w := &write{ref: ref, ctx: ctx, base: none}
	s := l.shard(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lanes == nil {
		s.lanes = map[Ref]*lane{}
	}
	q := s.lanes[ref]
	if q == nil {
		q = &lane{}
		s.lanes[ref] = q
	}
	q.writes = append(q.writes, w)
	return w
}

// attempt notes, before Store.Save, which version w tries to replace, and
// whether its own version starts again at 1.
func (l *lanes) attempt(w *write, base int64, restart bool) {
	s := l.shard(w.ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.lanes[w.ref]
	w.epoch, w.base = q.epoch, base
	if restart {
		q.epoch++
	}
}

// lost notes that w did not replace the version it tried to. Changes behind
// it may have waited for that.
func (l *lanes) lost(w *write) {
	s := l.shard(w.ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	w.base = none
	l.pump(s, w.ref)
}

// drop ends a write that changed nothing.
func (l *lanes) drop(w *write) {
	s := l.shard(w.ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lanes[w.ref].remove(w)
	l.pump(s, w.ref)
}

// commit ends a write that is saved: it returns when its change is told, by
// whoever's turn it is. Called by an observer, of this shadow or another, it
// does not wait, since what it would wait for may wait for that observer.
func (l *lanes) commit(w *write, c Change) {
	s := l.shard(w.ref)
	s.mu.Lock()
	w.saved, w.change = true, c
	l.pump(s, w.ref)
	if w.done || w.ctx.Value(tellingKey{}) != nil {
		s.mu.Unlock()
		return
	}
	w.wait = make(chan struct{})
	s.mu.Unlock()
	<-w.wait
}

// pump tells what is ready, also for writes of others, which wait for it; one
// goroutine at a time does so for a shadow. It is called with s.mu held and
// gives it up while observers run.
func (l *lanes) pump(s *laneShard, ref Ref) {
	q := s.lanes[ref]
	if q == nil || q.telling {
		return
	}
	for w := q.next(); w != nil; w = q.next() {
		q.telling = true
		s.mu.Unlock()
		l.tell(context.WithValue(context.WithoutCancel(w.ctx), tellingKey{}, true), w.change)
		s.mu.Lock()
		q.telling = false
		q.remove(w)
		w.done = true
		if w.wait != nil {
			close(w.wait)
		}
	}
	if len(q.writes) == 0 {
		delete(s.lanes, ref)
	}
}

// next returns the write that is first in commit order, if it is saved.
func (q *lane) next() *write {
	var first *write
	for _, w := range q.writes {
		if w.base != none && (first == nil || w.before(first)) {
			first = w
		}
	}
	if first == nil || !first.saved {
		return nil
	}
	return first
}

func (q *lane) remove(w *write) {
	if i := slices.Index(q.writes, w); i >= 0 {
		q.writes = slices.Delete(q.writes, i, i+1)
	}
}
