package fleetindex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/tidwall/gjson"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleet"
	"github.com/thingloom/thingloom/registry/registrypebble"
)

var words = []string{"alpha", "beta", "lamp", "lamp-7", "10", "1e1", "-3", "2.5", "true", "north pole", " lamp  pole", "x y z", "ÄÖ", "10 lamps", "", long, long + "1", long + " 10", "a\x00b", "a\x01b", "no\u00a0break", "-0", "1.0e1", "9007199254740993", "TRUE"}

var long = strings.Repeat("x", maxText)

// A world is a fleet with its index, and the oracle: what is known of each thing.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	ix    *Index
	known map[string]*fleet.Thing // those that the registry does not have have no name
}

func (w *world) pick(from ...string) string { return from[w.rng.IntN(len(from))] }

// shadow is a random shadow.
func (w *world) shadow() json.RawMessage {
	state := map[string]any{"n": w.rng.IntN(30) - 10, "f": w.rng.Float64() * 10, "s": w.pick(words...),
		"deep": map[string]any{"l": []any{w.pick(words...), w.rng.IntN(5)}, "skipped": []any{[]any{1}}}, "on": w.rng.IntN(2) == 0, "null": nil}
	doc, err := json.Marshal(map[string]any{"reported": state, "desired": map[string]any{"n": w.rng.IntN(3)},
		"metadata": map[string]any{"reported": map[string]any{"n": map[string]any{"timestamp": 1_700_000_000 + w.rng.IntN(5)}}},
		"hasDelta": w.rng.IntN(2) == 0, "version": w.rng.IntN(9)})
	if err != nil {
		w.t.Fatal(err)
	}
	return doc
}

