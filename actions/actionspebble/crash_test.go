package actionspebble

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/actions"
)

// A world is the outside of a process: what it was told is taken, and what arrived.
type world struct {
	mu      sync.Mutex
	taken   map[string]bool
	arrived map[string]int
	letters map[string]int
}

func (w *world) count(m map[string]int, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m[id]++
}

// dispatcher returns one over db whose sink fails now and then, for some requests for good.
func (w *world) dispatcher(t *testing.T, db *pebble.DB) *actions.Dispatcher {
	t.Helper()
	cat, err := actions.NewCatalog(actions.Spec{Name: "sink", Open: func(context.Context, json.RawMessage) (actions.Action, error) {
		return actions.Func(func(_ context.Context, r *actions.Request) error {
			switch n := rand.IntN(10); {
			case r.Payload[0] == 'x':
				return actions.Permanent(errors.New("refused"))
			case n == 0:
				return errors.New("flaky")
			case n == 1:
				panic("plugin")
			}
			w.count(w.arrived, r.ID)
			return nil
		}), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := actions.NewDispatcher(cat, &actions.Options{
		Queues: New(db, "q/", nil), Retry: actions.RetryPolicy{Min: 1, Max: 1, MaxAttempts: -1},
		DeadLetter: actions.Func(func(_ context.Context, r *actions.Request) error { w.count(w.letters, r.ID); return nil }),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Processes are killed one after the other at a random moment of taking and
// delivering. Whatever any of them took has arrived or is a dead letter in the
// end, and the last queue is empty.
func TestKilledAgainAndAgain(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			w := &world{taken: map[string]bool{}, arrived: map[string]int{}, letters: map[string]int{}}
			fs := vfs.NewCrashableMem()
			for life := range 4 {
				db := open(t, fs)
				d := w.dispatcher(t, db)
				ctx, stop := context.WithCancel(context.Background())
				ran := make(chan error, 1)
				go func() { ran <- d.Run(ctx) }()
				before, kill := len(w.taken), 30+rng.IntN(60) // taken in this life when it ends
				var wg sync.WaitGroup
				next := make(chan int, 200)
				for i := range 200 {
					next <- i
				}
				close(next)
				var crashed *vfs.MemFS
				for g := range 4 {
					a, err := d.OpenFor(ctx, fmt.Sprint("rule", g%2), "sink", nil)
					if err != nil {
						t.Fatal(err)
					}
					wg.Go(func() {
						for i := range next {
							id, payload := fmt.Sprint(life, "-", i), []byte("ok")
							if i%20 == 0 {
								payload = []byte("x")
							}
							w.mu.Lock()
							dead := crashed != nil
							w.mu.Unlock()
							if dead {
								return
							}
							err := a.Do(ctx, &actions.Request{ID: id, Payload: payload})
							w.mu.Lock()
							if crashed == nil { // what happens after the cut is of another world
								if err == nil {
									w.taken[id] = true
								}
								if len(w.taken)-before >= kill {
									crashed = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
								}
							}
							w.mu.Unlock()
						}
					})
				}
				wg.Wait()
				stop()
				if err := <-ran; err != nil {
					t.Error(err)
				}
				db.Close()
				if crashed == nil {
					t.Fatal("the process was not killed")
				}
				fs = crashed
			}
			db := open(t, fs)
			defer db.Close()
			settle(t, w, db)
			if len(w.taken) < 4*30 {
				t.Fatalf("only %d were taken", len(w.taken))
			}
			for id := range w.taken {
				if w.arrived[id]+w.letters[id] == 0 {
					t.Errorf("%s was taken and is lost", id)
				}
			}
		})
	}
}

// settle runs a last process until nothing is stored any more.
func settle(t *testing.T, w *world, db *pebble.DB) {
	t.Helper()
	d := w.dispatcher(t, db)
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	q := New(db, "q/", nil)
	for left := true; left && t.Context().Err() == nil; {
		left = false
		for _, err := range q.Stored(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			left = true
		}
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// A record that was damaged is dropped by name, and the others go on.
func TestCorruptRecord(t *testing.T) {
	db := open(t, vfs.NewMem())
	defer db.Close()
	q := New(db, "q/", nil)
	o := openQueue(t, q, actions.Limits{})
	push(t, o, "a", "b", "c")
	o.Close()
	middle := o.(*queue).key(1)
	for _, bad := range [][]byte{{}, {1, 2, 3}, append(make([]byte, 8), 1, 0xff)} {
		if err := db.Set(middle, bad, pebble.Sync); err != nil {
			t.Fatal(err)
		}
		o := openQueue(t, q, actions.Limits{})
		all := pop(t, o, 3)
		if all[0].Err != nil || !errors.Is(all[1].Err, actions.ErrCorrupt) || all[2].Request.ID != "c" {
			t.Errorf("%x: %v, %v, %q", bad, all[0].Err, all[1].Err, all[2].Request.ID)
		}
		o.Close()
	}
	o = openQueue(t, q, actions.Limits{})
	if err := o.Ack(pop(t, o, 3)); err != nil {
		t.Fatal(err)
	}
	if n, size := o.Size(); n != 0 || size != 0 {
		t.Errorf("size %d, %d", n, size)
	}
}

// Many callers share a sync.
func BenchmarkPush(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			db, err := pebble.Open(b.TempDir(), &pebble.Options{Logger: quiet{}})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			o, err := New(db, "q/", nil).OpenQueue(context.Background(), id, actions.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			defer o.Close()
			r := &actions.Request{ID: "1", Topic: "sensors/s1", Payload: make([]byte, 300)}
			b.ReportAllocs()
			b.SetParallelism(callers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := o.Push(context.Background(), r); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
