package sql

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPad is the most spaces that lpad and rpad add.
const maxPad = 1000

var stringFuncs = map[string]builtin{
	"chr": {1, 1, false, true, func(e *env, a []Value) Value {
		i, ok := e.index(a[0])
		if !ok || i < 0 || i > 127 {
			return Value{}
		}
		return e.string(append(e.sc.grow(1), byte(i)))
	}},
	"concat": {0, variadic, false, true, concat},

	"endswith":   {2, 2, false, true, withTexts(2, func(_ *env, s []string) Value { return BoolValue(strings.HasSuffix(s[0], s[1])) })},
	"startswith": {2, 2, false, true, withTexts(2, func(_ *env, s []string) Value { return BoolValue(strings.HasPrefix(s[0], s[1])) })},
	"indexof": {2, 2, true, true, withTexts(2, func(_ *env, s []string) Value {
		i := strings.Index(s[0], s[1])
		if i > 0 {
			i = utf8.RuneCountInString(s[0][:i])
		}
		return IntValue(int64(i))
	})},
	"length":   {1, 1, true, true, withTexts(1, func(_ *env, s []string) Value { return IntValue(int64(utf8.RuneCountInString(s[0]))) })},
	"numbytes": {1, 1, true, true, withTexts(1, func(_ *env, s []string) Value { return IntValue(int64(len(s[0]))) })},
	"lower":    {1, 1, false, true, withTexts(1, func(e *env, s []string) Value { return e.built(strings.ToLower(s[0])) })},
	"upper":    {1, 1, false, true, withTexts(1, func(e *env, s []string) Value { return e.built(strings.ToUpper(s[0])) })},
	"ltrim": {1, 1, false, true, withTexts(1, func(e *env, s []string) Value {
		return Value{kind: String, s: strings.TrimLeftFunc(s[0], unicode.IsSpace)}
	})},
	"rtrim": {1, 1, false, true, withTexts(1, func(e *env, s []string) Value {
		return Value{kind: String, s: strings.TrimRightFunc(s[0], unicode.IsSpace)}
	})},
	"trim": {1, 1, false, true, withTexts(1, func(e *env, s []string) Value { return Value{kind: String, s: strings.TrimSpace(s[0])} })},
	"lpad": {2, 2, false, true, func(e *env, a []Value) Value { return e.pad(a, true) }},
	"rpad": {2, 2, false, true, func(e *env, a []Value) Value { return e.pad(a, false) }},
	"replace": {3, 3, false, true, withTexts(3, func(e *env, s []string) Value {
		if s[1] == "" {
			return Value{kind: String, s: s[0]}
		}
		n := strings.Count(s[0], s[1])
		if !e.room(len(s[0]) + n*(len(s[2])-len(s[1]))) {
			return Value{}
		}
		return e.built(strings.ReplaceAll(s[0], s[1], s[2]))
	})},
	"substring": {2, 3, false, true, substring},
}

// withTexts converts the first n arguments, all there are, to Strings;
// Undefined if one does not convert.
func withTexts(n int, f func(e *env, s []string) Value) func(*env, []Value) Value {
	return func(e *env, a []Value) Value {
		var s [3]string
		for i := range n {
			t, ok := e.text(a[i])
			if !ok || !e.charge(len(t)) {
				return Value{}
			}
			s[i] = t
		}
		return f(e, s[:n])
	}
}

// built is a String that the standard library made.
func (e *env) built(s string) Value {
	if !e.room(len(s)) {
		return Value{}
	}
	return Value{kind: String, s: s}
}

// concat joins arrays if there is one among several arguments, else texts.
func concat(e *env, a []Value) Value {
	switch len(a) {
	case 0:
		return Value{}
	case 1:
		return a[0]
	}
	size, arrays := 2, false
	for _, v := range a {
		size += len(v.s) + 48
		arrays = arrays || v.kind == Array
	}
	if !arrays {
		b := e.buffer()
		defer func() { e.done(b) }()
		for _, v := range a {
			var ok bool
			if b, ok = v.appendText(b, e.p.legacy); !ok || !e.room(len(b)) {
				return Value{}
			}
		}
		return e.string(append(e.sc.grow(len(b)), b...))
	}
	if !e.room(size) {
		return Value{}
	}
	b := append(e.sc.grow(size), '[')
	for _, v := range a {
		if v.kind == Undefined {
			continue
		}
		mark := len(b)
		if mark > 1 {
			b = append(b, ',')
		}
		before := len(b)
		if v.kind == Array {
			b = append(b, strings.Trim(v.s[1:len(v.s)-1], " \t\r\n")...)
		} else {
			b = v.appendJSON(b, e.p.legacy)
		}
		if len(b) == before { // an empty array
			b = b[:mark]
		}
	}
	return e.raw(Array, append(b, ']'))
}

func (e *env) pad(a []Value, left bool) Value {
	s, ok := e.text(a[0])
	n, ok2 := e.index(a[1])
	if !ok || !ok2 || !e.room(len(s)+maxPad) {
		return Value{}
	}
	n = max(0, min(n, maxPad))
	b := e.sc.grow(len(s) + int(n))
	if !left {
		b = append(b, s...)
	}
	for range n {
		b = append(b, ' ')
	}
	if left {
		b = append(b, s...)
	}
	return e.string(b)
}

func substring(e *env, a []Value) Value {
	s, ok := e.text(a[0])
	from, ok2 := e.index(a[1])
	to, ok3 := int64(len(s)), true
	if len(a) == 3 {
		to, ok3 = e.index(a[2])
	}
	if !ok || !ok2 || !ok3 || !e.charge(len(s)) {
		return Value{}
	}
	from = max(from, 0)
	if from >= to {
		return Value{kind: String}
	}
	start := runeOffset(s, from)
	return Value{kind: String, s: s[start : start+runeOffset(s[start:], to-from)]}
}

// runeOffset is where the nth character of s begins, its end for all beyond.
func runeOffset(s string, n int64) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}
