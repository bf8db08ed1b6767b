package rules

import (
	"strings"

	"github.com/thingloom/thingloom/internal/pmap"
)

// A tree is an immutable node of the index of FROM filters, one level deep; nil
// is the empty tree. [with] and [without] copy the path to the root and share
// the rest.
//
// It is not internal/topic.Tree, which changes in place: an engine that swaps
// its index with every edit would have to build that one anew each time.
type tree struct {
	literal pmap.Map[*tree] // by level
	plus    *tree           // below '+'
	here    *group          // of the filter that ends at this node
	below   *group          // of the filter that ends in '#' below this node
}

func (t *tree) with(filter string, e *entry, c *changes) *tree {
	var next tree
	if t != nil {
		next = *t
	}
	level, rest, more := strings.Cut(filter, "/")
	switch {
	case level == "#":
		next.below = next.below.with(e, c)
	case level == "+":
		next.plus = next.plus.step(rest, more, e, c)
	default:
		sub, _ := next.literal.Get(level)
		next.literal = next.literal.With(level, sub.step(rest, more, e, c))
	}
	return &next
}

func (t *tree) step(rest string, more bool, e *entry, c *changes) *tree {
	if more {
		return t.with(rest, e, c)
	}
	var next tree
	if t != nil {
		next = *t
	}
	next.here = next.here.with(e, c)
	return &next
}

// without removes the entry, which is there, and returns nil when nothing is left.
func (t *tree) without(filter string, e *entry, c *changes) *tree {
	next := *t
	level, rest, more := strings.Cut(filter, "/")
	switch {
	case level == "#":
		next.below = next.below.without(e, c)
	case level == "+":
		next.plus = next.plus.unstep(rest, more, e, c)
	default:
		sub, _ := next.literal.Get(level)
		if sub = sub.unstep(rest, more, e, c); sub != nil {
			next.literal = next.literal.With(level, sub)
		} else {
			next.literal = next.literal.Without(level)
		}
	}
	return next.orNil()
}

func (t *tree) unstep(rest string, more bool, e *entry, c *changes) *tree {
	if more {
		return t.without(rest, e, c)
	}
	next := *t
	next.here = next.here.without(e, c)
	return next.orNil()
}

func (t *tree) orNil() *tree {
	if t.literal.Len() == 0 && t.plus == nil && t.here == nil && t.below == nil {
		return nil
	}
	return t
}

// match appends the groups whose filter matches topic, as AWS reads it: 'a/#'
// does not match "a", and a wildcard in the first level does not match one that
// begins with '$' [MQTT-4.7.2-1].
func (t *tree) match(topic string, out []*group) []*group {
	if t == nil {
		return out
	}
	if strings.HasPrefix(topic, "$") {
		level, rest, more := strings.Cut(topic, "/")
		sub, _ := t.literal.Get(level)
		switch {
		case sub == nil:
			return out
		case more:
			return sub.matchBelow(rest, out)
		}
		return sub.matchHere(out)
	}
	return t.matchBelow(topic, out)
}

// matchHere appends the group of the filter that ends at t, which may be nil.
func (t *tree) matchHere(out []*group) []*group {
	if t != nil && t.here != nil {
		out = append(out, t.here)
	}
	return out
}

// matchBelow appends the groups below t that match the levels of topic.
func (t *tree) matchBelow(topic string, out []*group) []*group {
	for {
		if t.below != nil {
			out = append(out, t.below)
		}
		end := 0 // of the level; levels are short
		for end < len(topic) && topic[end] != '/' {
			end++
		}
		var sub *tree
		if t.literal.Len() > 0 {
			sub, _ = t.literal.Get(topic[:end])
		}
		if end == len(topic) {
			return t.plus.matchHere(sub.matchHere(out))
		}
		topic = topic[end+1:]
		switch {
		case t.plus == nil && sub == nil:
			return out
		case t.plus == nil:
			t = sub
		case sub == nil:
			t = t.plus
		default:
			out = sub.matchBelow(topic, out)
			t = t.plus
		}
	}
}
