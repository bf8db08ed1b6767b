package rules

import "sync/atomic"

// A group is the immutable set of rules that run and have one topic filter,
// where they are or have been several. A rule of a small group counts each
// message in its ledger; a message must not touch thousands of ledgers, so a
// large group counts it once for all, see tally.
type group struct {
	members *bucket
	tally   *tally // of a group that has been large
}

func (g *group) with(en *entry, c *changes) *group {
	next := &group{members: g.members.with(newMember(en)), tally: g.tally}
	switch {
	case g.tally != nil:
		next.tally = c.turn(g.tally, []*entry{en}, nil)
	case next.members.node != nil:
		born := []*entry{en}
		for _, m := range g.members.few {
			born = append(born, m.en)
		}
		next.tally = c.turn(nil, born, nil)
	}
	return next
}

func (g *group) without(en *entry, c *changes) spot {
	next := &group{members: g.members.without(newMember(en))}
	if g.tally != nil {
		next.tally = c.turn(g.tally, nil, []*entry{en})
	}
	switch {
	case next.members == nil:
		return spot{}
	case next.tally == nil && next.members.n == 1:
		return spot{only: next.members.few[0].en}
	}
	return spot{group: next}
}

// A tally counts the messages that met one version of a large group. Most of
// them leave most rules alone, and those neither know nor touch them: what a
// rule has met is the difference of what the group had met when the rule came
// and when it left.
type tally struct {
	n    atomic.Uint64
	seq  int // versions of a group are counted
	line *line
}

// A line is the history of a large group. Its tallies are settled in order, as
// the indexes are that they belong to: when no message uses them any more.
type line struct {
	settled uint64   // messages of all versions before live
	live    []*tally // not settled yet, oldest first
}

// A part is the time that one version of a rule is in a large group.
type part struct {
	line        *line
	first, last int    // tallies by seq; last is 0 until the rule has left
	from        uint64 // line.settled before first, once begun
	begun       bool
}

// met is how many messages of the group p has been there for.
func (p *part) met() uint64 {
	var n uint64
	if p.begun {
		n = p.line.settled - p.from
	}
	for _, t := range p.line.live {
		if t.seq >= p.first && (p.last == 0 || t.seq <= p.last) {
			n += t.n.Load()
		}
	}
	return n
}

// changes is what an edit of the index does to the counting.
type changes struct{ turns []turn }

// A turn replaces the tally of a group.
type turn struct {
	old, next  *tally // old is nil for the first
	born, gone []*entry
}

func (c *changes) turn(old *tally, born, gone []*entry) *tally {
	next := &tally{seq: 1, line: new(line)}
	if old != nil {
		next.seq, next.line = old.seq+1, old.line
	}
	for _, en := range born {
		en.part = &part{line: next.line, first: next.seq, begun: old == nil}
	}
	c.turns = append(c.turns, turn{old, next, born, gone})
	return next
}

// begin makes a turn known to the ledgers, before messages meet it. The caller
// holds Engine.sweeping.
func (t *turn) begin() {
	t.next.line.live = append(t.next.line.live, t.next)
	for _, en := range t.born {
		en.ledger.parts = append(en.ledger.parts, en.part)
	}
	for _, en := range t.gone {
		en.part.last = t.old.seq
	}
}

// settle closes the old tally, which no message uses any more, and the
// accounts of those that left with it. The caller holds Engine.sweeping.
func (t *turn) settle() {
	if t.old == nil {
		return
	}
	l := t.old.line
	l.settled += t.old.n.Load()
	l.live = l.live[1:]
	for _, en := range t.born {
		en.part.from, en.part.begun = l.settled, true
	}
	for _, en := range t.gone {
		en.ledger.close(en.part)
	}
}
