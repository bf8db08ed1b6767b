package topic

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		text         string
		name, filter int // position of the error, -1 for none
	}{
		{"a", -1, -1},
		{"/", -1, -1},
		{"a//b", -1, -1},
		{"$aws/things/ä/shadow", -1, -1},
		{"", 0, 0},
		{"a\x00b", 1, 1},
		{"ab\xff", 2, 2},
		{"\xed\xa0\x80", 0, 0}, // a surrogate
		{"#", 0, -1},
		{"+", 0, -1},
		{"a/+/b/#", 2, -1},
		{"a+", 1, 1},
		{"+a", 0, 0},
		{"a/b#", 3, 3},
		{"a/#/b", 2, 2},
		{"#a", 0, 0},
		{"a/++", 2, 2},
		{strings.Repeat("a", MaxBytes), -1, -1},
		{strings.Repeat("a", MaxBytes+1), MaxBytes, MaxBytes},
	} {
		check := func(kind string, err error, want int) {
			var at *Error
			if !errors.As(err, &at) {
				if want >= 0 {
					t.Errorf("%s %.20q: got %v, want an error at %d", kind, c.text, err, want)
				}
			} else if at.Pos != want {
				t.Errorf("%s %.20q: error at %d (%s), want %d", kind, c.text, at.Pos, at.Reason, want)
			}
		}
		check("name", CheckName(c.text), c.name)
		check("filter", CheckFilter(c.text), c.filter)
	}
}

func TestParseShare(t *testing.T) {
	for _, c := range []struct {
		filter, group, inner string
		pos                  int
	}{
		{"a/b", "", "a/b", -1},
		{"$share/g/a/#", "g", "a/#", -1},
		{"$share/g//a", "g", "/a", -1},
		{"$shared/g/a", "", "$shared/g/a", -1},
		{"$share/g", "", "", 8},
		{"$share//a", "", "", 7},
		{"$share/g+/a", "", "", 8},
		{"$share/g/", "", "", 9},
		{"$share/g/a+", "", "", 10},
	} {
		group, inner, err := ParseShare(c.filter)
		var at *Error
		if errors.As(err, &at) != (c.pos >= 0) || at != nil && at.Pos != c.pos {
			t.Errorf("%q: error %v, want position %d", c.filter, err, c.pos)
		}
		if err == nil && (group != c.group || inner != c.inner) {
			t.Errorf("%q: got %q, %q, want %q, %q", c.filter, group, inner, c.group, c.inner)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter, name    string
		standard, below bool
	}{
		{"a", "a", true, true},
		{"a", "b", false, false},
		{"a", "a/b", false, false},
		{"a/b", "a", false, false},
		{"sport/#", "sport", true, false},
		{"sport/#", "sport/", true, true},
		{"sport/#", "sport/tennis/player1", true, true},
		{"#", "a/b", true, true},
		{"+", "a", true, true},
		{"+", "/a", false, false},
		{"+/+", "/a", true, true},
		{"/+", "/a", true, true},
		{"a/+", "a/", true, true},
		{"a/+", "a", false, false},
		{"a/+/c", "a//c", true, true},
		{"+/#", "a", true, false},
		{"#", "$SYS/x", false, false},
		{"+/x", "$SYS/x", false, false},
		{"$SYS/#", "$SYS/x", true, true},
		{"$SYS/+", "$SYS/x", true, true},
		{"a/$b", "a/$b", true, true},
		{"a/+", "a/$b", true, true},
		{"A", "a", false, false},
	} {
		for _, below := range []bool{false, true} {
			want, got := c.standard, Match(c.filter, c.name)
			if below {
				want, got = c.below, MatchBelow(c.filter, c.name)
			}
			if got != want {
				t.Errorf("match(%q, %q), below %v: got %v", c.filter, c.name, below, got)
			}
			tree := Tree[int]{HashBelow: below}
			tree.Add(c.filter, 1)
			if got := len(tree.AppendMatch(nil, c.name)) == 1; got != want {
				t.Errorf("tree of %q, %q, below %v: got %v", c.filter, c.name, below, got)
			}
		}
	}
}

// TestTreeAgainstMatch adds and removes random filters over a small alphabet
// and compares each look-up with a scan by Match.
func TestTreeAgainstMatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	levels := []string{"a", "b", "", "$x", "+"}
	random := func(filter bool) string {
		var parts []string
		for range 1 + rng.IntN(4) {
			n := len(levels)
			if !filter {
				n--
			}
			parts = append(parts, levels[rng.IntN(n)])
		}
		if filter && rng.IntN(4) == 0 {
			parts[len(parts)-1] = "#"
		}
		if s := strings.Join(parts, "/"); s != "" {
			return s
		}
		return "a"
	}
	for _, below := range []bool{false, true} {
		tree := Tree[string]{HashBelow: below}
		type added struct {
			value string
			at    *Entry[string]
		}
		var have []added
		for i := range 5000 {
			if len(have) > 0 && rng.IntN(5) < 2 {
				k := rng.IntN(len(have))
				tree.Remove(have[k].at)
				tree.Remove(have[k].at) // twice does nothing
				have = slices.Delete(have, k, k+1)
			} else {
				f := random(true)
				v := fmt.Sprintf("%s %d", f, i)
				have = append(have, added{v, tree.Add(f, v)})
			}
			name := random(false)
			var want []string
			for _, a := range have {
				f, _, _ := strings.Cut(a.value, " ")
				if match(f, name, below) {
					want = append(want, a.value)
				}
			}
			got := tree.AppendMatch(nil, name)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("step %d, name %q, below %v:\ngot  %q\nwant %q", i, name, below, got, want)
			}
			if tree.Len() != len(have) {
				t.Fatalf("step %d: Len %d, want %d", i, tree.Len(), len(have))
			}
		}
		for _, a := range have {
			tree.Remove(a.at)
		}
		if r := &tree.root; !r.bare() || r.children != nil {
			t.Error("an emptied tree keeps nodes")
		}
	}
}

