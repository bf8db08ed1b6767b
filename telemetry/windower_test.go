package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func mustCompile(t testing.TB, text string) *Query {
	t.Helper()
	q, err := Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func rec(key string, at float64, value string) Record {
	return Record{Key: key, Time: t0.Add(time.Duration(at * float64(time.Second))), Value: []byte(value)}
}

// drain closes everything.
func drain(w *Windower) []Record {
	return slices.Collect(w.Advance(t0.Add(1000 * time.Hour)))
}

func show(recs []Record) string {
	var b strings.Builder
	for _, r := range recs {
		v := strings.NewReplacer(fmt.Sprint(t0.UnixMilli()/1e6), "T").Replace(string(r.Value))
		fmt.Fprintf(&b, "%s@%s %s\n", r.Key, r.Time.Sub(t0), v)
	}
	return b.String()
}

func TestWindows(t *testing.T) {
	const base = `SELECT key, count(*) AS n, sum(t) AS sum FROM stream GROUP BY key, `
	for _, c := range []struct {
		name, sql string
		recs      []Record
		want      []string // key@start value, without the braces
	}{
		{"a tumbling window takes start and leaves end", base + `TUMBLE(INTERVAL '10' SECOND)`,
			[]Record{rec("a", 0, `{"t":1}`), rec("a", 9.999, `{"t":2}`), rec("a", 10, `{"t":4}`)},
			[]string{`a@0s "key":"a","n":2,"sum":3,`, `a@10s "key":"a","n":1,"sum":4,`}},
		{"windows close by end, then by key", base + `TUMBLE(INTERVAL '10' SECOND)`,
			[]Record{rec("b", 10, `{"t":1}`), rec("b", 1, `{"t":2}`), rec("a", 1, `{"t":4}`)},
			[]string{`a@0s`, `b@0s`, `b@10s`}},
		{"an offset shifts tumbling windows", base + `TUMBLE(INTERVAL '10' SECOND, INTERVAL '3' SECONDS)`,
			[]Record{rec("a", 2, `{"t":1}`), rec("a", 3, `{"t":2}`)},
			[]string{`a@-7s`, `a@3s`}},
		{"a record is in each hopping window around it", base + `HOP(INTERVAL '5' SECOND, INTERVAL '15' SECOND)`,
			[]Record{rec("a", 12, `{"t":1}`), rec("a", 15, `{"t":2}`)},
			[]string{`a@0s "key":"a","n":1,"sum":1`, `a@5s "key":"a","n":2,"sum":3`, `a@10s "key":"a","n":2`, `a@15s "key":"a","n":1,"sum":2`}},
		{"a slide that does not divide the size", base + `HOP(INTERVAL '4' SECOND, INTERVAL '10' SECOND)`,
			[]Record{rec("a", 12, `{"t":1}`)}, // 12:00:00 UTC is a multiple of 4 s
			[]string{`a@4s`, `a@8s`, `a@12s`}},
		{"a session ends a gap after its last record, which begins the next", base + `SESSION(INTERVAL '10' SECOND)`,
			[]Record{rec("a", 0, `{"t":1}`), rec("a", 9, `{"t":2}`), rec("a", 19, `{"t":4}`)},
			[]string{`a@0s "key":"a","n":2,"sum":3`, `a@19s "key":"a","n":1,"sum":4`}},
		{"a record joins two sessions", base + `SESSION(INTERVAL '10' SECOND)`,
			[]Record{rec("a", 0, `{"t":1}`), rec("a", 16, `{"t":2}`), rec("a", 8, `{"t":4}`)},
			[]string{`a@0s "key":"a","n":3,"sum":7`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewWindower(mustCompile(t, c.sql), &WindowOptions{Lateness: time.Minute})
			for i := range c.recs {
				if err := w.Add(&c.recs[i]); err != nil {
					t.Fatal(err)
				}
			}
			got := drain(w)
			if len(got) != len(c.want) {
				t.Fatalf("windows are\n%s", show(got))
			}
			for i, r := range got {
				have := r.Key + "@" + r.Time.Sub(t0).String() + " " + strings.Trim(string(r.Value), "{}")
				if !strings.HasPrefix(have, c.want[i]) {
					t.Errorf("window %d is %s, want %s", i, have, c.want[i])
				}
			}
			if w.Stats().Open != 0 {
				t.Errorf("%d windows are open", w.Stats().Open)
			}
		})
	}
}

func TestAggregates(t *testing.T) {
	values := []string{`{"v":0.1}`, `{"v":0.2}`, `{}`, `{"v":null}`, `{"v":"4.5"}`, `{"v":"warm"}`, `{"v":-2}`, `{"v":{"a":1}}`}
	for _, c := range []struct{ name, expr, want string }{
		{"count of records", `count(*)`, `8`},
		{"count leaves out missing and null", `count(v)`, `6`},
		{"count of a comparison counts where it has a value", `count(v > 0)`, `4`},
		{"sums are decimal", `sum(v)`, `2.8`},
		{"the mean of four numbers", `avg(v)`, `0.7`},
		{"a numeric string is a number", `max(v)`, `4.5`},
		{"least", `min(v)`, `-2`},
		{"first by event time", `first(v)`, `0.1`},
		{"last is whatever it is", `last(v)`, `{"a":1}`},
		{"of the sample", `stddev(v)`, `2.728858125052797`},
		{"of the population", `stddev_pop(v)`, `2.3632604596192945`},
		{"nothing has no sum", `sum(w)`, `null`},
		{"nothing has no mean", `avg(w)`, `null`},
		{"nothing has no least", `min(w)`, `null`},
		{"nothing has no first", `first(w)`, `null`},
		{"nothing is counted as such", `count(w)`, `0`},
		{"one value has no spread", `stddev(event_time - event_time + v.a)`, `null`},
		{"arithmetic on aggregates", `max(v) - min(v)`, `6.5`},
		{"a division keeps its fraction", `count(v) / 4`, `1.5`},
		{"arithmetic inside", `sum(v * 10)`, `28`},
		{"functions of the language", `round(avg(v))`, `1`},
		{"the key", `key`, `"k"`},
		{"the window", `window_end - window_start`, `60000`},
		{"event time is in milliseconds", `max(event_time) - window_start`, `7000`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewWindower(mustCompile(t, `SELECT `+c.expr+` AS x FROM stream GROUP BY key, TUMBLE(INTERVAL '1' MINUTE)`), nil)
			for i, v := range values {
				r := rec("k", float64(i), v)
				r.Offset = int64(i)
				if err := w.Add(&r); err != nil {
					t.Fatal(err)
				}
			}
			// Through the state and back: each accumulator survives.
			state, err := w.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			w = NewWindower(w.q, nil)
			if err := w.UnmarshalBinary(state); err != nil {
				t.Fatal(err)
			}
			got := drain(w)
			if len(got) != 1 {
				t.Fatalf("windows are\n%s", show(got))
			}
			var out struct{ X json.RawMessage }
			if err := json.Unmarshal(got[0].Value, &out); err != nil {
				t.Fatal(err)
			}
			if string(out.X) != c.want {
				t.Errorf("%s is %s, want %s", c.expr, out.X, c.want)
			}
		})
	}
}

