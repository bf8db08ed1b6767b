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
// Statements and actions run on the calling goroutine, one after the other. An
// action that is not quick puts the delivery into a queue and returns
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
	h := handling{e: e, ctx: ctx, m: m, hops: hops, trace: m.TraceID}

	if name, _, ok := basicIngestRule(m.Topic); ok {
		en, found := ix.rules.get(name)
		if !found || !en.runs() {
			e.stats.notFound.Add(1)
			e.opts.Logger.Debug("message for a rule that is not there", "rule", name)
			return nil
		}
		return e.held(h.fire(en))
	}

	var room [8]*entry // keeps the common case off the heap
	matched := ix.tree.match(m.Topic, room[:0])
	if len(matched) == 0 {
		e.stats.unmatched.Add(1)
		return nil
	}
	var lost []error
	for _, en := range matched {
		if err := h.fire(en); err != nil {
			lost = append(lost, err)
		}
	}
	return e.held(errors.Join(lost...))
}

func (e *Engine) held(err error) error {
	if err != nil {
		e.stats.held.Add(1)
	}
	return err
}

// A handling is one call of Handle.
type handling struct {
	e     *Engine
	ctx   context.Context
	m     *Message
	hops  int
	trace string // made up when first needed if the message has none
}

// fire evaluates one rule on the message and invokes its actions. The error is
// what Handle returns of it.
func (h *handling) fire(en *entry) error {
	en.ledger.matched.Add(1)
	out, vars, selected, err := en.eval(h.ctx, h.m)
	switch {
	case err != nil:
		reason := ReasonStatement
		if errors.Is(err, ErrPanic) {
			reason = ReasonPanic
		}
		h.e.lose(en, reason, err)
		return nil
	case !selected:
		en.ledger.filtered.Add(1)
		return nil
	case len(en.actions) == 0:
		en.ledger.delivered.Add(1)
		return nil
	}
	if h.trace == "" {
		h.trace = newTrace()
	}
	f := h.e.newFlight(h.ctx, en, h.trace, h.hops, 1<<len(en.actions)-1)
	f.vars = vars
	for i, a := range en.actions {
		err := invoke(&f.ctx, a, f.firing(i, h.m, out))
		if err == nil {
			f.report(i, h.m, nil)
		} else if !errors.Is(err, ErrPending) {
			f.report(i, h.m, &failure{action: i, inline: true, err: err, resource: resource(err, a)})
		}
	}
	return f.land(h.m)
}

// eval is the statement, and a panic in one of its functions is an error.
func (e *entry) eval(ctx context.Context, m *Message) (out []byte, vars []Variable, selected bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = newPanicError(v)
		}
	}()
	if e.vars {
		return e.query.EvalVariables(ctx, m)
	}
	out, selected, err = e.query.Eval(ctx, m)
	return out, nil, selected, err
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
// message fired.
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
