package sql

import "github.com/thingloom/thingloom/internal/pmap"

// A path is a node of a tree of paths into JSON: of those that a program wants
// of the payload or of an element, or, as [Paths], of those that many programs
// want. Every node has a slot; the root's is -1.
type path struct {
	key  string
	rare int // index of a byte of key, see rarest
	slot int
	kids []*path         // when they are few
	many pmap.Map[*path] // by key, when they are more; kids is nil then
	refs int             // in Paths: how many want this very path
}

// fewKids is the number of children that are compared one by one.
const fewKids = 8

// escaped is the child for a key that is written with escapes, or nil.
func (p *path) escaped(key string) *path {
	var buf [128]byte
	return p.kid(string(appendUnescaped(buf[:0], key)))
}

// kid is the child of that name, or nil.
func (p *path) kid(name string) *path {
	for _, kid := range p.kids {
		if len(kid.key) == len(name) && kid.key == name {
			return kid
		}
	}
	if p.many.Len() == 0 {
		return nil
	}
	kid, _ := p.many.Get(name)
	return kid
}

func (p *path) leaf() bool { return len(p.kids) == 0 && p.many.Len() == 0 }

// each calls f with every child.
func (p *path) each(f func(kid *path)) {
	for _, kid := range p.kids {
		f(kid)
	}
	for _, kid := range p.many.All() {
		f(kid)
	}
}

// set makes kid a child, in the place of one of the same name. The slice of
// children is made anew, so that a copy of p keeps its own.
func (p *path) set(kid *path) {
	if p.many.Len() > 0 || len(p.kids) == fewKids && p.kid(kid.key) == nil {
		for _, k := range p.kids {
			p.many = p.many.With(k.key, k)
		}
		p.kids = nil
		p.many = p.many.With(kid.key, kid)
		return
	}
	kids := make([]*path, 0, len(p.kids)+1)
	for _, k := range p.kids {
		if k.key != kid.key {
			kids = append(kids, k)
		}
	}
	p.kids = append(kids, kid)
}

// unset takes the child of that name out.
func (p *path) unset(name string) {
	p.many = p.many.Without(name)
	var kids []*path
	for _, k := range p.kids {
		if k.key != name {
			kids = append(kids, k)
		}
	}
	p.kids = kids
}

// add is the node at the path below p, made if need be.
func (p *path) add(keys []string, slot func() int) *path {
	for _, k := range keys {
		next := p.kid(k)
		if next == nil {
			next = &path{key: k, rare: rarest(k), slot: slot()}
			p.set(next)
		}
		p = next
	}
	return p
}

// clear empties the slots of p and below.
func (p *path) clear(slots []string) {
	if p.slot >= 0 {
		slots[p.slot] = ""
	}
	for _, kid := range p.kids {
		kid.clear(slots)
	}
	if p.many.Len() > 0 {
		for _, kid := range p.many.All() {
			kid.clear(slots)
		}
	}
}

// A search is one pass over a text that fills the slots of a tree of paths.
type search struct {
	refuter
	slots   []string // raw JSON found, empty where nothing is
	touched []int    // slots filled, some perhaps twice or emptied again
	note    bool     // whether touched is wanted
}

// object reads the object at s[i], filling the slots of node's children. Of
// several members with one name the last wins.
func (f *search) object(s string, i, depth int, node *path) (end int, ok bool) {
	if node.leaf() {
		return skipNested(s, i, depth)
	}
	if depth >= maxDepth {
		return i, false
	}
	if i = skipSpace(s, i+1); i < len(s) && s[i] == '}' {
		return i + 1, true
	}
	for {
		if i >= len(s) || s[i] != '"' {
			return i, false
		}
		key := i
		var kid *path
		if i = plainRun(s, i+1); i < len(s) && s[i] == '"' {
			kid = node.kid(s[key+1 : i])
			i++
		} else if i, ok = skipEscaped(s, i); ok {
			kid = node.escaped(s[key+1 : i-1])
		} else {
			return i, false
		}
		if i = skipSpace(s, i); i >= len(s) || s[i] != ':' {
			return i, false
		}
		i = skipSpace(s, i+1)
		if kid == nil {
			i, ok = skipValue(s, i, depth+1)
		} else {
			i, ok = f.value(s, i, depth+1, kid)
		}
		if !ok {
			return i, false
		}
		if f.preds != nil && node.slot < 0 && kid != nil && f.refutes(kid, f.slots[kid.slot], s[i:]) {
			return i, false
		}
		if i = skipSpace(s, i); i >= len(s) {
			return i, false
		}
		switch s[i] {
		case ',':
			i = skipSpace(s, i+1)
		case '}':
			return i + 1, true
		default:
			return i, false
		}
	}
}

// value reads the value at s[i], which is at node.
func (f *search) value(s string, i, depth int, node *path) (end int, ok bool) {
	if f.slots[node.slot] != "" {
		node.clear(f.slots)
	}
	if f.note {
		f.touched = append(f.touched, node.slot)
	}
	if i < len(s) && s[i] == '{' {
		end, ok = f.object(s, i, depth, node)
	} else {
		end, ok = skipValue(s, i, depth)
	}
	f.slots[node.slot] = s[i:end]
	return end, ok
}
