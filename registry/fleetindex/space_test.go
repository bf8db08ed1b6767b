package fleetindex

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/thingloom/thingloom/registry"
)

// A rebuilding is an index whose feed waits between its two things.
type rebuilding struct {
	t      *testing.T
	store  registry.Store
	ix     *Index
	half   chan struct{} // one for each half
	failed error         // of the feed
}

func newRebuilding(t *testing.T) *rebuilding {
	r := &rebuilding{t: t, store: registry.NewMemStore(), half: make(chan struct{})}
	r.ix = r.open()
	for _, name := range []string{"a", "b", "stale"} {
		r.put(name)
	}
	return r
}

func (r *rebuilding) open() *Index {
	r.t.Helper()
	ix, err := Open(r.t.Context(), r.store, &Options{Config: Everything, Feed: func(ctx context.Context, ix *Index) error {
		for _, name := range []string{"a", "b"} {
			if err := ix.PutThing(ctx, registry.Thing{Name: name}); err != nil {
				return err
			}
			select {
			case <-r.half:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return r.failed
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	return ix
}

func (r *rebuilding) put(name string) {
	r.t.Helper()
	if err := r.ix.PutThing(r.t.Context(), registry.Thing{Name: name}); err != nil {
		r.t.Fatal(err)
	}
}

// finds holds what searches and aggregations find against want.
func (r *rebuilding) finds(want ...string) {
	r.t.Helper()
	hits, _, err := r.ix.Search(r.t.Context(), "*", "", 100)
	if got := names(hits); err != nil || !slices.Equal(got, want) {
		r.t.Fatalf("got %q, %v, want %q", got, err, want)
	}
	if s, err := r.ix.Statistics(r.t.Context(), "*", "thingName"); err != nil || s.Count != len(want) {
		r.t.Fatalf("got %d, %v, want %q", s.Count, err, want)
	}
}

// leftIn counts the keys of a space.
func (r *rebuilding) leftIn(s *space) (n int) {
	for _, kind := range []string{keyDoc, keyRegistered, keyText, keyNumber, keyAnyText} {
		for range s.Scan(r.t.Context(), kind, "") {
			n++
		}
	}
	return n
}

func TestSearchDuringRebuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRebuilding(t)
		for round := range 3 {
			old := r.ix.spaces.Load().read
			done := make(chan error, 1)
			go func() { done <- r.ix.Rebuild(t.Context()) }()
			synctest.Wait()
			r.put("c") // which the feed does not know
			r.finds("a", "b", "c", "stale")
			r.half <- struct{}{}
			synctest.Wait()
			if err := r.ix.DeleteThing(t.Context(), "a"); err != nil { // behind the feed
				t.Fatal(err)
			}
			r.finds("b", "c", "stale")
			r.half <- struct{}{}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			r.finds("b", "c")
			if n := r.leftIn(old); n > 0 {
				t.Errorf("round %d: %d keys are left of what was", round, n)
			}
			r.put("a")
			r.put("stale")
		}
	})
}

// What iterates while an index takes another's place goes to its end in the one that it began in.
func TestIterationOverRebuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRebuilding(t)
		old := r.ix.spaces.Load().read
		done := make(chan error, 1)
		var got []string
		for hit, err := range r.ix.All(t.Context(), "*") {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, hit.Name); len(got) == 1 {
				go func() { done <- r.ix.Rebuild(t.Context()) }()
				r.half <- struct{}{}
				r.half <- struct{}{}
				synctest.Wait()
				r.finds("a", "b") // of the new one
			}
		}
		if !slices.Equal(got, []string{"a", "b", "stale"}) {
			t.Errorf("got %q", got)
		}
		if err := <-done; err != nil || r.leftIn(old) > 0 {
			t.Error(err, r.leftIn(old))
		}
	})
}

func TestRebuildThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRebuilding(t)
		run := func() error {
			done := make(chan error, 1)
			go func() { done <- r.ix.Rebuild(t.Context()) }()
			r.half <- struct{}{}
			synctest.Wait()
			r.put("c")
			r.half <- struct{}{}
			return <-done
		}
		r.failed = errors.New("disk full")
		if err := run(); !errors.Is(err, r.failed) {
			t.Fatal(err)
		}
		r.put("d")
		r.finds("a", "b", "c", "d", "stale")
		r.failed = nil
		if err := run(); err != nil {
			t.Fatal(err)
		}
		r.finds("a", "b", "c")
	})
}

// A process that ends during a rebuild leaves the index as it was to the next, which clears what was begun.
func TestCrashDuringRebuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRebuilding(t)
		ctx, crash := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.ix.Rebuild(ctx) }()
		r.half <- struct{}{}
		synctest.Wait()
		fresh := r.ix.spaces.Load().write[1]
		if r.leftIn(fresh) == 0 {
			t.Fatal("nothing was built")
		}
		crash()
		<-done
		r.ix = r.open()
		if r.leftIn(fresh) > 0 || r.ix.Status() != Rebuilding {
			t.Errorf("%d keys are left, %s", r.leftIn(fresh), r.ix.Status())
		}
		r.finds("a", "b", "stale")
		stopped := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		go func() { stopped <- r.ix.Run(ctx) }()
		r.half <- struct{}{}
		r.half <- struct{}{}
		synctest.Wait()
		r.finds("a", "b")
		stop()
		if err := errors.Join(<-stopped, r.ix.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if r.ix = r.open(); r.ix.Status() != Active {
			t.Error(r.ix.Status())
		}
		r.finds("a", "b")
	})
}

// What was built for another Config is not searched, neither now nor by the next process.
func TestCrashAfterSetConfig(t *testing.T) {
	r := newRebuilding(t)
	c := Everything
	c.Shadows = false
	if err := r.ix.SetConfig(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := r.ix.Search(t.Context(), "*", "", 1); !errors.Is(err, ErrNotReady) {
			t.Error(err)
		}
		if r.ix = r.open(); fmt.Sprint(r.ix.Config()) != fmt.Sprint(c) || r.ix.Status() != Building {
			t.Errorf("%+v %s", r.ix.Config(), r.ix.Status())
		}
	}
}
