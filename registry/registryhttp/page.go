package registryhttp

import (
	"encoding/base64"
	"fmt"
	"iter"

	"github.com/thingloom/thingloom/registry"
)

// Sizes of pages.
const (
	defaultPage = 25
	maxPage     = 250
)

// paging names the parameters of a list operation.
type paging struct{ token, size string }

var (
	byToken  = paging{"nextToken", "maxResults"}
	byMarker = paging{"marker", "pageSize"}
)

// page collects one page. list yields what comes after a key, key is that of
// an item; token is empty on the last page.
func page[T, V any](c *call, p paging, list func(after string) iter.Seq2[T, error], key func(T) string, view func(T) V) (items []V, token string, err error) {
	size, err := c.number(p.size)
	if err != nil {
		return nil, "", err
	}
	if size == 0 && c.query(p.size) == "" {
		size = defaultPage
	}
	if size < 1 || size > maxPage {
		return nil, "", &registry.InvalidError{Field: p.size, Reason: fmt.Sprintf("is %d, not 1 to %d", size, maxPage)}
	}
	after, err := base64.RawURLEncoding.DecodeString(c.query(p.token))
	if err != nil {
		return nil, "", &registry.InvalidError{Field: p.token, Reason: "is not one that was given out"}
	}
	items = []V{}
	last := ""
	for v, err := range list(string(after)) {
		if err != nil {
			return nil, "", err
		}
		if len(items) == int(size) {
			return items, base64.RawURLEncoding.EncodeToString([]byte(last)), nil
		}
		items = append(items, view(v))
		last = key(v)
	}
	return items, "", nil
}

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
