package sql

import (
	"math/big"
	"strconv"
	"strings"
)

// nmessage is what the naive interpreter evaluates a statement on.
type nmessage struct {
	in      Input
	legacy  bool
	raw     string
	payload nv   // Undefined if it is not JSON
	empty   bool // no bytes at all
	vars    map[string]nv
	scopes  []nscope
}

type nscope struct {
	alias string
	elem  nv
}

// errNaive is thrown where * is not JSON.
type errNaive struct{}

// run is the output, if the message matches; failed says that the evaluation
// was abandoned.
func (m *nmessage) run(s *Select) (out string, matched, failed bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(errNaive); !ok {
				panic(r)
			}
			out, matched, failed = "", false, true
		}
	}()
	m.vars = map[string]nv{}
	for _, a := range s.Set {
		m.vars[a.Name] = m.eval(a.X)
	}
	if s.Where != nil && !m.holds(s.Where) {
		return "", false, false
	}
	if _, star := s.Items[0].X.(*Star); star && len(s.Items) == 1 && s.Items[0].Alias == nil {
		return m.raw, true, false
	}
	v := m.project(s)
	if v.kind == Undefined || v.kind == Array && m.legacy { // which the older version cannot output
		return "", true, false
	}
	return v.json(), true, false
}

// holds is a WHERE: what is joined by AND is looked at until one does not hold.
func (m *nmessage) holds(n Node) bool {
	if b, ok := n.(*Binary); ok && b.Op == "AND" {
		return m.holds(b.L) && m.holds(b.R)
	}
	b, ok := m.eval(n).boolean()
	return b && ok
}

// star is * as a value.
func (m *nmessage) star() nv {
	if n := len(m.scopes); n > 0 {
		return m.scopes[n-1].elem
	}
	if m.payload.kind == Undefined && !m.empty {
		panic(errNaive{})
	}
	return m.payload
}

func (m *nmessage) project(s *Select) nv {
	if s.Value {
		return m.eval(s.Items[0].X)
	}
	out := nobj(nil)
	for i, it := range s.Items {
		switch x := it.X.(type) {
		case *Star:
			if it.Alias != nil {
				break
			}
			base := m.star()
			if base.kind != Object && base.kind != Undefined && len(m.scopes) == 0 {
				panic(errNaive{})
			}
			for _, mem := range base.obj {
				out.set(mem.key, mem.v)
			}
			continue
		case *ObjectLit:
			if it.Alias == nil {
				for _, p := range x.Pairs {
					if v := m.eval(p.Value); v.kind != Undefined {
						out.set(p.Key, v)
					}
				}
				continue
			}
		}
		path := it.Alias
		if path == nil {
			path = []string{nname(it.X, i)}
		}
		if v := m.eval(it.X); v.kind != Undefined {
			out.put(path, v)
		}
	}
	return out
}

func nname(n Node, i int) string {
	switch n := n.(type) {
	case *Ident:
		return n.Name
	case *Member:
		return n.Name
	case *VarRef:
		return n.Name
	case *Call:
		return n.Name
	case *Cast:
		return "cast"
	}
	return "_" + strconv.Itoa(i+1)
}

func (m *nmessage) eval(n Node) nv {
	switch n := n.(type) {
	case *NumberLit:
		return nwritten(n.Text, m.legacy)
	case *StringLit:
		return nstr(n.Value)
	case *BoolLit:
		return nbool(n.Value)
	case *NullLit:
		return nv{kind: Null}
	case *Star:
		return m.star()
	case *Ident:
		return m.name(n.Name)
	case *VarRef:
		return m.vars[n.Name]
	case *Member:
		return m.eval(n.X).member(n.Name)
	case *Unary:
		return m.unary(n)
	case *Binary:
		return m.binary(n.Op, m.eval(n.L), m.eval(n.R))
	case *Call:
		return m.call(n)
	case *Cast:
		return m.cast(m.eval(n.X), castTypes[n.Type])
	case *Case:
		return m.caseOf(n)
	case *ArrayLit:
		out := narr(nil)
		for _, x := range n.Elems {
			if v := m.eval(x); v.kind != Undefined {
				out.arr = append(out.arr, v)
			}
		}
		return out
	case *ObjectLit:
		out := nobj(nil)
		for _, p := range n.Pairs {
			if v := m.eval(p.Value); v.kind != Undefined {
				out.set(p.Key, v)
			}
		}
		return out
	case *Subquery:
		return m.subquery(n.Query)
	case *Exists:
		return nbool(m.exists(n.Query))
	}
	panic("unknown node")
}

func (m *nmessage) name(name string) nv {
	for i := len(m.scopes) - 1; i >= 0; i-- {
		if m.scopes[i].alias == name {
			return m.scopes[i].elem
		}
		if v := m.scopes[i].elem.member(name); v.kind != Undefined {
			return v
		}
	}
	return m.payload.member(name)
}

func (m *nmessage) unary(n *Unary) nv {
	x := m.eval(n.X)
	if n.Op == "NOT" {
		if b, ok := x.boolean(); ok {
			return nbool(!b)
		}
		return undef
	}
	if r, ok := x.num(); ok {
		return m.like(nnum(new(big.Rat).Neg(r)), x)
	}
	return undef
}

