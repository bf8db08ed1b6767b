package sql

import (
	"regexp"
	"strconv"
	"strings"
)

// maxPattern bounds a pattern that comes with the message.
const maxPattern = 4 << 10

type regexpOp func(e *env, re *regexp.Regexp, s []string) Value

var regexpOps = map[string]regexpOp{
	"regexp_matches": func(_ *env, re *regexp.Regexp, s []string) Value { return BoolValue(re.MatchString(s[0])) },
	"regexp_substr": func(_ *env, re *regexp.Regexp, s []string) Value {
		at := re.FindStringIndex(s[0])
		if at == nil {
			return Value{}
		}
		return Value{kind: String, s: s[0][at[0]:at[1]]}
	},
	"regexp_replace": replaceRegexp,
}

var regexpFuncs = map[string]builtin{
	"regexp_matches": {2, 2, false, true, regexpFunc(2, nil, regexpOps["regexp_matches"])},
	"regexp_replace": {3, 3, false, true, regexpFunc(3, nil, regexpOps["regexp_replace"])},
	"regexp_substr":  {2, 2, false, true, regexpFunc(2, nil, regexpOps["regexp_substr"])},
}

// regexpFunc converts the arguments and finds the pattern: re if it is known,
// else it is compiled for this call.
func regexpFunc(n int, re *regexp.Regexp, op regexpOp) func(*env, []Value) Value {
	return withTexts(n, func(e *env, s []string) Value {
		re := re
		if re == nil {
			if re = compileRegexp(s[1]); re == nil || !e.charge(100*len(s[1])) {
				return Value{}
			}
		}
		return op(e, re, s)
	})
}

// compileRegexp is nil for a pattern that is invalid, or uses what RE2 lacks:
// lookaround, backreferences.
func compileRegexp(pattern string) *regexp.Regexp {
	if len(pattern) > maxPattern {
		return nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil
	}
	return re
}

// prepareRegexp compiles a literal pattern once.
func prepareRegexp(name string) preparation {
	return func(args []code, fn func(*env, []Value) Value) func(*env, []Value) Value {
		if !args[1].konst {
			return fn
		}
		pattern, ok := args[1].v.Text()
		re := compileRegexp(pattern)
		if !ok || re == nil {
			return func(*env, []Value) Value { return Value{} }
		}
		return regexpFunc(len(args), re, regexpOps[name])
	}
}

// replaceRegexp replaces every match. The replacement is as in Java: $n and
// ${name} are groups, a backslash makes the next character literal.
func replaceRegexp(e *env, re *regexp.Regexp, s []string) Value {
	parts, ok := parseReplacement(re, s[2])
	if !ok {
		return Value{}
	}
	b := e.buffer()
	defer func() { e.done(b) }()
	last := 0
	for _, at := range re.FindAllStringSubmatchIndex(s[0], -1) {
		b = append(b, s[0][last:at[0]]...)
		for _, p := range parts {
			if p.group < 0 {
				b = append(b, p.text...)
			} else if from := at[2*p.group]; from >= 0 {
				b = append(b, s[0][from:at[2*p.group+1]]...)
			}
		}
		last = at[1]
		if len(b) > e.p.maxValue {
			break
		}
	}
	b = append(b, s[0][last:]...)
	if !e.room(len(b)) {
		return Value{}
	}
	return e.string(append(e.sc.grow(len(b)), b...))
}

// A replacement is a piece of text, or a group if that is not -1.
type replacement struct {
	text  string
	group int
}

func parseReplacement(re *regexp.Regexp, s string) ([]replacement, bool) {
	var parts []replacement
	text := func(t string) { parts = append(parts, replacement{t, -1}) }
	for {
		i := strings.IndexAny(s, `$\`)
		if i < 0 {
			text(s)
			return parts, true
		}
		text(s[:i])
		esc := s[i] == '\\'
		s = s[i+1:]
		switch {
		case s == "":
			return nil, false
		case esc:
			text(s[:1])
			s = s[1:]
		case s[0] == '{':
			name, rest, ok := strings.Cut(s[1:], "}")
			g := re.SubexpIndex(name)
			if !ok || g < 0 {
				return nil, false
			}
			parts = append(parts, replacement{group: g})
			s = rest
		default:
			// As many digits as name a group that there is, one at least.
			n := 0
			for n < len(s) && isDigit(s[n]) {
				g, err := strconv.Atoi(s[:n+1])
				if err != nil || g > re.NumSubexp() {
					break
				}
				n++
			}
			if n == 0 {
				return nil, false
			}
			g, _ := strconv.Atoi(s[:n])
			parts = append(parts, replacement{group: g})
			s = s[n:]
		}
	}
}
