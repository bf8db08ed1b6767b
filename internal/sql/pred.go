package sql

import (
	"encoding/binary"
	"strings"
)

// An Op is the operator of a [Pred].
type Op uint8

// The operators, the path being on the left.
const (
	Equal Op = iota
	NotEqual
	Less
	LessEqual
	Greater
	GreaterEqual
	In
	NotIn
)

// A Pred is a condition path op literal, which an index over many statements
// can answer. It is immutable.
type Pred struct {
	Slot int // of the path, in the statement or, if so said, in a Scan
	Op   Op

	num Num     // of Less to GreaterEqual: lit as a number
	lit Value   // of all but In and NotIn: a scalar
	set []Value // of In and NotIn: scalars
}

// Number is the literal of an ordering.
func (p *Pred) Number() Num { return p.num }

// Keys yields the keys (see [Value.AppendKey]) of the values for which an
// Equal or an In holds.
func (p *Pred) Keys(yield func(key string)) {
	if p.Op == Equal {
		yield(string(p.lit.AppendKey(nil)))
		return
	}
	seen := make(map[string]bool, len(p.set))
	for _, v := range p.set {
		if key := string(v.AppendKey(nil)); !seen[key] {
			seen[key] = true
			yield(key)
		}
	}
}

// Alternatives is how many values an Equal or an In lists.
func (p *Pred) Alternatives() int {
	if p.Op == In {
		return len(p.set)
	}
	return 1
}

// Holds reports whether the condition is true for v: not false, and not
// Undefined. n is v as a number if ok says that it is one.
func (p *Pred) Holds(v Value, n Num, ok bool) bool {
	switch p.Op {
	case Equal:
		return is(v, p.lit)
	case NotEqual:
		return v.kind != Undefined && !is(v, p.lit)
	case In, NotIn:
		if v.kind == Undefined {
			return false
		}
		for _, lit := range p.set {
			if is(v, lit) {
				return p.Op == In
			}
		}
		return p.Op == NotIn
	}
	return ok && p.ordered(n.Compare(p.num))
}

func (p *Pred) ordered(order int) bool {
	switch p.Op {
	case Less:
		return order < 0
	case LessEqual:
		return order <= 0
	case Greater:
		return order > 0
	}
	return order >= 0
}

// A refuter ends the search of a payload early when a Pred does not hold: then
// WHERE is not true whatever else there is, be it JSON or not, unless the path
// comes again, since of several members with one name the last counts.
type refuter struct {
	preds   []Pred // nil: nobody asks
	held    uint64 // a bit for each that holds for the latest value of its member
	refuted bool
}

// refutes is asked at a member of the payload, which has the value raw, with
// what follows it.
func (r *refuter) refutes(member *path, raw, rest string) bool {
	for i := range r.preds {
		p := &r.preds[i]
		if p.Slot != member.slot {
			continue
		}
		if p.holdsRaw(raw) {
			r.held |= 1 << i
			continue
		}
		r.held &^= 1 << i
		// An escape may spell the name in another way.
		r.refuted = !member.mayRecur(rest) && !hasEscape(rest)
		return r.refuted
	}
	return false
}

// mayRecur reports whether the name of a member is, or might be, in rest. It
// looks for the byte of the name that JSON has least of, since quotes and
// vowels are everywhere.
func (p *path) mayRecur(rest string) bool {
	if p.key == "" {
		return true
	}
	rare := p.key[p.rare]
	for range 8 {
		i := strings.IndexByte(rest, rare)
		if i < 0 {
			return false
		}
		if start := i - p.rare; start >= 0 && strings.HasPrefix(rest[start:], p.key) {
			return true
		}
		rest = rest[i+1:]
	}
	return true
}

// rarest is the index of the byte of key that JSON has least of.
func rarest(key string) int {
	const common = "eatinorsl0d1cu2mph.gyfb3456789wv_kxjqz"
	best, rank := 0, -1
	for i := range len(key) {
		r := strings.IndexByte(common, key[i]|0x20)
		if r < 0 {
			r = len(common)
		}
		if r > rank {
			best, rank = i, r
		}
	}
	return best
}

// holds is Holds, and converts v only if need be.
func (p *Pred) holds(v Value) bool {
	if p.Op < Less || p.Op > GreaterEqual {
		return p.Holds(v, Num{}, false)
	}
	n, ok := v.number()
	return ok && p.ordered(n.compare(p.num.n))
}

// holdsRaw is Holds for the value that raw is the JSON of.
func (p *Pred) holdsRaw(raw string) bool {
	if p.Op >= Less && p.Op <= GreaterEqual && raw[0] <= '9' && raw[0] != '"' {
		n, _, _, ok := parseNumber(raw)
		return ok && p.ordered(n.compare(p.num.n))
	}
	var sc arena
	return p.holds(loadRaw(raw, &sc, false))
}

