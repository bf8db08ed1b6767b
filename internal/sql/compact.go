package sql

import "slices"

// appendCompact appends a valid JSON text without space, numbers in their
// one form, strings escaped no more than they must be. Of members with one key
// the last counts, in the place of the first.
func appendCompact(b []byte, s string, legacy bool) []byte {
	c := compactor{b: b, s: s, legacy: legacy}
	c.value(skipSpace(s, 0))
	return c.b
}

// A compactor copies a JSON text in one pass.
type compactor struct {
	b       []byte
	s       string
	legacy  bool
	members []compactMember // of the objects around the place, the inner ones last
}

// A compactMember is a member that was copied: where its key and its value
// begin in b and where the value ends.
type compactMember struct{ key, value, end int }

// value copies the value at s[i] and returns where it ends.
func (c *compactor) value(i int) int {
	end := i
	switch c.s[i] {
	case '{':
		return c.object(i)
	case '[':
		return c.array(i)
	case '"':
		end, _ = skipString(c.s, i)
		c.string(c.s[i:end])
	case 't', 'n':
		end = i + len("true")
		c.b = append(c.b, c.s[i:end]...)
	case 'f':
		end = i + len("false")
		c.b = append(c.b, c.s[i:end]...)
	default:
		end, _ = skipNumber(c.s, i)
		c.b, _ = loadRaw(c.s[i:end], nil, c.legacy).appendText(c.b, c.legacy)
	}
	return end
}

func (c *compactor) string(raw string) {
	if hasEscape(raw) {
		c.b = appendString(c.b, string(appendUnescaped(nil, raw[1:len(raw)-1])))
	} else {
		c.b = append(c.b, raw...)
	}
}

func (c *compactor) array(i int) int {
	c.b = append(c.b, '[')
	for i = skipSpace(c.s, i+1); c.s[i] != ']'; {
		i = skipSpace(c.s, c.value(i))
		if c.s[i] == ',' {
			c.b = append(c.b, ',')
			i = skipSpace(c.s, i+1)
		}
	}
	c.b = append(c.b, ']')
	return i + 1
}

func (c *compactor) object(i int) int {
	start, outer := len(c.b), len(c.members)
	c.b = append(c.b, '{')
	for i = skipSpace(c.s, i+1); c.s[i] != '}'; {
		m := compactMember{key: len(c.b)}
		end, _ := skipString(c.s, i)
		c.string(c.s[i:end])
		c.b = append(c.b, ':')
		m.value = len(c.b)
		i = skipSpace(c.s, c.value(skipSpace(c.s, skipSpace(c.s, end)+1)))
		m.end = len(c.b)
		c.members = append(c.members, m)
		if c.s[i] == ',' {
			c.b = append(c.b, ',')
			i = skipSpace(c.s, i+1)
		}
	}
	c.b = append(c.b, '}')
	if members := c.members[outer:]; c.repeats(members) {
		c.b = append(c.b[:start], c.lastOnes(members)...)
	}
	c.members = c.members[:outer]
	return i + 1
}

// key is a copied key with its quotes and the colon. Keys are the same when
// their copies are.
func (c *compactor) key(m compactMember) string { return view(c.b[m.key:m.value]) }

// fewMembers is how many members are compared one by one.
const fewMembers = 12

// repeats reports whether two of the members have one key.
func (c *compactor) repeats(members []compactMember) bool {
	if len(members) > fewMembers {
		seen := make(map[string]bool, len(members))
		for _, m := range members {
			seen[c.key(m)] = true
		}
		return len(seen) < len(members)
	}
	for i, m := range members {
		if slices.ContainsFunc(members[:i], func(o compactMember) bool { return c.key(o) == c.key(m) }) {
			return true
		}
	}
	return false
}

// lastOnes is the object of the members with the last value of each key.
func (c *compactor) lastOnes(members []compactMember) []byte {
	var o object
	for _, m := range members {
		o.put(nil, []string{c.key(m)}, view(c.b[m.value:m.end]))
	}
	b := []byte{'{'}
	for i, m := range o.members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, m.key...), m.raw...)
	}
	return append(b, '}')
}
