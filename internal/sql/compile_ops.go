package sql

// castTypes are the names of CAST's types in lower case, and what they mean.
var castTypes = map[string]Kind{
	"string": String, "nvarchar": String, "text": String, "ntext": String, "varchar": String,
	"int": Int, "integer": Int, "double": Decimal, "decimal": Decimal, "bool": Bool, "boolean": Bool,
}

func (c *compiler) unary(n *Unary) code {
	x := c.expr(n.X)
	if n.Op == "NOT" {
		f := x.condition()
		return c.fold(condition(func(e *env) tri { return not(f(e)) }), x)
	}
	return c.fold(evaluated(func(e *env) Value {
		v := x.eval(e)
		m, ok := e.number(v)
		if !ok {
			return Value{}
		}
		return e.result(m.negate(), true, v.kind == Int)
	}), x)
}

// condition is the code as a Boolean: true, false, or Undefined for whatever
// does not convert.
func (x code) condition() condFunc {
	if x.cond != nil {
		return x.cond
	}
	return func(e *env) tri {
		b, ok := x.eval(e).Bool()
		if !ok {
			return unknown
		}
		return triOf(b)
	}
}

func (c *compiler) binary(n *Binary) code {
	if n.Op == "IN" || n.Op == "NOT IN" {
		return c.in(n)
	}
	l, r := c.expr(n.L), c.expr(n.R)
	return c.fold(operator(n.Op, l, r), l, r)
}

func operator(op string, l, r code) code {
	switch op {
	case "AND", "OR":
		a, b := l.condition(), r.condition()
		and := op == "AND"
		// No short circuit: an Undefined on either side makes the result
		// Undefined, and external functions are called on both.
		return condition(func(e *env) tri {
			x, y := a(e), b(e)
			switch {
			case x == unknown || y == unknown:
				return unknown
			case and:
				return min(x, y)
			}
			return max(x, y)
		})
	case "=":
		return condition(func(e *env) tri { return e.equal(l.eval(e), r.eval(e)) })
	case "<>":
		return condition(func(e *env) tri { return not(e.equal(l.eval(e), r.eval(e))) })
	case "<":
		return ordered(l, r, func(o int) bool { return o < 0 })
	case "<=":
		return ordered(l, r, func(o int) bool { return o <= 0 })
	case ">":
		return ordered(l, r, func(o int) bool { return o > 0 })
	case ">=":
		return ordered(l, r, func(o int) bool { return o >= 0 })
	case "+":
		return evaluated(func(e *env) Value { return e.plus(l.eval(e), r.eval(e)) })
	case "-":
		return evaluated(func(e *env) Value {
			return e.arith(l.eval(e), r.eval(e), func(a, b number) (number, bool) { return add(a, b.negate()) })
		})
	case "*":
		return evaluated(func(e *env) Value { return e.arith(l.eval(e), r.eval(e), mul) })
	case "/":
		return evaluated(func(e *env) Value { return e.divide(l.eval(e), r.eval(e)) })
	}
	return evaluated(func(e *env) Value { return e.modulo(l.eval(e), r.eval(e)) })
}

func not(t tri) tri {
	switch t {
	case no:
		return yes
	case yes:
		return no
	}
	return unknown
}

func ordered(l, r code, holds func(order int) bool) code {
	if r.konst {
		// The usual condition, path < literal: convert the literal once.
		b, ok := r.v.number()
		return condition(func(e *env) tri {
			a, ok1 := e.number(l.eval(e))
			if !ok || !ok1 {
				return unknown
			}
			return triOf(holds(a.compare(b)))
		})
	}
	return condition(func(e *env) tri {
		a, ok1 := e.number(l.eval(e))
		b, ok2 := e.number(r.eval(e))
		if !ok1 || !ok2 {
			return unknown
		}
		return triOf(holds(a.compare(b)))
	})
}

// result is a computed number. Under the older version whole results of
// Decimals stay Decimals.
func (e *env) result(n number, ok, ints bool) Value {
	switch {
	case !ok:
		return Value{}
	case n.exp == 0 && (ints || !e.p.legacy):
		return Value{kind: Int, num: n}
	}
	return Value{kind: Decimal, num: n}
}

func (e *env) arith(a, b Value, f func(a, b number) (number, bool)) Value {
	x, ok1 := e.number(a)
	y, ok2 := e.number(b)
	if !ok1 || !ok2 {
		return Value{}
	}
	n, ok := f(x, y)
	return e.result(n, ok, a.kind == Int && b.kind == Int)
}

func (e *env) plus(a, b Value) Value {
	if a.kind != String && b.kind != String {
		return e.arith(a, b, add)
	}
	return e.join(a, b)
}

// join is the concatenation of two values' texts, Undefined if one has none.
func (e *env) join(a, b Value) Value {
	x, ok1 := e.text(a)
	y, ok2 := e.text(b)
	if !ok1 || !ok2 || !e.room(len(x)+len(y)) {
		return Value{}
	}
	return e.string(append(append(e.sc.grow(len(x)+len(y)), x...), y...))
}

