package jobshttp

import (
	"encoding/base64"
	"fmt"
	"iter"

	"github.com/thingloom/thingloom/registry/jobs"
)

// Sizes of pages.
const (
	defaultPage = 25
	maxPage     = 250
)

// page collects one page. list yields what comes after a key, key is that of an
// item; token is empty on the last page.
func page[T, V any](c *call, list func(after string) iter.Seq2[T, error], key func(T) string, view func(T) V) (items []V, token string, err error) {
	size, err := c.number("maxResults", c.query("maxResults"))
	if err != nil {
		return nil, "", err
	}
	if c.query("maxResults") == "" {
		size = defaultPage
	}
	if size < 1 || size > maxPage {
		return nil, "", &jobs.InvalidError{Field: "maxResults", Reason: fmt.Sprintf("is %d, not 1 to %d", size, maxPage)}
	}
	after, err := base64.RawURLEncoding.DecodeString(c.query("nextToken"))
	if err != nil {
		return nil, "", &jobs.InvalidError{Field: "nextToken", Reason: "is not one that was given out"}
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
