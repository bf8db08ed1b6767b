package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/telemetry"
)

const countSQL = `SELECT key, count(*) AS n FROM stream GROUP BY key, TUMBLE(INTERVAL '1' MINUTE)`

func compile(t testing.TB, text string) *telemetry.Query {
	t.Helper()
	q, err := telemetry.Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// counts shows windows as key@minute:n, minutes since start.
func (r *recorder) counts(start time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, b := range r.batches {
		for _, rec := range b.Records {
			n, _, _ := strings.Cut(strings.SplitAfter(string(rec.Value), `"n":`)[1], ",")
			out = append(out, fmt.Sprintf("%s@%g:%s", rec.Key, rec.Time.Sub(start).Minutes(), n))
		}
	}
	return strings.Join(out, " ")
}

func putAt(t *testing.T, s *telemetry.Stream, key string, at ...time.Time) {
	t.Helper()
	for _, a := range at {
		if err := s.Put(t.Context(), key, a, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSilenceClosesWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := telemetry.NewMemLog(1, 0)
		s, stop := start(t, log, nil)
		out := new(recorder)
		agg := telemetry.Aggregate(compile(t, countSQL), out, &telemetry.WindowOptions{Name: "minute"})
		end := consume(t, s, "a", agg)
		begin := time.Now() // midnight: the bubble's clock begins there
		time.Sleep(5 * time.Second)
		putAt(t, s, "k", time.Now(), time.Now())
		time.Sleep(30 * time.Second)
		if got := out.counts(begin); got != "" {
			t.Errorf("after half a minute: %s", got)
		}
		time.Sleep(time.Minute)
		if got := out.counts(begin); got != "k@0:2" {
			t.Errorf("after 95 seconds: %s", got)
		}
		if id := out.batches[0].ID; !strings.HasPrefix(id, "a-000-0000000000000002-idle") || !strings.HasSuffix(id, "-minute") {
			t.Errorf("ID is %s", id)
		}
		// The partition is silent for an hour, but nothing is open: what a
		// device kept for that time is not late.
		time.Sleep(time.Hour)
		putAt(t, s, "k", begin.Add(61*time.Second), begin.Add(30*time.Minute))
		time.Sleep(time.Second)
		if st := agg.Stats(); st.Late != 0 || st.Open != 1 || st.Closed != 2 {
			t.Errorf("stats are %+v", st)
		}
		end()
		stop()
	})
}

func TestWindowsOutliveTheConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := telemetry.NewMemLog(2, 0)
		s, stop := start(t, log, nil)
		begin := time.Now()
		out := new(recorder)
		for i := range 4 {
			end := consume(t, s, "a", telemetry.Aggregate(compile(t, countSQL), out, nil))
			for k := range 5 {
				putAt(t, s, fmt.Sprint("k", k), begin.Add(time.Duration(i)*20*time.Second))
			}
			time.Sleep(time.Second)
			end()
		}
		end := consume(t, s, "a", telemetry.Aggregate(compile(t, countSQL), out, nil))
		time.Sleep(3 * time.Minute)
		end()
		got := out.counts(begin)
		for k := range 5 {
			for _, want := range []string{fmt.Sprintf("k%d@0:3", k), fmt.Sprintf("k%d@1:1", k)} {
				if strings.Count(got, want) != 1 {
					t.Errorf("%s is not there once: %s", want, got)
				}
			}
		}
		// Another query does not understand the state.
		other := telemetry.Aggregate(compile(t, strings.Replace(countSQL, "1", "2", 1)), out, nil)
		if err := s.Consume(t.Context(), "a", other); !errors.Is(err, telemetry.ErrState) {
			t.Errorf("another query: %v", err)
		}
		stop()
	})
}

func TestFailingNextDoesNotCountTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := telemetry.NewMemLog(1, 0)
		s, stop := start(t, log, nil)
		begin := time.Now()
		out, archive := &recorder{fail: 3}, &recorder{fail: 2}
		agg := telemetry.Aggregate(compile(t, countSQL), telemetry.Tee(out, telemetry.NewLive(nil)), nil)
		end := consume(t, s, "a", telemetry.Tee(agg, archive))
		putAt(t, s, "k", begin, begin.Add(time.Second), begin.Add(2*time.Minute), begin.Add(121*time.Second))
		time.Sleep(10 * time.Minute)
		end()
		stop()
		if got := out.counts(begin); got != "k@0:2 k@2:2" {
			t.Errorf("windows are %s", got)
		}
		if st := agg.Stats(); st.Records != 4 || st.Closed != 2 {
			t.Errorf("stats are %+v", st)
		}
	})
}

func TestDropsHaveReasons(t *testing.T) {
	var dropped []string
	agg := telemetry.Aggregate(compile(t, countSQL), new(recorder), &telemetry.WindowOptions{
		Lateness: -1, MaxAhead: time.Minute, MaxWindows: 1,
		OnDrop: func(r *telemetry.Record, err error) { dropped = append(dropped, r.Key+": "+err.Error()) },
	})
	b := telemetry.Batch{ID: "b", Time: march}
	add := func(key string, at time.Time) {
		b.Records = append(b.Records, telemetry.Record{Key: key, Time: at, Value: []byte(`{}`)})
	}
	add("good", march)
	add("future", march.Add(61*time.Second))
	add("late", march.Add(-time.Minute))
	add("room", march)
	if err := agg.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want := "future: telemetry: record is ahead of time by 1m1s: key \"future\"|" +
		"late: telemetry: record of \"late\" is late: event time 2026-03-01T12:29:00Z, watermark 2026-03-01T12:30:00Z|" +
		"room: telemetry: too many open windows: 1"
	if got := strings.Join(dropped, "|"); got != want {
		t.Errorf("dropped are\n%s\nwant\n%s", got, want)
	}
	if st := agg.Stats(); st.Ahead != 1 || st.Late != 1 || st.NoRoom != 1 || st.Records != 1 {
		t.Errorf("stats are %+v", st)
	}
}

func TestQueryWithoutKeyNeedsOnePartition(t *testing.T) {
	const sql = `SELECT count(*) AS n FROM stream GROUP BY TUMBLE(INTERVAL '1' MINUTE)`
	log := telemetry.NewMemLog(2, 0)
	s, err := telemetry.NewStream(log, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, sink := range []telemetry.Sink{
		telemetry.Aggregate(compile(t, sql), new(recorder), nil),
		telemetry.Tee(new(recorder), telemetry.Buffer(telemetry.Aggregate(compile(t, sql), new(recorder), nil), telemetry.Hints{})),
	} {
		if err := s.Consume(ctx, "a", sink); !errors.Is(err, telemetry.ErrNotPartitioned) {
			t.Errorf("error is %v", err)
		}
	}
	if err := s.Consume(ctx, "a", telemetry.Aggregate(compile(t, sql), new(recorder), &telemetry.WindowOptions{AnyPartitions: true})); err != nil {
		t.Errorf("admitted: %v", err)
	}
	if err := s.Consume(ctx, "a", telemetry.Aggregate(compile(t, countSQL), new(recorder), &telemetry.WindowOptions{Name: "a/b"})); !errors.Is(err, telemetry.ErrInvalidName) {
		t.Errorf("odd name: %v", err)
	}
}

// Windows of windows: the state of both is in one checkpoint.
func TestNestedAggregates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := telemetry.NewMemLog(1, 0)
		s, stop := start(t, log, nil)
		begin := time.Now()
		out := new(recorder)
		hourly := compile(t, `SELECT key, sum(n) AS n FROM stream GROUP BY key, TUMBLE(INTERVAL '5' MINUTE)`)
		for i := range 14 {
			end := consume(t, s, "a", telemetry.Aggregate(compile(t, countSQL), telemetry.Aggregate(hourly, out, nil), nil))
			putAt(t, s, "k", begin.Add(time.Duration(i)*30*time.Second))
			time.Sleep(time.Second)
			if i == 13 {
				time.Sleep(20 * time.Minute)
			}
			end()
		}
		stop()
		if got := out.counts(begin); got != "k@0:10 k@5:4" {
			t.Errorf("windows are %s", got)
		}
	})
}
