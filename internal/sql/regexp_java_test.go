package sql

import (
	"fmt"
	"testing"
)

// TestJavaPatterns: what java.util.regex finds, held against it.
func TestJavaPatterns(t *testing.T) {
	for _, c := range []struct{ pattern, text, want string }{ // want is the first place, or nothing
		{`\p{Alpha}+`, "1abC2", "abC"}, {`\P{Alpha}+`, "ab12c", "12"}, {`\p{Upper}`, "aB", "B"}, {`\p{Punct}+`, "a-;b", "-;"}, {`\p{XDigit}+`, "xfF0g", "fF0"},
		{`[\p{Upper}\p{Digit}]+`, "aB1c", "B1"}, {`[^\p{Lower}]+`, "aB1c", "B1"}, {`[\P{Lower}]+`, "aB1c", "B1"}, {`\p{L}+`, "1é2", "é"}, {`\p{IsLatin}+`, "1é2", "é"}, {`\p{Lu}`, "aÉ", "É"},
		{`\p{Other}`, "a", ""}, {`\p{Alpha`, "a", ""}, {`\pL`, "1a", "a"},
		{`\u0041`, "xA", "A"}, {`[\u0041-\u0043]+`, "xABCD", "ABC"}, {`\ud83d\ude00`, "x😀", "😀"}, {`\ud83d`, "😀", ""}, {`\u004`, "A", ""}, {`\u004g`, "A", ""},
		{`\h+`, "a \t\u00a0b", " \t\u00a0"}, {`\H+`, " ab\t", "ab"}, {`[\hx]+`, "a x\ty", " x\t"}, {`\v`, "a\u2028b", "\u2028"}, {`\V+`, "\nab\r", "ab"}, {`\R`, "a\r\nb", "\r\n"}, {`\R`, "a\vb", "\v"}, {`[\R]`, "a\n", ""},
		{`\s`, "a\vb", "\v"}, {`\S+`, "\v a ", "a"}, {`[\s\S]+`, " a\n", " a\n"}, {`[\S]`, "a", "a"}, {`[\H]`, "a", ""}, {`\e`, "\x1b", "\x1b"}, {`\cA`, "\x01", "\x01"}, {`\c`, "c", ""}, {`\0101`, "xA", "A"}, {`\07`, "\a", "\a"}, {`\0400`, " 0", " 0"}, {`\08`, "8", ""}, {`\0`, "0", ""}, {`\x41`, "A", "A"},
		{`[a[bc]d]+`, "xabcdy", "abcd"}, {`[[:ab]]+`, "x:bay", ":ba"}, {`[a[^b]]`, "c", ""}, {`[a&&b]`, "a", ""}, {`[a&b]+`, "x&b", "&b"}, {`[^[ab]]+`, "abxy", "xy"}, {`[a[]b]]+`, "x]b", "]b"}, {`[]a]+`, "x]a", "]a"}, {`[^]a]+`, "]ab", "b"}, {`[a^b]+`, "x^a", "^a"}, {`[[^]]`, "^", ""}, {`[b[c^]]+`, "x^c", "^c"}, {`[a\]b]+`, "x]b", "]b"}, {`[ab`, "a", ""}, {`[`, "[", ""}, {`[]`, "]", ""},
		{`\Qa.b[\E.`, "a.b[c", "a.b[c"}, {`\Qa.b`, "axb a.b", "a.b"}, {`[\Q^-]\E]+`, "a-]^", "-]^"}, {`\Q\E`, "a", ""}, {`\é+`, "aéé", "éé"}, {`\-\.\ `, "a-. ", "-. "}, {`a\`, "a", ""}, {`\y`, "y", ""},
		{`(?i)AB`, "xab", "ab"}, {`(?<n>a)b`, "ab", "ab"}, {`a(?=b)`, "ab", ""}, {`(a)\1`, "aa", ""}, {`a*+`, "aa", ""}, {`\d{2}\w`, "a12b", "12b"}, {`^a\z`, "a", "a"}, {`\bab\b`, "x ab", "ab"},
	} {
		want := ""
		if c.want != "" {
			want = string(appendString(nil, c.want))
		}
		got := both(t, "regexp_substr("+quoted(c.text)+", %s)", c.pattern)
		if got != want && !(got == `""` && c.want == "") {
			t.Errorf("%s in %q: got %s, want %s", c.pattern, c.text, got, want)
		}
	}
	deep := ""
	for range 200 {
		deep = fmt.Sprintf("[a%s]", deep)
	}
	if _, err := compilePattern(deep); err == nil {
		t.Error("200 classes within each other compile")
	}
}
