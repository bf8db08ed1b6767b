package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestOutsideArguments: every argument of a function that asks the outside
// arrives in its place; what does not convert makes the call Undefined, and
// nothing is asked.
func TestOutsideArguments(t *testing.T) {
	var asked []string
	note := func(format string, args ...any) (json.RawMessage, error) {
		asked = append(asked, fmt.Sprintf(format, args...))
		return json.RawMessage("1"), nil
	}
	opts := &CompileOptions{Funcs: &Funcs{
		Lambda: func(_ context.Context, arn string, in json.RawMessage) (json.RawMessage, error) {
			return note("lambda %s %s", arn, in)
		},
		Shadow: func(_ context.Context, thing, shadow, role string) (json.RawMessage, error) {
			return note("shadow %s %q %s", thing, shadow, role)
		},
		Registry: func(_ context.Context, api, thing, role string) (json.RawMessage, error) {
			return note("registry %s %s %s", api, thing, role)
		},
		DynamoDB: func(_ context.Context, q TableQuery) (json.RawMessage, error) {
			return note("table %s %s=%s %q=%s %s", q.Table, q.PartitionKey, q.PartitionValue, q.SortKey, q.SortValue, q.Role)
		},
		Secret: func(_ context.Context, id, kind, key, role string) (json.RawMessage, error) {
			return note("secret %s %s %q %s", id, kind, key, role)
		},
		Predict: func(_ context.Context, model, role string, record json.RawMessage) (json.RawMessage, error) {
			return note("predict %s %s %s", model, role, record)
		},
		Proto: func(_ context.Context, data []byte, s ProtoSchema) (json.RawMessage, error) {
			return note("proto %s %v", data, s)
		},
	}}
	for _, c := range []struct{ call, want string }{ // want empty: nothing is asked
		{"aws_lambda('f', a)", `lambda f 5`}, {"aws_lambda('f', missing)", `lambda f null`}, {"aws_lambda(missing, a)", ``}, {"aws_lambda(7, NULL)", `lambda 7 null`},
		{"get_thing_shadow('t', 'r')", `shadow t "" r`}, {"get_thing_shadow('t', 'n', 'r')", `shadow t "n" r`}, {"get_thing_shadow(a, 'r')", `shadow 5 "" r`}, {"get_thing_shadow('t', missing, 'r')", ``}, {"get_thing_shadow('t', NULL)", ``},
		{"get_registry_data('DescribeThing', 't', 'r')", `registry DescribeThing t r`}, {"get_registry_data('ListThingGroupsForThing', a, 'r')", `registry ListThingGroupsForThing 5 r`}, {"get_registry_data('DescribeThing', missing, 'r')", ``},
		{"get_dynamodb('t', 'k', a, 'r')", `table t k=5 ""= r`}, {"get_dynamodb('t', 'k', 'v', 's', 2.50, 'r')", `table t k="v" "s"=2.5 r`}, {"get_dynamodb('t', 'k', 1, 's', 2)", ``},
		{"get_dynamodb('t', 'k', missing, 'r')", ``}, {"get_dynamodb('t', 'k', 1, 's', missing, 'r')", ``}, {"get_dynamodb('t', missing, 1, 'r')", ``}, {"get_dynamodb('t', 'k', 1, missing, 2, 'r')", ``}, {"get_dynamodb('t', 'k', 1, 's', 2, NULL)", ``},
		{"get_secret('i', 'SecretString', 'r')", `secret i SecretString "" r`}, {"get_secret('i', 'SecretString', 'k', 'r')", `secret i SecretString "k" r`}, {"get_secret('i', 'SecretBinary', 'r')", `secret i SecretBinary "" r`},
		{"get_secret('i', 'Other', 'r')", ``}, {"get_secret(missing, 'SecretString', 'r')", ``}, {"get_secret('SecretString', 'i', 'r')", ``},
		{"machinelearning_predict('m', 'r', *)", `predict m r {"a":5,"o":"{\"b\":[1,2]}"}`}, {"machinelearning_predict('m', 'r', o)", `predict m r {"b":"[1,2]"}`}, {"machinelearning_predict('m', 'r', a)", ``}, {"machinelearning_predict('m', missing, o)", ``},
		{"decode('aGk=', 'proto', 'b', 'k', 'f', 'm')", `proto hi {b k f m}`}, {"decode(*, 'proto', 'b', 'k', 'f', a)", `proto {"a":5,"o":{"b":[1, 2]}} {b k f 5}`}, {"decode('aGk=', 'proto', 'b', missing, 'f', 'm')", ``},
	} {
		asked = nil
		want := map[bool]string{true: `{"r":1}`, false: `{}`}[c.want != ""]
		got := eval(t, opts, "SELECT "+c.call+" AS r FROM 'a/b'", `{"a":5,"o":{"b":[1, 2]}}`)
		if s := strings.Join(asked, "; "); s != c.want || got != want {
			t.Errorf("%s asks %s and is %s, want %s and %s", c.call, s, got, c.want, want)
		}
	}
	if got := eval(t, opts, "SELECT decode('?', 'proto', 'b', 'k', 'f', 'm') AS r FROM 'a/b'", `{}`); !strings.HasPrefix(got, "error: rules: decode(): the first argument is not base64") {
		t.Error(got)
	}
}

