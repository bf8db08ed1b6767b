package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/telemetry"
	"github.com/thingloom/thingloom/telemetry/telemetrytest"
)

func TestMemLog(t *testing.T) {
	telemetrytest.TestLog(t, func(*testing.T) telemetry.Log { return telemetry.NewMemLog(3, 0) }, nil)
	telemetrytest.TestCheckpoints(t, func(*testing.T) telemetry.Checkpoints { return telemetry.NewMemLog(2, 0) }, nil)
}

// start runs a stream over log until the test stops it.
func start(t *testing.T, log *telemetry.MemLog, opts *telemetry.StreamOptions) (s *telemetry.Stream, stop func()) {
	t.Helper()
	s, err := telemetry.NewStream(log, log, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// recorder is a sink that remembers, and fails as often as it is told.
type recorder struct {
	mu      sync.Mutex
	batches []telemetry.Batch
	fail    int
}

func (r *recorder) Write(_ context.Context, b telemetry.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail > 0 {
		r.fail--
		return errors.New("sink is down")
	}
	r.batches = append(r.batches, b)
	return nil
}

func (r *recorder) values() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, b := range r.batches {
		for _, rec := range b.Records {
			out = append(out, string(rec.Value))
		}
	}
	return strings.Join(out, " ")
}

func put(t *testing.T, s *telemetry.Stream, key string, values ...string) {
	t.Helper()
	for _, v := range values {
		if err := s.Put(t.Context(), key, time.Time{}, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
}

// consume runs a consumer until stop is called.
func consume(t *testing.T, s *telemetry.Stream, name string, sink telemetry.Sink) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Consume(ctx, name, sink) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Consume: %v", err)
		}
	}
}

func TestPutRefuses(t *testing.T) {
	log := telemetry.NewMemLog(2, 0)
	s, stop := start(t, log, &telemetry.StreamOptions{MaxRecordBytes: 16})
	defer stop()
	for _, c := range []struct {
		name, key, value, field, reason string
		time                            time.Time
	}{
		{"an empty key", "", `1`, "key", "empty", time.Time{}},
		{"a long key", strings.Repeat("k", 257), `1`, "key", "257", time.Time{}},
		{"no JSON, with its place", "k", `{"a":}`, "value", "byte 6", time.Time{}},
		{"an empty value", "k", ``, "value", "JSON", time.Time{}},
		{"a value beyond the limit", "k", `"aaaaaaaaaaaaaaaa"`, "value", "more than 16", time.Time{}},
		{"a time beyond 64 bits", "k", `1`, "time", "1678", time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		err := s.Put(t.Context(), c.key, c.time, []byte(c.value))
		var re *telemetry.RecordError
		if !errors.As(err, &re) || re.Field != c.field || !strings.Contains(re.Reason, c.reason) || !errors.Is(err, telemetry.ErrInvalidRecord) {
			t.Errorf("%s: error is %v", c.name, err)
		}
	}
	if st := s.Stats(); st.Refused != 6 || st.Put != 0 {
		t.Errorf("stats are %+v", st)
	}
}

// A value of brackets alone is refused without a deep recursion.
func TestPutRefusesDeepValues(t *testing.T) {
	log := telemetry.NewMemLog(1, 0)
	s, stop := start(t, log, nil)
	defer stop()
	deep := strings.Repeat("[", 1<<19) + strings.Repeat("]", 1<<19)
	if err := s.Put(t.Context(), "k", time.Time{}, []byte(deep)); !errors.Is(err, telemetry.ErrInvalidRecord) || !strings.Contains(err.Error(), "depth") {
		t.Errorf("deep value: %v", err)
	}
	wide := "[" + strings.Repeat("[1],", 50_000) + "[1]]"
	if err := s.Put(t.Context(), "k", time.Time{}, []byte(wide)); err != nil {
		t.Errorf("wide value: %v", err)
	}
}

func TestAnyBytes(t *testing.T) {
	log := telemetry.NewMemLog(1, 0)
	s, stop := start(t, log, &telemetry.StreamOptions{AnyBytes: true, MaxRecordBytes: 8})
	defer stop()
	for _, value := range []string{"plain", "\xff\x00", "", `{"a":}`} {
		if err := s.Put(t.Context(), "k", time.Time{}, []byte(value)); err != nil {
			t.Errorf("%q: %v", value, err)
		}
	}
	if err := s.Put(t.Context(), "k", time.Time{}, []byte("123456789")); !errors.Is(err, telemetry.ErrInvalidRecord) {
		t.Errorf("beyond the limit: %v", err)
	}
	recs, err := log.Read(t.Context(), 0, 0, 10)
	if err != nil || len(recs) != 4 || string(recs[1].Value) != "\xff\x00" || len(recs[2].Value) != 0 {
		t.Errorf("%v, %v", recs, err)
	}
}

func TestPutAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := telemetry.NewMemLog(4, 0)
		s, stop := start(t, log, &telemetry.StreamOptions{MaxRecordBytes: 8, MaxGroupRecords: 7})
		defer stop()
		var values [][]byte
		for i := range 20 {
			values = append(values, fmt.Append(nil, i))
		}
		if err := s.PutAll(t.Context(), "k", march, values); err != nil {
			t.Fatal(err)
		}
		if err := s.PutAll(t.Context(), "k", march, [][]byte{[]byte("1"), []byte("{")}); !errors.Is(err, telemetry.ErrInvalidRecord) || !strings.Contains(err.Error(), "value 1") {
			t.Errorf("one that is no JSON: %v", err)
		}
		if err := s.PutAll(t.Context(), "k", time.Time{}, nil); err != nil {
			t.Errorf("nothing: %v", err)
		}
		recs, err := log.Read(t.Context(), telemetry.Partition("k", 4), 0, 100)
		if err != nil || len(recs) != 20 {
			t.Fatalf("%d records, %v", len(recs), err)
		}
		for i, r := range recs {
			if string(r.Value) != fmt.Sprint(i) || !r.Time.Equal(march) {
				t.Errorf("record %d is %s of %v", i, r.Value, r.Time)
			}
		}
		if st := s.Stats(); st.Groups > 4 {
			t.Errorf("%d writes for 20 values in groups of 7", st.Groups)
		}
	})
}

