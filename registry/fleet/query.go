package fleet

import (
	"strings"
	"unicode/utf8"
)

// A Query is a compiled query. It is immutable and safe for concurrent use.
type Query struct {
	root node
	text string
	only []string // the fields that it asks for; nil is all
}

// String returns the text of the query.
func (q *Query) String() string { return q.text }

// Match reports whether the document matches.
func (q *Query) Match(d *Document) bool { return q.root.match(d) }

// MatchThing is Match of the thing's document, of which only the fields are made that the query asks for.
func (q *Query) MatchThing(t Thing) bool { return q.root.match(newDocument(t, q.only)) }

// fieldsOf adds the fields that a node asks for to those of others, and returns nil if one of them asks for all.
func fieldsOf(n node, others []string) []string {
	if others == nil {
		return nil
	}
	switch n := n.(type) {
	case not:
		return fieldsOf(n.of, others)
	case and:
		for _, one := range n {
			others = fieldsOf(one, others)
		}
	case or:
		for _, one := range n {
			others = fieldsOf(one, others)
		}
	case leafNode:
		if n.field == "" {
			return nil
		}
		return append(others, n.field)
	}
	return others
}

// A node is one operator of a query.
type node interface {
	match(d *Document) bool
}

type (
	all struct{}
	not struct{ of node }
	and []node
	or  []node
	// leafNode asks one field, or all those searched by default.
	leafNode struct {
		field string
		test  test
	}
)

func (all) match(*Document) bool     { return true }
func (n not) match(d *Document) bool { return !n.of.match(d) }

func (n and) match(d *Document) bool {
	for _, one := range n {
		if !one.match(d) {
			return false
		}
	}
	return true
}

func (n or) match(d *Document) bool {
	for _, one := range n {
		if one.match(d) {
			return true
		}
	}
	return false
}

func (n leafNode) match(d *Document) bool {
	if n.field != "" {
		return n.any(d.fields[n.field])
	}
	for field, values := range d.fields {
		if searchedByDefault(field) && n.any(values) {
			return true
		}
	}
	return false
}

func (n leafNode) any(values []Value) bool {
	for i := range values {
		if n.test.match(&values[i]) {
			return true
		}
	}
	return false
}

// A test asks one value.
type test interface {
	match(v *Value) bool
}

type (
	// exists is field:*.
	exists struct{}
	// word is a term: lower case, with wildcards if it has any.
	word struct {
		pattern  []rune // wildcards are the runes below
		plain    string // without wildcards
		wild     bool
		number   float64
		isNumber bool
	}
	phrase []string
	// interval is a range or comparison.
	interval struct {
		numeric  bool
		low      bound
		high     bound
		anything bool // both ends open
	}
	bound struct {
		open      bool // no bound
		exclusive bool
		text      string
		number    float64
	}
)

// Wildcards within a pattern. They are no characters, so that an escaped '*'
// is not taken for one.
const (
	anyRun rune = -1
	anyOne rune = -2
)

func (exists) match(*Value) bool { return true }

func (w *word) match(v *Value) bool {
	if w.isNumber && v.Numeric {
		return w.number == v.Number
	}
	for part := range words(v.Text) {
		if w.wild {
			if matchRunes(w.pattern, part) {
				return true
			}
		} else if part == w.plain {
			return true
		}
	}
	return false
}

// matchRunes matches the whole of s. The last run of characters is the only
// one that is ever tried again, so that time is bounded by the product of the
// lengths.
func matchRunes(p []rune, s string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(s) {
		r, size := utf8.DecodeRuneInString(s[j:])
		switch {
		case i < len(p) && p[i] == anyRun:
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == anyOne || p[i] == r):
			i++
			j += size
		case star >= 0:
			_, size := utf8.DecodeRuneInString(s[mark:])
			mark += size
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == anyRun {
		i++
	}
	return i == len(p)
}

func (p phrase) match(v *Value) bool {
	of := strings.FieldsFunc(v.Text, isSpace)
	for at := 0; at+len(p) <= len(of); at++ {
		i := 0
		for i < len(p) && of[at+i] == p[i] {
			i++
		}
		if i == len(p) {
			return true
		}
	}
	return false
}

func (r *interval) match(v *Value) bool {
	switch {
	case r.anything:
		return true
	case r.numeric && !v.Numeric:
		return false
	case r.numeric:
		return above(&r.low, cmpFloat(v.Number, r.low.number)) && above(&r.high, cmpFloat(r.high.number, v.Number))
	}
	return above(&r.low, strings.Compare(v.Text, r.low.text)) && above(&r.high, strings.Compare(r.high.text, v.Text))
}

// above reports whether a value that compares so with the bound is inside.
func above(b *bound, cmp int) bool { return b.open || cmp > 0 || cmp == 0 && !b.exclusive }

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
