package sql

import (
	"errors"
	"maps"
	"slices"
	"strconv"
)

// A builtin is a function of the language. The count of arguments is not an
// error: outside of min and max the call is Undefined.
type builtin struct {
	min, max int // max may be variadic
	since16  bool
	pure     bool // depends on its arguments alone
	fn       func(e *env, args []Value) Value
}

// variadic is the max of a function that takes any number of arguments.
const variadic = -1

// An external is a function of the language that the host answers.
type external struct {
	min, max int
	since16  bool
	role     bool // the last argument is a role
	limit    int  // index into env.calls of those that are counted, or unlimited
	most     int8 // how often those may be called
}

// The functions whose calls are counted within one evaluation.
const (
	limitDynamoDB = iota
	limitRegistry
	limitProto
	numLimited
	unlimited = -1
)

var errTooManyCalls = errors.New("called more often in one statement than the service allows")

// protoName is the name under which a host answers decode(.., 'proto', ..).
const protoName = "decode_proto"

var externals = map[string]external{
	"aws_lambda":              {2, 2, false, false, unlimited, 0},
	"get_dynamodb":            {4, 6, true, true, limitDynamoDB, 1},
	"get_registry_data":       {3, 3, true, true, limitRegistry, 1},
	"get_secret":              {3, 4, true, true, unlimited, 0},
	"get_thing_shadow":        {2, 3, true, true, unlimited, 0},
	"machinelearning_predict": {3, 3, false, false, unlimited, 0},
	protoName:                 {5, 5, true, false, limitProto, 2},
}

// names are the functions that a statement may call.
func (c *compiler) names() []string {
	all := slices.AppendSeq([]string{"encode", "decode", "get_or_default"}, maps.Keys(builtins))
	all = slices.AppendSeq(all, maps.Keys(externals))
	all = slices.AppendSeq(all, maps.Keys(c.funcs))
	return slices.DeleteFunc(all, func(n string) bool { return n == protoName })
}

func (c *compiler) call(n *Call) code {
	c.nodes += 16 // a call costs more than an operator
	switch n.Name {
	case "get_or_default":
		return c.getOrDefault(n)
	case "encode", "decode":
		c.needs2016(n.Pos(), n.Name+"()")
		return c.coding(n)
	case protoName:
	default:
		if b, ok := builtins[n.Name]; ok {
			return c.builtin(n, b)
		}
		if x, ok := externals[n.Name]; ok {
			return c.outside(n, x, n.Args)
		}
		if f := c.funcs[n.Name]; f != nil {
			return c.added(n, f)
		}
	}
	r := c.fail(n.Pos(), "there is no function %s", n.Name)
	if se, ok := c.err.(*SyntaxError); ok && se.Offset == n.Pos() {
		se.Nearest = nearest(n.Name, slices.Values(c.names()))
	}
	return r
}

func (c *compiler) builtin(n *Call, b builtin) code {
	if b.since16 {
		c.needs2016(n.Pos(), n.Name+"()")
	}
	if n.Name == "newuuid" || n.Name == "rand" {
		c.prog.unsteady = true
	}
	if n.Name == "transform" && len(n.Args) > 0 {
		c.noVariable(n.Args[0], "the mode of transform()")
	}
	args := c.args(n.Args)
	if len(args) < b.min || b.max != variadic && len(args) > b.max {
		return constant(Value{}) // as documented: not an error
	}
	fn := b.fn
	if special := prepared[n.Name]; special != nil {
		fn = special(args, fn)
	}
	if len(args) == 0 && !b.pure {
		r := evaluated(func(e *env) Value { return fn(e, nil) })
		if n.Name == "timestamp" { // which most outputs have
			r.write = func(e *env, b []byte) []byte { return strconv.AppendInt(b, e.timestamp(), 10) }
		}
		return r
	}
	r := evaluated(func(e *env) Value {
		base := len(e.stack)
		for i := range args {
			v := args[i].eval(e)
			e.push(v)
		}
		v := fn(e, e.stack[base:])
		e.stack = e.stack[:base]
		return v
	})
	if !b.pure {
		return r
	}
	return c.fold(r, args...)
}

func (c *compiler) args(nodes []Node) []code {
	args := make([]code, len(nodes))
	for i, n := range nodes {
		args[i] = c.expr(n)
	}
	return args
}

// noVariable refuses a variable in n.
func (c *compiler) noVariable(n Node, where string) {
	visit(n, func(n Node) bool {
		if v, ok := n.(*VarRef); ok {
			c.fail(v.Pos(), "a variable cannot be %s", where)
		}
		return c.err == nil
	})
}

