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

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowtest"
)

// A recorder is a Store that notes what was tried and what was acknowledged, and cuts the power in the middle.
type recorder struct {
	*Store
	mu     sync.Mutex
	tried  map[shadow.Ref]map[int64][]shadow.Document // by version
	acked  map[shadow.Ref]int64
	saves  int
	cutAt  int // by the number of saves begun: others are under way then
	fs     *vfs.MemFS
	rng    *rand.Rand
	at     map[shadow.Ref]int64 // acked when the power was cut
	behind *vfs.MemFS           // what the disk has then
}

func (r *recorder) Save(ctx context.Context, ref shadow.Ref, doc shadow.Document, prev int64) error {
	r.mu.Lock()
	if r.tried[ref] == nil {
		r.tried[ref] = map[int64][]shadow.Document{}
	}
	r.tried[ref][doc.Version] = append(r.tried[ref][doc.Version], doc)
	if r.saves++; r.saves == r.cutAt {
		r.at = map[shadow.Ref]int64{}
		for ref, version := range r.acked {
			r.at[ref] = version
		}
		r.behind = r.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.rng.IntN(101), RNG: r.rng})
	}
	r.mu.Unlock()
	err := r.Store.Save(ctx, ref, doc, prev)
	if err == nil {
		r.mu.Lock()
		r.acked[ref] = max(r.acked[ref], doc.Version)
		r.mu.Unlock()
	}
	return err
}

// Writers race on few shadows, with updates of all kinds, locked ones and deletions, and the power is cut in the middle.
// What observers are told is what the model makes of the requests, in that order; what is on the disk after the cut is a
// document that was to be saved, none older than the last acknowledged, with its history; and it goes on from there.
func TestModelUnderCrash(t *testing.T) {
	for seed := range uint64(12) {
		fs := vfs.NewCrashableMem()
		db := openDB(t, fs)
		rec := &recorder{Store: New(db, "s/", nil), tried: map[shadow.Ref]map[int64][]shadow.Document{}, acked: map[shadow.Ref]int64{},
			fs: fs, rng: rand.New(rand.NewPCG(seed, 99)), cutAt: 20 + int(seed)*17}
		svc, err := shadow.New(rec, &shadow.Options{MaxInFlight: -1, Principal: func(context.Context) string { return "p" }})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		models := map[shadow.Ref]*shadowtest.Model{}
		svc.Observe(func(_ context.Context, c shadow.Change) {
			mu.Lock()
			defer mu.Unlock()
			if models[c.Ref] == nil {
				models[c.Ref] = &shadowtest.Model{}
			}
			if err := models[c.Ref].Check(c); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		})
		refs := []shadow.Ref{{Thing: "a"}, {Thing: "a", Name: "n"}, {Thing: "b"}}
		var all sync.WaitGroup
		for w := range 6 {
			all.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(w)))
				for range 50 {
					if err := step(t.Context(), svc, refs[rng.IntN(len(refs))], rng); err != nil {
						t.Errorf("seed %d: %v", seed, err)
						return
					}
				}
			})
		}
		all.Wait()
		for ref, m := range models {
			doc, err := rec.Load(t.Context(), ref)
			if err != nil || doc.Version != m.Version || doc.Deleted && (m.Desired != nil || m.Reported != nil) {
				t.Errorf("seed %d: %s ends at %d, %v, told was %d", seed, ref, doc.Version, err, m.Version)
			}
		}
		db.Close()
		if rec.behind == nil {
			t.Fatalf("seed %d: the power was not cut after %d saves", seed, rec.saves)
		}
		rec.afterCrash(t, seed, refs)
	}
}

// step does one thing to a shadow, of which the outcome is one that can be.
func step(ctx context.Context, svc *shadow.Service, ref shadow.Ref, rng *rand.Rand) error {
	switch rng.IntN(10) {
	case 0:
		_, err := svc.Delete(ctx, ref)
		if errors.Is(err, shadow.ErrNotFound) {
			return nil
		}
		return err
	case 1, 2, 3:
		doc, err := svc.Get(ctx, ref)
		if errors.Is(err, shadow.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		c, err := svc.Update(ctx, ref, fmt.Appendf(nil, `{"state":%s,"version":%d}`, shadowtest.RandomState(rng), doc.Version))
		if errors.Is(err, shadow.ErrVersionConflict) {
			return nil
		}
		if err == nil && c.Before.Version != doc.Version {
			err = fmt.Errorf("%s: locked on %d, replaced %d", ref, doc.Version, c.Before.Version)
		}
		return err
	}
	_, err := svc.Update(ctx, ref, fmt.Appendf(nil, `{"state":%s}`, shadowtest.RandomState(rng)))
	return err
}

func (r *recorder) afterCrash(t *testing.T, seed uint64, refs []shadow.Ref) {
	t.Helper()
	db := openDB(t, r.behind)
	defer db.Close()
	store := New(db, "s/", nil)
	was := func(ref shadow.Ref, doc shadow.Document) bool {
		for _, tried := range r.tried[ref][doc.Version] {
			tried.Time, doc.Time = tried.Time.Round(0), doc.Time.Round(0)
			if tried.Time.Equal(doc.Time) {
				tried.Time = doc.Time
				if reflect.DeepEqual(tried, doc) {
					return true
				}
			}
		}
		return false
	}
	for _, ref := range refs {
		doc, err := store.Load(t.Context(), ref)
		if errors.Is(err, shadow.ErrNotFound) && r.at[ref] == 0 {
			continue
		}
		if err != nil || doc.Version < r.at[ref] || !was(ref, doc) {
			t.Errorf("seed %d: %s came back as %+v, %v; %d was acknowledged", seed, ref, doc, err, r.at[ref])
			continue
		}
		version := doc.Version
		for old, err := range store.History(t.Context(), ref) {
			if version--; err != nil || old.Version != version || !was(ref, old) {
				t.Errorf("seed %d: %s: the history has %+v, %v, want version %d", seed, ref, old, err, version)
				break
			}
		}
		if version > 1 && doc.Version-version != 10 {
			t.Errorf("seed %d: %s at %d: the history ends at %d", seed, ref, doc.Version, version)
		}
		svc, err := shadow.New(store, &shadow.Options{Now: func() time.Time { return doc.Time }})
		if err != nil {
			t.Fatal(err)
		}
		c, err := svc.Update(t.Context(), ref, []byte(`{"state":{"reported":{"again":true}}}`))
		if err != nil || c.After.Version != doc.Version+1 {
			t.Errorf("seed %d: %s went on with %d, %v, after %d", seed, ref, c.After.Version, err, doc.Version)
		}
	}
}