// step changes one thing at random.
func (w *world) step() {
	ctx := w.t.Context()
	name := fmt.Sprintf("t%d", w.rng.IntN(60))
	k := w.known[name]
	if k == nil {
		k = &fleet.Thing{}
		w.known[name] = k
	}
	var err error
	switch w.rng.IntN(8) {
	case 0:
		k.Name, k.ID, k.Type, k.Groups, k.Attributes = "", "", "", nil, nil
		err = w.ix.DeleteThing(ctx, name)
	case 1, 2, 3:
		k.Name, k.ID, k.Type, k.Groups = name, w.pick(words...), w.pick(words...), []string{"g1", "g2"}[:w.rng.IntN(3)]
		k.Attributes = map[string]string{"a": w.pick(words...), "b": w.pick(words...)}
		err = w.ix.PutThing(ctx, registry.Thing{Name: name, ID: k.ID, Type: k.Type, Groups: k.Groups, Attributes: k.Attributes, Version: 1})
	case 4:
		k.Connectivity = &fleet.Connectivity{Connected: w.rng.IntN(2) == 0, Timestamp: int64(w.rng.IntN(20)), DisconnectReason: w.pick("", "none", "CLIENT_ERROR")}
		err = w.ix.PutConnectivity(ctx, name, *k.Connectivity)
	case 5:
		k.Defender = w.pickJSON(nil, `{"violationCount":1,"p":{"b":{"inViolation":true}}}`, `{"violationCount":2}`)
		err = w.ix.PutDefender(ctx, name, k.Defender)
	default:
		all := map[string]json.RawMessage{}
		if k.Shadow != nil {
			if err := json.Unmarshal(k.Shadow, &all); err != nil {
				w.t.Fatal(err)
			}
		}
		named := map[string]json.RawMessage{}
		if all["name"] != nil {
			if err := json.Unmarshal(all["name"], &named); err != nil {
				w.t.Fatal(err)
			}
		}
		doc, which := w.shadow(), w.pick("", "", "cfg", "net")
		if w.rng.IntN(5) == 0 {
			doc = nil
		}
		if which != "" {
			if named[which] = doc; doc == nil {
				delete(named, which)
			}
		} else {
			all = map[string]json.RawMessage{}
			if doc != nil {
				if err := json.Unmarshal(doc, &all); err != nil {
					w.t.Fatal(err)
				}
			}
		}
		if delete(all, "name"); len(named) > 0 {
			all["name"], err = json.Marshal(named)
		}
		if k.Shadow = nil; len(all) > 0 {
			var e error
			k.Shadow, e = json.Marshal(all)
			err = errors.Join(err, e)
		}
		err = errors.Join(err, w.ix.PutShadow(ctx, name, which, doc))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// feed tells of all that is known.
func (w *world) feed(ctx context.Context, ix *Index) error {
	for name, k := range w.known {
		err := ix.Change(ctx, name, func(kn *Known) error {
			*kn = Known{Defender: k.Defender, Connectivity: k.Connectivity}
			if k.Name != "" {
				kn.Thing = &registry.Thing{Name: name, ID: k.ID, Type: k.Type, Groups: k.Groups, Attributes: k.Attributes, Version: 1}
			}
			if k.Shadow == nil {
				return nil
			}
			all := map[string]json.RawMessage{}
			if err := json.Unmarshal(k.Shadow, &all); err != nil {
				return err
			}
			if err := json.Unmarshal(all["name"], &kn.Shadows); err != nil && all["name"] != nil {
				return err
			}
			if delete(all, "name"); len(all) == 0 {
				return nil
			}
			if kn.Shadows == nil {
				kn.Shadows = map[string]json.RawMessage{}
			}
			var err error
			kn.Shadows[""], err = json.Marshal(all)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) pickJSON(from ...any) json.RawMessage {
	if text, ok := from[w.rng.IntN(len(from))].(string); ok {
		return json.RawMessage(text)
	}
	return nil
}

// query is a random one, of any form that the language has.
func (w *world) query(depth int) string {
	field := w.pick("thingName", "thingTypeName", "thingGroupNames", "attributes.a", "attributes.b", "shadow.reported.n", "shadow.reported.f", "shadow.reported.s",
		"shadow.reported.deep.l", "shadow.reported.on", "shadow.desired.n", "shadow.hasDelta", "shadow.metadata.reported.n.timestamp",
		"shadow.name.cfg.reported.n", "shadow.name.cfg.reported.s", "shadow.name.net.hasDelta", "connectivity.connected", "connectivity.timestamp",
		"connectivity.disconnectReason", "deviceDefender.violationCount", "deviceDefender.p.b.inViolation", "none")
	value := w.pick("lamp", "lamp*", "l?mp", "*a", "10", "1*", "1e1", "-3", "true", "TRUE", `"north pole"`, `"x y"`, `"10"`, `"lamp pole"`, "pole", "pol*", "t1*", "*", "g1", "none", "1700000002",
		long, long+"1", long+"*", "a\x00b", "a\x01b", "a\x00*", "1.0e1", "0", "-0", "9007199254740993", `north\\ pole`, `"10 lamps"`, "no\u00a0break", "break", "1?", "*p*")
	n := w.rng.IntN(20) - 5
	switch k := w.rng.IntN(13); {
	case k < 4 || depth == 0:
		return field + ":" + value
	case k == 4:
		return value
	case k == 5:
		return fmt.Sprintf("%s%s%d", field, w.pick("<", "<=", ">", ">="), n)
	case k == 6:
		return fmt.Sprintf("%s:%s%d TO %d%s", field, w.pick("[", "{"), n, n+5, w.pick("]", "}"))
	case k == 7:
		return field + ":" + w.pick("[alpha TO lamp]", "{alpha TO lamp}", "[* TO lamp]", "[lamp TO *]", "[* TO *]", "[* TO 3}", "[3 TO *]",
			"{10 TO 10.5}", "[-0 TO 0]", "{-3 TO 2.5}", "{"+long+" TO *]", "["+long+" TO "+long+"}", "{alpha TO alpha]", "[a\x01b TO lamp}", `["10" TO "10 lamps"}`, `{"" TO x}`, `{"10" TO *}`)
	case k == 8:
		return "NOT (" + w.query(depth-1) + ")"
	case k < 11:
		return "(" + w.query(depth-1) + " OR " + w.query(depth-1) + ")"
	}
	return "(" + w.query(depth-1) + " AND " + w.query(depth-1) + ")"
}

// scan is the oracle's answer.
func (w *world) scan(q *fleet.Query) []string {
	names := []string{}
	for name, k := range w.known {
		if k.Name != "" && q.Match(fleet.NewDocument(*k)) { // of all fields
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// pages is the answer of Search, by pages.
func (w *world) pages(text string, limit int) []string {
	got, after := []string{}, ""
	for {
		hits, next, err := w.ix.Search(w.t.Context(), text, after, limit)
		if err != nil || len(hits) > limit || next != "" && len(hits) != limit {
			w.t.Fatalf("%s after %q: %d hits of %d, next %q, %v", text, after, len(hits), limit, next, err)
		}
		got = append(got, names(hits)...)
		if after = next; next == "" {
			return got
		}
	}
}

// The index finds what a full scan with the matcher does, on random fleets with
// changes, in pages of any size, in memory and on disk, whatever it collects at once.
func TestAgainstFullScan(t *testing.T) {
	ctx := context.Background()
	asked, found, exact := 0, 0, 0
	for seed := range uint64(12) {
		w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), known: map[string]*fleet.Thing{}}
		if w.ix = open(t); seed%4 == 3 {
			w.ix = onDisk(t)
		}
		if seed%2 == 1 { // so few that all ways of looking up are gone
			w.ix.bounds = bounds{read: w.rng.IntN(30), few: 1 + w.rng.IntN(4), many: 1 + w.rng.IntN(30), some: 1 + w.rng.IntN(10), dense: w.rng.IntN(20)}
		}
		c := Everything
		c.CustomFields = []Field{{"attributes.a", String}, {"attributes.b", Number}, {"shadow.reported.on", Boolean}, {"shadow.reported.deep.l", Number}, {"shadow.name.cfg.reported.s", String}}
		if err := w.ix.SetConfig(ctx, c); err != nil {
			t.Fatal(err)
		}
		w.ix.opts.Feed = w.feed
		for step := range 300 {
			if w.step(); step%5 != 0 {
				continue
			}
			if w.rng.IntN(20) == 0 {
				if err := w.ix.Rebuild(ctx); err != nil {
					t.Fatal(err)
				}
			}
			text := w.query(2)
			q, err := fleet.Parse(text)
			if err != nil {
				continue
			}
			want := w.scan(q)
			asked, found = asked+1, found+min(len(want), 1)
			limit := 1 + w.rng.IntN(40)
			if got := w.pages(text, limit); !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d: %s in pages of %d, %+v: got %q, want %q", seed, step, text, limit, w.ix.bounds, got, want)
			}
			l := lookup{w.ix.spaces.Load().read, w.ix.bounds}
			if c, _, err := l.cursor(ctx, q.Plan(), next(""), unlimited); err != nil {
				t.Fatal(err)
			} else if c.exact {
				exact++
				if got := walked(t, c); !slices.Equal(got, want) {
					t.Fatalf("seed %d, step %d: the index decides alone on %q, %+v: got %q, want %q", seed, step, text, w.ix.bounds, got, want)
				}
			}
			w.aggregate(text, want)
			all := []string{}
			for hit, err := range w.ix.All(ctx, text) {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, hit.Name)
			}
			if !slices.Equal(all, want) {
				t.Fatalf("seed %d, step %d: All of %s: got %q, want %q", seed, step, text, all, want)
			}
		}
		w.nothingIsLeft(seed)
	}
	if asked < 400 || found < asked/4 || exact < asked/2 {
		t.Errorf("of %d queries %d found something, %d were decided by the index alone: the test has become blunt", asked, found, exact)
	}
}

// walked are the names of a cursor.
func walked(t *testing.T, c cursor) []string {
	t.Helper()
	got := []string{}
	for name, err := c.seek(t.Context(), next("")); ; name, err = c.seek(t.Context(), next(name)) {
		if err != nil {
			t.Fatal(err)
		}
		if name == "" {
			return got
		}
		got = append(got, name)
	}
}

// aggregate holds an aggregation of a random field over what a query matches against one of the documents.
func (w *world) aggregate(query string, matched []string) {
	w.t.Helper()
	fields := append(w.ix.Config().CustomFields, Field{"thingName", String}, Field{"thingGroupNames", String}, Field{"registry.version", Number},
		Field{"shadow.version", Number}, Field{"shadow.name.cfg.version", Number}, Field{"connectivity.connected", Boolean}, Field{"connectivity.disconnectReason", String})
	f := fields[w.rng.IntN(len(fields))]
	want := map[string]int{}
	for _, name := range matched {
		k := w.known[name]
		seen := map[string]bool{}
		var values []fleet.Value
		if name, ok := strings.CutSuffix(f.Name, ".version"); ok {
			v := gjson.GetBytes(k.Shadow, strings.TrimPrefix(strings.TrimPrefix(f.Name, "shadow."), "registry."))
			if name == "registry" {
				values = []fleet.Value{fleet.NumberValue(1)}
			} else if v.Exists() {
				values = []fleet.Value{fleet.NumberValue(v.Num)}
			}
		} else {
			values = fleet.NewDocument(*k).Values(f.Name)
		}
		for _, v := range values {
			text := v.Text
			switch {
			case f.Type == Number && v.Numeric:
				text = fleet.Canonical(v.Number)
			case f.Type == String && v.String, f.Type == Boolean && v.Boolean:
			default:
				continue
			}
			if !seen[text] {
				seen[text] = true
				want[text]++
			}
		}
	}
	buckets, total, err := w.ix.Buckets(w.t.Context(), query, f.Name, 10_000)
	got := map[string]int{}
	for _, b := range buckets {
		got[b.Value] += b.Count
	}
	if err != nil || total != len(matched) || !maps.Equal(got, want) || len(got) != len(buckets) {
		w.t.Fatalf("%q of %+v by %+v: got %v of %d, %v, want %v of %d", f, query, w.ix.bounds, buckets, total, err, want, len(matched))
	}
}

// nothingIsLeft takes all away and looks for what stays.
func (w *world) nothingIsLeft(seed uint64) {
	for name := range w.known {
		if err := w.ix.Change(w.t.Context(), name, func(k *Known) error { *k = Known{}; return nil }); err != nil {
			w.t.Fatal(err)
		}
	}
	for e := range w.ix.store.Scan(w.t.Context(), "", "") {
		if e.Key != keyOpen && e.Key != keyConfig && e.Key != keyFormat && e.Key != keySpace {
			w.t.Fatalf("seed %d: %q is left", seed, e.Key)
		}
	}
}

func onDisk(t *testing.T) *Index {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	store, err := registrypebble.Open(t.Context(), db, "index/", &registrypebble.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	ix, err := Open(t.Context(), store, &Options{Config: Everything})
	if err != nil {
		t.Fatal(err)
	}
	return ix
}
