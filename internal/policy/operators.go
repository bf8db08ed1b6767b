package policy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// An operator compares the value of a key with a value of the condition.
type operator struct {
	negated bool // passes if test is true for no value
	like    bool // values have wildcards
	arn     bool // values are ARNs
	null    bool
	// parse reads a value once; nil for texts.
	parse func(s string) (operand, error)
	test  func(v string, w *value, c *Context) bool
}

// An operand is a value as numbers, dates and so on.
type operand struct {
	number  float64
	integer int64
	whole   bool // integer is exact
	time    time.Time
	prefix  netip.Prefix
	bytes   []byte
	yes     bool
}

var operators = func() map[string]*operator {
	ops := map[string]*operator{}
	add := func(positive, negative string, op operator) {
		ops[positive] = &op
		if negative != "" {
			no := op
			no.negated = true
			ops[negative] = &no
		}
	}
	add("StringEquals", "StringNotEquals", operator{test: textEquals})
	add("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", operator{test: textEqualsFold})
	add("StringLike", "StringNotLike", operator{like: true, test: textLike})
	add("Bool", "", operator{parse: parseBool, test: compare(parseBool, func(a, b *operand) bool { return a.yes == b.yes })})
	add("Null", "", operator{null: true, parse: parseBool})
	add("BinaryEquals", "", operator{parse: parseBinary,
		test: compare(parseBinary, func(a, b *operand) bool { return bytes.Equal(a.bytes, b.bytes) })})
	add("IpAddress", "NotIpAddress", operator{parse: parsePrefix, test: compare(parsePrefix, inPrefix)})
	add("ArnEquals", "ArnNotEquals", operator{like: true, arn: true, test: arnLike})
	add("ArnLike", "ArnNotLike", operator{like: true, arn: true, test: arnLike})
	ordered := func(kind string, parse func(string) (operand, error), cmp func(a, b *operand) int) {
		test := func(ok func(int) bool) func(string, *value, *Context) bool {
			return compare(parse, func(a, b *operand) bool { return ok(cmp(a, b)) })
		}
		add(kind+"Equals", kind+"NotEquals", operator{parse: parse, test: test(func(n int) bool { return n == 0 })})
		add(kind+"LessThan", "", operator{parse: parse, test: test(func(n int) bool { return n < 0 })})
		add(kind+"LessThanEquals", "", operator{parse: parse, test: test(func(n int) bool { return n <= 0 })})
		add(kind+"GreaterThan", "", operator{parse: parse, test: test(func(n int) bool { return n > 0 })})
		add(kind+"GreaterThanEquals", "", operator{parse: parse, test: test(func(n int) bool { return n >= 0 })})
	}
	ordered("Numeric", parseNumber, compareNumbers)
	ordered("Date", parseDate, func(a, b *operand) int { return a.time.Compare(b.time) })
	return ops
}()

// expand is the text of a value with its variables; ok is false if one has no
// value.
func (w *value) expand(c *Context) (s string, ok bool) {
	if s, ok := w.text.constant(); ok {
		return s, true
	}
	var b strings.Builder
	for i := range w.text.segments[0] {
		v, ok := w.text.segments[0][i].value(c)
		if !ok {
			return "", false
		}
		b.WriteString(v)
	}
	return b.String(), true
}

func textEquals(v string, w *value, c *Context) bool { return w.text.match(v, c) }

func textEqualsFold(v string, w *value, c *Context) bool {
	s, ok := w.expand(c)
	return ok && strings.EqualFold(v, s)
}

func textLike(v string, w *value, c *Context) bool { return w.text.match(v, c) }

// compare makes a test of operands. A value that cannot be read passes no
// comparison.
func compare(parse func(string) (operand, error), ok func(a, b *operand) bool) func(string, *value, *Context) bool {
	return func(v string, w *value, c *Context) bool {
		have, err := parse(v)
		if err != nil {
			return false
		}
		if w.constant {
			return ok(&have, &w.parsed)
		}
		s, found := w.expand(c)
		if !found {
			return false
		}
		want, err := parse(s)
		return err == nil && ok(&have, &want)
	}
}

func parseBool(s string) (operand, error) {
	switch {
	case strings.EqualFold(s, "true"):
		return operand{yes: true}, nil
	case strings.EqualFold(s, "false"):
		return operand{}, nil
	}
	return operand{}, errors.New("is not true or false")
}

func parseNumber(s string) (operand, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return operand{integer: n, whole: true, number: float64(n)}, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != f || strings.ContainsAny(s, "xXpP_iInN") {
		return operand{}, errors.New("is not a number")
	}
	return operand{number: f}, nil
}

func compareNumbers(a, b *operand) int {
	switch {
	case a.whole && b.whole && a.integer != b.integer:
		if a.integer < b.integer {
			return -1
		}
		return 1
	case a.number < b.number:
		return -1
	case a.number > b.number:
		return 1
	}
	return 0
}

// dateLayouts are the forms of ISO 8601 that the policy language names.
var dateLayouts = [...]string{time.RFC3339Nano, "2006-01-02T15:04:05-0700", "2006-01-02T15:04Z07:00", "2006-01-02T15Z07:00",
	"2006-01-02", "2006-01", "2006"}

func parseDate(s string) (operand, error) {
	for _, layout := range &dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return operand{time: t}, nil
		}
	}
	// Seconds since 1970. Four digits are a year.
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return operand{time: time.Unix(n, 0)}, nil
	}
	return operand{}, errors.New("is neither a date of ISO 8601 nor seconds since 1970")
}

func parseBinary(s string) (operand, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return operand{}, errors.New("is not base64")
	}
	return operand{bytes: b}, nil
}

func parsePrefix(s string) (operand, error) {
	if strings.IndexByte(s, '/') < 0 {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return operand{}, errors.New("is not an IP address or CIDR range")
		}
		a = a.Unmap().WithZone("")
		return operand{prefix: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return operand{}, errors.New("is not an IP address or CIDR range")
	}
	return operand{prefix: p.Masked()}, nil
}

func inPrefix(a, b *operand) bool { return b.prefix.Contains(a.prefix.Addr()) }

// arnParts is the number of parts of an ARN; colons in the last are its own.
const arnParts = 6

// compileARN compiles the parts of an ARN pattern one by one.
func compileARN(s string) ([]pattern, error) {
	var parts []pattern
	for len(parts) < arnParts-1 {
		end, depth := -1, 0
		for i := range len(s) {
			switch {
			case strings.HasPrefix(s[i:], "${"):
				depth = 1
			case s[i] == '}':
				depth = 0
			case s[i] == ':' && depth == 0:
				end = i
			}
			if end >= 0 {
				break
			}
		}
		if end < 0 {
			return nil, errors.New("is not an ARN")
		}
		part, err := compile(s[:end], wildcards)
		if err != nil {
			return nil, err
		}
		parts, s = append(parts, part), s[end+1:]
	}
	part, err := compile(s, wildcards)
	return append(parts, part), err
}

// arnLike compares the parts of two ARNs, so that a wildcard in one of the
// first five does not reach into the next.
func arnLike(v string, w *value, c *Context) bool {
	for i := range w.arn {
		part := v
		if i < arnParts-1 {
			var ok bool
			if part, v, ok = strings.Cut(v, ":"); !ok {
				return false
			}
		}
		if !w.arn[i].match(part, c) {
			return false
		}
	}
	return true
}
