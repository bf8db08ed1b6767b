package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/internal/topic"
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
// shortest way for each rule that is in one, in the order of rules. A topic
// with substitutions counts as every topic that it could become, so that what
// is found may never happen, as where WHERE keeps it from it; one that is
// nothing but a substitution could be anything, and is not counted. Disabled
// rules, and statements that do not compile, are in no cycle.
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
	out          []string // topics it republishes to, as templates
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
	if a.Type != "republish" || json.Unmarshal(a.Params, &params) != nil {
		return
	}
	if to := pattern(params.Topic); strings.Trim(to, "*/") != "" {
		n.out = append(n.out, to)
	}
}

// pattern is a topic with * for each substitution, which may be any text.
func pattern(template string) string {
	if rest, reserved := strings.CutPrefix(template, "$$"); reserved {
		template = "\x00" + rest // "$$" means one "$", and is no substitution
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(template, "${")
		b.WriteString(before)
		if !found {
			break
		}
		b.WriteByte('*')
		_, template, _ = strings.Cut(after, "}")
	}
	return strings.Replace(b.String(), "\x00", "$", 1)
}

// feeds reports whether what n republishes may reach m.
func (n *node) feeds(m *node) bool {
	return slices.ContainsFunc(n.out, func(to string) bool {
		if rule, _, ok := basicIngestRule(to); ok {
			return rule == m.name
		}
		if !m.hasFilter {
			return false
		}
		if !strings.Contains(to, "*") {
			return topic.MatchBelow(m.filter, to)
		}
		return overlaps(strings.Split(m.filter, "/"), to)
	})
}

// overlaps reports whether a filter matches some text that a pattern becomes.
// A * may stand for several levels.
func overlaps(levels []string, to string) bool {
	if len(levels) == 0 {
		return strings.Trim(to, "*") == "" && to != ""
	}
	level, last := levels[0], len(levels) == 1
	if level == "#" {
		return to != ""
	}
	// Every way to end the first level within to: at its slashes, at its end,
	// or within a *, which then goes on behind the slash.
	for end := 0; end <= len(to); end++ {
		switch {
		case end == len(to):
			if last && levelOverlaps(level, to) {
				return true
			}
		case to[end] == '/':
			if !last && levelOverlaps(level, to[:end]) && overlaps(levels[1:], to[end+1:]) {
				return true
			}
			return false // a level ends at the first slash
		case to[end] == '*':
			if !last && levelOverlaps(level, to[:end+1]) && overlaps(levels[1:], to[end:]) {
				return true
			}
		}
	}
	return false
}

// levelOverlaps reports whether one level of a filter matches some text that a
// pattern without slashes becomes.
func levelOverlaps(level, to string) bool {
	if level == "+" {
		return true
	}
	parts := strings.Split(to, "*")
	if len(parts) == 1 {
		return level == to
	}
	if !strings.HasPrefix(level, parts[0]) || !strings.HasSuffix(level, parts[len(parts)-1]) {
		return false
	}
	rest := level[len(parts[0]):]
	if len(rest) < len(parts[len(parts)-1]) {
		return false
	}
	rest = rest[:len(rest)-len(parts[len(parts)-1])]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return true
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
