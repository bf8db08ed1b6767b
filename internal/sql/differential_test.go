package sql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
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

// TestDifferentialCovers: the generator makes every function whose value
// follows from the statement and the message, in the versions that have it.
func TestDifferentialCovers(t *testing.T) {
	made := map[string]bool{}
	for seed := range uint64(4000) {
		g := newGenerator(seed)
		sel, err := ParseStatement(g.statement(), nil)
		if err != nil {
			t.Fatal(err)
		}
		version := v16
		if g.legacy {
			version = v15
		}
		visitAll(sel, func(n Node) {
			if c, ok := n.(*Call); ok {
				made[c.Name+" "+version] = true
			}
		})
	}
	for name, sig := range signatures {
		_, outside := externals[name]
		if outside || name == "rand" || name == "newuuid" {
			continue
		}
		if !made[name+" "+v16] || sig.since == v15 && !made[name+" "+v15] {
			t.Errorf("%s is not called in every version that has it", name)
		}
	}
}

// visitAll calls f with every node of a statement.
func visitAll(s *Select, f func(Node)) {
	all := func(n Node) {
		if n == nil {
			return
		}
		visit(n, func(n Node) bool {
			f(n)
			switch n := n.(type) {
			case *Subquery:
				visitAll(n.Query, f)
			case *Exists:
				visitAll(n.Query, f)
			}
			return true
		})
	}
	for _, a := range s.Set {
		all(a.X)
	}
	for _, it := range s.Items {
		all(it.X)
	}
	all(s.Where)
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
	g := newGenerator(seed)
	text := g.statement()
	opts := &Options{}
	if g.legacy {
		opts.Version = v15
	}
	sel, err := ParseStatement(text, nil)
	if err != nil {
		return fmt.Errorf("seed %d: %s: %w", seed, text, err)
	}
	if again, err := ParseStatement(Print(sel), nil); err != nil || tree(again) != tree(sel) {
		return fmt.Errorf("seed %d: %s prints as %s: %w", seed, text, Print(sel), err)
	}
	st, err := CompileStatement(text, opts)
	if err != nil {
		return fmt.Errorf("seed %d: %s: %w", seed, text, err)
	}
	for range 4 {
		payload := g.payload()
		in := languageInput
		in.Payload = []byte(payload)
		if g.IntN(8) == 0 {
			in = Input{Payload: in.Payload, Topic: in.Topic, Time: in.Time} // as from elsewhere than MQTT
		}
		m := &nmessage{in: in, legacy: g.legacy, raw: payload, empty: payload == ""}
		if v, err := parseNaive(payload, g.legacy); err == nil && (v.kind == Object || v.kind == Array) {
			m.payload = v
		}
		want, matched, failed := m.run(sel)
		out, ok, err := st.Eval(context.Background(), &in)
		if errors.Is(err, ErrLimit) {
			continue
		}
		if (err != nil) != failed || ok != matched || !sameValue(string(out), want, g.legacy) {
			return fmt.Errorf("seed %d: %s\non %s\n got %s, %v, %v\nwant %s, %v, failed %v", seed, text, payload, out, ok, err, want, matched, failed)
		}
	}
	return nil
}

// sameJSON compares values, with members in their order; numbers may be
// spelt differently.
func sameJSON(a, b string) bool { return sameValue(a, b, false) }

// sameValue tells whole Decimals from Ints if legacy says so.
func sameValue(a, b string, legacy bool) bool {
	if a == b {
		return true
	}
	x, err1 := parseNaive(a, legacy)
	y, err2 := parseNaive(b, legacy)
	return err1 == nil && err2 == nil && a != "" && b != "" && x.json() == y.json()
}

// A generator makes random statements and payloads.
type generator struct {
	*rand.Rand
	vars  []string
	alias []string
	depth int // of queries around
	ask   bool
	// legacy leaves out what version 2015-10-08 lacks.
	legacy bool
}

// newGenerator makes one statement in four for the older version.
func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 7)), legacy: seed%4 == 3}
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
			if g.legacy {
				items = append(items, g.atom())
				break
			}
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
		return "CAST(" + g.expr(depth-1) + " AS " + g.pick("String", "Int", g.newer("Decimal", "Integer"), "Double", g.newer("Bool", "Text"), "nvarchar") + ")"
	case 8:
		return g.caseOf(depth)
	case 9:
		if !g.legacy {
			return g.array(depth)
		}
	case 10:
		if !g.legacy {
			return g.object(depth)
		}
	case 11:
		if !g.legacy {
			return g.query(depth)
		}
	}
	return g.call(depth)
}

