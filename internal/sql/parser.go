package sql

import (
	"fmt"
	"strings"
)

// A Parser reads a text token by token. ParseStatement uses one; hosts with a
// language of their own around the expressions, as window SQL, use its
// exported methods: Keyword, Word, Text and Punct for what is theirs, Expr
// for an expression, which ends before the first token that cannot belong to
// it.
//
// The first error sticks: every later method fails with it.
type Parser struct {
	text  string
	tok   token // the token ahead
	ahead token // the one after it, when peeked
	has   bool
	err   error

	depth, maxDepth int
	query, maxQuery int
}

// NewParser begins to read text at byte offset.
func NewParser(text string, offset int, opts *Options) *Parser {
	o := opts.withDefaults()
	p := &Parser{text: text, maxDepth: o.MaxDepth, maxQuery: o.MaxQueryDepth}
	if len(text) > o.MaxTextBytes {
		p.fail(syntaxError(text, o.MaxTextBytes, fmt.Sprintf("the text is longer than %d bytes", o.MaxTextBytes)))
		return p
	}
	p.tok, p.err = lex(text, offset)
	return p
}

func (p *Parser) fail(err error) {
	if p.err == nil && err != nil {
		p.err = err
	}
}

// Err is the first error, a *SyntaxError, or nil.
func (p *Parser) Err() error { return p.err }

// Pos is the byte offset of the token ahead.
func (p *Parser) Pos() int { return p.tok.pos }

// Errorf makes a *SyntaxError about the place pos.
func (p *Parser) Errorf(pos int, format string, args ...any) *SyntaxError {
	return syntaxError(p.text, pos, fmt.Sprintf(format, args...))
}

// Unexpected makes a *SyntaxError about the token ahead. Expected says what
// would have been right there.
func (p *Parser) Unexpected(expected string) *SyntaxError {
	return hint(syntaxError(p.text, p.tok.pos, "unexpected "+p.describe()), expected)
}

func (p *Parser) describe() string {
	switch p.tok.kind {
	case tokEOF:
		return "end of the text"
	case tokString:
		return "string " + p.text[p.tok.pos:p.tok.end]
	case tokVariable:
		return "variable @" + p.tok.val
	}
	return p.tok.val
}

func (p *Parser) next() {
	if p.err != nil {
		return
	}
	if p.has {
		p.tok, p.has = p.ahead, false
		return
	}
	t, err := lex(p.text, p.tok.end)
	if err != nil {
		p.fail(err)
		return
	}
	p.tok = t
}

// peek is the token after the one ahead.
func (p *Parser) peek() token {
	if !p.has && p.err == nil {
		t, err := lex(p.text, p.tok.end)
		if err != nil {
			// It is reported when it is reached; until then it is nothing
			// that a decision could hang on.
			return token{kind: tokPunct, pos: p.tok.end, end: p.tok.end}
		}
		p.ahead, p.has = t, true
	}
	return p.ahead
}

// AtEnd reports whether the whole text has been read.
func (p *Parser) AtEnd() bool { return p.err == nil && p.tok.kind == tokEOF }

// AtKeyword reports whether the word ahead is word, in any case.
func (p *Parser) AtKeyword(word string) bool {
	return p.err == nil && p.tok.kind == tokWord && strings.EqualFold(p.tok.val, word)
}

// AtPunct reports whether the token ahead is the punctuation s.
func (p *Parser) AtPunct(s string) bool {
	return p.err == nil && p.tok.kind == tokPunct && p.tok.val == s
}

// Keyword reads word, in any case, if it is ahead, and reports whether it was.
func (p *Parser) Keyword(word string) bool {
	if !p.AtKeyword(word) {
		return false
	}
	p.next()
	return true
}

// Punct reads the punctuation s if it is ahead, and reports whether it was.
func (p *Parser) Punct(s string) bool {
	if !p.AtPunct(s) {
		return false
	}
	p.next()
	return true
}

// ExpectKeyword reads word, or fails.
func (p *Parser) ExpectKeyword(word string) error {
	if !p.Keyword(word) {
		p.fail(p.Unexpected(strings.ToUpper(word)))
	}
	return p.err
}

// ExpectPunct reads the punctuation s, or fails.
func (p *Parser) ExpectPunct(s string) error {
	if !p.Punct(s) {
		p.fail(p.Unexpected(s))
	}
	return p.err
}

// Word reads a name that is not a keyword, or fails.
func (p *Parser) Word() (string, error) {
	switch {
	case p.err != nil:
	case p.tok.kind != tokWord:
		p.fail(p.Unexpected("a name"))
	case isKeyword(p.tok.val):
		p.fail(hint(p.Errorf(p.tok.pos, "the keyword %s cannot be a name here", strings.ToUpper(p.tok.val)), "a name"))
	default:
		w := p.tok.val
		p.next()
		return w, p.err
	}
	return "", p.err
}

// member reads the name after a point, where keywords are names too.
func (p *Parser) member() string {
	if p.err == nil && p.tok.kind != tokWord {
		p.fail(p.Unexpected("a name after the point"))
	}
	w := p.tok.val
	p.next()
	return w
}

// Text reads a string in quotes, or fails.
func (p *Parser) Text() (string, error) {
	if p.err == nil && p.tok.kind != tokString {
		p.fail(p.Unexpected("a string in quotes"))
	}
	if p.err != nil {
		return "", p.err
	}
	s := p.tok.val
	p.next()
	return s, p.err
}

