// Package pmap is a persistent map: every edit makes a new one, and whoever
// holds an old one keeps it as it was.
package pmap

import (
	"hash/maphash"
	"iter"
	"math/bits"
)

// A Map is an immutable map from strings to V: With and Without return a new
// map that shares all but a few nodes with the old one, so that an edit of one
// entry among ten thousand costs microseconds and every reader keeps the map it
// began with. It is a hash array mapped trie of 32-way nodes. The zero Map is
// empty.
type Map[V any] struct {
	root pnode[V]
	n    int
}

// A pnode has a slot for each set bit, in the order of the bits. Below the last
// bits of the hash, where only whole hashes collide, bits is 0 and the slots
// are a list. The zero pnode is empty.
type pnode[V any] struct {
	bits  uint32
	slots []pslot[V]
}

// A pslot is a subtree, or an entry if node is empty. It holds the node itself,
// not a pointer: a step down costs one line of the cache, not two.
type pslot[V any] struct {
	node pnode[V]
	key  string
	val  V
}

const (
	hashBits  = 64
	levelBits = 5
)

// seed keeps who names keys from choosing colliding ones.
var seed = maphash.MakeSeed()

// Len is the number of entries.
func (m Map[V]) Len() int { return m.n }

// Get returns the value of key.
func (m Map[V]) Get(key string) (val V, ok bool) {
	if m.n <= 2 && len(m.root.slots) == m.n { // no node below the root: comparing is quicker than hashing
		for i := range m.root.slots {
			if s := &m.root.slots[i]; s.key == key {
				return s.val, true
			}
		}
		return val, false
	}
	h := maphash.String(seed, key)
	for n, shift := &m.root, 0; len(n.slots) > 0; shift += levelBits {
		if shift >= hashBits {
			for i := range n.slots {
				if n.slots[i].key == key {
					return n.slots[i].val, true
				}
			}
			return val, false
		}
		bit := uint32(1) << (h >> shift & 31)
		if n.bits&bit == 0 {
			return val, false
		}
		s := &n.slots[bits.OnesCount32(n.bits&(bit-1))]
		if len(s.node.slots) == 0 {
			if s.key == key {
				return s.val, true
			}
			return val, false
		}
		n = &s.node
	}
	return val, false
}

// With is the map with key set to val.
func (m Map[V]) With(key string, val V) Map[V] {
	root, added := m.root.with(pslot[V]{key: key, val: val}, maphash.String(seed, key), 0)
	if added {
		m.n++
	}
	m.root = root
	return m
}

// Without is the map without key.
func (m Map[V]) Without(key string) Map[V] {
	root, removed := m.root.without(key, maphash.String(seed, key), 0)
	if removed {
		m.n--
	}
	m.root = root
	return m
}

func (n pnode[V]) with(s pslot[V], h uint64, shift int) (_ pnode[V], added bool) {
	if shift >= hashBits {
		for i := range n.slots {
			if n.slots[i].key == s.key {
				return n.put(i, s), false
			}
		}
		return n.insert(len(n.slots), 0, s), true
	}
	bit := uint32(1) << (h >> shift & 31)
	i := bits.OnesCount32(n.bits & (bit - 1))
	if n.bits&bit == 0 {
		return n.insert(i, bit, s), true
	}
	old := n.slots[i]
	switch {
	case len(old.node.slots) > 0:
		var sub pnode[V]
		sub, added = old.node.with(s, h, shift+levelBits)
		return n.put(i, pslot[V]{node: sub}), added
	case old.key == s.key:
		return n.put(i, s), false
	}
	var sub pnode[V]
	sub, _ = sub.with(old, maphash.String(seed, old.key), shift+levelBits)
	sub, _ = sub.with(s, h, shift+levelBits)
	return n.put(i, pslot[V]{node: sub}), true
}

func (n pnode[V]) without(key string, h uint64, shift int) (_ pnode[V], removed bool) {
	if shift >= hashBits {
		for i := range n.slots {
			if n.slots[i].key == key {
				return n.remove(i, 0), true
			}
		}
		return n, false
	}
	bit := uint32(1) << (h >> shift & 31)
	if n.bits&bit == 0 {
		return n, false
	}
	i := bits.OnesCount32(n.bits & (bit - 1))
	old := n.slots[i]
	if len(old.node.slots) == 0 {
		if old.key != key {
			return n, false
		}
		return n.remove(i, bit), true
	}
	sub, removed := old.node.without(key, h, shift+levelBits)
	switch {
	case !removed:
		return n, false
	case len(sub.slots) == 0:
		return n.remove(i, bit), true
	case len(sub.slots) == 1 && len(sub.slots[0].node.slots) == 0:
		return n.put(i, sub.slots[0]), true // a path of single nodes is drawn in
	}
	return n.put(i, pslot[V]{node: sub}), true
}

func (n pnode[V]) put(i int, s pslot[V]) pnode[V] {
	slots := make([]pslot[V], len(n.slots))
	copy(slots, n.slots)
	slots[i] = s
	return pnode[V]{n.bits, slots}
}

func (n pnode[V]) insert(i int, bit uint32, s pslot[V]) pnode[V] {
	slots := make([]pslot[V], len(n.slots)+1)
	copy(slots, n.slots[:i])
	slots[i] = s
	copy(slots[i+1:], n.slots[i:])
	return pnode[V]{n.bits | bit, slots}
}

func (n pnode[V]) remove(i int, bit uint32) pnode[V] {
	slots := make([]pslot[V], len(n.slots)-1)
	copy(slots, n.slots[:i])
	copy(slots[i:], n.slots[i+1:])
	return pnode[V]{n.bits &^ bit, slots}
}

// All yields every entry, in the order of the hashes.
func (m Map[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { m.root.each(yield) }
}

func (n *pnode[V]) each(yield func(string, V) bool) bool {
	for i := range n.slots {
		s := &n.slots[i]
		if len(s.node.slots) > 0 {
			if !s.node.each(yield) {
				return false
			}
		} else if !yield(s.key, s.val) {
			return false
		}
	}
	return true
}
