package fleet

import (
	"iter"
	"maps"
	"math"
	"strings"
)

// Fields yields the fields of d with their values: do not modify.
func (d *Document) Fields() iter.Seq2[string, []Value] { return maps.All(d.fields) }

// SearchedByDefault reports whether queries without a field look into it.
func SearchedByDefault(field string) bool { return searchedByDefault(field) }

// A Term is a condition that an index can answer: which documents have such a
// value. What it finds holds all documents that the query matches, and maybe
// others: they are matched one by one.
type Term struct {
	Kind  TermKind
	Field string // empty is every field that is searched by default
	Text  string // lower case: of Word the word, of Prefix its beginning, of TextRange the low end
	High  string // of TextRange; both ends belong to it
	Low   float64
	Up    float64 // of Number both are the number, of NumberRange the ends, which belong to it

	NoLow, NoHigh bool // of TextRange: that end is open
}

// A TermKind says what a Term asks for.
type TermKind byte

// The kinds.
const (
	Word        TermKind = iota // a value with that word
	Prefix                      // a value with a word that begins so
	Number                      // a value that is that number
	NumberRange                 // a value that is a number between two
	TextRange                   // a value whose whole text is between two
	Exists                      // any value
)

// A Plan is how an index finds the documents of a query: those of all Any, or
// where Terms is set, those of one of them. Each is itself a Plan.
//
// A leaf has Terms: the documents of any of them. An inner node has All: the
// documents of each of them, so that the one with the fewest is enough; or Any: the
// documents of all together. A nil Plan means all documents there are.
type Plan struct {
	Terms []Term
	All   []*Plan
	Any   []*Plan
}

// Plan returns how to find the documents that q matches, nil if an index is of no
// use for it.
func (q *Query) Plan() *Plan { return planOf(q.root) }

func planOf(n node) *Plan {
	switch n := n.(type) {
	case and:
		var p Plan
		for _, one := range n {
			if sub := planOf(one); sub != nil {
				p.All = append(p.All, sub)
			}
		}
		switch len(p.All) {
		case 0:
			return nil
		case 1:
			return p.All[0]
		}
		return &p
	case or:
		var p Plan
		for _, one := range n {
			sub := planOf(one)
			if sub == nil {
				return nil
			}
			p.Any = append(p.Any, sub)
		}
		return &p
	case leafNode:
		if terms := n.terms(); terms != nil {
			return &Plan{Terms: terms}
		}
	}
	return nil // all, not
}

// terms are those of a leaf, nil if it has none.
func (n leafNode) terms() []Term {
	switch t := n.test.(type) {
	case exists:
		if n.field != "" {
			return []Term{{Kind: Exists, Field: n.field}}
		}
	case *word:
		var terms []Term
		if !t.wild {
			terms = []Term{{Kind: Word, Field: n.field, Text: t.plain}}
		} else if head := literalHead(t.pattern); head != "" || n.field != "" {
			terms = []Term{{Kind: Prefix, Field: n.field, Text: head}}
		} else {
			return nil
		}
		if t.isNumber {
			terms = append(terms, Term{Kind: Number, Field: n.field, Low: t.number, Up: t.number})
		}
		return terms
	case phrase:
		if len(t) > 0 {
			terms := []Term{{Kind: Word, Field: n.field, Text: t[0]}}
			if f, ok := number(t[0]); ok && len(t) == 1 {
				terms = append(terms, Term{Kind: Number, Field: n.field, Low: f, Up: f})
			}
			return terms
		}
	case *interval:
		return n.between(t)
	}
	return nil
}

func (n leafNode) between(r *interval) []Term {
	switch {
	case n.field == "":
		return nil
	case r.anything:
		return []Term{{Kind: Exists, Field: n.field}}
	case r.numeric:
		t := Term{Kind: NumberRange, Field: n.field, Low: r.low.number, Up: r.high.number}
		if r.low.open {
			t.Low = math.Inf(-1)
		}
		if r.high.open {
			t.Up = math.Inf(1)
		}
		return []Term{t}
	}
	return []Term{{Kind: TextRange, Field: n.field, Text: r.low.text, High: r.high.text, NoLow: r.low.open, NoHigh: r.high.open}}
}

// literalHead is what stands before the first wildcard.
func literalHead(pattern []rune) string {
	var b strings.Builder
	for _, r := range pattern {
		if r == anyRun || r == anyOne {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
