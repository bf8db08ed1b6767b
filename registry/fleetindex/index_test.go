package fleetindex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
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

var words = []string{"alpha", "beta", "lamp", "lamp-7", "10", "1e1", "-3", "2.5", "true", "north pole", "x y z", "ÄÖ", ""}

// randomThing makes a thing whose values often meet.
func randomThing(rng *rand.Rand, name string) (registry.Thing, json.RawMessage) {
	pick := func() string { return words[rng.IntN(len(words))] }
	t := registry.Thing{Name: name, ID: pick(), Type: pick(), Attributes: map[string]string{"a": pick(), "b": pick()}, Version: 1}
	state := map[string]any{"n": rng.IntN(30) - 10, "f": rng.Float64() * 10, "s": pick(), "deep": map[string]any{"l": []any{pick(), rng.IntN(5)}}, "on": rng.IntN(2) == 0}
	doc, err := json.Marshal(map[string]any{"reported": state, "hasDelta": rng.IntN(2) == 0, "version": rng.IntN(9)})
	if err != nil {
		panic(err)
	}
	return t, doc
}

func randomQuery(rng *rand.Rand, depth int) string {
	fields := []string{"thingName", "thingTypeName", "attributes.a", "attributes.b", "shadow.reported.n", "shadow.reported.f", "shadow.reported.s", "shadow.reported.deep.l", "shadow.reported.on", "shadow.hasDelta", "none"}
	field := fields[rng.IntN(len(fields))]
	values := []string{"lamp", "lamp*", "l?mp", "*a", "10", "1e1", "-3", "true", `"north pole"`, `"x y"`, "pole", "t1*", "*"}
	value := values[rng.IntN(len(values))]
	n := rng.IntN(20) - 5
	switch k := rng.IntN(12); {
	case k < 4 || depth == 0:
		return field + ":" + value
	case k == 4:
		return value
	case k == 5:
		return fmt.Sprintf("%s%s%d", field, []string{"<", "<=", ">", ">="}[rng.IntN(4)], n)
	case k == 6:
		return fmt.Sprintf("%s:[%d TO %d}", field, n, n+5)
	case k == 7:
		return field + ":[alpha TO lamp]"
	case k == 8:
		return "NOT (" + randomQuery(rng, depth-1) + ")"
	case k == 9:
		return "(" + randomQuery(rng, depth-1) + " OR " + randomQuery(rng, depth-1) + ")"
	}
	return "(" + randomQuery(rng, depth-1) + " AND " + randomQuery(rng, depth-1) + ")"
}