func TestTreeMatchStops(t *testing.T) {
	var tree Tree[int]
	for i, f := range []string{"a/b", "a/+", "a/#", "#", "+/b"} {
		tree.Add(f, i)
	}
	for stop := 1; stop <= 5; stop++ {
		n := 0
		for range tree.Match("a/b") {
			if n++; n == stop {
				break
			}
		}
		if n != stop {
			t.Errorf("stopped after %d, want %d", n, stop)
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	var tree Tree[int]
	for i := range 100 {
		tree.Add(fmt.Sprintf("fleet/%d/+/climate", i), i)
	}
	dst := make([]int, 0, 8)
	if n := testing.AllocsPerRun(100, func() {
		dst = tree.AppendMatch(dst[:0], "fleet/7/room/climate")
	}); n > 0 || len(dst) != 1 {
		t.Errorf("%v allocations, %d matches, want 0 and 1", n, len(dst))
	}
}

func FuzzTree(f *testing.F) {
	f.Add("a/#", "+/b", "a/b")
	f.Add("sport/#", "sport", "sport")
	f.Add("#", "+/x", "$SYS/x")
	f.Add("$share/g/a/+", "/", "a/")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		if CheckName(name) != nil {
			return
		}
		for _, below := range []bool{false, true} {
			tree := Tree[string]{HashBelow: below}
			want := 0
			for _, filter := range []string{a, b} {
				_, inner, err := ParseShare(filter)
				if err != nil {
					var at *Error
					if !errors.As(err, &at) || at.Pos < 0 || at.Pos > len(filter) {
						t.Fatalf("%q: error %v outside the text", filter, err)
					}
					continue
				}
				tree.Add(inner, inner)
				if match(inner, name, below) {
					want++
				}
			}
			if got := len(tree.AppendMatch(nil, name)); got != want {
				t.Fatalf("%q and %q, name %q, below %v: tree %d, match %d", a, b, name, below, got, want)
			}
		}
	})
}

func BenchmarkTreeMatch(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprintf("filters=%d", n), func(b *testing.B) {
			var tree Tree[int]
			for i := range n {
				tree.Add(fmt.Sprintf("fleet/%d/climate", i), i)
			}
			tree.Add("fleet/+/climate", -1)
			dst := make([]int, 0, 8)
			b.ReportAllocs()
			for b.Loop() {
				dst = tree.AppendMatch(dst[:0], "fleet/7/climate")
			}
		})
	}
}
