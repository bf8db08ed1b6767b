package rules

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSyntaxErrorPlaces(t *testing.T) {
	for _, c := range []struct {
		sql                    string
		line, column           int
		msg, expected, nearest string
		caret                  string // the snippet
	}{
		{"SELECT uper(a) FROM 't'", 1, 8, "there is no function uper", "", "upper", "SELECT uper(a) FROM 't'\n       ^"},
		{"SELECT a\nFROM t/#", 2, 6, "unexpected t", "a topic filter in single quotes", "", "FROM t/#\n     ^"},
		{"SELECT a\n\tFROM 'a/#/b'", 2, 7, "topic", "", "", "\tFROM 'a/#/b'\n\t     ^"},
		{"SELECT 'é' == a FROM 't'", 1, 12, "there is no operator ==", "=", "", "SELECT 'é' == a FROM 't'\n           ^"},
		{"SELECT a FROM 't' WHERE a LIKE 'x'", 1, 27, "there is no operator LIKE", "isNull(), isUndefined(), regexp_matches() or a comparison", "", ""},
		{"SET @temp = 1 SELECT @tmp FROM 't'", 1, 22, "not declared", "", "temp", ""},
		{"SET @a = @a SELECT 1 FROM 't'", 1, 10, "not declared", "", "", ""},
		{"SELECT cast(a AS Strin) FROM 't'", 1, 18, "there is no type Strin", "String, Int, Double, Decimal or Boolean", "string", ""},
		{"SELECT a FROM 't' WHERE a < 1 < 2", 1, 31, "comparisons do not chain", "AND", "", ""},
		{"SELECT VALUE a, b FROM 't'", 1, 15, "exactly one item", "FROM", "", ""},
		{"SELECT `a` FROM 't'", 1, 8, "names cannot be quoted", "get(object, 'name')", "", ""},
		{"SELECT 1a FROM 't'", 1, 8, "a name cannot begin with a digit", "get(object, 'name')", "", ""},
		{"SELECT a FROM 'a/b/c/d/e/f/g/h/i'", 1, 15, "9 levels", "", "", ""},
		{"SELECT a FROM 'a/${topic(1)}'", 1, 15, "a topic filter has no substitutions", "", "", ""},
		{"SELECT " + strings.Repeat("(", 200) + "1 FROM 't'", 1, 108, "nests more than 100 deep", "", "", ""},
		{"SELECT get_thing_shadow('t', 'r') FROM 't'", 1, 8, "nothing answers get_thing_shadow()", "the program to set CompileOptions.Funcs.Shadow", "", ""},
		{"SELECT upper(*) FROM 't'", 1, 14, "* cannot be an argument", "", "", ""},
	} {
		_, err := Compile(c.sql, nil)
		var e *SyntaxError
		if !errors.As(err, &e) {
			t.Errorf("%q: %v, want a SyntaxError", c.sql, err)
			continue
		}
		if e.Line != c.line || e.Column != c.column || !strings.Contains(e.Msg, c.msg) || e.Expected != c.expected || e.Nearest != c.nearest {
			t.Errorf("%q: got %d:%d %q, expected %q, nearest %q", c.sql, e.Line, e.Column, e.Msg, e.Expected, e.Nearest)
		}
		if c.caret != "" && e.Snippet != c.caret {
			t.Errorf("%q: snippet\n%s\nwant\n%s", c.sql, e.Snippet, c.caret)
		}
	}
}

// eval is the output for a payload, "no match" or the error.
func eval(t *testing.T, opts *CompileOptions, statement, payload string) string {
	t.Helper()
	q, err := Compile(statement, opts)
	if err != nil {
		return "compile: " + err.Error()
	}
	out, matched, err := q.Eval(context.Background(), &Message{Topic: "a/b", Payload: []byte(payload), Time: time.UnixMilli(1)})
	switch {
	case err != nil:
		return "error: " + err.Error()
	case !matched:
		return "no match"
	}
	return string(out)
}

