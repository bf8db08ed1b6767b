package sql

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestWrong goes through testdata/wrong.txt.
func TestWrong(t *testing.T) {
	text, err := os.ReadFile("testdata/wrong.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for block := range strings.SplitSeq(string(text), "\n\n") {
		block = strings.Trim(block, "\n")
		if block == "" || block[0] == '#' && !strings.Contains(block, "\n ") {
			continue
		}
		n++
		var lines []string
		line, column, want, snippet := 0, 0, "", ""
		for l := range strings.SplitSeq(block, "\n") {
			pad, msg, ok := strings.Cut(l, "^ ")
			if !ok || strings.Trim(pad, " \t") != "" {
				lines = append(lines, l)
				continue
			}
			line, column, want = len(lines), len(pad)+1, msg
			snippet = lines[line-1] + "\n" + pad + "^"
		}
		statement := strings.Join(lines, "\n")
		_, err := CompileStatement(statement, nil)
		var e *SyntaxError
		if !errors.As(err, &e) {
			t.Errorf("%s\nis %v, want a SyntaxError", statement, err)
			continue
		}
		checkPlace(t, statement, err)
		if got, want := e.Error(), fmt.Sprintf("line %d, column %d: %s", line, column, want); got != want {
			t.Errorf("%s\n got %s\nwant %s", statement, got, want)
		} else if e.Snippet != snippet && len(statement) <= snippetRunes {
			t.Errorf("snippet\n%s\nwant\n%s", e.Snippet, snippet)
		}
	}
	if n < 60 {
		t.Errorf("%d statements", n)
	}
}

