package rules

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// An Action does something with what a rule selected. Invoke is called from
// many goroutines.
//
// Invoke returns nil when the delivery is made, an error when it failed for
// good, whatever retries the action makes being behind it, and [ErrPending]
// when it has taken the delivery and reports the outcome later: exactly once,
// by f.Done, which may be before Invoke returns. An action whose deliveries
// outlive the process, or are too many to keep a function for each, reports by
// [Engine.Settle]; it is also a [Settler].
//
// An error may wrap [ErrDeadLettered], and have methods Permanent() bool (see
// [Engine.Handle]) and Resource() string (what failed: a URL, a table; an Action may have it as
// well). The methods are found with errors.As.
//
// Close, if an Action is an io.Closer, is called once, after the last Invoke
// has returned and the last pending delivery has been reported.
type Action interface {
	Invoke(ctx context.Context, f Firing) error
}

// An ActionFunc is an [Action] made of a function.
type ActionFunc func(ctx context.Context, f Firing) error

// Invoke calls a.
func (a ActionFunc) Invoke(ctx context.Context, f Firing) error { return a(ctx, f) }

// A Settler is an [Action] that reports outcomes to [Engine.Settle] when
// Settles returns true, which it does always or never.
type Settler interface {
	Settles() bool
}

func settles(a Action) bool {
	s, ok := a.(Settler)
	return ok && s.Settles()
}

// ErrorAction is the Action of a [Firing] that is for the error action.
const ErrorAction = -1

// A Firing is one delivery: a rule fired for a message, and one of its actions
// is to act. All it points at is only to be read, and may be kept.
type Firing struct {
	Rule    string // name
	Version int64  // of the rule

	// Action is the index in Rule.Actions, or ErrorAction.
	Action int

	// Trace names the message: its TraceID, or one made up if it has none.
	Trace string

	// Message is what the rule selected from, and what templates see.
	Message *Message

	// Output is what SELECT made; for the error action the JSON of an
	// [ErrorDocument].
	Output []byte

	// Variables are the values of the SET clause, for templates.
	Variables []Variable

	// Hops is how often rules have passed on the message, this time included:
	// 1 if a device published it. ctx carries the same number; a queue keeps
	// it and restores it by [WithHops].
	Hops int

	// Err is what failed, for the error action: *ActionErrors, joined. Nil
	// for any other.
	Err error

	flight *flight
	gen    uint32
}

// ID names the delivery: <trace>/<rule>/<action>, where action is a number or
// "error". It is the same for every try of the same message with the same
// TraceID, so that a receiver that remembers IDs can drop what it has seen.
func (f Firing) ID() string {
	return deliveryID(f.Trace, f.Rule, f.Action)
}

func deliveryID(trace, rule string, action int) string {
	if action == ErrorAction {
		return trace + "/" + rule + "/error"
	}
	return trace + "/" + rule + "/" + strconv.Itoa(action)
}

// parseID takes an ID apart. A trace may have slashes, a rule has none.
func parseID(id string) (trace, rule string, action int, err error) {
	rest, last, ok := cutLast(id)
	trace, rule, ok2 := cutLast(rest)
	if !ok || !ok2 {
		return "", "", 0, fmt.Errorf("%w: %q", ErrID, id)
	}
	if last == "error" {
		return trace, rule, ErrorAction, nil
	}
	n, err := strconv.ParseUint(last, 10, 6)
	if err != nil || int(n) >= maxTracked {
		return "", "", 0, fmt.Errorf("%w: %q", ErrID, id)
	}
	return trace, rule, int(n), nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// Done reports the outcome of a delivery for which Invoke returned, or is about
// to return, [ErrPending]: nil if it was made, else why it finally failed. If
// it was the last of its message and one has failed, the error action runs
// before Done returns. Only the first call counts.
func (f Firing) Done(err error) {
	if f.flight == nil {
		return
	}
	en := f.flight.entry(f.gen)
	if en == nil {
		return
	}
	var failed *failure
	if err != nil {
		failed = &failure{action: f.Action, err: err, resource: resource(err, en.action(f.Action))}
	}
	if f.Action == ErrorAction {
		f.flight.errorActionDone(failed)
		return
	}
	f.flight.report(f.gen, f.Action, f.Message, failed)
}

// A Settlement is the outcome of one delivery, told by its ID.
type Settlement struct {
	ID string // Firing.ID

	// Message is what the delivery was made from, as far as it is known. It is
	// needed where Err is set: error document and templates of the error
	// action are made from it.
	Message *Message

	// Hops is Firing.Hops of the delivery.
	Hops int

	Err error // nil if the delivery was made
}

// Settle reports the outcome of a delivery of a [Settler], of this process or
// an earlier one; it does what Firing.Done does. What belonged together in an
// earlier process is not known any more: each of its failures makes an error
// document of its own, and each of its outcomes counts as Carried in the
// [Ledger]. Of an outcome told twice, only the first counts if the message is
// still pending; otherwise it cannot be told from one of an earlier process.
//
// The error is [ErrNotFound] if the rule is gone: the outcome is counted in
// Stats.Unsettled and nothing else can be done about it.
func (e *Engine) Settle(ctx context.Context, s Settlement) error {
	trace, rule, action, err := parseID(s.ID)
	if err != nil {
		return err
	}
	if s.Err != nil && s.Message == nil {
		return errors.New("rules: a settlement with an error needs the message")
	}
	if f := e.flights.find(trace, rule, action); f != nil {
		failed := s.failure(f.en, action)
		if action == ErrorAction {
			f.errorActionDone(failed)
		} else {
			f.report(f.gen, action, s.Message, failed)
		}
		return nil
	}

	ix := e.pin()
	defer e.unpin(ix)
	en, ok := ix.rules.Get(rule)
	if !ok {
		e.stats.unsettled.Add(1)
		return fmt.Errorf("rules: rule %q: %w", rule, ErrNotFound)
	}
	failed := s.failure(en, action)
	en.ledger.carried.Add(1)
	en.ledger.matched.Add(1)
	switch {
	case action == ErrorAction && failed == nil:
		e.lose(en, ReasonErrorAction, errCarried)
	case action == ErrorAction && errors.Is(s.Err, ErrDeadLettered):
		e.lose(en, ReasonDeadLetter, en.actionError(failed))
	case action == ErrorAction:
		e.lose(en, ReasonErrorActionFailed, en.actionError(failed))
	case failed == nil:
		en.ledger.delivered.Add(1)
	default:
		m := *s.Message
		m.TraceID = trace
		l := &launch{ctx: hopContext{ctx, max(s.Hops, 1)}, e: e, trace: trace}
		f := &l.first
		f.start(l, en, 1<<action)
		f.report(f.gen, action, &m, failed)
		_, _ = f.land(&m, 0) // counted and logged; there is no publisher to tell
	}
	return nil
}

// failure is nil if the delivery was made.
func (s *Settlement) failure(en *entry, action int) *failure {
	if s.Err == nil {
		return nil
	}
	return &failure{action: action, err: s.Err, resource: resource(s.Err, en.action(action))}
}

var errCarried = errors.New("rules: an action failed in an earlier process")

// resource is what err or the action say that failed.
func resource(err error, a Action) string {
	var r interface{ Resource() string }
	if errors.As(err, &r) {
		return r.Resource()
	}
	if r, ok := a.(interface{ Resource() string }); ok {
		return r.Resource()
	}
	return ""
}