func TestEval(t *testing.T) {
	for _, c := range []struct{ name, sql, payload, want string }{
		{"large integers survive", "SELECT a, a + 0 AS b", `{"a":9007199254740993}`, `{"a":9007199254740993,"b":9007199254740993}`},
		{"whole decimals are written as integers", "SELECT a, 'v' + a AS b", `{"a":10.0}`, `{"a":10,"b":"v10"}`},
		{"decimals keep their text until arithmetic", "SELECT a, a * 1 AS b", `{"a":1.50}`, `{"a":1.50,"b":1.5}`},
		{"decimal arithmetic is exact", "SELECT a + 0.2 AS r", `{"a":0.1}`, `{"r":0.3}`},
		{"a third has 34 digits", "SELECT a / 3.5 AS r", `{"a":1}`, `{"r":0.2857142857142857142857142857142857}`},
		{"a number beyond the limits passes through", "SELECT a, a + 1 AS b, a > 1 AS c", `{"a":1e999999999}`, `{"a":1e999999999}`},
		{"the last of duplicate keys counts", "SELECT a, b.c AS c", `{"a":1,"b":{"c":1},"a":2,"b":{}}`, `{"a":2}`},
		{"escaped keys are found", "SELECT abc", `{"a\u0062c":1}`, `{"abc":1}`},
		{"a star merged keeps order, items replace in place", "SELECT *, 5 AS a, 6 AS z", `{"a":1,"b":2}`, `{"a":5,"b":2,"z":6}`},
		{"an Undefined item leaves what star has", "SELECT *, missing AS a", `{"a":1}`, `{"a":1}`},
		{"a later star wins", "SELECT 5 AS a, *", `{"a":1}`, `{"a":1}`},
		{"aliases merge", "SELECT 1 AS a.b, 2 AS a.c, 3 AS d", `{}`, `{"a":{"b":1,"c":2},"d":3}`},
		{"a dotted alias goes into what star has", "SELECT *, 2 AS a.c", `{"a":{"b":1}}`, `{"a":{"b":1,"c":2}}`},
		{"what is no object is replaced", "SELECT 1 AS a, 2 AS a.b", `{}`, `{"a":{"b":2}}`},
		{"default names", "SELECT 1, a.b, upper('x'), 2 + 3", `{"a":{"b":7}}`, `{"_1":1,"b":7,"upper":"X","_4":5}`},
		{"value is a name before FROM, AS, comma and point", "SELECT value, value AS v, value.a AS w", `{"value":{"a":1}}`, `{"value":{"a":1},"v":{"a":1},"w":1}`},
		{"keywords are members after a point", "SELECT my.value, state.end AS e", `{"my":{"value":1},"state":{"end":2}}`, `{"value":1,"e":2}`},
		{"names reach out of a query", "SELECT (SELECT n + base AS r FROM l) AS x", `{"base":10,"l":[{"n":1},{"n":2,"base":20}]}`, `{"x":[{"r":11},{"r":22}]}`},
		{"a query in a query", "SELECT (SELECT VALUE (SELECT VALUE a + b FROM o.m) FROM l AS o) AS x", `{"l":[{"b":1,"m":[{"a":1},{"a":2}]}]}`, `{"x":[[2,3]]}`},
		{"true OR Undefined is Undefined", "SELECT true OR missing AS r", `{}`, `{}`},
		{"division by zero", "SELECT 1 / 0 AS a, 1 % 0 AS b, 1.5 / 0.0 AS c", `{}`, `{}`},
		{"integers divide without fraction", "SELECT 7 / 2 AS a, -7 / 2 AS b, -7 % 2 AS c, 7 / 2.0 AS d", `{}`, `{"a":3,"b":-3,"c":-1,"d":3}`},
		{"bitnot is two's complement", "SELECT bitnot(13) AS r", `{}`, `{"r":-14}`},
		{"SELECT VALUE of nothing is empty", "SELECT VALUE missing", `{}`, ``},
		{"undefined elements are left out", "SELECT [1, missing, null] AS r", `{}`, `{"r":[1,null]}`},
		{"invalid UTF-8 is no JSON", "SELECT a", "{\"a\":\"\xff\"}", `{}`},
		{"trailing text is no JSON", "SELECT a", `{"a":1}x`, `{}`},
		{"a scalar is no JSON", "SELECT *", `80`, `80`},
		{"a merge with bytes fails", "SELECT *, 1 AS x", `80`, "error: rules: " + ErrNotJSON.Error()},
		{"NUL and escapes come back", `SELECT s + '' AS r`, `{"s":"a\u0000\n\"\\"}`, `{"r":"a\u0000\n\"\\"}`},
		{"a lone surrogate is replaced", "SELECT s + '' AS r", `{"s":"\ud800x"}`, "{\"r\":\"\uFFFDx\"}"},
		{"wrong counts are Undefined", "SELECT upper() AS a, upper('a', 'b') AS b, get('a') AS c", `{}`, `{}`},
		{"an illegal replacement is Undefined", "SELECT regexp_replace('a', 'a', '$2') AS a, regexp_replace('a', 'a', '\\$') AS b", `{}`, `{"b":"$"}`},
		{"smart dates clamp", "SELECT time_to_epoch('2021-02-31', 'yyyy-MM-dd') AS a, time_to_epoch('20210131', 'yyyyMMdd') AS b", `{}`, `{"a":1614470400000,"b":1612051200000}`},
		{"optional parts", "SELECT time_to_epoch('2021-06-01', \"uuuu-MM-dd['T'HH:mm[:ss]][XXX]\") AS a", `{}`, `{"a":1622505600000}`},
		{"half days", "SELECT time_to_epoch('1 Feb 2021 3:04 PM', 'd MMM yyyy h:mm a') AS a", `{}`, `{"a":1612191840000}`},
	} {
		if got := eval(t, nil, c.sql+" FROM 'a/b'", c.payload); got != c.want {
			t.Errorf("%s: %s on %s\n got %s\nwant %s", c.name, c.sql, c.payload, got, c.want)
		}
	}
}

