package awshttp

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"
	"slices"
	"strings"
	"time"
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
	return page(c, p, "", list, key, view)
}

// orderParameter asks for the order of creation, ascending or descending.
const orderParameter = "isAscendingOrder"

// Ordered is Page for the operations that have isAscendingOrder. With it the
// items come in the order in which they were created, or the reverse; those of
// the same time, or without one, in that of their keys. Each such page looks at
// all items and keeps only its own. Without it the order is that of the keys.
func Ordered[T, V any](c *Call, p Paging, list func(after string) iter.Seq2[T, error], key func(T) string, created func(T) time.Time, view func(T) V) (items []V, token string, err error) {
	ascending, err := c.Flag(orderParameter)
	if err != nil {
		return nil, "", err
	}
	if c.Query(orderParameter) == "" {
		return page(c, p, "", list, key, view)
	}
	// Texts compare as the times do: those before 1970 are not written.
	place := func(v T) string { return fmt.Sprintf("%020d ", max(0, created(v).UnixNano())) + key(v) }
	return page(c, p, fmt.Sprint(ascending), func(after string) iter.Seq2[T, error] {
		return first(list(""), int(p.Max)+1, place, after, ascending)
	}, place, view)
}

// first yields, in the order of their places, the first n items after a place.
func first[T any](all iter.Seq2[T, error], n int, place func(T) string, after string, ascending bool) iter.Seq2[T, error] {
	compare := strings.Compare
	if !ascending {
		compare = func(a, b string) int { return strings.Compare(b, a) }
	}
	type placed struct {
		at   string
		item T
	}
	return func(yield func(T, error) bool) {
		var kept []placed
		for v, err := range all {
			if err != nil {
				yield(v, err)
				return
			}
			at := place(v)
			if after != "" && compare(at, after) <= 0 {
				continue
			}
			i, _ := slices.BinarySearchFunc(kept, at, func(p placed, at string) int { return compare(p.at, at) })
			if i < n {
				kept = slices.Insert(kept, i, placed{at, v})
				kept = kept[:min(len(kept), n)]
			}
		}
		for _, p := range kept {
			if !yield(p.item, nil) {
				return
			}
		}
	}
}

// page is Page where tokens are good for one order only.
func page[T, V any](c *Call, p Paging, order string, list func(after string) iter.Seq2[T, error], key func(T) string, view func(T) V) (items []V, token string, err error) {
	size, err := c.Number(p.Size)
	if err != nil {
		return nil, "", err
	}
	if c.Query(p.Size) == "" {
		size = p.Default
	}
	if size < 1 || size > p.Max {
		return nil, "", &InputError{p.Size, fmt.Sprintf("is %d, not 1 to %d", size, p.Max)}
	}
	// A token is of one operation: elsewhere it would quietly begin somewhere.
	name := c.Pattern + " " + order
	after, ok := OpenToken(name, c.Query(p.Token))
	if !ok {
		return nil, "", &InputError{p.Token, "is not one that was given out"}
	}
	items = []V{}
	last := ""
	for v, err := range list(after) {
		if err != nil {
			return nil, "", err
		}
		if len(items) == int(size) {
			return items, SealToken(name, last), nil
		}
		items = append(items, view(v))
		last = key(v)
	}
	return items, "", nil
}

// SealToken makes the token of a place in a list: the place behind a checksum
// of both, which finds what was not given out by mistake. It is no secret.
func SealToken(list, after string) string {
	sum := crc32.ChecksumIEEE([]byte(list + "\n" + after))
	return base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil, sum), after...))
}

// OpenToken is the place that a token is of; no token is the beginning.
func OpenToken(list, token string) (after string, ok bool) {
	if token == "" {
		return "", true
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 4 {
		return "", false
	}
	after = string(b[4:])
	return after, SealToken(list, after) == token
}
