package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fired collects what actions are given.
type fired struct {
	mu  sync.Mutex
	all map[string]string // rule to output; nil while nobody listens
}

func (f *fired) Invoke(_ context.Context, x Firing) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all != nil {
		if _, twice := f.all[x.Rule]; twice {
			panic("rule " + x.Rule + " fired twice for one message")
		}
		f.all[x.Rule] = string(x.Output)
	}
	return nil
}

// offer is what fires for a payload on topic a/b.
func (f *fired) offer(t testing.TB, e *Engine, payload string) map[string]string {
	t.Helper()
	f.all = map[string]string{}
	if err := e.Handle(context.Background(), &Message{Topic: "a/b", TraceID: "t", Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
	return f.all
}

// The pieces of random conditions and payloads: every kind of value, numbers
// in several spellings of one, numbers as strings, near misses.
var (
	diffPaths    = []string{"a", "b", "c", "n.x", "n", "n.y.z"}
	diffLiterals = []string{"1", "2", "3", "1.0", "1.5", "-1", "1e1", "10", "0.1", "12345678901234567890123456789012345", "9007199254740993",
		"'1'", "'2'", "'1.0'", "'x'", "''", "'true'", "true", "false", "null", "'é'"}
	diffOps    = []string{"=", "=", "=", "<>", "<", "<=", ">", ">=", "IN", "NOT IN"}
	diffValues = []string{`1`, `2`, `3`, `1.0`, `1.50`, `-1`, `10`, `1e1`, `0.1`, `12345678901234567890123456789012345`, `9007199254740992`,
		`9007199254740993`, `1e2000`, `"1"`, `"2"`, `"1.0"`, `" 1"`, `"x"`, `"\u0078"`, `""`, `"true"`, `true`, `false`, `null`, `"é"`,
		`[]`, `[1]`, `{}`, `{"x":1}`, `{"x":"2","y":{"z":1}}`, `{"x":3,"x":2}`}
	diffTails = []string{"", "", "", " AND upper(b) = 'X'", " AND (a = 1 OR b = 2)", " AND NOT a = 1", " AND isUndefined(c)", " AND exists(select * from b)"}
	diffItems = []string{"a, b", "*", "n.x AS x, topic(2) AS t", "a + 1 AS s", "VALUE a", "timestamp() AS ts, c", "n.y.z, {'k': b}"}
)

func pick(rng *rand.Rand, from []string) string { return from[rng.IntN(len(from))] }

func randomCondition(rng *rand.Rand) string {
	path, op := pick(rng, diffPaths), pick(rng, diffOps)
	if strings.HasSuffix(op, "IN") {
		list := make([]string, rng.IntN(5))
		for i := range list {
			list[i] = pick(rng, diffLiterals)
		}
		return fmt.Sprintf("%s %s [%s]", path, op, strings.Join(list, ", "))
	}
	if rng.IntN(5) == 0 {
		return fmt.Sprintf("%s %s %s", pick(rng, diffLiterals), op, path)
	}
	return fmt.Sprintf("%s %s %s", path, op, pick(rng, diffLiterals))
}

func randomStatement(rng *rand.Rand) string {
	text := "SELECT " + pick(rng, diffItems) + " FROM 'a/+'"
	if rng.IntN(12) == 0 {
		text = "SET @v = " + pick(rng, diffPaths) + " " + text
	}
	if n := rng.IntN(5); n > 0 {
		all := make([]string, n)
		for i := range all {
			all[i] = randomCondition(rng)
		}
		text += " WHERE " + strings.Join(all, " AND ") + pick(rng, diffTails)
	}
	return text
}

func randomPayload(rng *rand.Rand) string {
	var members []string
	for range 1 + rng.IntN(5) {
		members = append(members, fmt.Sprintf(`"%s":%s`, pick(rng, []string{"a", "b", "c", "n", `\u0061`, "other"}), pick(rng, diffValues)))
	}
	switch text := "{" + strings.Join(members, ", ") + "}"; rng.IntN(20) {
	case 0:
		return text[:len(text)-1] // not JSON
	case 1:
		return "[" + text + "]"
	case 2:
		return ""
	default:
		return " " + text
	}
}

// naive asks each statement by itself.
func naive(t testing.TB, queries map[string]*Query, payload string) map[string]string {
	t.Helper()
	want := map[string]string{}
	for name, q := range queries {
		out, matched, err := q.Eval(context.Background(), &Message{Topic: "a/b", TraceID: "t", Payload: []byte(payload)})
		if err == nil && matched {
			want[name] = string(out)
		}
	}
	return want
}

var stamp = strings.NewReplacer("0", "9", "1", "9", "2", "9", "3", "9", "4", "9", "5", "9", "6", "9", "7", "9", "8", "9")

func compareFired(t *testing.T, queries map[string]*Query, statements map[string]string, payload string, got, want map[string]string) {
	t.Helper()
	for name := range queries {
		g, fired := got[name]
		w, wanted := want[name]
		if strings.Contains(statements[name], "timestamp") { // two moments
			g, w = stamp.Replace(g), stamp.Replace(w)
		}
		if fired != wanted || g != w {
			t.Fatalf("payload %s\nrule %s: %s\nthe engine: fired %t %q\nby itself:  fired %t %q", payload, name, statements[name], fired, g, wanted, w)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d rules fired, want %d", len(got), len(want))
	}
}

// checkIndex runs a random course of edits and messages and compares the
// engine's index with evaluating every statement by itself. In the end ledgers
// have counted every message, by index or not.
func checkIndex(t *testing.T, rng *rand.Rand, rules, edits, messages int) {
	sink := new(fired)
	e := open(t, NewMemStore(), binder{"sink": sink}, nil)
	queries, statements := map[string]*Query{}, map[string]string{}
	met, shown := map[string]uint64{}, map[string]uint64{}
	set := func(name string) {
		text := randomStatement(rng)
		q, err := Compile(text, nil)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		put(t, e, name, text, "sink")
		queries[name], statements[name] = q, text
	}
	for i := range rules {
		set(fmt.Sprint("r", i))
	}
	for range edits {
		for range messages {
			payload := randomPayload(rng)
			want := naive(t, queries, payload)
			compareFired(t, queries, statements, payload, sink.offer(t, e, payload), want)
			for name := range queries {
				met[name]++
			}
			for name := range want {
				shown[name]++
			}
		}
		name := fmt.Sprint("r", rng.IntN(rules))
		if _, there := queries[name]; there && rng.IntN(3) == 0 {
			if err := e.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			delete(queries, name)
			delete(met, name)
			delete(shown, name)
		} else {
			set(name)
		}
	}
	for info := range e.Rules() {
		l := info.Ledger
		if l.Matched != met[info.Name] || l.Delivered != shown[info.Name] || l.Matched != l.Filtered+l.Delivered+l.Pending+l.DeadLettered+l.Failed || l.Pending != 0 {
			t.Errorf("ledger of %s is %+v, want matched %d, delivered %d", info.Name, l, met[info.Name], shown[info.Name])
		}
	}
	for name := range queries {
		if err := e.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if ix := e.index.Load(); ix.tree != nil || ix.rules.Len() != 0 || len(e.shapes.by) != 0 {
		t.Errorf("an engine without rules has tree %v, %d rules, %d shapes", ix.tree, ix.rules.Len(), len(e.shapes.by))
	}
}

func TestIndexAgainstNaive(t *testing.T) {
	for seed := range uint64(6) {
		checkIndex(t, rand.New(rand.NewPCG(seed, 7)), 20<<seed, 60, 6)
	}
}

// FuzzIndexAgainstNaive draws the course from a seed, and the payload of one
// message from the fuzzer.
func FuzzIndexAgainstNaive(f *testing.F) {
	for i, v := range diffValues {
		f.Add(uint64(i), `{"a":`+v+`,"b":1,"n":{"x":`+v+`}}`)
	}
	f.Add(uint64(99), `{"a":1,"a":2}`)
	f.Add(uint64(100), `{"n":{"x":1},"n":{"y":{"z":1}}}`)
	f.Fuzz(func(t *testing.T, seed uint64, payload string) {
		rng := rand.New(rand.NewPCG(seed, 11))
		sink := new(fired)
		e := open(t, NewMemStore(), binder{"sink": sink}, nil)
		queries, statements := map[string]*Query{}, map[string]string{}
		for i := range 40 {
			name, text := fmt.Sprint("r", i), randomStatement(rng)
			queries[name], statements[name] = mustCompile(t, text), text
			put(t, e, name, text, "sink")
		}
		compareFired(t, queries, statements, payload, sink.offer(t, e, payload), naive(t, queries, payload))
	})
}

// TestIndexEdges are the cases that an index gets wrong first.
func TestIndexEdges(t *testing.T) {
	sink := new(fired)
	e := open(t, NewMemStore(), binder{"sink": sink}, nil)
	where := map[string]string{
		"eq1": "a = 1", "eq1text": "a = '1'", "ne1": "a <> 1", "nul": "a = null", "nenull": "a <> null",
		"gt1": "a > 1", "ge1": "a >= 1", "lt1": "a < 1", "le1": "a <= 1", "band": "a > 1 AND a <= 2", "never": "a > 2 AND a < 1",
		"in": "a IN [1, '1', null]", "notin": "a NOT IN [1, '1', null]", "inempty": "a IN []", "flip": "1 < a",
		"deep": "a.b = 1", "both": "a = 1 AND b = 2", "text": "a > 'x'", "numtext": "a > '1'", "array": "a = [1]",
		"big": "a = 9007199254740993", "dec": "a = 0.1",
	}
	for name, w := range where {
		put(t, e, name, "SELECT * FROM 'a/b' WHERE "+w, "sink")
	}
	for _, c := range []struct{ payload, want string }{
		{`{"a":1}`, "eq1 ge1 in le1 nenull"},
		{`{"a":1.0}`, "eq1 ge1 in le1 nenull"},
		{`{"a":10e-1,"b":2}`, "both eq1 ge1 in le1 nenull"},
		{`{"a":"1"}`, "eq1text ge1 in le1 ne1 nenull"},
		{`{"a":2}`, "band flip ge1 gt1 ne1 nenull notin numtext"},
		{`{"a":"2"}`, "band flip ge1 gt1 ne1 nenull notin numtext"},
		{`{"a":"x"}`, "ne1 nenull notin"},
		{`{"a":null}`, "in ne1 nul"},
		{`{"a":[1]}`, "array ne1 nenull notin"},
		{`{"a":{"b":1}}`, "deep ne1 nenull notin"},
		{`{"a":{"b":1},"a":1}`, "eq1 ge1 in le1 nenull"},
		{`{"a":true}`, "ne1 nenull notin"},
		{`{"a":9007199254740993}`, "big flip ge1 gt1 ne1 nenull notin numtext"},
		{`{"a":9007199254740992}`, "flip ge1 gt1 ne1 nenull notin numtext"},
		{`{"a":0.1}`, "dec le1 lt1 ne1 nenull notin"},
		{`{"a":1e9999}`, "ne1 nenull notin"},
		{`{"b":2}`, ""},
		{`[{"a":1}]`, ""},
		{`{"a":1`, ""},
		{``, ""},
	} {
		got := sink.offer(t, e, c.payload)
		var names []string
		for name := range got {
			names = append(names, name)
		}
		slices.Sort(names)
		if text := strings.Join(names, " "); text != c.want {
			t.Errorf("%s fires %q, want %q", c.payload, text, c.want)
		}
	}
	if !json.Valid([]byte(sink.offer(t, e, `{"a":1}`)["eq1"])) {
		t.Error("the output is not the payload")
	}
}
