package sql

import (
	"context"
	"fmt"
	"strings"
)

// A Binding is what the templates of one rule are compiled with. It travels in
// the context in which the actions of the rule are opened, so that rules and
// actions, which do not know each other, agree on the language. It is used by
// one goroutine.
type Binding struct {
	TemplateOptions
	Rule string // its name

	// ErrorAction is set while the error action of the rule is opened.
	ErrorAction bool

	// Asks is set when a template was compiled that calls functions of the
	// host that are not Inline.
	Asks bool
}

type bindingKey struct{}

// WithBinding returns a context that carries b.
func WithBinding(ctx context.Context, b *Binding) context.Context {
	return context.WithValue(ctx, bindingKey{}, b)
}

// BindingOf is the Binding that ctx carries, or nil.
func BindingOf(ctx context.Context) *Binding {
	b, _ := ctx.Value(bindingKey{}).(*Binding)
	return b
}

// Compile compiles a text with substitutions; a nil Binding is all defaults.
func (b *Binding) Compile(text string) (*Template, error) {
	if b == nil {
		return CompileTemplate(text, nil)
	}
	t, err := CompileTemplate(text, &b.TemplateOptions)
	if err == nil && t.Asks() {
		b.Asks = true
	}
	return t, err
}

// decimalDialect marks DecimalDivision in a dialect.
const decimalDialect = "/decimal"

// Dialect spells what makes a template mean something else: empty for the
// defaults, else the version, and what Int / Int is.
func (b *Binding) Dialect() string {
	if b == nil {
		return ""
	}
	version := b.Version
	if version == "" {
		version = Version2016
	}
	if b.DecimalDivision {
		return version + decimalDialect
	}
	if version == Version2016 {
		return ""
	}
	return version
}

// ParseDialect is a Binding of that dialect, nil for the empty one.
func ParseDialect(s string) (*Binding, error) {
	if s == "" {
		return nil, nil
	}
	version, rest, _ := strings.Cut(s, "/")
	b := &Binding{TemplateOptions: TemplateOptions{Options: Options{Version: version, DecimalDivision: rest != ""}}}
	if b.Dialect() != s {
		return nil, fmt.Errorf("sql: %q is no dialect", s)
	}
	return b, nil
}