func TestPutAfterRunIsClosed(t *testing.T) {
	log := telemetry.NewMemLog(1, 0)
	s, stop := start(t, log, nil)
	put(t, s, "k", `1`)
	stop()
	if err := s.Put(t.Context(), "k", time.Time{}, []byte(`2`)); !errors.Is(err, telemetry.ErrClosed) {
		t.Errorf("Put: %v", err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, telemetry.ErrBusy) {
		t.Errorf("second Run: %v", err)
	}
}

// blockingLog holds appends until it is told to go on.
type blockingLog struct {
	*telemetry.MemLog
	gate    chan struct{}
	appends [][]int
}

func (l *blockingLog) Append(ctx context.Context, p int, recs []telemetry.Record) (int64, error) {
	<-l.gate
	l.appends = append(l.appends, []int{p, len(recs)})
	return l.MemLog.Append(ctx, p, recs)
}

func TestPutsShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &blockingLog{MemLog: telemetry.NewMemLog(1, 0), gate: make(chan struct{})}
		s, err := telemetry.NewStream(log, log, &telemetry.StreamOptions{MaxGroupRecords: 5})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { put(t, s, "k", `0`) })
		synctest.Wait() // the first is being written, alone
		for i := range 7 {
			wg.Go(func() { put(t, s, "k", fmt.Sprint(i)) })
		}
		synctest.Wait() // five wait for the next write, two for a place in it
		gone, leave := context.WithCancel(t.Context())
		wg.Go(func() {
			if err := s.Put(gone, "k", time.Time{}, []byte(`9`)); !errors.Is(err, context.Canceled) {
				t.Errorf("a Put that gave up: %v", err)
			}
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		close(log.gate)
		synctest.Wait()
		cancel()
		wg.Wait()
		// The two that waited for a place may meet in one write or not.
		if got := fmt.Sprint(log.appends); !strings.HasPrefix(got, "[[0 1] [0 5] ") {
			t.Errorf("appends are %s", got)
		}
		if st := s.Stats(); st.Put != 8 || st.Refused != 1 {
			t.Errorf("stats are %+v", st)
		}
	})
}

func TestConsumeInOrderFromItsCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := telemetry.NewMemLog(1, 0)
		s, stop := start(t, log, nil)
		put(t, s, "k", `1`, `2`)
		a := new(recorder)
		end := consume(t, s, "a", a)
		synctest.Wait()
		if err := s.Consume(t.Context(), "a", a); !errors.Is(err, telemetry.ErrBusy) {
			t.Errorf("second consumer of the name: %v", err)
		}
		put(t, s, "k", `3`)
		synctest.Wait()
		end()
		put(t, s, "k", `4`)
		if got := a.values(); got != "1 2 3" {
			t.Errorf("first part is %s", got)
		}
		st := s.Stats().Consumers[0]
		if st.Next != 3 || st.Lag != 1 || st.Running || st.Records != 3 {
			t.Errorf("stats are %+v", st)
		}
		end = consume(t, s, "a", a)
		synctest.Wait()
		end()
		if got := a.values(); got != "1 2 3 4" {
			t.Errorf("all is %s", got)
		}
		stop()
	})
}

func TestConsumeRetriesWithTheSameBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := telemetry.NewMemLog(1, 0)
		s, stop := start(t, log, &telemetry.StreamOptions{RetryMin: time.Second})
		a := &recorder{fail: 3}
		end := consume(t, s, "a", a)
		put(t, s, "k", `1`)
		synctest.Wait()
		put(t, s, "k", `2`) // while the first batch fails
		if st := s.Stats().Consumers[0]; st.Retries != 1 || st.LastError != "sink is down" {
			t.Errorf("stats are %+v", st)
		}
		time.Sleep(time.Minute) // of the bubble
		if st := s.Stats().Consumers[0]; st.Retries != 3 || st.LastError != "" || st.Lag != 0 {
			t.Errorf("stats are %+v", st)
		}
		if len(a.batches) != 2 || a.batches[0].ID != "a-000-0000000000000000-0000000000000000" || a.values() != "1 2" {
			t.Errorf("batches are %+v", a.batches)
		}
		end()
		stop()
	})
}

func TestConsumeCutsByHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := telemetry.NewMemLog(1, 0)
		s, stop := start(t, log, nil)
		a := new(recorder)
		end := consume(t, s, "a", telemetry.Buffer(a, telemetry.Hints{MaxRecords: 3, MaxWait: time.Minute}))
		put(t, s, "k", `1`, `2`, `3`, `4`)
		synctest.Wait()
		sizes := func() (n []int) {
			a.mu.Lock()
			defer a.mu.Unlock()
			for _, b := range a.batches {
				n = append(n, len(b.Records))
			}
			return n
		}
		if got := fmt.Sprint(sizes()); got != "[3]" {
			t.Errorf("after four records: %s", got)
		}
		time.Sleep(59 * time.Second)
		put(t, s, "k", `5`)
		synctest.Wait()
		if got := fmt.Sprint(sizes()); got != "[3]" {
			t.Errorf("after 59 seconds: %s", got)
		}
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		if got := fmt.Sprint(sizes()); got != "[3 2]" {
			t.Errorf("after a minute: %s", got)
		}
		end()
		stop()
	})
}

// A batch in flight is repeated whole and alone, though more has come since.
func TestConsumeRepeatsTheBatchInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := telemetry.NewMemLog(1, 0)
		s, stop := start(t, log, nil)
		put(t, s, "k", `1`, `2`)
		a := &recorder{fail: 1 << 30}
		end := consume(t, s, "a", a)
		synctest.Wait()
		end()
		put(t, s, "k", `3`)
		a.fail = 0
		end = consume(t, s, "a", a)
		synctest.Wait()
		end()
		var ids []string
		for _, b := range a.batches {
			ids = append(ids, b.ID)
		}
		if got := strings.Join(ids, " "); got != "a-000-0000000000000000-0000000000000001 a-000-0000000000000002-0000000000000002" {
			t.Errorf("batches are %s", got)
		}
		stop()
	})
}

func TestConsumeCountsWhatRetentionTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := telemetry.NewMemLog(1, 3)
		s, stop := start(t, log, nil)
		put(t, s, "k", `1`, `2`, `3`, `4`, `5`)
		a := new(recorder)
		end := consume(t, s, "a", a)
		synctest.Wait()
		end()
		stop()
		if st := s.Stats().Consumers[0]; st.Skipped != 2 || st.Records != 3 || a.values() != "3 4 5" {
			t.Errorf("stats are %+v, values %s", st, a.values())
		}
	})
}

