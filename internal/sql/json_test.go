package sql

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// jsonDocs are documents that the mutations below begin with.
var jsonDocs = []string{
	`{"a":1,"b":{"c":[1,2,{"d":null}]},"e":"x\u00e9\n\t\"\\\/\b\f\r","f":true,"g":false}`,
	` { "a" : -1.5e+10 , "b" : [ ] , "c" : { } , "a\u0062" : "" } `,
	`[1,-0,0.5,1e5,1E-5,"\ud83d\ude00",[[[]]],{"a":{"a":{"a":1}}}]`,
	`{"a":"0123456789abcdef","b":"01234567\n89","longer key than eight":12345678901234567890.5}`,
	"{\"a\":\"é€😀\",\r\n\t\"b\":[true,false,null]}",
}

// mutate edits a few bytes of a document.
func mutate(r *rand.Rand, doc string) string {
	b := []byte(doc)
	const letters = "{}[]\":,\\ \t\n\r\x00\x1f\x7f\xff019-+.eEtrufalsn/bxADFGadfg"
	for range r.IntN(3) {
		i := r.IntN(len(b))
		switch r.IntN(4) {
		case 0:
			b[i] = letters[r.IntN(len(letters))]
		case 1:
			b = append(b[:i], b[i+1:]...)
		case 2:
			b = append(b[:i], append([]byte{letters[r.IntN(len(letters))]}, b[i:]...)...)
		case 3:
			b = b[:i]
		}
		if len(b) == 0 {
			return ""
		}
	}
	return string(b)
}

// TestJSONAgainstLibrary: both readers of JSON, the one that checks and the one
// that also finds paths, take what the standard library takes, and find what it
// finds.
func TestJSONAgainstLibrary(t *testing.T) {
	st, err := CompileStatement("SELECT VALUE [a, a.a, b.c, c, e, f, ab] FROM 't'", nil)
	if err != nil {
		t.Fatal(err)
	}
	sel, err := ParseStatement("SELECT VALUE [a, a.a, b.c, c, e, f, ab] FROM 't'", nil)
	if err != nil {
		t.Fatal(err)
	}
	paths, slots := (*Paths)(nil).With(st)
	var scan Scan
	r := rand.New(rand.NewPCG(3, 4))
	valid := 0
	for range 20000 {
		doc := mutate(r, jsonDocs[r.IntN(len(jsonDocs))])
		want := json.Valid([]byte(doc)) && utf8.ValidString(doc)
		raw, ok := validJSON(doc)
		if ok != want || ok && raw != strings.Trim(doc, " \t\r\n") {
			t.Fatalf("%q: valid %v, want %v", doc, ok, want)
		}
		wantOut := "[]"
		if want {
			valid++
			naive, err := parseNaive(doc, false)
			if err != nil {
				t.Fatal(err)
			}
			m := nmessage{payload: naive}
			wantOut, _, _ = m.run(sel)
		}
		in := &Input{Payload: []byte(doc)}
		out, _, err := st.Eval(context.Background(), in)
		if err != nil || !sameJSON(string(out), wantOut) {
			t.Fatalf("%q: %s, %v, want %s", doc, out, err, wantOut)
		}
		scan.Read(paths, in.Payload)
		res, err := (&Evaluation{Input: *in}).Run(context.Background(), st, &RunOptions{Scan: &scan, Slots: slots})
		if err != nil || string(res.Out) != string(out) {
			t.Fatalf("%q with a Scan: %s, %v, want %s", doc, res.Out, err, out)
		}
		if !want {
			continue
		}
		// Compact text means the same and has no space.
		small := string(appendCompact(nil, raw, false))
		if !sameJSON(small, raw) || len(small) > len(raw)+40 {
			t.Fatalf("%q: compact %q", raw, small)
		}
	}
	if valid < 7000 {
		t.Errorf("only %d documents are valid", valid)
	}
}

