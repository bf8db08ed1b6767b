package sql

import (
	"context"
	"fmt"
	"strings"
)

// A Step is one expression of a statement and what it came to for one message.
type Step struct {
	Node   Node
	Clause string // "SET @x", "WHERE", "SELECT"
	Depth  int    // of nesting within the clause, 0 for a whole expression of it
	Value  Value  // the first, where a nested query evaluates it several times
	Times  int    // how often it was evaluated; 0: not at all, the AND that it belongs to had come to its end
	Why    string // if Value is Undefined: the cause
}

// An Explained is a statement evaluated on one message with all that was seen
// on the way. Steps come in the order of evaluation, parts before the whole.
// Literals have none, nor have the branches of a CASE that were not taken. What
// AND joins in WHERE is evaluated from left to right until something is not
// true: what comes after that has a Step with Times 0, and the AND has the value
// of its left side.
type Explained struct {
	Steps     []Step
	Where     *Step // of the whole WHERE clause; nil without one
	Result    Result
	Variables []Variable
}

// Explain evaluates a statement on one message as Run does: what Run does not
// evaluate is not evaluated here. It compiles the text anew: it is for people,
// not for every message. The error is that of compiling, or of the
// evaluation; with the latter Explained has what was seen until then.
func Explain(ctx context.Context, text string, opts *Options, in *Input) (*Explained, error) {
	c, err := newCompiler(text, opts)
	if err != nil {
		return nil, err
	}
	sel, err := ParseStatement(text, opts)
	if err != nil {
		return nil, err
	}
	x := &explainer{known: map[Node]int{}}
	c.explain = x
	b := &body{prog: c.prog, value: sel.Value}
	for _, a := range sel.Set {
		x.clause = "SET @" + a.Name
		b.set = append(b.set, c.set([]Assign{a})...)
		c.vars[a.Name] = len(b.set) - 1
	}
	if sel.Where != nil {
		x.clause = "WHERE"
		b.where = c.filter(sel.Where)
	}
	x.clause = "SELECT"
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
	out := &Explained{}
	ev := &Evaluation{Input: *in}
	out.Result, err = ev.Run(ctx, &Statement{body: b}, &RunOptions{Variables: true})
	out.Steps, out.Variables = x.steps, out.Result.Variables
	for i := range out.Steps {
		s := &out.Steps[i]
		if s.Value.kind == Undefined && s.Times > 0 {
			s.Why = x.why(s.Node)
		}
		if s.Node == sel.Where {
			out.Where = s
		}
	}
	return out, err
}

// An explainer is told of values as they are computed.
type explainer struct {
	clause string
	depth  int
	steps  []Step
	known  map[Node]int // index into steps
	bytes  bool         // the payload is not JSON
}

// watch wraps the code of a node. Literals are not worth a step.
func (x *explainer) watch(n Node, compile func() code) code {
	clause, depth := x.clause, x.depth
	x.depth++
	r := compile()
	x.depth--
	switch n.(type) {
	case *NumberLit, *StringLit, *BoolLit, *NullLit:
		return r
	}
	saw := func(e *env, v Value) Value {
		x.bytes = x.bytes || e.state == isBytes
		if i, ok := x.known[n]; ok {
			x.steps[i].Times++
			return v
		}
		x.known[n] = len(x.steps)
		x.steps = append(x.steps, Step{Node: n, Clause: clause, Depth: depth, Value: v.detach(), Times: 1})
		return v
	}
	watched := code{eval: func(e *env) Value { return saw(e, r.eval(e)) }, konst: r.konst, v: r.v, slot: -1}
	if r.cond != nil {
		watched.cond = func(e *env) tri {
			t := r.cond(e)
			saw(e, t.value())
			return t
		}
	}
	return watched
}

// filter is compiler.filter for an AND, and notes what it leaves out.
func (x *explainer) filter(c *compiler, and *Binary) condFunc {
	depth := x.depth
	return x.watch(and, func() code {
		l, r := c.filter(and.L), c.filter(and.R)
		return condition(func(e *env) tri {
			if t := l(e); t != yes {
				x.known[and.R] = len(x.steps)
				x.steps = append(x.steps, Step{Node: and.R, Clause: "WHERE", Depth: depth + 1})
				return t
			}
			return r(e)
		})
	}).condition()
}

