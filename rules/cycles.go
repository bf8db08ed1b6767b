package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrCycle reports a rule that would republish, maybe through other rules, to
// its own topic filter. It is a [*CycleError].
var ErrCycle = errors.New("rules: rules feed one another")

// A CycleError is the ErrCycle that names the rules.
type CycleError struct {
	Rules []string // each republishes to a topic of the next, the last to one of the first
}

func (e *CycleError) Error() string {
	return fmt.Sprintf("rules: rules feed one another: %s -> %s", strings.Join(e.Rules, " -> "), e.Rules[0])
}

// Unwrap returns ErrCycle.
func (e *CycleError) Unwrap() error { return ErrCycle }

// Cycles finds rules that feed one another by their republish actions, the
// shortest way for each rule that is in one, in the order of rules. Disabled
// rules, and statements that do not compile, are in no cycle.
//
// A topic with substitutions counts as every topic that it could become:
// topic() stands for what the rule's own filter matches, topic(n) for that level
// of it, and every other expression for any text without a slash. So what is
// found may never happen, as where WHERE keeps a message from a second round;
// and a value with slashes, a topic that is nothing but a substitution, or an
// action that republishes under another name is not seen here, but ended by
// Options.MaxHops when it happens.
func Cycles(all []Rule, opts *CompileOptions) []*CycleError {
	g := graph{}
	for i := range all {
		q, err := Compile(all[i].SQL, opts)
		if err == nil && !all[i].Disabled {
			g = append(g, newNode(&all[i], q))
		}
	}
	var found []*CycleError
	in := map[string]bool{}
	for _, n := range g {
		if in[n.name] {
			continue
		}
		if cycle := g.cycle(n); cycle != nil {
			found = append(found, cycle)
			for _, name := range cycle.Rules {
				in[name] = true
			}
		}
	}
	return found
}

// A node is a rule as the search sees it.
type node struct {
	name, filter string
	hasFilter    bool
	out          []destination // topics it republishes to
}

type graph []node

func newNode(r *Rule, q *Query) node {
	n := node{name: r.Name, filter: q.filter, hasFilter: q.hasFilter}
	for _, a := range r.Actions {
		n.add(a)
	}
	if r.ErrorAction != nil {
		n.add(*r.ErrorAction)
	}
	return n
}

// add notes where an action republishes to.
func (n *node) add(a ActionSpec) {
	var params struct{ Topic string }
	if a.Type != "republish" || json.Unmarshal(a.Params, &params) != nil || params.Topic == "" {
		return
	}
	if d, ok := parseDestination(params.Topic, n.filter); ok {
		n.out = append(n.out, d)
	}
}

// feeds reports whether what n republishes may reach m.
func (n *node) feeds(m *node) bool {
	return slices.ContainsFunc(n.out, func(d destination) bool { return d.reaches(m) })
}

// cycle finds the shortest way from start back to it, nil if there is none.
func (g graph) cycle(start node) *CycleError {
	if len(start.out) == 0 {
		return nil
	}
	type step struct {
		n    *node
		from *step
	}
	seen := map[string]bool{}
	queue := []*step{{n: &start}}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if at.n.feeds(&start) {
			var names []string
			for s := at; s != nil; s = s.from {
				names = append(names, s.n.name)
			}
			slices.Reverse(names)
			return &CycleError{names}
		}
		for i := range g {
			if next := &g[i]; !seen[next.name] && len(next.out) > 0 && at.n.feeds(next) {
				seen[next.name] = true
				queue = append(queue, &step{next, at})
			}
		}
	}
	return nil
}
