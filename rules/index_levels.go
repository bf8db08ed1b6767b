package rules

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
	"unsafe"
)

// levels is an immutable map of kids by level: a list while they are few, then a
// fan, which it stays until it is empty.
//
// It is not a pmap.Map, whose slots have key and value, so that those of ten
// thousand levels are not in the cache of the processor. A message that looks
// for one would wait for the slot, for the key, and for the kid. Here the kid
// has the key, and a slot is a pointer.
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
// the empty trie. It has a kid or a trie for each bit that is set, in the order
// of the bits. It is packed, so that the tries of ten thousand kids stay in the
// cache. Below the last bits of the hash the bits are 0 and all kids have one hash.
type fan struct {
	kidBits, subBits uint32
	kids             []*kid
	subs             []*fan
}

const hashBits = 64

// below is the number of bits set below one.
func below(set, bit uint32) int { return bits.OnesCount32(set & (bit - 1)) }

func (f *fan) get(h uint64, level string) *kid {
	for shift := 0; shift < hashBits; shift += 5 {
		bit := uint32(1) << (h >> shift & 31)
		if f.kidBits&bit != 0 {
			if k := f.kids[below(f.kidBits, bit)]; k.is(level) {
				return k
			}
			return nil
		}
		if f.subBits&bit == 0 {
			return nil
		}
		f = f.subs[below(f.subBits, bit)]
	}
	for _, k := range f.kids {
		if k.is(level) {
			return k
		}
	}
	return nil
}

// with is f with k, in the place of one of the same level.
func (f *fan) with(k *kid, shift int, hash func(string) uint64) *fan {
	var next fan
	if f != nil {
		next = *f
	}
	level := k.level()
	if shift >= hashBits {
		next.kids = replace(next.kids, level, k)
		return &next
	}
	bit := uint32(1) << (hash(level) >> shift & 31)
	i, j := below(next.kidBits, bit), below(next.subBits, bit)
	switch {
	case next.subBits&bit != 0:
		next.subs = splice(next.subs, j, 1, next.subs[j].with(k, shift+5, hash))
	case next.kidBits&bit == 0:
		next.kidBits |= bit
		next.kids = splice(next.kids, i, 0, k)
	case next.kids[i].is(level):
		next.kids = splice(next.kids, i, 1, k)
	default:
		var sub *fan
		sub = sub.with(next.kids[i], shift+5, hash).with(k, shift+5, hash)
		next.kidBits &^= bit
		next.kids = splice(next.kids, i, 1)
		next.subBits |= bit
		next.subs = splice(next.subs, j, 0, sub)
	}
	return &next
}

// without removes the kid of a level, which is there.
func (f *fan) without(h uint64, level string, shift int) *fan {
	next := *f
	bit := uint32(1) << (h >> shift & 31)
	i, j := below(next.kidBits, bit), below(next.subBits, bit)
	switch {
	case shift >= hashBits:
		next.kids = replace(next.kids, level, nil)
	case next.kidBits&bit != 0:
		next.kidBits &^= bit
		next.kids = splice(next.kids, i, 1)
	default:
		sub := next.subs[j].without(h, level, shift+5)
		if len(sub.subs) > 0 || len(sub.kids) > 1 {
			next.subs = splice(next.subs, j, 1, sub)
			break
		}
		next.subBits &^= bit // the last kid moves up
		next.subs = splice(next.subs, j, 1)
		next.kidBits |= bit
		next.kids = splice(next.kids, i, 0, sub.kids[0])
	}
	if len(next.kids) == 0 && len(next.subs) == 0 {
		return nil
	}
	return &next
}

// splice is a copy of list with others in the place of n elements at i.
func splice[T any](list []T, i, n int, others ...T) []T {
	next := make([]T, 0, len(list)-n+len(others))
	return append(append(append(next, list[:i]...), others...), list[i+n:]...)
}

func (f *fan) each(visit func(*kid)) {
	if f == nil {
		return
	}
	for _, k := range f.kids {
		visit(k)
	}
	for _, sub := range f.subs {
		sub.each(visit)
	}
}

// stringIn is b as a string, which it stays as long as nobody writes to b.
func stringIn(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
