package awshttp

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

type entry struct {
	name string
	born time.Time
}

func called(path string, query url.Values) *Call {
	r := httptest.NewRequest("GET", path+"?"+query.Encode(), nil)
	r.Pattern = "GET " + path
	return &Call{r}
}

// Entries f, e, d, c, b, a were created in that order, c and d at once.
func entries() func(after string) iter.Seq2[entry, error] {
	t := time.Unix(1700000000, 0)
	all := []entry{{"a", t.Add(9)}, {"b", t.Add(8)}, {"c", t.Add(7)}, {"d", t.Add(7)}, {"e", t.Add(5)}, {"f", t}}
	return func(after string) iter.Seq2[entry, error] {
		return func(yield func(entry, error) bool) {
			for _, e := range all {
				if e.name > after && !yield(e, nil) {
					return
				}
			}
		}
	}
}

func nameOf(e entry) string { return e.name }

func TestPagesAreWholeInEveryOrder(t *testing.T) {
	for order, want := range map[string]string{"": "abcdef", "true": "fecdba", "false": "abdcef"} {
		for size := 1; size <= 7; size++ {
			got, token := "", ""
			for pages := 0; pages == 0 || token != ""; pages++ {
				q := url.Values{"pageSize": {fmt.Sprint(size)}}
				if order != "" {
					q.Set("isAscendingOrder", order)
				}
				if token != "" {
					q.Set("marker", token)
				}
				var items []string
				var err error
				items, token, err = Ordered(called("/entries", q), ByMarker, entries(), nameOf, func(e entry) time.Time { return e.born }, nameOf)
				if err != nil || len(items) > size || pages > 6 {
					t.Fatalf("order %q, page %d of size %d: %q, %v", order, pages, size, items, err)
				}
				got += strings.Join(items, "")
			}
			if got != want {
				t.Errorf("order %q in pages of %d: %s, want %s", order, size, got, want)
			}
		}
	}
}

func TestOrderedKeepsOnePage(t *testing.T) {
	all := func(yield func(entry, error) bool) {
		for i := range 10_000 {
			if !yield(entry{fmt.Sprintf("%05d", (i*7919)%10_000), time.Time{}}, nil) {
				return
			}
		}
	}
	var got []string
	for e, err := range first(all, 3, nameOf, "04998", true) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.name)
	}
	if want := []string{"04999", "05000", "05001"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPageRefuses(t *testing.T) {
	_, token, err := Page(called("/entries", url.Values{"maxResults": {"2"}}), ByToken, entries(), nameOf, nameOf)
	if err != nil || token == "" {
		t.Fatal(token, err)
	}
	for _, row := range []struct {
		about, path string
		query       url.Values
		field       string
	}{
		{"no number", "/entries", url.Values{"maxResults": {"many"}}, "maxResults"},
		{"zero", "/entries", url.Values{"maxResults": {"0"}}, "maxResults"},
		{"negative", "/entries", url.Values{"maxResults": {"-1"}}, "maxResults"},
		{"too many", "/entries", url.Values{"maxResults": {"251"}}, "maxResults"},
		{"beyond 64 bits", "/entries", url.Values{"maxResults": {"99999999999999999999"}}, "maxResults"},
		{"no base64", "/entries", url.Values{"nextToken": {"!"}}, "nextToken"},
		{"base64 of nothing that was given out", "/entries", url.Values{"nextToken": {"AAAAAAAA"}}, "nextToken"},
		{"too short", "/entries", url.Values{"nextToken": {"AAA"}}, "nextToken"},
		{"a token with more behind it", "/entries", url.Values{"nextToken": {token + "AA"}}, "nextToken"},
		{"a token of another list", "/others", url.Values{"nextToken": {token}}, "nextToken"},
		{"a token of another order", "/entries", url.Values{"nextToken": {token}, "isAscendingOrder": {"true"}}, "nextToken"},
		{"no order", "/entries", url.Values{"isAscendingOrder": {"up"}}, "isAscendingOrder"},
	} {
		_, _, err := Ordered(called(row.path, row.query), ByToken, entries(), nameOf, func(e entry) time.Time { return e.born }, nameOf)
		in, ok := errors.AsType[*InputError](err)
		if !ok || in.Field != row.field {
			t.Errorf("%s: %v", row.about, err)
		}
		if status, _ := Classify(nil, err); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", row.about, status)
		}
	}
	items, _, err := Page(called("/entries", url.Values{"nextToken": {token}}), ByToken, entries(), nameOf, nameOf)
	if err != nil || strings.Join(items, "") != "cdef" {
		t.Errorf("the next page: %q, %v", items, err)
	}
}