// ParseStatement reads a whole rule statement.
func ParseStatement(text string, opts *Options) (*Select, error) {
	p := NewParser(text, 0, opts)
	s := p.statement()
	if p.err != nil {
		return nil, p.err
	}
	return s, nil
}

// ParseExpr reads text as one expression.
func ParseExpr(text string, opts *Options) (Node, error) {
	p := NewParser(text, 0, opts)
	n, err := p.Expr()
	if err == nil && !p.AtEnd() {
		err = p.Unexpected("an operator or the end")
	}
	if err != nil {
		return nil, err
	}
	return n, nil
}

// maxVariables is how many variables a SET clause declares at most.
const maxVariables = 10

func (p *Parser) statement() *Select {
	s := &Select{at: at(p.tok.pos)}
	if p.Keyword("SET") {
		p.set(s)
	}
	if p.err == nil && !p.AtKeyword("SELECT") {
		want := "SELECT"
		if s.Set == nil {
			want = "SELECT or SET"
		}
		p.fail(p.Unexpected(want))
	}
	p.projection(s)
	if p.Keyword("FROM") {
		s.FilterPos, s.HasFilter = p.tok.pos, true
		if p.err == nil && p.tok.kind != tokString {
			p.fail(p.Unexpected("a topic filter in single quotes"))
		}
		s.Filter, _ = p.Text()
	}
	if p.Keyword("WHERE") {
		s.Where = p.expr()
	}
	if p.err == nil && !p.AtEnd() {
		e := p.Unexpected("the end of the statement")
		switch {
		case s.Where != nil:
			e.Expected = "an operator or the end of the statement"
		case s.HasFilter:
			e.Expected = "WHERE or the end of the statement"
		default:
			e.Expected = "an operator, AS, a comma, FROM or WHERE"
		}
		p.fail(e)
	}
	return s
}

func (p *Parser) set(s *Select) {
	seen := map[string]bool{}
	for {
		if p.err == nil && p.tok.kind != tokVariable {
			p.fail(p.Unexpected("a variable, @name"))
		}
		if p.err != nil {
			return
		}
		a := Assign{at: at(p.tok.pos), Name: p.tok.val}
		switch {
		case seen[a.Name]:
			p.fail(p.Errorf(p.tok.pos, "variable @%s is assigned twice", a.Name))
		case len(s.Set) == maxVariables:
			p.fail(p.Errorf(p.tok.pos, "a statement has at most %d variables", maxVariables))
		}
		seen[a.Name] = true
		p.next()
		_ = p.ExpectPunct("=")
		a.X = p.expr()
		if p.err != nil {
			return
		}
		s.Set = append(s.Set, a)
		if !p.Punct(",") {
			break
		}
	}
	if p.AtKeyword("SET") {
		p.fail(hint(p.Errorf(p.tok.pos, "a statement has one SET clause"), "a comma or SELECT"))
	}
}

// projection reads SELECT and its list.
func (p *Parser) projection(s *Select) {
	_ = p.ExpectKeyword("SELECT")
	if p.AtKeyword("VALUE") && !p.valueIsName() {
		p.next()
		s.Value = true
		s.Items = []Item{{X: p.starOrExpr()}}
		if p.AtPunct(",") {
			p.fail(hint(p.Errorf(p.tok.pos, "SELECT VALUE has exactly one item"), "FROM"))
		}
		if p.AtKeyword("AS") {
			p.fail(hint(p.Errorf(p.tok.pos, "the item of SELECT VALUE has no name"), "FROM"))
		}
		return
	}
	for p.err == nil {
		it := Item{X: p.starOrExpr()}
		if p.Keyword("AS") {
			w, _ := p.Word()
			it.Alias = []string{w}
			for p.Punct(".") {
				it.Alias = append(it.Alias, p.member())
			}
		}
		s.Items = append(s.Items, it)
		if !p.Punct(",") {
			return
		}
	}
}

// valueIsName reports whether the VALUE ahead is an attribute's name: it is
// the keyword unless FROM, AS, a comma or a point follows.
func (p *Parser) valueIsName() bool {
	t := p.peek()
	switch t.kind {
	case tokWord:
		return strings.EqualFold(t.val, "FROM") || strings.EqualFold(t.val, "AS")
	case tokPunct:
		return t.val == "," || t.val == "."
	}
	return false
}

func (p *Parser) starOrExpr() Node {
	if p.AtPunct("*") {
		n := &Star{at(p.tok.pos)}
		p.next()
		return n
	}
	return p.expr()
}

// nested reads a query in parentheses, the first of which has been read.
func (p *Parser) nested() *Select {
	s := &Select{at: at(p.tok.pos)}
	if p.query++; p.query > p.maxQuery {
		p.fail(p.Errorf(p.tok.pos, "queries nest more than %d deep", p.maxQuery))
	}
	defer func() { p.query-- }()
	p.projection(s)
	_ = p.ExpectKeyword("FROM")
	s.Source = p.postfix()
	if p.Keyword("AS") {
		s.Alias, _ = p.Word()
	}
	if p.Keyword("WHERE") {
		s.Where = p.expr()
	}
	if p.err == nil && !p.AtPunct(")") {
		p.fail(p.Unexpected("AS, WHERE or )"))
	}
	p.next()
	return s
}
