package sql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestDifferential: on random statements and payloads the compiled program and
// the naive interpreter agree.
func TestDifferential(t *testing.T) {
	n := 4000
	if testing.Short() {
		n = 1000
	}
	for seed := range n {
		if err := differ(uint64(seed)); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzDifferential(f *testing.F) {
	f.Fuzz(func(t *testing.T, seed uint64) {
		if err := differ(seed + 1<<32); err != nil {
			t.Fatal(err)
		}
	})
}

// differ makes a statement and some messages of a seed and compares.
func differ(seed uint64) error {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 7))}
	text := g.statement()
	sel, err := ParseStatement(text, nil)
	if err != nil {
		return fmt.Errorf("seed %d: %s: %w", seed, text, err)
	}
	st, err := CompileStatement(text, nil)
	if err != nil {
		return fmt.Errorf("seed %d: %s: %w", seed, text, err)
	}
	for range 4 {
		payload := g.payload()
		m := &nmessage{topic: "a/b/c", raw: payload, empty: payload == ""}
		if v, err := parseNaive(payload); err == nil && (v.kind == Object || v.kind == Array) {
			m.payload = v
		}
		want, matched, failed := m.run(sel)
		out, ok, err := st.Eval(context.Background(), &Input{Payload: []byte(payload), Topic: "a/b/c", Time: time.UnixMilli(1700000000123)})
		if errors.Is(err, ErrLimit) {
			continue
		}
		if (err != nil) != failed || ok != matched || !sameJSON(string(out), want) {
			return fmt.Errorf("seed %d: %s\non %s\n got %s, %v, %v\nwant %s, %v, failed %v", seed, text, payload, out, ok, err, want, matched, failed)
		}
	}
	return nil
}

// sameJSON compares values, with members in their order; numbers may be
// spelt differently.
func sameJSON(a, b string) bool {
	if a == b {
		return true
	}
	x, err1 := parseNaive(a)
	y, err2 := parseNaive(b)
	return err1 == nil && err2 == nil && a != "" && b != "" && x.json() == y.json()
}

// A generator makes random statements and payloads.
type generator struct {
	*rand.Rand
	vars  []string
	alias []string
	depth int // of queries around
	ask   bool
}

func (g *generator) pick(s ...string) string { return s[g.IntN(len(s))] }

func (g *generator) statement() string {
	var b strings.Builder
	if g.IntN(4) == 0 {
		b.WriteString("SET ")
		for i := range 1 + g.IntN(2) {
			if i > 0 {
				b.WriteString(", ")
			}
			name := fmt.Sprintf("v%d", i)
			fmt.Fprintf(&b, "@%s = %s", name, g.expr(3))
			g.vars = append(g.vars, name)
		}
		b.WriteByte(' ')
	}
	b.WriteString("SELECT " + g.projection(3))
	b.WriteString(" FROM 'a/#'")
	if g.IntN(3) > 0 {
		b.WriteString(" WHERE " + g.condition(3))
	}
	return b.String()
}

func (g *generator) projection(depth int) string {
	switch g.IntN(6) {
	case 0:
		return "*"
	case 1:
		return "VALUE " + g.expr(depth)
	}
	var items []string
	for range 1 + g.IntN(3) {
		switch g.IntN(10) {
		case 0:
			items = append(items, "*")
		case 1:
			items = append(items, "* AS "+g.pick("x", "a.y"))
		case 2:
			items = append(items, g.object(depth))
		case 3, 4:
			items = append(items, g.expr(depth))
		default:
			items = append(items, g.expr(depth)+" AS "+g.pick("x", "y", "a", "x.y", "x.y.z", "a.b", "s"))
		}
	}
	return strings.Join(items, ", ")
}

func (g *generator) condition(depth int) string {
	if g.ask && g.IntN(5) == 0 {
		return "ask(" + g.pick("TRUE", "FALSE", "NULL", "missing", g.operand(depth)) + ")"
	}
	if depth <= 0 {
		return g.atom()
	}
	switch g.IntN(8) {
	case 0, 1:
		return g.condition(depth-1) + " AND " + g.condition(depth-1)
	case 2:
		return "(" + g.condition(depth-1) + " OR " + g.condition(depth-1) + ")"
	case 3:
		return "NOT " + "(" + g.condition(depth-1) + ")"
	case 4:
		return g.operand(depth) + g.pick(" IN ", " NOT IN ") + g.operand(depth)
	}
	return g.operand(depth) + g.pick(" = ", " <> ", " < ", " <= ", " > ", " >= ") + g.operand(depth)
}