// TestPlainRun: eight bytes at once are what they are one by one, wherever in
// the text, also beside bytes that differ from a quote by one bit or lie above
// ASCII.
func TestPlainRun(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const plain, ends = " !#[]\x7f\x80\x9f\xa2\xdc\xffax", "\"\\\x00\x1f"
	for range 20000 {
		b := make([]byte, r.IntN(24))
		for i := range b {
			from := plain
			if r.IntN(6) == 0 {
				from = ends
			}
			b[i] = from[r.IntN(len(from))]
		}
		s := string(b)
		for i := range len(s) + 1 {
			want := i
			for want < len(s) && s[want] >= 0x20 && s[want] != '"' && s[want] != '\\' {
				want++
			}
			if got := plainRun(s, i); got != want {
				t.Fatalf("%q from %d: %d, want %d", s, i, got, want)
			}
		}
	}
}

// TestKeysThatLookAlike: keys with one look are told apart by all of them.
func TestKeysThatLookAlike(t *testing.T) {
	if look("b1") != look("a12") || look("b1") == look("a1") {
		t.Fatal("the keys below are not what this test is about")
	}
	const payload = `{"a12":1,"b1":2,"":3,"c":4,"b\u0031":5,"a1":6}`
	if got := hostile(t, "SELECT b1, a1, c, d", payload); got != `{"b1":5,"a1":6,"c":4}` {
		t.Error(got)
	}
}

// TestMixedNesting: objects and arrays in each other, where the words of the
// stack of container begin and end.
func TestMixedNesting(t *testing.T) {
	for n := 60; n < 260; n++ {
		for bits := range 4 {
			open, end := "", ""
			for level := range n {
				// Objects and arrays in turn, in turns of 64, or one alone at the bottom.
				object := [4]bool{level%2 == 0, level/64%2 == 0, level == n-1, level%64 == 0}[bits]
				if object {
					open, end = open+`{"k":`, "}"+end
				} else {
					open, end = open+"[", "]"+end
				}
			}
			doc := open + "1" + end
			if raw, ok := validJSON(doc); !ok || raw != doc {
				t.Fatalf("%d levels, kind %d: not valid", n, bits)
			}
			for _, bad := range []string{open + "1" + end[1:], open + "1" + end + "]", open + "1" + end[:n-1] + string(']'+'}'-end[n-1])} {
				if _, ok := validJSON(bad); ok {
					t.Fatalf("%d levels, kind %d: valid with a wrong end", n, bits)
				}
			}
		}
	}
}

