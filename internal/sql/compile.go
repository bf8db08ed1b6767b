package sql

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// A program is what compiled expressions share. It does not change once it is
// compiled, but for its caches.
type program struct {
	version    string
	account    string // of a template, see TemplateOptions
	legacy     bool   // 2015-10-08
	decimalDiv bool
	maxValue   int
	maxWork    int

	unsteady bool // calls what may answer differently each time
	asks     bool // calls a function of the host, which may take its time
	calls    bool // calls a function of the host, quick or not

	paths   *path // wanted of the payload
	slots   int
	queries int

	zones   zoneCache
	layouts layoutCache
}

type (
	evalFunc func(e *env) Value
	condFunc func(e *env) tri
)

// tri is a Boolean or Undefined.
type tri uint8

const (
	unknown tri = iota
	no
	yes
)

func triOf(b bool) tri {
	if b {
		return yes
	}
	return no
}

func (t tri) value() Value {
	switch t {
	case no:
		return Value{kind: Bool}
	case yes:
		return Value{kind: Bool, flag: flagTrue}
	}
	return Value{}
}

// code is a compiled expression.
type code struct {
	eval  evalFunc
	cond  condFunc // set where the result is a Boolean or Undefined
	konst bool     // the result is always v
	v     Value
	slot  int // what eval loads, if it is a path of the payload; else -1

	// write, if set, appends the JSON of what eval gives.
	write func(e *env, b []byte) []byte
}

func constant(v Value) code {
	return code{eval: func(*env) Value { return v }, konst: true, v: v, slot: -1}
}

func evaluated(f evalFunc) code { return code{eval: f, slot: -1} }

func condition(f condFunc) code {
	return code{eval: func(e *env) Value { return f(e).value() }, cond: f, slot: -1}
}

// A compiler turns nodes into code. It is used once per text, and stops at
// the first error.
type compiler struct {
	text   string
	prog   *program
	opts   Options
	funcs  map[string]*Function
	scopes []scope        // the payload, then the queries around the node
	vars   map[string]int // declared so far, to their index
	err    error

	template bool                     // decode(.., 'proto', ..) is refused
	anyVar   bool                     // every variable counts as declared
	named    []string                 // variables by name, in templates
	host     func(n Node) (int, bool) // ExprOptions.Host
	external int                      // calls of external functions seen
	folding  int                      // work left for constants
	nodes    int                      // compiled so far, see nested.cost

	explain *explainer // of an Explain
}

// A scope is where names are looked up: the payload or an element.
type scope struct {
	alias string
	query int // index into env.elems
	paths *path
}

func newCompiler(text string, opts *Options) (*compiler, error) {
	o := opts.withDefaults()
	c := &compiler{text: text, opts: o, funcs: map[string]*Function{}, vars: map[string]int{}, folding: min(maxFolding, o.MaxWork)}
	switch o.Version {
	case Version2015, Version2016, VersionBeta:
	default:
		return nil, fmt.Errorf("unknown version %q of the language, want %s, %s or %s", o.Version, Version2015, Version2016, VersionBeta)
	}
	for i := range o.Functions {
		f := &o.Functions[i]
		c.funcs[f.Name] = f
	}
	c.prog = &program{version: o.Version, legacy: o.Version == Version2015, decimalDiv: o.DecimalDivision,
		maxValue: o.MaxValueBytes, maxWork: o.MaxWork, paths: &path{slot: -1}}
	c.scopes = []scope{{paths: c.prog.paths}}
	return c, nil
}

func (c *compiler) fail(pos int, format string, args ...any) code {
	if c.err == nil {
		c.err = syntaxError(c.text, pos, fmt.Sprintf(format, args...))
	}
	return constant(Value{})
}

func (c *compiler) newSlot() int {
	c.prog.slots++
	return c.prog.slots - 1
}

// needs2016 refuses what the older version lacks.
func (c *compiler) needs2016(pos int, what string) {
	if c.prog.legacy {
		c.fail(pos, "%s need version %s of the language, the statement has %s", what, Version2016, Version2015)
	}
}

// expr compiles n.
func (c *compiler) expr(n Node) code {
	if c.err != nil {
		return constant(Value{})
	}
	if r, ok := c.hosted(n); ok {
		return r
	}
	return c.own(n)
}

// own compiles a node that the host does not answer.
func (c *compiler) own(n Node) code {
	c.nodes++
	if c.explain != nil {
		return c.explain.watch(n, func() code { return c.node(n) })
	}
	return c.node(n)
}

// hosted is the code of a node that the host answers itself.
func (c *compiler) hosted(n Node) (code, bool) {
	if c.host == nil {
		return code{}, false
	}
	slot, ok := c.host(n)
	return evaluated(func(e *env) Value {
		if slot < len(e.in.Host) {
			return e.in.Host[slot]
		}
		return Value{}
	}), ok
}

func (c *compiler) node(n Node) code {
	switch n := n.(type) {
	case *NumberLit:
		v := loadRaw(n.Text, nil, c.prog.legacy)
		if v.flag&flagHuge != 0 {
			return c.fail(n.Pos(), "the number is beyond 9.99E999")
		}
		v.s = ""
		return constant(v)
	case *StringLit:
		return constant(Value{kind: String, s: n.Value})
	case *BoolLit:
		return constant(BoolValue(n.Value))
	case *NullLit:
		return constant(NullValue())
	case *Star:
		return c.fail(n.Pos(), "* cannot be an argument of this function")
	case *Ident:
		return c.path(n.Name, nil)
	case *VarRef:
		return c.variable(n, nil)
	case *Member:
		return c.member(n)
	case *Unary:
		return c.unary(n)
	case *Binary:
		return c.binary(n)
	case *Call:
		return c.call(n)
	case *Cast:
		return c.cast(n)
	case *Case:
		return c.caseOf(n)
	case *ArrayLit:
		c.needs2016(n.Pos(), "array literals")
		return c.array(n)
	case *ObjectLit:
		c.needs2016(n.Pos(), "object literals")
		return c.object(n)
	case *Subquery:
		c.needs2016(n.Pos(), "nested queries")
		return c.subquery(n.Query)
	case *Exists:
		c.needs2016(n.Pos(), "nested queries")
		return c.exists(n.Query)
	}
	panic(fmt.Sprintf("sql: unknown node %T", n))
}

