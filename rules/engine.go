package rules

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// A Binder makes actions of their specs when a rule is put, so that a wrong
// parameter fails the put and not the first message. Bind may be called from
// many goroutines. ctx knows the rule ([BoundRule]) and carries its language to
// the templates of package actions: version, functions, variables of SET, of
// which one that is not declared is an error. What it returns is an [Action], and an io.Closer if it
// holds resources: it is closed once, when the rule it was made for has been
// edited or deleted and no message needs that version any more.
type Binder interface {
	Bind(ctx context.Context, s ActionSpec) (Action, error)
}

// An Engine holds the rules of a [Store], compiled, and offers messages to
// them. It is safe for concurrent use. It starts goroutines for rules that ask
// the outside alone, see Options.Patience.
type Engine struct {
	store  Store
	binder Binder
	opts   *options

	index atomic.Pointer[index]

	// editing is a lock that waiting for heeds a context. It is held from the
	// check of a rule's version over the store's Save to the swap of the
	// index, so that store and index see edits in the same order. Handle does
	// not know of it.
	editing chan struct{}
	closed  bool    // guarded by editing
	ledgers ledgers // guarded by editing

	sweeping sync.Mutex
	old      []*index // guarded by sweeping: retired, oldest first

	shapes  shapes
	works   sync.Pool // of *work
	account string    // CompileOptions.AccountID

	flights flights
	asides  asides
	stats   stats

	// life is the context of evaluations beside Handle, which giveUp ends.
	life   context.Context
	giveUp context.CancelFunc
}

// Open returns an Engine with the rules of store. A rule that does not compile
// or bind any more does not fail it: the rule is kept in the store, does not
// run, is logged, and says so in [Info.Broken].
func Open(ctx context.Context, store Store, b Binder, opts *Options) (*Engine, error) {
	if store == nil || b == nil {
		return nil, errors.New("rules: Open needs a store and a binder")
	}
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	e := &Engine{store: store, binder: b, opts: o, editing: make(chan struct{}, 1)}
	e.life, e.giveUp = context.WithCancel(context.Background())
	e.flights.init()
	if o.Compile != nil {
		e.account = o.Compile.AccountID
	}
	e.works.New = func() any { return new(work) }
	ix := new(index)
	for r, err := range store.All(ctx) {
		if err != nil {
			ix.close()
			return nil, fmt.Errorf("rules: open: %w", err)
		}
		en, err := e.prepare(ctx, r.clone())
		if err != nil {
			if ctx.Err() != nil {
				ix.close()
				return nil, fmt.Errorf("rules: open: %w", ctx.Err())
			}
			o.Logger.Error("rule is broken and does not run", "rule", r.Name, "error", err)
			en = brokenEntry(r.clone(), err)
		}
		en.version = r.Version
		en.counts(e.ledgers.take())
		en.refs.Store(1)
		var turns []turn
		ix, turns = ix.with(nil, en)
		for i := range turns {
			turns[i].begin()
			turns[i].settle()
		}
	}
	e.index.Store(ix)
	return e, nil
}

// close closes the actions of every rule.
func (ix *index) close() {
	for _, en := range ix.rules.All() {
		en.release()
	}
}

// Close closes the actions of all rules, each when the last message that uses
// it is done. From then on edits return [ErrClosed] and messages meet no rule.
// It waits for the evaluations that Handle has left behind (see
// Options.Patience), however long their functions take; Shutdown gives them up
// after a time. It leaves the store open, and may be called again.
func (e *Engine) Close() error { return e.Shutdown(context.Background()) }

// Shutdown is Close that waits until ctx is done at most. What still waits for
// a function then is given up: the context of the function ends, whatever it
// answers later is dropped, and the message counts as Failed for ReasonClosed,
// which Logger and Trace hear of; [Stats] counts it. The error wraps
// [ErrGivenUp] and says which rules had how many. The goroutine of a function
// that never returns stays, and so do the actions of its rule: Go cannot end it.
func (e *Engine) Shutdown(ctx context.Context) error {
	select {
	case e.editing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("rules: an edit does not end: %w", context.Cause(ctx))
	}
	if !e.closed {
		e.closed = true
		e.clear()
	}
	<-e.editing
	if err := e.Drain(ctx); err != nil {
		return e.abandon()
	}
	e.giveUp()
	return nil
}

// clear takes all rules out of the index.
func (e *Engine) clear() {
	var all []*entry
	for _, en := range e.index.Load().rules.All() {
		all = append(all, en)
	}
	e.swap(new(index), nil, all...)
}

// Info is what an Engine knows of one rule.
type Info struct {
	Rule

	// Filter is the topic filter after FROM; empty for a rule that only Basic
	// Ingest reaches, and for a broken one.
	Filter string

	// Language is the version of the language in force; empty for a broken rule.
	Language string

	// Broken is why the rule does not run whatever its desired state: what it
	// says does not compile or bind any more. Nil for a sound rule.
	Broken error

	// Ledger is what became of its messages.
	Ledger Ledger
}

func (e *Engine) info(en *entry) Info {
	i := Info{Rule: en.rule.clone(), Broken: en.broken}
	e.sweeping.Lock()
	i.Ledger = en.ledger.read()
	e.sweeping.Unlock()
	if en.query != nil {
		i.Filter, i.Language = en.query.Filter(), en.query.Version()
	}
	return i
}

// Rule returns the rule of that name, or [ErrNotFound].
func (e *Engine) Rule(name string) (Info, error) {
	en, ok := e.index.Load().rules.Get(name)
	if !ok {
		return Info{}, fmt.Errorf("rules: rule %q: %w", name, ErrNotFound)
	}
	return e.info(en), nil
}

// Rules yields the rules of one moment, in the order of their names.
func (e *Engine) Rules() iter.Seq[Info] {
	return func(yield func(Info) bool) {
		rules := maps.Collect(e.index.Load().rules.All())
		for _, name := range slices.Sorted(maps.Keys(rules)) {
			if !yield(e.info(rules[name])) {
				return
			}
		}
	}
}

// Stats are the counters of an Engine since it was opened. What became of the
// messages of one rule is in its [Ledger]. Rules is a gauge, the rest only
// grows.
type Stats struct {
	Rules        int    // rules, disabled and broken ones too
	Messages     uint64 // offered to Handle
	Unmatched    uint64 // of them, those that no FROM filter matched
	RuleNotFound uint64 // of them, those for Basic Ingest whose rule is absent, disabled or broken
	HopLimit     uint64 // of them, those refused with ErrHopLimit
	Held         uint64 // calls of Handle that returned an error for a lost message
	Unsettled    uint64 // outcomes told to Settle for a rule that is gone
	GivenUp      uint64 // evaluations that Shutdown did not wait for
}

type stats struct {
	messages, unmatched, notFound, hopLimit, held, unsettled, givenUp atomic.Uint64
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	s := &e.stats
	return Stats{
		Rules:     e.index.Load().rules.Len(),
		Unmatched: s.unmatched.Load(), RuleNotFound: s.notFound.Load(), HopLimit: s.hopLimit.Load(),
		Held: s.held.Load(), Unsettled: s.unsettled.Load(), Messages: s.messages.Load(),
		GivenUp: s.givenUp.Load(),
	}
}
