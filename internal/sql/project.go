package sql

import "strconv"

// A projection is a compiled SELECT list that makes an object.
type projection struct {
	items []item
	// flat says that every item adds one member with a key of its own, so
	// that the members can be written one after the other.
	flat bool
	// overlay is flat with a first item *: the members of the payload or the
	// element with the other items over them.
	overlay bool
	query   int // whose element * is, -1 for the payload
}

type item struct {
	code code
	star bool
	path []string // key, or keys of nested objects
	key  string   // "key": as JSON, of a flat item
}

// projection compiles a list of items. An object literal without alias is
// replaced by its members.
func (c *compiler) projection(items []Item) *projection {
	p := &projection{flat: true, query: c.query()}
	seen := map[string]bool{}
	for i, it := range items {
		if lit, ok := it.X.(*ObjectLit); ok && it.Alias == nil {
			c.needs2016(lit.Pos(), "object literals")
			for _, sub := range pairItems(lit) {
				p.add(item{code: c.starOr(sub.X), path: sub.Alias}, seen)
			}
			continue
		}
		if _, ok := it.X.(*Star); ok && it.Alias == nil {
			p.overlay = i == 0
			p.flat = p.flat && i == 0
			p.items = append(p.items, item{star: true})
			continue
		}
		alias := it.Alias
		if alias == nil {
			alias = []string{defaultName(it.X, i)}
		}
		p.add(item{code: c.starOr(it.X), path: alias}, seen)
	}
	p.overlay = p.overlay && p.flat
	return p
}

func (p *projection) add(it item, seen map[string]bool) {
	first := it.path[0]
	if len(it.path) > 1 || seen[first] {
		p.flat = false
	}
	seen[first] = true
	it.key = string(append(appendString(nil, first), ':'))
	p.items = append(p.items, it)
}

// defaultName is the key of item i when it has no alias.
func defaultName(n Node, i int) string {
	switch n := n.(type) {
	case *Ident:
		return n.Name
	case *VarRef:
		return n.Name
	case *Member:
		return n.Name
	case *Call:
		return n.Name
	case *Cast:
		return "cast"
	}
	return "_" + strconv.Itoa(i+1)
}

// base is what * stands for, raw, or empty.
func (p *projection) base(e *env) string {
	if p.query >= 0 {
		return e.elems[p.query]
	}
	return e.star()
}

// appendTo appends the object that the items make.
func (p *projection) appendTo(e *env, b []byte) []byte {
	if p.flat && !p.overlay {
		return p.appendFlat(e, b)
	}
	base := len(e.stack)
	for i := range p.items {
		v := Value{}
		if !p.items[i].star {
			v = p.items[i].code.eval(e)
		}
		e.push(v)
	}
	values := e.stack[base:]
	star := ""
	for i := range p.items {
		if p.items[i].star {
			star = p.base(e)
		}
	}
	if star != "" && star[0] != '{' {
		if p.query < 0 {
			e.fail(ErrNotJSON)
		}
		star = "" // an element that is no object has no members
	}
	if p.overlay {
		b = p.appendOverlay(e, b, star, values)
	} else {
		b = p.appendMerged(e, b, star, values)
	}
	e.stack = e.stack[:base]
	return b
}

// appendFlat writes the items one after the other. What is a path of the
// payload is copied as it stands there.
func (p *projection) appendFlat(e *env, b []byte) []byte {
	b = append(b, '{')
	start := len(b)
	for i := range p.items {
		it := &p.items[i]
		mark := len(b)
		if mark > start {
			b = append(b, ',')
		}
		b = append(b, it.key...)
		before := len(b)
		switch {
		case it.code.slot >= 0:
			b = e.appendRaw(b, e.slot(it.code.slot))
		case it.code.write != nil:
			b = it.code.write(e, b)
		default:
			b = it.code.eval(e).appendJSON(b, e.p.legacy)
		}
		if len(b) == before {
			b = b[:mark]
		}
	}
	return append(b, '}')
}

