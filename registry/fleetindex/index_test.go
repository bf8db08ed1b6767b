package fleetindex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/thingloom/thingloom/internal/vectors"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleet"
)

func open(t testing.TB) *Index {
	t.Helper()
	ix, err := Open(context.Background(), registry.NewMemStore(), &Options{Config: Everything})
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

func names(hits []Hit) []string {
	all := []string{}
	for _, h := range hits {
		all = append(all, h.Name)
	}
	return all
}

// Every vector of the query language, by way of the index.
func TestIndexVectors(t *testing.T) {
	vectors.Run(t, "index", nil, func(raw vectors.Vector) error {
		var v struct {
			Things []struct {
				ThingName, ThingID, ThingTypeName string
				ThingGroupNames                   []string
				Attributes                        map[string]string
				Shadow, DeviceDefender            json.RawMessage
				Connectivity                      *struct {
					Connected        bool
					Timestamp        int64
					DisconnectReason string
				}
			}
			Query string
			Want  json.RawMessage
		}
		if err := json.Unmarshal(raw.Raw, &v); err != nil {
			return err
		}
		ix, ctx := open(t), t.Context()
		for _, one := range v.Things {
			err := ix.PutThing(ctx, registry.Thing{Name: one.ThingName, ID: one.ThingID, Type: one.ThingTypeName, Groups: one.ThingGroupNames, Attributes: one.Attributes})
			if one.Shadow != nil {
				err = errors.Join(err, ix.PutShadow(ctx, one.ThingName, "", one.Shadow))
			}
			if one.DeviceDefender != nil {
				err = errors.Join(err, ix.PutDefender(ctx, one.ThingName, one.DeviceDefender))
			}
			if c := one.Connectivity; c != nil {
				err = errors.Join(err, ix.PutConnectivity(ctx, one.ThingName, fleet.Connectivity{Connected: c.Connected, Timestamp: c.Timestamp, DisconnectReason: c.DisconnectReason}))
			}
			if err != nil {
				return err
			}
		}
		var want []string
		if json.Unmarshal(v.Want, &want) != nil { // an error is wanted
			_, _, err := ix.Search(ctx, v.Query, "", 1000)
			if se := (*fleet.SyntaxError)(nil); !errors.As(err, &se) {
				return fmt.Errorf("got %v, want a syntax error", err)
			}
			return nil
		}
		hits, _, err := ix.Search(ctx, v.Query, "", 1000)
		slices.Sort(want)
		if err != nil || !slices.Equal(names(hits), want) {
			return fmt.Errorf("got %q, %v, want %q", names(hits), err, want)
		}
		return nil
	})
}

// What was put is found by the next search, whatever others put meanwhile.
func TestReadYourWrites(t *testing.T) {
	ix := open(t)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			name := fmt.Sprintf("t%d", w%2) // two writers a thing: of its registry and its shadow part
			for i := range 100 {
				field, err := "attributes.a", error(nil)
				if w < 2 {
					err = ix.PutThing(t.Context(), registry.Thing{Name: name, Attributes: map[string]string{"a": fmt.Sprint(i)}})
				} else {
					field = "shadow.reported.v"
					err = ix.PutShadow(t.Context(), name, "", fmt.Appendf(nil, `{"reported":{"v":%d}}`, i))
				}
				if err != nil {
					t.Error(err)
				}
				hits, _, err := ix.Search(t.Context(), fmt.Sprintf("thingName:%s AND %s:%d", name, field, i), "", 10)
				if err != nil || w < 2 && len(hits) != 1 {
					t.Errorf("%s %d: %q, %v", field, i, names(hits), err)
				}
			}
		})
	}
	wg.Wait()
}

// An index that was not closed is built anew, and so is one that is to hold
// something else.
func TestRebuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		store := registry.NewMemStore()
		feeds := 0
		opts := &Options{Config: Everything, Feed: func(ctx context.Context, ix *Index) error {
			feeds++
			return errors.Join(ix.PutThing(ctx, registry.Thing{Name: "new"}), ix.PutShadow(ctx, "new", "", []byte(`{"reported":{"a":1}}`)))
		}}
		ix, err := Open(ctx, store, opts)
		if err != nil || ix.Status() != Active {
			t.Fatal(ix, err)
		}
		for i := range 1500 {
			if err := ix.PutThing(ctx, registry.Thing{Name: fmt.Sprintf("old%d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		if ix, err = Open(ctx, store, opts); err != nil || ix.Status() != Rebuilding {
			t.Fatalf("%v, %v", ix.Status(), err)
		}
		if hits, _, err := ix.Search(ctx, "*", "", 2000); err != nil || len(hits) != 1500 {
			t.Errorf("%d, %v", len(hits), err)
		}
		done := make(chan error)
		go func() { done <- ix.Run(ctx) }()
		synctest.Wait()
		expect := func(query string, want ...string) {
			t.Helper()
			hits, _, err := ix.Search(ctx, query, "", 10)
			if err != nil || ix.Status() != Active || fmt.Sprint(names(hits)) != fmt.Sprint(want) {
				t.Errorf("%s: %q, %v", query, names(hits), err)
			}
		}
		expect("shadow.reported.a:1", "new")
		if err := ix.SetConfig(ctx, Config{Things: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expect("*", "new")
		expect("shadow.reported.a:1")
		if err := ix.SetConfig(ctx, Config{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, _, err := ix.Search(ctx, "*", "", 1); !errors.Is(err, ErrOff) {
			t.Error(err)
		}
		if err := ix.SetConfig(ctx, Config{Shadows: true}); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		stop()
		if err := errors.Join(<-done, ix.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if ix, err = Open(t.Context(), store, opts); err != nil || ix.Status() != Active || ix.Config().indexes(Config{}) || feeds != 2 {
			t.Errorf("%v, %v, %+v, fed %d times", ix.Status(), err, ix.Config(), feeds)
		}
	})
	ix := open(t)
	for _, err := range []error{ix.PutShadow(t.Context(), "x", "", []byte("{")), ix.PutDefender(t.Context(), "x", []byte("{")), ix.PutThing(t.Context(), registry.Thing{})} {
		if !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	}
}
