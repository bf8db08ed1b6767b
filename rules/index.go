package rules

import (
	"io"
	"sync/atomic"
)

// An index is all that Handle needs, of one moment. It never changes: an edit
// makes a new one and swaps the pointer, so that a message meets the rules
// either before an edit or after it.
type index struct {
	rules pmap[*entry] // every rule by name, disabled and broken ones too
	tree  *tree        // those that run, by FROM filter

	// pins counts the calls of Handle that work with this index. What an edit
	// took out is closed when nobody can be using it any more.
	pins    atomic.Int64
	retired atomic.Bool
	garbage []*entry // what the edit that made the next index took out
}

// An entry is one version of one rule, ready to run.
type entry struct {
	// What every message needs comes first, in one cache line: among ten
	// thousand rules it is not in the cache.
	query   *Query // nil if broken
	ledger  *ledger
	actions []Action
	vars    bool // the statement has a SET clause
	settled bool // some action reports through Engine.Settle

	rule    Rule
	onError Action // nil without an error action
	broken  error  // why the rule cannot run

	// refs is 1 for the index and 1 for each firing that is pending; at 0 the
	// actions are closed.
	refs atomic.Int64
}

// runs reports whether messages may reach e.
func (e *entry) runs() bool { return e.broken == nil && !e.rule.Disabled }

// release gives back one reference.
func (e *entry) release() {
	if e.refs.Add(-1) == 0 {
		e.close()
	}
}

// close frees the actions. What Close returns has nobody to go to: the rule
// is gone, and an action that cares logs it.
func (e *entry) close() {
	for _, a := range append(e.actions[:len(e.actions):len(e.actions)], e.onError) {
		if c, ok := a.(io.Closer); ok {
			_ = c.Close()
		}
	}
}

// with is the index after e has taken the place of old, either of which may be
// nil.
func (ix *index) with(old, e *entry) *index {
	next := &index{rules: ix.rules, tree: ix.tree}
	if old != nil {
		next.rules = next.rules.without(old.rule.Name)
		if old.runs() && old.query.hasFilter {
			next.tree = next.tree.without(old.query.Filter(), old.rule.Name)
		}
	}
	if e != nil {
		next.rules = next.rules.with(e.rule.Name, e)
		if e.runs() && e.query.hasFilter {
			next.tree = next.tree.with(e.query.Filter(), e)
		}
	}
	return next
}

// pin returns the current index and keeps its actions open until unpin.
func (e *Engine) pin() *index {
	for {
		ix := e.index.Load()
		ix.pins.Add(1)
		// Had the index been swapped between Load and Add, the edit may have
		// seen no pin and closed the actions.
		if e.index.Load() == ix {
			return ix
		}
		e.unpin(ix)
	}
}

func (e *Engine) unpin(ix *index) {
	if ix.pins.Add(-1) == 0 && ix.retired.Load() {
		e.sweep()
	}
}

// swap makes next current; garbage are the entries that are in no index from
// here on. The caller holds e.editing.
func (e *Engine) swap(next *index, garbage ...*entry) {
	old := e.index.Load()
	old.garbage = garbage
	e.sweeping.Lock()
	e.old = append(e.old, old)
	e.sweeping.Unlock()
	e.index.Store(next)
	old.retired.Store(true)
	e.sweep()
}

// sweep releases what the oldest indexes hold, as far as nobody uses them. An
// entry may be in use by any index older than the one it was taken out of, so
// they go in order.
func (e *Engine) sweep() {
	var garbage []*entry
	e.sweeping.Lock()
	n := 0
	for n < len(e.old) && e.old[n].retired.Load() && e.old[n].pins.Load() == 0 {
		garbage = append(garbage, e.old[n].garbage...)
		e.old[n] = nil
		n++
	}
	e.old = e.old[n:]
	e.sweeping.Unlock()
	for _, g := range garbage {
		g.release()
	}
}
