package sql

import "strings"

// Print writes a statement, or a node, in one canonical spelling: keywords in
// upper case, one space, strings in single quotes, parentheses only where the
// precedence of the operators needs them. What it writes parses to the same
// tree.
func Print(n Node) string {
	var p printer
	if s, ok := n.(*Select); ok {
		p.query(s)
	} else {
		p.node(n, precOr)
	}
	return p.String()
}

type printer struct{ strings.Builder }

// Precedences, loosest first.
const (
	precOr = iota + 1
	precAnd
	precNot
	precCompare
	precAdd
	precMul
	precMinus
	precPrimary
)

func precedence(n Node) int {
	switch n := n.(type) {
	case *Unary:
		if n.Op == "NOT" {
			return precNot
		}
		return precMinus
	case *Binary:
		switch n.Op {
		case "OR":
			return precOr
		case "AND":
			return precAnd
		case "+", "-":
			return precAdd
		case "*", "/", "%":
			return precMul
		}
		return precCompare
	}
	return precPrimary
}

// node writes n where something at least as tight as least must stand.
func (p *printer) node(n Node, least int) {
	prec := precedence(n)
	if prec < least {
		p.WriteByte('(')
		defer p.WriteByte(')')
	}
	switch n := n.(type) {
	case *NumberLit:
		p.WriteString(n.Text)
	case *StringLit:
		p.quoted(n.Value)
	case *BoolLit:
		if n.Value {
			p.WriteString("TRUE")
		} else {
			p.WriteString("FALSE")
		}
	case *NullLit:
		p.WriteString("NULL")
	case *Star:
		p.WriteByte('*')
	case *Ident:
		p.WriteString(n.Name)
	case *VarRef:
		p.WriteString("@" + n.Name)
	case *Member:
		if x, ok := n.X.(*NumberLit); ok {
			p.WriteString("(" + x.Text + ")") // 1.a is no number
		} else {
			p.node(n.X, precPrimary)
		}
		p.WriteString("." + n.Name)
	case *Unary:
		if n.Op == "NOT" {
			p.WriteString("NOT ")
			p.node(n.X, precNot)
		} else {
			p.WriteByte('-')
			p.node(n.X, precMinus)
		}
	case *Binary:
		// Operators associate to the left, and comparisons not at all.
		left := prec
		if prec == precCompare {
			left = precAdd
		}
		p.node(n.L, left)
		p.WriteString(" " + n.Op + " ")
		p.node(n.R, max(prec+1, left))
	case *Call:
		p.WriteString(n.Name)
		p.WriteByte('(')
		p.list(n.Args)
		p.WriteByte(')')
	case *Cast:
		p.WriteString("CAST(")
		p.node(n.X, precOr)
		p.WriteString(" AS " + n.Type + ")")
	case *Case:
		p.caseOf(n)
	case *ArrayLit:
		p.WriteByte('[')
		p.list(n.Elems)
		p.WriteByte(']')
	case *ObjectLit:
		p.WriteByte('{')
		for i, m := range n.Pairs {
			p.comma(i)
			p.quoted(m.Key)
			p.WriteString(": ")
			p.node(m.Value, precOr)
		}
		p.WriteByte('}')
	case *Subquery:
		p.WriteByte('(')
		p.query(n.Query)
		p.WriteByte(')')
	case *Exists:
		p.WriteString("EXISTS (")
		p.query(n.Query)
		p.WriteByte(')')
	}
}

func (p *printer) comma(i int) {
	if i > 0 {
		p.WriteString(", ")
	}
}

func (p *printer) list(nodes []Node) {
	for i, n := range nodes {
		p.comma(i)
		p.node(n, precOr)
	}
}

func (p *printer) quoted(s string) {
	p.WriteString("'" + strings.ReplaceAll(s, "'", "''") + "'")
}

func (p *printer) caseOf(n *Case) {
	p.WriteString("CASE ")
	p.node(n.X, precOr)
	for _, a := range n.Arms {
		p.WriteString(" WHEN ")
		p.node(a.When, precOr)
		p.WriteString(" THEN ")
		p.node(a.Then, precOr)
	}
	if n.Else != nil {
		p.WriteString(" ELSE ")
		p.node(n.Else, precOr)
	}
	p.WriteString(" END")
}

func (p *printer) query(s *Select) {
	for i, a := range s.Set {
		if i == 0 {
			p.WriteString("SET ")
		}
		p.comma(i)
		p.WriteString("@" + a.Name + " = ")
		p.node(a.X, precOr)
	}
	if s.Set != nil {
		p.WriteByte(' ')
	}
	p.WriteString("SELECT ")
	if s.Value {
		p.WriteString("VALUE ")
	}
	for i, it := range s.Items {
		p.comma(i)
		p.node(it.X, precOr)
		if it.Alias != nil {
			p.WriteString(" AS " + strings.Join(it.Alias, "."))
		}
	}
	switch {
	case s.HasFilter:
		p.WriteString(" FROM ")
		p.quoted(s.Filter)
	case s.Source != nil:
		p.WriteString(" FROM ")
		p.node(s.Source, precPrimary)
	}
	if s.Alias != "" {
		p.WriteString(" AS " + s.Alias)
	}
	if s.Where != nil {
		p.WriteString(" WHERE ")
		p.node(s.Where, precOr)
	}
}
