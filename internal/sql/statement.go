package sql

import (
	"bytes"
	"context"
	"fmt"
)

// A Statement is a compiled rule statement. It is immutable and safe for
// concurrent use.
type Statement struct {
	prog      *program
	filter    string
	filterPos int
	hasFilter bool
	set       []setVar
	where     condFunc // or nil
	whole     bool     // SELECT * alone, SELECT VALUE *
	value     bool
	item      code
	proj      *projection
}

type setVar struct {
	name string
	code code
}

// CompileStatement compiles a rule statement. The error is a *SyntaxError,
// unless the options are wrong.
func CompileStatement(text string, opts *Options) (*Statement, error) {
	c, err := newCompiler(text, opts)
	if err != nil {
		return nil, err
	}
	sel, err := ParseStatement(text, opts)
	if err != nil {
		return nil, err
	}
	s := &Statement{prog: c.prog, filter: sel.Filter, filterPos: sel.FilterPos, hasFilter: sel.HasFilter, value: sel.Value}
	s.set = c.set(sel.Set)
	if sel.Where != nil {
		s.where = c.filter(sel.Where)
	}
	_, isStar := sel.Items[0].X.(*Star)
	switch {
	case isStar && len(sel.Items) == 1 && sel.Items[0].Alias == nil:
		s.whole = true
	case sel.Value:
		s.item = c.expr(sel.Items[0].X)
	default:
		s.proj = c.projection(sel.Items)
	}
	if c.err != nil {
		return nil, c.err
	}
	return s, nil
}

// set compiles a SET clause; each variable is visible to those after it.
func (c *compiler) set(assigns []Assign) []setVar {
	var all []setVar
	for _, a := range assigns {
		all = append(all, setVar{a.Name, c.starOr(a.X)})
		c.vars[a.Name] = len(all) - 1
	}
	return all
}

// filter compiles a WHERE clause. What counts is only whether it is true, so
// the right side of an AND need not be looked at when the left is not.
func (c *compiler) filter(n Node) condFunc {
	b, ok := n.(*Binary)
	if !ok || b.Op != "AND" {
		return c.expr(n).condition()
	}
	l, r := c.filter(b.L), c.filter(b.R)
	return func(e *env) tri {
		if t := l(e); t != yes {
			return t
		}
		return r(e)
	}
}

// Filter is the topic filter after FROM and its place in the text; not ok if
// the statement has no FROM.
func (s *Statement) Filter() (filter string, pos int, ok bool) {
	return s.filter, s.filterPos, s.hasFilter
}

// Version is the language version in force.
func (s *Statement) Version() string { return s.prog.version }

// Variables are the names of the SET clause, in order.
func (s *Statement) Variables() []string {
	names := make([]string, len(s.set))
	for i, v := range s.set {
		names[i] = v.name
	}
	return names
}

// Eval evaluates the statement on one message, whatever its topic. matched
// says that WHERE is true or absent; out is then what SELECT made: JSON, the
// bytes of the payload themselves for SELECT *, or empty for a SELECT VALUE
// that is Undefined.
//
// An error abandons the evaluation: a *FunctionError, or one that wraps
// ErrLimit or ErrNotJSON.
func (s *Statement) Eval(ctx context.Context, in *Input) (out []byte, matched bool, err error) {
	out, _, matched, err = s.run(ctx, in, false)
	return out, matched, err
}

// EvalVariables is Eval, and hands out the values of the SET clause too.
func (s *Statement) EvalVariables(ctx context.Context, in *Input) (out []byte, vars []Variable, matched bool, err error) {
	return s.run(ctx, in, true)
}

func (s *Statement) run(ctx context.Context, in *Input, wantVars bool) (out []byte, vars []Variable, matched bool, err error) {
	e := s.prog.env(ctx, in)
	defer e.release()
	s.assign(e)
	if e.err == nil && s.where != nil && s.where(e) != yes || e.err != nil {
		return nil, nil, false, e.err
	}
	if s.whole {
		out = in.Payload
		if out == nil {
			out = []byte{}
		}
	} else {
		b := s.output(e, e.buffer())
		out = bytes.Clone(b)
		e.done(b)
	}
	if e.err != nil {
		return nil, nil, false, e.err
	}
	if wantVars {
		for i, v := range s.set {
			vars = append(vars, Variable{v.name, e.vars[i].detach()})
		}
	}
	return out, vars, true, nil
}

// output appends what SELECT makes.
func (s *Statement) output(e *env, b []byte) []byte {
	if !s.value {
		return s.proj.appendTo(e, b)
	}
	v := s.item.eval(e)
	if e.p.legacy && v.kind == Array {
		return b // the older version cannot output an array
	}
	return v.appendJSON(b, e.p.legacy)
}

// maxVariableBytes bounds the values of a SET clause, each and together, as
// minified JSON.
const maxVariableBytes = 128 << 10

// assign evaluates the SET clause.
func (s *Statement) assign(e *env) {
	total := 0
	for _, v := range s.set {
		val := v.code.eval(e)
		e.vars = append(e.vars, val)
		if len(val.s) > 0 {
			total += e.minified(val)
		}
		if total > maxVariableBytes {
			e.fail(fmt.Errorf("%w: the values of SET are more than %d bytes at @%s", ErrLimit, maxVariableBytes, v.name))
			return
		}
	}
}

// minified is the length of v as JSON without space.
func (e *env) minified(v Value) int {
	switch v.kind {
	case Array, Object:
		e.charge(len(v.s))
		b := appendCompact(e.buffer(), v.s, e.p.legacy)
		e.done(b)
		return len(b)
	case String:
		return len(v.s) + 2
	}
	return 0
}
