package fleet

import (
	"iter"
	"maps"
	"math"
	"strconv"
	"strings"
)

// Fields yields the fields of d with their values: do not modify.
func (d *Document) Fields() iter.Seq2[string, []Value] { return maps.All(d.fields) }

// SearchedByDefault reports whether queries without a field look into it.
func SearchedByDefault(field string) bool { return searchedByDefault(field) }

// Words yields the words of a value.
func (v *Value) Words() iter.Seq[string] { return words(v.Text) }

// Canonical is the one way to write a number: what is equal is written alike.
func Canonical(f float64) string {
	if f == 0 {
		f = 0 // not -0
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// A Term is a condition that an index can answer: which documents have such a
// value.
type Term struct {
	Kind  TermKind
	Field string // empty is every field that is searched by default
	Text  string // lower case: of Word and Number the word, of Prefix its beginning, of TextRange the low end
	High  string // of TextRange
	Low   float64
	Up    float64 // of NumberRange both ends, which belong to it

	NoLow, NoHigh   bool // of TextRange: that end is open
	LowOut, HighOut bool // of TextRange: that end does not belong to it
}

// A TermKind says what a Term asks for.
type TermKind byte

// The kinds.
const (
	Word        TermKind = iota // a value with that word
	Number                      // a value that is the number of which Text is the canonical form
	Prefix                      // a value with a word that begins so
	NumberRange                 // a value that is a number between two
	TextRange                   // a value whose whole text is between two
	Exists                      // any value
)

// A Plan is how an index finds the documents of a query. One of Terms, All, Any, Not and Every is set; where there
// are several of them, each of All and Any is itself a Plan.
type Plan struct {
	Terms []Term  // those with any of them
	All   []*Plan // those of each
	Any   []*Plan // those of any
	Not   *Plan   // all but those of a Plan that is Exact
	Every bool    // all there are

	// Exact is set if the query matches all that is found. Otherwise the query matches some of them, which tell only when
	// they are read.
	Exact bool
}

// Plan returns how to find the documents that q matches.
func (q *Query) Plan() *Plan { return planOf(q.root) }

func planOf(n node) *Plan {
	switch n := n.(type) {
	case all:
		return &Plan{Every: true, Exact: true}
	case not:
		if of := planOf(n.of); of.Exact {
			return &Plan{Not: of, Exact: true}
		}
	case and:
		return planOfAll(n)
	case or:
		p := &Plan{Exact: true}
		for _, one := range n {
			sub := planOf(one)
			if sub.Every {
				return sub
			}
			p.Any, p.Exact = append(p.Any, sub), p.Exact && sub.Exact
		}
		return p
	case leafNode:
		return n.plan()
	}
	return &Plan{Every: true}
}

func planOfAll(n and) *Plan {
	p := &Plan{Exact: true}
	for _, one := range n {
		sub := planOf(one)
		if p.Exact = p.Exact && sub.Exact; !sub.Every {
			p.All = append(p.All, sub)
		}
	}
	switch len(p.All) {
	case 0:
		return &Plan{Every: true, Exact: p.Exact}
	case 1:
		only := *p.All[0]
		only.Exact = p.Exact
		return &only
	}
	return p
}

// plan is that of a leaf.
func (n leafNode) plan() *Plan {
	term := func(kind TermKind, text string) Term { return Term{Kind: kind, Field: n.field, Text: text} }
	switch t := n.test.(type) {
	case exists:
		if n.field != "" {
			return &Plan{Terms: []Term{term(Exists, "")}, Exact: true}
		}
	case *word:
		if !t.wild {
			terms := []Term{term(Word, t.plain)}
			if t.isNumber {
				terms = append(terms, term(Number, Canonical(t.number)))
			}
			return &Plan{Terms: terms, Exact: true}
		}
		head, whole := literalHead(t.pattern)
		if head != "" || n.field != "" {
			return &Plan{Terms: []Term{term(Prefix, head)}, Exact: whole}
		}
	case phrase:
		p := &Plan{Exact: len(t) == 1}
		for _, one := range t {
			p.All = append(p.All, &Plan{Terms: []Term{term(Word, one)}, Exact: true})
		}
		if len(t) == 1 {
			return p.All[0]
		}
		return p
	case *interval:
		if n.field != "" {
			return &Plan{Terms: []Term{t.term(n.field)}, Exact: true}
		}
	}
	return &Plan{Every: true}
}

// term is how a range is looked up.
func (r *interval) term(field string) Term {
	switch {
	case r.anything:
		return Term{Kind: Exists, Field: field}
	case !r.numeric:
		return Term{Kind: TextRange, Field: field, Text: r.low.text, High: r.high.text, NoLow: r.low.open, NoHigh: r.high.open,
			LowOut: r.low.exclusive, HighOut: r.high.exclusive}
	}
	t := Term{Kind: NumberRange, Field: field, Low: math.Inf(-1), Up: math.Inf(1)}
	if !r.low.open {
		if t.Low = r.low.number; r.low.exclusive {
			t.Low = math.Nextafter(t.Low, math.Inf(1))
		}
	}
	if !r.high.open {
		if t.Up = r.high.number; r.high.exclusive {
			t.Up = math.Nextafter(t.Up, math.Inf(-1))
		}
	}
	return t
}

// literalHead is what stands before the first wildcard; whole is set if that is a * and nothing follows.
func literalHead(pattern []rune) (head string, whole bool) {
	var b strings.Builder
	for i, r := range pattern {
		if r == anyRun || r == anyOne {
			return b.String(), r == anyRun && i == len(pattern)-1
		}
		b.WriteRune(r)
	}
	return b.String(), false
}
