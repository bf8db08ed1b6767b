package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var seeds = []string{
	"SELECT * FROM 'a/b'",
	"SELECT *, 15 AS speed, x AS a.b FROM 'a' WHERE t > 30 AND NOT (c = 'it''s' OR d IN [1, 2.5, 'x'])",
	"SET @a = (t - 32) * 5 / 9, @b = @a SELECT @b.c AS z, {'k': [1, {'m': *}]} FROM 'a/#' WHERE EXISTS (SELECT * FROM arr AS a WHERE a = 3)",
	"SELECT VALUE (SELECT n, v * -2 FROM e.f AS q WHERE q.v >= 1E-3) FROM 'x'",
	"select case a when 1 then 'one' when - - 2 then b else cast(c as int) end as r, value, concat(x, [y]), get(o, \"k\").v from 'topic/+/z'",
	"SELECT regexp_replace(s, '(.)b', '$1\\$'), parse_time('yyyy-MM-dd G e', t, z), time_to_epoch(s, \"uuuu-MM-dd['T'HH:mm[:ss]][XXX]\") FROM 't'",
	"SELECT a NOT IN b, substring(s, 1, n), encode(*, 'base64'), decode(s, 'base64'), transform('enrichArray', o, l) FROM 't'",
	"SELECT (0).a, -(1).b FROM 't'",
	"SELECT value FROM 't' WHERE a % 3 <> 0 OR (a < b) = (c > d)",
	"SELECT lower(upper(s)) + trunc(a / b, 2), lpad(s, n), replace(s, 'a', s), chr(n), bitnot(n), power(a, b), md2(s) FROM 't'",
}

var payloads = []string{
	`{"a":1,"b":2.50,"c":"red","d":null,"e":{"f":[{"n":1,"v":2},3,"x"]},"arr":[1,2,3],"t":1497028786000,"s":"ab\u0062\n","o":{"k":{"v":1}},"n":3,"x":[1],"l":[{"z":1}],"z":"Asia/Tokyo"}`,
	`[1,{"a":2}]`, ``, `80`, "\x00\xff", `{"a":1e999999999,"a":-0.0,"b":12345678901234567890123456789012345678901}`,
	`{"a":{"b":{"c":{}}},"a":"\ud800"}`, strings.Repeat(`{"a":[`, 300) + strings.Repeat(`]}`, 300), strings.Repeat("[", 100000),
}

// FuzzParse: no text panics, places lie inside the text, and what is printed
// parses to what is printed again.
func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
		f.Add(s[:len(s)/2])
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseStatement(text, nil)
		if err != nil {
			checkPlace(t, text, err)
			return
		}
		printed := Print(s)
		again, err := ParseStatement(printed, nil)
		if err != nil {
			t.Fatalf("%q prints as %q, which does not parse: %v", text, printed, err)
		}
		if tree(s) != tree(again) {
			t.Fatalf("%q prints as %q, which means something else", text, printed)
		}
		if _, err := CompileStatement(text, nil); err != nil {
			checkPlace(t, text, err)
		}
	})
}

// tree is what a statement consists of, but for the places of it all.
func tree(s *Select) string {
	var b strings.Builder
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if v.IsNil() {
				b.WriteString("nil")
				return
			}
			walk(v.Elem())
		case reflect.Struct:
			b.WriteString(v.Type().Name() + "{")
			for i := range v.NumField() {
				if name := v.Type().Field(i).Name; name != "at" && name != "FilterPos" {
					walk(v.Field(i))
					b.WriteByte(' ')
				}
			}
			b.WriteByte('}')
		case reflect.Slice:
			fmt.Fprintf(&b, "%d:", v.Len())
			for i := range v.Len() {
				walk(v.Index(i))
			}
		default:
			fmt.Fprintf(&b, "%#v", v)
		}
	}
	walk(reflect.ValueOf(s))
	return b.String()
}

func checkPlace(t *testing.T, text string, err error) {
	t.Helper()
	var e *SyntaxError
	if !errors.As(err, &e) {
		t.Fatalf("%q: not a SyntaxError: %v", text, err)
	}
	lines := strings.Split(text, "\n")
	if e.Offset < 0 || e.Offset > len(text) || e.Line < 1 || e.Line > len(lines) || e.Column < 1 ||
		e.Column > utf8.RuneCountInString(lines[e.Line-1])+1 || strings.Count(e.Snippet, "\n") != 1 {
		t.Fatalf("%q: place %d:%d (%d) outside of the text, snippet %q", text, e.Line, e.Column, e.Offset, e.Snippet)
	}
}

// FuzzEval: no payload panics, and output is JSON. One that took long would
// stop the fuzzer, which waits for no execution forever.
func FuzzEval(f *testing.F) {
	for _, s := range seeds {
		for _, p := range payloads {
			f.Add(s, []byte(p))
		}
	}
	f.Fuzz(func(t *testing.T, text string, payload []byte) {
		st, err := CompileStatement(text, &Options{MaxWork: 4 << 20})
		if err != nil {
			return
		}
		in := &Input{Payload: payload, Topic: "a/b", Time: time.UnixMilli(1)}
		out, matched, err := st.Eval(context.Background(), in)
		if err != nil && (matched || out != nil) {
			t.Fatalf("an error and a result: %v %q", err, out)
		}
		if matched && !st.body.whole && len(out) > 0 && !json.Valid(out) {
			t.Fatalf("%q on %q made %q", text, payload, out)
		}
	})
}

// FuzzTemplate: places lie inside the text.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"x", "${topic()}/a", "a ${ get({'a':'}'}, 'a') } $5 ${@v.w}", "${", "${a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := CompileTemplate(text, nil)
		if err != nil {
			checkPlace(t, text, err)
			return
		}
		if _, err := tmpl.Expand(context.Background(), &Input{Payload: []byte(payloads[0]), Topic: "a/b"}); err != nil && !errors.Is(err, ErrLimit) {
			t.Fatal(err)
		}
	})
}

// FuzzJSON: what the scanner takes is what the standard library takes, but
// for the limits that are documented, and compact text keeps the meaning.
func FuzzJSON(f *testing.F) {
	for _, p := range payloads {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw, ok := validJSON(s)
		want := json.Valid([]byte(s)) && utf8.ValidString(s)
		if ok != want && strings.Count(s, "[")+strings.Count(s, "{") <= maxJSONDepth {
			t.Fatalf("%q: valid %v, want %v", s, ok, want)
		}
		if !ok {
			return
		}
		small := string(appendCompact(nil, raw, false))
		if again, ok := validJSON(small); !ok || string(appendCompact(nil, again, false)) != small {
			t.Fatalf("%q: compact %q", s, small)
		}
	})
}
