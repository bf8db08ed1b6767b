package shadow_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/thingloom/thingloom/shadow"
)

// loading is a store whose Load is followed by something.
type loading struct {
	shadow.Store
	after func()
}

func (l *loading) Load(ctx context.Context, ref shadow.Ref) (shadow.Document, error) {
	d, err := l.Store.Load(ctx, ref)
	if f := l.after; f != nil {
		l.after = nil
		f()
	}
	return d, err
}

func update(t *testing.T, svc *shadow.Service, ref shadow.Ref, patch string) shadow.Change {
	t.Helper()
	c, err := svc.Update(context.Background(), ref, []byte(patch))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What is written between the first look and the subscription is told once,
// whichever comes first.
func TestWatchMissesNothing(t *testing.T) {
	store := &loading{Store: shadow.NewMemStore()}
	svc, err := shadow.New(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	ref := shadow.Ref{Thing: "t"}
	update(t, svc, ref, `{"state":{"reported":{"n":1}}}`)
	store.after = func() { update(t, svc, ref, `{"state":{"reported":{"n":2}}}`) }
	want := int64(0)
	for doc, err := range svc.Watch(t.Context(), ref, nil) {
		if want++; err != nil || doc.Version != want {
			t.Fatalf("got version %d, want %d: %v", doc.Version, want, err)
		}
		switch want {
		case 2:
			update(t, svc, shadow.Ref{Thing: "t", Name: "other"}, `{"state":{}}`)
			update(t, svc, ref, `{"state":{"reported":{"n":3}}}`)
		case 3:
			if _, err := svc.Delete(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
		case 4:
			if !doc.Deleted {
				t.Errorf("version 4 is the deletion, got %+v", doc)
			}
			return
		}
	}
}

// Writers race with watchers that come at any time: each watcher sees a
// version and then every later one. There are fewer than a backlog holds.
func TestWatchUnderLoad(t *testing.T) {
	for range 40 {
		svc := open(t, &shadow.Options{MaxInFlight: -1})
		ref, last := shadow.Ref{Thing: "t"}, int64(60)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range last / 4 {
					update(t, svc, ref, `{"state":{}}`)
				}
			})
			wg.Go(func() {
				seen := int64(0)
				for doc, err := range svc.Watch(t.Context(), ref, nil) {
					if err != nil || seen > 0 && doc.Version != seen+1 {
						t.Errorf("version %d after %d: %v", doc.Version, seen, err)
						return
					}
					if seen = doc.Version; seen == last {
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestWatchConditions(t *testing.T) {
	for _, tt := range []struct {
		what  string
		when  shadow.Condition
		holds []int64 // of the versions below
	}{
		{"all", nil, []int64{1, 2, 3, 4, 5}},
		{"in sync", shadow.InSync, []int64{3, 4}},
		{"a value, by value", shadow.FieldIs("/reported/color/hue", "1.20e2"), []int64{2, 3, 4}},
		{"an object in any order", shadow.FieldIs("/reported/color", `{"sat":1,"hue":120}`), []int64{4}},
		{"a name with a slash", shadow.FieldIs("/reported/a~1b", "true"), []int64{4}},
		{"never, for what is no JSON", shadow.FieldIs("/reported/on", "tru"), nil},
		{"a function", func(d shadow.Document) bool { return d.Version%2 == 0 }, []int64{2, 4}},
	} {
		svc := open(t, nil)
		ref := shadow.Ref{Thing: "t"}
		var got []int64
		ctx, cancel := context.WithCancelCause(t.Context())
		done := errors.New("done")
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel = context.WithCancelCause(context.Background())
			var wg sync.WaitGroup
			wg.Go(func() {
				for doc, err := range svc.Watch(ctx, ref, tt.when) {
					if err != nil {
						if !errors.Is(err, done) {
							t.Error(err)
						}
						return
					}
					got = append(got, doc.Version)
				}
			})
			synctest.Wait()
			for _, patch := range []string{
				`{"state":{"desired":{"on":true}}}`,
				`{"state":{"reported":{"color":{"hue":120}}}}`,
				`{"state":{"reported":{"on":true}}}`,
				`{"state":{"reported":{"color":{"sat":1.0},"a/b":true}}}`,
			} {
				update(t, svc, ref, patch)
			}
			if _, err := svc.Delete(ctx, ref); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			cancel(done)
			wg.Wait()
		})
		cancel(nil)
		if fmt.Sprint(got) != fmt.Sprint(tt.holds) {
			t.Errorf("%s: held for %v, want %v", tt.what, got, tt.holds)
		}
	}
}

// A watcher that does not come back holds up nobody: it gets the newest and is
// counted what it missed.
func TestSlowWatcher(t *testing.T) {
	svc := open(t, nil)
	ref := shadow.Ref{Thing: "t"}
	update(t, svc, ref, `{"state":{}}`)
	var got []int64
	for doc, err := range svc.Watch(t.Context(), ref, nil) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, doc.Version)
		if doc.Version == 1 {
			for range 100 {
				update(t, svc, ref, `{"state":{}}`)
			}
		}
		if doc.Version == 101 {
			break
		}
	}
	if len(got) != 65 || got[1] != 38 || svc.Stats().WatchDropped != 36 {
		t.Errorf("got %v, %d dropped", got, svc.Stats().WatchDropped)
	}
}

func TestWatchRefusesNames(t *testing.T) {
	for _, err := range open(t, nil).Watch(t.Context(), shadow.Ref{Thing: "a b"}, nil) {
		if !errors.Is(err, shadow.ErrInvalidName) {
			t.Errorf("got %v", err)
		}
	}
}
