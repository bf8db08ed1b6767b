package actions

import (
	"errors"
	"log/slog"
	"time"
)

// A FullPolicy says what Do does when the queue of an action is full.
type FullPolicy int

const (
	// Refuse returns ErrQueueFull, so that the rule's error action sees it. The default.
	Refuse FullPolicy = iota
	// Block waits for room, or for the context of Do to be done. It holds up
	// the publisher whose message fired the rule.
	Block
	// Drop gives the new request up: Do returns nil, Done and the ledger are
	// told, as DropFull.
	Drop
)

// Options are the optional parts of a Dispatcher. A nil *Options is all defaults.
type Options struct {
	// Queues keep what waits. Nil means NewMemory(), which loses it when the
	// process ends; actionspebble.Queues does not.
	Queues Queues

	// Limits bound the queue of each action.
	Limits Limits

	// Full says what happens at a limit. Zero means Refuse.
	Full FullPolicy

	// Workers is how many requests of one action are delivered at a time. With
	// more than one they may overtake each other. Zero means 4.
	Workers int

	// Timeout bounds each attempt. Zero means 10 s; negative means none.
	Timeout time.Duration

	// Retry says how failed attempts are repeated. The zero value is its defaults.
	Retry RetryPolicy

	// DeadLetter takes what finally failed, as a DeadLetterRecord. Nil means that it
	// is dropped as DropFailed. It is tried by the same policy as actions.
	DeadLetter Action

	// Middleware wraps each action, first outermost, outside of retry: it sees
	// a request once, and its final error.
	Middleware []Middleware

	// Settled is told the outcome of requests whose Done is not there to be
	// called (see Request.Done): err is nil or a *FailedError. It runs on the
	// action's workers.
	Settled func(r *Request, err error)

	// DrainTimeout is how long Run goes on after its context is done: for
	// requests in memory until they are settled, for those in a durable queue
	// until the attempts under way have ended. Zero means 10 s.
	DrainTimeout time.Duration

	// Now gives the time written into dead letters. Nil means time.Now.
	Now func() time.Time

	// Logger hears of dead letters, drops, panics and queues that cannot be opened. Nil is silence.
	Logger *slog.Logger
}

func (o *Options) withDefaults() (Options, error) {
	var r Options
	if o != nil {
		r = *o
	}
	var errs []error
	if r.Full < Refuse || r.Full > Drop {
		errs = append(errs, errors.New("actions: Options.Full is no FullPolicy"))
	}
	if r.Workers < 0 {
		errs = append(errs, errors.New("actions: Options.Workers is negative"))
	}
	if r.DrainTimeout < 0 {
		errs = append(errs, errors.New("actions: Options.DrainTimeout is negative"))
	}
	if err := r.Retry.check(); err != nil {
		errs = append(errs, err)
	}
	for _, m := range r.Middleware {
		if m == nil {
			errs = append(errs, errors.New("actions: Options.Middleware has a nil"))
		}
	}
	if r.Queues == nil {
		r.Queues = NewMemory()
	}
	if r.Workers == 0 {
		r.Workers = 4
	}
	if r.Timeout == 0 {
		r.Timeout = 10 * time.Second
	}
	if r.DrainTimeout == 0 {
		r.DrainTimeout = 10 * time.Second
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	return r, errors.Join(errs...)
}
