package sql

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The kinds of findings of [Lint].
const (
	NeverTrue    = "never-true"    // a condition that no message meets
	Unreachable  = "unreachable"   // an arm of a CASE that is never taken
	UnknownField = "unknown-field" // a field that no sample has
	BadPattern   = "bad-pattern"   // a literal pattern that makes a call always Undefined
)

// A Finding is something in a statement that cannot be meant so.
type Finding struct {
	Kind   string
	Offset int // in bytes, of the place in the text
	Msg    string
}

// Lint looks for what compiles and cannot be meant so: comparisons that are
// never true, each alone and those of an AND together, arms of a CASE that are
// never taken, literal patterns of regular expressions and times that are none,
// and fields that no sample has. Samples are payloads as JSON;
// without any, fields are not looked at. What it finds is certain, but for
// fields; what it does not find may be wrong all the same. The error is that
// of compiling.
func Lint(text string, opts *Options, samples []string) ([]Finding, error) {
	if _, err := CompileStatement(text, opts); err != nil {
		return nil, err
	}
	sel, err := ParseStatement(text, opts)
	if err != nil {
		return nil, err
	}
	l := &linter{text: text, opts: opts, samples: samples}
	for _, a := range sel.Set {
		l.node(a.X, true)
	}
	l.query(sel)
	slices.SortStableFunc(l.found, func(a, b Finding) int { return a.Offset - b.Offset })
	return l.found, nil
}

// query looks at WHERE and the items of a query.
func (l *linter) query(s *Select) {
	if s.Where != nil {
		l.condition(s.Where)
		l.node(s.Where, true)
	}
	for _, item := range s.Items {
		l.node(item.X, true)
	}
}

// Start is the byte offset of the first character of a node; Pos is that of an
// operator.
func Start(n Node) int {
	for {
		switch x := n.(type) {
		case *Binary:
			n = x.L
		case *Member:
			n = x.X
		default:
			return n.Pos()
		}
	}
}

type linter struct {
	text    string
	opts    *Options
	samples []string
	found   []Finding
	missing map[string]bool // fields already told of
	inside  int             // nested queries around, in which names mean something else
}

func (l *linter) report(kind string, n Node, format string, args ...any) {
	l.found = append(l.found, Finding{kind, Start(n), fmt.Sprintf(format, args...)})
}

// constant is the value of a node that does not depend on the message.
func (l *linter) constant(n Node) (Value, bool) {
	c, err := newCompiler(l.text, l.opts)
	if err != nil || !closed(n) {
		return Value{}, false
	}
	r := c.expr(n)
	return r.v, r.konst && c.err == nil
}

// closed reports whether a node has no name in it, which a compiler of its
// own would not know.
func closed(n Node) bool {
	open := false
	visit(n, func(n Node) bool {
		switch n.(type) {
		case *Ident, *VarRef, *Star, *Subquery, *Exists:
			open = true
		}
		return !open
	})
	return !open
}

// visit calls f for n and what it is made of, nested queries included, for as
// long as f returns true.
func visit(n Node, f func(Node) bool) {
	if n == nil || !f(n) {
		return
	}
	for _, part := range parts(n) {
		visit(part, f)
	}
}

// parts are the nodes that a node is made of; of a nested query its source
// alone, since names mean something else in it.
func parts(n Node) []Node {
	switch n := n.(type) {
	case *Member:
		return []Node{n.X}
	case *Unary:
		return []Node{n.X}
	case *Binary:
		return []Node{n.L, n.R}
	case *Call:
		return n.Args
	case *Cast:
		return []Node{n.X}
	case *Case:
		all := []Node{n.X}
		for _, a := range n.Arms {
			all = append(all, a.When, a.Then)
		}
		if n.Else != nil {
			all = append(all, n.Else)
		}
		return all
	case *ArrayLit:
		return n.Elems
	case *ObjectLit:
		all := make([]Node, len(n.Pairs))
		for i, p := range n.Pairs {
			all[i] = p.Value
		}
		return all
	case *Subquery:
		return []Node{n.Query.Source}
	case *Exists:
		return []Node{n.Query.Source}
	}
	return nil
}

// node looks at n and below. top says that no AND is around it, which looks at
// its parts together.
func (l *linter) node(n Node, top bool) {
	switch n := n.(type) {
	case *Ident, *Member:
		if names := names(n); names != nil {
			l.field(n, names)
			return
		}
	case *Binary:
		if n.Op == "AND" {
			if top {
				l.conjunction(n)
			}
			l.node(n.L, false)
			l.node(n.R, false)
			return
		}
		l.comparison(n)
	case *Case:
		l.arms(n)
	case *Call:
		l.pattern(n)
	case *Subquery:
		defer l.nested(n.Query)
	case *Exists:
		defer l.nested(n.Query)
	}
	for _, part := range parts(n) {
		l.node(part, true)
	}
}

