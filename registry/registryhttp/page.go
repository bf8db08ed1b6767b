package registryhttp

import "iter"

// slice makes a list of what is in memory anyway.
func slice(items []string) func(after string) iter.Seq2[string, error] {
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
