package shadow

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
)

// A Condition says whether a Watch wants to see a document. It is called on
// the goroutine of a writer, so it should be quick; it may be a tombstone that
// it is asked about.
type Condition func(Document) bool

// Field is the condition that a field, named by a JSON pointer as in
// Document.Field, is there and want says yes to its JSON.
//
//	shadow.Field("/reported/battery", func(v json.RawMessage) bool { return number(v) < 20 })
func Field(pointer string, want func(value json.RawMessage) bool) Condition {
	return func(d Document) bool {
		v := d.Field(pointer)
		return v != nil && want(v)
	}
}

// FieldIs is the condition that a field has a value, given as JSON. Values
// compare as in a delta: numbers by value, objects in any order.
func FieldIs(pointer, value string) Condition {
	want, _, err := parse(value)
	return Field(pointer, func(v json.RawMessage) bool {
		have, _, bad := parse(string(v))
		return err == nil && bad == nil && equal(&want, &have)
	})
}

// InSync is the condition that the shadow exists and nothing is desired that
// is not reported.
func InSync(d Document) bool {
	delta, err := Delta(d.Desired, d.Reported)
	return d.Exists() && err == nil && delta == nil
}

// maxBacklog is how many documents wait for one watcher.
const maxBacklog = 64

// Watch yields the document of ref as it is, if there is one, and then each
// one written, deletions too (Document.Deleted), of all these those for which
// when holds; a nil Condition is all. Nothing is missed between the first and
// the next: a condition that holds for one version alone is seen.
//
//	for doc, err := range svc.Watch(ctx, ref, shadow.FieldIs("/reported/on", "true")) {
//		if err != nil {
//			return err
//		}
//		break // it is on
//	}
//
// A watcher holds up no writer: 64 documents wait for a slow one, then the
// oldest of them is dropped, which shows as a gap in the versions and in
// Stats.WatchDropped. The newest is never dropped. The loop ends with the
// error of ctx when that is done, or with that of the store.
func (s *Service) Watch(ctx context.Context, ref Ref, when Condition) iter.Seq2[Document, error] {
	if when == nil {
		when = func(Document) bool { return true }
	}
	return func(yield func(Document, error) bool) {
		if err := ref.Check(); err != nil {
			yield(Document{}, err)
			return
		}
		b := &backlog{more: make(chan struct{}, 1), dropped: &s.stats.watchDropped}
		// Subscribed first, then loaded: what is written in between comes
		// twice and is told once.
		defer s.watches.add(ref, &observer{func(_ context.Context, c Change) {
			if when(c.After) {
				b.put(c.After)
			}
		}})()
		first, err := s.store.Load(ctx, ref)
		if err != nil && !errors.Is(err, ErrNotFound) {
			yield(Document{}, wrap(ref, "load", err))
			return
		}
		if first.Exists() && when(first) && !yield(first, nil) {
			return
		}
		for {
			for _, doc := range b.take() {
				// A version that starts again at 1 is later all the same.
				if doc.Version <= first.Version && !doc.Time.After(first.Time) {
					continue
				}
				if !yield(doc, nil) {
					return
				}
			}
			select {
			case <-b.more:
			case <-ctx.Done():
				yield(Document{}, context.Cause(ctx))
				return
			}
		}
	}
}

// A backlog is what waits for one watcher.
type backlog struct {
	more    chan struct{} // has an element when docs may have some
	dropped *atomic.Uint64

	mu   sync.Mutex
	docs []Document
}

func (b *backlog) put(d Document) {
	b.mu.Lock()
	if len(b.docs) == maxBacklog {
		copy(b.docs, b.docs[1:])
		b.docs = b.docs[:maxBacklog-1]
		b.dropped.Add(1)
	}
	b.docs = append(b.docs, d)
	b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
}

func (b *backlog) take() []Document {
	b.mu.Lock()
	defer b.mu.Unlock()
	docs := b.docs
	b.docs = nil
	return docs
}

// watches finds the watchers of one shadow, so that a change of another one
// costs nothing however many there are.
type watches struct {
	n  atomic.Int64 // watchers in all: without any no lock is taken
	mu sync.RWMutex
	by map[Ref]map[*observer]bool
}

func (w *watches) add(ref Ref, o *observer) (remove func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = map[Ref]map[*observer]bool{}
	}
	if w.by[ref] == nil {
		w.by[ref] = map[*observer]bool{}
	}
	w.by[ref][o] = true
	w.n.Add(1)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.by[ref], o)
		if len(w.by[ref]) == 0 {
			delete(w.by, ref)
		}
		w.n.Add(-1)
	}
}

// of lists the watchers of one shadow.
func (w *watches) of(ref Ref) (all []*observer) {
	if w.n.Load() == 0 {
		return nil
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	for o := range w.by[ref] {
		all = append(all, o)
	}
	return all
}