// starOr compiles n, or * as the JSON of the payload or element.
func (c *compiler) starOr(n Node) code {
	if _, ok := n.(*Star); !ok {
		return c.expr(n)
	}
	if q := c.query(); q >= 0 {
		return evaluated(func(e *env) Value { return e.load(e.elems[q]) })
	}
	return evaluated(func(e *env) Value { return e.load(e.star()) })
}

// query is the number of the innermost query, -1 outside of one.
func (c *compiler) query() int {
	if len(c.scopes) == 1 {
		return -1
	}
	return c.scopes[len(c.scopes)-1].query
}

// foldable reports whether all of the parts are constants.
func foldable(parts ...code) bool {
	return !slices.ContainsFunc(parts, func(p code) bool { return !p.konst })
}

// maxFolding bounds the work of a compiler on constants, and so what a program
// keeps of them.
const maxFolding = 4 << 20

// fold evaluates at once what does not depend on the message; to be explained,
// it is evaluated in its place.
func (c *compiler) fold(r code, parts ...code) code {
	if c.err != nil || c.explain != nil || !foldable(parts...) {
		return r
	}
	e := &env{p: c.prog, in: new(Input), work: c.prog.maxWork - c.folding}
	v := r.eval(e)
	if e.err != nil {
		return r // too large to keep: each evaluation makes it, within its limits
	}
	c.folding = c.prog.maxWork - e.work
	return constant(v.detach())
}

// path compiles a path of names. Innermost scopes come first: the alias of a
// query, then the members of its element, then what is around it.
func (c *compiler) path(name string, rest []string) code {
	type candidate struct{ head, full int }
	var tries []candidate
	keys := append([]string{name}, rest...)
	for i := len(c.scopes) - 1; i > 0; i-- {
		s := c.scopes[i]
		if s.alias == name {
			q := s.query
			last := func(e *env) string { return e.elems[q] }
			if len(rest) > 0 {
				slot := s.paths.add(rest, c.newSlot).slot
				last = func(e *env) string { return e.slots[slot] }
			}
			return evaluated(func(e *env) Value {
				for _, t := range tries {
					if e.slots[t.head] != "" {
						return e.load(e.slots[t.full])
					}
				}
				return e.load(last(e))
			})
		}
		tries = append(tries, candidate{s.paths.add(keys[:1], c.newSlot).slot, s.paths.add(keys, c.newSlot).slot})
	}
	slot := c.prog.paths.add(keys, c.newSlot).slot
	if tries == nil {
		return code{eval: func(e *env) Value { return e.load(e.slot(slot)) }, slot: slot}
	}
	return evaluated(func(e *env) Value {
		for _, t := range tries {
			if e.slots[t.head] != "" {
				return e.load(e.slots[t.full])
			}
		}
		return e.load(e.slot(slot))
	})
}

// member compiles X.Name, a whole chain of them at once.
func (c *compiler) member(n *Member) code {
	var names []string
	var x Node = n
	for {
		m, ok := x.(*Member)
		if !ok {
			break
		}
		names = append(names, m.Name)
		x = m.X
	}
	slices.Reverse(names)
	base, ok := c.hosted(x)
	if !ok {
		switch x := x.(type) {
		case *Ident:
			return c.path(x.Name, names)
		case *VarRef:
			return c.variable(x, names)
		}
		base = c.own(x)
	}
	return c.fold(evaluated(func(e *env) Value { return e.descend(base.eval(e), names) }), base)
}

// descend is the value at a path below v.
func (e *env) descend(v Value, names []string) Value {
	if v.kind != Object {
		return Value{}
	}
	raw := v.s
	for _, name := range names {
		if raw == "" || !e.charge(len(raw)) {
			return Value{}
		}
		raw = lookup(raw, name)
	}
	return e.load(raw)
}

func (c *compiler) variable(n *VarRef, names []string) code {
	if c.anyVar {
		if c.named == nil || !slices.Contains(c.named, n.Name) {
			c.named = append(c.named, n.Name)
		}
		return evaluated(func(e *env) Value {
			for i := range e.in.Variables {
				if v := &e.in.Variables[i]; v.Name == n.Name {
					return e.below(v.Value, names)
				}
			}
			return Value{}
		})
	}
	i, ok := c.vars[n.Name]
	if !ok {
		r := c.fail(n.Pos(), "variable @%s is not declared by a SET clause before this place", n.Name)
		if se, is := c.err.(*SyntaxError); is && se.Offset == n.Pos() {
			se.Nearest = nearest(n.Name, maps.Keys(c.vars))
		}
		return r
	}
	return evaluated(func(e *env) Value { return e.below(e.vars[i], names) })
}

func (e *env) below(v Value, names []string) Value {
	if names == nil {
		return v
	}
	return e.descend(v, names)
}

// zoneCache keeps the time zones that a program has used.
type zoneCache struct {
	mu    sync.Mutex
	zones map[string]*zone // guarded by mu
}
