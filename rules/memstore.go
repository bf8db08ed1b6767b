package rules

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
)

// A MemStore is a [Store] that forgets when the process ends.
type MemStore struct {
	mu    sync.RWMutex
	rules map[string]Rule
}

var _ Store = (*MemStore)(nil)

// NewMemStore returns an empty MemStore.
func NewMemStore() *MemStore { return &MemStore{rules: make(map[string]Rule)} }

// Load implements [Store].
func (s *MemStore) Load(ctx context.Context, name string) (Rule, error) {
	if err := ctx.Err(); err != nil {
		return Rule{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.rules[name]
	if !ok {
		return Rule{}, ErrNotFound
	}
	return r.clone(), nil
}

// Save implements [Store].
func (s *MemStore) Save(ctx context.Context, r Rule) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r = r.clone()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules[r.Name] = r
	return nil
}

// Delete implements [Store].
func (s *MemStore) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.rules[name]; !ok {
		return ErrNotFound
	}
	delete(s.rules, name)
	return nil
}

// All implements [Store]. It yields the rules of the moment it began.
func (s *MemStore) All(ctx context.Context) iter.Seq2[Rule, error] {
	return func(yield func(Rule, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(Rule{}, err)
			return
		}
		s.mu.RLock()
		rules := maps.Clone(s.rules)
		s.mu.RUnlock()
		for _, name := range slices.Sorted(maps.Keys(rules)) {
			if err := ctx.Err(); err != nil {
				yield(Rule{}, err)
				return
			}
			if !yield(rules[name].clone(), nil) {
				return
			}
		}
	}
}
