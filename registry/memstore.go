package registry

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"
	"sync"
)

// A MemStore is a Store in memory, for tests, examples and registries that
// may be forgotten. It is safe for concurrent use.
type MemStore struct {
	mu     sync.RWMutex
	last   int64
	chunks [][]Entry // sorted, each sorted and not empty
}

// NewMemStore returns an empty store.
func NewMemStore() *MemStore { return &MemStore{} }

var _ Store = (*MemStore)(nil)

// maxChunk is where a chunk is split in two: small enough that an insert
// moves little, large enough that the list of chunks stays short.
const maxChunk = 512

// find returns the position of key, or where it belongs.
func (s *MemStore) find(key string) (chunk, i int, found bool) {
	// The last chunk that begins at or before key.
	c := sort.Search(len(s.chunks), func(c int) bool { return s.chunks[c][0].Key > key }) - 1
	if c < 0 {
		return 0, 0, false
	}
	i, found = slices.BinarySearchFunc(s.chunks[c], key, func(e Entry, k string) int { return strings.Compare(e.Key, k) })
	return c, i, found
}

func (s *MemStore) version(key string) int64 {
	if c, i, ok := s.find(key); ok {
		return s.chunks[c][i].Version
	}
	return 0
}

func (s *MemStore) put(e Entry) {
	c, i, found := s.find(e.Key)
	switch {
	case found:
		s.chunks[c][i] = e
	case len(s.chunks) == 0:
		s.chunks = [][]Entry{{e}}
	default:
		s.chunks[c] = slices.Insert(s.chunks[c], i, e)
		if all := s.chunks[c]; len(all) > maxChunk {
			half := len(all) / 2
			s.chunks = slices.Insert(s.chunks, c+1, slices.Clone(all[half:]))
			clear(all[half:])
			s.chunks[c] = all[:half:half]
		}
	}
}

func (s *MemStore) remove(key string) {
	c, i, found := s.find(key)
	if !found {
		return
	}
	s.chunks[c] = slices.Delete(s.chunks[c], i, i+1)
	if len(s.chunks[c]) == 0 {
		s.chunks = slices.Delete(s.chunks, c, c+1)
	}
}

// Get implements Store.
func (s *MemStore) Get(ctx context.Context, key string) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, i, found := s.find(key)
	if !found {
		return Entry{}, fmt.Errorf("registry: key %q: %w", key, ErrNotFound)
	}
	e := s.chunks[c][i]
	e.Value = bytes.Clone(e.Value)
	return e, nil
}

// Apply implements Store.
func (s *MemStore) Apply(ctx context.Context, ops ...Op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range ops {
		holds := true
		if op.Kind == CheckEmpty {
			holds = len(s.page(op.Key, "", 1)) == 0
		} else if op.Prev != Any {
			v := s.version(op.Key)
			holds = v == op.Prev || op.Prev == Present && v > 0
		}
		if !holds {
			return fmt.Errorf("registry: key %q: %w", op.Key, ErrVersionConflict)
		}
	}
	s.last++
	for _, op := range ops {
		switch op.Kind {
		case Put:
			s.put(Entry{Key: strings.Clone(op.Key), Value: bytes.Clone(op.Value), Version: s.last})
		case Delete:
			s.remove(op.Key)
		}
	}
	return nil
}

// page returns up to n entries with the prefix beyond after, not copied.
func (s *MemStore) page(prefix, after string, n int) []Entry {
	var out []Entry
	c, i, found := s.find(max(prefix, after))
	if found && after >= prefix {
		i++
	}
	for ; c < len(s.chunks); c, i = c+1, 0 {
		for ; i < len(s.chunks[c]); i++ {
			e := s.chunks[c][i]
			if !strings.HasPrefix(e.Key, prefix) || len(out) == n {
				return out
			}
			out = append(out, e)
		}
	}
	return out
}

// Scan implements Store. It holds no lock while the loop body runs.
func (s *MemStore) Scan(ctx context.Context, prefix, after string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for {
			if err := ctx.Err(); err != nil {
				yield(Entry{}, err)
				return
			}
			s.mu.RLock()
			page := s.page(prefix, after, 256)
			s.mu.RUnlock()
			for _, e := range page {
				after = e.Key
				// Values are replaced, never changed in place, so the
				// copy can be made without the lock.
				e.Value = bytes.Clone(e.Value)
				if !yield(e, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
		}
	}
}
