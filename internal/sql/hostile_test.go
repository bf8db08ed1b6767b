package sql

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// hostile evaluates and says what came of it: the output, "no match", or the
// error.
func hostile(t *testing.T, statement, payload string) string {
	t.Helper()
	st, err := CompileStatement(statement, nil)
	if err != nil {
		return "compile: " + err.Error()
	}
	in := &Input{Payload: []byte(payload), Topic: "a/b"}
	out, matched, err := st.Eval(context.Background(), in)
	switch {
	case errors.Is(err, ErrLimit):
		return "limit"
	case err != nil:
		return "error: " + err.Error()
	case !matched:
		return "no match"
	}
	return string(out)
}

// TestHostileInput: the answers to payloads that are made to hurt, as the
// package comments of sql and rules give them.
func TestHostileInput(t *testing.T) {
	nines := strings.Repeat("9", 1_000_000)
	long := strings.Repeat("a", 128<<10)
	list := func(elem string, n int) string { return "[" + strings.Repeat(elem+",", n-1) + elem + "]" }
	for _, c := range []struct{ name, sql, payload, want string }{
		// Bytes that are not UTF-8.
		{"an overlong NUL", "SELECT a, 1 AS k", "{\"a\":\"\xc0\x80\"}", `{"k":1}`},
		{"half of a character", "SELECT a, 1 AS k", "{\"a\":\"\xe2\x82\"}", `{"k":1}`},
		{"a surrogate in UTF-8", "SELECT a, 1 AS k", "{\"a\":\"\xed\xa0\x80\"}", `{"k":1}`},
		{"beyond Unicode", "SELECT a, 1 AS k", "{\"a\":\"\xf4\x90\x80\x80\"}", `{"k":1}`},
		{"in a name", "SELECT a, 1 AS k", "{\"\xff\":1,\"a\":2}", `{"k":1}`},
		{"behind what decides", "SELECT 1 AS k WHERE a = 1", "{\"a\":2,\"b\":\"\xff\"}", `no match`},
		{"behind what holds", "SELECT 1 AS k WHERE a = 2", "{\"a\":2,\"b\":\"\xff\"}", `no match`},
		{"a byte order mark", "SELECT a, 1 AS k", "\ufeff{\"a\":1}", `{"k":1}`},
		{"SELECT * passes any bytes", "SELECT *", "\xff\xfe\x00", "\xff\xfe\x00"},
		{"UTF-16", "SELECT a, 1 AS k", "{\x00\"\x00a\x00\"\x00:\x001\x00}\x00", `{"k":1}`},

		// NUL bytes.
		{"NUL as space", "SELECT a, 1 AS k", "{\"a\":1\x00}", `{"k":1}`},
		{"NUL at the end", "SELECT a, 1 AS k", "{\"a\":1}\x00", `{"k":1}`},
		{"NUL in a string", "SELECT a, 1 AS k", "{\"a\":\"\x00\"}", `{"k":1}`},
		{"NUL as an escape", "SELECT a + 'x' AS a, length(a) AS n", `{"a":"\u0000"}`, `{"a":"\u0000x","n":1}`},
		{"NUL in a name", "SELECT get(o, k) AS v", `{"o":{"a\u0000":1,"a":2},"k":"a\u0000"}`, `{"v":1}`},

		// Deep nesting.
		{"512 levels", "SELECT 1 AS k, isUndefined(a) AS u", strings.Repeat(`{"a":`, 512) + "1" + strings.Repeat("}", 512), `{"k":1,"u":false}`},
		{"513 levels", "SELECT 1 AS k, isUndefined(a) AS u", strings.Repeat(`{"a":`, 513) + "1" + strings.Repeat("}", 513), `{"k":1,"u":true}`},
		{"512 arrays", "SELECT 1 AS k, isUndefined(a) AS u", `{"a":` + strings.Repeat("[", 511) + strings.Repeat("]", 511) + "}", `{"k":1,"u":false}`},
		{"513 with arrays", "SELECT 1 AS k, isUndefined(a) AS u", `{"a":` + strings.Repeat("[", 512) + strings.Repeat("]", 512) + "}", `{"k":1,"u":true}`},
		{"513 in what nobody asks for", "SELECT 1 AS k, isUndefined(a) AS u", `{"a":1,"b":` + strings.Repeat("[", 512) + strings.Repeat("]", 512) + "}", `{"k":1,"u":true}`},
		{"600 levels and a path as deep", "SELECT 1 AS k, a" + strings.Repeat(".a", 599) + " AS v", strings.Repeat(`{"a":`, 600) + "1" + strings.Repeat("}", 600), `{"k":1}`},
		{"512 levels and a path as deep", "SELECT 1 AS k, a" + strings.Repeat(".a", 511) + " AS v", strings.Repeat(`{"a":`, 512) + "1" + strings.Repeat("}", 512), `{"k":1,"v":1}`},
		{"a million brackets", "SELECT 1 AS k, isUndefined(a) AS u", `{"a":` + strings.Repeat("[", 1_000_000), `{"k":1,"u":true}`},
		{"decoded nesting", "SELECT VALUE isUndefined(get(decode(encode(s, 'base64'), 'base64'), 0))", `{"s":"` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `"}`, `false`}, // a String: its first character
		{"equal depths", "SELECT VALUE a = b", `{"a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,"b":` + strings.Repeat("[", 499) + "1" + strings.Repeat("]", 499) + `}`, `false`},

		// Huge numbers.
		{"an exponent beyond the limits", "SELECT a, a + 0 AS b, a > 1 AS c, a = a AS d, '' + a AS e, -a AS f, abs(a) AS g, CAST(a AS Bool) AS h, a IN [1] AS i, floor(a) AS j", `{"a":1e999999999}`,
			`{"a":1e999999999,"d":true,"e":"1e999999999","h":true,"i":false}`},
		{"an exponent of many digits", "SELECT a, a * 0 AS b", `{"a":-1E+99999999999999999999999999999999}`, `{"a":-1E+99999999999999999999999999999999}`},
		{"a tiny exponent", "SELECT a, a + 0 AS b, a > 0 AS c, a = 0 AS d", `{"a":1e-999999999}`, `{"a":1e-999999999,"b":0,"c":false,"d":true}`},
		{"zero with an exponent", "SELECT a + 1 AS b", `{"a":0e999999999999}`, `{"b":1}`},
		{"a million digits in order", "SELECT a > 1 AS c, a + 1 AS b, length('' + a) AS n", `{"a":` + nines + `}`, `{"n":1000000}`},
		{"a million digits behind the point", "SELECT a > 0.9 AS c, a + 1 AS b", `{"a":0.` + nines + `}`, `{"c":true,"b":2}`},
		{"a million zeros", "SELECT a + 1 AS b", `{"a":0.` + strings.Repeat("0", 1_000_000) + `}`, `{"b":1}`},
		{"two that differ at the end", "SELECT a = b AS e", `{"a":` + nines + `,"b":` + nines[1:] + `8}`, `{"e":false}`},
		{"a text of many digits", "SELECT s * 1 AS x, s > 1 AS c", `{"s":"` + nines[:1000] + `"}`, `{}`},
		{"a text of 900 digits", "SELECT s > 1 AS c, s - 1 AS x", `{"s":"` + nines[:900] + `"}`, `{"c":true,"x":1E900}`},
		{"an index", "SELECT get(l, a) AS x, substring('abc', a) AS y, lpad('a', a) AS z", `{"l":[1],"a":1e999}`, `{"y":"","z":"` + strings.Repeat(" ", 1000) + `a"}`},

		// Duplicate names.
		{"many of one name", "SELECT a AS x", `{` + strings.Repeat(`"a":1,`, 20000) + `"a":2}`, `{"x":2}`},
		{"a merge of many of one name", "SELECT *, 3 AS b", `{` + strings.Repeat(`"a":1,`, 3) + `"a":2}`, `{"a":1,"a":1,"a":1,"a":2,"b":3}`},
		{"compared", "SELECT VALUE a = b", `{"a":{"x":1,"x":2},"b":{"x":2}}`, `true`},
		{"in a nested query", "SELECT VALUE (SELECT VALUE x FROM l)", `{"l":[{"x":1,"x":2}]}`, `[2]`},

		// Patterns that explode.
		{"repetitions of repetitions", "SELECT regexp_matches(s, '(a*)*(a*)*b') AS r", `{"s":"` + long[:10000] + `"}`, `{"r":false}`},
		{"a program too large", "SELECT regexp_matches(s, '((a?){30}){30}b') AS r, 1 AS k", `{"s":"` + long + `"}`, `{"k":1}`},
		{"one that comes with the message", "SELECT regexp_matches(s, p) AS r, 1 AS k", `{"s":"` + long + `","p":"(` + strings.Repeat("(a?){3}", 500) + `){300}b"}`, `{"k":1}`},
		{"a long one", "SELECT regexp_matches(s, p) AS r, 1 AS k", `{"s":"a","p":"` + long[:4097] + `"}`, `{"k":1}`},
		{"not quite so long", "SELECT regexp_matches(s, p) AS r, 1 AS k", `{"s":"` + long + `","p":"` + long[:400] + `"}`, `{"r":true,"k":1}`},
		{"a large one on a long text", "SELECT regexp_matches(s, '(a?){500}b') AS r", `{"s":"` + long + `"}`, `limit`},
		{"many groups that match everywhere", "SELECT length(regexp_replace(s, p, '')) AS r", `{"s":"` + long + `","p":"` + strings.Repeat("()", 500) + `"}`, `limit`},
		{"over a list", "SELECT VALUE (SELECT VALUE regexp_matches(s, 'a*b') FROM l)", `{"s":"` + long + `","l":` + list("1", 2000) + `}`, `limit`},
		{"compiled for each element", "SELECT VALUE (SELECT VALUE regexp_matches('a', p) FROM l)", `{"p":"(a?){500}","l":` + list("1", 20000) + `}`, `limit`},
		{"refused for each element", "SELECT VALUE (SELECT VALUE regexp_matches('a', p) FROM l)", `{"p":"` + strings.Repeat("(a?)", 1000) + `(","l":` + list("1", 2000) + `}`, `limit`},

		// Work that multiplies.
		{"a list by itself", "SELECT VALUE (SELECT VALUE (SELECT VALUE 1 FROM l) FROM l)", `{"l":` + list("1", 9000) + `}`, `limit`},
		{"a long expression for each element", "SELECT VALUE (SELECT VALUE " + strings.Repeat("sin(1 + x) + ", 3000) + "1 FROM l)", `{"l":` + list("1", 4000) + `}`, `limit`},
		{"a long number for each element", "SELECT VALUE (SELECT VALUE n + 1 FROM l)", `{"n":0.` + nines[:100_000] + `,"l":` + list("1", 2000) + `}`, `limit`},
		{"a long numeric text for each element", "SELECT VALUE (SELECT VALUE n > 1 FROM l)", `{"n":"0.` + nines[:100_000] + `","l":` + list("1", 2000) + `}`, `limit`},
		{"a long text with escapes for each element", "SELECT VALUE (SELECT VALUE n = 'x' FROM l)", `{"n":"\n` + nines[:100_000] + `","l":` + list("1", 2000) + `}`, `limit`},
		{"a slow hash for each element", "SELECT VALUE (SELECT VALUE md2(n) FROM l)", `{"n":"` + nines[:100_000] + `","l":` + list("1", 2000) + `}`, `limit`},
		{"a zone for each element", "SELECT VALUE (SELECT VALUE parse_time('y', 0, n) FROM l AS n)", `{"l":` + list(`"Europe/Paris"`, 70000) + `}`, `limit`},
		{"a zone to read for each element", "SELECT VALUE (SELECT VALUE time_to_epoch(n, 'VV') FROM l AS n)", `{"l":` + list(`"Europe/Paris"`, 70000) + `}`, `limit`},
		{"objects that are compared", "SELECT VALUE (SELECT VALUE o = p FROM l)", `{"o":{"a":` + list("1", 20000) + `},"p":{"a":` + list("1", 20000) + `},"l":` + list("1", 2000) + `}`, `limit`},
		{"members of a large object", "SELECT VALUE (SELECT VALUE get(o, 'a') FROM l)", `{"o":{"b":` + list("1", 20000) + `},"l":` + list("1", 2000) + `}`, `limit`},
		{"members of a large variable", "SET @o = o SELECT VALUE (SELECT VALUE @o.a FROM l)", `{"o":{"b":` + list("1", 20000) + `},"l":` + list("1", 2000) + `}`, `limit`},
		{"a large list to look in", "SELECT VALUE (SELECT VALUE 5 IN o FROM l)", `{"o":` + list("1", 20000) + `,"l":` + list("1", 2000) + `}`, `limit`},
		{"a replacement", "SELECT replace(s, 'a', s)", `{"s":"` + long + `"}`, `limit`},
		{"a replacement by pattern", "SELECT regexp_replace(s, 'a', s)", `{"s":"` + long + `"}`, `limit`},
		{"a replacement that shortens", "SELECT length(replace(s, 'ab', '')) AS n", `{"s":"` + strings.Repeat("ab", 300_000) + `"}`, `{"n":0}`},
		{"enriched elements", "SELECT transform('enrichArray', o, l) AS x, 1 AS k", `{"o":{"a":"` + long[:1000] + `"},"l":` + list("{}", 200) + `}`, `{"k":1}`},
		{"a value of more than 1 MiB", "SELECT VALUE [s, s, s, s, s, s, s, s, s]", `{"s":"` + long + `"}`, `limit`},
		{"variables of more than 128 KiB", "SET @a = s, @b = s SELECT 1 AS k", `{"s":"` + long[:70_000] + `"}`, `limit`},
		{"variables of 128 KiB", "SET @a = s SELECT length(@a) AS k", `{"s":"` + long[:128<<10-2] + `"}`, `{"k":131070}`},
		{"a variable one byte beyond", "SET @a = s SELECT length(@a) AS k", `{"s":"` + long[:128<<10-1] + `"}`, `limit`},
		{"a variable of escapes", "SET @a = s SELECT length(@a) AS k", `{"s":"` + strings.Repeat(`\n`, 70_000) + `"}`, `limit`},
		{"a variable of digits", "SET @a = n SELECT 1 AS k", `{"n":` + nines[:128<<10] + `}`, `{"k":1}`},
		{"a variable of more digits", "SET @a = n SELECT 1 AS k", `{"n":` + nines[:128<<10+1] + `}`, `limit`},
		{"minified, variables count", "SET @a = l SELECT 1 AS k", `{"l":[` + strings.Repeat(" ", 140_000) + `]}`, `{"k":1}`},
	} {
		if got := hostile(t, c.sql, c.payload); got != c.want {
			t.Errorf("%s: got %.200s, want %.200s", c.name, got, c.want)
		}
	}
}

