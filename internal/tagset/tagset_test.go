package tagset

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	many := map[string]string{}
	for i := range Max {
		many[fmt.Sprint(i)] = ""
	}
	tooMany := maps.Clone(many)
	tooMany["x"] = ""
	for _, row := range []struct {
		about string
		tags  map[string]string
		ok    bool
	}{
		{"none", nil, true},
		{"fifty", many, true},
		{"fifty-one", tooMany, false},
		{"every sign", map[string]string{"a_.:/=+-@ 1": "b_.:/=+-@ 2"}, true},
		{"letters of any script, counted as characters", map[string]string{strings.Repeat("ä", 128): strings.Repeat("字", 256)}, true},
		{"no key", map[string]string{"": "v"}, false},
		{"a key of 129", map[string]string{strings.Repeat("k", 129): ""}, false},
		{"a value of 257", map[string]string{"k": strings.Repeat("v", 257)}, false},
		{"a key of Amazon's", map[string]string{"aws:x": ""}, false},
		{"the same in capitals", map[string]string{"AWS:x": ""}, false},
		{"aws without the colon", map[string]string{"awsx": "aws:"}, true},
		{"another sign", map[string]string{"k": "<"}, false},
		{"no UTF-8", map[string]string{"k": "\xff"}, false},
		{"a line end", map[string]string{"k\n": ""}, false},
	} {
		if err := Check(row.tags); (err == nil) != row.ok {
			t.Errorf("%s: %v", row.about, err)
		}
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"":              "map[]",
		"a=b":           "map[a:b]",
		"a=b&c%20d=e+f": "map[a:b c d:e f]",
		"a":             "map[a:]",
		"a=1&a=2":       `has the key "a" twice`,
		"a=%zz":         `cannot be read: invalid URL escape "%zz"`,
		"a=%3C":         `has "a" = "<": letters, spaces, digits and any of _.:/=+-@ may be used`,
	} {
		tags, err := Parse(in)
		got := fmt.Sprint(tags)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
