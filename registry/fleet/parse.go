package fleet

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a query.
const (
	maxTerms         = 12
	maxLeadingLength = 100 // characters of a query with a leading wildcard
	maxQueryBytes    = 16 << 10
	maxNesting       = 100
)

// A SyntaxError says what is wrong with a query, and where.
type SyntaxError struct {
	Query  string
	Column int // from 1, in characters
	Reason string
}

// Error shows the place in the query, with what stands around it.
func (e *SyntaxError) Error() string {
	const around = 60
	text, at := []rune(e.Query), e.Column-1
	before, after := "", ""
	if at > around {
		text, at, before = text[at-around:], around, "..."
	}
	if len(text) > at+around {
		text, after = text[:at+around], "..."
	}
	return fmt.Sprintf("fleet: query column %d: %s\n\t%s%s%s\n\t%s^", e.Column, e.Reason, before, string(text), after, strings.Repeat(" ", len(before)+at))
}

// Parse compiles a query. Errors are *SyntaxError.
func Parse(query string) (*Query, error) {
	p := &parser{src: query}
	if len(query) > maxQueryBytes {
		return nil, &SyntaxError{Query: query[:0], Column: 1, Reason: fmt.Sprintf("has %d bytes, more than %d", len(query), maxQueryBytes)}
	}
	if !utf8.ValidString(query) {
		return nil, &SyntaxError{Query: strings.ToValidUTF8(query, "?"), Column: 1, Reason: "is not UTF-8"}
	}
	root, err := p.or("")
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(p.src) {
		return nil, p.errorAt(p.pos, "%q is not expected here", p.src[p.pos:p.pos+1])
	}
	if p.terms > maxTerms {
		return nil, p.errorAt(len(p.src), "has %d terms, more than %d", p.terms, maxTerms)
	}
	if n := utf8.RuneCountInString(query); p.leading > 0 && n > maxLeadingLength {
		return nil, p.errorAt(p.leadingAt, "a query with a leading wildcard has at most %d characters, not %d", maxLeadingLength, n)
	}
	return &Query{root: root, text: query, only: fieldsOf(root, []string{})}, nil
}

type parser struct {
	src       string
	pos       int
	depth     int
	terms     int
	leading   int // terms that begin with a wildcard
	leadingAt int
}

func (p *parser) errorAt(pos int, format string, args ...any) error {
	return &SyntaxError{Query: p.src, Column: 1 + utf8.RuneCountInString(p.src[:pos]), Reason: fmt.Sprintf(format, args...)}
}

func (p *parser) space() {
	for p.pos < len(p.src) {
		r, size := utf8.DecodeRuneInString(p.src[p.pos:])
		if !isSpace(r) {
			return
		}
		p.pos += size
	}
}

// peek is the next byte, or 0 at the end.
func (p *parser) peek() byte {
	if p.pos == len(p.src) {
		return 0
	}
	return p.src[p.pos]
}

// keyword takes an operator word if it comes next.
func (p *parser) keyword(w string) bool {
	rest, ok := strings.CutPrefix(p.src[p.pos:], w)
	if !ok || rest != "" && !isEnd(rest) {
		return false
	}
	p.pos += len(w)
	return true
}

// isEnd reports whether a word cannot go on with s.
func isEnd(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return isSpace(r) || strings.ContainsRune(`()[]{}"`, r)
}

