package fleetindex

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/thingloom/thingloom/registry"
)

// A space is one copy of documents and entries: all of their keys begin with its prefix. A rebuild fills the space that is
// not searched, while that which is goes on to be, and to be told of changes.
type space struct {
	store  registry.Store
	prefix string

	mu      sync.Mutex
	readers int
	retired bool
	unread  chan struct{} // closed once it is retired and nobody reads it
}

// The prefixes of the two.
const firstSpace, secondSpace = "", "z/"

// Spaces are those in use: one is read, changes are written to one or both.
type spaces struct {
	read  *space
	write []*space
}

func newSpace(store registry.Store, prefix string) *space {
	return &space{store: store, prefix: prefix, unread: make(chan struct{})}
}

// other is the space that s is not.
func (s *space) other() *space {
	if s.prefix == firstSpace {
		return newSpace(s.store, secondSpace)
	}
	return newSpace(s.store, firstSpace)
}

// reading returns the space to read from, until it is left. It stays as it is meanwhile, but for changes.
func (ix *Index) reading() *space {
	for {
		if s := ix.spaces.Load().read; s.enter() {
			return s
		}
	}
}

func (s *space) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired {
		return false
	}
	s.readers++
	return true
}

func (s *space) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers--; s.retired && s.readers == 0 {
		close(s.unread)
	}
}

// retire waits until nobody reads s, which nobody begins to any more.
func (s *space) retire(ctx context.Context) error {
	s.mu.Lock()
	if s.retired = true; s.readers == 0 {
		close(s.unread)
	}
	s.mu.Unlock()
	select {
	case <-s.unread:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// use makes others the spaces in use, between two changes.
func (ix *Index) use(now *spaces, store func() error) error {
	for i := range ix.things {
		ix.things[i].Lock()
		defer ix.things[i].Unlock()
	}
	if err := store(); err != nil {
		return err
	}
	ix.spaces.Store(now)
	return nil
}

// Get is that of the store.
func (s *space) Get(ctx context.Context, key string) (registry.Entry, error) {
	return s.store.Get(ctx, s.prefix+key)
}

// Scan is that of the store, of keys without the prefix.
func (s *space) Scan(ctx context.Context, prefix, after string) iter.Seq2[registry.Entry, error] {
	if s.prefix == "" {
		return s.store.Scan(ctx, prefix, after)
	}
	if after != "" {
		after = s.prefix + after
	}
	return func(yield func(registry.Entry, error) bool) {
		for e, err := range s.store.Scan(ctx, s.prefix+prefix, after) {
			if err == nil {
				e.Key = e.Key[len(s.prefix):]
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// A prefixDeleter is a registry.Store that deletes at once what begins with a prefix. Only those implement it that need
// not read the keys for it.
type prefixDeleter interface {
	DeletePrefix(ctx context.Context, prefix string) error
}

// clear deletes all of s.
func (s *space) clear(ctx context.Context) error {
	for _, kind := range slices.Concat([]string{keyDoc, keyRegistered, keyText, keyNumber, keyAnyText}, keysBefore) {
		if err := clearPrefix(ctx, s.store, s.prefix+kind); err != nil {
			return fmt.Errorf("fleetindex: %w", err)
		}
	}
	return nil
}

func clearPrefix(ctx context.Context, store registry.Store, prefix string) error {
	if d, ok := store.(prefixDeleter); ok {
		return d.DeletePrefix(ctx, prefix)
	}
	for {
		var ops []registry.Op
		for e, err := range store.Scan(ctx, prefix, "") {
			if err != nil {
				return err
			}
			if ops = append(ops, registry.Op{Kind: registry.Delete, Key: e.Key, Prev: registry.Any}); len(ops) == 1000 {
				break
			}
		}
		if len(ops) == 0 {
			return nil
		}
		if err := store.Apply(ctx, ops...); err != nil {
			return err
		}
	}
}
