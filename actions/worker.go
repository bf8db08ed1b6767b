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

// start starts the workers of a lane.
func (r *running) start(l *lane) {
	for range l.workers() {
		r.wg.Go(func() { r.worker(l) })
	}
}

// worker delivers until the queue is closed or the dispatcher stops taking.
func (r *running) worker(l *lane) {
	work := r.work
	if l.queue.Durable() {
		// Only what a durable queue keeps may be left in the middle of its retries.
		work = context.WithValue(work, stopKey{}, r.stop)
	}
	var one [1]Entry
	for {
		n, err := l.queue.Pop(r.pop, one[:])
		switch {
		case n > 0:
			r.deliver(work, l, &one[0])
			one[0] = Entry{}
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

// deliver brings one request to its end and settles it, or leaves it in its
// durable queue for the next process.
func (r *running) deliver(ctx context.Context, l *lane, e *Entry) {
	q := &e.Request
	err := e.Err
	if err == nil {
		err = doRecovered(ctx, l.whole, q)
	}
	var failed *FailedError
	if err != nil {
		var stopped *stoppedError
		if l.queue.Durable() && e.Err == nil && (errors.As(err, &stopped) || ctx.Err() != nil) {
			return
		}
		failed = r.fail(ctx, l, e, err)
	}
	l.settle(q, e.Lost, failed)
	if err := l.queue.Ack([]Entry{*e}); err != nil {
		l.d.opts.Logger.Error("acknowledge, the request may be delivered again", "action", l.spec.Name, "err", err)
	}
	l.madeRoom()
	if l.ledger.pending() == 0 {
		l.d.retireLater(r, l)
	}
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

// retireLater closes a lane that nobody has open any more, from a goroutine of
// its own: a worker of that lane cannot wait for itself.
func (d *Dispatcher) retireLater(r *running, l *lane) {
	d.mu.Lock()
	idle := l.refs == 0
	d.mu.Unlock()
	if idle && r.pop.Err() == nil {
		r.wg.Go(func() { d.retire(l) })
	}
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