// appendRaw appends raw JSON of the payload. Whole numbers in another
// spelling are brought into the one form.
func (e *env) appendRaw(b []byte, raw string) []byte {
	if raw == "" || raw[0] != '-' && !isDigit(raw[0]) || asWritten(raw) {
		return append(b, raw...)
	}
	return e.load(raw).appendJSON(b, e.p.legacy)
}

// asWritten reports whether a number is whole and written so, or has a fraction.
func asWritten(raw string) bool {
	point, exp := false, false
	for i := 0; i < len(raw); i++ {
		point = point || raw[i] == '.'
		exp = exp || raw[i]|0x20 == 'e'
	}
	return !exp && (!point || raw[len(raw)-1] != '0')
}

// appendOverlay writes the members of star with the items over them, in
// place where they have a key of theirs.
func (p *projection) appendOverlay(e *env, b []byte, star string, values []Value) []byte {
	b = append(b, '{')
	start := len(b)
	put := func(key string, v Value) {
		if len(b) > start {
			b = append(b, ',')
		}
		b = v.appendJSON(append(b, key...), e.p.legacy)
	}
	w := walk{raw: star}
	for k, v, ok := w.member(); ok && star != ""; k, v, ok = w.member() {
		over := -1
		for i := 1; i < len(p.items); i++ {
			if values[i].kind != Undefined && keyIs(k, p.items[i].path[0]) {
				over = i
				break
			}
		}
		switch {
		case over < 0:
			if len(b) > start {
				b = append(b, ',')
			}
			b = append(append(append(b, k...), ':'), v...)
		case values[over].flag&flagWritten == 0:
			put(p.items[over].key, values[over])
			values[over].flag |= flagWritten
		}
	}
	for i := 1; i < len(p.items); i++ {
		if values[i].kind != Undefined && values[i].flag&flagWritten == 0 {
			put(p.items[i].key, values[i])
		}
	}
	return append(b, '}')
}

// An object under construction: members in the order of their first
// appearance, each raw or an object itself.
type object struct {
	keys    map[string]int
	members []objectMember
}

type objectMember struct {
	key string
	raw string
	sub *object
}

// put sets the member at a path. Objects on the way are made, or taken apart
// if they are there as JSON; what is no object is replaced.
func (o *object) put(e *env, path []string, raw string) {
	i, ok := o.keys[path[0]]
	if !ok {
		if o.keys == nil {
			o.keys = map[string]int{}
		}
		i = len(o.members)
		o.keys[path[0]] = i
		o.members = append(o.members, objectMember{key: path[0]})
	}
	m := &o.members[i]
	if len(path) == 1 {
		m.raw, m.sub = raw, nil
		return
	}
	if m.sub == nil {
		m.sub = new(object)
		m.sub.putAll(e, m.raw)
		m.raw = ""
	}
	m.sub.put(e, path[1:], raw)
}

// putAll puts every member of raw, if that is an object.
func (o *object) putAll(e *env, raw string) {
	if raw == "" || raw[0] != '{' {
		return
	}
	w := walk{raw: raw}
	for k, v, ok := w.member(); ok; k, v, ok = w.member() {
		o.put(e, []string{unquote(k, &e.sc)}, v)
	}
}

func (o *object) append(b []byte) []byte {
	b = append(b, '{')
	for i, m := range o.members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, m.key), ':')
		if m.sub != nil {
			b = m.sub.append(b)
		} else {
			b = append(b, m.raw...)
		}
	}
	return append(b, '}')
}

// appendMerged is the general case: aliases that share a prefix, keys that
// repeat, * among other items.
func (p *projection) appendMerged(e *env, b []byte, star string, values []Value) []byte {
	var o object
	for i := range p.items {
		switch v := values[i]; {
		case p.items[i].star:
			if e.charge(len(star)) {
				o.putAll(e, star)
			}
		case v.kind != Undefined:
			o.put(e, p.items[i].path, e.sc.string(v.appendJSON(e.sc.grow(len(v.s)+64), e.p.legacy)))
		}
	}
	return o.append(b)
}