func (g *generator) operand(depth int) string {
	if g.IntN(2) == 0 {
		return g.atom()
	}
	return "(" + g.expr(depth-1) + ")"
}

func (g *generator) expr(depth int) string {
	if depth <= 0 {
		return g.atom()
	}
	switch g.IntN(16) {
	case 0, 1:
		return g.atom()
	case 2, 3, 4:
		return g.operand(depth) + g.pick(" + ", " - ", " * ", " / ", " % ") + g.operand(depth)
	case 5:
		return "-" + g.operand(depth)
	case 6:
		return "(" + g.condition(depth-1) + ")"
	case 7:
		return "CAST(" + g.expr(depth-1) + " AS " + g.pick("String", "Int", "Decimal", "Double", "Bool", "nvarchar") + ")"
	case 8:
		return g.caseOf(depth)
	case 9:
		return g.array(depth)
	case 10:
		return g.object(depth)
	case 11:
		return g.query(depth)
	}
	return g.call(depth)
}

func (g *generator) caseOf(depth int) string {
	s := "CASE " + g.expr(depth-1)
	for range 1 + g.IntN(3) {
		s += " WHEN " + g.operand(depth) + " THEN " + g.expr(depth-1)
	}
	if g.IntN(2) == 0 {
		s += " ELSE " + g.expr(depth-1)
	}
	return s + " END"
}

func (g *generator) array(depth int) string {
	elems := make([]string, g.IntN(4))
	for i := range elems {
		elems[i] = g.expr(depth - 1)
	}
	return "[" + strings.Join(elems, ", ") + "]"
}

