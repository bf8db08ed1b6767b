package sql

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const languagePayload = `{"i":5,"n":-7,"d":2.5,"z":0,"s":"abc","e":"","u":"é€😀x","num":"3","dec":"-2.5","t":true,"f":false,"ts":"TRUE","fs":"False",` +
	`"nul":null,"arr":[1,"two",null,[3],{"k":4}],"obj":{"a":1,"b":{"c":"x"}},"sp":" \t x \n","big":9007199254740993,` +
	`"list":[{"v":1,"w":"a"},{"v":2},{"w":"c"},5]`

var languageInput = Input{Topic: "a/b/c", ClientID: "c1", Principal: "cert", SourceIP: "192.0.2.1", TraceID: "trace", AccountID: "123456789012",
	Time: time.UnixMilli(1700000000123),
	Properties: Properties{UTF8: true, ContentType: "text/plain", ResponseTopic: "r/t", CorrelationData: []byte{0xff, 0},
		User: []UserProperty{{"k", "1"}, {"K", "3\"\n"}, {"k", "2"}}}}

// TestLanguage goes through testdata/language.txt.
func TestLanguage(t *testing.T) {
	text, err := os.ReadFile("testdata/language.txt")
	if err != nil {
		t.Fatal(err)
	}
	opts := &Options{}
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case line == "", line[0] == '#', strings.HasPrefix(line, "=="):
			continue
		case strings.HasPrefix(line, "@version "):
			opts.Version = line[len("@version "):]
			continue
		}
		expr, want, ok := strings.Cut(line, " =>")
		want = strings.TrimSpace(want)
		if !ok {
			t.Fatalf("line %d: no =>", i+1)
		}
		if got := language(expr, languagePayload+"}", opts); got != want {
			t.Errorf("line %d: %s is %s, want %s", i+1, expr, got, want)
		}
		moved, payload := unfold(expr)
		if got := language(moved, languagePayload+payload+"}", opts); !sameJSON(got, want) {
			t.Errorf("line %d: %s with its literals in the payload is %s, want %s", i+1, expr, got, want)
		}
	}
}

// language is the value of an expression as JSON, or what is wrong.
func language(expr, payload string, opts *Options) string {
	text := "SET @declared = 1 SELECT VALUE " + expr
	st, err := CompileStatement(text, opts)
	if err != nil {
		return "compile: " + err.Error()
	}
	in := languageInput
	in.Payload = []byte(payload)
	out, _, err := st.Eval(context.Background(), &in)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(out)
}

// unfold takes the literals out of an expression: each becomes a name, and a
// member of the payload.
func unfold(expr string) (moved, members string) {
	var b, m strings.Builder
	for i, n := 0, 0; ; {
		tok, err := lex(expr, i)
		if err != nil || tok.kind == tokEOF {
			b.WriteString(expr[i:])
			return b.String(), m.String()
		}
		b.WriteString(expr[i:tok.pos])
		value := ""
		switch {
		case tok.kind == tokNumber:
			value = tok.val
		case tok.kind == tokString:
			if next, _ := lex(expr, tok.end); next.val != ":" {
				value = string(appendString(nil, tok.val))
			}
		case tok.kind == tokWord:
			if w := strings.ToLower(tok.val); w == "true" || w == "false" || w == "null" {
				value = w
			}
		}
		if value == "" {
			b.WriteString(expr[tok.pos:tok.end])
		} else {
			n++
			fmt.Fprintf(&b, "lit%d", n)
			fmt.Fprintf(&m, `,"lit%d":%s`, n, value)
		}
		i = tok.end
	}
}