// nested looks at a query within the statement.
func (l *linter) nested(s *Select) {
	l.inside++
	l.query(s)
	l.inside--
}

// comparison finds one that is never true whatever its path is.
func (l *linter) comparison(n *Binary) {
	order := strings.ContainsAny(n.Op, "<>") && n.Op != "<>"
	if !order && n.Op != "=" && n.Op != "<>" && n.Op != "IN" && n.Op != "NOT IN" {
		return
	}
	if v, ok := l.constant(n); ok {
		if b, isBool := v.Bool(); !isBool || !b {
			l.report(NeverTrue, n, "%s is never true", Print(n))
		}
		return
	}
	for _, side := range []Node{n.L, n.R} {
		v, ok := l.constant(side)
		if !ok {
			continue
		}
		_, number := v.number()
		switch {
		case v.kind == Undefined:
			l.report(NeverTrue, n, "%s is never true: %s is always Undefined", Print(n), Print(side))
			return
		case order && !number:
			l.report(NeverTrue, n, "%s is never true: only numbers have an order, and %s is none", Print(n), Print(side))
			return
		case n.Op == "IN" && side == n.R && v.kind == Array && v.s == "[]":
			l.report(NeverTrue, n, "%s is never true: the list is empty", Print(n))
			return
		}
	}
	l.mismatch(n, order)
}

// A bounds is what the conditions of one AND leave of an expression.
type bounds struct {
	low, high         number
	hasLow, hasHigh   bool
	openLow, openHigh bool    // the bound itself is not allowed
	among, not        []Value // what = and IN leave, if listed; what <> and NOT IN exclude
	listed            bool
	by                Node // the last condition
}

// conjunction finds conditions of an AND that no value meets together.
func (l *linter) conjunction(n *Binary) {
	known := map[string]*bounds{}
	for _, one := range conjuncts(n, nil) {
		b, ok := one.(*Binary)
		if !ok {
			continue
		}
		op, ok := ops[b.Op]
		if !ok {
			continue
		}
		x, side := b.L, b.R
		if _, ok := l.constant(side); !ok && op != In && op != NotIn {
			x, side, op = b.R, b.L, mirrored[op]
		}
		v, ok := l.constant(side)
		if !ok || v.kind == Undefined || !steady(x) {
			continue
		}
		key := Print(x)
		s := known[key]
		if s == nil {
			s = &bounds{}
			known[key] = s
		}
		if s.meet(op, v) {
			s.by = one
			continue
		}
		if s.by != nil { // an empty list is told of elsewhere
			l.report(NeverTrue, one, "%s and %s are never true together", Print(s.by), Print(one))
		}
		delete(known, key)
	}
}

// steady reports whether an expression has the same value each time it is
// evaluated on a message.
func steady(n Node) bool {
	ok := true
	visit(n, func(n Node) bool {
		switch n := n.(type) {
		case *Call:
			if f, known := builtins[n.Name]; !known || !f.pure {
				ok = false
			}
		case *Subquery, *Exists:
			ok = false
		}
		return ok
	})
	return ok
}

// meet narrows s by a condition and reports whether anything is left.
func (s *bounds) meet(op Op, v Value) bool {
	switch op {
	case Equal:
		s.narrow([]Value{v})
	case In:
		if v.kind == Array {
			s.narrow(elements(v))
		}
	case NotEqual:
		s.not = append(s.not, v)
	case NotIn:
		if v.kind == Array {
			s.not = append(s.not, elements(v)...)
		}
	default:
		n, ok := v.number()
		if !ok {
			return true // told of elsewhere
		}
		open := op == Less || op == Greater
		if op == Less || op == LessEqual {
			if c := n.compare(s.high); !s.hasHigh || c < 0 || c == 0 && open {
				s.high, s.hasHigh, s.openHigh = n, true, open
			}
		} else if c := n.compare(s.low); !s.hasLow || c > 0 || c == 0 && open {
			s.low, s.hasLow, s.openLow = n, true, open
		}
	}
	if s.hasLow && s.hasHigh {
		if c := s.low.compare(s.high); c > 0 || c == 0 && (s.openLow || s.openHigh) {
			return false
		}
	}
	return !s.listed || slices.ContainsFunc(s.among, s.allows)
}

func elements(array Value) (all []Value) {
	w := walk{raw: array.s}
	for raw, ok := w.element(); ok; raw, ok = w.element() {
		all = append(all, loadRaw(raw, new(arena), false))
	}
	return all
}

// narrow leaves of s.among what is in values too.
func (s *bounds) narrow(values []Value) {
	if !s.listed {
		s.among, s.listed = values, true
		return
	}
	s.among = slices.DeleteFunc(slices.Clone(s.among), func(v Value) bool {
		return !slices.ContainsFunc(values, func(w Value) bool { return !scalar(v) || !scalar(w) || is(v, w) })
	})
}

