package rules

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/topic"
)

func checkTree(t *testing.T, root *tree, filters map[string]string, name string) {
	t.Helper()
	var got, want []string
	var l lookup
	for _, s := range root.match(name, nil) {
		if s.only != nil {
			got = append(got, s.only.name)
		} else {
			l.bucket(s.group.members)
		}
	}
	for _, e := range l.hits {
		got = append(got, e.name)
	}
	for rule, filter := range filters {
		if topic.MatchBelow(filter, name) {
			want = append(want, rule)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("%q matches %q, want %q of %q", name, got, want, filters)
	}
}

// TestTreeAgainstMatch edits a tree at random and compares each look-up with
// a scan by topic.MatchBelow.
func TestTreeAgainstMatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	levels := []string{"a", "b", "", "$aws", "+", "+"}
	random := func(n int) string {
		parts := make([]string, 1+rng.IntN(4))
		for i := range parts {
			parts[i] = levels[rng.IntN(n)]
		}
		return cmp.Or(strings.Join(parts, "/"), "a") // a topic is not empty
	}
	var root *tree
	var c changes
	filters, entries := map[string]string{}, map[string]*entry{}
	for range 20_000 {
		name := fmt.Sprint("r", rng.IntN(60))
		if filter, ok := filters[name]; ok {
			root = root.without(filter, entries[name], &c)
			delete(filters, name)
		} else {
			filter := random(len(levels))
			if rng.IntN(3) == 0 {
				filter = strings.TrimPrefix(filter+"/#", "/")
			}
			entries[name] = &entry{name: name}
			root = root.with(filter, entries[name], &c)
			filters[name] = filter
		}
		checkTree(t, root, filters, random(4))
	}
	for name, filter := range filters {
		root = root.without(filter, entries[name], &c)
	}
	if root != nil {
		t.Errorf("a tree without its entries is %+v", root)
	}
}

func FuzzTree(f *testing.F) {
	f.Add("a/+/c", "a/#", "+", "a/b/c")
	f.Add("#", "$aws/#", "+/+", "$aws/things")
	f.Add("a/#", "a", "", "a")
	f.Fuzz(func(t *testing.T, a, b, c, name string) {
		if name == "" {
			t.Skip("not a topic")
		}
		filters, entries := map[string]string{}, map[string]*entry{}
		var root *tree
		var changes changes
		for i, filter := range []string{a, b, c} {
			if topic.CheckFilter(filter) == nil {
				rule := fmt.Sprint("r", i)
				filters[rule] = filter
				entries[rule] = &entry{name: rule}
				root = root.with(filter, entries[rule], &changes)
			}
		}
		checkTree(t, root, filters, name)
		for rule, filter := range filters {
			root = root.without(filter, entries[rule], &changes)
			delete(filters, rule)
			checkTree(t, root, filters, name)
		}
		if root != nil {
			t.Fatalf("left over: %+v", root)
		}
	})
}