func TestVersion2015(t *testing.T) {
	old := &CompileOptions{Version: Version2015}
	for _, c := range []struct{ sql, want string }{
		{"SELECT a, 'v' + a AS b, a + 1 AS c", `{"a":10.0,"b":"v10.0","c":11.0}`},
		{"SELECT VALUE l", ``},
		{"SELECT sql_version() AS v", `{"v":"2015-10-08"}`},
	} {
		if got := eval(t, old, c.sql+" FROM 'a/b'", `{"a":10.0,"l":[1]}`); got != c.want {
			t.Errorf("%s: got %s, want %s", c.sql, got, c.want)
		}
	}
	for _, sql := range []string{"SELECT [1] AS a", "SELECT {'a': 1} AS a", "SELECT (SELECT a FROM b) AS c", "SELECT length('a')",
		"SELECT encode(*, 'base64')", "SELECT cast(a AS Decimal)", "SELECT a IN (SELECT VALUE b FROM c)"} {
		var se *SyntaxError
		if _, err := Compile(sql+" FROM 'a/b'", old); !errors.As(err, &se) || !strings.Contains(se.Msg, "2016-03-23") {
			t.Errorf("%s: %v, want an error that names the version", sql, err)
		}
	}
	if _, err := Compile("SELECT 1", &CompileOptions{Version: "2017"}); err == nil {
		t.Error("an unknown version compiles")
	}
}

