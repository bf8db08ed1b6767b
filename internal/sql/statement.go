package sql

import (
	"context"
	"fmt"
)

// A Statement is a compiled rule statement. It is immutable and safe for
// concurrent use.
type Statement struct {
	body      *body
	preds     []Pred // what WHERE begins with
	filter    string
	filterPos int
	hasFilter bool
}

// A body is what statements share that differ in their topic filter and in
// the literals of their Preds.
type body struct {
	key   string // the same for the same body
	prog  *program
	set   []setVar
	where condFunc // after the Preds, or nil
	whole bool     // SELECT * alone, SELECT VALUE *
	value bool
	item  code
	proj  *projection
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
	s := &Statement{filter: sel.Filter, filterPos: sel.FilterPos, hasFilter: sel.HasFilter}
	b := &body{prog: c.prog, value: sel.Value}
	s.body = b
	b.set = c.set(sel.Set)
	var paths string
	var rest Node
	if sel.Where != nil {
		s.preds, paths, rest = c.where(sel.Where)
	}
	if rest != nil {
		b.where = c.filter(rest)
	}
	_, isStar := sel.Items[0].X.(*Star)
	switch {
	case isStar && len(sel.Items) == 1 && sel.Items[0].Alias == nil:
		b.whole = true
	case sel.Value:
		b.item = c.expr(sel.Items[0].X)
	default:
		b.proj = c.projection(sel.Items)
	}
	if c.err != nil {
		return nil, c.err
	}
	b.key = bodyKey(c.prog, sel, paths, rest)
	return s, nil
}

// where takes the Preds off the front of a WHERE clause; paths spells theirs.
// What comes after a condition of another kind stays behind it: it might
// fail, and a failure is not to be passed over.
func (c *compiler) where(n Node) (preds []Pred, paths string, rest Node) {
	all := conjuncts(n, nil)
	for len(all) > 0 {
		p, path, ok := c.pred(all[0])
		if !ok {
			break
		}
		preds, paths, all = append(preds, p), paths+path+";", all[1:]
	}
	for _, n := range all {
		if rest == nil {
			rest = n
		} else {
			rest = &Binary{at: at(n.Pos()), Op: "AND", L: rest, R: n}
		}
	}
	return preds, paths, rest
}