// like gives a computed number its type: an Int if all that it comes from are
// Ints, else a Decimal. A whole one differs in version 2015-10-08 alone.
func (m *nmessage) like(v nv, from ...nv) nv {
	for _, x := range from {
		v.dec = v.dec || m.legacy && (x.kind == String || x.dec || x.kind == Int && !x.r.IsInt())
	}
	return v
}

func (m *nmessage) binary(op string, a, b nv) nv {
	switch op {
	case "AND", "OR":
		x, ok1 := a.boolean()
		y, ok2 := b.boolean()
		if !ok1 || !ok2 {
			return undef
		}
		if op == "AND" {
			return nbool(x && y)
		}
		return nbool(x || y)
	case "=", "<>":
		if a.kind == Undefined || b.kind == Undefined {
			return undef
		}
		return nbool(nequal(a, b) == (op == "="))
	case "IN", "NOT IN":
		if a.kind == Undefined || b.kind != Array {
			return undef
		}
		found := false
		for _, x := range b.arr {
			found = found || nequal(a, x)
		}
		return nbool(found == (op == "IN"))
	case "+":
		if a.kind == String || b.kind == String {
			x, ok1 := a.text()
			y, ok2 := b.text()
			if !ok1 || !ok2 {
				return undef
			}
			return nstr(x + y)
		}
	}
	x, ok1 := a.num()
	y, ok2 := b.num()
	if !ok1 || !ok2 {
		return undef
	}
	c := x.Cmp(y)
	switch op {
	case "<":
		return nbool(c < 0)
	case "<=":
		return nbool(c <= 0)
	case ">":
		return nbool(c > 0)
	case ">=":
		return nbool(c >= 0)
	case "+":
		return m.like(nnum(new(big.Rat).Add(x, y)), a, b)
	case "-":
		return m.like(nnum(new(big.Rat).Sub(x, y)), a, b)
	case "*":
		return m.like(nnum(new(big.Rat).Mul(x, y)), a, b)
	}
	if y.Sign() == 0 {
		return undef
	}
	q := new(big.Rat).Quo(x, y)
	if op == "%" {
		return m.like(nnum(new(big.Rat).Sub(x, new(big.Rat).Mul(truncRat(q), y))), a, b)
	}
	if a.whole() && b.whole() {
		return nnum(truncRat(q))
	}
	return m.like(nnum(q), a, b)
}

func (m *nmessage) cast(v nv, to Kind) nv {
	switch to {
	case String:
		if s, ok := v.text(); ok {
			return nstr(s)
		}
		return undef
	case Bool:
		if v.kind == Int {
			return nbool(v.r.Sign() != 0)
		}
		if b, ok := v.boolean(); ok {
			return nbool(b)
		}
		return undef
	}
	if v.kind == Bool {
		one := nint(0)
		if v.b {
			one = nint(1)
		}
		v = one
	}
	r, ok := v.num()
	if !ok {
		return undef
	}
	if to == Int {
		return nnum(truncRat(r))
	}
	out := nnum(r)
	out.dec = m.legacy
	return out
}

func (m *nmessage) caseOf(n *Case) nv {
	x := m.eval(n.X)
	if x.kind == Undefined {
		return undef
	}
	for _, a := range n.Arms {
		if w := m.eval(a.When); w.kind != Undefined && nequal(x, w) {
			return m.eval(a.Then)
		}
	}
	if n.Else == nil {
		return undef
	}
	return m.eval(n.Else)
}

// within evaluates f with elem as the innermost scope, if WHERE is true for it.
func (m *nmessage) within(q *Select, elem nv) (v nv, ok bool) {
	m.scopes = append(m.scopes, nscope{q.Alias, elem})
	defer func() { m.scopes = m.scopes[:len(m.scopes)-1] }()
	if q.Where != nil {
		if b, isBool := m.eval(q.Where).boolean(); !isBool || !b {
			return undef, false
		}
	}
	if _, star := q.Items[0].X.(*Star); star && len(q.Items) == 1 && q.Items[0].Alias == nil {
		return elem, true
	}
	return m.project(q), true
}

func (m *nmessage) subquery(q *Select) nv {
	src := m.eval(q.Source)
	switch src.kind {
	case Object:
		v, _ := m.within(q, src)
		return v
	case Array:
		out := narr(nil)
		for _, elem := range src.arr {
			if v, ok := m.within(q, elem); ok && v.kind != Undefined {
				out.arr = append(out.arr, v)
			}
		}
		return out
	}
	return undef
}

func (m *nmessage) exists(q *Select) bool {
	src := m.eval(q.Source)
	elems := src.arr
	if src.kind == Object {
		elems = []nv{src}
	}
	for _, elem := range elems {
		if v, ok := m.within(q, elem); ok && v.kind != Undefined {
			return true
		}
	}
	return false
}

// levels are those of the topic, for topic(n).
func (m *nmessage) level(n int) nv {
	levels := strings.Split(m.in.Topic, "/")
	if n < 1 || n > len(levels) {
		return undef
	}
	return nstr(levels[n-1])
}