func TestGroupsWhereHaving(t *testing.T) {
	q := mustCompile(t, `SELECT room, site.name AS site, avg(t) AS t FROM stream WHERE t < 100
		GROUP BY room, site.name, TUMBLE(INTERVAL '1' MINUTE) HAVING count(*) > 1`)
	if q.ByKey() || fmt.Sprint(q.Columns()) != "[room site t window_start window_end]" {
		t.Errorf("by key %v, columns %v", q.ByKey(), q.Columns())
	}
	w := NewWindower(q, nil)
	for _, v := range []string{
		`{"room":1,"site":{"name":"x"},"t":1}`, `{"room":1,"site":{"name":"x"},"t":2}`, `{"room":1,"site":{"name":"x"},"t":200}`,
		`{"room":"1","site":{"name":"x"},"t":9}`, `{"t":5}`, `{"room":null,"t":6}`,
	} {
		r := rec("k", 1, v)
		if err := w.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	got := drain(w)
	if len(got) != 2 || got[0].Key != "1/x" || got[1].Key != "null/null" ||
		!bytes.HasPrefix(got[0].Value, []byte(`{"room":1,"site":"x","t":1.5,`)) ||
		!bytes.HasPrefix(got[1].Value, []byte(`{"room":null,"site":null,"t":5.5,`)) {
		t.Errorf("windows are\n%s", show(got))
	}
	if s := w.Stats(); s.Filtered != 1 || s.Rejected != 1 || s.Closed != 2 || s.Records != 5 {
		t.Errorf("stats are %+v", s)
	}
}

func TestLateness(t *testing.T) {
	q := mustCompile(t, `SELECT count(*) FROM stream GROUP BY key, TUMBLE(INTERVAL '10' SECOND)`)
	w := NewWindower(q, &WindowOptions{Lateness: 5 * time.Second})
	add := func(at float64) error {
		r := rec("k", at, `{}`)
		return w.Add(&r)
	}
	for _, at := range []float64{1, 14.999, 9} { // the watermark is just before 10 s
		if err := add(at); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(15); err != nil {
		t.Fatal(err)
	}
	err := add(9)
	var le *LateError
	if !errors.As(err, &le) || !errors.Is(err, ErrLate) || le.Watermark != t0.Add(10*time.Second) || le.Key != "k" {
		t.Errorf("record below the watermark: %v", err)
	}
	got := slices.Collect(w.Advance(w.Watermark()))
	if len(got) != 1 || !bytes.HasPrefix(got[0].Value, []byte(`{"count":2,`)) {
		t.Errorf("windows are\n%s", show(got))
	}
	if s := w.Stats(); s.Late != 1 || s.Open != 1 {
		t.Errorf("stats are %+v", s)
	}
}

func TestTooManyWindows(t *testing.T) {
	for _, window := range []string{`TUMBLE(INTERVAL '1' SECOND)`, `SESSION(INTERVAL '1' SECOND)`} {
		w := NewWindower(mustCompile(t, `SELECT count(*) FROM stream GROUP BY key, `+window), &WindowOptions{MaxWindows: 2})
		for i := range 5 {
			r := rec(fmt.Sprint(i), 0, `{}`)
			if err := w.Add(&r); (i >= 2) != errors.Is(err, ErrTooManyWindows) {
				t.Errorf("record %d: %v", i, err)
			}
		}
		if s := w.Stats(); s.NoRoom != 3 || s.Open != 2 {
			t.Errorf("stats are %+v", s)
		}
	}
}

// oracle computes what the query of the property tests says, naively.
func oracle(kind string, size, slide int64, recs []Record) string {
	type win struct {
		key        string
		start, end int64
		vals       []int64
	}
	var all []win
	if kind == "session" {
		byKey := map[string][]Record{}
		for _, r := range recs {
			byKey[r.Key] = append(byKey[r.Key], r)
		}
		for key, rs := range byKey {
			slices.SortFunc(rs, func(a, b Record) int { return a.Time.Compare(b.Time) })
			for i, r := range rs {
				ms := r.Time.UnixMilli()
				if i == 0 || ms >= all[len(all)-1].end {
					all = append(all, win{key: key, start: ms})
				}
				last := &all[len(all)-1]
				last.end = ms + size
				last.vals = append(last.vals, value(r))
			}
		}
	} else {
		seen := map[string]*win{}
		for _, r := range recs {
			ms := r.Time.UnixMilli()
			for s := (ms/slide)*slide - size - slide; s <= ms; s++ {
				if s%slide != 0 || ms < s || ms >= s+size {
					continue
				}
				id := fmt.Sprint(r.Key, "@", s)
				if seen[id] == nil {
					seen[id] = &win{key: r.Key, start: s, end: s + size}
				}
				seen[id].vals = append(seen[id].vals, value(r))
			}
		}
		for _, w := range seen {
			all = append(all, *w)
		}
	}
	slices.SortFunc(all, func(a, b win) int {
		if a.end != b.end {
			return int(a.end - b.end)
		}
		if a.start != b.start {
			return int(a.start - b.start)
		}
		return strings.Compare(a.key, b.key)
	})
	var b strings.Builder
	for _, w := range all {
		var sum int64
		for _, v := range w.vals {
			sum += v
		}
		fmt.Fprintf(&b, "%s [%d,%d) n=%d sum=%d min=%d max=%d\n", w.key, w.start, w.end, len(w.vals), sum, slices.Min(w.vals), slices.Max(w.vals))
	}
	return b.String()
}

func value(r Record) int64 {
	var v struct{ V int64 }
	if err := json.Unmarshal(r.Value, &v); err != nil {
		panic(err)
	}
	return v.V
}

func results(recs []Record) string {
	var b strings.Builder
	for _, r := range recs {
		var v struct {
			N, S, Lo, Hi int64
			Start        int64 `json:"window_start"`
			End          int64 `json:"window_end"`
		}
		if err := json.Unmarshal(r.Value, &v); err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "%s [%d,%d) n=%d sum=%d min=%d max=%d\n", r.Key, v.Start, v.End, v.N, v.S, v.Lo, v.Hi)
	}
	return b.String()
}

// Whatever the order of records within lateness, the batches, and the
// restarts in between, the windows are those of the naive oracle.
func TestWindowsAgainstOracle(t *testing.T) {
	windows := []struct {
		kind, sql   string
		size, slide int64
	}{
		{"tumble", `TUMBLE(INTERVAL '20' MILLISECOND)`, 20, 20},
		{"hop", `HOP(INTERVAL '7' MILLISECOND, INTERVAL '20' MILLISECOND)`, 20, 7},
		{"session", `SESSION(INTERVAL '5' MILLISECOND)`, 5, 0},
	}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		win := windows[seed%3]
		lateness := time.Duration(rng.IntN(40)) * time.Millisecond
		var recs []Record
		at := t0
		for i := range 60 {
			at = at.Add(time.Duration(rng.IntN(5)) * time.Millisecond)
			recs = append(recs, Record{Key: string(rune('a' + rng.IntN(3))), Time: at, Offset: int64(i), Value: fmt.Appendf(nil, `{"v":%d}`, rng.IntN(1000)-500)})
		}
		want := oracle(win.kind, win.size, win.slide, recs)
		// Delay each record by less than lateness: none is more than that
		// behind the latest.
		delay := make(map[int64]time.Duration)
		for _, r := range recs {
			delay[r.Offset] = time.Duration(rng.Int64N(int64(lateness) + 1))
		}
		slices.SortStableFunc(recs, func(a, b Record) int {
			return a.Time.Add(delay[a.Offset]).Compare(b.Time.Add(delay[b.Offset]))
		})
		q := mustCompile(t, `SELECT key, count(*) AS n, sum(v) AS s, min(v) AS lo, max(v) AS hi FROM stream GROUP BY key, `+win.sql)
		opts := &WindowOptions{Lateness: lateness}
		if lateness == 0 {
			opts.Lateness = -1
		}
		w := NewWindower(q, opts)
		var got []Record
		for i := range recs {
			if err := w.Add(&recs[i]); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if rng.IntN(4) == 0 {
				got = slices.AppendSeq(got, w.Advance(time.Time{}))
			}
			if rng.IntN(8) == 0 {
				state, err := w.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				w = NewWindower(q, opts)
				if err := w.UnmarshalBinary(state); err != nil {
					t.Fatal(err)
				}
			}
		}
		got = append(got, drain(w)...)
		if have := results(got); have != want {
			t.Fatalf("seed %d, %s, lateness %s:\n%swant\n%s", seed, win.sql, lateness, have, want)
		}
	}
}

