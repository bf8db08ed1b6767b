package topic

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestMatchOrSkip walks random sets of topics as the store does: it must meet
// every topic that matches, and no other.
func TestMatchOrSkip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	name := func(levels []string) string {
		parts := make([]string, 1+rng.IntN(4))
		for i := range parts {
			parts[i] = levels[rng.IntN(len(levels))]
		}
		return strings.Join(parts, "/")
	}
	for range 3000 {
		var topics []string
		for range rng.IntN(40) {
			topics = append(topics, name([]string{"", "a", "b", "a-", "a0", "ab", "$a", "$", "z", "\u00e9", " "}))
		}
		slices.Sort(topics)
		topics = slices.DeleteFunc(slices.Compact(topics), func(s string) bool { return s == "" })
		filter := name([]string{"", "a", "b", "a-", "a0", "+", "+", "$a", "z"})
		if rng.IntN(2) == 0 {
			filter += "/#"
		}
		var got, want []string
		for i := 0; i < len(topics); {
			match, to := MatchOrSkip(filter, topics[i])
			switch {
			case match:
				got = append(got, topics[i])
				i++
			case to == "":
				i++
			case to <= topics[i]:
				t.Fatalf("%q at %q goes back to %q", filter, topics[i], to)
			default:
				i, _ = slices.BinarySearch(topics, to)
			}
		}
		for _, topic := range topics {
			if Match(filter, topic) {
				want = append(want, topic)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q over %q\n got %q\nwant %q", filter, topics, got, want)
		}
	}
}
