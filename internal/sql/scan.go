package sql

import "unicode/utf8"

// Paths is an immutable tree of the payload paths that many statements want,
// so that one pass over a payload serves them all. With and Without make new
// ones that share all but a few nodes. A nil *Paths is empty.
type Paths struct {
	root  *path
	free  *freeSlot
	slots int // every slot is below
}

// A freeSlot is a list of slots that were given back.
type freeSlot struct {
	slot int
	next *freeSlot
}

// With is the tree with the paths of s, and the slot there of each slot of s;
// -1 for those that are not of the payload.
func (t *Paths) With(s *Statement) (next *Paths, slots []int32) {
	next = &Paths{root: &path{slot: -1}}
	if t != nil {
		*next = *t
	}
	root := *next.root
	next.root = &root
	slots = make([]int32, s.body.prog.slots)
	for i := range slots {
		slots[i] = -1
	}
	next.join(&root, s.body.prog.paths, slots)
	return next, slots
}

// join adds the children of want to those of p, which is a copy already.
func (t *Paths) join(p, want *path, slots []int32) {
	want.each(func(w *path) {
		var kid path
		if old := p.kid(w.key); old != nil {
			kid = *old
		} else {
			kid = path{key: w.key, slot: t.take()}
		}
		kid.refs++
		slots[w.slot] = int32(kid.slot)
		t.join(&kid, w, slots)
		p.set(&kid)
	})
}

func (t *Paths) take() int {
	if f := t.free; f != nil {
		t.free = f.next
		return f.slot
	}
	t.slots++
	return t.slots - 1
}

// Without is the tree without the paths of s, as far as nobody else wants
// them. With(s) must have been called before.
func (t *Paths) Without(s *Statement) *Paths {
	next := *t
	root := *t.root
	next.root = &root
	next.part(&root, s.body.prog.paths)
	return &next
}

func (t *Paths) part(p, want *path) {
	want.each(func(w *path) {
		kid := *p.kid(w.key)
		t.part(&kid, w)
		if kid.refs--; kid.refs == 0 {
			t.free = &freeSlot{kid.slot, t.free}
			p.unset(kid.key)
		} else {
			p.set(&kid)
		}
	})
}

// Len is how many slots the tree has.
func (t *Paths) Len() int {
	if t == nil {
		return 0
	}
	return t.slots
}

// A Scan is a payload, gone through once for many statements. It is used again
// for the next: Read begins anew. The zero Scan is ready.
type Scan struct {
	payload string
	state   payloadState
	find    search
	values  []scanned // by slot
	found   []int
	sc      arena
}

// A scanned value is loaded when it is first asked for.
type scanned struct {
	v      Value
	num    Num
	loaded bool
	number bool // num is v converted
	listed bool // in found
}

// Read goes through payload, which must not change until the next Read or
// Reset.
func (s *Scan) Read(t *Paths, payload []byte) {
	s.Reset()
	if n := t.Len(); len(s.values) < n {
		s.values = make([]scanned, n)
		s.find.slots = make([]string, n)
	}
	s.find.note = true
	none := path{slot: -1}
	root := &none
	if t != nil {
		root = t.root
	}
	s.payload, s.state = read(view(payload), &s.find, root)
	for _, slot := range s.find.touched {
		if s.find.slots[slot] != "" && !s.values[slot].listed {
			s.values[slot].listed = true
			s.found = append(s.found, slot)
		}
	}
}

// Reset forgets the payload.
func (s *Scan) Reset() {
	if s.state == unscanned {
		return
	}
	for _, slot := range s.find.touched {
		s.find.slots[slot] = ""
		s.values[slot] = scanned{}
	}
	s.find.touched = s.find.touched[:0]
	s.found = s.found[:0]
	s.payload, s.state = "", unscanned
	s.sc.reset()
}

// Found are the slots that have a value.
func (s *Scan) Found() []int { return s.found }

// Value is the value in a slot, Undefined if the payload has none. It is only
// good until the next Read or Reset.
func (s *Scan) Value(slot int) Value { return s.load(slot).v }

// Number is the value in a slot converted to a number, if it is an Int, a
// Decimal or a numeric String.
func (s *Scan) Number(slot int) (Num, bool) {
	x := s.load(slot)
	return x.num, x.number
}

func (s *Scan) load(slot int) *scanned {
	x := &s.values[slot]
	if !x.loaded && s.find.slots[slot] != "" {
		x.loaded = true
		x.v = loadRaw(s.find.slots[slot], &s.sc, false)
		x.num, x.number = x.v.Num()
	}
	return x
}

// read checks a payload and fills the slots of what it finds, in one pass. It
// also says what kind of payload it is, and trims it if it is JSON.
func read(s string, f *search, root *path) (payload string, state payloadState) {
	i := skipSpace(s, 0)
	if i == len(s) {
		if len(s) > 0 {
			return s, isBytes
		}
		return s, isEmpty
	}
	var end int
	var ok bool
	switch s[i] {
	case '{':
		state = isObject
		end, ok = f.container(s, i, foreign, root)
	case '[':
		state = isArray
		end, ok = skipNested(s, i, foreign)
	}
	if !ok || skipSpace(s, end) != len(s) || !utf8.ValidString(s) {
		if f.note {
			for _, slot := range f.touched {
				f.slots[slot] = ""
			}
		} else {
			root.clear(f.slots)
		}
		return s, isBytes
	}
	return s[i:end], state
}