// TestHostileText: statements that are made to hurt.
func TestHostileText(t *testing.T) {
	nest := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	for _, c := range []struct{ name, sql, want string }{ // want: the output, or a part of the error
		{"99 brackets", "SELECT VALUE " + nest("(", "1", ")", 99), "1"}, {"100 brackets", "SELECT VALUE " + nest("(", "1", ")", 100), "nests more than 100 deep"},
		{"99 lists", "SELECT VALUE get(" + nest("[", "1", "]", 98) + ", 1)", ""}, {"many lists", "SELECT VALUE " + nest("[", "1", "]", 5000), "nests more than 100 deep"},
		{"99 times NOT", "SELECT VALUE " + strings.Repeat("NOT ", 99) + "TRUE", "false"}, {"100 times NOT", "SELECT VALUE " + strings.Repeat("NOT ", 100) + "TRUE", "nests more than 100 deep"},
		{"99 times minus", "SELECT VALUE " + strings.Repeat("-", 99) + "1", "-1"}, {"many times minus", "SELECT VALUE " + strings.Repeat("-", 60000) + "1", "nests more than 100 deep"},
		{"calls in calls", "SELECT VALUE " + nest("upper(", "'a'", ")", 5000), "nests more than 100 deep"}, {"CASE in CASE", "SELECT VALUE " + nest("CASE ", "1", " WHEN 1 THEN 1 END", 3000), "nests more than 100 deep"},
		{"objects in objects", "SELECT VALUE " + nest("{'a':", "1", "}", 5000), "nests more than 100 deep"}, {"casts of casts", "SELECT VALUE " + nest("CAST(", "1", " AS Int)", 5000), "nests more than 100 deep"},
		{"16 queries", "SELECT VALUE " + nest("(SELECT VALUE ", "1", " FROM {})", 16), "1"}, {"17 queries", "SELECT VALUE " + nest("(SELECT VALUE ", "1", " FROM {})", 17), "queries nest more than 16 deep"},
		{"20 queries side by side", "SELECT VALUE " + strings.Repeat("(SELECT VALUE 1 FROM {}) + ", 19) + "(SELECT VALUE 1 FROM {})", "20"},
		{"150 brackets side by side", "SELECT VALUE " + strings.Repeat("(1) + ", 149) + "(1)", "150"}, {"150 CASEs, lists and calls side by side", "SELECT VALUE [" + strings.Repeat("CASE 1 WHEN 1 THEN abs([{}]) END, NOT TRUE, -1, ", 149) + "1] = 1", "false"},
		{"a chain of +", "SELECT VALUE 1" + strings.Repeat("+1", 60000), "60001"}, {"a chain of AND", "SELECT VALUE TRUE" + strings.Repeat(" AND TRUE", 14000), "true"}, {"a path of 30,000 names", "SELECT VALUE a" + strings.Repeat(".a", 30000), ""},
		{"many items", "SELECT 1" + strings.Repeat(",1", 60000), `{"_1":1,`}, {"a text of 128 KiB", "SELECT VALUE length('" + strings.Repeat("x", 128<<10-23) + "')", "131049"}, {"a byte more", "SELECT VALUE length('" + strings.Repeat("x", 128<<10-22) + "')", "longer than 131072 bytes"},
		{"a number of 100,000 digits", "SELECT VALUE " + strings.Repeat("9", 100_000), "beyond 9.99E999"}, {"a fraction of 100,000 digits", "SELECT VALUE 0." + strings.Repeat("9", 100_000), "1"},
		{"an exponent", "SELECT VALUE 1E99999999999999999999", "beyond 9.99E999"}, {"a small exponent", "SELECT VALUE 1E-99999999999999999999", "0"},
		{"constants that multiply", "SELECT " + strings.TrimSuffix(strings.Repeat("length(replace(rpad('',1000),' ',rpad('',1000))),", 2000), ","), "evaluation limit exceeded"},
		{"a constant beyond the limits", "SELECT VALUE length(replace(replace(rpad('',1000),' ',rpad('',1000)), ' ', '  '))", "evaluation limit exceeded"},
		{"NUL", "SELECT VALUE 'a\x00b'", `"a\u0000b"`}, {"nothing", "", "unexpected end of the text"}, {"space", " \t\r\n", "unexpected end of the text"},
	} {
		got := hostile(t, c.sql, "{}")
		if got == "limit" {
			got = ErrLimit.Error()
		}
		if got != c.want && (len(c.want) < 8 || !strings.Contains(got, c.want)) {
			t.Errorf("%s: got %.200s, want %s", c.name, got, c.want)
		}
	}
}

