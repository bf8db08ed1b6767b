package actions

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// keeping are queues in memory that outlive a dispatcher, so that what a
// durable queue means to one can be tested in a bubble.
type keeping struct {
	Memory
	mu   sync.Mutex
	open map[string]*keptQueue
}

type keptQueue struct {
	Queue
	owner  *keeping
	id     Identity
	mu     sync.Mutex
	unsent map[string]Request // by Request.ID: pushed and not acknowledged
}

func newKeeping() *keeping { return &keeping{open: map[string]*keptQueue{}} }

func (k *keeping) OpenQueue(ctx context.Context, id Identity, l Limits) (Queue, error) {
	q, err := k.Memory.OpenQueue(ctx, id, l)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := &keptQueue{Queue: q, owner: k, id: id, unsent: map[string]Request{}}
	if before := k.open[id.ID()]; before != nil {
		for key, r := range before.unsent {
			r.Done = nil
			now.unsent[key] = r
			if err := q.Push(ctx, &r); err != nil {
				return nil, err
			}
		}
	}
	k.open[id.ID()] = now
	return now, nil
}

func (k *keeping) Stored(context.Context) iter.Seq2[Identity, error] {
	return func(yield func(Identity, error) bool) {
		k.mu.Lock()
		open := maps.Clone(k.open)
		k.mu.Unlock()
		for _, q := range open {
			if len(q.unsent) > 0 && !yield(q.id, nil) {
				return
			}
		}
	}
}

func (q *keptQueue) Durable() bool { return true }

func (q *keptQueue) Push(ctx context.Context, r *Request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.Queue.Push(ctx, r)
	if err == nil {
		q.unsent[r.ID] = *r
	}
	return err
}

func (q *keptQueue) Pop(ctx context.Context, into []Entry) (int, error) {
	n, err := q.Queue.Pop(ctx, into)
	for i := range into[:n] {
		into[i].Lost = into[i].Request.Done == nil
	}
	return n, err
}

func (q *keptQueue) Ack(entries []Entry) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range entries {
		delete(q.unsent, entries[i].Request.ID)
	}
	return q.Queue.Ack(entries)
}

func catalogOf(t *testing.T, p *probe) *Catalog {
	t.Helper()
	c, err := NewCatalog(p.spec(false))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// process runs a dispatcher from use until Run has returned.
func process(t *testing.T, p *probe, opts *Options, use func(d *Dispatcher)) []ActionStats {
	t.Helper()
	d, err := NewDispatcher(catalogOf(t, p), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	synctest.Wait()
	use(d)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	return d.Stats()
}

// A shutdown in the middle of retries, or of a dead letter that does not go
// through, leaves the request to the next process, which delivers it though no
// rule opens the action any more, and tells Settled.
func TestShutdownLeavesDurableRequests(t *testing.T) {
	for name, letter := range map[string]Action{
		"retrying":       nil,
		"dead-lettering": Func(func(context.Context, *Request) error { return errors.New("disk full") }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queues := newKeeping()
				fail := &probe{do: func(context.Context, *Request) error {
					if letter != nil {
						return Permanent(errors.New("broken"))
					}
					return errors.New("away")
				}}
				opts := &Options{Queues: queues, Retry: RetryPolicy{MaxAttempts: 100, Min: time.Hour, Max: time.Hour}, DeadLetter: letter}
				s := process(t, fail, opts, func(d *Dispatcher) {
					a, err := d.OpenFor(t.Context(), "r", "probe", json.RawMessage(`{"x":1}`))
					if err != nil {
						t.Fatal(err)
					}
					if err := a.Do(t.Context(), &Request{ID: "1", Rule: "r", Done: func(err error) { t.Errorf("settled: %v", err) }}); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				})
				if s[0].Pending != 1 || s[0].HandedOver != 1 || len(s[0].Dropped) > 0 {
					t.Errorf("first process: %+v", s[0])
				}

				var settled []string
				ok := &probe{do: func(context.Context, *Request) error { return nil }}
				opts = &Options{Queues: queues, Settled: func(r *Request, err error) {
					if err != nil {
						t.Errorf("settled with %v", err)
					}
					settled = append(settled, r.Rule+" "+r.ID)
				}}
				process(t, ok, opts, func(d *Dispatcher) {
					synctest.Wait()
					if s := d.Stats(); len(s) != 0 {
						t.Errorf("not retired: %+v", s)
					}
				})
				if len(settled) != 1 || settled[0] != "r 1" || ok.opened != 1 || ok.closed != 1 {
					t.Errorf("settled %v, opened %d, closed %d", settled, ok.opened, ok.closed)
				}
			})
		})
	}
}