func TestOutsideFunctions(t *testing.T) {
	failing := errors.New("down")
	var asked []string
	opts := &CompileOptions{Funcs: &Funcs{
		Lambda: func(_ context.Context, arn string, in json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(`{"echo":` + string(in) + `}`), nil
		},
		Shadow: func(_ context.Context, thing, shadow, role string) (json.RawMessage, error) {
			asked = append(asked, thing+"/"+shadow+"/"+role)
			if thing == "down" {
				return nil, failing
			}
			return json.RawMessage(`{"state":{"reported":{"on":true}}}`), nil
		},
		Registry: func(_ context.Context, api, thing, role string) (json.RawMessage, error) {
			return json.RawMessage(`{"thingName":"` + thing + `"}`), nil
		},
		DynamoDB: func(_ context.Context, q TableQuery) (json.RawMessage, error) {
			return json.RawMessage(`{"limit":` + string(q.PartitionValue) + `}`), nil
		},
		Proto: func(_ context.Context, data []byte, s ProtoSchema) (json.RawMessage, error) {
			return json.RawMessage(`{"n":` + string(rune('0'+len(data))) + `}`), nil
		},
		Secret: func(context.Context, string, string, string, string) (json.RawMessage, error) {
			return json.RawMessage(`not json`), nil
		},
		User: []Function{
			{Name: "fahrenheit", Doc: "celsius to fahrenheit", Fn: func(c float64) float64 { return c*9/5 + 32 }},
			{Name: "burst", Fn: func() bool { panic("boom") }},
			{Name: "label", Fn: func(_ context.Context, n int64, s string, raw json.RawMessage) (string, error) {
				if n < 0 {
					return "", failing
				}
				return strings.Repeat(s, int(n)) + string(raw), nil
			}},
		},
	}}
	for _, c := range []struct{ sql, want string }{
		{"SELECT aws_lambda('arn', {'t': a}) AS r", `{"r":{"echo":{"t":5}}}`},
		{"SELECT aws_lambda('arn', *).echo.a AS r", `{"r":5}`},
		{"SELECT get_thing_shadow('x', 'role').state.reported.on AS r", `{"r":true}`},
		{"SELECT get_thing_shadow('x', 'name', 'role').state.reported.on AS r", `{"r":true}`},
		{"SELECT get_thing_shadow('down', 'role') AS r", "error: rules: get_thing_shadow(): down"},
		{"SELECT get_or_default(get_thing_shadow('down', 'role'), 'off') AS r", `{"r":"off"}`},
		{"SELECT get_thing_shadow(missing, 'role') AS r", `{}`},
		{"SELECT get_registry_data('DescribeThing', 'x', 'role').thingName AS r", `{"r":"x"}`},
		{"SELECT get_dynamodb('t', 'k', a, 'role').limit AS r WHERE get_dynamodb('t', 'k', 1, 'role').limit = 1", ""},
		{"SELECT get_dynamodb('t', 'k', a, 'role').limit AS r", `{"r":5}`},
		{"SELECT get_dynamodb('t', 'k', a, 'role').limit AS r, get_dynamodb('t', 'k', a, 'role') AS s", "error: rules: get_dynamodb(): called more often in one statement than the service allows"},
		{"SELECT decode(encode(*, 'base64'), 'proto', 'b', 'k', 'f', 'm').n AS r", `{"r":7}`},
		{"SELECT fahrenheit(a) AS r, fahrenheit('x') AS s, fahrenheit(1, 2) AS t", `{"r":41}`},
		{"SELECT label(2, 'ab', missing) AS r, label(1.9, a, [1]) AS s", `{"r":"abab","s":"5[1]"}`},
		{"SELECT label(-1, 'a', 1) AS r", "error: rules: label(): down"},
		{"SELECT burst() AS r", "error: rules: burst(): rules: panic: boom"},
	} {
		if c.want == "" {
			continue
		}
		if got := eval(t, opts, c.sql+" FROM 'a/b'", `{"a":5}`); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.sql, got, c.want)
		}
	}
	if want := "x/name/role"; !strings.Contains(strings.Join(asked, " "), want) {
		t.Errorf("asked for %q, want %s among them", asked, want)
	}
	q, err := Compile("SELECT burst() AS r FROM 'a'", opts)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = q.Eval(context.Background(), &Message{})
	var p *PanicError
	if !errors.As(err, &p) || len(p.Stack) == 0 || !errors.Is(err, ErrPanic) {
		t.Errorf("a panic gives %v", err)
	}
	for _, sql := range []string{
		"SELECT get_registry_data(api, 'x', 'role') AS r", "SELECT get_registry_data('Other', 'x', 'role') AS r",
		"SELECT get_or_default(a, get_thing_shadow('x', 'role')) AS r", "SET @r = 'x' SELECT get_thing_shadow('x', @r) AS r",
		"SET @m = 'enrichArray' SELECT transform(@m, a, b) AS r", "SELECT machinelearning_predict('m', 'r', *) AS r",
	} {
		var se *SyntaxError
		if _, err := Compile(sql+" FROM 'a/b'", opts); !errors.As(err, &se) {
			t.Errorf("%s: %v, want a SyntaxError", sql, err)
		}
	}
	for _, f := range []Function{{Name: "Upper", Fn: func() bool { return true }}, {Name: "upper", Fn: func() bool { return true }},
		{Name: "x", Fn: 5}, {Name: "x", Fn: func(int) bool { return true }}, {Name: "x", Fn: func() {}}, {Name: "x", Fn: func(...string) bool { return true }}} {
		if _, err := Compile("SELECT 1", &CompileOptions{Funcs: &Funcs{User: []Function{f}}}); err == nil {
			t.Errorf("function %q %T is accepted", f.Name, f.Fn)
		}
	}
}

// TestHostile: whatever takes too much time or memory ends with ErrLimit, or
// has an answer at once.
func TestHostile(t *testing.T) {
	long := strings.Repeat("a", 100<<10)
	for _, c := range []struct{ name, sql, payload, want string }{
		{"a replacement that multiplies", "SELECT replace(s, 'a', s) AS r", `{"s":"` + long + `"}`, "limit"},
		{"a regexp replacement that multiplies", "SELECT regexp_replace(s, 'a', s) AS r", `{"s":"` + long + `"}`, "limit"},
		{"a variable beyond its limit", "SET @a = s + s SELECT 1 AS r", `{"s":"` + long + `"}`, "limit"},
		{"queries that multiply", "SELECT (SELECT VALUE (SELECT VALUE (SELECT VALUE (SELECT VALUE 1 FROM l) FROM l) FROM l) FROM l) AS r",
			`{"l":[` + strings.Repeat("1,", 5000) + `1]}`, "limit"},
		{"deep nesting is no JSON", "SELECT a AS r, 1 AS k", `{"a":` + strings.Repeat("[", 1<<20), `{"k":1}`},
		{"513 levels are no JSON", "SELECT a AS r, 1 AS k", strings.Repeat(`{"a":`, 513) + "1" + strings.Repeat("}", 513), `{"k":1}`},
		{"a regexp that explodes elsewhere", "SELECT regexp_matches(s, '(a*)*(a*)*b') AS r", `{"s":"` + long + `"}`, `{"r":false}`},
		{"a long number", "SELECT a + 1 AS r", `{"a":` + strings.Repeat("9", 100<<10) + `}`, `{}`},
	} {
		got := eval(t, nil, c.sql+" FROM 'a/b'", c.payload)
		if c.want == "limit" {
			if !strings.Contains(got, ErrLimit.Error()) {
				t.Errorf("%s: got %.200s", c.name, got)
			}
		} else if got != c.want {
			t.Errorf("%s: got %.200s, want %s", c.name, got, c.want)
		}
	}
	if _, err := Compile("SELECT '"+strings.Repeat("x", 128<<10)+"' AS a FROM 't'", nil); err == nil {
		t.Error("a statement of more than 128 KiB compiles")
	}
	if got := eval(t, nil, "SELECT a"+strings.Repeat(" + a", 20000)+" AS r FROM 't'", `{"a":1}`); got != `{"r":20001}` {
		t.Errorf("a long chain: %.100s", got)
	}
}

