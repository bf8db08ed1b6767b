package telemetrypebble_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/telemetry"
	"github.com/thingloom/thingloom/telemetry/telemetrypebble"
	"github.com/thingloom/thingloom/telemetry/telemetrytest"
)

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func openDB(t testing.TB, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func open(t testing.TB, db *pebble.DB, prefix string, opts *telemetrypebble.Options) *telemetrypebble.Store {
	t.Helper()
	s, err := telemetrypebble.Open(db, prefix, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuites(t *testing.T) {
	// Other packages have neighbouring prefixes in the same database.
	fresh := func(t *testing.T) *telemetrypebble.Store {
		db := openDB(t, vfs.NewMem())
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		for _, p := range []string{"a/", "c/"} {
			other := open(t, db, p, nil)
			if _, err := other.Append(t.Context(), 0, []telemetry.Record{{Key: "k", Value: []byte("1")}}); err != nil {
				t.Fatal(err)
			}
		}
		return open(t, db, "b/", &telemetrypebble.Options{SegmentBytes: 64})
	}
	var dbs sync.Map // store -> file system, for those that are opened again
	onFS := func(t *testing.T, fs vfs.FS) *telemetrypebble.Store {
		db := openDB(t, fs)
		s := open(t, db, "b/", &telemetrypebble.Options{SegmentBytes: 64})
		dbs.Store(s, struct {
			fs vfs.FS
			db *pebble.DB
		}{fs, db})
		return s
	}
	reopen := func(t *testing.T, s *telemetrypebble.Store) *telemetrypebble.Store {
		v, _ := dbs.Load(s)
		e := v.(struct {
			fs vfs.FS
			db *pebble.DB
		})
		if err := e.db.Close(); err != nil {
			t.Fatal(err)
		}
		return onFS(t, e.fs)
	}
	t.Run("shared", func(t *testing.T) {
		telemetrytest.TestLog(t, func(t *testing.T) telemetry.Log { return fresh(t) }, nil)
		telemetrytest.TestCheckpoints(t, func(t *testing.T) telemetry.Checkpoints { return fresh(t) }, nil)
	})
	t.Run("reopened", func(t *testing.T) {
		telemetrytest.TestLog(t, func(t *testing.T) telemetry.Log { return onFS(t, vfs.NewMem()) }, &telemetrytest.LogOptions{
			Reopen: func(t *testing.T, l telemetry.Log) telemetry.Log { return reopen(t, l.(*telemetrypebble.Store)) },
		})
		telemetrytest.TestCheckpoints(t, func(t *testing.T) telemetry.Checkpoints { return onFS(t, vfs.NewMem()) }, &telemetrytest.CheckpointOptions{
			Reopen: func(t *testing.T, c telemetry.Checkpoints) telemetry.Checkpoints {
				return reopen(t, c.(*telemetrypebble.Store))
			},
		})
	})
}

func TestPartitionsStay(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	open(t, db, "x", &telemetrypebble.Options{Partitions: 3})
	if s := open(t, db, "x", nil); s.Partitions() != 3 {
		t.Errorf("store has %d partitions", s.Partitions())
	}
	if _, err := telemetrypebble.Open(db, "x", &telemetrypebble.Options{Partitions: 4}); err == nil || !strings.Contains(err.Error(), "3 partitions") {
		t.Errorf("another number: %v", err)
	}
	if err := db.Set([]byte("ym"), []byte{9, 0, 0, 0, 1}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if _, err := telemetrypebble.Open(db, "y", nil); err == nil || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("another format: %v", err)
	}
}

// What was acknowledged is there after a power cut, and nothing is read that
// a power cut may take back.
func TestAppendSurvivesPowerCut(t *testing.T) {
	for seed := range uint64(20) {
		fs := vfs.NewCrashableMem()
		db := openDB(t, fs)
		s := open(t, db, "t/", &telemetrypebble.Options{Partitions: 2, SegmentBytes: 200})
		var mu sync.Mutex
		acked, seen := map[string]bool{}, map[string]bool{}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					v := fmt.Sprintf("%d-%d", w, i)
					if _, err := s.Append(t.Context(), w%2, []telemetry.Record{{Key: "k", Time: time.Unix(0, 0), Value: []byte(v)}}); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					acked[v] = true
					if len(acked) == 50+int(seed)*10 {
						cancel()
					}
					mu.Unlock()
				}
			})
		}
		wg.Go(func() {
			for from := int64(0); ctx.Err() == nil; {
				recs, err := s.Read(t.Context(), 0, from, 100)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, r := range recs {
					seen[string(r.Value)] = true
					from = r.Offset + 1
				}
				mu.Unlock()
			}
		})
		<-ctx.Done()
		cancel()
		mu.Lock()
		clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed * 5 % 101), RNG: rand.New(rand.NewPCG(seed, 1))})
		must := map[string]bool{}
		for v := range acked {
			must[v] = true
		}
		for v := range seen {
			must[v] = true
		}
		mu.Unlock()
		wg.Wait()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openDB(t, clone)
		s = open(t, db, "t/", nil)
		for p := range 2 {
			first, next, err := s.Bounds(t.Context(), p)
			if err != nil || first != 0 {
				t.Fatalf("bounds %d, %d, %v", first, next, err)
			}
			recs, err := s.Read(t.Context(), p, 0, int(next)+1)
			if err != nil || len(recs) != int(next) {
				t.Fatalf("%d of %d records, %v", len(recs), next, err)
			}
			for i, r := range recs {
				if r.Offset != int64(i) {
					t.Fatalf("offset %d at place %d", r.Offset, i)
				}
				delete(must, string(r.Value))
			}
		}
		if len(must) > 0 {
			t.Fatalf("seed %d: %d acknowledged or read records are gone", seed, len(must))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRetention(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	opts := &telemetrypebble.Options{Partitions: 1, SegmentBytes: 100, Now: func() time.Time { return now }}
	add := func(t *testing.T, s *telemetrypebble.Store, n int) {
		for range n {
			if _, err := s.Append(t.Context(), 0, []telemetry.Record{{Key: "k", Time: now, Value: []byte("0123456789")}}); err != nil { // 20 bytes as stored
				t.Fatal(err)
			}
		}
	}
	check := func(t *testing.T, s *telemetrypebble.Store, first, next int64) {
		t.Helper()
		f, n, err := s.Bounds(t.Context(), 0)
		if err != nil || f != first || n != next {
			t.Errorf("bounds are %d, %d, %v, want %d, %d", f, n, err, first, next)
		}
		recs, err := s.Read(t.Context(), 0, 0, 1000)
		if err != nil || len(recs) != int(next-first) || len(recs) > 0 && recs[0].Offset != first {
			t.Errorf("%d records, %v, want %d from %d", len(recs), err, next-first, first)
		}
	}
	setup := func(t *testing.T, change func(*telemetrypebble.Options)) (*pebble.DB, *telemetrypebble.Store) {
		db := openDB(t, vfs.NewMem())
		t.Cleanup(func() { db.Close() })
		o := *opts
		change(&o)
		return db, open(t, db, "p", &o)
	}
	t.Run("age", func(t *testing.T) {
		db, s := setup(t, func(o *telemetrypebble.Options) { o.MaxAge = time.Hour })
		add(t, s, 7)
		now = now.Add(50 * time.Minute)
		add(t, s, 3)
		now = now.Add(20 * time.Minute)
		if err := s.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(t, s, 7, 10)
		s = open(t, db, "p", opts)
		check(t, s, 7, 10)
		now = now.Add(2 * time.Hour)
		s2 := open(t, db, "p", &telemetrypebble.Options{MaxAge: time.Hour, Now: opts.Now})
		now = now.Add(2 * time.Hour)
		if err := s2.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(t, s2, 10, 10)
		add(t, s2, 1)
		check(t, s2, 10, 11)
		check(t, open(t, db, "p", opts), 10, 11)
		if st := s2.Stats(); st.RemovedByAge != 3 {
			t.Errorf("stats are %+v", st)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		_, s := setup(t, func(o *telemetrypebble.Options) { o.MaxBytes = 250 })
		add(t, s, 31) // segments of five
		if err := s.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(t, s, 15, 31)
		if st := s.Stats(); st.RemovedByBytes != 15 || st.Partitions[0].Bytes != 16*20 {
			t.Errorf("stats are %+v", st)
		}
	})
	t.Run("offset", func(t *testing.T) {
		db, s := setup(t, func(*telemetrypebble.Options) {})
		add(t, s, 12)
		for _, offset := range []int64{7, 3, 7} {
			if err := s.TrimBefore(t.Context(), 0, offset); err != nil {
				t.Fatal(err)
			}
			check(t, s, 7, 12)
		}
		s = open(t, db, "p", opts)
		check(t, s, 7, 12)
		add(t, s, 1)
		if err := s.TrimBefore(t.Context(), 0, 1000); err != nil {
			t.Fatal(err)
		}
		check(t, s, 13, 13)
		check(t, open(t, db, "p", opts), 13, 13)
		if err := s.TrimBefore(t.Context(), 9, 1); !errors.Is(err, telemetry.ErrPartition) {
			t.Errorf("no such partition: %v", err)
		}
		if st := s.Stats(); st.RemovedByOffset != 6 || st.Partitions[0].Segments != 0 {
			t.Errorf("stats are %+v", st)
		}
	})
}
