package rules

import "strings"

// A tree is an immutable node of the index of FROM filters, one level deep; nil
// is the empty tree. [with] and [without] copy the path to the root and share
// the rest.
//
// It is not internal/topic.Tree, which changes in place: an engine that swaps
// its index with every edit would have to build that one anew each time.
type tree struct {
	literal levels // by level
	plus    *kid   // below '+'
	here    spot   // of the filter that ends at this node
	below   spot   // of the filter that ends in '#' below this node
}

// A kid is what one level leads to: a tree, or, where there is one filter of
// one rule, that. A message then finds the rule at the level in which its
// filter differs from others, and what it looks at of the rule comes with it.
type kid struct {
	text string // the level; of a lone rule that and the rest of its filter
	only *entry // or nil, and then there is a tree
	tree *tree
}

// A spot is where a filter ends: that of no rule, of one, or of a group.
type spot struct {
	only  *entry
	group *group
}

func (s spot) empty() bool { return s.only == nil && s.group == nil }

func (s spot) with(e *entry, c *changes) spot {
	switch {
	case s.group != nil:
		return spot{group: s.group.with(e, c)}
	case s.only != nil:
		return spot{group: new(group).with(s.only, c).with(e, c)}
	}
	return spot{only: e}
}

// without removes the entry, which is there.
func (s spot) without(e *entry, c *changes) spot {
	if s.group == nil {
		return spot{}
	}
	return s.group.without(e, c)
}

func (s spot) appendTo(out []spot) []spot {
	if s.empty() {
		return out
	}
	return append(out, s)
}

func (t *tree) with(filter string, e *entry, c *changes) *tree {
	var next tree
	if t != nil {
		next = *t
	}
	switch level, _, _ := strings.Cut(filter, "/"); level {
	case "#":
		next.below = next.below.with(e, c)
	case "+":
		next.plus = next.plus.with(filter, e, c)
	default:
		next.literal = next.literal.with(next.literal.get(level).with(filter, e, c))
	}
	return &next
}

// step is t with an entry whose filter has come to t, and goes on if more says
// so.
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

func (k *kid) with(filter string, e *entry, c *changes) *kid {
	if k == nil {
		return e.kid(filter)
	}
	t := k.tree
	if k.only != nil {
		_, rest, more := strings.Cut(k.text, "/")
		t = t.step(rest, more, k.only, c)
	}
	level, rest, more := strings.Cut(filter, "/")
	return &kid{text: level, tree: t.step(rest, more, e, c)}
}

// kid is e as a lone rule.
func (e *entry) kid(filter string) *kid {
	k := &e.lone
	if k.only != nil { // it has been one, perhaps of an index that is in use
		return &kid{text: filter, only: e}
	}
	k.text, k.only = filter, e
	if len(filter) <= len(e.room) {
		k.text = stringIn(e.room[:copy(e.room[:], filter)])
	}
	return k
}

// without removes the entry, which is there, and returns nil when nothing is left.
func (t *tree) without(filter string, e *entry, c *changes) *tree {
	next := *t
	switch level, _, _ := strings.Cut(filter, "/"); level {
	case "#":
		next.below = next.below.without(e, c)
	case "+":
		next.plus = next.plus.without(filter, e, c)
	default:
		if k := next.literal.get(level).without(filter, e, c); k != nil {
			next.literal = next.literal.with(k)
		} else {
			next.literal = next.literal.without(level)
		}
	}
	return next.orNil()
}

func (k *kid) without(filter string, e *entry, c *changes) *kid {
	if k.only != nil {
		return nil
	}
	level, rest, more := strings.Cut(filter, "/")
	t := k.tree
	if more {
		t = t.without(rest, e, c)
	} else {
		next := *t
		next.here = next.here.without(e, c)
		t = next.orNil()
	}
	if t == nil {
		return nil
	}
	return &kid{text: level, tree: t}
}

func (t *tree) orNil() *tree {
	if t.literal.empty() && t.plus == nil && t.here.empty() && t.below.empty() {
		return nil
	}
	return t
}

// match appends the spots whose filter matches topic, as AWS reads it: 'a/#'
// does not match "a", and a wildcard in the first level does not match one that
// begins with '$' [MQTT-4.7.2-1].
func (t *tree) match(topic string, out []spot) []spot {
	if t == nil {
		return out
	}
	return t.matchBelow(topic, !strings.HasPrefix(topic, "$"), out)
}

// matchBelow appends the spots below t that match the levels of topic, of which
// the first is one for wildcards or not.
func (t *tree) matchBelow(topic string, wild bool, out []spot) []spot {
	for {
		end := 0 // of the level; levels are short
		for end < len(topic) && topic[end] != '/' {
			end++
		}
		ways := [2]*kid{t.literal.get(topic[:end]), nil}
		if wild {
			out = t.below.appendTo(out)
			ways[1] = t.plus
		}
		t = nil
		for _, k := range ways {
			switch {
			case k == nil:
			case k.only != nil:
				if matchRest(k.text, topic) {
					out = append(out, spot{only: k.only})
				}
			case end == len(topic):
				out = k.tree.here.appendTo(out)
			case t == nil:
				t = k.tree
			default:
				out = t.matchBelow(topic[end+1:], true, out)
				t = k.tree
			}
		}
		if t == nil {
			return out
		}
		topic, wild = topic[end+1:], true
	}
}

// matchRest reports whether the rest of a filter matches that of a topic.
func matchRest(filter, topic string) bool {
	for filter != "#" {
		n := 0 // of the filter
		for n < len(filter) && filter[n] != '/' {
			n++
		}
		if n == 1 && filter[0] == '+' {
			i := 0
			for i < len(topic) && topic[i] != '/' {
				i++
			}
			topic = topic[i:]
		} else if len(topic) >= n && topic[:n] == filter[:n] {
			topic = topic[n:]
		} else {
			return false
		}
		filter = filter[n:]
		switch {
		case filter == "" || topic == "":
			return filter == topic
		case topic[0] != '/':
			return false
		}
		filter, topic = filter[1:], topic[1:]
	}
	return true
}
