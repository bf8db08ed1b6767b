package jobs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// A Service keeps jobs and their executions. It is safe for concurrent use. All
// of its state is in its Store.
type Service struct {
	store registry.Store
	reg   *registry.Registry
	opts  Options

	things keyedLocks // held while the executions of a thing change
	steps  keyedLocks // held while Run's work for a job is done
	out    outbox
	agenda agenda
	order  atomic.Int64 // the last Execution.Order

	observers struct {
		sync.RWMutex
		fns []*func(context.Context, Event)
	}
	stats counters
}

// New returns a Service over store, with the things and groups of reg. The
// store is for the Service alone: of a database it takes a prefix that is not
// the registry's. New does no I/O.
func New(store registry.Store, reg *registry.Registry, opts *Options) (*Service, error) {
	if store == nil || reg == nil {
		return nil, errors.New("jobs: New needs a store and a registry")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Service{store: store, reg: reg, opts: o}
	s.agenda.init()
	return s, nil
}

// ARN returns the ARN of a job, such as "job/j1".
func (s *Service) ARN(resource string) string { return s.reg.ARN(resource) }

// Now is the time by Options.Now.
func (s *Service) Now() time.Time { return s.opts.Now() }

// nextOrder returns a number larger than all it returned before, and in general
// also than those of an earlier process.
func (s *Service) nextOrder() int64 {
	for {
		prev := s.order.Load()
		next := max(prev+1, s.opts.Now().UnixNano())
		if s.order.CompareAndSwap(prev, next) {
			return next
		}
	}
}

// Observe calls fn for each event, those about one thing in the order of its
// changes. The call that made a change returns after fn has, unless fn made it.
// fn may call the Service.
func (s *Service) Observe(fn func(context.Context, Event)) (cancel func()) {
	s.observers.Lock()
	defer s.observers.Unlock()
	s.observers.fns = append(slices.Clone(s.observers.fns), &fn)
	return func() {
		s.observers.Lock()
		defer s.observers.Unlock()
		s.observers.fns = slices.DeleteFunc(slices.Clone(s.observers.fns), func(p *func(context.Context, Event)) bool { return p == &fn })
	}
}

// Stats are the counters of a Service. They only grow.
type Stats struct {
	Released uint64 // executions queued
	Updated  uint64 // changes of executions that were stored
	TimedOut uint64
	Retried  uint64
	Faults   uint64 // steps of Run, and notifications, that failed; see the log
}

type counters struct {
	released, updated, timedOut, retried, faults atomic.Uint64
}

// Stats returns the counters.
func (s *Service) Stats() Stats {
	c := &s.stats
	return Stats{c.released.Load(), c.updated.Load(), c.timedOut.Load(), c.retried.Load(), c.faults.Load()}
}

// change runs fn as a transaction on the executions of one thing, tells of it,
// and looks at the jobs it may have ended.
func (s *Service) change(ctx context.Context, thing string, limit int, fn func(*tx) error) error {
	unlock, ok := s.things.lock(thing, limit)
	if !ok {
		return ErrThrottled
	}
	t, parcel, err := s.changeLocked(ctx, thing, fn)
	unlock()
	if err != nil {
		return err
	}
	if parcel != nil {
		s.out.flush(ctx, thing, parcel)
	}
	// What is acknowledged is stored: what follows of it must not fail it.
	for _, job := range t.ended {
		if err := s.settle(context.WithoutCancel(ctx), job); err != nil {
			s.fault("job not settled, tried again", job, err)
			s.agenda.at(job, s.opts.Now().Add(retryAfter))
		}
	}
	return nil
}

func (s *Service) changeLocked(ctx context.Context, thing string, fn func(*tx) error) (*tx, *parcel, error) {
	t, err := s.update(ctx, fn)
	if err != nil {
		return nil, nil, err
	}
	if len(t.ops) == 0 {
		return t, nil, nil
	}
	s.stats.updated.Add(1)
	s.stats.retried.Add(t.retries)
	s.stats.released.Add(t.released)
	if !t.deadline.IsZero() {
		s.agenda.deadline(t.deadline)
	}
	// The change is stored: that the list cannot be read again is no failure of it.
	var notes []note
	for _, lane := range t.lanes {
		more, err := s.notes(context.WithoutCancel(ctx), thing, lane)
		if err != nil {
			s.fault("notification not made", "", err)
		}
		notes = append(notes, more...)
	}
	if len(notes) == 0 && len(t.events) == 0 {
		return t, nil, nil
	}
	return t, s.out.add(thing, func(ctx context.Context) {
		for _, note := range notes {
			s.tellNote(ctx, note)
		}
		s.tell(ctx, t.events)
	}), nil
}

func (s *Service) fault(what, job string, err error) {
	s.stats.faults.Add(1)
	s.opts.Logger.Error(what, "job", job, "err", err)
}
