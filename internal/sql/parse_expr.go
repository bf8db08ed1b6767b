package sql

import (
	"maps"
	"strings"
)

// Expr reads an expression. It ends before the first token that cannot
// belong to it, as FROM, a comma or a closing bracket.
func (p *Parser) Expr() (Node, error) {
	n := p.expr()
	if p.err != nil {
		return nil, p.err
	}
	return n, nil
}

// enter counts one level of nesting, which leave takes back.
func (p *Parser) enter() bool {
	if p.depth++; p.depth > p.maxDepth {
		p.fail(p.Errorf(p.tok.pos, "the expression nests more than %d deep", p.maxDepth))
	}
	return p.err == nil
}

func (p *Parser) leave() { p.depth-- }

// expr and what follows return a node, or nil when p.err is set.
func (p *Parser) expr() Node {
	if !p.enter() {
		return nil
	}
	defer p.leave()
	l := p.and()
	for p.AtKeyword("OR") {
		l = p.binary("OR", l, p.and)
	}
	return l
}

func (p *Parser) binary(op string, l Node, right func() Node) Node {
	pos := p.tok.pos
	p.next()
	return &Binary{at(pos), op, l, right()}
}

func (p *Parser) and() Node {
	l := p.not()
	for p.AtKeyword("AND") {
		l = p.binary("AND", l, p.not)
	}
	return l
}

func (p *Parser) not() Node {
	if !p.AtKeyword("NOT") {
		return p.compare()
	}
	if !p.enter() {
		return nil
	}
	defer p.leave()
	pos := p.tok.pos
	p.next()
	return &Unary{at(pos), "NOT", p.not()}
}

func (p *Parser) compare() Node {
	l := p.additive()
	if p.err != nil {
		return nil
	}
	switch p.tok.kind {
	case tokPunct:
		if op := p.tok.val; isComparison(op) {
			n := p.binary(op, l, p.additive)
			if p.err == nil && p.tok.kind == tokPunct && isComparison(p.tok.val) {
				p.fail(hint(p.Errorf(p.tok.pos, "comparisons do not chain"), "AND"))
			}
			return n
		}
	case tokWord:
		switch {
		case p.AtKeyword("IN"):
			return p.binary("IN", l, p.additive)
		case p.AtKeyword("NOT"):
			pos := p.tok.pos
			p.next()
			if !p.AtKeyword("IN") {
				p.fail(p.Unexpected("IN after NOT"))
				return nil
			}
			n := p.binary("NOT IN", l, p.additive)
			if b, ok := n.(*Binary); ok {
				b.at = at(pos)
			}
			return n
		case p.AtKeyword("LIKE"), p.AtKeyword("IS"), p.AtKeyword("BETWEEN"):
			p.fail(hint(p.Errorf(p.tok.pos, "there is no operator %s", strings.ToUpper(p.tok.val)),
				"isNull(), isUndefined(), regexp_matches() or a comparison"))
			return nil
		}
	}
	return l
}

func isComparison(op string) bool {
	switch op {
	case "=", "<>", "<", "<=", ">", ">=":
		return true
	}
	return false
}

func (p *Parser) additive() Node {
	l := p.multiplicative()
	for p.AtPunct("+") || p.AtPunct("-") {
		l = p.binary(p.tok.val, l, p.multiplicative)
	}
	return l
}

func (p *Parser) multiplicative() Node {
	l := p.unary()
	for p.AtPunct("*") || p.AtPunct("/") || p.AtPunct("%") {
		l = p.binary(p.tok.val, l, p.unary)
	}
	return l
}

func (p *Parser) unary() Node {
	if !p.AtPunct("-") {
		return p.postfix()
	}
	if !p.enter() {
		return nil
	}
	defer p.leave()
	pos := p.tok.pos
	p.next()
	return &Unary{at(pos), "-", p.unary()}
}

func (p *Parser) postfix() Node {
	n := p.primary()
	for p.AtPunct(".") {
		pos := p.tok.pos
		p.next()
		n = &Member{at(pos), n, p.member()}
	}
	if p.err != nil {
		return nil
	}
	return n
}

