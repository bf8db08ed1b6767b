package rules

import (
	"context"
	"errors"
	"runtime/debug"
)

// Handle offers m to every rule whose filter matches its topic, each on its
// own: what goes wrong in one changes nothing for the others. A topic
// $aws/rules/<name>/... goes to the rule of that name and to no other, whatever
// its filter (Basic Ingest). m and its payload must not change any more.
//
// Statements and actions run on the calling goroutine, one after the other, but
// for rules that ask the outside, which are waited for within Options.Patience.
// An action that is not quick puts the delivery into a queue and returns
// [ErrPending]; one that waits makes the caller wait. ctx is handed to them;
// it carries the number of hops, see [Hops].
//
// # What the error means
//
// A nil error says that every delivery has an owner: it was made, or a queue
// has it, or the error action has taken the document about it, or another try
// of the same message could not make it either. The publisher may be told that
// its message has arrived. An error says that a delivery was lost that another
// try might make: an action refused it, or failed before Handle returned, and
// there is no error action or that failed too. Whoever can make the publisher
// send the message again should, and the rules that had delivered it will
// deliver it twice: at least once is the promise. The error joins one
// [*ActionError] for each such action.
//
// A failure is taken as permanent, and costs no error here, if it has a
// method Permanent() bool that returns true, as panics have, or wraps
// [ErrDeadLettered]. Failures of statements are permanent too: they are counted
// and logged.
//
// While an action of the same rule is still pending the outcome is open, and
// if the rule has an error action Handle returns nil: the one document that
// lists all failures is made when the last action has reported.
//
// A message passed on more than Options.MaxHops times is refused with
// [ErrHopLimit] and reaches no rule.
func (e *Engine) Handle(ctx context.Context, m *Message) error {
	e.stats.messages.Add(1)
	hops := Hops(ctx)
	if hops > e.opts.MaxHops {
		e.stats.hopLimit.Add(1)
		e.opts.Logger.Debug("message refused at the hop limit", "topic", m.Topic, "hops", hops)
		return ErrHopLimit
	}
	ix := e.pin()
	defer e.unpin(ix)
	h := handling{e: e, ctx: ctx, m: m, hops: hops, left: 1}

	if name, _, ok := basicIngestRule(m.Topic); ok {
		en, found := ix.rules.Get(name)
		if !found || !en.runs() {
			e.stats.notFound.Add(1)
			e.opts.Logger.Debug("message for a rule that is not there", "rule", name)
			return nil
		}
		return h.one(en)
	}

	var room [8]spot // keeps the common case off the heap
	spots := ix.tree.match(m.Topic, room[:0])
	switch {
	case len(spots) == 0:
		e.stats.unmatched.Add(1)
		return nil
	case len(spots) == 1 && spots[0].only != nil:
		return h.one(spots[0].only)
	}
	return h.many(ix, spots)
}

func (e *Engine) held(err error) error {
	if err != nil {
		e.stats.held.Add(1)
	}
	return err
}

// lose counts and tells that a message was not delivered.
func (e *Engine) lose(en *entry, reason Reason, err error) {
	log := e.opts.Logger.Debug
	if en.ledger.lose(reason, err, e.opts.Now()) {
		log = e.opts.Logger.Warn
	}
	log("rule did not deliver", "rule", en.rule.Name, "reason", string(reason), "error", err)
	if e.opts.Trace.Failed != nil {
		e.opts.Trace.Failed(en.rule.Name, reason, err)
	}
}

func newPanicError(v any) error {
	if err, ok := v.(error); ok && errors.Is(err, ErrPanic) {
		return err
	}
	return &PanicError{Value: v, Stack: debug.Stack()}
}

// The hop count travels in the context, since in one process a republished
// message comes back to Handle on the same call stack.

type hopsKey struct{}

// Hops is how often rules have passed on the message that ctx belongs to: 0 for
// one that a device published, 1 in the context of an action that such a
// message fired, and in that of a function that a statement calls for it.
func Hops(ctx context.Context) int {
	n, _ := ctx.Value(hopsKey{}).(int)
	return n
}

// WithHops returns a context that counts n hops. Queues that deliver on a
// goroutine of their own, and bridges that get a message back from outside,
// restore with it what Firing.Hops said.
func WithHops(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, hopsKey{}, n)
}

// hopContext is WithHops without a second allocation.
type hopContext struct {
	context.Context
	hops int
}

func (c *hopContext) Value(key any) any {
	if _, ok := key.(hopsKey); ok {
		return c.hops
	}
	return c.Context.Value(key)
}
