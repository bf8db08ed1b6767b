// Package tagset has the rules for tags of AWS resources, and how they look
// over the wire.
package tagset

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of AWS: tags of a resource, characters of a key and of a value.
const (
	Max       = 50
	maxKey    = 128
	maxValue  = 256
	moreChars = "_.:/=+-@"
)

// Check says which rule the tags break. Letters, spaces and digits of any
// script, and some signs, may be used; keys that begin with "aws:" are Amazon's.
func Check(tags map[string]string) error {
	if len(tags) > Max {
		return fmt.Errorf("has %d entries, more than %d", len(tags), Max)
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		value := tags[key]
		switch {
		case key == "":
			return fmt.Errorf("has an empty key")
		case utf8.RuneCountInString(key) > maxKey:
			return fmt.Errorf("has a key of %d characters, more than %d", utf8.RuneCountInString(key), maxKey)
		case len(key) >= 4 && strings.EqualFold(key[:4], "aws:"):
			return fmt.Errorf("has the key %q: those that begin with \"aws:\" are reserved", key)
		case utf8.RuneCountInString(value) > maxValue:
			return fmt.Errorf("has a value of %d characters at %q, more than %d", utf8.RuneCountInString(value), key, maxValue)
		case !plain(key) || !plain(value):
			return fmt.Errorf("has %q = %q: letters, spaces, digits and any of %s may be used", key, value, moreChars)
		}
	}
	return nil
}

func plain(s string) bool {
	for _, c := range s {
		if c == utf8.RuneError || !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.Is(unicode.N, c) && !unicode.Is(unicode.Z, c) && !strings.ContainsRune(moreChars, c) {
			return false
		}
	}
	return true
}

// A Tag is one tag over the wire.
type Tag struct{ Key, Value string }

// A List is all tags of a resource over the wire.
type List []Tag

// Map returns the tags by key, nil if there are none. A key that comes twice is
// an error.
func (l List) Map() (map[string]string, error) {
	if len(l) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(l))
	for _, t := range l {
		if _, twice := m[t.Key]; twice {
			return nil, fmt.Errorf("has the key %q twice", t.Key)
		}
		m[t.Key] = t.Value
	}
	return m, Check(m)
}

// Of lists tags in the order of their keys.
func Of(tags map[string]string) List {
	l := List{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		l = append(l, Tag{key, tags[key]})
	}
	return l
}

// Parse reads the form of the header x-amz-tagging: a=b&c=d, escaped as a query.
func Parse(s string) (map[string]string, error) {
	values, err := url.ParseQuery(s)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %v", err)
	}
	var l List
	for key, all := range values {
		for _, v := range all {
			l = append(l, Tag{key, v})
		}
	}
	return l.Map()
}
