package actions

import (
	"slices"
	"strings"
)

// nearest is which of names a misspelt name may have meant; empty if none is near.
func nearest(name string, names []string) string {
	best, bestDist := "", len(name)/2+1
	for _, n := range names {
		if d := editDistance(strings.ToLower(name), strings.ToLower(n)); d < bestDist {
			best, bestDist = n, d
		}
	}
	return best
}

// suggest says which of names a misspelt name may have meant, or which there are.
func suggest(name string, names []string) string {
	best := nearest(name, names)
	switch {
	case best != "":
		return "; did you mean " + best + "?"
	case len(names) == 0:
		return "; there are none"
	}
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	return "; there are " + strings.Join(sorted, ", ")
}

func editDistance(a, b string) int {
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		diag := prev[0]
		prev[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, prev[j+1] = prev[j+1], min(prev[j+1]+1, prev[j]+1, diag+cost)
		}
	}
	return prev[len(b)]
}