// allows reports whether an expression that is v can meet the other conditions.
func (s *bounds) allows(v Value) bool {
	if slices.ContainsFunc(s.not, func(w Value) bool { return scalar(v) && scalar(w) && is(v, w) }) {
		return false
	}
	if !s.hasLow && !s.hasHigh {
		return true
	}
	n, ok := v.number()
	if !ok {
		return false // has no order
	}
	if c := n.compare(s.low); s.hasLow && (c < 0 || c == 0 && s.openLow) {
		return false
	}
	c := n.compare(s.high)
	return !s.hasHigh || c < 0 || c == 0 && !s.openHigh
}

func scalar(v Value) bool { return v.kind != Array && v.kind != Object }

// arms finds arms of a CASE that an earlier one hides, or that the constant
// after CASE is not.
func (l *linter) arms(n *Case) {
	x, fixed := l.constant(n.X)
	e := &env{p: &program{maxWork: 1 << 20, maxValue: 1 << 20}}
	if fixed && x.kind == Undefined {
		l.report(Unreachable, n, "CASE %s is always Undefined, and no arm of it is ever taken, nor ELSE", Print(n.X))
		return
	}
	kind := kindOf(n.X)
	var seen []Value
	taken := false
	for _, arm := range n.Arms {
		when, ok := l.constant(arm.When)
		if !ok {
			continue
		}
		switch {
		case when.kind == Undefined:
			l.report(Unreachable, arm.When, "WHEN %s is never taken: it is always Undefined", Print(arm.When))
			continue
		case slices.ContainsFunc(seen, func(v Value) bool { return e.equal(v, when) == yes }):
			l.report(Unreachable, arm.When, "WHEN %s is never taken: an arm before it is the same", Print(arm.When))
			continue
		case kind != Undefined && kind != kindOf(arm.When) && kindOf(arm.When) != Undefined:
			l.report(Unreachable, arm.When, "WHEN %s is never taken: %s is %s", Print(arm.When), Print(n.X), kind.article())
			continue
		case fixed && (taken || e.equal(x, when) != yes):
			l.report(Unreachable, arm.When, "WHEN %s is never taken: CASE is of %s", Print(arm.When), Print(n.X))
		case fixed:
			taken = true
		}
		seen = append(seen, when)
	}
	switch {
	case n.Else == nil:
	case taken:
		l.report(Unreachable, n.Else, "ELSE %s is never taken: CASE is of %s", Print(n.Else), Print(n.X))
	case kind == Bool && bothBooleans(seen):
		l.report(Unreachable, n.Else, "ELSE %s is never taken: there are arms for TRUE and FALSE, and with Undefined CASE is Undefined", Print(n.Else))
	}
}

// names is a path of names into the payload, nil for another node.
func names(n Node) []string {
	switch n := n.(type) {
	case *Ident:
		return []string{n.Name}
	case *Member:
		if base := names(n.X); base != nil {
			return append(base, n.Name)
		}
	}
	return nil
}

// field tells of a path that is in no sample, once.
func (l *linter) field(n Node, names []string) {
	path := strings.Join(names, ".")
	if len(l.samples) == 0 || l.missing[path] || l.inside > 0 {
		return
	}
	near := map[string]bool{} // the names that samples have where it goes wrong
	far := 0                  // how many names were found, at most
	for _, sample := range l.samples {
		raw := sample
		for i, name := range names {
			next := lookup(raw, name)
			if next == "" {
				if i > far {
					clear(near)
					far = i
				}
				if i == far {
					members(raw, near)
				}
				raw = ""
				break
			}
			raw = next
		}
		if raw != "" {
			return
		}
	}
	if l.missing == nil {
		l.missing = map[string]bool{}
	}
	l.missing[path] = true
	msg := fmt.Sprintf("no sample has %s", path)
	if len(l.samples) == 1 {
		msg = fmt.Sprintf("the sample has no %s", path)
	}
	if guess := nearest(names[far], maps.Keys(near)); guess != "" {
		msg += fmt.Sprintf(", did you mean %s?", strings.Join(append(slices.Clone(names[:far]), guess), "."))
	}
	l.report(UnknownField, n, "%s", msg)
}

// members adds the names of an object's members.
func members(raw string, to map[string]bool) {
	if raw == "" || raw[0] != '{' {
		return
	}
	w := walk{raw: raw}
	for key, _, ok := w.member(); ok; key, _, ok = w.member() {
		to[string(appendUnescaped(nil, key[1:len(key)-1]))] = true
	}
}

// Compact is a JSON text as the other functions of this package take it,
// without space around it; not ok if it is none.
func Compact(text []byte) (string, bool) {
	v, err := ParseValue(text)
	if err != nil || v.kind == Undefined {
		return "", false
	}
	return string(v.JSON()), true
}
