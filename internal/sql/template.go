package sql

import (
	"context"
	"slices"
	"strings"
)

// TemplateOptions are what CompileTemplate needs beyond Options. A nil
// *TemplateOptions is all defaults.
type TemplateOptions struct {
	Options

	// Variables are the names that @name may have, as those of
	// Statement.Variables; their values come with Input.Variables. Nil
	// leaves any name to be declared elsewhere, Template.Variables then
	// tells which are used. A name without a value is Undefined.
	Variables []string

	// AccountID is what accountid() returns where Input.AccountID is empty.
	AccountID string
}

// A Template is a text with ${expressions} in it. It is immutable and safe
// for concurrent use.
type Template struct {
	prog  *program
	text  string
	parts []part
	vars  []string
}

// A part is a piece of text, or an expression.
type part struct {
	text string
	expr *code
}

// CompileTemplate compiles a text with substitutions. A $ that no { follows
// is text; @{...}, which the service has for the elements of InfluxDB alone, is
// an error. The end of an expression is found by reading it, so that braces
// and quotes within it do no harm. The error is a *SyntaxError whose place is
// in text, unless the options are wrong.
func CompileTemplate(text string, opts *TemplateOptions) (*Template, error) {
	if opts == nil {
		opts = new(TemplateOptions)
	}
	c, err := newCompiler(text, &opts.Options)
	if err != nil {
		return nil, err
	}
	c.template, c.anyVar = true, true
	c.prog.account = opts.AccountID
	t := &Template{prog: c.prog, text: text}
	pieces, err := TemplatePieces(text, &opts.Options)
	if err != nil {
		return nil, err
	}
	for _, piece := range pieces {
		if piece.Expr == nil {
			if i := strings.Index(piece.Text, "@{"); i >= 0 {
				return nil, hint(syntaxError(text, piece.Pos+i, "there is no @{...} here"), "${...}")
			}
			t.addText(piece.Text)
			continue
		}
		r := c.expr(piece.Expr)
		for _, name := range c.named {
			if opts.Variables != nil && !slices.Contains(opts.Variables, name) {
				c.fail(piece.Expr.Pos(), "variable @%s is not declared by the SET clause of the rule", name)
			}
		}
		if c.err != nil {
			return nil, c.err
		}
		if r.konst {
			b, _ := r.v.appendText(nil, c.prog.legacy)
			t.addText(string(b))
		} else {
			t.parts = append(t.parts, part{expr: &r})
		}
	}
	t.vars = c.named
	return t, nil
}

// addText adds a piece of text, to the last part if that is text.
func (t *Template) addText(s string) {
	if n := len(t.parts); n > 0 && t.parts[n-1].expr == nil {
		t.parts[n-1].text += s
		return
	}
	if s != "" {
		t.parts = append(t.parts, part{text: s})
	}
}

// Asks reports whether the template calls functions of the host, which may take
// their time.
func (t *Template) Asks() bool { return t.prog.asks }

// Text is the text that was compiled.
func (t *Template) Text() string { return t.text }

// Variables are the variables that the template uses, without the @.
func (t *Template) Variables() []string { return t.vars }

// Constant is the result, if it does not depend on the message.
func (t *Template) Constant() (string, bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case len(t.parts) == 1 && t.parts[0].expr == nil:
		return t.parts[0].text, true
	}
	return "", false
}

// Prefix is the text before the first expression that depends on the message.
func (t *Template) Prefix() string {
	if len(t.parts) == 0 {
		return ""
	}
	return t.parts[0].text // empty for an expression
}

// Expand evaluates every expression on in and puts its String in the place;
// Undefined and Null leave nothing. Errors are as those of Statement.Eval.
func (t *Template) Expand(ctx context.Context, in *Input) (string, error) {
	if s, ok := t.Constant(); ok {
		return s, nil
	}
	ev := t.prog.begin(ctx, in)
	defer ev.end()
	e := &ev.env
	b := e.buffer()
	for _, p := range t.parts {
		if p.expr == nil {
			b = append(b, p.text...)
			continue
		}
		b, _ = p.expr.eval(e).appendText(b, e.p.legacy)
		if !e.room(len(b)) {
			break
		}
	}
	s := string(b)
	e.done(b)
	if e.err != nil {
		return "", e.err
	}
	return s, nil
}

// A TemplatePiece is a piece of text of a template, or an expression.
type TemplatePiece struct {
	Text string
	Expr Node
	Pos  int // byte offset of a text
}

// TemplatePieces takes a template apart without compiling its expressions.
func TemplatePieces(text string, opts *Options) ([]TemplatePiece, error) {
	var all []TemplatePiece
	for i := 0; ; {
		n := strings.Index(text[i:], "${")
		if n < 0 {
			return append(all, TemplatePiece{Text: text[i:], Pos: i}), nil
		}
		all = append(all, TemplatePiece{Text: text[i : i+n], Pos: i})
		p := NewParser(text, i+n+2, opts)
		x, err := p.Expr()
		if err != nil {
			return nil, err
		}
		if !p.AtPunct("}") {
			if p.Err() != nil {
				return nil, p.Err()
			}
			return nil, p.Unexpected("an operator or }")
		}
		all = append(all, TemplatePiece{Expr: x})
		i = p.Pos() + 1
	}
}