func (g *generator) object(depth int) string {
	pairs := make([]string, g.IntN(3))
	for i := range pairs {
		v := g.expr(depth - 1)
		if g.IntN(8) == 0 {
			v = "*"
		}
		pairs[i] = "'" + g.pick("k", "x", "a", "é") + "': " + v
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

func (g *generator) query(depth int) string {
	source := g.pick("l", "o", "a", "nested.l", "x", "s", "[1, {'n': 2}, l]", "({'n': 1, 'm': a})")
	if len(g.vars) > 0 && g.IntN(3) == 0 {
		source = "@" + g.vars[g.IntN(len(g.vars))]
	}
	as := ""
	n := len(g.alias)
	if g.IntN(2) == 0 {
		name := g.pick("e", "a", "f")
		as = " AS " + name
		g.alias = append(g.alias, name)
	}
	g.depth++
	defer func() { g.depth-- }()
	s := "SELECT " + g.projection(depth-1) + " FROM " + source + as
	if g.IntN(2) == 0 {
		s += " WHERE " + g.condition(depth-1)
	}
	g.alias = g.alias[:n]
	if g.IntN(4) == 0 {
		return "EXISTS (" + s + ")"
	}
	return "(" + s + ")" + g.pick("", "", ".n", ".x.y")
}

func (g *generator) atom() string {
	switch g.IntN(12) {
	case 0, 1:
		return g.pick("0", "1", "2", "3", "2.5", "0.1", "10", "1E3", "7", "0.0000001", "123456789012345678", "1E20", "3.00", "99999999999999999999.5")
	case 2:
		return g.pick("''", "'a'", "'3'", "'-2.5'", "'TRUE'", "'false'", "'1E2'", "'xyz'", "'é€'", "'base64'", "' b '", "'[1]'", "'5.'")
	case 3:
		return g.pick("TRUE", "FALSE", "NULL")
	case 4:
		if len(g.vars) > 0 {
			return "@" + g.vars[g.IntN(len(g.vars))] + g.pick("", "", ".x", ".n.m")
		}
	case 5:
		if len(g.alias) > 0 {
			return g.alias[g.IntN(len(g.alias))] + g.pick("", "", ".n", ".o.x")
		}
	}
	return g.pick("a", "b", "x", "s", "t", "n", "l", "o", "nested", "missing", "o.x", "o.n", "nested.l", "nested.o.x", "a.b", "s.t", "m")
}

func (g *generator) call(depth int) string {
	arg := func() string { return g.expr(depth - 1) }
	one := g.pick("abs", "sign", "ceil", "floor", "round", "sqrt", "sin", "exp", "ln", "log", "acos", "atan", "tanh", "bitnot", "chr", "length", "numbytes",
		"lower", "upper", "trim", "ltrim", "rtrim", "md5", "sha1", "sha256", "isnull", "isundefined", "topic")
	two := g.pick("mod", "remainder", "power", "bitand", "bitor", "bitxor", "nanvl", "trunc", "endswith", "startswith", "indexof", "lpad", "rpad",
		"get", "get_or_default", "concat", "substring")
	switch g.IntN(10) {
	case 0, 1, 2:
		return one + "(" + arg() + ")"
	case 3, 4, 5:
		return two + "(" + arg() + ", " + arg() + ")"
	case 6:
		return g.pick("replace", "substring", "concat") + "(" + arg() + ", " + arg() + ", " + arg() + ")"
	case 7:
		re := g.pick("'a'", "'^.'", "'[0-9]+'", "'(x|y)z?'", "'('", "s", "t")
		return g.pick("regexp_matches", "regexp_substr") + "(" + arg() + ", " + re + ")"
	case 8:
		if g.depth == 0 && g.IntN(4) == 0 {
			return "encode(*, 'base64')" // of an element it is the text as it stands
		}
		return g.pick("encode("+arg()+", 'base64')", "decode(encode("+arg()+", 'base64'), 'base64')", "decode("+arg()+", 'base64')",
			"transform('enrichArray', "+g.pick("o", "{'q': a}")+", "+g.pick("l", "[{'w': 1}, o]", "nested.l")+")", "topic()", "clientid()", "principal()", "sql_version()", "timestamp()")
	}
	return g.pick(one, two, "concat", "get_or_default") + "(" + g.pick("", arg()+", "+arg()+", "+arg()+", "+arg()) + ")"
}

func (g *generator) payload() string {
	switch g.IntN(20) {
	case 0:
		return ""
	case 1:
		return g.pick("80", `"x"`, "{", "hello", "null", "\x00\x01", `{"a":1}}`, " [1, {\"n\":2}] ", "[]", "[[1],2]")
	}
	return g.objectJSON(3, "a", "b", "x", "s", "t", "n", "l", "o", "nested", "m")
}

func (g *generator) objectJSON(depth int, keys ...string) string {
	space := g.pick("", "", " ", "\n\t")
	var members []string
	for _, k := range keys {
		if g.IntN(4) == 0 {
			continue
		}
		v := g.value(depth - 1)
		switch {
		case k == "l" && g.IntN(4) > 0:
			v = g.list(depth - 1)
		case (k == "o" || k == "nested") && depth > 0 && g.IntN(4) > 0:
			v = g.objectJSON(depth-1, "x", "n", "l", "o", "m", "é")
		}
		members = append(members, space+`"`+strings.ReplaceAll(k, "m", g.pick("m", "\\u006d"))+`":`+space+v)
	}
	g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, ",") + space + "}"
}

func (g *generator) list(depth int) string {
	elems := make([]string, g.IntN(4))
	for i := range elems {
		if elems[i] = g.value(depth); g.IntN(2) == 0 {
			elems[i] = g.objectJSON(depth, "n", "x", "o", "m")
		}
	}
	return "[" + strings.Join(elems, g.pick(",", " , ")) + "]"
}

func (g *generator) value(depth int) string {
	switch g.IntN(9) {
	case 0, 1, 2:
		return g.pick("0", "-0", "1", "2", "3", "-1", "10.0", "2.5", "-2.5", "1e2", "1.50", "9007199254740993", "0.1", "1E-9", "123456789012345678901234567890",
			"0.00000001", "12345678.000", "1e40", "5e-1")
	case 3, 4, 5:
		return g.pick(`""`, `"a"`, `"3"`, `"-2.5"`, `"true"`, `"False"`, `"1E2"`, `"xyz"`, `"é€"`, `"a\"b\\"`, `"\u0041\n"`, `" b "`, `"eyJhIjoxfQ=="`, `"aGk="`, `"\ud83d\ude00"`)
	case 6:
		return g.pick("true", "false", "null")
	case 7:
		if depth > 0 {
			return g.list(depth - 1)
		}
	case 8:
		if depth > 0 {
			return g.objectJSON(depth-1, "x", "n", "b")
		}
	}
	return "7"
}