// TestUserFunctions: every type that a function of the user may take and
// return, and every one that it may not.
func TestUserFunctions(t *testing.T) {
	down := errors.New("down")
	fns := []Function{
		{Name: "nothing", Fn: func() string { return "x" }},
		{Name: "context", Fn: func(ctx context.Context) bool { return ctx != nil }},
		{Name: "text", Fn: func(s string) string { return s + "!" }},
		{Name: "float", Fn: func(f float64) float64 { return f / 2 }},
		{Name: "whole", Fn: func(i int64) int64 { return i * 2 }},
		{Name: "flag", Fn: func(b bool) bool { return !b }},
		{Name: "raw", Fn: func(r json.RawMessage) json.RawMessage { return r }},
		{Name: "both", Fn: func(_ context.Context, a, b string) (string, error) { return a + b, nil }},
		{Name: "fails", Fn: func(string) (int64, error) { return 1, down }},
		{Name: "broken", Fn: func() json.RawMessage { return json.RawMessage("{") }},
	}
	opts := &CompileOptions{Funcs: &Funcs{User: fns}}
	for _, c := range []struct{ call, want string }{
		{"nothing()", `{"r":"x"}`}, {"nothing(1)", `{}`}, {"context()", `{"r":true}`}, {"context(1)", `{}`}, {"text(a)", `{"r":"5!"}`}, {"text([1])", `{"r":"[1]!"}`}, {"text(missing)", `{}`}, {"text(NULL)", `{}`}, {"text()", `{}`}, {"text('a', 'b')", `{}`},
		{"float(a)", `{"r":2.5}`}, {"float('3')", `{"r":1.5}`}, {"float('x')", `{}`}, {"float(TRUE)", `{}`}, {"whole(a)", `{"r":10}`}, {"whole(2.9)", `{"r":4}`}, {"whole(1E30)", `{}`}, {"flag(TRUE)", `{"r":false}`}, {"flag('false')", `{"r":true}`}, {"flag(1)", `{}`},
		{"raw(d)", `{"r":1.10}`}, {"raw(d + 0)", `{"r":1.1}`}, {"raw(big)", `{"r":9007199254740993}`}, {"text(d)", `{"r":"1.1!"}`},
		{"raw(o)", `{"r":{"b":1}}`}, {"raw(missing)", `{}`}, {"raw(NULL)", `{"r":null}`}, {"both('a', 'b')", `{"r":"ab"}`}, {"both('a')", `{}`}, {"fails('a')", "error: rules: fails(): down"},
		{"get_or_default(fails('a'), 'd')", `{"r":"d"}`}, {"text(fails('a'))", "error: rules: fails(): down"},
	} {
		if got := eval(t, opts, "SELECT "+c.call+" AS r FROM 'a/b'", `{"a":5,"o":{"b":1},"d":1.10,"big":9007199254740993}`); got != c.want {
			t.Errorf("%s is %s, want %s", c.call, got, c.want)
		}
	}
	if got := eval(t, opts, "SELECT broken() AS r FROM 'a/b'", `{}`); !strings.HasPrefix(got, "error: rules: broken(): ") {
		t.Error(got)
	}
	for _, fn := range []any{nil, 5, func() {}, func() (string, string, error) { return "", "", nil }, func() (string, int) { return "", 0 }, func() int { return 0 }, func() error { return nil },
		func(int) string { return "" }, func(string, ...string) string { return "" }, func(string, context.Context) string { return "" }, (func() string)(nil), func([]byte) string { return "" }} {
		if _, err := Compile("SELECT 1", &CompileOptions{Funcs: &Funcs{User: []Function{{Name: "f", Fn: fn}}}}); err == nil {
			t.Errorf("%T is accepted", fn)
		}
	}
}

