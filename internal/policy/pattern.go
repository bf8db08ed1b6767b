package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A pattern is a compiled text with wildcards and variables: the text is cut
// at each '*' into segments, and a segment is a row of parts each of which
// matches one way only. So it is enough to find each segment at the first
// place that fits, and no backtracking is needed.
type pattern struct{ segments [][]part }

// A part is a literal, one character of any kind, or a variable.
type part struct {
	kind    partKind
	literal string // or the name of the variable
	key     key
}

type partKind uint8

const (
	literalPart partKind = iota
	anyChar
	variablePart
)

// A dialect says what is special in a text beside variables.
type dialect uint8

const (
	plain     dialect = iota // nothing
	wildcards                // '*' and '?'
)

var errOpen = errors.New(`"${" without "}"`)

// compile reads a text. In it "${*}", "${?}" and "${$}" are the characters
// themselves.
func compile(s string, d dialect) (pattern, error) {
	var p pattern
	var seg []part
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			seg = append(seg, part{kind: literalPart, literal: lit.String()})
			lit.Reset()
		}
	}
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '*' && d == wildcards:
			flush()
			p.segments = append(p.segments, seg)
			seg = nil
			i++
		case c == '?' && d == wildcards:
			flush()
			seg = append(seg, part{kind: anyChar})
			i++
		case c == '$' && strings.HasPrefix(s[i:], "${"):
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return p, errOpen
			}
			name := s[i+2 : i+end]
			i += end + 1
			switch name {
			case "*", "?", "$":
				lit.WriteString(name)
				continue
			case "":
				return p, fmt.Errorf(`"${}" has no name`)
			}
			flush()
			seg = append(seg, part{kind: variablePart, literal: name, key: parseKey(name)})
		default:
			lit.WriteByte(c)
			i++
		}
	}
	flush()
	p.segments = append(p.segments, seg)
	return p, nil
}

// literalPrefix is the text that everything begins with that p matches.
func (p *pattern) literalPrefix() string {
	if first := p.segments[0]; len(first) > 0 && first[0].kind == literalPart {
		return first[0].literal
	}
	return ""
}

// constant returns the text if p has neither wildcard nor variable.
func (p *pattern) constant() (string, bool) {
	if len(p.segments) > 1 || len(p.segments[0]) > 1 {
		return "", false
	}
	if len(p.segments[0]) == 0 {
		return "", true
	}
	first := p.segments[0][0]
	return first.literal, first.kind == literalPart
}

// resolved reports whether all variables have a value in c.
func (p *pattern) resolved(c *Context) bool {
	for _, seg := range p.segments {
		for i := range seg {
			if seg[i].kind == variablePart {
				if _, ok := c.substitute(&seg[i].key); !ok {
					return false
				}
			}
		}
	}
	return true
}

// match reports whether p matches the whole of s. A variable without a value
// matches nothing.
func (p *pattern) match(s string, c *Context) bool {
	last := len(p.segments) - 1
	if last == 0 {
		n := prefixLen(p.segments[0], s, c)
		return n == len(s)
	}
	n := prefixLen(p.segments[0], s, c)
	if n < 0 {
		return false
	}
	s = s[n:]
	if n = suffixLen(p.segments[last], s, c); n < 0 {
		return false
	}
	s = s[:len(s)-n]
	for _, seg := range p.segments[1:last] {
		if n = find(seg, s, c); n < 0 {
			return false
		}
		s = s[n:]
	}
	return true
}

// value is the text of a part that is not anyChar.
func (t *part) value(c *Context) (string, bool) {
	if t.kind == literalPart {
		return t.literal, true
	}
	return c.substitute(&t.key)
}

// prefixLen returns how many bytes of s seg takes at its beginning, or -1.
func prefixLen(seg []part, s string, c *Context) int {
	n := 0
	for i := range seg {
		if seg[i].kind == anyChar {
			if n == len(s) {
				return -1
			}
			_, size := utf8.DecodeRuneInString(s[n:])
			n += size
			continue
		}
		v, ok := seg[i].value(c)
		if !ok || !strings.HasPrefix(s[n:], v) {
			return -1
		}
		n += len(v)
	}
	return n
}

// suffixLen returns how many bytes of s seg takes at its end, or -1.
func suffixLen(seg []part, s string, c *Context) int {
	rest := s
	for i := len(seg) - 1; i >= 0; i-- {
		if seg[i].kind == anyChar {
			if rest == "" {
				return -1
			}
			_, size := utf8.DecodeLastRuneInString(rest)
			rest = rest[:len(rest)-size]
			continue
		}
		v, ok := seg[i].value(c)
		if !ok || !strings.HasSuffix(rest, v) {
			return -1
		}
		rest = rest[:len(rest)-len(v)]
	}
	return len(s) - len(rest)
}

// find returns the end of the first place in s where seg fits, or -1.
func find(seg []part, s string, c *Context) int {
	if len(seg) == 0 {
		return 0
	}
	for at := 0; ; {
		if seg[0].kind != anyChar {
			v, ok := seg[0].value(c)
			if !ok {
				return -1
			}
			i := strings.Index(s[at:], v)
			if i < 0 {
				return -1
			}
			at += i
		}
		if n := prefixLen(seg, s[at:], c); n >= 0 {
			return at + n
		}
		if at == len(s) {
			return -1
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
}

// glob matches s with a text that has '*' and '?' and no variable, here
// without case for ASCII letters, as actions are compared.
func glob(p, s string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || lower(p[i]) == lower(s[j])):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// variables calls add for each variable, with its name as written.
func (p *pattern) variables(add func(k *key, name string)) {
	for _, seg := range p.segments {
		for i := range seg {
			if seg[i].kind == variablePart {
				add(&seg[i].key, seg[i].literal)
			}
		}
	}
}