// bodyKey spells what a body does: the version, the paths of the Preds, which
// have slots, and the statement without filter and Preds.
func bodyKey(p *program, sel *Select, paths string, rest Node) string {
	bare := *sel
	bare.HasFilter, bare.Filter, bare.Where = false, "", rest
	return p.version + " " + paths + Print(&bare)
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
	if c.explain != nil {
		return c.explain.filter(c, b)
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

// Share is s with the body of another statement in place of its own, if they
// are the same: equal Bodies. What differs stays: filter and literals.
func (s *Statement) Share(other *Statement) *Statement {
	if s.body.key != other.body.key {
		return s
	}
	shared := *s
	shared.body = other.body
	return &shared
}

// PredsIn is s with its Preds moved to room, if they fit.
func (s *Statement) PredsIn(room []Pred) *Statement {
	moved := *s
	if len(s.preds) <= len(room) {
		moved.preds = room[:copy(room, s.preds):len(s.preds)]
	}
	return &moved
}

// Body names what the statement does apart from its filter and the literals
// of its Preds.
func (s *Statement) Body() string { return s.body.key }

// Preds are the conditions that WHERE begins with and that must all hold, if
// the statement has no SET clause: one that fails is not to be passed over.
func (s *Statement) Preds() []Pred {
	if len(s.body.set) > 0 {
		return nil
	}
	return s.preds
}

// Steady reports whether all statements of the same Body, their Preds holding,
// make the same of the same message each time: they call no function of the
// host and neither newuuid() nor rand().
func (s *Statement) Steady() bool {
	return !s.body.prog.unsteady && len(s.preds) == len(s.Preds())
}

// Asks reports whether the statement calls functions of the host, which may
// take their time.
func (s *Statement) Asks() bool { return s.body.prog.asks }

// Calls reports whether the statement calls functions of the host, also those
// that are Inline.
func (s *Statement) Calls() bool { return s.body.prog.calls }

// Version is the language version in force.
func (s *Statement) Version() string { return s.body.prog.version }

// Variables are the names of the SET clause, in order.
func (s *Statement) Variables() []string {
	names := make([]string, len(s.body.set))
	for i, v := range s.body.set {
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
	ev := s.body.prog.begin(ctx, in)
	defer ev.end()
	e := &ev.env
	var r Result
	err = s.run(e, &RunOptions{}, &r)
	return r.Out, r.Matched, err
}

// RunOptions are what [Evaluation.Run] may be helped with.
type RunOptions struct {
	Variables bool // Result.Variables is wanted

	// Scan has gone through the payload already; Slots are those that
	// Paths.With gave for the statement. Preds says that the Preds hold.
	Scan  *Scan
	Slots []int32
	Preds bool

	// Buf takes the output, appended to it, in place of memory of its own.
	Buf []byte
}

// A Result is what [Evaluation.Run] returns. Whole says that Out is the payload
// itself.
type Result struct {
	Out       []byte
	Variables []Variable
	Matched   bool
	Whole     bool
}

// Run is Eval of s on ev.Input with all that can be chosen.
func (ev *Evaluation) Run(ctx context.Context, s *Statement, opts *RunOptions) (r Result, err error) {
	err = ev.RunInto(ctx, s, opts, &r)
	return r, err
}

// RunInto is Run with the memory of the result, which is zero.
func (ev *Evaluation) RunInto(ctx context.Context, s *Statement, opts *RunOptions, r *Result) error {
	ev.begin(ctx, s.body.prog)
	defer ev.env.reset()
	return s.run(&ev.env, opts, r)
}

func (s *Statement) run(e *env, opts *RunOptions, r *Result) error {
	b := s.body
	if opts.Scan != nil {
		e.adopt(opts.Scan, opts.Slots)
	}
	held := opts.Preds || len(s.preds) == 0
	switch {
	case len(b.set) > 0:
		b.assign(e)
	case !held && e.state == unscanned:
		var refuted bool
		if refuted, held = e.refute(s.preds); refuted {
			return nil
		}
	}
	if e.err != nil || !held && !s.hold(e) || b.where != nil && b.where(e) != yes || e.err != nil {
		return e.err
	}
	switch {
	case b.whole:
		if r.Out = e.in.Payload; r.Out == nil {
			r.Out = []byte{}
		}
	case opts.Buf != nil:
		r.Out = b.output(e, opts.Buf)
	default:
		buf := b.output(e, e.buffer())
		r.Out = make([]byte, len(buf))
		copy(r.Out, buf)
		e.done(buf)
	}
	if e.err != nil {
		r.Out = nil
		return e.err
	}
	r.Matched, r.Whole = true, b.whole
	if opts.Variables {
		for i, v := range b.set {
			r.Variables = append(r.Variables, Variable{v.name, e.vars[i].kept()})
		}
	}
	return nil
}

// hold reports whether all Preds hold.
func (s *Statement) hold(e *env) bool {
	for i := range s.preds {
		p := &s.preds[i]
		if !p.holds(e.load(e.slot(p.Slot))) {
			return false
		}
	}
	return true
}

// output appends what SELECT makes.
func (s *body) output(e *env, b []byte) []byte {
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
func (s *body) assign(e *env) {
	total := 0
	for _, v := range s.set {
		val := v.code.eval(e)
		e.vars = append(e.vars, val)
		if total += e.minified(val); total > maxVariableBytes {
			e.fail(fmt.Errorf("%w: the values of SET are more than %d bytes at @%s", ErrLimit, maxVariableBytes, v.name))
			return
		}
	}
}

// minified is the length of v as JSON without space.
func (e *env) minified(v Value) int {
	b := e.buffer()
	if v.kind == Array || v.kind == Object {
		e.charge(len(v.s))
		b = appendCompact(b, v.s, e.p.legacy)
	} else {
		b = v.appendJSON(b, e.p.legacy)
	}
	e.done(b)
	return len(b)
}
