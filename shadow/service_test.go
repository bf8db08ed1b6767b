package shadow_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/shadow"
)

func open(t *testing.T, opts *shadow.Options) *shadow.Service {
	t.Helper()
	svc, err := shadow.New(shadow.NewMemStore(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

// Writers race on few shadows, and delete and make again: observers see every
// version of each shadow once and in order, before its writer goes on.
func TestObserversSeeCommitOrder(t *testing.T) {
	svc := open(t, &shadow.Options{MaxInFlight: -1})
	var mu sync.Mutex
	seen := map[shadow.Ref]int64{}
	svc.Observe(func(_ context.Context, c shadow.Change) {
		mu.Lock()
		defer mu.Unlock()
		if last := seen[c.Ref]; c.After.Version != last+1 {
			t.Errorf("%s: version %d told after %d", c.Ref, c.After.Version, last)
		}
		seen[c.Ref] = c.After.Version
	})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := range 200 {
				ref := shadow.Ref{Thing: fmt.Sprint("t", n%2)}
				var c shadow.Change
				var err error
				if n%50 == 49 {
					c, err = svc.Delete(t.Context(), ref)
				} else {
					c, err = svc.Update(t.Context(), ref, fmt.Appendf(nil, `{"state":{"reported":{"w%d":%d}}}`, w, n))
				}
				if err != nil && !errors.Is(err, shadow.ErrNotFound) {
					t.Error(err)
					return
				}
				mu.Lock()
				if err == nil && seen[ref] < c.After.Version {
					t.Errorf("%s: Update of version %d returned before it was told", ref, c.After.Version)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// Observers of two shadows that write to each other's must not wait in a circle.
func TestObserversMayWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := open(t, &shadow.Options{MaxInFlight: -1})
		other := map[string]string{"a": "b", "b": "a"}
		var told sync.Map
		svc.Observe(func(ctx context.Context, c shadow.Change) {
			told.Store(fmt.Sprintf("%s%d", c.Ref, c.After.Version), true)
			time.Sleep(time.Second) // virtual: lets both observers be under way
			if c.ClientToken != "" {
				if _, err := svc.Update(ctx, shadow.Ref{Thing: other[c.Ref.Thing]}, []byte(`{"state":{}}`)); err != nil {
					t.Error(err)
				}
			}
		})
		var wg sync.WaitGroup
		for thing := range other {
			wg.Go(func() {
				if _, err := svc.Update(t.Context(), shadow.Ref{Thing: thing}, []byte(`{"state":{},"clientToken":"k"}`)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		for _, key := range []string{"a1", "a2", "b1", "b2"} {
			if _, ok := told.Load(key); !ok {
				t.Errorf("%s was never told", key)
			}
		}
	})
}

func TestInFlightLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := open(t, &shadow.Options{MaxInFlight: 1})
		release := make(chan struct{})
		svc.Observe(func(context.Context, shadow.Change) { <-release })
		var wg sync.WaitGroup
		wg.Go(func() { svc.Update(t.Context(), shadow.Ref{Thing: "t"}, []byte(`{"state":{}}`)) })
		synctest.Wait()
		_, err := svc.Update(t.Context(), shadow.Ref{Thing: "t", Name: "n"}, []byte(`{"state":{},"clientToken":"k"}`))
		if re := (*shadow.RequestError)(nil); !errors.Is(err, shadow.ErrTooManyRequests) || !errors.As(err, &re) || re.ClientToken != "k" {
			t.Errorf("second request at once: %v", err)
		}
		close(release)
		wg.Wait()
		if _, err := svc.Get(t.Context(), shadow.Ref{Thing: "t"}); err != nil {
			t.Errorf("after the first: %v", err)
		}
	})
}

// A shadow takes so many requests a second, whatever they are; others are not held up.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := open(t, &shadow.Options{MaxRate: 20})
		ref := shadow.Ref{Thing: "t"}
		burst := func() (n int) {
			for range 50 {
				var err error
				switch n % 3 {
				case 0:
					_, err = svc.Update(t.Context(), ref, []byte(`{"state":{},"clientToken":"k"}`))
				case 1:
					_, err = svc.Get(t.Context(), ref)
				default:
					_, err = svc.DeleteToken(t.Context(), ref, "k")
				}
				re := (*shadow.RequestError)(nil)
				switch {
				case err == nil:
					n++
				case !errors.Is(err, shadow.ErrTooManyRequests) || !errors.As(err, &re) || n%3 != 1 && re.ClientToken != "k":
					t.Errorf("request %d: %v", n, err)
				}
			}
			return n
		}
		if n := burst(); n != 20 {
			t.Errorf("%d at once", n)
		}
		time.Sleep(500 * time.Millisecond)
		if n := burst(); n != 10 {
			t.Errorf("%d half a second later", n)
		}
		time.Sleep(time.Hour)
		if n := burst(); n != 20 {
			t.Errorf("%d an hour later", n)
		}
		for i := range 10_000 { // more than are remembered
			if _, err := svc.Update(t.Context(), shadow.Ref{Thing: fmt.Sprint("o", i)}, []byte(`{"state":{}}`)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := burst(); n != 20 {
			t.Errorf("%d after others", n)
		}
	})
	if _, err := shadow.New(shadow.NewMemStore(), &shadow.Options{MaxRate: -1}); err == nil {
		t.Error("a negative rate is taken")
	}
}

func TestPanicOfAnObserver(t *testing.T) {
	svc := open(t, nil)
	svc.Observe(func(context.Context, shadow.Change) { panic("oh") })
	if _, err := svc.Update(t.Context(), shadow.Ref{Thing: "t"}, []byte(`{"state":{}}`)); err != nil || svc.Stats().Panics != 1 {
		t.Errorf("%v, %+v", err, svc.Stats())
	}
}

func TestReservedNames(t *testing.T) {
	svc := open(t, nil)
	for ref, want := range map[shadow.Ref]error{
		{Thing: "t", Name: "$package"}: shadow.ErrInvalidName, {Thing: ""}: shadow.ErrInvalidName,
		{Thing: "a b"}: shadow.ErrInvalidName, {Thing: "t", Name: "a/b"}: shadow.ErrInvalidName, {Thing: "t", Name: "a:b-c_1"}: nil,
	} {
		if _, err := svc.Update(t.Context(), ref, []byte(`{"state":{}}`)); !errors.Is(err, want) {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

func TestHistory(t *testing.T) {
	who := ""
	svc := open(t, &shadow.Options{Principal: func(context.Context) string { return who }})
	ref := shadow.Ref{Thing: "t"}
	for i := range 30 {
		who = fmt.Sprint("user", i+1)
		if _, err := svc.Update(t.Context(), ref, fmt.Appendf(nil, `{"state":{"reported":{"n":%d}}}`, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := svc.At(t.Context(), ref, 25)
	if err != nil || string(doc.Reported) != `{"n":25}` || doc.By != "user25" {
		t.Errorf("version 25: %+v, %v", doc, err)
	}
	if _, err := svc.At(t.Context(), ref, 5); !errors.Is(err, shadow.ErrNoHistory) {
		t.Errorf("version 5: %v", err)
	}
	// An endpoint that knows who asks has the last word, in deletions too.
	who = "nobody"
	other := shadow.Ref{Thing: "u"}
	for ctx, want := range map[context.Context]string{shadow.WithPrincipal(t.Context(), "anna"): "anna", shadow.WithPrincipal(t.Context(), ""): "nobody"} {
		c, err := svc.Update(ctx, other, []byte(`{"state":{}}`))
		if err != nil || c.After.By != want {
			t.Errorf("by %q, %v, want %q", c.After.By, err, want)
		}
		if c, err = svc.Delete(ctx, other); err != nil || c.After.By != want {
			t.Errorf("deleted by %q, %v, want %q", c.After.By, err, want)
		}
	}
	n := 0
	for doc, err := range svc.History(t.Context(), ref) {
		if err != nil || doc.Version != int64(30-n) {
			t.Fatalf("entry %d: %+v, %v", n, doc, err)
		}
		n++
	}
	if n != 11 {
		t.Errorf("%d versions, want the present one and ten", n)
	}
}
