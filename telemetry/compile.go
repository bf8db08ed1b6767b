package telemetry

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/thingloom/thingloom/internal/sql"
)

// queryCompiler reads one query. What SELECT means depends on GROUP BY, so
// all is parsed before anything is compiled.
type queryCompiler struct {
	text     string
	p        *sql.Parser
	q        *Query
	hasWin   bool
	argIndex map[string]int // by what is written
}

type selectItem struct {
	node sql.Node
	pos  int
	name string
}

var exprOptions = sql.Options{DecimalDivision: true}

func (c *queryCompiler) compile() error {
	items, err := c.items()
	if err != nil {
		return err
	}
	if err := c.p.ExpectKeyword("FROM"); err != nil {
		return err
	}
	if !c.p.Keyword("stream") {
		return c.p.Unexpected("stream, the one source there is")
	}
	if c.p.Keyword("WHERE") {
		n, err := c.p.Expr()
		if err != nil {
			return err
		}
		if c.q.where, err = c.compileRecord(n, "WHERE"); err != nil {
			return err
		}
	}
	if !c.p.Keyword("GROUP") {
		return c.p.Unexpected("GROUP BY with a window")
	}
	if err := c.p.ExpectKeyword("BY"); err != nil {
		return err
	}
	groupPos := c.p.Pos()
	for {
		if err := c.group(); err != nil {
			return err
		}
		if !c.p.Punct(",") {
			break
		}
	}
	if !c.hasWin {
		return c.errorf(groupPos, "GROUP BY has no window: TUMBLE, HOP or SESSION")
	}
	var having sql.Node
	if c.p.Keyword("HAVING") {
		if having, err = c.p.Expr(); err != nil {
			return err
		}
	}
	if !c.p.AtEnd() {
		return c.p.Unexpected("a comma, HAVING or the end")
	}
	return c.outputs(items, having)
}

func (c *queryCompiler) errorf(pos int, format string, args ...any) error {
	return sql.ErrorAt(c.text, pos, fmt.Sprintf(format, args...))
}

func (c *queryCompiler) items() ([]selectItem, error) {
	if err := c.p.ExpectKeyword("SELECT"); err != nil {
		return nil, err
	}
	var items []selectItem
	for {
		it := selectItem{pos: c.p.Pos()}
		var err error
		if it.node, err = c.p.Expr(); err != nil {
			return nil, err
		}
		if c.p.Keyword("AS") {
			if it.name, err = c.p.Word(); err != nil {
				return nil, err
			}
		} else if it.name = implicitName(it.node); it.name == "" {
			return nil, c.errorf(it.pos, "an expression in SELECT needs a name: AS name")
		}
		items = append(items, it)
		if !c.p.Punct(",") {
			return items, nil
		}
	}
}

// implicitName is the last name of a path, or the function's.
func implicitName(n sql.Node) string {
	switch n := n.(type) {
	case *sql.Ident:
		return n.Name
	case *sql.Member:
		return n.Name
	case *sql.Call:
		return n.Name
	}
	return ""
}

// group reads one entry of GROUP BY.
func (c *queryCompiler) group() error {
	for kind, name := range []string{"TUMBLE", "HOP", "SESSION"} {
		pos := c.p.Pos()
		if !c.p.Keyword(name) {
			continue
		}
		if c.hasWin {
			return c.errorf(pos, "GROUP BY has a second window")
		}
		c.hasWin = true
		return c.windowArgs(windowKind(kind), pos)
	}
	pos := c.p.Pos()
	n, err := c.p.Expr()
	if err != nil {
		return err
	}
	path, ok := pathOf(n)
	if !ok {
		return c.errorf(pos, "GROUP BY takes key, a path of the payload, and a window")
	}
	for _, g := range c.q.groups {
		if g.path == path {
			return c.errorf(pos, "%s is grouped by twice", path)
		}
	}
	x, err := c.compileRecord(n, "GROUP BY")
	if err != nil {
		return err
	}
	c.q.byKey = c.q.byKey || path == "key"
	c.q.groups = append(c.q.groups, groupExpr{path, x})
	return nil
}

// pathOf is a path as written, with points.
func pathOf(n sql.Node) (string, bool) {
	switch n := n.(type) {
	case *sql.Ident:
		return n.Name, true
	case *sql.Member:
		path, ok := pathOf(n.X)
		return path + "." + n.Name, ok
	}
	return "", false
}

// aggregateNames are the aggregate functions.
var aggregateNames = map[string]bool{
	"count": true, "sum": true, "avg": true, "min": true, "max": true,
	"first": true, "last": true, "stddev": true, "stddev_pop": true,
}

// compileRecord compiles an expression on records: WHERE, GROUP BY and the
// arguments of aggregates.
func (c *queryCompiler) compileRecord(n sql.Node, clause string) (*sql.Expr, error) {
	var hostErr error
	fail := func(pos int, format string, args ...any) (int, bool) {
		if hostErr == nil {
			hostErr = c.errorf(pos, format, args...)
		}
		return 0, true
	}
	return sql.CompileExpr(n, c.text, &sql.ExprOptions{
		Options: exprOptions,
		Host: func(n sql.Node) (int, bool) {
			switch n := n.(type) {
			case *sql.Ident:
				switch n.Name {
				case "key":
					return slotKey, true
				case "event_time":
					return slotEventTime, true
				case "window_start", "window_end":
					return fail(n.Pos(), "%s is not known in %s", n.Name, clause)
				}
			case *sql.Call:
				if aggregateNames[n.Name] {
					return fail(n.Pos(), "the aggregate %s() cannot be in %s", n.Name, clause)
				}
			}
			return 0, false
		},
		HostError: func() error { return hostErr },
	})
}

