package rules

import (
	"slices"
	"unsafe"

	"github.com/thingloom/thingloom/internal/pmap"
	"github.com/thingloom/thingloom/internal/sql"
)

// The index over conditions finds, among rules with one topic filter, those
// whose WHERE can be true, by the conditions of the form path op literal that
// WHERE begins with. It is a tree: at each node a rule goes where one of its
// conditions sends it, an equality by hashing, an ordering by where its
// numbers begin and end, until none is left or only few rules are.

// A member is a rule at its place in the index; used has a bit for each of its
// conditions that the way there has answered. Those beyond 64 are never used.
type member struct {
	en   *entry
	used uint64 // allUsed if no condition is left
}

const allUsed = ^uint64(0)

func newMember(en *entry) member { return member{en: en}.after(0) }

// after is m after the conditions in answers.
func (m member) after(answers uint64) member {
	m.used |= answers
	if n := len(m.en.preds); n < 64 && m.used == 1<<n-1 {
		m.used = allUsed
	}
	return m
}

// offer takes a member if the conditions hold that its place does not answer.
func (l *lookup) offer(m member) {
	if m.used == allUsed || m.en.holds(&l.scan, m.used) {
		l.hits = append(l.hits, m.en)
	}
}

// holds reports whether the conditions hold whose bits are not set.
func (e *entry) holds(s *sql.Scan, used uint64) bool {
	for i := range e.preds {
		if i < 64 && used>>i&1 == 1 {
			continue
		}
		p := &e.preds[i]
		slot := e.slot(p)
		n, ok := s.Number(slot)
		if !p.Holds(s.Value(slot), n, ok) {
			return false
		}
	}
	return true
}

// slot is that of the path of p in a Scan.
func (e *entry) slot(p *sql.Pred) int { return int(e.slots[p.Slot]) }

// A bucket is an immutable set of members: a list while they are few, then a
// node, which it stays until it is empty. Nil is empty.
type bucket struct {
	n    int
	few  []member
	node *condNode
}

const fewMembers = 8

func (b *bucket) with(m member) *bucket {
	if b == nil {
		return &bucket{n: 1, few: []member{m}}
	}
	next := &bucket{n: b.n + 1, node: b.node}
	switch {
	case b.node != nil:
		next.node = b.node.edit(m, true)
	case b.n < fewMembers:
		next.few = append(b.few[:b.n:b.n], m)
	default:
		next.node = new(condNode).edit(m, true)
		for _, old := range b.few {
			next.node = next.node.edit(old, true)
		}
	}
	return next
}

func (b *bucket) without(m member) *bucket {
	if b == nil || b.n == 1 {
		return nil
	}
	next := &bucket{n: b.n - 1}
	if b.node != nil {
		next.node = b.node.edit(m, false)
	} else {
		i := slices.IndexFunc(b.few, func(x member) bool { return x.en == m.en })
		next.few = slices.Concat(b.few[:i], b.few[i+1:])
	}
	return next
}

// A condNode sends members on by one condition each.
type condNode struct {
	rest   pmap.Map[member] // those with no condition left, by name
	fields fieldTable
}

// A condField has the members that a path sends on.
type condField struct {
	equal  pmap.Map[*bucket] // by the key of the value
	ranges *spans            // by the interval that the value must be in
	others pmap.Map[member]  // those that only need it to be there, by name
}

// edit is n with or without m.
func (n *condNode) edit(m member, add bool) *condNode {
	next := *n
	way := m.en.next(m.used)
	m = m.after(way.answers)
	if way.slot < 0 {
		next.rest = editSet(next.rest, m, add)
		return &next
	}
	var f condField
	if old := next.fields.get(way.slot); old != nil {
		f = *old
	}
	switch {
	case way.keys != nil:
		way.keys.Keys(func(key string) {
			sub, _ := f.equal.Get(key)
			if add {
				sub = sub.with(m)
			} else {
				sub = sub.without(m)
			}
			if sub == nil {
				f.equal = f.equal.Without(key)
			} else {
				f.equal = f.equal.With(key, sub)
			}
		})
	case way.ordered:
		f.ranges = f.ranges.edit(way.lo, way.hi, m, add)
	default:
		f.others = editSet(f.others, m, add)
	}
	if f.equal.Len() == 0 && f.ranges == nil && f.others.Len() == 0 {
		next.fields = next.fields.with(way.slot, nil)
	} else {
		next.fields = next.fields.with(way.slot, &f)
	}
	return &next
}

func editSet(s pmap.Map[member], m member, add bool) pmap.Map[member] {
	if add {
		return s.With(m.en.name, m)
	}
	return s.Without(m.en.name)
}