// TestPredictRecord: the record of machinelearning_predict has one layer.
func TestPredictRecord(t *testing.T) {
	var record string
	opts := &CompileOptions{Funcs: &Funcs{Predict: func(_ context.Context, model, role string, r json.RawMessage) (json.RawMessage, error) {
		record = model + " " + role + " " + string(r)
		return json.RawMessage(`{"predictedLabel":"hot"}`), nil
	}}}
	for _, c := range []struct{ record, payload, want string }{
		{"*", `{"key1": {"innerKey1": "value1"}, "key2": 0}`, `m r {"key1":"{\"innerKey1\":\"value1\"}","key2":0}`},
		{"*", `{"l": [1, 2.50, "x"], "e": {}, "s": "a", "b": true, "n": null, "d": 1.50}`, `m r {"l":"[1,2.5,\"x\"]","e":"{}","s":"a","b":true,"n":null,"d":1.50}`},
		{"o", `{"o": {"a": {"b": {"c": 1}}, "a": [ ]}}`, `m r {"a":"[]"}`},
		{"{'t': t, 'deep': {'x': t}}", `{"t": 5}`, `m r {"t":5,"deep":"{\"x\":5}"}`},
		{"l", `{"l": [1]}`, ``},
		{"t", `{"t": 5}`, ``},
		{"missing", `{}`, ``},
	} {
		record = ""
		got := eval(t, opts, "SELECT machinelearning_predict('m', 'r', "+c.record+").predictedLabel AS label FROM 'a/b'", c.payload)
		want := `{"label":"hot"}`
		if c.want == "" {
			want = `{}`
		}
		if record != c.want || got != want {
			t.Errorf("%s of %s: record %s, output %s", c.record, c.payload, record, got)
		}
	}
}

func TestQueryConcurrent(t *testing.T) {
	q := mustCompile(t, "SET @z = upper(zone) SELECT parse_time('HH:mm', ts, zone) AS t, @z AS z, (SELECT VALUE v * 2 FROM l) AS d FROM 'a'")
	var wg sync.WaitGroup
	for i := range 8 {
		zone, want := "Asia/Tokyo", `{"t":"09:00","z":"ASIA/TOKYO","d":[2,4]}`
		if i%2 == 1 {
			zone, want = "UTC", `{"t":"00:00","z":"UTC","d":[2,4]}`
		}
		wg.Go(func() {
			for range 500 {
				out, _, err := q.Eval(context.Background(), &Message{Payload: []byte(`{"zone":"` + zone + `","ts":0,"l":[{"v":1},{"v":2}]}`)})
				if err != nil || string(out) != want {
					t.Errorf("got %s, %v, want %s", out, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestEvalVariables(t *testing.T) {
	q := mustCompile(t, "SET @a = x * 2, @b = missing, @c = {'k': x}, @d = d, @e = @d SELECT @a AS r FROM 't'")
	_, vars, matched, err := q.EvalVariables(context.Background(), &Message{Payload: []byte(`{"x":4,"d":1.10}`)})
	if err != nil || !matched || len(vars) != 5 {
		t.Fatalf("%v %v %v", vars, matched, err)
	}
	for i, want := range []string{"8", "", `{"k":4}`, "1.10", "1.10"} {
		if string(vars[i].Value) != want {
			t.Errorf("@%s is %s, want %s", vars[i].Name, vars[i].Value, want)
		}
	}
}
