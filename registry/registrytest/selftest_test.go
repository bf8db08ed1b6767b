package registrytest

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/thingloom/thingloom/registry"
)

// broken is a store that is wrong in one way.
type broken struct {
	registry.Store
	get   func(ctx context.Context, s registry.Store, key string) (registry.Entry, error)
	apply func(ctx context.Context, s registry.Store, ops []registry.Op) error
	scan  func(ctx context.Context, s registry.Store, prefix, after string) iter.Seq2[registry.Entry, error]
}

func (b *broken) Get(ctx context.Context, key string) (registry.Entry, error) {
	if b.get != nil {
		return b.get(ctx, b.Store, key)
	}
	return b.Store.Get(ctx, key)
}

func (b *broken) Apply(ctx context.Context, ops ...registry.Op) error {
	if b.apply != nil {
		return b.apply(ctx, b.Store, ops)
	}
	return b.Store.Apply(ctx, ops...)
}

func (b *broken) Scan(ctx context.Context, prefix, after string) iter.Seq2[registry.Entry, error] {
	if b.scan != nil {
		return b.scan(ctx, b.Store, prefix, after)
	}
	return b.Store.Scan(ctx, prefix, after)
}

// without makes an Apply that ignores the conditions that drop says.
func without(drop func(op registry.Op) bool) func() *broken {
	return func() *broken {
		return &broken{apply: func(ctx context.Context, s registry.Store, ops []registry.Op) error {
			var kept []registry.Op
			for _, op := range ops {
				if drop(op) {
					if op.Kind == registry.Check || op.Kind == registry.CheckEmpty {
						continue
					}
					op.Prev = registry.Any
				}
				kept = append(kept, op)
			}
			return s.Apply(ctx, kept...)
		}}
	}
}

// filtered makes a Scan that leaves entries out.
func filtered(keep func(i int, e registry.Entry, prefix, after string) bool) func() *broken {
	return func() *broken {
		return &broken{scan: func(ctx context.Context, s registry.Store, prefix, after string) iter.Seq2[registry.Entry, error] {
			return func(yield func(registry.Entry, error) bool) {
				i := 0
				for e, err := range s.Scan(ctx, prefix, after) {
					if err == nil && !keep(i, e, prefix, after) {
						continue
					}
					i++
					if !yield(e, err) {
						return
					}
				}
			}
		}}
	}
}

