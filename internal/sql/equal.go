package sql

import (
	"slices"
	"strings"
)

// equal is a = b: without conversion, Undefined if one of them is.
func (e *env) equal(a, b Value) tri {
	switch {
	case a.kind == Undefined || b.kind == Undefined:
		return unknown
	case a.IsNumber() && b.IsNumber():
		if (a.flag|b.flag)&flagHuge != 0 {
			return triOf(a.s == b.s)
		}
		return triOf(a.num == b.num)
	case a.kind != b.kind:
		return no
	}
	switch a.kind {
	case Bool:
		return triOf(a.isTrue() == b.isTrue())
	case String:
		return triOf(a.s == b.s)
	case Array, Object:
		return triOf(e.equalRaw(a.s, b.s))
	}
	return yes // Null
}

// equalRaw compares two valid JSON texts.
func (e *env) equalRaw(a, b string) bool {
	if !e.charge(len(a) + len(b)) {
		return false
	}
	switch {
	case a == b:
		return true
	case a[0] == '[' && b[0] == '[':
		x, y := walk{raw: a}, walk{raw: b}
		for {
			p, ok1 := x.element()
			q, ok2 := y.element()
			if !ok1 || !ok2 {
				return ok1 == ok2
			}
			if !e.equalRaw(p, q) {
				return false
			}
		}
	case a[0] == '{' && b[0] == '{':
		x, y := e.sorted(a), e.sorted(b)
		return slices.EqualFunc(x, y, func(p, q member) bool {
			return p.key == q.key && e.equalRaw(p.value, q.value)
		})
	}
	return e.equal(e.load(a), e.load(b)) == yes
}

// A member of an object: its key decoded, its value raw.
type member struct{ key, value string }

// sorted are the members of the object raw by key; of several with one key
// the last.
func (e *env) sorted(raw string) []member {
	var all []member
	w := walk{raw: raw}
	for k, v, ok := w.member(); ok; k, v, ok = w.member() {
		all = append(all, member{unquote(k, &e.sc), v})
	}
	slices.SortStableFunc(all, func(a, b member) int { return strings.Compare(a.key, b.key) })
	last := all[:0]
	for i, m := range all {
		if i+1 == len(all) || all[i+1].key != m.key {
			last = append(last, m)
		}
	}
	return last
}

// inWork is what IN counts for each byte of an array: a short element takes
// much longer to load and compare than its bytes to skip.
const inWork = 4

// isIn is v IN array.
func (e *env) isIn(v, array Value) tri {
	if v.kind == Undefined || array.kind != Array || !e.charge(inWork*len(array.s)) {
		return unknown
	}
	w := walk{raw: array.s}
	for raw, ok := w.element(); ok; raw, ok = w.element() {
		if e.equal(v, e.load(raw)) == yes {
			return yes
		}
	}
	return no
}
