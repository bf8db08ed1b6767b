package rules

import (
	"hash/maphash"
	"slices"
	"strings"
	"unsafe"
)

// levels is an immutable map of kids by level: a list while they are few, then a
// fan, which it stays until it is empty.
//
// It is not a pmap.Map: there a message that looks for one of ten thousand
// levels, none of which is in the cache of the processor, waits for a slot, for
// the key, and then for the kid. Here the slot leads to the kid, which has the
// key.
type levels struct {
	few []*kid
	fan *fan
}

const fewLevels = 4

func (l *levels) empty() bool { return len(l.few) == 0 && l.fan == nil }

// is reports whether level leads to k.
func (k *kid) is(level string) bool {
	return len(k.text) >= len(level) && k.text[:len(level)] == level && (len(k.text) == len(level) || k.text[len(level)] == '/')
}

func (k *kid) level() string {
	level, _, _ := strings.Cut(k.text, "/")
	return level
}

// get returns the kid, or nil.
func (l *levels) get(level string) *kid {
	if l.fan != nil {
		return l.fan.get(hashLevel(level), level)
	}
	for _, k := range l.few {
		if k.is(level) {
			return k
		}
	}
	return nil
}

// with is l with k, in the place of one of the same level.
func (l levels) with(k *kid) levels {
	if l.fan != nil {
		return levels{fan: l.fan.with(k, 0, hashLevel)}
	}
	few := replace(l.few, k.level(), k)
	if len(few) <= fewLevels {
		return levels{few: few}
	}
	var f *fan
	for _, k := range few {
		f = f.with(k, 0, hashLevel)
	}
	return levels{fan: f}
}

func (l levels) without(level string) levels {
	if l.fan != nil {
		return levels{fan: l.fan.without(hashLevel(level), level, 0)}
	}
	return levels{few: replace(l.few, level, nil)}
}

// each visits every kid.
func (l *levels) each(visit func(*kid)) {
	for _, k := range l.few {
		visit(k)
	}
	l.fan.each(visit)
}

// replace is a copy of list with k, if it is not nil, in the place of the kid of
// that level, if there is one.
func replace(list []*kid, level string, k *kid) []*kid {
	i := slices.IndexFunc(list, func(x *kid) bool { return x.is(level) })
	next := make([]*kid, 0, len(list)+1)
	for j, x := range list {
		if j != i {
			next = append(next, x)
		}
	}
	if k != nil {
		next = append(next, k)
	}
	return next
}

// seed keeps who names levels from choosing colliding ones.
var seed = maphash.MakeSeed()

func hashLevel(level string) uint64 { return maphash.String(seed, level) }

// A fan is a node of a trie of hashes, five bits at a time, never empty; nil is
// the empty trie. It is not packed, so that a step down costs one line of the
// cache: a slot is within one.
type fan struct {
	same  []*kid // below the last bits: all that have one hash
	slots [32]fanSlot
}

// A fanSlot has a trie, a kid or nothing.
type fanSlot struct {
	sub *fan
	kid *kid
}

const hashBits = 64

func (f *fan) get(h uint64, level string) *kid {
	for rest := h; ; rest >>= 5 {
		s := &f.slots[rest&31]
		if s.kid != nil {
			if s.kid.is(level) {
				return s.kid
			}
			return nil
		}
		if s.sub == nil {
			break
		}
		f = s.sub
	}
	for _, k := range f.same {
		if k.is(level) {
			return k
		}
	}
	return nil
}

func (f *fan) with(k *kid, shift int, hash func(string) uint64) *fan {
	var next fan
	if f != nil {
		next = *f
	}
	level := k.level()
	if shift >= hashBits {
		next.same = replace(next.same, level, k)
		return &next
	}
	s := &next.slots[hash(level)>>shift&31]
	switch {
	case s.sub != nil:
		s.sub = s.sub.with(k, shift+5, hash)
	case s.kid == nil || s.kid.is(level):
		s.kid = k
	default:
		var sub *fan
		*s = fanSlot{sub: sub.with(s.kid, shift+5, hash).with(k, shift+5, hash)}
	}
	return &next
}

// without removes the kid of a level, which is there.
func (f *fan) without(h uint64, level string, shift int) *fan {
	next := *f
	if shift >= hashBits {
		next.same = replace(next.same, level, nil)
	} else if s := &next.slots[h>>shift&31]; s.sub == nil {
		s.kid = nil
	} else if s.sub = s.sub.without(h, level, shift+5); s.sub != nil {
		if k := s.sub.only(); k != nil {
			*s = fanSlot{kid: k}
		}
	}
	if len(next.same) == 0 && next.slots == [32]fanSlot{} {
		return nil
	}
	return &next
}

// only is the kid of a trie that has but one, close at hand, or nil.
func (f *fan) only() *kid {
	var only *kid
	if len(f.same) == 1 {
		return f.same[0]
	}
	for i := range f.slots {
		s := &f.slots[i]
		if s.sub != nil || s.kid != nil && only != nil {
			return nil
		}
		if s.kid != nil {
			only = s.kid
		}
	}
	return only
}

func (f *fan) each(visit func(*kid)) {
	if f == nil {
		return
	}
	for _, k := range f.same {
		visit(k)
	}
	for i := range f.slots {
		if k := f.slots[i].kid; k != nil {
			visit(k)
		}
		f.slots[i].sub.each(visit)
	}
}

// stringIn is b as a string, which it stays as long as nobody writes to b.
func stringIn(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
