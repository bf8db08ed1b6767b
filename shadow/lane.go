package shadow

import (
	"context"
	"hash/maphash"
	"sync"
)

// Writers of one shadow commit in the store, which orders them, and come back
// in any order. A lane puts their changes in commit order again, without a
// lock around the commit: it knows for each write under way which version it
// tries to replace, and tells a change once no write that may have come before
// it is open.

// none is the base of a write that is not in Store.Save.
const none = -1

// A write is one Update or Delete under way.
type write struct {
	ref    Ref
	ctx    context.Context
	nested bool  // called by an observer of the same shadow
	base   int64 // the version it tries to replace, or none
	saved  bool
	change Change
	told   chan struct{} // closed when the observers have seen it
}

// A lane is the writes under way for one shadow.
type lane struct {
	writes  []*write // few: bounded by Options.MaxInFlight
	telling bool     // a goroutine is in the observers
}

// lanes is sharded, since every write passes through it several times.
type lanes struct {
	tell   func(context.Context, Change)
	shards [64]shard
}

type shard struct {
	mu    sync.Mutex
	lanes map[Ref]*lane
}

var seed = maphash.MakeSeed()

// tellingKey is how a context says that it was given to an observer of a shadow.
type tellingKey struct{ ref Ref }

func (l *lanes) shard(ref Ref) *shard {
	return &l.shards[maphash.Comparable(seed, ref)%uint64(len(l.shards))]
}

func (l *lanes) begin(ctx context.Context, ref Ref) *write {
	w := &write{ref: ref, ctx: ctx, base: none, nested: ctx.Value(tellingKey{ref}) != nil, told: make(chan struct{})}
	s := l.shard(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.lanes[ref]
	if q == nil {
		if s.lanes == nil {
			s.lanes = map[Ref]*lane{}
		}
		q = &lane{}
		s.lanes[ref] = q
	}
	q.writes = append(q.writes, w)
	return w
}

// attempt notes, before Store.Save, which version w tries to replace.
func (l *lanes) attempt(w *write, base int64) {
	s := l.shard(w.ref)
	s.mu.Lock()
	w.base = base
	s.mu.Unlock()
}

// lost notes that w did not replace the version it tried to. Changes behind it
// may have waited for that.
func (l *lanes) lost(w *write) {
	l.attempt(w, none)
	l.pump(w.ref)
}

// drop ends a write that changed nothing.
func (l *lanes) drop(w *write) {
	s := l.shard(w.ref)
	s.mu.Lock()
	s.lanes[w.ref].remove(w)
	s.mu.Unlock()
	l.pump(w.ref)
}

// commit ends a write that was saved, and returns when the observers have seen
// it; for a nested write, whose caller is such an observer, at once.
func (l *lanes) commit(w *write, c Change) {
	s := l.shard(w.ref)
	s.mu.Lock()
	w.saved, w.change = true, c
	s.mu.Unlock()
	l.pump(w.ref)
	if !w.nested {
		<-w.told
	}
}

// pump tells what is ready. One goroutine at a time does that for a shadow,
// also for the writes of others, which wait for it.
func (l *lanes) pump(ref Ref) {
	s := l.shard(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.lanes[ref]
	if q == nil || q.telling {
		return
	}
	for w := q.next(); w != nil; w = q.next() {
		q.remove(w)
		q.telling = true
		s.mu.Unlock()
		l.tell(context.WithValue(context.WithoutCancel(w.ctx), tellingKey{ref}, true), w.change)
		close(w.told)
		s.mu.Lock()
		q.telling = false
	}
	if len(q.writes) == 0 {
		delete(s.lanes, ref)
	}
}

func (q *lane) remove(w *write) {
	for i, other := range q.writes {
		if other == w {
			q.writes = append(q.writes[:i], q.writes[i+1:]...)
			return
		}
	}
}

// next returns the saved write that is first in commit order, if none that
// may precede it is open.
func (q *lane) next() *write {
	var first *write
	for _, w := range q.writes {
		// Of two writes with one base only one can be saved; it is told
		// when the other has found out that it lost.
		if w.base != none && (first == nil || w.base < first.base || w.base == first.base && !w.saved) {
			first = w
		}
	}
	if first == nil || !first.saved {
		return nil
	}
	return first
}