// The index finds what a full scan with the matcher does, on random fleets with
// changes, in pages of any size.
func TestAgainstFullScan(t *testing.T) {
	ctx := context.Background()
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		ix := open(t)
		docs := map[string]*fleet.Document{}
		type known struct {
			thing  registry.Thing
			shadow json.RawMessage
		}
		all := map[string]known{}
		for step := range 300 {
			name := fmt.Sprintf("t%d", rng.IntN(60))
			if rng.IntN(6) == 0 {
				if err := ix.DeleteThing(ctx, name); err != nil {
					t.Fatal(err)
				}
				k := all[name]
				k.thing = registry.Thing{}
				all[name] = k
				delete(docs, name)
			} else {
				k := all[name]
				thing, doc := randomThing(rng, name)
				if rng.IntN(2) == 0 || k.thing.Name == "" {
					k.thing = thing
					if err := ix.PutThing(ctx, thing); err != nil {
						t.Fatal(err)
					}
				}
				if rng.IntN(2) == 0 {
					k.shadow = doc
					if err := ix.PutShadow(ctx, name, "", doc); err != nil {
						t.Fatal(err)
					}
				}
				all[name] = k
				docs[name] = fleet.NewDocument(fleet.Thing{Name: name, ID: k.thing.ID, Type: k.thing.Type, Attributes: k.thing.Attributes, Shadow: k.shadow})
			}
			if step%10 != 0 {
				continue
			}
			text := randomQuery(rng, 2)
			q, err := fleet.Parse(text)
			if err != nil {
				continue
			}
			want := []string{}
			for name, doc := range docs {
				if q.Match(doc) {
					want = append(want, name)
				}
			}
			slices.Sort(want)
			got, after := []string{}, ""
			limit := 1 + rng.IntN(40)
			for {
				hits, next, err := ix.Search(ctx, text, after, limit)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, names(hits)...)
				if after = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d: %s in pages of %d: got %q, want %q", seed, text, limit, got, want)
			}
			some := []string{}
			for hit, err := range ix.All(ctx, text) {
				if err != nil {
					t.Fatal(err)
				}
				some = append(some, hit.Name)
			}
			if slices.Sort(some); !slices.Equal(some, want) {
				t.Fatalf("seed %d: All of %s: got %q, want %q", seed, text, some, want)
			}
		}
		// Nothing is left of what was deleted.
		for name := range all {
			if err := errors.Join(ix.DeleteThing(ctx, name), ix.PutShadow(ctx, name, "", nil)); err != nil {
				t.Fatal(err)
			}
		}
		for e := range ix.store.Scan(ctx, "", "") {
			if e.Key != keyOpen && e.Key != keyConfig && e.Key != keyFormat {
				t.Fatalf("seed %d: %q is left", seed, e.Key)
			}
		}
	}
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

func TestAggregations(t *testing.T) {
	ix, ctx := open(t), t.Context()
	for i, v := range []float64{1, 2, 3, 4, 10} {
		name := fmt.Sprint("t", i)
		if err := errors.Join(ix.PutThing(ctx, registry.Thing{Name: name, Type: []string{"lamp", "fan"}[i%2], Version: int64(i + 1), Attributes: map[string]string{"v": fmt.Sprint(v)}}),
			ix.PutShadow(ctx, name, "", fmt.Appendf(nil, `{"reported":{"on":%v},"version":%d}`, i%2 == 0, i*10))); err != nil {
			t.Fatal(err)
		}
	}
	s, err := ix.Statistics(ctx, "*", "attributes.v")
	if err != nil || s.Count != 5 || s.Sum != 20 || s.Average != 4 || s.Minimum != 1 || s.Maximum != 10 || s.SumOfSquares != 130 || s.Variance != 10 || math.Abs(s.StdDeviation-math.Sqrt(10)) > 1e-12 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ix.Statistics(ctx, "thingTypeName:lamp", "shadow.reported.on"); err != nil || !s.Boolean || s.Count != 3 || s.Sum != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ix.Statistics(ctx, "*", "thingName"); err != nil || s != (Statistics{Count: 5}) {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ix.Statistics(ctx, "*", ""); err != nil || s.Sum != 15 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ix.Statistics(ctx, "*", "shadow.version"); err != nil || s.Sum != 100 {
		t.Errorf("%+v, %v", s, err)
	}
	if n, err := ix.Cardinality(ctx, "*", "registry.thingTypeName"); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	if p, err := ix.Percentiles(ctx, "*", "attributes.v", []float64{0, 50, 75, 90, 100}); err != nil || fmt.Sprint(p) != "[{0 1} {50 3} {75 4} {90 7.6000000000000005} {100 10}]" {
		t.Errorf("%v, %v", p, err)
	}
	if p, err := ix.Percentiles(ctx, "thingName:none", "attributes.v", nil); err != nil || p != nil {
		t.Errorf("%v, %v", p, err)
	}
	if b, total, err := ix.Buckets(ctx, "*", "thingTypeName", 1); err != nil || total != 5 || fmt.Sprint(b) != "[{lamp 3}]" {
		t.Errorf("%v, %d, %v", b, total, err)
	}
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
		if ix, err = Open(t.Context(), store, opts); err != nil || ix.Status() != Active || ix.Config() != (Config{}) || feeds != 2 {
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
