package registrypebble

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/registrytest"
)

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

func openDB(t *testing.T, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func openStore(t *testing.T, db *pebble.DB, prefix string) *Store {
	t.Helper()
	s, err := Open(t.Context(), db, prefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	registrytest.TestStore(t, func(t *testing.T) registry.Store { return openStore(t, openDB(t, vfs.NewMem()), "r/") },
		&registrytest.Options{Reopen: func(t *testing.T, s registry.Store) registry.Store {
			return openStore(t, s.(*Store).db, "r/")
		}})
}

func TestPrefixesAreApart(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	a, b := openStore(t, db, "a/"), openStore(t, db, "b/")
	for _, s := range []*Store{a, b} {
		if err := s.Apply(t.Context(), registry.Op{Key: "k", Value: []byte(s.data), Prev: 0}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []*Store{a, b} {
		for e, err := range s.Scan(t.Context(), "", "") {
			if err != nil || e.Key != "k" || string(e.Value) != string(s.data) {
				t.Errorf("got %+v, %v", e, err)
			}
		}
	}
}

func TestFormat(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	if err := db.Set([]byte("m"), []byte("\x02234567890"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), db, "", nil); !errors.Is(err, ErrFormat) {
		t.Errorf("got error %v, want ErrFormat", err)
	}
}

// TestCrash cuts the power at a moment between two writes of one of several
// writers: every write that was acknowledged is there, both entries of a
// write are there or neither, and versions go on beyond all that were seen.
func TestCrash(t *testing.T) {
	const writers, rounds = 4, 40
	for seed := range uint64(20) {
		fs := vfs.NewCrashableMem()
		s := openStore(t, openDB(t, fs), "r/")
		var acked [writers]atomic.Int64
		var wg sync.WaitGroup
		var cut *vfs.MemFS
		var seen [writers]int64
		for w := range writers {
			wg.Go(func() {
				for i := int64(1); i <= rounds; i++ {
					a, b := fmt.Sprintf("a/%d/%03d", w, i), fmt.Sprintf("b/%d/%03d", w, i)
					if err := s.Apply(t.Context(), registry.Op{Key: a, Prev: 0}, registry.Op{Key: b, Prev: 0}); err != nil {
						t.Error(err)
						return
					}
					acked[w].Store(i)
					if w == 0 && i == 1+int64(seed) {
						for v := range seen {
							seen[v] = acked[v].Load()
						}
						cut = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed*5) % 101, RNG: rand.New(rand.NewPCG(seed, 1))})
					}
				}
			})
		}
		wg.Wait()
		after := openStore(t, openDB(t, cut), "r/")
		var top int64
		count := map[string]int{}
		for e, err := range after.Scan(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			count[e.Key[1:]]++
			top = max(top, e.Version)
		}
		for k, n := range count {
			if n != 2 {
				t.Errorf("seed %d: %d of 2 entries of %s", seed, n, k)
			}
		}
		for w := range writers {
			for i := int64(1); i <= seen[w]; i++ {
				if k := fmt.Sprintf("/%d/%03d", w, i); count[k] != 2 {
					t.Errorf("seed %d: acknowledged write %s is lost", seed, k)
				}
			}
		}
		if int64(after.last) < top {
			t.Errorf("seed %d: next version is %d, and %d is in use", seed, after.last+1, top)
		}
	}
}

func TestDeletePrefix(t *testing.T) {
	ctx := t.Context()
	s := openStore(t, openDB(t, vfs.NewMem()), "a/")
	var last int64
	for _, key := range []string{"k", "k/", "k/1", "k/2\xff", "k0", "l"} {
		if err := s.Apply(ctx, registry.Op{Key: key}); err != nil {
			t.Fatal(err)
		}
		e, err := s.Get(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		last = e.Version
	}
	if err := s.DeletePrefix(ctx, "k/"); err != nil {
		t.Fatal(err)
	}
	left := []string{}
	for e, err := range s.Scan(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, e.Key)
	}
	if !slices.Equal(left, []string{"k", "k0", "l"}) {
		t.Errorf("left are %q", left)
	}
	// Absent for conditions too, and a version is given once.
	if err := s.Apply(ctx, registry.Op{Key: "k/1"}); err != nil {
		t.Error(err)
	}
	if e, err := s.Get(ctx, "k/1"); err != nil || e.Version <= last {
		t.Errorf("%+v, %v", e, err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.DeletePrefix(cancelled, "k"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