// undefinedPart finds the first part of n that was Undefined.
func (x *explainer) undefinedPart(parts ...Node) Node {
	for _, p := range parts {
		if i, ok := x.known[p]; ok && x.steps[i].Times > 0 && x.steps[i].Value.kind == Undefined {
			return p
		}
	}
	return nil
}

// kind names the type of a part and shows a short value.
func (x *explainer) kind(n Node) string {
	v, ok := Value{}, false
	switch n := n.(type) {
	case *NumberLit:
		return "the number " + n.Text
	case *StringLit:
		v, ok = Value{kind: String, s: n.Value}, true
	case *BoolLit:
		v, ok = BoolValue(n.Value), true
	case *NullLit:
		v, ok = NullValue(), true
	default:
		i, known := x.known[n]
		if known && x.steps[i].Times > 0 {
			v, ok = x.steps[i].Value, true
		}
	}
	if !ok {
		return Print(n)
	}
	text := string(v.JSON())
	if len(text) > 40 {
		text = text[:40] + "..."
	}
	return fmt.Sprintf("the %s %s", v.kind, text)
}

// why is the cause of an Undefined.
func (x *explainer) why(n Node) string {
	var parts []Node
	because := ""
	switch n := n.(type) {
	case *Ident, *Member:
		if base := root(n); base != nil {
			if u := x.undefinedPart(base); u != nil {
				return Print(u) + " is Undefined"
			}
			return "it has no member of that name"
		}
		if x.bytes {
			return "the payload is not a JSON object or array"
		}
		return "the payload has no such member"
	case *VarRef:
		return "the variable is Undefined"
	case *Unary:
		parts, because = []Node{n.X}, fmt.Sprintf("%s cannot take %s", n.Op, x.kind(n.X))
	case *Binary:
		parts = []Node{n.L, n.R}
		switch n.Op {
		case "AND", "OR":
			because = fmt.Sprintf("%s and %s are not both Booleans", x.kind(n.L), x.kind(n.R))
		case "<", "<=", ">", ">=":
			because = fmt.Sprintf("%s and %s are not both numbers: only numbers have an order", x.kind(n.L), x.kind(n.R))
		case "IN", "NOT IN":
			because = fmt.Sprintf("%s is not an Array", x.kind(n.R))
		case "/", "%":
			because = fmt.Sprintf("%s cannot be divided by %s", x.kind(n.L), x.kind(n.R))
		default:
			because = fmt.Sprintf("%s %s %s has no value", x.kind(n.L), n.Op, x.kind(n.R))
		}
	case *Cast:
		parts, because = []Node{n.X}, fmt.Sprintf("%s does not convert to %s", x.kind(n.X), n.Type)
	case *Call:
		parts = n.Args
		args := make([]string, len(n.Args))
		for i, a := range n.Args {
			args[i] = x.kind(a)
		}
		because = fmt.Sprintf("%s() has no value for %s", n.Name, strings.Join(args, ", "))
		if len(args) == 0 {
			because = n.Name + "() has no value for this message"
		}
	case *Case:
		parts, because = []Node{n.X}, "no WHEN is equal and there is no ELSE"
		for _, arm := range n.Arms {
			parts = append(parts, arm.Then)
		}
		if n.Else != nil {
			parts = append(parts, n.Else)
		}
	case *Subquery:
		parts, because = []Node{n.Query.Source}, "what FROM names is neither an Array nor an Object for which WHERE is true"
	case *Exists:
		parts, because = []Node{n.Query.Source}, "what FROM names is neither an Array nor an Object"
	default:
		because = "it has no value"
	}
	if u := x.undefinedPart(parts...); u != nil {
		return Print(u) + " is Undefined"
	}
	return because
}

// root is what a path begins with, if that is an expression and no name.
func root(n Node) Node {
	for {
		m, ok := n.(*Member)
		if !ok {
			break
		}
		n = m.X
	}
	switch n.(type) {
	case *Ident:
		return nil
	}
	return n
}
