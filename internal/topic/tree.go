package topic

import (
	"iter"
	"strings"
)

// A Tree maps topic filters to values: subscriptions of a broker, an index of
// rules. The zero value is empty and ready.
//
// Any number of goroutines may look things up at once, as long as none adds or
// removes: a caller that needs both holds a lock, or builds a new Tree and
// swaps it in.
type Tree[T any] struct {
	// HashBelow makes `a/#` not match `a`, as AWS IoT has it. Set it before
	// the first look-up.
	HashBelow bool

	root node[T]
	size int
}

type node[T any] struct {
	only     *node[T]            // the one child for a literal level: most have one, for which a map is three times as large
	children map[string]*node[T] // by literal level, once they are more
	plus     *node[T]
	hash     *node[T]
	entries  []*Entry[T] // of the filters that end here
	parent   *node[T]
	level    string
}

// An Entry is a value's place in a [Tree].
type Entry[T any] struct {
	value T
	at    *node[T] // nil once removed
	index int      // in at.entries
}

// Len is the number of values in the tree.
func (t *Tree[T]) Len() int { return t.size }

// Add puts v under filter, which must be valid ([CheckFilter]). The same filter
// may have many values, also equal ones. What it returns is for [Tree.Remove].
func (t *Tree[T]) Add(filter string, v T) *Entry[T] {
	n := &t.root
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		n = n.child(level)
	}
	e := &Entry[T]{value: v, at: n, index: len(n.entries)}
	n.entries = append(n.entries, e)
	t.size++
	return e
}

// child is the child for one level of a filter, made if it is not there.
func (n *node[T]) child(level string) *node[T] {
	switch level {
	case "+":
		if n.plus == nil {
			n.plus = &node[T]{parent: n, level: level}
		}
		return n.plus
	case "#":
		if n.hash == nil {
			n.hash = &node[T]{parent: n, level: level}
		}
		return n.hash
	}
	c := n.literal(level)
	if c != nil {
		return c
	}
	c = &node[T]{parent: n, level: strings.Clone(level)}
	switch {
	case n.children != nil:
		n.children[c.level] = c
	case n.only != nil:
		n.children = map[string]*node[T]{n.only.level: n.only, c.level: c}
		n.only = nil
	default:
		n.only = c
	}
	return c
}

// literal is the child for a level that is no wildcard, nil if there is none.
func (n *node[T]) literal(level string) *node[T] {
	if n.only != nil {
		if n.only.level == level {
			return n.only
		}
		return nil
	}
	return n.children[level]
}

// bare reports whether nothing hangs on n.
func (n *node[T]) bare() bool {
	return len(n.entries) == 0 && n.only == nil && len(n.children) == 0 && n.plus == nil && n.hash == nil
}

// Remove takes out what Add has put in. A second time it does nothing.
func (t *Tree[T]) Remove(e *Entry[T]) {
	n := e.at
	if n == nil {
		return
	}
	e.at = nil
	t.size--
	// The last entry takes the free place: removing costs the same however
	// many values share the filter.
	last := len(n.entries) - 1
	n.entries[e.index] = n.entries[last]
	n.entries[e.index].index = e.index
	n.entries[last] = nil
	n.entries = n.entries[:last]

	for n.parent != nil && n.bare() {
		up := n.parent
		switch n.level {
		case "+":
			up.plus = nil
		case "#":
			up.hash = nil
		default:
			up.only = nil // it was n, or is nil
			delete(up.children, n.level)
			if len(up.children) == 0 {
				up.children = nil // maps do not shrink by themselves
			}
		}
		n = up
	}
}

// Match yields the values of all filters that match name, in no particular
// order: a value as often as it was added under matching filters.
func (t *Tree[T]) Match(name string) iter.Seq[T] {
	return func(yield func(T) bool) {
		if name != "" {
			t.root.match(name, name[0] == '$', t.HashBelow, yield)
		}
	}
}

// AppendMatch appends what [Tree.Match] yields to dst.
func (t *Tree[T]) AppendMatch(dst []T, name string) []T {
	for v := range t.Match(name) {
		dst = append(dst, v)
	}
	return dst
}

// match walks the tree along the levels of rest. dollar is set while wildcards
// may not match: at the first level of a name that begins with '$'.
func (n *node[T]) match(rest string, dollar, below bool, yield func(T) bool) bool {
	if n.hash != nil && !dollar && !n.hash.yieldAll(yield) {
		return false
	}
	level, rest, more := strings.Cut(rest, "/")
	if c := n.literal(level); c != nil && !c.step(rest, more, below, yield) {
		return false
	}
	return n.plus == nil || dollar || n.plus.step(rest, more, below, yield)
}

// step goes on below n, or ends there if the name has no more levels.
func (n *node[T]) step(rest string, more, below bool, yield func(T) bool) bool {
	if more {
		return n.match(rest, false, below, yield)
	}
	if !n.yieldAll(yield) {
		return false
	}
	return n.hash == nil || below || n.hash.yieldAll(yield) // [MQTT-4.7.1-2] the parent level
}

func (n *node[T]) yieldAll(yield func(T) bool) bool {
	for _, e := range n.entries {
		if !yield(e.value) {
			return false
		}
	}
	return true
}