// TestOptionsLimit: every limit is an option.
func TestOptionsLimit(t *testing.T) {
	for _, c := range []struct {
		opts      Options
		sql, want string
	}{
		{Options{MaxWork: 12}, "SELECT VALUE s + 'd' FROM 't' WHERE s = 'abc'", "evaluation limit exceeded: more than 12 steps"}, // the payload counts, 11 bytes
		{Options{MaxTextBytes: 8}, "SELECT a", ""}, {Options{MaxTextBytes: 7}, "SELECT a", "line 1, column 8: the text is longer than 7 bytes"}, {Options{MaxDepth: 2}, "SELECT ((a))", "line 1, column 10: the expression nests more than 2 deep"},
		{Options{MaxDepth: 2}, "SELECT (a)", ""}, {Options{MaxQueryDepth: 1}, "SELECT (SELECT a FROM b)", ""}, {Options{MaxQueryDepth: 1}, "SELECT (SELECT (SELECT a FROM b) FROM c)", "queries nest more than 1 deep"},
		{Options{MaxValueBytes: 5}, "SELECT VALUE s + 'de'", ""}, {Options{MaxValueBytes: 5}, "SELECT VALUE s + 'def'", "evaluation limit exceeded: a value of more than 5 bytes"}, {Options{MaxWork: 40}, "SELECT VALUE s + 'de'", ""}, {Options{MaxWork: 11}, "SELECT VALUE s + 'de'", "evaluation limit exceeded: more than 11 steps"},
	} {
		st, err := CompileStatement(c.sql, &c.opts)
		if err == nil {
			_, _, err = st.Eval(context.Background(), &Input{Payload: []byte(`{"s":"abc"}`)})
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s with %+v: %v, want %s", c.sql, c.opts, err, c.want)
		}
	}
}

