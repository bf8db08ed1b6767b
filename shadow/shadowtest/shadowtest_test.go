package shadowtest_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowtest"
)

func TestMemStore(t *testing.T) {
	shadowtest.TestStore(t, func(*testing.T) shadow.Store { return shadow.NewMemStore() })
	shadowtest.TestHistorian(t, func(_ *testing.T, history int) shadow.Store { return shadow.NewMemStoreKeeping(history) })
}

// forgetful keeps another history than it should.
type forgetful struct {
	*shadow.MemStore
	save    func(ctx context.Context, r shadow.Ref, d shadow.Document, prev int64) error
	history func(ctx context.Context, r shadow.Ref) iter.Seq2[shadow.Document, error]
	purge   func(ctx context.Context, before time.Time) (int, error)
	trim    func(ctx context.Context, before time.Time) (int, error)
	refs    func(ctx context.Context) iter.Seq2[shadow.Ref, error]
}

func (f *forgetful) Save(ctx context.Context, r shadow.Ref, d shadow.Document, prev int64) error {
	if f.save != nil {
		return f.save(ctx, r, d, prev)
	}
	return f.MemStore.Save(ctx, r, d, prev)
}

func (f *forgetful) History(ctx context.Context, r shadow.Ref) iter.Seq2[shadow.Document, error] {
	if f.history != nil {
		return f.history(ctx, r)
	}
	return f.MemStore.History(ctx, r)
}

func (f *forgetful) Purge(ctx context.Context, before time.Time) (int, error) {
	if f.purge != nil {
		return f.purge(ctx, before)
	}
	return f.MemStore.Purge(ctx, before)
}

func (f *forgetful) Trim(ctx context.Context, before time.Time) (int, error) {
	if f.trim != nil {
		return f.trim(ctx, before)
	}
	return f.MemStore.Trim(ctx, before)
}

func (f *forgetful) Refs(ctx context.Context) iter.Seq2[shadow.Ref, error] {
	if f.refs != nil {
		return f.refs(ctx)
	}
	return f.MemStore.Refs(ctx)
}

// Every rule for histories fails a store that breaks just that.
func TestHistoryCasesNotice(t *testing.T) {
	for name, breakIt := range map[string]func(*forgetful){
		"kept": func(f *forgetful) {
			f.history = func(ctx context.Context, r shadow.Ref) iter.Seq2[shadow.Document, error] {
				return func(yield func(shadow.Document, error) bool) {
					for d, err := range f.MemStore.History(ctx, r) {
						d.By = ""
						if !yield(d, err) {
							return
						}
					}
				}
			}
		},
		"bounded": func(f *forgetful) { f.MemStore = shadow.NewMemStoreKeeping(4) },
		"none":    func(f *forgetful) { f.MemStore = shadow.NewMemStoreKeeping(1) },
		"refused": func(f *forgetful) {
			f.save = func(ctx context.Context, r shadow.Ref, d shadow.Document, prev int64) error {
				err := f.MemStore.Save(ctx, r, d, prev)
				if err != nil {
					f.MemStore.Trim(ctx, time.Unix(1<<40, 0))
				}
				return err
			}
		},
		"apart": func(f *forgetful) {
			f.save = func(ctx context.Context, r shadow.Ref, d shadow.Document, prev int64) error {
				if prev == 0 {
					f.MemStore.Trim(ctx, time.Unix(1<<40, 0))
				}
				return f.MemStore.Save(ctx, r, d, prev)
			}
		},
		"restart": func(f *forgetful) {
			var all []shadow.Document
			f.save = func(ctx context.Context, r shadow.Ref, d shadow.Document, prev int64) error {
				if old, err := f.MemStore.Load(ctx, r); err == nil {
					all = append([]shadow.Document{old}, all...)
				}
				return f.MemStore.Save(ctx, r, d, prev)
			}
			f.history = func(context.Context, shadow.Ref) iter.Seq2[shadow.Document, error] {
				return func(yield func(shadow.Document, error) bool) {
					for _, d := range all {
						if !yield(d, nil) {
							return
						}
					}
				}
			}
		},
		"purged": func(f *forgetful) { // histories are kept apart, and Purge forgets them all
			f.purge = func(ctx context.Context, before time.Time) (int, error) {
				n, err := f.MemStore.Purge(ctx, before)
				f.MemStore.Trim(ctx, time.Unix(1<<40, 0))
				return n, err
			}
		},
		"trim": func(f *forgetful) {
			f.trim = func(ctx context.Context, before time.Time) (int, error) {
				return f.MemStore.Trim(ctx, before.Add(time.Second*2))
			}
		},
		"not listed": func(f *forgetful) {
			f.refs = func(ctx context.Context) iter.Seq2[shadow.Ref, error] {
				return func(yield func(shadow.Ref, error) bool) {
					for r, err := range f.MemStore.Refs(ctx) {
						for range f.MemStore.History(ctx, r) {
							if !yield(r, err) {
								return
							}
						}
					}
				}
			}
		},
	} {
		found := false
		for _, c := range shadowtest.HistoryCases() {
			if c.Name == name {
				found = true
				f := &forgetful{MemStore: shadow.NewMemStoreKeeping(c.History)}
				breakIt(f)
				if c.Run(t.Context(), f) == nil {
					t.Errorf("%s: a store that breaks it passes", name)
				}
			}
		}
		if !found {
			t.Errorf("no case %q", name)
		}
	}
	if want, have := len(shadowtest.HistoryCases()), 9; want != have {
		t.Errorf("%d cases, %d of them broken here", want, have)
	}
}

