package sql

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// compileHosted compiles an expression for a host that answers key, as slot 0,
// and avg(..), as slot 1.
func compileHosted(text string, hostErr error) (*Expr, []string, error) {
	var seen []string
	n, err := ParseExpr(text, nil)
	if err != nil {
		return nil, nil, err
	}
	x, err := CompileExpr(n, text, &ExprOptions{
		Host: func(n Node) (int, bool) {
			seen = append(seen, Print(n))
			switch n := n.(type) {
			case *Ident:
				return 0, n.Name == "key"
			case *Call:
				return 1, n.Name == "avg"
			}
			return 0, false
		},
		HostError: func() error { return hostErr },
	})
	return x, seen, err
}

// TestHostedExpr: what a host claims has its value, at any depth, and what is
// below is not compiled; without a value it is Undefined.
func TestHostedExpr(t *testing.T) {
	in := &Input{Payload: []byte(`{"a":5,"o":{"key":7}}`), Host: []Value{{kind: Object, s: `{"x":{"y":1}}`}, IntValue(3)}}
	for _, c := range []struct{ text, want, seen string }{
		{"key", `{"x":{"y":1}}`, "key"}, {"key.x.y", "1", "key.x.y key"}, {"avg(uper(b)) + a", "8", "avg(uper(b)) + a avg(uper(b)) a"}, {"o.key", "7", "o.key o"},
		{"[a, avg(1)]", "[5,3]", "[a, avg(1)] a avg(1)"}, {"a > avg(a)", "true", "a > avg(a) a avg(a)"}, {"*", `{"a":5,"o":{"key":7}}`, ""},
	} {
		text := c.text
		var x *Expr
		var seen []string
		var err error
		if text == "*" {
			x, err = CompileExpr(&Star{}, "*", nil)
		} else {
			x, seen, err = compileHosted(text, nil)
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := x.Eval(context.Background(), in)
		if err != nil || string(got.JSON()) != c.want || strings.Join(seen, " ") != c.seen {
			t.Errorf("%s is %s, %v, want %s; the host was asked for %q, want %q", text, got.JSON(), err, c.want, seen, c.seen)
		}
		if is, err := x.True(context.Background(), in); err != nil || is != (c.want == "true") {
			t.Errorf("%s is true: %v, %v", text, is, err)
		}
	}
	// What is handed out is in the one form, or as written if that says more.
	n, _ := ParseExpr("a", nil)
	for written, want := range map[string]string{"1.50": "1.5", "10.0": "10", "1e2000": "1e2000", `"\u0041"`: `"A"`, `[1.0, 2]`: `[1.0, 2]`, "12345678901234567890123456789012345": "12345678901234567890123456789012345"} {
		x, err := CompileExpr(n, "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := x.Eval(context.Background(), &Input{Payload: []byte(`{"a":` + written + `}`)}); err != nil || string(v.JSON()) != want {
			t.Errorf("%s is handed out as %s, %v, want %s", written, v.JSON(), err, want)
		}
	}
	x, _, err := compileHosted("[key, avg(1)]", nil)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := x.Eval(context.Background(), &Input{Host: []Value{IntValue(1)}}); err != nil || string(v.JSON()) != "[1]" {
		t.Errorf("%s, %v", v.JSON(), err)
	}
}

// TestExprErrors: the host's error comes first, then that of the compiler; a
// failure while evaluating gives no value.
func TestExprErrors(t *testing.T) {
	mine := errors.New("mine")
	if x, _, err := compileHosted("uper(a)", mine); err != mine || x != nil {
		t.Error(x, err)
	}
	if x, _, err := compileHosted("uper(a)", nil); !errors.As(err, new(*SyntaxError)) || x != nil {
		t.Error(x, err)
	}
	n, _ := ParseExpr("a", nil)
	if _, err := CompileExpr(n, "a", &ExprOptions{Options: Options{Version: "1"}}); err == nil {
		t.Error("an unknown version")
	}
	n, _ = ParseExpr("'true' + a", nil)
	x, err := CompileExpr(n, "'true' + a", &ExprOptions{Options: Options{MaxValueBytes: 5}})
	if err != nil {
		t.Fatal(err)
	}
	in := &Input{Payload: []byte(`{"a":"xx"}`)}
	if v, err := x.Eval(context.Background(), in); !errors.Is(err, ErrLimit) || v.Kind() != Undefined {
		t.Error(v, err)
	}
	if ok, err := x.True(context.Background(), in); !errors.Is(err, ErrLimit) || ok {
		t.Error(ok, err)
	}
	in.Payload = []byte(`{"a":""}`)
	if ok, err := x.True(context.Background(), in); err != nil || !ok {
		t.Error(ok, err)
	}
}

// TestParser: a host reads its own clauses around expressions; the first error
// sticks.
func TestParser(t *testing.T) {
	const text = "key EVERY 'x' , (a + 1) rest"
	p := NewParser(text, 4, nil)
	if p.Pos() != 4 || !p.AtKeyword("every") || p.Keyword("EVER") || !p.Keyword("Every") || p.AtPunct(",") {
		t.Fatal(p.Pos())
	}
	if s, err := p.Text(); s != "x" || err != nil {
		t.Fatal(s, err)
	}
	if err := p.ExpectPunct(","); err != nil || p.Punct(",") {
		t.Fatal(err)
	}
	if n, err := p.Expr(); err != nil || Print(n) != "a + 1" || p.AtEnd() {
		t.Fatal(err)
	}
	if w, err := p.Word(); w != "rest" || err != nil || !p.AtEnd() || p.Err() != nil {
		t.Fatal(w, err)
	}
	for name, c := range map[string]struct {
		text string
		read func(p *Parser) error
		want string
	}{
		"Text":          {"a", func(p *Parser) error { _, err := p.Text(); return err }, "line 1, column 1: unexpected a, expected a string in quotes"},
		"Word":          {"'a'", func(p *Parser) error { _, err := p.Word(); return err }, "line 1, column 1: unexpected string 'a', expected a name"},
		"Word, keyword": {"from", func(p *Parser) error { _, err := p.Word(); return err }, "line 1, column 1: the keyword FROM cannot be a name here, expected a name"},
		"ExpectKeyword": {"a", func(p *Parser) error { return p.ExpectKeyword("every") }, "line 1, column 1: unexpected a, expected EVERY"},
		"ExpectPunct":   {"a", func(p *Parser) error { return p.ExpectPunct(";") }, "line 1, column 1: unexpected a, expected ;"},
		"Expr":          {")", func(p *Parser) error { _, err := p.Expr(); return err }, "line 1, column 1: unexpected ), expected an expression"},
		"variable":      {"@a", func(p *Parser) error { return p.ExpectPunct(";") }, "line 1, column 1: unexpected variable @a, expected ;"},
	} {
		p := NewParser(c.text, 0, nil)
		err := c.read(p)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if _, err2 := p.Word(); err2 != err || p.Err() != err || p.AtEnd() || p.AtKeyword("a") || p.AtPunct(")") || p.ExpectPunct(",") != err || p.ExpectKeyword("a") != err {
			t.Errorf("%s: the error does not stick: %v", name, err2)
		}
		if _, err2 := p.Text(); err2 != err {
			t.Errorf("%s: %v after %v", name, err2, err)
		}
		if _, err2 := p.Expr(); err2 != err {
			t.Errorf("%s: %v after %v", name, err2, err)
		}
	}
	if _, err := ParseExpr("a b", nil); err == nil || err.Error() != "line 1, column 3: unexpected b, expected an operator or the end" {
		t.Error(err)
	}
	if _, err := ParseExpr("a +", nil); err == nil {
		t.Error("half an expression")
	}
	if e := NewParser("a\nb", 0, nil).Errorf(2, "x %d", 1); e.Error() != "line 2, column 1: x 1" {
		t.Error(e)
	}
}
