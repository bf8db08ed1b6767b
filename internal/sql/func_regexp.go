package sql

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

// The bounds of a pattern: its bytes, and the instructions of its program, to
// which repetitions multiply it. A pattern beyond them is as good as invalid.
const (
	maxPattern = 4 << 10
	maxProgram = 4 << 10
)

// A pattern is a compiled regular expression. The time that it takes for a text
// is linear in the text's length and, at worst, in the size of the program.
type pattern struct {
	re   *regexp.Regexp
	size int
}

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

// regexpFunc converts the arguments and finds the pattern: known, or else
// compiled for this call.
func regexpFunc(n int, known *pattern, op regexpOp) func(*env, []Value) Value {
	return withTexts(n, func(e *env, s []string) Value {
		p := known
		if p == nil {
			// What is no pattern has been read as well, so its bytes count first.
			if !e.charge(100 * min(len(s[1]), maxPattern)) {
				return Value{}
			}
			var err error
			if p, err = compilePattern(s[1]); err != nil || !e.charge(10*p.size) {
				return Value{}
			}
		}
		if !e.charge((1 + p.size/4) * len(s[0])) {
			return Value{}
		}
		return op(e, p.re, s)
	})
}

// compilePattern fails for a pattern that is invalid, that uses what RE2 lacks,
// lookaround and backreferences, or that is beyond the bounds.
func compilePattern(text string) (*pattern, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("it is longer than %d bytes", maxPattern)
	}
	text, err := fromJava(text)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	size := programSize(tree)
	if size > maxProgram {
		return nil, errors.New("its repetitions multiply to more than can be searched for")
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &pattern{re, size}, nil
}

// programSize is about how many instructions a program will have. Repetitions
// within repetitions multiply to 1000 at most: the parser sees to that.
func programSize(re *syntax.Regexp) int {
	size := 0
	for _, sub := range re.Sub {
		size += 1 + programSize(sub)
	}
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpRepeat:
		return max(re.Min, re.Max, 1) * (size + 1)
	}
	return 1 + size
}

// prepareRegexp compiles a literal pattern once.
func prepareRegexp(name string) preparation {
	return func(args []code, fn func(*env, []Value) Value) func(*env, []Value) Value {
		if !args[1].konst || args[1].v.kind != String {
			return fn
		}
		p, err := compilePattern(args[1].v.s)
		if err != nil {
			return func(*env, []Value) Value { return Value{} }
		}
		return regexpFunc(len(args), p, regexpOps[name])
	}
}

// replaceRegexp replaces every match. The replacement is as in Java: $n and
// ${name} are groups, a backslash makes the next character literal.
func replaceRegexp(e *env, re *regexp.Regexp, s []string) Value {
	parts, ok := parseReplacement(re, s[2])
	if !ok {
		return Value{}
	}
	// As many matches as characters at most, each with the places of its groups.
	if !e.charge(8 * (len(s[0]) + 1) * (re.NumSubexp() + 1)) {
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
