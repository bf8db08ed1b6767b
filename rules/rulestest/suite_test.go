package rulestest

import (
	"context"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/thingloom/thingloom/rules"
)

func TestMemStore(t *testing.T) {
	TestStore(t, func(*testing.T) rules.Store { return rules.NewMemStore() },
		&Options{Reopen: func(_ *testing.T, s rules.Store) rules.Store { return s }})
}

// broken is a MemStore that breaks the contract in the ways that are set.
type broken struct {
	rules.Store
	save   func(context.Context, rules.Rule) error
	load   func(context.Context, string) (rules.Rule, error)
	delete func(context.Context, string) error
	all    func(context.Context) iter.Seq2[rules.Rule, error]
}

func (b *broken) Save(ctx context.Context, r rules.Rule) error {
	if b.save != nil {
		return b.save(ctx, r)
	}
	return b.Store.Save(ctx, r)
}

func (b *broken) Load(ctx context.Context, name string) (rules.Rule, error) {
	if b.load != nil {
		return b.load(ctx, name)
	}
	return b.Store.Load(ctx, name)
}

func (b *broken) Delete(ctx context.Context, name string) error {
	if b.delete != nil {
		return b.delete(ctx, name)
	}
	return b.Store.Delete(ctx, name)
}

func (b *broken) All(ctx context.Context) iter.Seq2[rules.Rule, error] {
	if b.all != nil {
		return b.all(ctx)
	}
	return b.Store.All(ctx)
}

// TestSuiteFindsBrokenStores breaks a store in one way for each case; that case
// must fail.
func TestSuiteFindsBrokenStores(t *testing.T) {
	collect := func(b *broken, ctx context.Context) (all []rules.Rule) {
		for r, err := range b.Store.All(ctx) {
			if err == nil {
				all = append(all, r)
			}
		}
		return all
	}
	yield := func(all []rules.Rule) iter.Seq2[rules.Rule, error] {
		return func(yield func(rules.Rule, error) bool) {
			for _, r := range all {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
	for name, breaks := range map[string]func(b *broken){
		"absent": func(b *broken) {
			b.load = func(context.Context, string) (rules.Rule, error) { return rules.Rule{}, nil }
		},
		"delete absent": func(b *broken) {
			b.delete = func(ctx context.Context, name string) error { _ = b.Store.Delete(ctx, name); return nil }
		},
		"empty": func(b *broken) {
			b.all = func(context.Context) iter.Seq2[rules.Rule, error] { return yield([]rules.Rule{{}}) }
		},
		"round trip": func(b *broken) {
			b.save = func(ctx context.Context, r rules.Rule) error { r.Disabled = false; return b.Store.Save(ctx, r) }
		},
		"replace": func(b *broken) {
			b.save = func(ctx context.Context, r rules.Rule) error {
				if _, err := b.Store.Load(ctx, r.Name); err == nil {
					return nil
				}
				return b.Store.Save(ctx, r)
			}
		},
		"delete": func(b *broken) {
			b.delete = func(ctx context.Context, name string) error {
				err := b.Store.Delete(ctx, name)
				_ = b.Store.Delete(ctx, name+"b")
				return err
			}
		},
		"order": func(b *broken) {
			b.all = func(ctx context.Context) iter.Seq2[rules.Rule, error] {
				all := collect(b, ctx)
				slices.Reverse(all)
				return yield(all)
			}
		},
		"stop": func(b *broken) {
			b.all = func(ctx context.Context) iter.Seq2[rules.Rule, error] {
				return func(yield func(rules.Rule, error) bool) {
					for _, r := range collect(b, ctx) {
						if !yield(r, nil) {
							_ = b.Store.Delete(ctx, r.Name)
							return
						}
					}
				}
			}
		},
		"no shared memory in": func(b *broken) {
			kept := map[string]rules.Rule{}
			b.save = func(_ context.Context, r rules.Rule) error { kept[r.Name] = r; return nil }
			b.load = func(_ context.Context, name string) (rules.Rule, error) { return kept[name], nil }
		},
		"no shared memory out": func(b *broken) {
			kept := map[string]rules.Rule{}
			b.load = func(ctx context.Context, name string) (rules.Rule, error) {
				if _, ok := kept[name]; !ok {
					kept[name], _ = b.Store.Load(ctx, name)
				}
				return kept[name], nil
			}
		},
		"cancelled": func(b *broken) {
			b.delete = func(ctx context.Context, name string) error {
				_ = b.Store.Delete(context.WithoutCancel(ctx), name)
				return ctx.Err()
			}
		},
		"concurrent": func(b *broken) {
			b.all = func(ctx context.Context) iter.Seq2[rules.Rule, error] {
				return yield(slices.DeleteFunc(collect(b, ctx), func(r rules.Rule) bool { return r.Name == "c" }))
			}
		},
		"reopen": func(*broken) {},
	} {
		t.Run(name, func(t *testing.T) {
			i := slices.IndexFunc(storeCases, func(c storeCase) bool { return c.name == name })
			if i < 0 {
				t.Fatal("no such case")
			}
			b := &broken{Store: rules.NewMemStore()}
			breaks(b)
			e := &env{Store: b}
			e.reopen = func() { e.Store = rules.NewMemStore() } // what the broken one of "reopen" loses
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if storeCases[i].run(ctx, e) == nil {
				t.Error("the case passes on a store that breaks its rule")
			}
		})
	}
	if len(storeCases) != 13 {
		t.Errorf("%d cases, but 13 broken stores: each case needs one", len(storeCases))
	}
}
