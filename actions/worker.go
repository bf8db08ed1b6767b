package actions

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// running is one Run of a Dispatcher: its workers and how they end.
type running struct {
	work   context.Context // ends when attempts have to end
	cancel context.CancelFunc
	pop    context.Context // ends when nothing more is taken from queues
	noPop  context.CancelFunc
	stop   chan struct{} // closed when waits between attempts end

	mu    sync.Mutex // guards ended and the growth of wg
	ended bool       // no goroutine is added any more
	wg    sync.WaitGroup

	given atomic.Int64 // requests given up
}

type stopKey struct{}

// stopOf is the channel that ends waits between attempts; nil if there is none.
func stopOf(ctx context.Context) <-chan struct{} {
	stop, _ := ctx.Value(stopKey{}).(chan struct{})
	return stop
}

func newRunning() *running {
	r := &running{stop: make(chan struct{})}
	r.work, r.cancel = context.WithCancel(context.Background())
	r.pop, r.noPop = context.WithCancel(r.work)
	return r
}

// start begins the delivery of a lane, with one worker; the others come with the work.
func (r *running) start(l *lane) {
	l.run.Store(r)
	r.spawn(l)
}

// spawn adds a worker to a lane unless it has all it may have. A worker stays
// until the lane or the Run ends, so that a request costs no goroutine.
func (r *running) spawn(l *lane) {
	if int(l.active.Load()) >= l.workers() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || int(l.active.Load()) >= l.workers() {
		return
	}
	l.active.Add(1)
	r.wg.Go(func() {
		defer l.active.Add(-1)
		r.worker(l)
	})
}

const (
	maxBatch = 16
	// A crash delivers again what was not acknowledged: not more than a
	// batch, nor more than a slow sink takes in this time.
	ackAfter = 50 * time.Millisecond
)

// batch is how many requests a worker takes at once: few when there are few,
// lest one worker sits on what others could deliver.
func (l *lane) batch() int {
	return min(max(1, int(l.ledger.pending())/(4*l.workers())), maxBatch)
}

// worker delivers until the queue is closed or the dispatcher stops taking.
func (r *running) worker(l *lane) {
	work := r.work
	if l.queue.Durable() {
		// Only what a durable queue keeps may be left in the middle of its retries.
		work = context.WithValue(work, stopKey{}, r.stop)
	}
	var buf, done []Entry
	for {
		n := l.batch()
		if n > len(buf) {
			buf = make([]Entry, n)
		}
		l.idle.Add(1)
		n, err := l.queue.Pop(r.pop, buf[:n])
		l.idle.Add(-1)
		switch {
		case n > 0:
			if l.idle.Load() == 0 && l.ledger.pending() > uint64(n) {
				r.spawn(l)
			}
			done = r.deliverAll(work, l, buf[:n], done)
		case r.pop.Err() != nil || errors.Is(err, ErrClosed):
			return
		case err != nil:
			l.d.opts.Logger.Error("queue", "action", l.spec.Name, "err", err)
			select {
			case <-time.After(time.Second): // a failing disk is not asked in a loop
			case <-r.pop.Done():
				return
			}
		}
	}
}

// deliverAll delivers entries in order and acknowledges them. done is room to
// work in, and is returned empty.
func (r *running) deliverAll(ctx context.Context, l *lane, entries, done []Entry) []Entry {
	since := time.Now()
	for i := range entries {
		if l.queue.Durable() && r.pop.Err() != nil {
			break // the rest stays for the next process
		}
		if r.deliver(ctx, l, &entries[i]) {
			done = append(done, entries[i])
		}
		if len(entries) > 1 && time.Since(since) > ackAfter {
			done = l.ack(done)
			since = time.Now()
		}
	}
	done = l.ack(done)
	clear(entries) // payloads are not kept alive by an idle worker
	if l.abandoned.Load() && l.ledger.pending() == 0 {
		// From a goroutine of its own: a worker of that lane cannot wait for itself.
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.ended {
			r.wg.Go(func() { l.d.retire(l) })
		}
	}
	return done
}

