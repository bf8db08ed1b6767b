package rules

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/thingloom/thingloom/internal/sql"
)

// A rule whose statement asks the outside, or calls a function of the user's,
// takes as long as that function. It is evaluated on a goroutine of its own,
// so that neither the other rules of the message nor the publisher's next
// messages wait for it: Handle waits for Options.Patience and leaves behind
// what is not done by then. A rule of which something has been left behind is
// known to be slow and not waited for at all.

// errSlow is the failure of a message that a slow rule had no room for.
var errSlow = errors.New("rules: too many messages wait for the functions of the statement")

// An aside is the evaluation of one rule beside Handle.
type aside struct {
	en   *entry
	done chan struct{} // closed when the actions have been invoked
	err  error         // what Handle returns of it, from then on
	left bool          // Handle does not wait; guarded by asides.mu
	over bool          // done is closed; guarded by asides.mu
}

// asides counts what Handle has left behind, for Drain and Close to wait for.
type asides struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n is 0 again; nil while nobody waits
}

// beside begins to evaluate en, of the caller's index, on h's message.
func (h *handling) beside(en *entry) *aside {
	e, m, hops := h.e, h.m, h.hops
	if en.behind.Load() >= int64(e.opts.MaxBehind) {
		e.lose(en, ReasonSlow, errSlow)
		return nil
	}
	// The message is the rule's even where the publisher gives up.
	ctx := context.WithoutCancel(h.ctx)
	var at time.Time // as trace the same for all rules of the message
	var trace string
	if h.w != nil {
		if at = h.w.ev.Input.Time; m.TraceID == "" {
			if h.launch == nil {
				h.start(0)
			}
			trace = h.launch.trace
		}
	}
	en.refs.Add(1)
	a := &aside{en: en, done: make(chan struct{})}
	go func() {
		defer e.finish(a)
		own := handling{e: e, ctx: ctx, m: m, trace: trace, hops: hops, left: 1}
		own.begin()
		defer own.end()
		if !at.IsZero() {
			own.w.ev.Input.Time = at
		}
		a.err = own.fire(en, &sql.RunOptions{Variables: en.vars})
	}()
	return a
}

// await waits for asides, and leaves behind what takes too long. The error
// is what Handle returns of the others.
func (h *handling) await(all []*aside) error {
	var lost []error
	var timer *time.Timer
	for _, a := range all {
		select {
		case <-a.done:
			lost = append(lost, a.err)
			continue
		default:
		}
		if a.en.behind.Load() > 0 {
			if !h.e.leave(a) {
				lost = append(lost, a.err)
			}
			continue
		}
		if timer == nil {
			timer = time.NewTimer(h.e.opts.Patience)
			defer timer.Stop()
		}
		select {
		case <-a.done:
			lost = append(lost, a.err)
			continue
		case <-timer.C:
		case <-h.ctx.Done():
		}
		timer.Reset(0) // over for all that are left
		if !h.e.leave(a) {
			lost = append(lost, a.err)
		}
	}
	return errors.Join(lost...)
}

// leave hands an aside over from Handle to Close, unless it is over just now.
func (e *Engine) leave(a *aside) bool {
	s := &e.asides
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.over {
		return false
	}
	a.left = true
	a.en.behind.Add(1)
	s.n++
	return true
}

// finish is the end of an aside, whoever waits for it: who does may count on
// its actions being closed, if it was the last that needed them.
func (e *Engine) finish(a *aside) {
	a.en.release()
	s := &e.asides
	s.mu.Lock()
	a.over = true
	if a.left {
		a.en.behind.Add(-1)
		if s.n--; s.n == 0 && s.none != nil {
			close(s.none)
			s.none = nil
		}
	}
	s.mu.Unlock()
	close(a.done)
}

// Drain waits until what Handle has left behind (see Options.Patience) is over,
// the invocations of its actions included, or ctx is done, whose error it
// returns. A program that stops calls it when no message comes in any more, and
// before it stops what actions hand their deliveries to.
func (e *Engine) Drain(ctx context.Context) error {
	s := &e.asides
	s.mu.Lock()
	if s.n == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.none == nil {
		s.none = make(chan struct{})
	}
	none := s.none
	s.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
