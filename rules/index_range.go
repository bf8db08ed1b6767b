package rules

import (
	"math/rand/v2"

	"github.com/thingloom/thingloom/internal/sql"
)

// A limit is one end of an interval of numbers.
type limit struct {
	num  sql.Num
	none bool // there is no end
	open bool // num itself is outside
}

// everything is either end of the interval that holds all numbers.
var everything = limit{none: true}

// compareLower orders lower ends by where their intervals begin.
func compareLower(a, b *limit) int {
	switch {
	case a.none || b.none:
		return btoi(b.none) - btoi(a.none)
	case a.num == b.num:
		return btoi(a.open) - btoi(b.open)
	}
	return a.num.Compare(b.num)
}

// compareUpper orders upper ends by where their intervals end.
func compareUpper(a, b *limit) int {
	switch {
	case a.none || b.none:
		return btoi(a.none) - btoi(b.none)
	case a.num == b.num:
		return btoi(b.open) - btoi(a.open)
	}
	return a.num.Compare(b.num)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// begun reports whether v is not before the interval that l begins.
func (l *limit) begun(v sql.Num) bool {
	if l.none {
		return true
	}
	c := v.Compare(l.num)
	return c > 0 || c == 0 && !l.open
}

// ended reports whether v is after the interval that l ends.
func (l *limit) ended(v sql.Num) bool {
	if l.none {
		return false
	}
	c := v.Compare(l.num)
	return c > 0 || c == 0 && l.open
}

// A spans is an immutable map from intervals to members that finds those around
// a number without looking at the others: a treap in the order of the lower
// ends, whose nodes know the largest upper end below them. Nil is empty.
type spans struct {
	left, right *spans
	prio        uint64
	lo, hi, max limit
	m           member  // if more is nil
	more        *bucket // where several have had the interval: they, by their other conditions
}

// edit is t with or without m.
func (t *spans) edit(lo, hi limit, m member, add bool) *spans {
	x := &spans{prio: rand.Uint64(), lo: lo, hi: hi, max: hi, m: m}
	old := t.find(x)
	if old == nil {
		return t.with(x) // what is taken out is there
	}
	more := old.more
	switch {
	case add && more == nil:
		more = more.with(old.m).with(m)
	case add:
		more = more.with(m)
	case more != nil:
		more = more.without(m)
	}
	if more == nil {
		return t.without(x)
	}
	return t.put(x, more)
}

func (t *spans) find(x *spans) *spans {
	for t != nil {
		switch c := x.compare(t); {
		case c < 0:
			t = t.left
		case c > 0:
			t = t.right
		default:
			return t
		}
	}
	return nil
}

// put is t with more at the interval of x, which is there.
func (t *spans) put(x *spans, more *bucket) *spans {
	next := *t
	switch c := x.compare(t); {
	case c < 0:
		next.left = t.left.put(x, more)
	case c > 0:
		next.right = t.right.put(x, more)
	default:
		next.m, next.more = member{}, more
	}
	return &next
}

func (t *spans) compare(x *spans) int {
	if c := compareLower(&t.lo, &x.lo); c != 0 {
		return c
	}
	return compareUpper(&t.hi, &x.hi)
}

// between is a copy of t with these children.
func (t *spans) between(left, right *spans) *spans {
	next := *t
	next.left, next.right, next.max = left, right, t.hi
	for _, kid := range [...]*spans{left, right} {
		if kid != nil && compareUpper(&kid.max, &next.max) > 0 {
			next.max = kid.max
		}
	}
	return &next
}

func (t *spans) with(x *spans) *spans {
	switch {
	case t == nil:
		return x
	case x.prio > t.prio:
		return x.between(t.split(x))
	case x.compare(t) < 0:
		return t.between(t.left.with(x), t.right)
	}
	return t.between(t.left, t.right.with(x))
}

// split is what is before x, and what is after.
func (t *spans) split(x *spans) (before, after *spans) {
	switch {
	case t == nil:
		return nil, nil
	case x.compare(t) < 0:
		before, after = t.left.split(x)
		return before, t.between(after, t.right)
	}
	before, after = t.right.split(x)
	return t.between(t.left, before), after
}

func (t *spans) without(x *spans) *spans {
	if t == nil {
		return nil
	}
	switch c := x.compare(t); {
	case c < 0:
		return t.between(t.left.without(x), t.right)
	case c > 0:
		return t.between(t.left, t.right.without(x))
	}
	return t.left.merge(t.right)
}

// merge is t and u, all of which is after t.
func (t *spans) merge(u *spans) *spans {
	switch {
	case t == nil:
		return u
	case u == nil:
		return t
	case t.prio > u.prio:
		return t.between(t.left, t.right.merge(u))
	}
	return u.between(t.merge(u.left), u.right)
}

// around offers the members whose interval holds v.
func (t *spans) around(v sql.Num, l *lookup) {
	for t != nil && !t.max.ended(v) {
		if t.left != nil {
			t.left.around(v, l)
		}
		if !t.lo.begun(v) {
			return
		}
		if !t.hi.ended(v) {
			if t.more != nil {
				l.bucket(t.more)
			} else {
				l.offer(t.m)
			}
		}
		t = t.right
	}
}