func TestConsumeRefusesNames(t *testing.T) {
	log := telemetry.NewMemLog(1, 0)
	s, err := telemetry.NewStream(log, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "a/b", "..", ".a", "a b", strings.Repeat("a", 101)} {
		if err := s.Consume(t.Context(), name, new(recorder)); !errors.Is(err, telemetry.ErrInvalidName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestKeysStayInOnePartitionAndOrder(t *testing.T) {
	log := telemetry.NewMemLog(4, 0)
	s, stop := start(t, log, nil)
	const keys, each = 16, 200
	var wg sync.WaitGroup
	for k := range keys {
		wg.Go(func() {
			for i := range each {
				if err := s.Put(t.Context(), fmt.Sprint("key", k), time.Time{}, fmt.Append(nil, i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	stop()
	next := map[string]int{}
	for p := range 4 {
		recs, err := log.Read(t.Context(), p, 0, keys*each)
		if err != nil {
			t.Fatal(err)
		}
		if len(recs) == 0 {
			t.Errorf("partition %d is empty", p)
		}
		for _, r := range recs {
			if telemetry.Partition(r.Key, 4) != p {
				t.Fatalf("%s is in partition %d", r.Key, p)
			}
			if string(r.Value) != fmt.Sprint(next[r.Key]) {
				t.Fatalf("%s: %s follows %d", r.Key, r.Value, next[r.Key]-1)
			}
			next[r.Key]++
		}
	}
	if st := s.Stats(); st.Put != keys*each || st.Groups > st.Put {
		t.Errorf("stats are %+v", st)
	}
}

func TestPartitionNeverChanges(t *testing.T) {
	for key, want := range map[string]int{"": 5, "a": 4, "sensor-1": 1, "lamp-7": 7} {
		h := fnv.New64a()
		h.Write([]byte(key))
		if got := telemetry.Partition(key, 8); got != want || uint64(got) != h.Sum64()%8 {
			t.Errorf("Partition(%q, 8) is %d, want %d", key, got, want)
		}
	}
}

func TestDeadLetterAndTee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := telemetry.NewMemLog(1, 0)
		s, stop := start(t, log, nil)
		good, bad, dead := new(recorder), &recorder{fail: 3}, new(recorder)
		dl := telemetry.DeadLetter(bad, 3, dead)
		end := consume(t, s, "a", telemetry.Tee(good, dl))
		put(t, s, "k", `1`)
		time.Sleep(time.Minute)
		put(t, s, "k", `2`)
		time.Sleep(time.Minute)
		end()
		stop()
		if good.values() != "1 2" || bad.values() != "2" || dead.values() != "1" {
			t.Errorf("good %q, bad %q, dead %q", good.values(), bad.values(), dead.values())
		}
		if b, r := dl.Dead(); b != 1 || r != 1 {
			t.Errorf("dead are %d batches, %d records", b, r)
		}
	})
}

type mapTable map[string]string

func (m mapTable) Put(_ context.Context, key string, value []byte) error {
	m[key] = string(value)
	return nil
}

func TestTableKeepsTheLast(t *testing.T) {
	table := mapTable{}
	sink := telemetry.Table(table, nil)
	b := telemetry.Batch{Records: []telemetry.Record{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("2")}, {Key: "a", Value: []byte("3")}}}
	if err := sink.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(table) != "map[a:3 b:2]" {
		t.Errorf("table is %v", table)
	}
}

func TestIntoAnotherStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := telemetry.NewMemLog(2, 0), telemetry.NewMemLog(2, 0)
		s1, stop1 := start(t, one, nil)
		s2, stop2 := start(t, two, nil)
		end := consume(t, s1, "copy", telemetry.Into(s2))
		for i := range 10 {
			put(t, s1, fmt.Sprint("k", i%3), fmt.Sprint(i))
		}
		synctest.Wait()
		end()
		stop1()
		stop2()
		for p := range 2 {
			a, _ := one.Read(t.Context(), p, 0, 100)
			b, _ := two.Read(t.Context(), p, 0, 100)
			if fmt.Sprint(a) != fmt.Sprint(b) {
				t.Errorf("partition %d:\n%v\n%v", p, a, b)
			}
		}
	})
}
