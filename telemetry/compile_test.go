package telemetry

import (
	"errors"
	"strings"
	"testing"
)

func TestCompileRefuses(t *testing.T) {
	const group = ` FROM stream GROUP BY key, TUMBLE(INTERVAL '1' MINUTE)`
	for _, c := range []struct {
		name, sql string
		line, col int
		text      string
	}{
		{"nothing", ``, 1, 1, "SELECT"},
		{"another source", `SELECT count(*) FROM 'a/b'`, 1, 22, "stream"},
		{"no window", "SELECT key\nFROM stream\nGROUP BY key", 3, 10, "no window"},
		{"no GROUP BY", `SELECT key FROM stream`, 1, 23, "GROUP BY"},
		{"two windows", `SELECT key FROM stream GROUP BY TUMBLE(INTERVAL '1' HOUR), HOP(INTERVAL '1' HOUR, INTERVAL '2' HOUR)`, 1, 60, "second window"},
		{"a bare field", `SELECT t` + group, 1, 8, "must be in GROUP BY"},
		{"a bare field in an expression", `SELECT max(t) - u AS x` + group, 1, 17, "u must be in GROUP BY"},
		{"a bare record", `SELECT count(*) + encode(*, 'base64') AS x` + group, 1, 26, "a window has many"},
		{"an aggregate of an aggregate", `SELECT sum(max(t))` + group, 1, 12, "max() cannot be in an aggregate"},
		{"an aggregate in WHERE", `SELECT key FROM stream WHERE count(*) > 1 GROUP BY key, TUMBLE(INTERVAL '1' MINUTE)`, 1, 30, "cannot be in WHERE"},
		{"the window in WHERE", `SELECT key FROM stream WHERE window_start > 1 GROUP BY key, TUMBLE(INTERVAL '1' MINUTE)`, 1, 30, "not known in WHERE"},
		{"sum of *", `SELECT sum(*)` + group, 1, 12, "only count takes *"},
		{"two arguments", `SELECT sum(a, b)` + group, 1, 8, "one argument"},
		{"no name", `SELECT max(t) - min(t)` + group, 1, 8, "needs a name"},
		{"two of a name", `SELECT max(t), max(u)` + group, 1, 16, "called max"},
		{"an unknown function", `SELECT medain(t)` + group, 1, 8, "medain"},
		{"a zero interval", `SELECT key FROM stream GROUP BY key, TUMBLE(INTERVAL '0' MINUTE)`, 1, 54, "above 0"},
		{"a fraction of an interval", `SELECT key FROM stream GROUP BY key, TUMBLE(INTERVAL '1.5' MINUTE)`, 1, 54, "whole number"},
		{"an unknown unit", `SELECT key FROM stream GROUP BY key, TUMBLE(INTERVAL '1' FORTNIGHT)`, 1, 58, "no unit FORTNIGHT"},
		{"a huge interval", `SELECT key FROM stream GROUP BY key, TUMBLE(INTERVAL '9999999999' WEEKS)`, 1, 54, "100 years"},
		{"a slide beyond the size", `SELECT key FROM stream GROUP BY key, HOP(INTERVAL '2' MINUTE, INTERVAL '1' MINUTE)`, 1, 38, "leave records out"},
		{"too many hops", `SELECT key FROM stream GROUP BY key, HOP(INTERVAL '1' SECOND, INTERVAL '1' DAY)`, 1, 38, "more than 1000 windows"},
		{"grouped twice", `SELECT key FROM stream GROUP BY key, key, TUMBLE(INTERVAL '1' MINUTE)`, 1, 38, "twice"},
		{"grouped by an expression", `SELECT key FROM stream GROUP BY t + 1, TUMBLE(INTERVAL '1' MINUTE)`, 1, 33, "GROUP BY takes"},
		{"more text", `SELECT key` + group + ` LIMIT 3`, 1, 66, "the end"},
		{"a field in HAVING", `SELECT key` + group + ` HAVING t > 1`, 1, 73, "must be in GROUP BY"},
	} {
		_, err := Compile(c.sql)
		var se *SyntaxError
		if !errors.As(err, &se) {
			t.Errorf("%s: error is %v", c.name, err)
			continue
		}
		if se.Line != c.line || se.Column != c.col || !strings.Contains(se.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
		_, caret, _ := strings.Cut(se.Snippet, "\n")
		if len(caret) != min(c.col, 64) || !strings.HasSuffix(caret, "^") {
			t.Errorf("%s: snippet is\n%s", c.name, se.Snippet)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		`SELECT key, avg(t) AS t, max(t) AS peak FROM stream GROUP BY key, TUMBLE(INTERVAL '1' MINUTE)`,
		`SELECT room, count(*) AS n FROM stream WHERE t > 30 AND a.b <> 'x' GROUP BY room, HOP(INTERVAL '5' SECONDS, INTERVAL '1' MINUTE) HAVING count(*) > 2`,
		`SELECT window_start AS s, first(v), last(v) FROM stream GROUP BY key, SESSION(INTERVAL '1' HOUR)`,
		`SELECT sum(`, `SELECT a.b.c FROM stream GROUP BY a.b, TUMBLE(INTERVAL '1' DAY, INTERVAL '6' HOUR)`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Compile(text)
		if err != nil {
			var se *SyntaxError
			if !errors.As(err, &se) {
				t.Fatalf("error is %T %v", err, err)
			}
			if se.Offset < 0 || se.Offset > len(text) || se.Line < 1 || se.Column < 1 || se.Msg == "" {
				t.Fatalf("position is outside: %+v", se)
			}
			return
		}
		w := NewWindower(q, nil)
		r := rec("k", 1, `{"t":1.5,"v":"x","a":{"b":[1,2]}}`)
		_ = w.Add(&r) // may fail by what the query says
		state, err := w.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := NewWindower(q, nil).UnmarshalBinary(state); err != nil {
			t.Fatalf("own state is refused: %v", err)
		}
		for r := range w.Advance(maxTime) {
			if err := (&StreamOptions{MaxRecordBytes: 1 << 20}).check("k", t0, r.Value); err != nil {
				t.Fatalf("result is %s: %v", r.Value, err)
			}
		}
	})
}