// or reads alternatives. field is that of the parenthesis around, if any.
func (p *parser) or(field string) (node, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, p.errorAt(p.pos, "is nested deeper than %d", maxNesting)
	}
	defer func() { p.depth-- }()
	var list or
	for {
		n, err := p.and(field)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if p.space(); !p.keyword("OR") {
			break
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

func (p *parser) and(field string) (node, error) {
	var list and
	for {
		n, err := p.unary(field)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		p.space()
		if p.keyword("AND") {
			continue
		}
		at := p.pos
		if p.peek() == 0 || p.peek() == ')' || p.keyword("OR") {
			p.pos = at
			break
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

func (p *parser) unary(field string) (node, error) {
	negated := false
	for {
		p.space()
		if p.keyword("NOT") {
			negated = !negated
			continue
		}
		if p.peek() == '-' {
			p.pos++
			negated = !negated
			continue
		}
		break
	}
	n, err := p.atom(field)
	if err == nil && negated {
		n = not{n}
	}
	return n, err
}

func (p *parser) atom(field string) (node, error) {
	start := p.pos
	switch p.peek() {
	case 0:
		return nil, p.errorAt(p.pos, "ends where a term is expected")
	case '(':
		return p.group(field)
	case '[', '{', '"':
		return p.value(field)
	}
	for _, w := range []string{"AND", "OR"} {
		if p.keyword(w) {
			return nil, p.errorAt(start, "%s where a term is expected", w)
		}
	}
	w, err := p.word()
	if err != nil {
		return nil, err
	}
	after := p.pos
	p.space()
	switch c := p.peek(); {
	case c == ':' || c == '<' || c == '>':
		if field != "" {
			return nil, p.errorAt(p.pos, "a field within the values of %s", field)
		}
		if len(w.wildcards) > 0 {
			return nil, p.errorAt(start, "the name of a field has no wildcard")
		}
		if c != ':' {
			return p.comparison(w.text)
		}
		p.pos++
		p.space()
		return p.value(w.text)
	}
	p.pos = after
	return p.term(field, w)
}

func (p *parser) group(field string) (node, error) {
	open := p.pos
	p.pos++
	n, err := p.or(field)
	if err != nil {
		return nil, err
	}
	if p.space(); p.peek() != ')' {
		return nil, p.errorAt(open, "this parenthesis is not closed")
	}
	p.pos++
	return n, nil
}

// value reads what follows a colon.
func (p *parser) value(field string) (node, error) {
	switch p.peek() {
	case 0:
		return nil, p.errorAt(p.pos, "ends where a value is expected")
	case '(':
		return p.group(field)
	case '[', '{':
		return p.interval(field)
	case '"':
		text, err := p.quoted()
		if err != nil {
			return nil, err
		}
		p.terms++
		return leafNode{field, phraseOf(text)}, nil
	}
	w, err := p.word()
	if err != nil {
		return nil, err
	}
	return p.term(field, w)
}

// A rawWord is a word as it stands, with escapes resolved.
type rawWord struct {
	at        int
	text      string
	wildcards []int // positions in text, in bytes
}

// word reads up to a space or a character that means something.
func (p *parser) word() (rawWord, error) {
	w := rawWord{at: p.pos}
	var b strings.Builder
	for p.pos < len(p.src) {
		r, size := utf8.DecodeRuneInString(p.src[p.pos:])
		if isSpace(r) || strings.ContainsRune(`()[]{}":<>`, r) {
			break
		}
		switch r {
		case '\\':
			p.pos++
			if p.pos == len(p.src) {
				return w, p.errorAt(p.pos-1, "a backslash at the end")
			}
			r, size = utf8.DecodeRuneInString(p.src[p.pos:])
		case '~', '^':
			return w, p.errorAt(p.pos, "%q is not supported: escape it to mean the character", r)
		case '*', '?':
			w.wildcards = append(w.wildcards, b.Len())
		}
		b.WriteRune(r)
		p.pos += size
	}
	if w.text = b.String(); w.text == "" {
		return w, p.errorAt(w.at, "%q where a term is expected", p.src[w.at:w.at+1])
	}
	return w, nil
}

// term makes the node of a word.
func (p *parser) term(field string, w rawWord) (node, error) {
	if c := p.peek(); c == ':' || c == '<' || c == '>' {
		return nil, p.errorAt(p.pos, "%q within a term: escape it, or put the term in quotes", string(c))
	}
	p.terms++
	if w.text == "*" && len(w.wildcards) == 1 {
		if field == "" {
			return all{}, nil
		}
		return leafNode{field, exists{}}, nil
	}
	if len(w.wildcards) > 0 && w.wildcards[0] == 0 {
		if p.leading++; p.leading > 1 {
			return nil, p.errorAt(w.at, "a second term with a leading wildcard")
		}
		p.leadingAt = w.at
	}
	t := &word{plain: strings.ToLower(w.text), wild: len(w.wildcards) > 0}
	if !t.wild {
		if strings.ContainsFunc(w.text, isSpace) { // which was escaped: words in a row, as no word has a space
			words := phraseOf(w.text)
			if len(words) == 0 {
				return nil, p.errorAt(w.at, "a term of spaces alone")
			}
			return leafNode{field, words}, nil
		}
		t.number, t.isNumber = number(w.text)
		return leafNode{field, t}, nil
	}
	next := 0
	for i, r := range w.text {
		switch {
		case next < len(w.wildcards) && w.wildcards[next] == i:
			next++
			if r = anyOne; w.text[i] == '*' {
				r = anyRun
			}
		default:
			r = []rune(strings.ToLower(string(r)))[0]
		}
		t.pattern = append(t.pattern, r)
	}
	return leafNode{field, t}, nil
}

func phraseOf(text string) phrase { return strings.FieldsFunc(strings.ToLower(text), isSpace) }

// quoted reads a phrase.
func (p *parser) quoted() (string, error) {
	open := p.pos
	p.pos++
	var b strings.Builder
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		p.pos++
		switch {
		case c == '"':
			if strings.TrimFunc(b.String(), isSpace) == "" {
				return "", p.errorAt(open, "an empty phrase")
			}
			if p.peek() == '~' || p.peek() == '^' {
				return "", p.errorAt(p.pos, "%q is not supported", string(p.peek()))
			}
			return b.String(), nil
		case c == '\\' && p.pos < len(p.src):
			b.WriteByte(p.src[p.pos])
			p.pos++
		default:
			b.WriteByte(c)
		}
	}
	return "", p.errorAt(open, "these quotes are not closed")
}

// interval reads a range.
func (p *parser) interval(field string) (node, error) {
	open := p.pos
	r := &interval{numeric: true}
	r.low.exclusive = p.peek() == '{'
	p.pos++
	if err := p.bound(&r.low, &r.numeric); err != nil {
		return nil, err
	}
	if p.space(); !p.keyword("TO") {
		return nil, p.errorAt(p.pos, "TO is expected between the bounds")
	}
	if err := p.bound(&r.high, &r.numeric); err != nil {
		return nil, err
	}
	p.space()
	switch p.peek() {
	case ']':
	case '}':
		r.high.exclusive = true
	default:
		return nil, p.errorAt(open, "this range is not closed")
	}
	p.pos++
	p.terms++
	r.anything = r.low.open && r.high.open
	return leafNode{field, r}, nil
}

// bound reads one end of a range; numeric is cleared if it is a text.
func (p *parser) bound(b *bound, numeric *bool) error {
	p.space()
	if p.peek() == '"' {
		text, err := p.quoted()
		b.text, *numeric = strings.ToLower(text), false
		return err
	}
	if p.peek() == 0 {
		return p.errorAt(p.pos, "ends where a bound is expected")
	}
	w, err := p.word()
	if err != nil {
		return err
	}
	if w.text == "*" && len(w.wildcards) == 1 {
		b.open = true
		return nil
	}
	if len(w.wildcards) > 0 {
		return p.errorAt(w.at, "a bound has no wildcard")
	}
	b.text = strings.ToLower(w.text)
	var ok bool
	if b.number, ok = number(w.text); !ok {
		*numeric = false
	}
	return nil
}

// comparison reads field < term and its relatives.
func (p *parser) comparison(field string) (node, error) {
	less := p.peek() == '<'
	p.pos++
	equal := p.peek() == '='
	if equal {
		p.pos++
	}
	r := &interval{numeric: true, low: bound{open: true}, high: bound{open: true}}
	b := &r.low
	if less {
		b = &r.high
	}
	*b = bound{exclusive: !equal}
	at := p.pos
	if err := p.bound(b, &r.numeric); err != nil {
		return nil, err
	}
	if b.open {
		return nil, p.errorAt(at, "a comparison needs a value")
	}
	p.terms++
	return leafNode{field, r}, nil
}
