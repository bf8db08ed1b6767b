package rules

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// A flight is one message on its way through the actions of one rule, from the
// first Invoke until the last action has reported, and then until the error
// action has.
type flight struct {
	l  *launch
	en *entry

	// gen grows by two each time that the memory is used again; it is odd once
	// anybody but who invokes the actions has been at work on the flight. A
	// flight of which it stays even is over without a lock.
	gen atomic.Uint32

	mu      sync.Mutex
	pending bool   // land has returned; en is referenced
	open    uint64 // a bit for each action that has not reported, and for the steps below
	more    *flightMore
}

// touch reports whether gen, which is even, is that of the flight, and keeps
// its memory from being used again without a lock. The caller holds f.mu.
func (f *flight) touch(gen uint32) bool {
	return f.gen.Load() == gen|1 || f.gen.CompareAndSwap(gen, gen|1)
}

// quick ends a flight of one action, which has delivered, and of which nobody
// has set more. It fails if somebody has been at work on it: then it is to be
// reported and landed. Who reports again later, against the rules, has the
// wrong gen.
func (f *flight) quick() bool {
	gen, en := f.gen.Load(), f.en
	if gen&1 == 1 || !f.gen.CompareAndSwap(gen, gen+2) {
		return false
	}
	f.l, f.en = nil, nil
	en.ledger.delivered.Add(1)
	return true
}

// entry is nil if f is another flight by now.
func (f *flight) entry(gen uint32) *entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.touch(gen) {
		return nil
	}
	return f.en
}

// flightMore is what few flights have.
type flightMore struct {
	failures []*failure
	vars     []Variable

	// batch are the flights that have failed together with this one, which
	// represents them before the error action.
	batch []*flight
}

func (f *flight) failures() []*failure {
	if f.more == nil {
		return nil
	}
	return f.more.failures
}

// extra is called with f.mu held, or before anybody else knows f.
func (f *flight) extra() *flightMore {
	if f.more == nil {
		f.more = new(flightMore)
	}
	return f.more
}

// The bits of flight.open above those of the actions.
const (
	maxTracked = 62              // actions
	launching  = 1 << maxTracked // land has not been called
	erring     = launching << 1  // the error action is called for and has not reported
)

// A failure is what an action reported.
type failure struct {
	action   int
	inline   bool // returned by Invoke, so that Handle can still tell its caller
	resource string
	err      error
}

// start makes f a flight of the actions whose bits are set. A late caller of
// Firing.Done looks at gen alone, which is not his any more.
func (f *flight) start(l *launch, en *entry, actions uint64) {
	f.l, f.en, f.open = l, en, launching|actions
	if en.settled {
		l.e.flights.add(f)
	}
}

// describe fills in the firing of an action, all but Err. It looks at nothing of
// f that an action which has already been invoked may change at the same time.
// Field by field in place: a Firing is large, and a copy waits for what was just
// written.
func (f *flight) describe(to *Firing, action int, m *Message, out []byte, vars []Variable) {
	to.Rule, to.Version, to.Action, to.Trace = f.en.name, f.en.version, action, f.l.trace
	to.Message, to.Output, to.Variables, to.Hops = m, out, vars, f.l.ctx.hops
	to.flight, to.gen = f, f.gen.Load()&^1
}

// invoke calls the action, and makes an error of a panic.
func invoke(ctx context.Context, a Action, firing *Firing) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = newPanicError(v)
		}
	}()
	return a.Invoke(ctx, *firing)
}

// report takes the outcome of one action. Whoever reports last ends the flight.
func (f *flight) report(gen uint32, action int, m *Message, failed *failure) {
	if f.note(gen, action, failed) {
		_ = f.end(f.l.later(), m) // counted and logged; Handle has returned
	}
}

// later is the context for what happens when Handle may be over: its
// cancellation is no business of ours.
func (l *launch) later() context.Context {
	return &hopContext{context.WithoutCancel(l.ctx.Context), l.ctx.hops}
}

// note is the part of report that says whether the flight is to be ended.
func (f *flight) note(gen uint32, action int, failed *failure) (last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	bit := uint64(1) << action
	if !f.touch(gen) || f.open&bit == 0 {
		return false
	}
	f.open &^= bit
	if failed != nil {
		x := f.extra()
		x.failures = append(x.failures, failed)
	}
	last = f.open == 0
	if last && len(f.failures()) > 0 && f.en.onError != nil {
		f.open = erring
	}
	return last
}

