package shadow

import (
	"fmt"
	"strings"
	"sync"
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

	open []node // of the arrays and objects that are being read, up to where they are
	room []node // what is left of the memory for those that have been read
}

func (p *parser) fail(what string) error { return &syntaxError{p.i, what} }

var parsers = sync.Pool{New: func() any { return &parser{open: make([]node, 0, 32)} }}

// parse reads the whole of s, which must be valid UTF-8.
func parse(s string) (n node, deep bool, err error) {
	p := parsers.Get().(*parser)
	p.s = s
	n, err = p.whole()
	deep = p.deep
	if cap(p.open) <= 1<<10 {
		clear(p.open[:cap(p.open)])
		*p = parser{open: p.open[:0]}
		parsers.Put(p)
	}
	return n, deep, err
}

func (p *parser) whole() (n node, err error) {
	p.space()
	if n, err = p.value(0); err != nil {
		return n, err
	}
	p.space()
	if p.i < len(p.s) {
		return n, p.fail("text after the value")
	}
	return n, nil
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

func (p *parser) value(depth int) (n node, err error) {
	if p.i >= len(p.s) {
		return n, p.fail("unexpected end")
	}
	if depth > maxNesting {
		p.deep = true
		return n, p.fail("nested too deeply")
	}
	switch c := p.s[p.i]; {
	case c == '{':
		n.kind = object
		n.kids, err = p.object(depth)
		return n, err
	case c == '[':
		n.kind = array
		n.kids, err = p.array(depth)
		return n, err
	case c == '"':
		n.kind = text
		n.text, err = p.str()
		return n, err
	case c == '-' || c >= '0' && c <= '9':
		n.kind = number
		n.text, err = p.number()
		return n, err
	case c == 't':
		return p.word("true", boolean)
	case c == 'f':
		return p.word("false", boolean)
	case c == 'n':
		return p.word("null", null)
	}
	return n, p.fail("unexpected character")
}

func (p *parser) word(w string, k kind) (n node, err error) {
	if !strings.HasPrefix(p.s[p.i:], w) {
		return n, p.fail("unexpected character")
	}
	p.i += len(w)
	return node{kind: k, text: w}, nil
}

// close takes the open values from the one at from on for the children of a node. They lie in one piece of memory with
// those of other nodes, which they do not grow into.
func (p *parser) close(from int) []node {
	n := len(p.open) - from
	if n > len(p.room) {
		p.room = make([]node, max(n, min(strings.Count(p.s, ":"), 64))) // as many as there are members, mostly
	}
	kids := p.room[:n:n]
	copy(kids, p.open[from:])
	p.open, p.room = p.open[:from], p.room[n:]
	return kids
}

func (p *parser) array(depth int) (kids []node, err error) {
	from := len(p.open)
	p.i++
	p.space()
	if p.i < len(p.s) && p.s[p.i] == ']' {
		p.i++
		return nil, nil
	}
	for {
		p.space()
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		p.open = append(p.open, v)
		if more, err := p.more(']'); !more {
			return p.close(from), err
		}
	}
}

func (p *parser) object(depth int) (kids []node, err error) {
	from := len(p.open)
	p.i++
	p.space()
	if p.i < len(p.s) && p.s[p.i] == '}' {
		p.i++
		return nil, nil
	}
	var seen map[string]int // built once linear search would cost
	for {
		p.space()
		if p.i >= len(p.s) || p.s[p.i] != '"' {
			return nil, p.fail("expected a member name")
		}
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		p.space()
		if p.i >= len(p.s) || p.s[p.i] != ':' {
			return nil, p.fail("expected a colon")
		}
		p.i++
		p.space()
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		v.key = key
		read := p.open[from:]
		if seen == nil && len(read) > linear {
			seen = index(read)
		}
		j := -1
		if seen == nil {
			j = search(read, key)
		} else if k, ok := seen[key]; ok {
			j = k
		}
		switch {
		case j >= 0:
			read[j] = v
		default:
			if seen != nil {
				seen[key] = len(read)
			}
			p.open = append(p.open, v)
		}
		if more, err := p.more('}'); !more {
			return p.close(from), err
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

func (p *parser) number() (string, error) {
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
		return "", p.fail("expected a digit")
	}
	if p.i < len(p.s) && p.s[p.i] == '.' {
		p.i++
		if !digits() {
			return "", p.fail("expected a digit")
		}
	}
	if p.i < len(p.s) && (p.s[p.i] == 'e' || p.s[p.i] == 'E') {
		p.i++
		if p.i < len(p.s) && (p.s[p.i] == '+' || p.s[p.i] == '-') {
			p.i++
		}
		if !digits() {
			return "", p.fail("expected a digit")
		}
	}
	return p.s[start:p.i], nil
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