// outputs compiles SELECT and HAVING, which see closed windows.
func (c *queryCompiler) outputs(items []selectItem, having sql.Node) error {
	seen := map[string]bool{}
	selected := map[string]bool{}
	for _, it := range items {
		if seen[it.name] {
			return c.errorf(it.pos, "two members of the result are called %s: use AS", it.name)
		}
		seen[it.name] = true
		if path, ok := pathOf(it.node); ok {
			selected[path] = true
		}
		x, err := c.compileWindow(it.node)
		if err != nil {
			return err
		}
		c.q.out = append(c.q.out, output{it.name, x})
	}
	// The window is part of what identifies a result.
	for _, name := range []string{"window_start", "window_end"} {
		if selected[name] || seen[name] {
			continue
		}
		n, err := sql.ParseExpr(name, nil)
		if err != nil {
			return err
		}
		x, err := c.compileWindow(n)
		if err != nil {
			return err
		}
		c.q.out = append(c.q.out, output{name, x})
	}
	if having != nil {
		var err error
		c.q.having, err = c.compileWindow(having)
		return err
	}
	return nil
}

// compileWindow compiles an expression on a closed window. Aggregates and
// what is grouped by are its only sources.
func (c *queryCompiler) compileWindow(n sql.Node) (*sql.Expr, error) {
	var hostErr error
	fail := func(err error) (int, bool) {
		if hostErr == nil {
			hostErr = err
		}
		return 0, true
	}
	return sql.CompileExpr(n, c.text, &sql.ExprOptions{
		Options: exprOptions,
		Host: func(n sql.Node) (int, bool) {
			if path, ok := pathOf(n); ok {
				switch path {
				case "window_start":
					return slotStart, true
				case "window_end":
					return slotEnd, true
				}
				for i, g := range c.q.groups {
					if g.path == path {
						return windowSlots + i, true
					}
				}
				if m, ok := n.(*sql.Member); ok {
					if _, ok := c.hostPath(m.X); ok {
						return 0, false // a member of what is grouped by
					}
				}
				return fail(c.errorf(n.Pos(), "%s must be in GROUP BY or inside of an aggregate", path))
			}
			switch n := n.(type) {
			case *sql.Call:
				if aggregateNames[n.Name] {
					i, err := c.aggregate(n)
					if err != nil {
						return fail(err)
					}
					return windowSlots + len(c.q.groups) + i, true
				}
				for _, arg := range n.Args {
					if star, ok := arg.(*sql.Star); ok {
						return fail(c.errorf(star.Pos(), "* stands for a record, a window has many"))
					}
				}
			case *sql.Star:
				return fail(c.errorf(n.Pos(), "* stands for a record, a window has many"))
			case *sql.Subquery:
				return fail(c.errorf(n.Pos(), "a nested query must be inside of an aggregate"))
			case *sql.Exists:
				return fail(c.errorf(n.Pos(), "EXISTS must be inside of an aggregate"))
			}
			return 0, false
		},
		HostError: func() error { return hostErr },
	})
}

// hostPath reports whether a path begins with one that is grouped by.
func (c *queryCompiler) hostPath(n sql.Node) (string, bool) {
	path, ok := pathOf(n)
	if !ok {
		return "", false
	}
	for _, g := range c.q.groups {
		if g.path == path || strings.HasPrefix(path, g.path+".") {
			return g.path, true
		}
	}
	return "", false
}

// aggregate returns the index of an aggregate, which is new or the same as one before.
func (c *queryCompiler) aggregate(n *sql.Call) (int, error) {
	if len(n.Args) != 1 {
		return 0, c.errorf(n.Pos(), "%s() has one argument", n.Name)
	}
	a := aggregate{fn: n.Name, arg: -1}
	if star, ok := n.Args[0].(*sql.Star); ok {
		if n.Name != "count" {
			return 0, c.errorf(star.Pos(), "only count takes *")
		}
		a.id = "count(*)"
	} else {
		x, err := c.compileRecord(n.Args[0], "an aggregate")
		if err != nil {
			return 0, err
		}
		path, isPath := pathOf(n.Args[0])
		if i, ok := c.argIndex[path]; ok && isPath {
			a.arg = i
		} else {
			a.arg = len(c.q.args)
			c.q.args = append(c.q.args, x)
			if isPath {
				c.argIndex[path] = a.arg
			}
		}
		a.id = n.Name + "(" + strconv.Itoa(a.arg) + ")"
	}
	for i, old := range c.q.aggs {
		if old.id == a.id {
			return i, nil
		}
	}
	c.q.aggs = append(c.q.aggs, a)
	return len(c.q.aggs) - 1, nil
}