// TestSnippet: of a long line a Snippet shows the neighbourhood.
func TestSnippet(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{strings.Repeat("a", 60), strings.Repeat("b", 59), strings.Repeat("a", 60) + "!" + strings.Repeat("b", 59) + "\n" + strings.Repeat(" ", 60) + "^"},
		{strings.Repeat("a", 61), strings.Repeat("b", 60), "..." + strings.Repeat("a", 60) + "!" + strings.Repeat("b", 59) + "...\n" + strings.Repeat(" ", 63) + "^"},
		{strings.Repeat("é", 61), "\r\nnext", "..." + strings.Repeat("é", 60) + "!\n" + strings.Repeat(" ", 63) + "^"},
		{"first\nsecond ", "", "second !\n       ^"},
	} {
		if got := ErrorAt(c.before+"!"+c.after, len(c.before), "x").Snippet; got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
	if e := ErrorAt("abc", 99, "x"); e.Offset != 3 || e.Column != 4 {
		t.Errorf("%+v", e)
	}
	if e := ErrorAt("abc", -1, "x"); e.Offset != 0 || e.Column != 1 {
		t.Errorf("%+v", e)
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		word  string
		names string
		want  string
	}{
		{"uper", "upper lower", "upper"}, {"UPER", "upper", "upper"}, {"upepr", "upper", "upper"}, {"pu", "up", "up"}, {"xpper", "upper", "upper"}, {"upperr", "upper", "upper"},
		{"uppre", "upper", "upper"}, {"ppuer", "upper", "upper"}, {"abc", "xyz", ""}, {"abcd", "axyd", "axyd"}, {"abcd", "xyzd", ""}, {"ab", "xy", ""}, {"a", "b", ""},
		{"", "ab", ""}, {"", "abc", ""}, {"cat", "bat cab", "bat"}, {"cat", "cab bat", "bat"}, {"cat", "caxx cab", "cab"}, {"ca", "abc", ""},
		{strings.Repeat("a", 64), strings.Repeat("a", 63), strings.Repeat("a", 63)}, {strings.Repeat("a", 65), strings.Repeat("a", 64), ""},
	} {
		names := func(yield func(string) bool) {
			for _, n := range strings.Fields(c.names) {
				if !yield(n) {
					return
				}
			}
		}
		if got := nearest(c.word, names); got != c.want {
			t.Errorf("nearest to %q of %s is %q, want %q", c.word, c.names, got, c.want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "bca", 2}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abcd", "badc", 2}, {"ca", "abc", 3}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("from %q to %q are %d edits, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestBytes: bytes that are not UTF-8 are refused at their place.
func TestBytes(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT \xff": "line 1, column 8: byte 0xff is not UTF-8", "SELECT 'a\xffb'": "line 1, column 8: a string that is not UTF-8", "SELECT \x00": `line 1, column 8: unexpected character '\x00'`,
		"SELECT 'a\x00b' AS \u00a0": `line 1, column 17: unexpected character '\u00a0'`,
	} {
		_, err := CompileStatement(text, nil)
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestKeywords: every reserved word, in any case, is a name after a point and
// nowhere else; VALUE, UNDEFINED and what only looks like one are names.
func TestKeywords(t *testing.T) {
	for _, w := range strings.Fields("SET SELECT FROM WHERE AS AND OR NOT IN EXISTS CASE WHEN THEN ELSE END TRUE FALSE NULL CAST") {
		for _, w := range []string{w, strings.ToLower(w), w[:1] + strings.ToLower(w[1:])} {
			if got := language("obj."+w, `{"obj":{"`+w+`":1}}`, nil); got != "1" {
				t.Errorf("obj.%s is %s", w, got)
			}
			if _, err := CompileStatement("SELECT 1 AS "+w, nil); err == nil || !strings.Contains(err.Error(), "the keyword "+strings.ToUpper(w)+" cannot be a name here") {
				t.Errorf("AS %s: %v", w, err)
			}
			if _, err := CompileStatement("SELECT "+w+"(1)", nil); err == nil && !strings.EqualFold(w, "not") {
				t.Errorf("%s(1) compiles", w)
			}
		}
	}
	for _, w := range strings.Fields("UNDEFINED sets s_et selects fro from1 wher _as an nott existss cas whe els ends tru nul casts") {
		if got := language(w, `{"`+w+`":1}`, nil); got != "1" {
			t.Errorf("%s is %s", w, got)
		}
	}
	// VALUE is a name unless what follows makes it the keyword.
	for sql, want := range map[string]string{"SELECT value FROM 't'": `{"value":{"a":1}}`, "SELECT value AS v": `{"v":{"a":1}}`, "SELECT value, 1": `{"value":{"a":1},"_2":1}`, "SELECT value.a": `{"a":1}`,
		"SELECT VALUE value": `{"a":1}`, "SELECT VALUE value.a": "1", "SELECT value 1": "1", "SELECT 1, value": `{"_1":1,"value":{"a":1}}`, "SELECT VALUE *": `{"value":{"a":1}}`, "SELECT (value)": `{"value":{"a":1}}`} {
		if got := hostile(t, sql, `{"value":{"a":1}}`); got != want {
			t.Errorf("%s is %s, want %s", sql, got, want)
		}
	}
}

// TestPrint: the canonical spelling of every construct.
func TestPrint(t *testing.T) {
	for _, c := range []struct{ text, want string }{ // want empty: as it is
		{"SELECT * FROM 'a/b'", ""}, {"SELECT *, a AS b.c, 1 AS d FROM 'a' WHERE a = 1", ""}, {"SELECT VALUE a FROM 'a'", ""}, {"SELECT VALUE *", ""}, {"SELECT a", ""},
		{"set @a = 1 , @b=@a.c select @b", "SET @a = 1, @b = @a.c SELECT @b"}, {"SELECT value, value.a, value AS v FROM 't'", ""},
		{"select true,false,null,'a''b',\"a'b\"", "SELECT TRUE, FALSE, NULL, 'a''b', 'a''b'"},
		{"SELECT a + b - c * d / e % f", ""}, {"SELECT (a + b) * c, a + (b * c), a - (b - c), (a - b) - c", "SELECT (a + b) * c, a + b * c, a - (b - c), a - b - c"},
		{"SELECT a / (b / c), (a / b) / c, a % (b * c)", "SELECT a / (b / c), a / b / c, a % (b * c)"},
		{"SELECT a OR b AND NOT c", ""}, {"SELECT (a OR b) AND c, a OR (b AND c), a AND (b AND c), a OR (b OR c)", "SELECT (a OR b) AND c, a OR b AND c, a AND (b AND c), a OR (b OR c)"},
		{"SELECT NOT (a AND b), (NOT a) AND b, NOT NOT a, NOT (NOT a)", "SELECT NOT (a AND b), NOT a AND b, NOT NOT a, NOT NOT a"},
		{"SELECT (NOT a) = b, NOT a = b, (a = b) = c, a = (b = c), (a + b) = c", "SELECT (NOT a) = b, NOT a = b, (a = b) = c, a = (b = c), a + b = c"},
		{"SELECT -a, - -a, -(a + b), (-a) + b, -(-a), -a.b, (-a).b", "SELECT -a, --a, -(a + b), -a + b, --a, -a.b, (-a).b"},
		{"SELECT -(NOT a), (a < b) + 1, 1 + (a < b), (a IN b) = c", ""}, {"SELECT a <> b, a <= b, a >= b, a > b, a < b", ""},
		{"SELECT a in [1,2], a not  in b", "SELECT a IN [1, 2], a NOT IN b"}, {"SELECT [], [a, [b]], {}, {'a': 1, 'b': *}", ""}, {"SELECT {\"it's\":*}", "SELECT {'it''s': *}"},
		{"SELECT UPPER(a), concat(a,b), topic(), encode(*, 'base64')", "SELECT upper(a), concat(a, b), topic(), encode(*, 'base64')"},
		{"select cast(a as INT), case a when 1 then 2 else 3 end, case a when 1 then 2 when 3 then 4 end", "SELECT CAST(a AS int), CASE a WHEN 1 THEN 2 ELSE 3 END, CASE a WHEN 1 THEN 2 WHEN 3 THEN 4 END"},
		{"SELECT CASE a OR b WHEN c AND d THEN e = f ELSE NOT g END", ""}, {"SELECT CAST(a OR b AS int), [a OR b], upper(a OR b)", ""},
		{"SELECT (SELECT a FROM b), (SELECT VALUE * FROM b.c AS d WHERE a = 1 AND b), EXISTS (SELECT a FROM [1])", ""},
		{"SELECT (SELECT a FROM (b)), (SELECT a FROM (b + c)), (SELECT a FROM @v)", "SELECT (SELECT a FROM b), (SELECT a FROM (b + c)), (SELECT a FROM @v)"},
		{"SELECT a.b.c, get(a, 'b').c, (a + b).c, {'a': 1}.a, (1).a, 'x'.a, CAST(a AS int).b, (a OR b).c", ""}, {"SELECT a.end, a.select.from, get(a, 'x').case", ""},
		{"SELECT 1, 1.50, 1E3, 1.5e-3, 007", ""}, {"SELECT a FROM \"a/b\"", "SELECT a FROM 'a/b'"}, {"SELECT (a = 1 AND b = 2) OR c = 3", "SELECT a = 1 AND b = 2 OR c = 3"},
		{"SELECT (SELECT a FROM b).c, ((SELECT a FROM b)).c", "SELECT (SELECT a FROM b).c, (SELECT a FROM b).c"}, {"SELECT a WHERE a IN (SELECT VALUE b FROM c)", ""},
		{"SET @a = b OR c SELECT a AS x WHERE b OR c", ""},
	} {
		sel, err := ParseStatement(c.text, nil)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if c.want == "" {
			c.want = c.text
		}
		if got := Print(sel); got != c.want {
			t.Errorf("%s\n prints as %s\nwant %s", c.text, got, c.want)
		}
		if again, err := ParseStatement(c.want, nil); err != nil || Print(again) != c.want {
			t.Errorf("%s does not print as itself: %v", c.want, err)
		}
	}
}
