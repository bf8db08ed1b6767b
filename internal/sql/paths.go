package sql

import "github.com/thingloom/thingloom/internal/pmap"

// A path is a node of a tree of paths into JSON: of those that a program wants
// of the payload or of an element, or, as [Paths], of those that many programs
// want. Every node has a slot; the root's is -1.
type path struct {
	key  string
	rare int // index of a byte of key, see rarest
	slot int
	want uint64          // a bit for the look of each child's key, see look
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

// look is one of 64 bits by which most keys that nobody wants are told from
// those of a path's children without comparing them.
func look(key string) uint64 {
	if key == "" {
		return 1
	}
	return 1 << ((int(key[0]) + len(key)) & 63)
}

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
	p.want |= look(kid.key)
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

// unset takes the child of that name out. want stays: a bit too many does no
// harm.
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