// broken is a good store with one method replaced.
type broken struct {
	*shadow.MemStore
	load  func(context.Context, shadow.Ref) (shadow.Document, error)
	save  func(context.Context, shadow.Ref, shadow.Document, int64) error
	names func(context.Context, string, string) iter.Seq2[string, error]
	refs  func(context.Context) iter.Seq2[shadow.Ref, error]
	purge func(context.Context, time.Time) (int, error)
}

func (b *broken) Load(ctx context.Context, r shadow.Ref) (shadow.Document, error) {
	if b.load != nil {
		return b.load(ctx, r)
	}
	return b.MemStore.Load(ctx, r)
}

func (b *broken) Save(ctx context.Context, r shadow.Ref, d shadow.Document, prev int64) error {
	if b.save != nil {
		return b.save(ctx, r, d, prev)
	}
	return b.MemStore.Save(ctx, r, d, prev)
}

func (b *broken) Names(ctx context.Context, thing, after string) iter.Seq2[string, error] {
	if b.names != nil {
		return b.names(ctx, thing, after)
	}
	return b.MemStore.Names(ctx, thing, after)
}

func (b *broken) Refs(ctx context.Context) iter.Seq2[shadow.Ref, error] {
	if b.refs != nil {
		return b.refs(ctx)
	}
	return b.MemStore.Refs(ctx)
}

func (b *broken) Purge(ctx context.Context, before time.Time) (int, error) {
	if b.purge != nil {
		return b.purge(ctx, before)
	}
	return b.MemStore.Purge(ctx, before)
}

// Every rule fails a store that breaks just that.
func TestCasesNotice(t *testing.T) {
	unconditional := func(b *broken) {
		b.save = func(ctx context.Context, r shadow.Ref, d shadow.Document, _ int64) error {
			stored, _ := b.MemStore.Load(ctx, r)
			return b.MemStore.Save(ctx, r, d, stored.Version)
		}
	}
	for name, breakIt := range map[string]func(*broken){
		"absent": func(b *broken) {
			b.load = func(ctx context.Context, r shadow.Ref) (shadow.Document, error) {
				d, err := b.MemStore.Load(ctx, r)
				if errors.Is(err, shadow.ErrNotFound) {
					err = nil
				}
				return d, err
			}
		},
		"round trip": func(b *broken) {
			b.save = func(ctx context.Context, r shadow.Ref, d shadow.Document, prev int64) error {
				d.By = ""
				return b.MemStore.Save(ctx, r, d, prev)
			}
		},
		"conditional": unconditional,
		"contention":  unconditional,
		"tombstone": func(b *broken) {
			b.load = func(ctx context.Context, r shadow.Ref) (shadow.Document, error) {
				d, err := b.MemStore.Load(ctx, r)
				if d.Deleted {
					return shadow.Document{}, shadow.ErrNotFound
				}
				return d, err
			}
		},
		"names": func(b *broken) {
			b.names = func(ctx context.Context, thing, _ string) iter.Seq2[string, error] {
				return b.MemStore.Names(ctx, thing, "")
			}
		},
		"refs": func(b *broken) {
			b.refs = func(context.Context) iter.Seq2[shadow.Ref, error] { return func(func(shadow.Ref, error) bool) {} }
		},
		"purge": func(b *broken) {
			b.purge = func(ctx context.Context, _ time.Time) (int, error) {
				return b.MemStore.Purge(ctx, time.Unix(1<<40, 0))
			}
		},
		"memory": func(b *broken) {
			var kept shadow.Document
			b.load = func(ctx context.Context, r shadow.Ref) (shadow.Document, error) {
				d, err := b.MemStore.Load(ctx, r)
				if kept.Desired != nil {
					copy(kept.Desired, d.Desired)
				}
				kept = d
				return d, err
			}
		},
		"cancelled": func(b *broken) {
			b.load = func(_ context.Context, r shadow.Ref) (shadow.Document, error) {
				return b.MemStore.Load(context.Background(), r)
			}
		},
	} {
		found := false
		for _, c := range shadowtest.Cases() {
			if c.Name != name {
				continue
			}
			found = true
			b := &broken{MemStore: shadow.NewMemStore()}
			breakIt(b)
			if c.Run(t.Context(), b) == nil {
				t.Errorf("%s: a store that breaks it passes", name)
			}
		}
		if !found {
			t.Errorf("no case %q", name)
		}
	}
}