// TestFunctionDocs: functions of the user are documented as those of the
// language are, beside them.
func TestFunctionDocs(t *testing.T) {
	opts := &CompileOptions{Funcs: &Funcs{
		Shadow: func(context.Context, string, string, string) (json.RawMessage, error) { return nil, nil },
		User: []Function{
			{Name: "label", Doc: "a text so many times", Fn: func(_ context.Context, n int64, s string, raw json.RawMessage) (bool, error) { return false, nil }},
			{Name: "half", Fn: func(float64) json.RawMessage { return nil }},
		},
	}}
	all, err := Functions(opts)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]FunctionDoc{}
	for i, d := range all {
		if i > 0 && all[i-1].Name >= d.Name {
			t.Errorf("%s is out of order", d.Name)
		}
		got[d.Name] = d
	}
	for _, want := range []FunctionDoc{
		{"label", "label(int, str, any) bool", "a text so many times", ""},
		{"half", "half(num) any", "", ""},
		{"substring", "substring(str, num[, num]) str", "characters from an index, from 0, to before another or the end", Version2015},
		{"get_thing_shadow", "get_thing_shadow(str[, str], str) any", "shadow of a thing, the classic or a named one; role last", Version2016},
		{},
	} {
		if got[want.Name] != want {
			t.Errorf("%+v, want %+v", got[want.Name], want)
		}
	}
	if _, ok := got["get_secret"]; ok {
		t.Error("a function that nobody answers is documented")
	}
	if all, err := Functions(nil); err != nil || len(all) < 70 {
		t.Errorf("%d functions, %v", len(all), err)
	}
	if _, err := Functions(&CompileOptions{Funcs: &Funcs{User: []Function{{Name: "X"}}}}); err == nil {
		t.Error("a function that is none is documented")
	}
}

// TestUnanswered: the error of a function that nobody answers says what is
// missing.
func TestUnanswered(t *testing.T) {
	for call, missing := range map[string]string{
		"aws_lambda('f', 1)": "Funcs.Lambda", "get_thing_shadow('t', 'r')": "Funcs.Shadow", "get_registry_data('DescribeThing', 't', 'r')": "Funcs.Registry",
		"get_dynamodb('t', 'k', 1, 'r')": "Funcs.DynamoDB", "get_secret('i', 'SecretString', 'r')": "Funcs.Secret",
		"machinelearning_predict('m', 'r', *)": "Funcs.Predict", "decode(*, 'proto', 'b', 'k', 'f', 'm')": "Funcs.Proto, which the module contrib/rulesproto answers",
	} {
		_, err := Compile("SELECT "+call+" FROM 'a'", nil)
		var se *SyntaxError
		if !errors.As(err, &se) || se.Offset != len("SELECT ") || se.Expected != "the program to set CompileOptions."+missing {
			t.Errorf("%s: %v", call, err)
		}
	}
}
