package actions

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// A lane is one opened action: its plugin, its queue, its ledger.
type lane struct {
	d      *Dispatcher
	spec   Spec
	id     Identity
	action Action
	queue  Queue // nil if inline
	ledger ledger

	attempts Action // retries of action
	whole    Action // Options.Middleware around attempts

	refs      int         // handles open; guarded by d.mu
	abandoned atomic.Bool // no handle is open: to be retired once nothing is pending

	run    atomic.Pointer[running] // nil before Run
	active atomic.Int32            // workers there are
	idle   atomic.Int32            // of them, those that wait in Pop

	refused atomic.Bool
	// room is closed and replaced when something was settled, for callers
	// that wait by FullPolicy Block.
	roomMu sync.Mutex
	room   chan struct{}

	queueOnce, once sync.Once
	queueErr, err   error // of closeQueue and of shut
}

func newLane(d *Dispatcher, spec Spec, id Identity, action Action) *lane {
	l := &lane{d: d, spec: spec, id: id, action: action, room: make(chan struct{})}
	l.ledger.s.Identity, l.ledger.s.ID, l.ledger.s.Inline = id, id.ID(), spec.Inline
	timeout := d.opts.Timeout
	if spec.Timeout != 0 || spec.Inline {
		timeout = spec.Timeout // what is inline has the caller's context, which costs nothing
	}
	one := Action(Func(l.attempt))
	if timeout > 0 {
		one = Timeout(timeout)(one)
	}
	if spec.Inline {
		l.whole = Chain(one, d.opts.Middleware...)
		return l
	}
	policy := d.opts.Retry
	if spec.Retry != nil {
		policy = *spec.Retry
	}
	policy = policy.withDefaults()
	l.attempts = Func(func(ctx context.Context, r *Request) error { return policy.run(ctx, one, r, stopOf(ctx)) })
	l.whole = Chain(l.attempts, d.opts.Middleware...)
	return l
}

// attempt calls the plugin once.
func (l *lane) attempt(ctx context.Context, r *Request) error {
	err := doRecovered(ctx, l.action, r)
	var p *PanicError
	l.ledger.attempt(r.Attempt <= 1, errors.As(err, &p))
	return err
}

// take is Do of an open action.
func (l *lane) take(ctx context.Context, r *Request) error {
	request := *r
	if request.ID == "" {
		request.ID = newRequestID()
	}
	if l.refused.Load() {
		return l.refusal(RefusedClosed, ErrClosed)
	}
	if l.spec.Inline {
		return l.inline(ctx, &request)
	}
	// Counted first: the request may be settled before Push returns.
	l.ledger.take(false, 1)
	for {
		room := l.roomAhead()
		err := l.queue.Push(ctx, &request)
		switch {
		case err == nil:
			if r := l.run.Load(); r != nil && l.idle.Load() == 0 {
				r.spawn(l)
			}
			return nil
		case errors.Is(err, ErrQueueFull) && l.d.opts.Full == Block:
			select {
			case <-room:
				continue
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		case errors.Is(err, ErrQueueFull) && l.d.opts.Full == Drop:
			l.settle(&request, false, &FailedError{Action: l.spec.Name, Reason: DropFull, Err: err})
			return nil
		}
		l.ledger.untake()
		why := RefusedFailed
		switch {
		case errors.Is(err, ErrQueueFull):
			why = RefusedFull
		case errors.Is(err, ErrClosed):
			why = RefusedClosed
		}
		return l.refusal(why, err)
	}
}

func (l *lane) inline(ctx context.Context, r *Request) error {
	r.Attempt = 1
	l.ledger.take(false, 1)
	err := doRecovered(ctx, l.whole, r)
	if err != nil {
		l.ledger.untake()
		err = l.refusal(RefusedFailed, err)
	} else {
		l.settle(r, false, nil)
	}
	if l.abandoned.Load() {
		l.d.retire(l) // it was closed meanwhile
	}
	return err
}

func (l *lane) refusal(why Reason, err error) error {
	l.ledger.refuse(why, err, l.d.opts.Now())
	return err
}

// settle ends a request: nil is delivered. lost says that its Done is gone.
func (l *lane) settle(r *Request, lost bool, failed *FailedError) {
	l.ledger.settle(failed, l.d.opts.Now())
	var err error
	if failed != nil {
		err = failed
		l.d.opts.Logger.Warn("request failed", "action", l.spec.Name, "rule", r.Rule, "topic", r.Topic, "err", failed)
	}
	switch {
	case r.Done != nil && !lost:
		r.Done(err)
	case l.d.opts.Settled != nil:
		l.d.opts.Settled(r, err)
	}
}

// roomAhead is closed once something more has been settled.
func (l *lane) roomAhead() <-chan struct{} {
	l.roomMu.Lock()
	defer l.roomMu.Unlock()
	return l.room
}

func (l *lane) madeRoom() {
	if l.d.opts.Full != Block {
		return
	}
	l.roomMu.Lock()
	defer l.roomMu.Unlock()
	close(l.room)
	l.room = make(chan struct{})
}

// refuse ends taking.
func (l *lane) refuse() { l.refused.Store(true) }

// closeQueue ends the lane's workers.
func (l *lane) closeQueue() {
	l.queueOnce.Do(func() {
		if l.queue != nil {
			l.queueErr = l.queue.Close()
		}
	})
}

// shut closes queue and action. No worker may be in Do.
func (l *lane) shut() error {
	l.once.Do(func() {
		l.closeQueue()
		l.err = errors.Join(l.queueErr, closeAction(l.action))
	})
	return l.err
}

func (l *lane) stats() ActionStats {
	s := l.ledger.snapshot()
	if l.queue != nil {
		_, s.QueueBytes = l.queue.Size()
		s.Workers = int(l.active.Load())
	}
	return s
}

func (l *lane) workers() int {
	if c, ok := l.action.(Concurrent); ok {
		return c.Concurrency()
	}
	if l.spec.Workers != 0 {
		return l.spec.Workers
	}
	return l.d.opts.Workers
}

// A handle is what Open returns.
type handle struct {
	lane   *lane
	closed atomic.Bool
}

func (h *handle) Do(ctx context.Context, r *Request) error {
	if h.closed.Load() {
		return ErrClosed
	}
	return h.lane.take(ctx, r)
}

// Close may be called twice.
func (h *handle) Close() error {
	if h.closed.Swap(true) {
		return nil
	}
	d := h.lane.d
	d.mu.Lock()
	h.lane.refs--
	h.lane.abandoned.Store(h.lane.refs == 0)
	d.mu.Unlock()
	d.retire(h.lane)
	return nil
}