// A way is where a member goes from a node.
type way struct {
	slot    int // the path that decides, or -1
	answers uint64
	keys    *sql.Pred // of an Equal or an In
	ordered bool
	lo, hi  limit
}

// mostAlternatives is how many values an IN may list for the rule to be put
// beside each of them.
const mostAlternatives = 64

// next is the way of a rule by the most selective condition that is left:
// equality before IN, that before an interval with both ends, that before one
// with one end. Among equalities the lowest slot goes first, so that rules
// which ask the same of the same paths go the same way.
func (e *entry) next(used uint64) way {
	// One IN is enough: each puts the rule in as many places again.
	listed := false
	for i := range min(len(e.preds), 64) {
		listed = listed || used>>i&1 == 1 && e.preds[i].Op == sql.In
	}
	best, rank := -1, rankNone
	for i := range min(len(e.preds), 64) {
		if used>>i&1 == 1 {
			continue
		}
		r := e.rank(i, used)
		if r == rankIn && listed {
			r = rankOther
		}
		if r > rank || r == rank && r == rankEqual && e.slot(&e.preds[i]) < e.slot(&e.preds[best]) {
			best, rank = i, r
		}
	}
	if best < 0 {
		return way{slot: -1}
	}
	w := way{slot: e.slot(&e.preds[best])}
	switch rank {
	case rankEqual, rankIn:
		w.keys, w.answers = &e.preds[best], 1<<best
	case rankOneEnd, rankTwoEnds:
		w.ordered = true
		w.lo, w.hi, w.answers = e.interval(w.slot, used)
	}
	return w
}

// The ranks of conditions, the least selective first.
const (
	rankNone = iota
	rankOther
	rankOneEnd
	rankTwoEnds
	rankIn
	rankEqual
)

func (e *entry) rank(i int, used uint64) int {
	p := &e.preds[i]
	switch p.Op {
	case sql.Equal:
		return rankEqual
	case sql.In:
		if p.Alternatives() <= mostAlternatives {
			return rankIn
		}
		return rankOther
	case sql.NotEqual, sql.NotIn:
		return rankOther
	}
	lo, hi, _ := e.interval(e.slot(p), used)
	if lo.none || hi.none {
		return rankOneEnd
	}
	return rankTwoEnds
}

// interval is where all orderings of one path hold.
func (e *entry) interval(slot int, used uint64) (lo, hi limit, answers uint64) {
	lo, hi = everything, everything
	for i := range min(len(e.preds), 64) {
		p := &e.preds[i]
		if used>>i&1 == 1 || e.slot(p) != slot {
			continue
		}
		end := limit{num: p.Number(), open: p.Op == sql.Less || p.Op == sql.Greater}
		switch p.Op {
		case sql.Less, sql.LessEqual:
			if compareUpper(&end, &hi) < 0 {
				hi = end
			}
		case sql.Greater, sql.GreaterEqual:
			if compareLower(&end, &lo) > 0 {
				lo = end
			}
		default:
			continue
		}
		answers |= 1 << i
	}
	return lo, hi, answers
}

// A fieldTable is an immutable table of fields by slot.
type fieldTable []*[32]*condField

func (t fieldTable) get(slot int) *condField {
	if c := slot / 32; c < len(t) && t[c] != nil {
		return t[c][slot%32]
	}
	return nil
}

func (t fieldTable) with(slot int, f *condField) fieldTable {
	c := slot / 32
	next := make(fieldTable, max(len(t), c+1))
	copy(next, t)
	var chunk [32]*condField
	if next[c] != nil {
		chunk = *next[c]
	}
	chunk[slot%32] = f
	next[c] = &chunk
	return next
}

// A lookup asks the index about one payload.
type lookup struct {
	scan sql.Scan
	hits []*entry
	key  []byte // room for one
}

// all offers the members of a set.
func (l *lookup) all(s pmap.Map[member]) {
	if s.Len() == 0 {
		return
	}
	for _, m := range s.All() {
		l.offer(m)
	}
}

// bucket offers the members of b that the payload may concern.
func (l *lookup) bucket(b *bucket) {
	if b.node == nil {
		for _, m := range b.few {
			l.offer(m)
		}
		return
	}
	l.all(b.node.rest)
	for _, slot := range l.scan.Found() {
		f := b.node.fields.get(slot)
		if f == nil {
			continue
		}
		l.all(f.others)
		if f.equal.Len() > 0 {
			l.key = l.scan.Value(slot).AppendKey(l.key[:0])
			if sub, ok := f.equal.Get(unsafe.String(unsafe.SliceData(l.key), len(l.key))); ok {
				l.bucket(sub)
			}
		}
		if f.ranges != nil {
			if v, ok := l.scan.Number(slot); ok {
				f.ranges.around(v, l)
			}
		}
	}
}