// A record whose windows are open allocates nothing.
func TestAddDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget on purpose")
	}
	w := NewWindower(mustCompile(t, `SELECT key, room, avg(t) AS t, max(t) AS peak, count(*) AS n FROM stream
		WHERE t < 100 GROUP BY key, room, TUMBLE(INTERVAL '1' HOUR)`), nil)
	r := rec("k", 1, `{"t":20.25,"room":7,"other":[1,2,3]}`)
	if n := testing.AllocsPerRun(1000, func() {
		if err := w.Add(&r); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("a record takes %v allocations", n)
	}
}

func TestStateOfAnotherQuery(t *testing.T) {
	a := NewWindower(mustCompile(t, `SELECT count(*) FROM stream GROUP BY key, TUMBLE(INTERVAL '1' SECOND)`), nil)
	b := NewWindower(mustCompile(t, `SELECT count(*) FROM stream GROUP BY key, TUMBLE(INTERVAL '2' SECOND)`), nil)
	state, err := a.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.UnmarshalBinary(state); !errors.Is(err, ErrState) || !strings.Contains(err.Error(), "another query") {
		t.Errorf("error is %v", err)
	}
}

func FuzzWindowState(f *testing.F) {
	q, err := Compile(`SELECT key, room, count(*), sum(v), avg(v), min(v), max(v), first(v), last(v), stddev(v)
		FROM stream GROUP BY key, room, SESSION(INTERVAL '1' SECOND)`)
	if err != nil {
		f.Fatal(err)
	}
	w := NewWindower(q, nil)
	for i := range 5 {
		r := rec(fmt.Sprint("k", i%2), float64(i), fmt.Sprintf(`{"v":%d.5,"room":"x"}`, i))
		if err := w.Add(&r); err != nil {
			f.Fatal(err)
		}
	}
	state, err := w.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(state)
	f.Add(state[:len(state)/2])
	f.Fuzz(func(t *testing.T, state []byte) {
		w := NewWindower(q, nil)
		if err := w.UnmarshalBinary(state); err != nil {
			if !errors.Is(err, ErrState) {
				t.Fatalf("error is %v", err)
			}
			if w.Stats().Open != 0 {
				t.Fatal("a refused state left windows")
			}
			return
		}
		once, err := w.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		again := NewWindower(q, nil)
		if err := again.UnmarshalBinary(once); err != nil {
			t.Fatalf("own state is refused: %v", err)
		}
		twice, err := again.MarshalBinary()
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("state changes by reading it: %v", err)
		}
		r := rec("k", 1, `{"v":1}`)
		if err := w.Add(&r); err != nil && !errors.Is(err, ErrLate) {
			t.Fatal(err)
		}
		drain(w)
	})
}