// land is called when all actions have been invoked. It ends the flight if none
// is pending, and returns what Handle's caller must know. A flight is spent if
// it is over and nobody but the caller can still be at work on it: its memory
// is then another flight's.
func (f *flight) land(m *Message) (spent bool, err error) {
	f.mu.Lock()
	f.open &^= launching
	if f.open != 0 {
		// From here on the flight outlives the caller's pin of the index.
		f.pending = true
		f.en.refs.Add(1)
		if f.en.onError == nil {
			err = f.lost()
		}
		f.mu.Unlock()
		return false, err
	}
	if f.more != nil || f.en.settled {
		if len(f.failures()) > 0 && f.en.onError != nil {
			f.open = erring
		}
		f.mu.Unlock()
		return false, f.end(&f.l.ctx, m)
	}
	en := f.en
	f.gen.Store(f.gen.Load()&^1 + 2)
	f.l, f.en = nil, nil
	f.mu.Unlock()
	en.ledger.delivered.Add(1)
	return true, nil
}

// end counts the outcome when all actions have reported, and runs the error
// action if there is need and one. The error is non-nil if another try of the
// message might deliver what is lost.
func (f *flight) end(ctx context.Context, m *Message) error {
	slices.SortFunc(f.failures(), func(a, b *failure) int { return a.action - b.action })
	switch {
	case len(f.failures()) == 0:
		f.en.ledger.delivered.Add(1)
		f.over()
		return nil
	case f.en.onError == nil:
		f.l.e.lose(f.en, f.unless(ReasonNoErrorAction), f.err())
		lost := f.lost()
		f.over()
		return lost
	}
	return f.escalate(ctx, m, f.document(m), f.err())
}

// escalate runs the error action with a document about what failed.
func (f *flight) escalate(ctx context.Context, m *Message, document []byte, cause error) error {
	var vars []Variable
	if f.more != nil {
		vars = f.more.vars
	}
	firing := Firing{Err: cause}
	f.describe(&firing, ErrorAction, m, document, vars)
	err := invoke(ctx, f.en.onError, &firing)
	if errors.Is(err, ErrPending) {
		f.stayForErrorAction()
		return nil
	}
	if err == nil {
		f.errorActionDone(nil)
		return nil
	}
	lost := f.lost()
	f.errorActionDone(&failure{action: ErrorAction, err: err})
	return lost
}

// stayForErrorAction keeps the entry while the error action is pending.
func (f *flight) stayForErrorAction() {
	for _, other := range f.extra().batch {
		other.stayForErrorAction()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open&erring != 0 && !f.pending {
		f.pending = true
		f.en.refs.Add(1)
	}
}

// errorActionDone takes the outcome of the error action and ends the flight.
func (f *flight) errorActionDone(failed *failure) {
	f.mu.Lock()
	was := f.open
	f.open &^= erring
	f.mu.Unlock()
	if was&erring == 0 {
		return
	}
	for _, other := range f.extra().batch {
		other.errorActionDone(failed)
	}
	if failed == nil {
		f.l.e.lose(f.en, ReasonErrorAction, f.err())
	} else {
		f.l.e.lose(f.en, f.unless(ReasonErrorActionFailed), errors.Join(f.err(), f.en.actionError(failed)))
	}
	f.over()
}

// over forgets the flight.
func (f *flight) over() {
	if f.en.settled {
		f.l.e.flights.remove(f)
	}
	f.mu.Lock()
	release := f.pending
	f.pending = false
	f.mu.Unlock()
	if release {
		f.en.release()
	}
}

// err joins all failures.
func (f *flight) err() error {
	all := make([]error, len(f.failures()))
	for i, failed := range f.failures() {
		all[i] = f.en.actionError(failed)
	}
	return errors.Join(all...)
}

// unless is reason, unless dead letters have all that failed.
func (f *flight) unless(reason Reason) Reason {
	for _, failed := range f.failures() {
		if !errors.Is(failed.err, ErrDeadLettered) {
			return reason
		}
	}
	return ReasonDeadLetter
}

// lost joins the failures that Handle's caller can do something about.
func (f *flight) lost() error {
	var all []error
	for _, failed := range f.failures() {
		if failed.inline && !isPermanent(failed.err) && !errors.Is(failed.err, ErrDeadLettered) {
			all = append(all, f.en.actionError(failed))
		}
	}
	return errors.Join(all...)
}

func (e *entry) actionError(f *failure) error {
	return &ActionError{Rule: e.rule.Name, Action: f.action, Type: e.actionType(f.action), Err: f.err}
}

// action is nil for one that an earlier version of the rule had.
func (e *entry) action(i int) Action {
	switch {
	case i == ErrorAction:
		return e.onError
	case i < len(e.actions):
		return e.actions[i]
	}
	return nil
}

// actionType is empty for an action that an earlier version of the rule had.
func (e *entry) actionType(action int) string {
	switch {
	case action == ErrorAction && e.rule.ErrorAction != nil:
		return e.rule.ErrorAction.Type
	case action >= 0 && action < len(e.rule.Actions):
		return e.rule.Actions[action].Type
	}
	return ""
}