func (l *lane) ack(done []Entry) []Entry {
	if len(done) == 0 {
		return done
	}
	if err := l.queue.Ack(done); err != nil {
		l.d.opts.Logger.Error("acknowledge, requests may be delivered again", "action", l.spec.Name, "err", err)
	}
	l.madeRoom()
	clear(done)
	return done[:0]
}

// deliver brings one request to its end and settles it. It reports false for
// one that it leaves in its durable queue for the next process.
func (r *running) deliver(ctx context.Context, l *lane, e *Entry) bool {
	q := &e.Request
	err := e.Err
	if err == nil {
		err = doRecovered(ctx, l.whole, q)
	}
	var failed *FailedError
	if err != nil {
		if e.Err == nil && l.interrupted(ctx, err) {
			return false
		}
		if failed = r.fail(ctx, l, e, err); failed.Reason == DropDeadLetter && l.interrupted(ctx, failed.Err) {
			return false // its dead letter is written by the next process
		}
	}
	l.settle(q, e.Lost, failed)
	return true
}

// interrupted reports whether attempts ended because the dispatcher did, with
// the request safe in its queue.
func (l *lane) interrupted(ctx context.Context, err error) bool {
	var stopped *stoppedError
	return l.queue.Durable() && (ctx.Err() != nil || errors.As(err, &stopped))
}

// fail decides what becomes of a request that cannot be delivered.
func (r *running) fail(ctx context.Context, l *lane, e *Entry, err error) *FailedError {
	f := &FailedError{Action: l.spec.Name, Attempts: e.Request.Attempt, Reason: DropFailed, Err: err}
	switch {
	case errors.Is(e.Err, ErrExpired):
		f.Reason = DropExpired
	case e.Err != nil:
		f.Reason = DropCorrupt
		return f
	case ctx.Err() != nil:
		f.Reason = DropShutdown
		r.given.Add(1)
		return f
	}
	letter := l.d.opts.DeadLetter
	if letter == nil {
		return f
	}
	policy := l.d.opts.Retry.withDefaults()
	again := Func(func(ctx context.Context, q *Request) error {
		return policy.run(ctx, Func(func(ctx context.Context, q *Request) error { return doRecovered(ctx, letter, q) }), q, stopOf(ctx))
	})
	if sent := sendDeadLetter(ctx, l.spec.Name, again, l.d.opts.Now, &e.Request, err); sent != nil {
		f.Reason, f.Err = DropDeadLetter, errors.Join(err, sent)
		return f
	}
	f.DeadLettered = true
	return f
}

// drain waits until what has to be delivered is, or timeout has passed, and
// ends the workers. It returns how many requests were given up.
func (r *running) drain(lanes []*lane, timeout time.Duration) int64 {
	close(r.stop)
	late, inTime := context.WithTimeout(context.Background(), timeout)
	defer inTime()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late.Err() == nil {
		busy := false
		for _, l := range lanes {
			busy = busy || l.queue != nil && !l.queue.Durable() && l.ledger.pending() > 0
		}
		if !busy {
			break
		}
		select {
		case <-tick.C:
		case <-late.Done():
		}
	}
	r.noPop()
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	ended := make(chan struct{})
	go func() { r.wg.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-late.Done():
		r.cancel()
		<-ended
	}
	r.cancel()
	// What no worker got to.
	for _, l := range lanes {
		if l.queue == nil || l.queue.Durable() {
			continue
		}
		gone, cancel := context.WithTimeout(context.Background(), time.Second)
		var one [1]Entry
		for l.ledger.pending() > 0 {
			if n, err := l.queue.Pop(gone, one[:]); n == 0 || err != nil {
				break
			}
			r.given.Add(1)
			l.settle(&one[0].Request, one[0].Lost, &FailedError{Action: l.spec.Name, Reason: DropShutdown, Err: ErrDrain})
			if err := l.queue.Ack(one[:]); err != nil {
				break
			}
		}
		cancel()
	}
	return r.given.Load()
}
