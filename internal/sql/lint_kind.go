package sql

import (
	"errors"
	"regexp/syntax"
	"slices"
	"strings"
)

// kinds are the functions whose result is of one kind or Undefined. Every
// number is an Int here.
var kinds = map[string]Kind{
	"isnull": Bool, "isundefined": Bool, "startswith": Bool, "endswith": Bool, "regexp_matches": Bool,
	"abs": Int, "acos": Int, "asin": Int, "atan": Int, "atan2": Int, "bitand": Int, "bitor": Int, "bitxor": Int, "bitnot": Int,
	"ceil": Int, "cos": Int, "cosh": Int, "exp": Int, "floor": Int, "indexof": Int, "length": Int, "ln": Int, "log": Int, "mod": Int,
	"numbytes": Int, "power": Int, "rand": Int, "remainder": Int, "round": Int, "sign": Int, "sin": Int, "sinh": Int, "sqrt": Int,
	"tan": Int, "tanh": Int, "time_to_epoch": Int, "timestamp": Int, "trunc": Int,
	"accountid": String, "chr": String, "clientid": String, "encode": String, "get_mqtt_property": String, "lower": String, "lpad": String,
	"ltrim": String, "md2": String, "md5": String, "newuuid": String, "parse_time": String, "principal": String, "regexp_replace": String,
	"regexp_substr": String, "replace": String, "rpad": String, "rtrim": String, "sha1": String, "sha224": String, "sha256": String,
	"sha384": String, "sha512": String, "sourceip": String, "sql_version": String, "substring": String, "topic": String, "traceid": String,
	"trim": String, "upper": String,
	"get_user_properties": Array, "transform": Array,
}

// kindOf is the one kind that a node can have besides Undefined, which stands
// for: not known.
func kindOf(n Node) Kind {
	switch n := n.(type) {
	case *NumberLit:
		return Int
	case *StringLit:
		return String
	case *BoolLit, *Exists:
		return Bool
	case *NullLit:
		return Null
	case *ArrayLit:
		return Array
	case *ObjectLit:
		return Object
	case *Unary:
		if n.Op == "NOT" {
			return Bool
		}
		return Int
	case *Binary:
		switch n.Op {
		case "-", "*", "/", "%":
			return Int
		case "+":
			if l, r := kindOf(n.L), kindOf(n.R); l == String || r == String {
				return String
			} else if l != Undefined && r != Undefined {
				return Int
			}
			return Undefined
		}
		return Bool
	case *Cast:
		if k := castTypes[n.Type]; k != Decimal {
			return k
		}
		return Int
	case *Call:
		return kinds[n.Name]
	}
	return Undefined
}

// unordered reports whether no value of the kind is a number, nor a text of one.
func (k Kind) unordered() bool { return k == Bool || k == Array || k == Object }

func (k Kind) article() string {
	switch k {
	case Int:
		return "a number"
	case Null:
		return "Null"
	case Array, Object:
		return "an " + k.String()
	}
	return "a " + k.String()
}

// mismatch finds a comparison of what can have no order or never be equal.
func (l *linter) mismatch(n *Binary, order bool) {
	left, right := kindOf(n.L), kindOf(n.R)
	switch {
	case order:
		side, k := n.L, left
		if !k.unordered() {
			side, k = n.R, right
		}
		if k.unordered() {
			l.report(NeverTrue, n, "%s is never true: only numbers have an order, and %s is %s", Print(n), Print(side), k.article())
			return
		}
	case n.Op == "=" && left != Undefined && right != Undefined && left != right:
		l.report(NeverTrue, n, "%s is never true: %s is %s, %s is %s, and nothing is converted",
			Print(n), Print(n.L), left.article(), Print(n.R), right.article())
		return
	case n.Op == "IN", n.Op == "NOT IN":
		if right != Undefined && right != Array {
			l.report(NeverTrue, n, "%s is never true: %s is not a list", Print(n), Print(n.R))
		}
		return
	}
	if (n.Op == "<" || n.Op == ">" || n.Op == "<>") && Print(n.L) == Print(n.R) && steady(n.L) {
		l.report(NeverTrue, n, "%s is never true: both sides are the same", Print(n))
	}
}

