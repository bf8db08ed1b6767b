package rules

import "slices"

// cycle finds the shortest way from a rule that is about to be set back to it,
// as graph.cycle does, but asks the index who is fed and not every rule: most
// rules that republish do so to a topic that no rule has.
func (ix *index) cycle(start *node) *CycleError {
	type step struct {
		n    *node
		from *step
	}
	seen := map[string]bool{start.name: true} // also the version that start replaces
	queue := []*step{{n: start}}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if at.n.feeds(start) {
			var names []string
			for s := at; s != nil; s = s.from {
				names = append(names, s.n.name)
			}
			slices.Reverse(names)
			return &CycleError{names}
		}
		ix.fed(at.n, func(en *entry) {
			if en.node != nil && !seen[en.name] && at.n.feeds(en.node) {
				seen[en.name] = true
				queue = append(queue, &step{en.node, at})
			}
		})
	}
	return nil
}

// fed visits the rules that run and that n may feed, and perhaps others.
func (ix *index) fed(n *node, visit func(*entry)) {
	for _, to := range n.out {
		levels, whole := to.fixed()
		if len(levels) > 2 && levels[0] == "$aws" && levels[1] == "rules" {
			if en, ok := ix.rules.Get(levels[2]); ok && en.runs() {
				visit(en)
			}
			continue
		}
		ix.tree.along(levels, whole, visit)
	}
}

// along visits the rules whose filter matches a topic of these levels, if that
// is all of it, or may match one that begins with them, and perhaps others.
func (t *tree) along(levels []string, all bool, visit func(*entry)) {
	if t == nil {
		return
	}
	if len(levels) > 0 || !all {
		t.below.each(visit)
	}
	if len(levels) > 0 {
		t.literal.get(levels[0]).along(levels[1:], all, visit)
		t.plus.along(levels[1:], all, visit)
		return
	}
	t.here.each(visit)
	if !all {
		t.literal.each(func(k *kid) { k.along(nil, false, visit) })
		t.plus.along(nil, false, visit)
	}
}

func (k *kid) along(levels []string, all bool, visit func(*entry)) {
	switch {
	case k == nil:
	case k.only != nil:
		visit(k.only)
	default:
		k.tree.along(levels, all, visit)
	}
}

func (s spot) each(visit func(*entry)) {
	switch {
	case s.only != nil:
		visit(s.only)
	case s.group != nil:
		s.group.members.each(visit)
	}
}

// each visits every member, some perhaps more than once.
func (b *bucket) each(visit func(*entry)) {
	for _, m := range b.few {
		visit(m.en)
	}
	if b.node == nil {
		return
	}
	for _, m := range b.node.rest.All() {
		visit(m.en)
	}
	for _, chunk := range b.node.fields {
		if chunk == nil {
			continue
		}
		for _, f := range chunk {
			if f == nil {
				continue
			}
			for _, sub := range f.equal.All() {
				sub.each(visit)
			}
			f.ranges.each(visit)
			for _, m := range f.others.All() {
				visit(m.en)
			}
		}
	}
}

func (t *spans) each(visit func(*entry)) {
	if t != nil {
		t.left.each(visit)
		if t.more != nil {
			t.more.each(visit)
		} else {
			visit(t.m.en)
		}
		t.right.each(visit)
	}
}
