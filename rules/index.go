package rules

import (
	"io"
	"sync/atomic"

	"github.com/thingloom/thingloom/internal/pmap"
	"github.com/thingloom/thingloom/internal/sql"
)

// An index is all that Handle needs, of one moment. It never changes: an edit
// makes a new one and swaps the pointer, so that a message meets the rules
// either before an edit or after it.
type index struct {
	rules pmap.Map[*entry] // every rule by name, disabled and broken ones too
	tree  *tree            // those that run, by FROM filter
	paths *sql.Paths       // what those want of a payload

	// pins counts the calls of Handle that work with this index. What an edit
	// took out is closed when nobody can be using it any more.
	pins    atomic.Int64
	retired atomic.Bool
	garbage []*entry // what the edit that made the next index took out
	turns   []turn   // and what it did to the counting
}

// An entry is one version of one rule, ready to run. Among ten thousand rules it
// is not in the cache of the processor when a message comes, so what one needs
// comes first, by lines of 64 bytes, and what it does not is elsewhere.
type entry struct {
	// What finds it by its filter, and counts that a message did.
	lone kid
	room [24]byte // for lone.text
	met  *ledger

	// What evaluates it.
	st sql.Statement

	// What fires it, and counts that. Of many rules that fire for one message
	// no more than this line is touched.
	ledger  *ledger // as met
	count   uint8   // of actions
	vars    bool    // the statement has a SET clause
	settled bool    // some action reports through Engine.Settle
	asks    bool    // it is evaluated beside Handle, see aside
	steady  bool    // as sql.Statement.Steady says
	plain   bool    // steady, with one action that reports to nobody, and none of the above
	plan    *plan   // of an entry that is routed
	name    string  // of rule, as version
	version int64
	single  [1]Action // room for actions

	// What many rules with one filter need, and the rest.
	preds   []sql.Pred // of st
	slots   []int32    // in index.paths, of the slots of st; of entries that are routed
	part    *part      // nil while its group is small
	shape   *shape     // nil if broken
	query   *Query     // nil if broken
	actions []Action
	onError Action // nil without an error action

	// refs is 1 for the index and 1 for each firing that is pending; at 0 the
	// actions are closed.
	refs atomic.Int64

	*particulars
}

// particulars are what only edits and failures ask of an entry.
type particulars struct {
	rule   Rule
	node   *node        // nil if it republishes nothing
	broken error        // why the rule cannot run
	behind atomic.Int64 // asides that Handle has left behind
}

// brokenEntry is that of a rule that cannot run.
func brokenEntry(r Rule, err error) *entry {
	return &entry{particulars: &particulars{rule: r, broken: err}}
}

// newEntry is that of a sound rule, with its conditions behind it.
func newEntry(r Rule, q *Query, all *shapes) *entry {
	var e *entry
	var room []sql.Pred
	switch len(q.st.Preds()) {
	case 0:
		e = new(entry)
	case 1:
		x := new(struct {
			entry
			room [1]sql.Pred
			_    [64]byte // to 512 bytes, by whose size the allocator aligns them
		})
		e, room = &x.entry, x.room[:]
	default:
		x := new(struct {
			entry
			room [2]sql.Pred
		})
		e, room = &x.entry, x.room[:]
	}
	e.shape = all.of(q.st)
	e.st = *q.st.Share(e.shape.st).PredsIn(room)
	e.preds, e.steady, e.vars = e.st.Preds(), e.st.Steady(), len(q.Variables()) > 0
	q.st = &e.st
	e.query, e.particulars = q, &particulars{rule: r}
	e.name, e.actions = r.Name, e.single[:0]
	return e
}

// counts makes l the ledger of e.
func (e *entry) counts(l *ledger) { e.ledger, e.met = l, l }

// fetch makes the processor load what a message needs of e and that is elsewhere,
// all at once: the first count would make it wait for each by itself, since an
// atomic operation lets nothing behind it begin. It is not to be optimized away.
//
//go:noinline
func (e *entry) fetch() uint64 {
	n := e.met.matched.Load() + uint64(e.count)
	if preds := e.st.Preds(); len(preds) > 0 {
		n += uint64(preds[0].Op)
	}
	return n
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
	e.shape.release()
	for _, a := range append(e.actions[:len(e.actions):len(e.actions)], e.onError) {
		if c, ok := a.(io.Closer); ok {
			_ = c.Close()
		}
	}
}

// with is the index after e has taken the place of old, either of which may be
// nil, and what that does to the counting.
func (ix *index) with(old, e *entry) (*index, []turn) {
	next := &index{rules: ix.rules, tree: ix.tree, paths: ix.paths}
	var c changes
	if old != nil {
		next.rules = next.rules.Without(old.rule.Name)
		if old.routed() {
			next.tree = next.tree.without(old.query.Filter(), old, &c)
			next.paths = next.paths.Without(&old.st)
		}
	}
	if e != nil {
		next.rules = next.rules.With(e.rule.Name, e)
		if e.routed() {
			var slots []int32
			next.paths, slots = next.paths.With(&e.st)
			e.route(slots)
			next.tree = next.tree.with(e.query.Filter(), e, &c)
		}
	}
	return next, c.turns
}

// routed reports whether e is in the tree.
func (e *entry) routed() bool { return e.runs() && e.query.hasFilter }

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

// swap makes next current; turns are what ix.with returned beside it, garbage
// the entries that are in no index from here on. The caller holds e.editing.
func (e *Engine) swap(next *index, turns []turn, garbage ...*entry) {
	old := e.index.Load()
	old.garbage, old.turns = garbage, turns
	e.sweeping.Lock()
	e.old = append(e.old, old)
	for i := range turns {
		turns[i].begin()
	}
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
		for i := range e.old[n].turns {
			e.old[n].turns[i].settle()
		}
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