// condition finds in WHERE what is no condition at all: a constant that is not
// true, or a value that never converts to Boolean.
func (l *linter) condition(n Node) {
	for _, one := range conjuncts(n, nil) {
		if b, ok := one.(*Binary); ok && kindOf(b) == Bool {
			continue // looked at as a comparison
		}
		if v, ok := l.constant(one); ok {
			if b, isBool := v.Bool(); !b || !isBool {
				l.report(NeverTrue, one, "%s is never true", Print(one))
			}
			continue
		}
		if k := kindOf(one); k == Int || k == Array || k == Object {
			l.report(NeverTrue, one, "%s is never true: it is %s, which is no Boolean", Print(one), k.article())
		}
	}
}

// pattern finds a literal pattern with which a function is always Undefined.
func (l *linter) pattern(n *Call) {
	at := 1
	if n.Name == "parse_time" {
		at = 0
	}
	if len(n.Args) <= at {
		return
	}
	lit, ok := n.Args[at].(*StringLit)
	if !ok {
		return
	}
	switch n.Name {
	case "parse_time":
		if _, ok := splitPattern(lit.Value, jodaLetters); !ok || len(lit.Value) > maxTimePattern {
			l.report(BadPattern, lit, "%s() is always Undefined: %s is no pattern for it", n.Name, Print(lit))
		}
	case "time_to_epoch":
		if _, ok := javaPattern(lit.Value); !ok || len(lit.Value) > maxTimePattern {
			l.report(BadPattern, lit, "%s() is always Undefined: %s is no pattern for it", n.Name, Print(lit))
		}
	case "regexp_matches", "regexp_substr", "regexp_replace":
		p, err := compilePattern(lit.Value)
		if err != nil {
			f := Finding{BadPattern, lit.Pos(), n.Name + "() is always Undefined: " + reason(err)}
			var se *syntax.Error
			if errors.As(err, &se) && se.Expr != "" {
				f.Offset = l.within(lit, se.Expr)
			}
			l.found = append(l.found, f)
			return
		}
		if n.Name == "regexp_replace" && len(n.Args) == 3 {
			if by, ok := n.Args[2].(*StringLit); ok {
				if _, ok := parseReplacement(p.re, by.Value); !ok {
					l.report(BadPattern, by, "%s() is always Undefined: %s is no replacement, or names a group that the pattern has not", n.Name, Print(by))
				}
			}
		}
	}
}

// reason says what is wrong with a pattern.
func reason(err error) string {
	var se *syntax.Error
	switch {
	case !errors.As(err, &se):
		return "the pattern cannot be used: " + err.Error()
	case se.Code == syntax.ErrInvalidPerlOp, se.Code == syntax.ErrInvalidEscape && len(se.Expr) == 2 && isDigit(se.Expr[1]):
		return se.Expr + " is not supported: patterns have no lookaround and no backreferences"
	}
	return "the pattern is wrong: " + strings.ReplaceAll(se.Code.String(), "invalid or unsupported", "unsupported") + " in " + se.Expr
}

// within is the place of a part of a literal in the text, or that of the
// literal where its quotes are doubled before the part.
func (l *linter) within(lit *StringLit, part string) int {
	i := strings.Index(lit.Value, part)
	at := lit.Pos() + 1 + i
	if i < 0 || at+len(part) > len(l.text) || l.text[at:at+len(part)] != part {
		return lit.Pos()
	}
	return at
}

// bothBooleans reports whether arms stand for true and for false.
func bothBooleans(seen []Value) bool {
	has := func(b bool) bool {
		return slices.ContainsFunc(seen, func(v Value) bool { return v.kind == Bool && v.isTrue() == b })
	}
	return has(true) && has(false)
}
