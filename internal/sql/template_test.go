package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestTemplates: what a text with substitutions becomes.
func TestTemplates(t *testing.T) {
	for _, c := range []struct{ text, want string }{ // want: the text, or error and what
		{"", ""}, {"plain", "plain"}, {"$5 $ {x} $", "$5 $ {x} $"}, {"$${i}", "$5"}, {"${i}", "5"}, {"a${i}b${s}c", "a5babcc"}, {"${i}${n}", "5-7"}, {"${ i }", "5"}, {"${\ni\n}", "5"},
		{"${missing}x", "x"}, {"${nul}x", "x"}, {"${t}/${f}", "true/false"}, {"${arr}", `[1,"two",null,[3],{"k":4}]`}, {"${obj}", `{"a":1,"b":{"c":"x"}}`}, {"${1.50}${10.0}", "1.510"}, {"${big}", "9007199254740993"},
		{"${get({'}': 'x'}, '}')}y", "xy"}, {"${'}'}", "}"}, {"${'${'}", "${"}, {"${\"a'b\"}", "a'b"}, {"${{'a': {'b': 1}}.a.b}", "1"}, {"${topic(2)}/${clientid()}", "b/c1"}, {"${(SELECT VALUE v FROM list)}", "[1,2]"},
		{"${CASE i WHEN 5 THEN 'five' END}", "five"}, {"${@v}", "value"}, {"${@o.k}", "1"}, {"${@none}x", "x"}, {"${@o.none}x", "x"}, {"${floor(timestamp() / 1E3)}", "1700000000"}, {"${u}é", "é€😀xé"},
		{"${}", "error line 1, column 3: unexpected }, expected an expression"}, {"${", "error line 1, column 3: unexpected end of the text, expected an expression"}, {"a${i", "error line 1, column 5: unexpected end of the text, expected an operator or }"},
		{"${i j}", "error line 1, column 5: unexpected j, expected an operator or }"}, {"${uper(s)}", "error line 1, column 3: there is no function uper, did you mean upper?"}, {"ok ${i} ${*}", "error line 1, column 11: unexpected *, expected an expression"}, {"a\n${i +}", "error line 2, column 6: unexpected }, expected an expression"},
		{"${'a}", "error line 1, column 3: a string that does not end, expected '"}, {"${SELECT a}", "error line 1, column 3: unexpected SELECT"}, {"${i;}", "error line 1, column 4: unexpected character ';'"},
	} {
		tmpl, err := CompileTemplate(c.text, nil)
		if wrong, isErr := strings.CutPrefix(c.want, "error "); isErr {
			if err == nil || !strings.HasPrefix(err.Error(), wrong) {
				t.Errorf("%q: %v, want %s", c.text, err, wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		in := languageInput
		in.Payload = []byte(languagePayload + "}")
		in.Variables = []Variable{{"x", IntValue(9)}, {"v", StringValue("value")}, {"o", Value{kind: Object, s: `{"k":1}`}}}
		got, err := tmpl.Expand(context.Background(), &in)
		if err != nil || got != c.want || tmpl.Text() != c.text {
			t.Errorf("%q is %q, %v, want %q", c.text, got, err, c.want)
		}
		if konst, ok := tmpl.Constant(); ok && konst != c.want {
			t.Errorf("%q is always %q, want %q", c.text, konst, c.want)
		} else if plain := !strings.Contains(c.text, "${"); plain && !ok {
			t.Errorf("%q is not constant", c.text)
		}
	}
}

// TestTemplateVariables: which names a template uses, and which it may.
func TestTemplateVariables(t *testing.T) {
	tmpl, err := CompileTemplate("${@a}${@b.c}${@a}${(SELECT VALUE @d FROM x)}", nil)
	if err != nil || !slices.Equal(tmpl.Variables(), []string{"a", "b", "d"}) {
		t.Errorf("%v, %v", tmpl.Variables(), err)
	}
	_, err = CompileTemplate("x ${@a}", &TemplateOptions{Variables: []string{"a", "b"}})
	if err != nil {
		t.Error(err)
	}
	_, err = CompileTemplate("x ${1 + @c}", &TemplateOptions{Variables: []string{"a", "b"}})
	if err == nil || !strings.Contains(err.Error(), "variable @c is not declared") {
		t.Error(err)
	}
	if _, err := CompileTemplate("x", &TemplateOptions{Options: Options{Version: "1"}}); err == nil || !strings.Contains(err.Error(), `unknown version "1"`) {
		t.Error(err)
	}
}

// TestTemplateFailures: what fails in a template fails the expansion, and it
// stays within its limits.
func TestTemplateFailures(t *testing.T) {
	down := errors.New("down")
	opts := Options{MaxValueBytes: 100, Functions: []Function{{Name: "ask", Call: func(context.Context, []Value) (Value, error) { return Value{}, down }},
		{Name: "burst", Call: func(context.Context, []Value) (Value, error) { panic("boom") }}}}
	for text, want := range map[string]error{"${ask()}": down, "a${s}${s}": nil, strings.Repeat("${s}", 4): ErrLimit, "${s + s + s + s}": ErrLimit, "${get_or_default(ask(), 'd')}": nil,
		"${ask()}${get_or_default(ask(), 'd')}": down, "${[ask(), get_or_default(ask(), 'd')]}": down, "${get_or_default(s + s + s + s, 'd')}": ErrLimit} {
		tmpl, err := CompileTemplate(text, &TemplateOptions{Options: opts})
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.Expand(context.Background(), &Input{Payload: []byte(`{"s":"` + strings.Repeat("x", 30) + `"}`)})
		if !errors.Is(err, want) || want == nil != (err == nil) || err != nil && got != "" {
			t.Errorf("%s: %q, %v, want %v", text, got, err, want)
		}
	}
	tmpl, err := CompileTemplate("${burst()}", &TemplateOptions{Options: opts})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tmpl.Expand(context.Background(), new(Input))
	var p *PanicError
	var f *FunctionError
	if !errors.As(err, &p) || fmt.Sprint(p.Value) != "boom" || p.Error() != "panic: boom" || len(p.Stack) == 0 || !errors.As(err, &f) || f.Function != "burst" || err.Error() != "burst(): panic: boom" {
		t.Error(err)
	}
}
