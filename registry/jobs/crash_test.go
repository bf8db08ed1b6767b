package jobs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/registrypebble"
)

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func openStore(t testing.TB, fs vfs.FS) registry.Store {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	store, err := registrypebble.Open(t.Context(), db, "jobs/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// A power cut at any moment: every update that was acknowledged is there, or a
// later one, and counts and indexes agree with the executions.
func TestCrash(t *testing.T) {
	const devices, rounds = 4, 30
	for seed := range uint64(12) {
		fs := vfs.NewCrashableMem()
		f := newFixture(t, openStore(t, fs), nil)
		f.things("g", numbered(devices)...)
		f.create("a", func(j *Job) { j.Retry = &Retry{[]RetryCriterion{{"FAILED", 10}}} }, "thinggroup/g")
		var mu sync.Mutex
		acked := map[string]Execution{}
		var snapshot map[string]Execution
		var cut *vfs.MemFS
		var wg sync.WaitGroup
		for d := range devices {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(d)))
				thing := numbered(devices)[d]
				for n := range rounds {
					status := InProgress
					if r.IntN(5) == 0 && n < rounds/2 {
						status = Failed
					}
					e, err := f.svc.Update(context.Background(), thing, "a", Update{Status: status, Details: map[string]string{"n": fmt.Sprint(n)}})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					acked[thing] = e
					if d == 0 && n == int(seed)*2 {
						snapshot = map[string]Execution{}
						for k, v := range acked {
							snapshot[k] = v
						}
						cut = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed*9) % 101, RNG: r})
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		after := newFixture(t, openStore(t, cut), nil)
		for thing, want := range snapshot {
			got, err := after.svc.Execution(t.Context(), thing, "a", want.Number)
			if err != nil || got.Version < want.Version || got.Version == want.Version && got.Details["n"] != want.Details["n"] {
				t.Errorf("seed %d: %+v was acknowledged, %+v is there, %v", seed, want, got, err)
			}
		}
		after.checkStep(seed, 0, nil)
	}
}
