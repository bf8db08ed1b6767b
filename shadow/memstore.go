package shadow

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A MemStore is a Store and Historian in memory. Nothing survives the process.
type MemStore struct {
	keep int

	mu     sync.RWMutex
	things map[string]map[string][]Document // thing, name: newest last
}

// NewMemStore returns an empty store that keeps the last ten documents of each
// shadow as its history.
func NewMemStore() *MemStore { return NewMemStoreKeeping(10) }

// NewMemStoreKeeping returns an empty store that keeps, besides the present
// document of each shadow, so many that came before.
func NewMemStoreKeeping(history int) *MemStore {
	return &MemStore{keep: max(history, 0), things: map[string]map[string][]Document{}}
}

// Load is part of Store.
func (m *MemStore) Load(ctx context.Context, ref Ref) (Document, error) {
	if err := ctx.Err(); err != nil {
		return Document{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	docs := m.things[ref.Thing][ref.Name]
	if len(docs) == 0 {
		return Document{}, fmt.Errorf("%s: %w", ref, ErrNotFound)
	}
	return docs[len(docs)-1], nil
}

// Save is part of Store.
func (m *MemStore) Save(ctx context.Context, ref Ref, doc Document, prev int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	names := m.things[ref.Thing]
	docs := names[ref.Name]
	var stored int64
	if len(docs) > 0 {
		stored = docs[len(docs)-1].Version
	}
	if stored != prev {
		return fmt.Errorf("%s: version %d stored, %d expected: %w", ref, stored, prev, ErrVersionConflict)
	}
	if names == nil {
		names = map[string][]Document{}
		m.things[ref.Thing] = names
	}
	if doc.Version <= stored {
		docs = nil
	}
	if len(docs) > m.keep { // the one stored until now becomes history
		docs = slices.Delete(docs, 0, len(docs)-m.keep)
	}
	names[ref.Name] = append(docs, doc)
	return nil
}

// Names is part of Store.
func (m *MemStore) Names(ctx context.Context, thing, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		m.mu.RLock()
		var names []string
		for name, docs := range m.things[thing] {
			if name > after && !docs[len(docs)-1].Deleted {
				names = append(names, name)
			}
		}
		m.mu.RUnlock()
		slices.Sort(names)
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
			if !yield(name, nil) {
				return
			}
		}
	}
}

// Refs is part of Store.
func (m *MemStore) Refs(ctx context.Context) iter.Seq2[Ref, error] {
	return func(yield func(Ref, error) bool) {
		m.mu.RLock()
		var refs []Ref
		for thing, names := range m.things {
			for name, docs := range names {
				if !docs[len(docs)-1].Deleted {
					refs = append(refs, Ref{thing, name})
				}
			}
		}
		m.mu.RUnlock()
		slices.SortFunc(refs, func(a, b Ref) int {
			return cmp.Or(strings.Compare(a.Thing, b.Thing), strings.Compare(a.Name, b.Name))
		})
		for _, ref := range refs {
			if err := ctx.Err(); err != nil {
				yield(Ref{}, err)
				return
			}
			if !yield(ref, nil) {
				return
			}
		}
	}
}

// Purge is part of Store.
func (m *MemStore) Purge(ctx context.Context, before time.Time) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for thing, names := range m.things {
		maps.DeleteFunc(names, func(_ string, docs []Document) bool {
			last := docs[len(docs)-1]
			old := last.Deleted && last.Time.Before(before)
			if old {
				n++
			}
			return old
		})
		if len(names) == 0 {
			delete(m.things, thing)
		}
	}
	return n, nil
}

// History is part of Historian.
func (m *MemStore) History(ctx context.Context, ref Ref) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		m.mu.RLock()
		docs := slices.Clone(m.things[ref.Thing][ref.Name])
		m.mu.RUnlock()
		for i := len(docs) - 2; i >= 0; i-- {
			if err := ctx.Err(); err != nil {
				yield(Document{}, err)
				return
			}
			if !yield(docs[i], nil) {
				return
			}
		}
	}
}

// Trim is part of Historian.
func (m *MemStore) Trim(ctx context.Context, before time.Time) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, names := range m.things {
		for name, docs := range names {
			old := 0
			for old+1 < len(docs) && docs[old+1].Time.Before(before) {
				old++
			}
			names[name] = slices.Delete(docs, 0, old)
			n += old
		}
	}
	return n, nil
}