// mistakes names for each case a store that must fail it.
var mistakes = map[string]func() *broken{
	"absent": func() *broken {
		return &broken{get: func(ctx context.Context, s registry.Store, key string) (registry.Entry, error) {
			e, err := s.Get(ctx, key)
			if errors.Is(err, registry.ErrNotFound) {
				err = nil
			}
			return e, err
		}}
	},
	"put and get": func() *broken {
		return &broken{apply: func(ctx context.Context, s registry.Store, ops []registry.Op) error {
			for i := range ops {
				ops[i].Value = bytes.ToUpper(append(ops[i].Value, 'x'))
			}
			return s.Apply(ctx, ops...)
		}}
	},
	"odd keys": func() *broken {
		return &broken{apply: func(ctx context.Context, s registry.Store, ops []registry.Op) error {
			for i := range ops {
				ops[i].Key = strings.ToValidUTF8(ops[i].Key, "?")
			}
			return s.Apply(ctx, ops...)
		}}
	},
	"order": func() *broken {
		return &broken{scan: func(ctx context.Context, s registry.Store, prefix, after string) iter.Seq2[registry.Entry, error] {
			return s.Scan(ctx, prefix, strings.TrimSuffix(after, "x"))
		}}
	},
	"long scan": filtered(func(i int, _ registry.Entry, _, _ string) bool { return i < 1000 }),
	"scan while writing": func() *broken {
		// Scans under a lock that Apply needs too: here Apply refuses instead
		// of waiting for ever.
		var mu sync.Mutex
		return &broken{
			scan: func(ctx context.Context, s registry.Store, prefix, after string) iter.Seq2[registry.Entry, error] {
				return func(yield func(registry.Entry, error) bool) {
					mu.Lock()
					defer mu.Unlock()
					s.Scan(ctx, prefix, after)(yield)
				}
			},
			apply: func(ctx context.Context, s registry.Store, ops []registry.Op) error {
				if !mu.TryLock() {
					return errors.New("locked")
				}
				defer mu.Unlock()
				return s.Apply(ctx, ops...)
			}}
	},
	"condition absent":    without(func(op registry.Op) bool { return op.Prev == 0 }),
	"condition version":   without(func(op registry.Op) bool { return op.Prev > 0 }),
	"condition present":   without(func(op registry.Op) bool { return op.Prev == registry.Present }),
	"condition on delete": without(func(op registry.Op) bool { return op.Kind == registry.Delete }),
	"check":               without(func(op registry.Op) bool { return op.Kind == registry.Check }),
	"check empty":         without(func(op registry.Op) bool { return op.Kind == registry.CheckEmpty }),
	"all or none": func() *broken {
		return &broken{apply: func(ctx context.Context, s registry.Store, ops []registry.Op) error {
			for _, op := range ops {
				if err := s.Apply(ctx, op); err != nil {
					return err
				}
			}
			return nil
		}}
	},
	"state before": func() *broken {
		return &broken{apply: func(ctx context.Context, s registry.Store, ops []registry.Op) error {
			for i, op := range ops {
				if i > 0 && op.Kind != registry.Put && op.Key == ops[0].Key {
					return registry.ErrVersionConflict
				}
			}
			return s.Apply(ctx, ops...)
		}}
	},
	"one version": func() *broken {
		return &broken{apply: func(ctx context.Context, s registry.Store, ops []registry.Op) error {
			for _, op := range ops {
				if err := s.Apply(ctx, op); err != nil {
					return err
				}
			}
			return nil
		}}
	},
	"versions grow": func() *broken {
		return &broken{get: func(ctx context.Context, s registry.Store, key string) (registry.Entry, error) {
			e, err := s.Get(ctx, key)
			e.Version = min(e.Version, 1)
			return e, err
		}}
	},
	"no shared memory": func() *broken {
		shared := map[string][]byte{}
		return &broken{
			apply: func(ctx context.Context, s registry.Store, ops []registry.Op) error {
				for _, op := range ops {
					shared[op.Key] = op.Value
				}
				return s.Apply(ctx, ops...)
			},
			get: func(ctx context.Context, s registry.Store, key string) (registry.Entry, error) {
				e, err := s.Get(ctx, key)
				e.Value = shared[key]
				return e, err
			}}
	},
	"cancelled": func() *broken {
		return &broken{get: func(_ context.Context, s registry.Store, key string) (registry.Entry, error) {
			return s.Get(context.Background(), key)
		}}
	},
	"contention": func() *broken {
		b := without(func(op registry.Op) bool { return op.Prev > 0 })()
		b.get = func(ctx context.Context, s registry.Store, key string) (registry.Entry, error) {
			e, err := s.Get(ctx, key)
			for range 10 { // lets others come between reading and writing
				runtime.Gosched()
			}
			return e, err
		}
		return b
	},
	"whole entries": func() *broken {
		return &broken{apply: func(ctx context.Context, s registry.Store, ops []registry.Op) error {
			for _, op := range ops {
				half := op
				half.Value = append(bytes.Clone(op.Value[:len(op.Value)/2]), bytes.Repeat([]byte{'!'}, len(op.Value)-len(op.Value)/2)...)
				if err := s.Apply(ctx, half); err != nil {
					return err
				}
				for e, err := range s.Scan(ctx, op.Key, "") { // gives readers a chance
					_, _ = e, err
				}
			}
			return nil
		}}
	},
}

func TestSuiteFindsMistakes(t *testing.T) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			mistake, ok := mistakes[c.Name]
			if !ok {
				t.Fatal("no store is wrong in this way")
			}
			s := mistake()
			s.Store = registry.NewMemStore()
			err := c.Run(t.Context(), s)
			if err == nil {
				t.Errorf("a broken store passes\nrule: %s", c.Rule)
			}
		})
	}
}
