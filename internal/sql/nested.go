package sql

// A nested query, compiled: its list, its condition and what it goes through.
type nested struct {
	query  int // index into env.elems
	source code
	where  condFunc // or nil
	value  bool
	star   bool // SELECT * alone or SELECT VALUE *: the element itself
	item   code // of SELECT VALUE
	proj   *projection
	paths  *path
	cost   int // of evaluating it for one element, in steps
}

func (c *compiler) nested(q *Select) *nested {
	n := &nested{query: c.prog.queries, value: q.Value}
	c.prog.queries++
	n.source = c.expr(q.Source)
	before := c.nodes
	n.paths = &path{slot: -1}
	c.scopes = append(c.scopes, scope{alias: q.Alias, query: n.query, paths: n.paths})
	if q.Where != nil {
		n.where = c.expr(q.Where).condition()
	}
	_, isStar := q.Items[0].X.(*Star)
	switch {
	case isStar && len(q.Items) == 1 && q.Items[0].Alias == nil:
		n.star = true
	case q.Value:
		n.item = c.expr(q.Items[0].X)
	default:
		n.proj = c.projection(q.Items)
	}
	c.scopes = c.scopes[:len(c.scopes)-1]
	n.cost = 1 + c.nodes - before
	return n
}

// enter makes raw the element and reports whether WHERE is true for it.
func (n *nested) enter(e *env, raw string) bool {
	e.elems[n.query] = raw
	n.paths.clear(e.slots)
	if !e.charge(len(raw) + n.cost) {
		return false
	}
	if raw[0] == '{' && !n.paths.leaf() {
		e.container(raw, 0, 0, n.paths)
	}
	return n.where == nil || n.where(e) == yes
}

// row is the projection of the element, appended to b; nothing for Undefined.
func (n *nested) row(e *env, b []byte) []byte {
	switch {
	case n.star:
		return append(b, e.elems[n.query]...)
	case n.value:
		return n.item.eval(e).appendJSON(b, e.p.legacy)
	}
	return n.proj.appendTo(e, b)
}

// subquery compiles (SELECT ...): over an array an array, over an object the
// projection itself, over anything else Undefined.
func (c *compiler) subquery(q *Select) code {
	n := c.nested(q)
	return evaluated(func(e *env) Value {
		src := n.source.eval(e)
		switch src.kind {
		case Object:
			if !n.enter(e, src.s) {
				return Value{}
			}
			b := n.row(e, e.buffer())
			defer e.done(b)
			if len(b) == 0 || !e.room(len(b)) {
				return Value{}
			}
			return e.load(e.sc.string(append(e.sc.grow(len(b)), b...)))
		case Array:
			b := append(e.buffer(), '[')
			w := walk{raw: src.s}
			for raw, ok := w.element(); ok && e.err == nil; raw, ok = w.element() {
				if !n.enter(e, raw) {
					continue
				}
				if len(b) > e.p.maxValue {
					break
				}
				mark := len(b)
				if mark > 1 {
					b = append(b, ',')
				}
				before := len(b)
				if b = n.row(e, b); len(b) == before {
					b = b[:mark]
				}
			}
			b = append(b, ']')
			v := Value{}
			if e.room(len(b)) {
				v = e.raw(Array, append(e.sc.grow(len(b)), b...))
			}
			e.done(b)
			return v
		}
		return Value{}
	})
}

// exists compiles EXISTS (SELECT ...): whether the query yields an element,
// or over an object a value.
func (c *compiler) exists(q *Select) code {
	n := c.nested(q)
	return condition(func(e *env) tri {
		src := n.source.eval(e)
		switch src.kind {
		case Object:
			return triOf(n.enter(e, src.s) && n.yields(e))
		case Array:
			w := walk{raw: src.s}
			for raw, ok := w.element(); ok && e.err == nil; raw, ok = w.element() {
				if n.enter(e, raw) && n.yields(e) {
					return yes
				}
			}
		}
		return no
	})
}

// yields reports whether the element has a projection. Only SELECT VALUE can
// have none.
func (n *nested) yields(e *env) bool {
	return n.star || !n.value || n.item.eval(e).kind != Undefined
}
