package sql

import "context"

// ExprOptions are what CompileExpr needs beyond Options. A nil *ExprOptions
// is all defaults.
type ExprOptions struct {
	Options

	// Host, if set, is asked for every node before it is compiled, from the
	// outermost inwards, once each; of a path a.b.c it sees the whole and
	// a. Where it reports true the node's value is
	// Input.Host[slot], and what is below the node is not compiled: it is
	// the host's own name (as key in window SQL) or its own function (as an
	// aggregate, whose argument the host compiles separately).
	Host func(n Node) (slot int, ok bool)

	// HostError, if set, is asked after the compilation for an error of the
	// host's own, so that Host need not have one.
	HostError func() error
}

// An Expr is a compiled expression. It is immutable and safe for concurrent
// use.
type Expr struct {
	prog *program
	code code
}

// CompileExpr compiles a node that was parsed from text, which the messages
// of errors quote.
func CompileExpr(n Node, text string, opts *ExprOptions) (*Expr, error) {
	if opts == nil {
		opts = new(ExprOptions)
	}
	c, err := newCompiler(text, &opts.Options)
	if err != nil {
		return nil, err
	}
	c.host = opts.Host
	r := c.starOr(n)
	if opts.HostError != nil {
		if err := opts.HostError(); err != nil {
			return nil, err
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	return &Expr{c.prog, r}, nil
}

// Eval is the value of the expression for in. Errors are as those of
// Statement.Eval.
func (x *Expr) Eval(ctx context.Context, in *Input) (Value, error) {
	ev := x.prog.begin(ctx, in)
	defer ev.end()
	e := &ev.env
	v := x.code.eval(e)
	if e.err != nil {
		return Value{}, e.err
	}
	return v.detach(), nil
}

// True reports whether the expression is true, as WHERE wants it.
func (x *Expr) True(ctx context.Context, in *Input) (bool, error) {
	ev := x.prog.begin(ctx, in)
	defer ev.end()
	e := &ev.env
	b, ok := x.code.eval(e).Bool()
	return ok && b && e.err == nil, e.err
}
