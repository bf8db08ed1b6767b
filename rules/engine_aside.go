package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	acts bool          // the statement is evaluated, actions are next; guarded by asides.mu
	gone bool          // Shutdown has given it up; guarded by asides.mu
}

// asides are those that Handle has left behind, for Drain and Close to wait for.
type asides struct {
	mu   sync.Mutex
	left map[*aside]struct{}
	none chan struct{} // closed when there is none again; nil while nobody waits
}

// forget takes an aside off the list. mu is held.
func (s *asides) forget(a *aside) {
	delete(s.left, a)
	if len(s.left) == 0 && s.none != nil {
		close(s.none)
		s.none = nil
	}
}

// An asideContext has the values of the message's context and ends with the
// engine, since the message is the rule's even where the publisher gives up.
type asideContext struct {
	context.Context // Engine.life
	values          context.Context
}

func (c *asideContext) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.values.Value(key)
}

// beside begins to evaluate en, of the caller's index, on h's message.
func (h *handling) beside(en *entry) *aside {
	e, m, hops := h.e, h.m, h.hops
	if en.behind.Load() >= int64(e.opts.MaxBehind) {
		e.lose(en, ReasonSlow, errSlow)
		return nil
	}
	ctx := &asideContext{e.life, h.ctx}
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
		own := handling{e: e, ctx: ctx, m: m, trace: trace, hops: hops, left: 1, aside: a}
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
	if s.left == nil {
		s.left = map[*aside]struct{}{}
	}
	s.left[a] = struct{}{}
	return true
}

// proceeds says that the statement of an aside has been evaluated, and reports
// whether anybody wants to know.
func (e *Engine) proceeds(a *aside) bool {
	e.asides.mu.Lock()
	defer e.asides.mu.Unlock()
	a.acts = !a.gone
	return a.acts
}

// abandon gives up what is still left behind.
func (e *Engine) abandon() error {
	s := &e.asides
	var gone []*entry
	acting := 0
	s.mu.Lock()
	for a := range s.left {
		if a.acts {
			acting++ // it has an outcome, or its actions will report one
			continue
		}
		a.gone = true
		s.forget(a)
		gone = append(gone, a.en)
	}
	s.mu.Unlock()
	e.giveUp()
	count := map[string]int{}
	for _, en := range gone {
		e.stats.givenUp.Add(1)
		e.lose(en, ReasonClosed, ErrGivenUp)
		count[en.rule.Name]++
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d of rule %s", count[name], name))
	}
	if acting > 0 {
		parts = append(parts, fmt.Sprintf("%d at their actions", acting))
	}
	if parts == nil {
		return nil // the last one has just ended
	}
	return fmt.Errorf("%w: %s", ErrGivenUp, strings.Join(parts, ", "))
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
		s.forget(a)
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
	if len(s.left) == 0 {
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
