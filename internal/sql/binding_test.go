package sql

import (
	"context"
	"strings"
	"testing"
)

func TestBinding(t *testing.T) {
	quick := Function{Name: "quick", Inline: true, Call: func(context.Context, []Value) (Value, error) { return IntValue(1), nil }}
	slow := Function{Name: "slow", Call: func(context.Context, []Value) (Value, error) { return IntValue(2), nil }}
	b := &Binding{Rule: "r"}
	b.Functions, b.Version, b.Variables, b.AccountID = []Function{quick, slow}, Version2015, []string{"x"}, "123"
	if BindingOf(WithBinding(t.Context(), b)) != b || BindingOf(t.Context()) != nil || BindingOf(WithBinding(t.Context(), nil)) != nil {
		t.Error("a context carries another binding")
	}
	for _, c := range []struct {
		text, want string
		asks       bool
	}{
		{"${accountid()} ${10.0} ${@x} ${quick()}", "123 10.0 5 1", false},
		{"a", "a", false},
		{"${slow()}", "2", true},
		{"${quick()}", "1", true}, // it stays set
	} {
		tmpl, err := b.Compile(c.text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.Expand(t.Context(), &Input{Variables: []Variable{{"x", IntValue(5)}}})
		if got != c.want || err != nil || b.Asks != c.asks {
			t.Errorf("%s is %q, %v, and asks: %v", c.text, got, err, b.Asks)
		}
	}
	if tmpl, err := b.Compile("${accountid()}"); err != nil {
		t.Error(err)
	} else if got, _ := tmpl.Expand(t.Context(), &Input{AccountID: "9"}); got != "9" {
		t.Errorf("accountid() of an input that has one is %s", got)
	}
	for text, want := range map[string]string{"${[1]}": "array literals need", "${@y}": "@y is not declared", "${other()}": "no function other", "a @{x}": "column 3: there is no @{...} here, expected ${...}"} {
		if _, err := b.Compile(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := (*Binding)(nil).Compile("${[1]}${@any}${'@{'}"); err != nil {
		t.Error(err)
	}
}

func TestDialects(t *testing.T) {
	of := func(version string, decimal bool) *Binding {
		b := new(Binding)
		b.Version, b.DecimalDivision = version, decimal
		return b
	}
	seen := map[string]bool{}
	for _, b := range []*Binding{of(Version2016, false), of(Version2015, false), of(VersionBeta, false), of(Version2016, true), of(Version2015, true)} {
		d := b.Dialect()
		back, err := ParseDialect(d)
		if err != nil || seen[d] || back.Dialect() != d || back != nil && (back.Version != b.Version || back.DecimalDivision != b.DecimalDivision) {
			t.Errorf("%q is read as %+v, %v", d, back, err)
		}
		seen[d] = true
	}
	if !seen[""] || of("", false).Dialect() != "" || of("", true).Dialect() != of(Version2016, true).Dialect() {
		t.Errorf("dialects are %v", seen)
	}
	for _, wrong := range []string{"2015-10-08/", "2015-10-08/other", "/decimal", Version2016} {
		if b, err := ParseDialect(wrong); err == nil {
			t.Errorf("%q is read as %+v", wrong, b)
		}
	}
}
