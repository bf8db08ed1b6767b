package shadowpebble

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowtest"
)

func openDB(t testing.TB, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func TestStore(t *testing.T) {
	shadowtest.TestStore(t, func(t *testing.T) shadow.Store {
		db := openDB(t, vfs.NewMem())
		t.Cleanup(func() { db.Close() })
		// A neighbour whose keys must never show.
		if err := New(db, "b", nil).Save(t.Context(), shadow.Ref{Thing: "other"}, shadow.Document{Version: 1, Time: time.Unix(1, 0)}, 0); err != nil {
			t.Fatal(err)
		}
		return New(db, "a/", nil)
	})
	shadowtest.TestHistorian(t, func(t *testing.T, history int) shadow.Store {
		db := openDB(t, vfs.NewMem())
		t.Cleanup(func() { db.Close() })
		if history == 0 {
			history = -1
		}
		return New(db, "a/", &Options{History: history})
	})
}

// A power cut at any moment: every version that was acknowledged is there, or a later one.
func TestCrash(t *testing.T) {
	for seed := range uint64(10) {
		fs := vfs.NewCrashableMem()
		db := openDB(t, fs)
		svc, err := shadow.New(New(db, "s/", nil), &shadow.Options{MaxInFlight: -1})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		acked := map[shadow.Ref]int64{}
		crashed := make(chan *vfs.MemFS, 1)
		var snapshot map[shadow.Ref]int64
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(w)))
				for n := range 50 {
					ref := shadow.Ref{Thing: fmt.Sprint("t", r.IntN(3))}
					c, err := svc.Update(context.Background(), ref, fmt.Appendf(nil, `{"state":{"reported":{"w%d":%d}}}`, w, n))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					acked[ref] = max(acked[ref], c.After.Version)
					if w == 0 && n == 25 {
						snapshot = map[shadow.Ref]int64{}
						for k, v := range acked {
							snapshot[k] = v
						}
						crashed <- fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: r})
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		db.Close()
		after := openDB(t, <-crashed)
		store := New(after, "s/", nil)
		for ref, version := range snapshot {
			doc, err := store.Load(t.Context(), ref)
			if err != nil || doc.Version < version {
				t.Errorf("seed %d: %s is at %d (%v), %d was acknowledged", seed, ref, doc.Version, err, version)
			}
			// History and document are one write: no version between them is missing.
			want := doc.Version
			for old, err := range store.History(t.Context(), ref) {
				if want--; err != nil || old.Version != want {
					t.Errorf("seed %d: %s: history has %d, want %d (%v)", seed, ref, old.Version, want, err)
					break
				}
			}
			if want > 1 && doc.Version-want != 10 {
				t.Errorf("seed %d: %s: history of %d ends at %d", seed, ref, doc.Version, want)
			}
		}
		after.Close()
	}
}

func TestPurgeKeepsWhatIsYoung(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	s := New(db, "s/", nil)
	save := func(thing string, at int64, deleted bool) {
		if err := s.Save(t.Context(), shadow.Ref{Thing: thing}, shadow.Document{Version: 1, Time: time.Unix(at, 0), Deleted: deleted}, 0); err != nil {
			t.Fatal(err)
		}
	}
	save("old", 1, true)
	save("young", 9, true)
	save("alive", 1, false)
	if n, err := s.Purge(t.Context(), time.Unix(5, 0)); n != 1 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if _, err := s.Load(t.Context(), shadow.Ref{Thing: "old"}); !errors.Is(err, shadow.ErrNotFound) {
		t.Errorf("old: %v", err)
	}
	if _, err := s.Load(t.Context(), shadow.Ref{Thing: "young"}); err != nil {
		t.Errorf("young: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(shadow.Document{Version: 3, Time: time.Unix(5, 6), By: "x", Desired: []byte(`{"a":1}`), Metadata: []byte(`{}`)}))
	f.Add(encode(shadow.Document{Version: 1, Time: time.Unix(5, 6), Deleted: true}))
	f.Add([]byte{format, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decode(b)
		if err != nil {
			if !errors.Is(err, shadow.ErrCorrupt) {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := decode(encode(d))
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%+v became %+v, %v", d, again, err)
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	db, err := pebble.Open(b.TempDir(), &pebble.Options{Logger: quiet{}, MemTableSize: 32 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	svc, err := shadow.New(New(db, "s/", nil), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ref := shadow.Ref{Thing: fmt.Sprint("t", rand.Uint64())}
		for n := 0; pb.Next(); n++ {
			if _, err := svc.Update(context.Background(), ref, fmt.Appendf(nil, `{"state":{"reported":{"temperature":%d}}}`, n)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
