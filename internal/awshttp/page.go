package awshttp

import (
	"encoding/base64"
	"fmt"
	"iter"
)

// Paging names the parameters of a list operation, and its sizes of pages.
type Paging struct {
	Token, Size  string
	Default, Max int64
}

// The two ways of operations of the control plane.
var (
	ByToken  = Paging{"nextToken", "maxResults", 25, 250}
	ByMarker = Paging{"marker", "pageSize", 25, 250}
)

// Page collects one page. list yields what comes after a key, key is that of
// an item; token is empty on the last page.
func Page[T, V any](c *Call, p Paging, list func(after string) iter.Seq2[T, error], key func(T) string, view func(T) V) (items []V, token string, err error) {
	size, err := c.Number(p.Size)
	if err != nil {
		return nil, "", err
	}
	if size == 0 && c.Query(p.Size) == "" {
		size = p.Default
	}
	if size < 1 || size > p.Max {
		return nil, "", &InputError{p.Size, fmt.Sprintf("is %d, not 1 to %d", size, p.Max)}
	}
	after, err := base64.RawURLEncoding.DecodeString(c.Query(p.Token))
	if err != nil {
		return nil, "", &InputError{p.Token, "is not one that was given out"}
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