// added compiles a call of a function of the host.
func (c *compiler) added(n *Call, f *Function) code {
	c.prog.unsteady, c.prog.calls = true, true
	c.prog.asks = c.prog.asks || !f.Inline
	args := c.args(n.Args)
	return evaluated(func(e *env) Value { return e.invoke(f, n.Name, args) })
}

// outside compiles a call of a function that asks the outside.
func (c *compiler) outside(n *Call, x external, nodes []Node) code {
	c.external++
	c.prog.unsteady, c.prog.asks, c.prog.calls = true, true, true
	name := n.Name
	if x.limit == limitProto {
		name = protoName
	}
	if x.since16 {
		c.needs2016(n.Pos(), n.Name+"()")
	}
	f := c.funcs[name]
	if f == nil {
		what := n.Name + "()"
		if name == protoName {
			what = "decode(.., 'proto', ..)"
		}
		r := c.fail(n.Pos(), "nothing answers %s here", what)
		if se, ok := c.err.(*SyntaxError); ok && se.Offset == n.Pos() {
			se.Expected = c.opts.Answers[name]
		}
		return r
	}
	if x.role && len(nodes) > 0 {
		c.noVariable(nodes[len(nodes)-1], "the role of "+n.Name+"()")
	}
	if n.Name == "get_registry_data" && len(nodes) > 0 {
		s, ok := nodes[0].(*StringLit)
		switch {
		case !ok:
			c.fail(nodes[0].Pos(), "the first argument of get_registry_data() must be a constant string")
		case s.Value != "DescribeThing" && s.Value != "ListThingGroupsForThing":
			se := syntaxError(c.text, s.Pos(), "get_registry_data() has no API "+s.Value)
			if c.err == nil {
				c.err = hint(se, "'DescribeThing' or 'ListThingGroupsForThing'")
			}
		}
	}
	args := make([]code, len(nodes))
	for i, a := range nodes {
		star := n.Name == "aws_lambda" && i == 1 || n.Name == "machinelearning_predict" && i == 2 || name == protoName && i == 0
		switch {
		case star && name == protoName:
			args[i] = c.bytesOr(a)
			if _, whole := a.(*Star); whole && c.query() < 0 { // the host gets base64 either way
				raw := args[i].eval
				args[i] = evaluated(func(e *env) Value { return e.encode(raw(e)) })
			}
		case star:
			args[i] = c.starOr(a)
		default:
			args[i] = c.expr(a)
		}
	}
	if len(args) < x.min || len(args) > x.max {
		return constant(Value{})
	}
	if x.limit == unlimited {
		return evaluated(func(e *env) Value { return e.invoke(f, n.Name, args) })
	}
	return evaluated(func(e *env) Value {
		if e.calls[x.limit]++; e.calls[x.limit] > x.most {
			e.calls[x.limit] = x.most + 1
			e.fail(&FunctionError{n.Name, errTooManyCalls})
			return Value{}
		}
		return e.invoke(f, n.Name, args)
	})
}

// invoke calls a function of the host. Its arguments are copies.
func (e *env) invoke(f *Function, name string, args []code) Value {
	vals := make([]Value, len(args))
	for i := range args {
		vals[i] = args[i].eval(e).kept()
	}
	if e.err != nil {
		return Value{} // nothing more is asked for an evaluation that failed
	}
	ctx := e.ctx
	v, err := guard(func() (Value, error) { return f.Call(ctx, vals) })
	if err != nil {
		e.fail(&FunctionError{name, err})
		return Value{}
	}
	return v
}

// getOrDefault compiles get_or_default, which also takes back a failure.
func (c *compiler) getOrDefault(n *Call) code {
	c.needs2016(n.Pos(), "get_or_default()")
	if len(n.Args) < 1 || len(n.Args) > 2 {
		c.args(n.Args)
		return constant(Value{})
	}
	x := c.expr(n.Args[0])
	parts := []code{x}
	def := constant(Value{})
	if len(n.Args) == 2 {
		before := c.external
		def = c.expr(n.Args[1])
		if c.external > before {
			return c.fail(n.Args[1].Pos(), "the default of get_or_default() cannot ask the outside")
		}
		parts = append(parts, def)
	}
	return c.fold(evaluated(func(e *env) Value {
		failed := e.err != nil
		base := len(e.stack)
		v := x.eval(e)
		if e.err != nil && !failed {
			if _, ok := e.err.(*FunctionError); ok {
				e.err, v = nil, Value{}
				e.stack = e.stack[:base]
			}
		}
		if v.kind == Undefined || v.kind == Null {
			return def.eval(e)
		}
		return v
	}), parts...)
}