// is reports whether v = lit is true, lit being a scalar within the limits of
// numbers.
func is(v, lit Value) bool {
	switch {
	case v.IsNumber() && lit.IsNumber():
		return v.flag&flagHuge == 0 && v.num == lit.num
	case v.kind != lit.kind:
		return false
	case v.kind == Bool:
		return v.isTrue() == lit.isTrue()
	case v.kind == String:
		return v.s == lit.s
	}
	return v.kind == Null
}

// AppendKey appends a text that is the same for two scalars exactly if they
// are equal; nothing for what no literal of a Pred equals.
func (v Value) AppendKey(b []byte) []byte {
	switch v.kind {
	case Null:
		return append(b, '0')
	case Bool:
		if v.isTrue() {
			return append(b, 't')
		}
		return append(b, 'f')
	case String:
		return append(append(b, 's'), v.s...)
	case Int, Decimal:
		if v.flag&flagHuge != 0 {
			return b
		}
		sign := byte('+')
		if v.num.neg {
			sign = '-'
		}
		b = append(b, sign)
		b = binary.LittleEndian.AppendUint64(b, v.num.coef.hi)
		b = binary.LittleEndian.AppendUint64(b, v.num.coef.lo)
		return binary.LittleEndian.AppendUint16(b, uint16(v.num.exp))
	}
	return b
}

// A Num is a number that compares fast with most others.
type Num struct {
	n     number
	about float64 // grows with n, though not strictly
}

// Num is v converted to a number.
func (v Value) Num() (Num, bool) {
	n, ok := v.number()
	if !ok {
		return Num{}, false
	}
	return Num{n, n.float()}, true
}

// Compare is below, at or above 0 as a is below, at or above b.
func (a Num) Compare(b Num) int {
	switch {
	case a.about < b.about:
		return -1
	case a.about > b.about:
		return 1
	}
	return a.n.compare(b.n)
}

// conjuncts appends the conditions that AND joins at the top of n, from left
// to right.
func conjuncts(n Node, all []Node) []Node {
	if b, ok := n.(*Binary); ok && b.Op == "AND" {
		return conjuncts(b.R, conjuncts(b.L, all))
	}
	return append(all, n)
}

var ops = map[string]Op{"=": Equal, "<>": NotEqual, "<": Less, "<=": LessEqual,
	">": Greater, ">=": GreaterEqual, "IN": In, "NOT IN": NotIn}

// mirrored are the operators with their sides exchanged.
var mirrored = map[Op]Op{Equal: Equal, NotEqual: NotEqual, Less: Greater, LessEqual: GreaterEqual,
	Greater: Less, GreaterEqual: LessEqual}

// pred is n as a Pred, if it is one, and its path as written.
func (c *compiler) pred(n Node) (p Pred, path string, ok bool) {
	b, ok := n.(*Binary)
	if !ok {
		return p, "", false
	}
	op, ok := ops[b.Op]
	if !ok {
		return p, "", false
	}
	left, right := b.L, b.R
	if op != In && op != NotIn && isLiteral(left) {
		left, right, op = right, left, mirrored[op]
	}
	if !isPath(left) {
		return p, "", false
	}
	if lit, isArray := right.(*ArrayLit); op == In || op == NotIn {
		if !isArray {
			return p, "", false
		}
		for _, elem := range lit.Elems {
			if !isLiteral(elem) {
				return p, "", false
			}
		}
	} else if !isLiteral(right) {
		return p, "", false
	}
	l, r := c.expr(left), c.expr(right)
	if c.err != nil || l.slot < 0 || !r.konst {
		return p, "", false
	}
	p = Pred{Slot: l.slot, Op: op, lit: r.v}
	switch op {
	case Less, LessEqual, Greater, GreaterEqual:
		p.num, ok = r.v.Num()
		return p, Print(left), ok // a text that is no number compares with nothing
	case In, NotIn:
		p.lit = Value{}
		w := walk{raw: r.v.s}
		for raw, more := w.element(); more; raw, more = w.element() {
			p.set = append(p.set, loadRaw(raw, new(arena), c.prog.legacy).detach())
		}
	}
	return p, Print(left), true
}

func isPath(n Node) bool {
	for {
		switch m := n.(type) {
		case *Ident:
			return true
		case *Member:
			n = m.X
		default:
			return false
		}
	}
}

// isLiteral reports whether n is a scalar, as written or a negative number.
func isLiteral(n Node) bool {
	switch n := n.(type) {
	case *NumberLit, *StringLit, *BoolLit, *NullLit:
		return true
	case *Unary:
		_, ok := n.X.(*NumberLit)
		return ok && n.Op == "-"
	}
	return false
}
