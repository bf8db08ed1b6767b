package registryhttp

import (
	"iter"
	"slices"
	"time"
)

// slice makes a list of what is in memory anyway.
func slice(items []string) func(after string) iter.Seq2[string, error] {
	items = slices.Sorted(slices.Values(items))
	return func(after string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for _, s := range items {
				if s > after && !yield(s, nil) {
					return
				}
			}
		}
	}
}

func self(s string) string { return s }

// undated is for what has no time of its creation: the order is that of the names.
func undated(string) time.Time { return time.Time{} }