// A queue whose plugin is gone keeps its requests and hurts nobody.
func TestUnknownStoredAction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queues := newKeeping()
		gone := Identity{Owner: "r", Action: "removed"}
		q, err := queues.OpenQueue(t.Context(), gone, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Push(t.Context(), &Request{ID: "1"}); err != nil {
			t.Fatal(err)
		}
		process(t, &probe{}, &Options{Queues: queues}, func(*Dispatcher) {})
		if len(queues.open[gone.ID()].unsent) != 1 {
			t.Error("its request is lost")
		}
	})
}

// An action that never fires has one goroutine; one that is slow gets the rest.
func TestWorkersComeWithTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		p := &probe{do: func(context.Context, *Request) error { <-gate; return nil }}
		var busy, most int
		s, err := run(t, p, false, &Options{Workers: 3}, func(t *testing.T, d *Dispatcher, a Action) {
			if n := d.Stats()[0].Workers; n != 1 {
				t.Errorf("%d workers of an idle action", n)
			}
			for range 10 {
				if err := a.Do(t.Context(), &Request{}); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			busy = d.Stats()[0].Workers
			close(gate)
			synctest.Wait()
			most = d.Stats()[0].Workers
		})
		if err != nil || busy != 3 || most != 3 || s.Delivered != 10 || s.Workers != 0 {
			t.Errorf("%v: %d workers when busy, %d after, %+v", err, busy, most, s)
		}
	})
}

func TestClosedDispatcherRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{do: func(context.Context, *Request) error { return nil }}
		var d *Dispatcher
		var a Action
		run(t, p, false, nil, func(_ *testing.T, dispatcher *Dispatcher, action Action) { d, a = dispatcher, action })
		if err := a.Do(t.Context(), &Request{}); !errors.Is(err, ErrClosed) {
			t.Errorf("Do: %v", err)
		}
		if _, err := d.Open(t.Context(), "probe", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Open: %v", err)
		}
		if err := d.Run(t.Context()); err == nil {
			t.Error("a second Run")
		}
		if s := d.Stats()[0]; s.Refused[RefusedClosed] != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// An inline action that is closed while a Do is under way is closed after it.
func TestInlineClosedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{}
		run(t, p, true, nil, func(t *testing.T, d *Dispatcher, a Action) {
			b, err := d.OpenFor(t.Context(), "other", "probe", nil) // keeps Stats from being empty
			if err != nil {
				t.Fatal(err)
			}
			_ = b
			p.do = func(context.Context, *Request) error {
				a.(*handle).Close()
				if p.closed != 0 {
					t.Error("closed under Do")
				}
				return nil
			}
			if err := a.Do(t.Context(), &Request{}); err != nil {
				t.Fatal(err)
			}
			if p.closed != 1 || len(d.Stats()) != 1 {
				t.Errorf("closed %d times, %d open", p.closed, len(d.Stats()))
			}
		})
	})
}

// Rules are opened, fired and closed from many goroutines; nothing is lost, no
// plugin stays open, no goroutine stays.
func TestOpenCloseUnderLoad(t *testing.T) {
	before := runtime.NumGoroutine()
	var mu sync.Mutex
	var opened, closed, delivered, done int
	count := func(n *int) { mu.Lock(); *n++; mu.Unlock() }
	c, err := NewCatalog(Spec{Name: "probe", Open: func(context.Context, json.RawMessage) (Action, error) {
		count(&opened)
		return &counted{do: func() { count(&delivered) }, close: func() { count(&closed) }}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDispatcher(c, &Options{Limits: Limits{MaxCount: -1}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	var wg sync.WaitGroup
	const goroutines, each = 8, 200
	for range goroutines {
		wg.Go(func() {
			for range each {
				a, err := d.Open(ctx, "probe", nil)
				if err != nil {
					t.Error(err)
					return
				}
				if err := a.Do(ctx, &Request{Done: func(error) { count(&done) }}); err != nil {
					t.Error(err)
				}
				a.(*handle).Close()
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if opened != closed || delivered != goroutines*each || done != goroutines*each {
		t.Errorf("opened %d, closed %d, delivered %d, done %d", opened, closed, delivered, done)
	}
	// Those that have nothing left to do but to end may be off their processor for a while.
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		if runtime.NumGoroutine() <= before {
			return
		}
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

type counted struct{ do, close func() }

func (c *counted) Do(context.Context, *Request) error { c.do(); return nil }
func (c *counted) Close() error                       { c.close(); return nil }
