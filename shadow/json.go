package shadow

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxNesting bounds the recursion of the parser, whatever the limits of a
// service are: a text nested deeper is refused where the level is met.
const maxNesting = 512

type kind byte

const (
	null kind = iota
	boolean
	number
	text
	array
	object
	gone // a member that a merge has removed; never outlives merge
)

// A node is one JSON value of a tree. Texts are canonical, so that two values
// other than numbers, arrays and objects are equal when their texts are.
type node struct {
	key  string // in an object: the member's name, quoted, canonical
	text string // scalar: its JSON text; a number keeps the digits it came with
	kids []node // elements of an array, members of an object in order
	time int64  // scalar of a document: when it was last written, unix seconds
	kind kind
}

// syntaxError says where a text stops being JSON.
type syntaxError struct {
	offset int
	what   string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.what, e.offset) }

// A parser reads one JSON text (RFC 8259, strictly). Of members with the same
// name the last wins.
type parser struct {
	s    string
	i    int
	deep bool // stopped at maxNesting
}

func (p *parser) fail(what string) error { return &syntaxError{p.i, what} }

// parse reads the whole of s, which must be valid UTF-8.
func parse(s string) (n node, deep bool, err error) {
	p := parser{s: s}
	p.space()
	if err = p.value(&n, 0); err != nil {
		return n, p.deep, err
	}
	p.space()
	if p.i < len(s) {
		return n, false, p.fail("text after the value")
	}
	return n, false, nil
}

func (p *parser) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *parser) value(n *node, depth int) error {
	if p.i >= len(p.s) {
		return p.fail("unexpected end")
	}
	if depth > maxNesting {
		p.deep = true
		return p.fail("nested too deeply")
	}
	switch c := p.s[p.i]; {
	case c == '{':
		return p.object(n, depth)
	case c == '[':
		return p.array(n, depth)
	case c == '"':
		s, err := p.str()
		n.kind, n.text = text, s
		return err
	case c == '-' || c >= '0' && c <= '9':
		return p.number(n)
	case c == 't':
		return p.word(n, "true", boolean)
	case c == 'f':
		return p.word(n, "false", boolean)
	case c == 'n':
		return p.word(n, "null", null)
	}
	return p.fail("unexpected character")
}

func (p *parser) word(n *node, w string, k kind) error {
	if !strings.HasPrefix(p.s[p.i:], w) {
		return p.fail("unexpected character")
	}
	p.i += len(w)
	n.kind, n.text = k, w
	return nil
}

func (p *parser) array(n *node, depth int) error {
	n.kind = array
	p.i++
	p.space()
	if p.i < len(p.s) && p.s[p.i] == ']' {
		p.i++
		return nil
	}
	for {
		var v node
		p.space()
		if err := p.value(&v, depth+1); err != nil {
			return err
		}
		n.kids = append(n.kids, v)
		if more, err := p.more(']'); !more {
			return err
		}
	}
}

func (p *parser) object(n *node, depth int) error {
	n.kind = object
	p.i++
	p.space()
	if p.i < len(p.s) && p.s[p.i] == '}' {
		p.i++
		return nil
	}
	var seen map[string]int // built once linear search would cost
	for {
		p.space()
		if p.i >= len(p.s) || p.s[p.i] != '"' {
			return p.fail("expected a member name")
		}
		key, err := p.str()
		if err != nil {
			return err
		}
		p.space()
		if p.i >= len(p.s) || p.s[p.i] != ':' {
			return p.fail("expected a colon")
		}
		p.i++
		p.space()
		v := node{key: key}
		if err := p.value(&v, depth+1); err != nil {
			return err
		}
		if seen == nil && len(n.kids) > linear {
			seen = index(n)
		}
		j := -1
		if seen == nil {
			j = search(n, key)
		} else if k, ok := seen[key]; ok {
			j = k
		}
		switch {
		case j >= 0:
			n.kids[j] = v
		default:
			if seen != nil {
				seen[key] = len(n.kids)
			}
			n.kids = append(n.kids, v)
		}
		if more, err := p.more('}'); !more {
			return err
		}
	}
}

