package rules

import (
	"slices"
	"strings"
)

// A tree is an immutable node of the index of FROM filters, one level deep; nil
// is the empty tree. [with] and [without] copy the path to the root and share
// the rest.
//
// It is not internal/topic.Tree, which changes in place: an engine that swaps
// its index with every edit would have to build that one anew each time.
type tree struct {
	literal pmap[*tree] // by level
	plus    *tree       // below '+'
	here    []*entry    // filters that end at this node, by name
	below   []*entry    // filters that end in '#' below this node, by name
}

func (t *tree) with(filter string, e *entry) *tree {
	var next tree
	if t != nil {
		next = *t
	}
	level, rest, more := strings.Cut(filter, "/")
	switch {
	case level == "#":
		next.below = withEntry(next.below, e)
	case level == "+":
		next.plus = next.plus.step(rest, more, e)
	default:
		sub, _ := next.literal.get(level)
		next.literal = next.literal.with(level, sub.step(rest, more, e))
	}
	return &next
}

func (t *tree) step(rest string, more bool, e *entry) *tree {
	if more {
		return t.with(rest, e)
	}
	var next tree
	if t != nil {
		next = *t
	}
	next.here = withEntry(next.here, e)
	return &next
}

// without removes the entry of that name, and returns nil when nothing is left.
func (t *tree) without(filter, name string) *tree {
	if t == nil {
		return nil
	}
	next := *t
	level, rest, more := strings.Cut(filter, "/")
	switch {
	case level == "#":
		next.below = withoutEntry(next.below, name)
	case level == "+":
		next.plus = next.plus.unstep(rest, more, name)
	default:
		sub, ok := next.literal.get(level)
		if !ok {
			return t
		}
		if sub = sub.unstep(rest, more, name); sub != nil {
			next.literal = next.literal.with(level, sub)
		} else {
			next.literal = next.literal.without(level)
		}
	}
	return next.orNil()
}

func (t *tree) unstep(rest string, more bool, name string) *tree {
	if more || t == nil {
		return t.without(rest, name)
	}
	next := *t
	next.here = withoutEntry(next.here, name)
	return next.orNil()
}

func (t *tree) orNil() *tree {
	if t.literal.len() == 0 && t.plus == nil && len(t.here) == 0 && len(t.below) == 0 {
		return nil
	}
	return t
}

// match appends the entries whose filter matches topic, as AWS reads it: 'a/#'
// does not match "a", and a wildcard in the first level does not match one that
// begins with '$' [MQTT-4.7.2-1].
func (t *tree) match(topic string, out []*entry) []*entry {
	if t == nil {
		return out
	}
	if strings.HasPrefix(topic, "$") {
		level, rest, more := strings.Cut(topic, "/")
		if sub, ok := t.literal.get(level); ok {
			return sub.matchStep(rest, more, out)
		}
		return out
	}
	return t.matchStep(topic, true, out)
}

func (t *tree) matchStep(topic string, more bool, out []*entry) []*entry {
	if !more {
		return append(out, t.here...)
	}
	out = append(out, t.below...)
	level, rest, more := strings.Cut(topic, "/")
	if t.literal.len() > 0 {
		if sub, ok := t.literal.get(level); ok {
			out = sub.matchStep(rest, more, out)
		}
	}
	if t.plus != nil {
		out = t.plus.matchStep(rest, more, out)
	}
	return out
}

func findEntry(list []*entry, name string) (int, bool) {
	return slices.BinarySearchFunc(list, name, func(e *entry, name string) int {
		return strings.Compare(e.rule.Name, name)
	})
}

func withEntry(list []*entry, e *entry) []*entry {
	i, found := findEntry(list, e.rule.Name)
	next := make([]*entry, 0, len(list)+1)
	next = append(append(next, list[:i]...), e)
	if found {
		i++
	}
	return append(next, list[i:]...)
}

func withoutEntry(list []*entry, name string) []*entry {
	i, found := findEntry(list, name)
	switch {
	case !found:
		return list
	case len(list) == 1:
		return nil
	}
	next := make([]*entry, 0, len(list)-1)
	return append(append(next, list[:i]...), list[i+1:]...)
}