func (e *env) divide(a, b Value) Value {
	if y, ok := e.number(b); !ok || y.isZero() {
		return Value{}
	}
	if a.kind == Int && b.kind == Int && !e.p.decimalDiv {
		return e.arith(a, b, quoInt)
	}
	return e.arith(a, b, quo)
}

func (e *env) modulo(a, b Value) Value {
	if y, ok := e.number(b); !ok || y.isZero() {
		return Value{}
	}
	return e.arith(a, b, rem)
}

// in compiles x IN array.
func (c *compiler) in(n *Binary) code {
	l, r := c.expr(n.L), c.expr(n.R)
	var f condFunc
	if r.konst && r.v.kind == Array {
		// A literal: take it apart once.
		var elems []Value
		w := walk{raw: r.v.s}
		for raw, ok := w.element(); ok; raw, ok = w.element() {
			elems = append(elems, loadRaw(raw, new(arena), c.prog.legacy))
		}
		f = func(e *env) tri {
			v := l.eval(e)
			if v.kind == Undefined || !e.charge(len(elems)) {
				return unknown
			}
			for _, elem := range elems {
				if e.equal(v, elem) == yes {
					return yes
				}
			}
			return no
		}
	} else {
		f = func(e *env) tri { return e.isIn(l.eval(e), r.eval(e)) }
	}
	if n.Op == "NOT IN" {
		in := f
		f = func(e *env) tri { return not(in(e)) }
	}
	return c.fold(condition(f), l, r)
}

// caseOf compiles CASE. Only the branch that matches is evaluated.
func (c *compiler) caseOf(n *Case) code {
	x := c.expr(n.X)
	type arm struct{ when, then code }
	arms := make([]arm, len(n.Arms))
	parts := []code{x}
	for i, a := range n.Arms {
		arms[i] = arm{c.expr(a.When), c.expr(a.Then)}
		parts = append(parts, arms[i].when, arms[i].then)
	}
	otherwise := constant(Value{})
	if n.Else != nil {
		otherwise = c.expr(n.Else)
	}
	return c.fold(evaluated(func(e *env) Value {
		v := x.eval(e)
		if v.kind == Undefined {
			return Value{}
		}
		for i := range arms {
			if e.equal(v, arms[i].when.eval(e)) == yes {
				return arms[i].then.eval(e)
			}
		}
		return otherwise.eval(e)
	}), append(parts, otherwise)...)
}

func (c *compiler) cast(n *Cast) code {
	switch n.Type {
	case "decimal", "bool", "boolean":
		c.needs2016(n.Pos(), "casts to "+n.Type)
	}
	x := c.expr(n.X)
	to := castTypes[n.Type]
	return c.fold(evaluated(func(e *env) Value { return e.cast(x.eval(e), to) }), x)
}

// cast converts as CAST does, which is more than what operators do.
func (e *env) cast(v Value, to Kind) Value {
	switch to {
	case String:
		s, ok := e.text(v)
		if !ok {
			return Value{}
		}
		return Value{kind: String, s: s}
	case Bool:
		if v.IsNumber() {
			return BoolValue(v.flag&flagHuge != 0 || !v.num.isZero())
		}
		b, ok := v.Bool()
		if !ok {
			return Value{}
		}
		return BoolValue(b)
	}
	if v.kind == Bool {
		one := int64(0)
		if v.isTrue() {
			one = 1
		}
		v = IntValue(one)
	}
	n, ok := e.number(v)
	switch {
	case !ok:
		return Value{}
	case to == Int:
		return e.result(n.truncate(0), true, true)
	case v.IsNumber() && !e.p.legacy:
		return v
	}
	return e.result(n, true, false)
}

// array compiles an array literal; Undefined elements are left out.
func (c *compiler) array(n *ArrayLit) code {
	elems := make([]code, len(n.Elems))
	for i, x := range n.Elems {
		elems[i] = c.expr(x)
	}
	return c.fold(evaluated(func(e *env) Value {
		base := len(e.stack)
		size := 2
		for i := range elems {
			v := elems[i].eval(e)
			size += len(v.s) + 48
			e.push(v)
		}
		b := append(e.sc.grow(size), '[')
		for _, v := range e.stack[base:] {
			if v.kind == Undefined {
				continue
			}
			if len(b) > 1 {
				b = append(b, ',')
			}
			b = v.appendJSON(b, e.p.legacy)
		}
		e.stack = e.stack[:base]
		return e.raw(Array, append(b, ']'))
	}), elems...)
}

// object compiles an object literal; members that are Undefined are left out,
// and of several with one key the last stays.
func (c *compiler) object(n *ObjectLit) code {
	proj := c.projection(pairItems(n))
	parts := make([]code, len(proj.items))
	for i := range proj.items {
		parts[i] = proj.items[i].code
	}
	return c.fold(evaluated(func(e *env) Value {
		b := proj.appendTo(e, e.buffer())
		v := e.raw(Object, append(e.sc.grow(len(b)), b...))
		e.done(b)
		return v
	}), parts...)
}

func pairItems(n *ObjectLit) []Item {
	items := make([]Item, len(n.Pairs))
	for i, p := range n.Pairs {
		items[i] = Item{X: p.Value, Alias: []string{p.Key}}
	}
	return items
}