// TestLimitsAreInclusive: work and values of just as much as the options say
// are within them.
func TestLimitsAreInclusive(t *testing.T) {
	for _, text := range []string{"SELECT VALUE s + 'de'", "SELECT a, s FROM 't' WHERE s = 'abc' AND upper(s) = 'ABC'", "SELECT VALUE (SELECT VALUE a + 1 FROM l)", "SELECT VALUE regexp_replace(s, b, 'x')"} {
		in := &Input{Payload: []byte(`{"s":"abc","b":"b","l":[{"a":1},{"a":2}]}`)}
		run := func(work int) (spent int, err error) {
			st, err := CompileStatement(text, &Options{MaxWork: work})
			if err != nil {
				t.Fatal(err)
			}
			ev := st.body.prog.begin(context.Background(), in)
			defer ev.end()
			err = st.run(&ev.env, &RunOptions{}, new(Result))
			return ev.env.work, err
		}
		spent, err := run(1 << 20)
		if err != nil || spent < 20 {
			t.Fatalf("%s: %d steps, %v", text, spent, err)
		}
		if _, err := run(spent); err != nil {
			t.Errorf("%s with just the %d steps it needs: %v", text, spent, err)
		}
		if _, err := run(spent - 1); !errors.Is(err, ErrLimit) {
			t.Errorf("%s with a step less than the %d it needs: %v", text, spent, err)
		}
	}
}
