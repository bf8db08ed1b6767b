package fleetindex_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleetindex"
)

// Whoever changes things tells of them, all at once: in the end the index knows
// what the registry has.
func TestChangesOfOneThing(t *testing.T) {
	ctx := t.Context()
	reg, err := registry.New(registry.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	tell := func(ix *fleetindex.Index, name string) error {
		return ix.Change(ctx, name, func(k *fleetindex.Known) error {
			thing, err := reg.Thing(ctx, name)
			switch k.Thing = nil; {
			case err == nil:
				k.Thing = &thing
			case errors.Is(err, registry.ErrNotFound):
				err = nil
			}
			return err
		})
	}
	ix, err := fleetindex.Open(ctx, registry.NewMemStore(), &fleetindex.Options{Config: fleetindex.Config{Things: true}})
	if err != nil {
		t.Fatal(err)
	}
	const things, writers, rounds = 3, 8, 60
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range rounds {
				name := fmt.Sprint("t", n%things)
				value := map[string]string{"v": fmt.Sprint(w*rounds + n)}
				_, err := reg.UpdateThing(ctx, registry.ThingUpdate{Name: name, Attributes: value})
				if errors.Is(err, registry.ErrNotFound) {
					if _, err = reg.CreateThing(ctx, registry.Thing{Name: name, Attributes: value}); errors.Is(err, registry.ErrExists) {
						err = nil
					}
				}
				if n%20 == 19 {
					err = errors.Join(err, reg.DeleteThing(ctx, name, 0))
				}
				if err = errors.Join(err, tell(ix, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range things {
		name := fmt.Sprint("t", i)
		want, err := reg.Thing(ctx, name)
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			t.Fatal(err)
		}
		got, ok, ierr := ix.Thing(ctx, name)
		if ierr != nil || ok != (err == nil) || got.Attributes["v"] != want.Attributes["v"] {
			t.Errorf("%s: the index has %v %v, the registry %v %v", name, ok, got.Attributes, err, want.Attributes)
		}
	}
}
