package fleetindex

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/thingloom/thingloom/registry"
)

// What another version of the package has written is not searched, and built anew.
func TestOtherFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		store := registry.NewMemStore()
		for _, key := range []string{keyDoc + "old", keyText + "f\x00w\x00old"} {
			if err := store.Apply(ctx, registry.Op{Key: key, Value: []byte("not JSON"), Prev: registry.Any}); err != nil {
				t.Fatal(err)
			}
		}
		opts := &Options{Config: Everything, Feed: func(ctx context.Context, ix *Index) error {
			return ix.PutThing(ctx, registry.Thing{Name: "new"})
		}}
		ix, err := Open(ctx, store, opts)
		if err != nil || ix.Status() != Building {
			t.Fatal(ix.Status(), err)
		}
		if _, _, err := ix.Search(ctx, "*", "", 1); !errors.Is(err, ErrNotReady) {
			t.Error(err)
		}
		done := make(chan error)
		go func() { done <- ix.Run(ctx) }()
		synctest.Wait()
		if hits, _, err := ix.Search(ctx, "*", "", 10); err != nil || fmt.Sprint(names(hits)) != "[new]" {
			t.Errorf("%q, %v", names(hits), err)
		}
		stop()
		if err := errors.Join(<-done, ix.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if ix, err = Open(t.Context(), store, opts); err != nil || ix.Status() != Active {
			t.Error(ix.Status(), err)
		}
	})
}

// Things change while the index is built, and are told of by several goroutines at once: what is read within Change is
// never put over something newer.
func TestChangesDuringRebuild(t *testing.T) {
	for range 20 {
		var mu sync.Mutex // guards the registry of this test
		versions := map[string]int64{}
		read := func(ix *Index, ctx context.Context, name string) error {
			return ix.Change(ctx, name, func(k *Known) error {
				mu.Lock()
				defer mu.Unlock()
				k.Thing = &registry.Thing{Name: name, Version: versions[name], Attributes: map[string]string{"v": fmt.Sprint(versions[name])}}
				return nil
			})
		}
		ix, err := Open(t.Context(), registry.NewMemStore(), &Options{Config: Everything, Feed: func(ctx context.Context, ix *Index) error {
			for i := range 4 {
				if err := read(ix, ctx, fmt.Sprint("t", i)); err != nil {
					return err
				}
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for i := range 100 {
					name := fmt.Sprint("t", i%4)
					mu.Lock()
					versions[name]++
					mu.Unlock()
					if err := read(ix, t.Context(), name); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Go(func() {
			for range 5 {
				if err := ix.Rebuild(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
		all.Wait()
		for name, version := range versions {
			hits, _, err := ix.Search(t.Context(), fmt.Sprintf("thingName:%s AND attributes.v:%d", name, version), "", 10)
			if err != nil || len(hits) != 1 || hits[0].Version != version {
				t.Fatalf("%s at version %d: %+v, %v", name, version, hits, err)
			}
			if err := ix.Change(t.Context(), name, func(k *Known) error { *k = Known{}; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for e := range ix.store.Scan(t.Context(), "", "") {
			if e.Key != keyOpen && e.Key != keyFormat && e.Key != keySpace {
				t.Fatalf("%q is left", e.Key)
			}
		}
	}
}