// more reads a comma (true) or the end of an array or object (false).
func (p *parser) more(end byte) (bool, error) {
	p.space()
	if p.i >= len(p.s) {
		return false, p.fail("unexpected end")
	}
	switch p.s[p.i] {
	case ',':
		p.i++
		return true, nil
	case end:
		p.i++
		return false, nil
	}
	return false, p.fail("expected a comma or " + string(end))
}

func (p *parser) number(n *node) error {
	start := p.i
	digits := func() bool {
		from := p.i
		for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
			p.i++
		}
		return p.i > from
	}
	if p.s[p.i] == '-' {
		p.i++
	}
	if p.i < len(p.s) && p.s[p.i] == '0' {
		p.i++
	} else if !digits() {
		return p.fail("expected a digit")
	}
	if p.i < len(p.s) && p.s[p.i] == '.' {
		p.i++
		if !digits() {
			return p.fail("expected a digit")
		}
	}
	if p.i < len(p.s) && (p.s[p.i] == 'e' || p.s[p.i] == 'E') {
		p.i++
		if p.i < len(p.s) && (p.s[p.i] == '+' || p.s[p.i] == '-') {
			p.i++
		}
		if !digits() {
			return p.fail("expected a digit")
		}
	}
	n.kind, n.text = number, p.s[start:p.i]
	return nil
}

// str reads a string and returns it quoted and canonical.
func (p *parser) str() (string, error) {
	start := p.i
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return p.s[start:p.i], nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.fail("control character in a string")
		}
	}
	return "", p.fail("unexpected end")
}

// escaped is str from the first escape on: it writes every character in the
// one form that appendRune gives it.
func (p *parser) escaped(start int) (string, error) {
	b := append([]byte(nil), p.s[start:p.i]...)
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return string(append(b, '"')), nil
		case c < ' ':
			return "", p.fail("control character in a string")
		case c != '\\':
			b = append(b, c)
			p.i++
		default:
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b = appendRune(b, r)
		}
	}
	return "", p.fail("unexpected end")
}

// escape reads one escape sequence, a surrogate pair as one. A lone
// surrogate is returned as it is.
func (p *parser) escape() (rune, error) {
	if p.i+1 >= len(p.s) {
		return 0, p.fail("unexpected end")
	}
	c := p.s[p.i+1]
	if c == 'u' {
		r, ok := hex4(p.s[p.i+2:])
		if !ok {
			return 0, p.fail("bad \\u escape")
		}
		p.i += 6
		if r >= 0xd800 && r < 0xdc00 && strings.HasPrefix(p.s[p.i:], `\u`) {
			if low, ok := hex4(p.s[p.i+2:]); ok && low >= 0xdc00 && low < 0xe000 {
				p.i += 6
				return (r-0xd800)<<10 | (low - 0xdc00) + 0x10000, nil
			}
		}
		return r, nil
	}
	k := strings.IndexByte(`"\/bfnrt`, c)
	if k < 0 {
		return 0, p.fail("bad escape")
	}
	p.i += 2
	return rune("\"\\/\b\f\n\r\t"[k]), nil
}

func hex4(s string) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for _, c := range []byte(s[:4]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// appendRune appends r as it stands in a canonical JSON string: raw where
// that is allowed, else in the shortest escape.
func appendRune(b []byte, r rune) []byte {
	if k := strings.IndexRune("\"\\\b\f\n\r\t", r); k >= 0 && r >= 0 && r < utf8.RuneSelf {
		return append(b, '\\', `"\bfnrt`[k])
	}
	if r < ' ' || r >= 0xd800 && r < 0xe000 {
		return fmt.Appendf(b, `\u%04x`, r)
	}
	return utf8.AppendRune(b, r)
}

// quote returns s as a canonical JSON string. What is not UTF-8 becomes U+FFFD.
func quote(s string) string {
	b := append(make([]byte, 0, len(s)+2), '"')
	for _, r := range s {
		b = appendRune(b, r)
	}
	return string(append(b, '"'))
}

// unquote is the text that a canonical string stands for.
func unquote(q string) string {
	if !strings.Contains(q, `\`) {
		return q[1 : len(q)-1]
	}
	p := parser{s: q, i: 1}
	var b []byte
	for q[p.i] != '"' {
		if q[p.i] != '\\' {
			b = append(b, q[p.i])
			p.i++
			continue
		}
		r, err := p.escape()
		if err != nil { // canonical strings have no bad escape
			break
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}
