package sql

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// TestCopyAgainstEval: what a Copy makes of a Scan is what the evaluation
// makes, for every kind of value, of statements that are copies and for which
// it says that it is none.
func TestCopyAgainstEval(t *testing.T) {
	statements := map[string]bool{
		"SELECT a": true,
		"SELECT a, b AS x, o.a AS y, missing AS z": true,
		"SELECT a WHERE b <> 7 AND o.a <> 'y'":     true,
		"SELECT o, a AS o2 WHERE a <> 7":           true,
		"SELECT a AS a_name_that_is_long, b AS another_that_is_longer, o.a AS q, o AS w, missing AS e, z AS r": true,
		"SELECT a, a":                 false, // the second takes the place of the first
		"SELECT a AS x.y":             false,
		"SELECT *":                    false,
		"SELECT *, a AS b":            false,
		"SELECT a, 1 AS one":          false,
		"SELECT a + 1 AS s":           false,
		"SELECT VALUE a":              false,
		"SELECT a WHERE upper(b)='X'": false,
		"SET @v = a SELECT a":         false,
	}
	payloads := []string{"", `{}`, `{"z":0}`, `[1]`, `nothing`}
	for i, v := range predValues {
		other := predValues[(i*7+3)%len(predValues)]
		payloads = append(payloads, fmt.Sprintf(`{"z":0,"a":%s,"b":%s,"o":{"a":%s}}`, v, other, v), fmt.Sprintf(` {"a":%s,"a":%s,"o":%s} `, other, v, v),
			fmt.Sprintf(`{"a":%s,"b":`, v))
	}
	var scan Scan
	for text, is := range statements {
		for _, version := range []string{Version2015, Version2016} {
			st, err := CompileStatement(strings.Replace(text, " WHERE", " FROM 't' WHERE", 1), &Options{Version: version})
			if err != nil {
				if version == Version2015 {
					continue
				}
				t.Fatal(text, err)
			}
			// Other paths first, so that the slots are not those of the statement.
			first, err := CompileStatement("SELECT q, o.z, z", nil)
			if err != nil {
				t.Fatal(err)
			}
			paths, _ := (*Paths)(nil).With(first)
			paths, slots := paths.With(st)
			var c Copy
			st.Copy(&c, slots)
			if (len(c.parts) > 0) != is {
				t.Errorf("%s: a copy %t", text, !is)
			}
			copied := 0
			for _, payload := range payloads {
				in := &Input{Payload: []byte(payload)}
				want, matched, err := st.Eval(context.Background(), in)
				if err != nil || !matched {
					continue
				}
				scan.Read(paths, in.Payload)
				got, ok := c.AppendTo([]byte("before"), &scan)
				if !ok {
					continue
				}
				copied++
				if string(got) != "before"+string(want) {
					t.Errorf("%s on %s: %s, want %s", text, payload, got, want)
				}
			}
			if is && copied < 10 {
				t.Errorf("%s: %d payloads copied", text, copied)
			}
		}
	}
}