func (p *Parser) primary() Node {
	if p.err != nil {
		return nil
	}
	t := p.tok
	pos := at(t.pos)
	switch t.kind {
	case tokNumber:
		p.next()
		return &NumberLit{pos, t.val}
	case tokString:
		p.next()
		return &StringLit{pos, t.val}
	case tokVariable:
		p.next()
		return &VarRef{pos, t.val}
	case tokWord:
		return p.word(t)
	case tokPunct:
		switch t.val {
		case "(":
			return p.parenthesis(t)
		case "[":
			p.next()
			return &ArrayLit{pos, p.list("]", p.expr)}
		case "{":
			p.next()
			return &ObjectLit{pos, p.pairs()}
		}
	}
	p.fail(p.Unexpected("an expression"))
	return nil
}

func (p *Parser) parenthesis(t token) Node {
	p.next()
	if p.AtKeyword("SELECT") {
		if !p.enter() {
			return nil
		}
		defer p.leave()
		return &Subquery{at(t.pos), p.nested()}
	}
	n := p.expr()
	_ = p.ExpectPunct(")")
	return n
}

func (p *Parser) word(t token) Node {
	pos := at(t.pos)
	if !isKeyword(t.val) {
		p.next()
		if p.Punct("(") {
			return &Call{pos, strings.ToLower(t.val), p.list(")", p.starOrExpr)}
		}
		return &Ident{pos, t.val}
	}
	switch strings.ToUpper(t.val) {
	case "TRUE", "FALSE":
		p.next()
		return &BoolLit{pos, t.val[0]|0x20 == 't'}
	case "NULL":
		p.next()
		return &NullLit{pos}
	case "CAST":
		return p.cast(pos)
	case "CASE":
		return p.caseOf(pos)
	case "EXISTS":
		p.next()
		_ = p.ExpectPunct("(")
		if p.err == nil && !p.AtKeyword("SELECT") {
			p.fail(p.Unexpected("SELECT"))
		}
		if !p.enter() {
			return nil
		}
		defer p.leave()
		return &Exists{pos, p.nested()}
	}
	p.fail(p.Unexpected("an expression"))
	return nil
}

func (p *Parser) cast(pos at) Node {
	p.next()
	_ = p.ExpectPunct("(")
	x := p.expr()
	_ = p.ExpectKeyword("AS")
	where := p.tok.pos
	w, _ := p.Word()
	name := strings.ToLower(w)
	if _, ok := castTypes[name]; !ok && p.err == nil {
		e := hint(p.Errorf(where, "there is no type %s", w), "String, Int, Double, Decimal or Boolean")
		e.Nearest = nearest(name, maps.Keys(castTypes))
		p.fail(e)
	}
	_ = p.ExpectPunct(")")
	return &Cast{pos, x, name}
}

func (p *Parser) caseOf(pos at) Node {
	p.next()
	if p.AtKeyword("WHEN") {
		p.fail(hint(p.Errorf(p.tok.pos, "CASE WHEN condition is not part of the language"), "CASE value WHEN value THEN result END"))
		return nil
	}
	n := &Case{at: pos, X: p.expr()}
	for p.Keyword("WHEN") {
		var a Arm
		a.When = p.expr()
		_ = p.ExpectKeyword("THEN")
		a.Then = p.expr()
		n.Arms = append(n.Arms, a)
	}
	if p.err == nil && n.Arms == nil {
		p.fail(p.Unexpected("WHEN"))
	}
	if p.Keyword("ELSE") {
		n.Else = p.expr()
	}
	if !p.Keyword("END") {
		want := "WHEN, ELSE or END"
		if n.Else != nil {
			want = "END"
		}
		p.fail(p.Unexpected(want))
	}
	return n
}

// list reads elements up to the closing bracket.
func (p *Parser) list(closing string, elem func() Node) []Node {
	var all []Node
	if p.Punct(closing) {
		return nil
	}
	for p.err == nil {
		all = append(all, elem())
		if p.Punct(closing) {
			return all
		}
		if !p.Punct(",") {
			p.fail(p.Unexpected("an operator, a comma or " + closing))
		}
	}
	return nil
}

func (p *Parser) pairs() []Pair {
	var all []Pair
	if p.Punct("}") {
		return nil
	}
	for p.err == nil {
		if p.tok.kind != tokString {
			p.fail(p.Unexpected("a key in quotes"))
			return nil
		}
		k := p.tok.val
		p.next()
		_ = p.ExpectPunct(":")
		all = append(all, Pair{k, p.starOrExpr()})
		if p.Punct("}") {
			return all
		}
		if !p.Punct(",") {
			p.fail(p.Unexpected("a comma or }"))
		}
	}
	return nil
}
