package sql

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestSignaturesAreWhole: every function of the language is documented, with
// the arguments that it takes, and no other is.
func TestSignaturesAreWhole(t *testing.T) {
	want := map[string][2]int{"encode": {2, 2}, "decode": {2, 6}, "get_or_default": {1, 2}}
	var opts Options
	for name, b := range builtins {
		want[name] = [2]int{b.min, b.max}
	}
	for name, x := range externals {
		opts.Functions = append(opts.Functions, Function{Name: name, Call: func(context.Context, []Value) (Value, error) { return Value{}, nil }})
		if name != protoName {
			want[name] = [2]int{x.min, x.max}
		}
	}
	all := Signatures(&opts)
	for i, s := range all {
		counts, ok := want[s.Name]
		if !ok || i > 0 && all[i-1].Name >= s.Name {
			t.Errorf("%q is none, or out of order", s.Name)
		}
		delete(want, s.Name)
		if least, most := arguments(s.Params); counts != [2]int{least, most} {
			t.Errorf("%s(%s) takes %d to %d arguments, not %d to %d", s.Name, s.Params, counts[0], counts[1], least, most)
		}
		if s.Doc == "" || strings.HasSuffix(s.Doc, ".") || !slices.Contains([]string{"any", "array", "bool", "int", "num", "str"}, s.Result) {
			t.Errorf("%+v is not whole", s)
		}
		// The version: the compiler says so too.
		args := strings.TrimSuffix(strings.Repeat("'DescribeThing', ", max(counts[0], 0)), ", ")
		o := opts
		o.Version = Version2015
		_, err := CompileStatement(fmt.Sprintf("SELECT %s(%s) FROM 'a'", s.Name, args), &o)
		if since := map[bool]string{true: Version2015, false: Version2016}[err == nil]; s.Since != since {
			t.Errorf("%s is since %s, the compiler says %s (%v)", s.Name, s.Since, since, err)
		}
	}
	if len(want) > 0 {
		t.Errorf("not documented: %v", slices.Sorted(maps.Keys(want)))
	}
}

// arguments are how few and how many a signature takes.
func arguments(params string) (least, most int) {
	if params == "..." {
		return 0, variadic
	}
	count := func(s string) int {
		return len(strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }))
	}
	before, rest, _ := strings.Cut(params, "[")
	optional, after, _ := strings.Cut(rest, "]")
	least = count(before) + count(after)
	return least, least + count(optional)
}

// TestSignaturesByOptions: of functions that ask the outside those that are
// answered, of a version those that it has, and the host's own.
func TestSignaturesByOptions(t *testing.T) {
	call := func(context.Context, []Value) (Value, error) { return Value{}, nil }
	has := func(opts *Options) string {
		var some []string
		for _, s := range Signatures(opts) {
			if slices.Contains([]string{"abs", "aws_lambda", "get_secret", "length", "mine", protoName}, s.Name) {
				some = append(some, s.Name)
			}
		}
		return strings.Join(some, " ")
	}
	for want, opts := range map[string]*Options{
		"abs length":                       nil,
		"abs aws_lambda length mine":       {Functions: []Function{{Name: "aws_lambda", Call: call}, {Name: "mine", Call: call}, {Name: protoName, Call: call}}},
		"abs aws_lambda":                   {Version: Version2015, Functions: []Function{{Name: "aws_lambda", Call: call}, {Name: "get_secret", Call: call}}},
		"abs aws_lambda get_secret length": {Version: VersionBeta, Functions: []Function{{Name: "aws_lambda", Call: call}, {Name: "get_secret", Call: call}}},
	} {
		if got := has(opts); got != want {
			t.Errorf("%+v has %s, want %s", opts, got, want)
		}
	}
}