// newer is what only the newer version has, or else other.
func (g *generator) newer(s, other string) string {
	if g.legacy {
		return other
	}
	return s
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
	one := g.pick("abs", "sign", "ceil", "floor", "round", "sqrt", "exp", "ln", "log", "acos", "asin", "atan", "cos", "sin", "tan", "cosh", "sinh", "tanh",
		"bitnot", "chr", "lower", "upper", "trim", "ltrim", "rtrim", "isnull", "topic", g.newer("isundefined", "abs"), g.newer("length", "trim"), g.newer("numbytes", "floor"),
		g.pick("md2", "md5", "sha1", "sha224", "sha256", "sha384", "sha512"))
	two := g.pick("mod", "remainder", "power", "atan2", "bitand", "bitor", "bitxor", "nanvl", "trunc", "endswith", "startswith", "lpad", "rpad",
		"get", "concat", "substring", g.newer("indexof", "mod"), g.newer("get_or_default", "nanvl"))
	switch g.IntN(11) {
	case 0, 1, 2:
		return one + "(" + arg() + ")"
	case 3, 4, 5:
		return two + "(" + arg() + ", " + arg() + ")"
	case 6:
		return g.pick("replace", "substring", "concat") + "(" + arg() + ", " + arg() + ", " + arg() + ")"
	case 7:
		re := g.pick("'a'", "'^.'", "'[0-9]+'", "'(x|y)z?'", "'('", "s", "t")
		if g.IntN(3) == 0 {
			by := g.pick("'-'", "'<$0>'", "'$1$1'", "'\\$'", "'$'", "'${n}'", "s", "t")
			return "regexp_replace(" + arg() + ", " + g.pick(re, "'(?P<n>.)(x)?'") + ", " + by + ")"
		}
		return g.pick("regexp_matches", "regexp_substr") + "(" + arg() + ", " + re + ")"
	case 8:
		return g.pick("topic()", "clientid()", "principal()", "sql_version()", "timestamp()", "accountid()", "traceid()", g.newer("sourceip()", "topic(2)"),
			g.newer("get_user_properties("+g.pick("", "'k'", "'x'", arg())+")", "topic(1)"),
			g.newer("get_mqtt_property("+g.pick("'content_type'", "'response_topic'", "'correlation_data'", "'format_indicator'", arg())+")", "timestamp()"))
	case 9:
		switch {
		case g.legacy:
			return one + "(" + arg() + ")"
		case g.IntN(4) == 0:
			return "encode(*, 'base64')"
		}
		return g.pick("encode("+arg()+", 'base64')", "decode(encode("+arg()+", 'base64'), 'base64')", "decode("+arg()+", 'base64')",
			"transform('enrichArray', "+g.pick("o", "{'q': a}")+", "+g.pick("l", "[{'w': 1}, o]", "nested.l")+")", g.time(depth))
	}
	return g.pick(one, two, "concat", g.newer("get_or_default", "upper")) + "(" + g.pick("", arg()+", "+arg()+", "+arg()+", "+arg()) + ")"
}

// time is a time written, read or both.
func (g *generator) time(depth int) string {
	when := g.pick("0", "-1", "1700000000123", "timestamp()", "951782399999", "-2208988800001", "1E12 + 0.7", g.expr(depth-1))
	if g.IntN(2) == 0 {
		pattern := g.pick("yyyy-MM-dd''T''HH:mm:ssZZ", "yyyy-MM-dd HH:mm:ss.SSS", "EEEE, d MMMM yyyy", "EEE dd.MM.yy hh:mm a", "yyyyDDD", "h ''o''''clock'' a Z", "")
		zone := g.pick("'UTC'", "'Europe/Paris'", "'Asia/Tokyo'", "'America/New_York'", "'nowhere'", "''", "s")
		return "parse_time('" + pattern + "', " + when + g.pick("", ", "+zone) + ")"
	}
	read := g.pick("uuuu-MM-dd HH:mm:ss.SSS", "uuuu-MM-dd''T''HH:mm:ssXXX", "d MMMM uuuu")
	text := g.pick("parse_time('yyyy-MM-dd HH:mm:ss.SSS', "+when+")", "'2024-02-29T23:59:59+05:30'", "'2023-11-05T00:00:00Z'", "'18 December 2015'", g.expr(depth-1))
	return "time_to_epoch(" + text + ", '" + read + "')"
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
		if g.IntN(16) == 0 { // the last counts
			members = append(members, space+`"`+k+`":`+g.value(depth-1))
		}
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