// TestEscapes: every escape, and every character that must be escaped.
func TestEscapes(t *testing.T) {
	for _, c := range []struct{ in, want string }{ // the text of a JSON string, what it is as JSON again
		{`\"\\\/\b\f\n\r\t`, `\"\\/\u0008\u000c\n\r\t`}, {`\u0041\u00e9\u20ac`, `Aé€`}, {`\u000a\u000D`, `\n\r`}, {`\u0000\u001f`, `\u0000\u001f`}, {`\u007f`, "\x7f"},
		{`\ud83d\ude00`, `😀`}, {`\uD83D\uDE00x`, `😀x`}, {`\ud800`, `�`}, {`\udc00`, `�`}, {`\ud800x`, `�x`}, {`\ud800\n`, `�\n`}, {`\ud800\ud800`, `��`}, {`\ud83d\u0041`, `�A`},
		{`\ud800\ud83d\ude00`, `�😀`}, {`a\u0062c`, `abc`}, {`\ud83d\ude0`, "error"}, {`\u004g`, "error"}, {`\x41`, "error"}, {`\u00@0`, "error"}, {"\\u00`0", "error"}, {`\u00G0`, "error"}, {`\u00:0`, "error"}, {`\u00/0`, "error"}, {`\u00aF`, "\u00af"}, {`\u00fA`, "\u00fa"}, {"a\tb", "error"},
	} {
		got := language("t + ''", `{"t":"`+c.in+`"}`, nil)
		want := `"` + c.want + `"`
		if c.want == "error" {
			want = ""
		}
		if got != want {
			t.Errorf("%s is %s, want %s", c.in, got, want)
		}
	}
	for _, key := range []string{`a`, `\u0061`, `\u00e9`, `é`, `\"`, `"`} {
		name, _ := ParseValue([]byte(`"` + strings.ReplaceAll(key, `"`, `\"`) + `"`))
		if strings.HasPrefix(key, `\`) {
			name, _ = ParseValue([]byte(`"` + key + `"`))
		}
		text, _ := name.Text()
		if got := language("get(o, "+quoted(text)+")", `{"o":{"x":2,`+string(appendString(nil, text))+`:1}}`, nil); got != "1" {
			t.Errorf("member %s: %s", key, got)
		}
	}
}

// TestDuplicates: of members with one name the last counts, wherever they are
// and however they are spelt.
func TestDuplicates(t *testing.T) {
	for _, c := range []struct{ expr, payload, want string }{
		{"a", `{"a":1,"a":2}`, "2"}, {"a", `{"a":1,"\u0061":2}`, "2"}, {"a", `{"\u0061":1,"a":2}`, "2"}, {"a.b", `{"a":{"b":1},"a":{}}`, ""}, {"a.b", `{"a":{"b":1},"a":5}`, ""},
		{"a.b", `{"a":5,"a":{"b":1}}`, "1"}, {"a.b", `{"a":{"b":1,"b":2}}`, "2"}, {"get(a, 'b')", `{"a":{"b":1,"b":2}}`, "2"}, {"a = {'b': 2}", `{"a":{"b":1,"b":2}}`, "true"},
		{"a = {'b': 1}", `{"a":{"b":1,"b":2}}`, "false"}, {"(SELECT VALUE b FROM a)", `{"a":{"b":1,"b":2}}`, "2"}, {"(SELECT b FROM a)", `{"a":[{"b":1,"b":2}]}`, `[{"b":2}]`},
		{"a = b", `{"a":[1,"A",2.50,{"x":1.0},null,true,[]],"b":[1.0,"\u0041",2.5,{"\u0078":1},null,true,[ ]]}`, "true"}, {"a = b", `{"a":[1,"A"],"b":[1,"B"]}`, "false"},
		{"a = b", `{"a":[1],"b":["1"]}`, "false"}, {"a = b", `{"a":[[1 ]],"b":[{}]}`, "false"}, {"a = b", `{"a":[1.0],"b":[[1]]}`, "false"}, {"a = b", `{"a":[true],"b":[ 1]}`, "false"},
		{"a = b", `{"a":[null ],"b":[null]}`, "true"}, {"a = b", `{"a":[null],"b":[false ]}`, "false"}, {"a = b", `{"a":[false ],"b":[true]}`, "false"}, {"a IN b", `{"a":[1.0],"b":[[2],[1]]}`, "true"},
		{"a = b", `{"a":{"x":[1.0]},"b":{"x":[1]}}`, "true"}, {"a = b", `{"a":{"x":1.0,"y":2},"b":{"y":2.0,"x":1}}`, "true"}, {"a = b", `{"a":{"x":1.0,"y":2},"b":{"y":2.0,"z":1}}`, "false"},
		{"transform('enrichArray', a, [{}])", `{"a":{"b":1,"b":2}}`, `[{"b":2}]`}, {"a", `{"a":null,"a":1}`, "1"}, {"a", `{"a":1,"a":null}`, "null"},
	} {
		if got := language(c.expr, c.payload, nil); got != c.want {
			t.Errorf("%s of %s is %s, want %s", c.expr, c.payload, got, c.want)
		}
	}
	for payload, want := range map[string]bool{`{"a":1,"a":2}`: true, `{"a":2,"a":1}`: false, `{"a":2,"b":0,"\u0061":1}`: false, `{"\u0061":2}`: true, `{"a":1,"b":"a","c":"\u0061"}`: false} {
		st, err := CompileStatement("SELECT * FROM 't' WHERE a = 2", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, matched, err := st.Eval(context.Background(), &Input{Payload: []byte(payload)}); err != nil || matched != want {
			t.Errorf("a = 2 on %s: %v, %v", payload, matched, err)
		}
	}
}

// TestProjections: aliases, names without one, * among others, merges.
func TestProjections(t *testing.T) {
	for _, c := range []struct{ sel, payload, want string }{
		{"*", `{"a": 1.50}`, `{"a": 1.50}`}, {"*", ` [1] `, ` [1] `}, {"*", "\x00\xff", "\x00\xff"}, {"*", ``, ``}, {"VALUE *", ` [1] `, ` [1] `},
		{"* AS x", `{"a": 1}`, `{"x":{"a": 1}}`}, {"* AS x.y", `{"a":1}`, `{"x":{"y":{"a":1}}}`}, {"* AS x, a", `[1]`, `{"x":[1]}`}, {"* AS x", ``, `{}`}, {"* AS x", `80`, "error"},
		{"*, 1 AS x", `80`, "error"}, {"*, 1 AS x", `[1]`, "error"}, {"*, 1 AS x", ``, `{"x":1}`}, {"*, 1 AS x", `{}`, `{"x":1}`}, {"*, 1 AS a", `{"a":2,"b":3}`, `{"a":1,"b":3}`},
		{"*, 1 AS a", `{"b":3,"a":2,"a":4}`, `{"b":3,"a":1}`}, {"*, 1 AS a, 2 AS a", `{"a":5}`, `{"a":2}`}, {"1 AS a, *", `{"a":2,"b":3}`, `{"a":2,"b":3}`}, {"1 AS z, *", `{"a":2}`, `{"z":1,"a":2}`},
		{"*, 1 AS b, *", `{"b":2}`, `{"b":2}`}, {"*, missing AS b", `{"b":2}`, `{"b":2}`}, {"*, NULL AS b", `{"b":2}`, `{"b":null}`}, {"*, 1 AS a", `{"\u0061":2}`, `{"a":1}`},
		{"*, 1 AS x, 2 AS y", `{"y":0,"q":1}`, `{"y":2,"q":1,"x":1}`}, {"*, 1 AS a.b", `{"a":{"b":0,"c":1}}`, `{"a":{"b":1,"c":1}}`}, {"*, 1 AS a.b", `{"a":5}`, `{"a":{"b":1}}`},
		{"*, 1 AS a.b.c", `{"a":{"b":{"d":2}}}`, `{"a":{"b":{"d":2,"c":1}}}`},
		{"a", `{"a":1}`, `{"a":1}`}, {"a.b", `{"a":{"b":1}}`, `{"b":1}`}, {"a.b.c, a.b", `{"a":{"b":{"c":1}}}`, `{"c":1,"b":{"c":1}}`}, {"upper(a)", `{"a":"x"}`, `{"upper":"X"}`}, {"UPPER(a)", `{"a":"x"}`, `{"upper":"X"}`},
		{"cast(a AS Int)", `{"a":"1"}`, `{"cast":1}`}, {"1, 'x', a + 1, -a", `{"a":1}`, `{"_1":1,"_2":"x","_3":2,"_4":-1}`}, {"a, 1", `{"a":1}`, `{"a":1,"_2":1}`}, {"(a), (a.b)", `{"a":{"b":1}}`, `{"a":{"b":1},"b":1}`},
		{"CASE a WHEN 1 THEN 2 END", `{"a":1}`, `{"_1":2}`}, {"(SELECT VALUE b FROM a)", `{"a":{"b":1}}`, `{"_1":1}`}, {"[a]", `{"a":1}`, `{"_1":[1]}`}, {"NULL, TRUE", ``, `{"_1":null,"_2":true}`}, {"get(a, 'b').c", `{"a":{"b":{"c":1}}}`, `{"c":1}`},
		{"{'a': 1, 'b': a}", `{"a":2}`, `{"a":1,"b":2}`}, {"{'a': 1}, {'a': 2, 'c': 3}, 4 AS c", `{}`, `{"a":2,"c":4}`}, {"{'a': *}", `{"x":1}`, `{"a":{"x":1}}`}, {"{'a': 1} AS o", `{}`, `{"o":{"a":1}}`}, {"{}", `{}`, `{}`}, {"{'a': 1}, 2", `{}`, `{"a":1,"_2":2}`},
		{"1 AS a, 2 AS a", `{}`, `{"a":2}`}, {"1 AS a, missing AS a", `{}`, `{"a":1}`}, {"1 AS a.b, 2 AS a.c", `{}`, `{"a":{"b":1,"c":2}}`}, {"1 AS a.b, 2 AS a", `{}`, `{"a":2}`}, {"1 AS a, 2 AS a.b", `{}`, `{"a":{"b":2}}`}, {"{'b': 1} AS a, 2 AS a.c", `{}`, `{"a":{"b":1,"c":2}}`},
		{"missing AS a.b", `{}`, `{}`}, {"missing", `{}`, `{}`}, {"NULL AS a", `{}`, `{"a":null}`}, {"VALUE missing", `{}`, ``}, {"VALUE NULL", `{}`, `null`}, {"VALUE 'red'", `{}`, `"red"`}, {"VALUE [1]", `{}`, `[1]`}, {"VALUE {'a': *}", `[1]`, `{"a":[1]}`},
		{"a, b", `{"a":10.0,"b":1E2}`, `{"a":10,"b":100}`}, {"a, b", `{"a":10.5,"b":1.50}`, `{"a":10.5,"b":1.50}`}, {"a", `{"a":-0}`, `{"a":-0}`}, {"a + 0 AS a", `{"a":-0}`, `{"a":0}`}, {"a", `{"a":-0.0}`, `{"a":0}`}, {"a", `{"a":1e2000}`, `{"a":1e2000}`}, {"a", `{"a":1e-2000}`, `{"a":1e-2000}`},
		{"a", `{"a":1.5E1}`, `{"a":15}`}, {"a", `{"a":15e-1}`, `{"a":15e-1}`}, {"'' + a AS a", `{"a":15e-1}`, `{"a":"1.5"}`}, {"a", `{"a":12345678901234567890123456789012345678901234567890}`, `{"a":12345678901234567890123456789012345678901234567890}`},
		{"a", `{"a":[1.0, {"b" : 2.0}]}`, `{"a":[1.0, {"b" : 2.0}]}`}, {"a", `{"a":"\u0041"}`, `{"a":"\u0041"}`}, {"encode(*, 'base64') AS x", ` {"a":1} `, `{"x":"IHsiYSI6MX0g"}`}, {"encode(*, 'base64') AS x", "\xff", `{"x":"/w=="}`}, {"encode(*, 'base64') AS x", "", `{"x":""}`},
		{"(SELECT VALUE encode(*, 'base64') FROM a) AS x", `{"a":[1, "x"]}`, `{"x":["MQ==","eA=="]}`}, {"a", `80`, `{}`}, {"a, 1 AS b", `"a"`, `{"b":1}`}, {"a", ` `, `{}`}, {"*", ` `, ` `}, {"*, 1 AS x", ` `, "error"}, {"length('' + a) AS n", `{"a":1e2000}`, `{"n":6}`},
		{"decode(encode(*, 'base64'), 'base64') AS x", "80", `{"x":80}`}, {"decode(encode(*, 'base64'), 'base64') AS x", "text", `{"x":"text"}`}, {"decode(encode(*, 'base64'), 'base64') AS x", "\xff", `{"x":null}`}, {"decode(encode(*, 'base64'), 'base64').a AS x", `{"a":1}`, `{"x":1}`},
	} {
		st, err := CompileStatement("SELECT "+c.sel+" FROM 't'", nil)
		if err != nil {
			t.Errorf("%s: %v", c.sel, err)
			continue
		}
		out, matched, err := st.Eval(context.Background(), &Input{Payload: []byte(c.payload)})
		if got := string(out); err != nil != (c.want == "error") || err == nil && (got != c.want || !matched || out == nil) {
			t.Errorf("SELECT %s on %s: %s, %v, want %s", c.sel, c.payload, got, err, c.want)
		}
	}
}
