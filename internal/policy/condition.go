package policy

import (
	"strings"
)

// A condition is one key of one operator block.
type condition struct {
	op       *operator
	quantor  quantor
	ifExists bool
	key      key
	keyName  string
	values   []value
}

type quantor uint8

const (
	anyMatches quantor = iota
	forAll
	forAny
)

// A value is one value of a condition, read beforehand as far as it has no
// variable.
type value struct {
	text pattern
	// parsed is what the operator made of a constant text.
	parsed   operand
	constant bool
	arn      []pattern // the parts of an ARN
}

// conditions reads a Condition block.
func (p *parser) conditions() ([]condition, error) {
	var out []condition
	_, err := p.object("Condition", func(name string, off int64) error {
		c := condition{}
		base := name
		if rest, ok := strings.CutPrefix(base, "ForAllValues:"); ok {
			c.quantor, base = forAll, rest
		} else if rest, ok := strings.CutPrefix(base, "ForAnyValue:"); ok {
			c.quantor, base = forAny, rest
		}
		if rest, ok := strings.CutSuffix(base, "IfExists"); ok {
			c.ifExists, base = true, rest
		}
		op, ok := operators[base]
		if !ok {
			return p.errorAt(off, "unknown operator %q", name)
		}
		if op.null && (c.ifExists || c.quantor != anyMatches) {
			return p.errorAt(off, "Null takes neither IfExists nor ForAllValues nor ForAnyValue")
		}
		c.op = op
		_, err := p.object("an operator", func(k string, _ int64) error {
			c := c
			c.key, c.keyName = parseKey(k), k
			list, err := p.list(true)
			if err != nil {
				return err
			}
			for _, t := range list {
				v, err := op.value(t.s, c.key.kind == certificateValue)
				if err != nil {
					return p.errorAt(t.off, "%q: %v", t.s, err)
				}
				c.values = append(c.values, v)
			}
			out = append(out, c)
			return nil
		})
		return err
	})
	return out, err
}

// value compiles one value of an operator.
func (o *operator) value(s string, certificate bool) (value, error) {
	if certificate {
		s = unescape(s)
	}
	d := plain
	if o.like {
		d = wildcards
	}
	var v value
	var err error
	if v.text, err = compile(s, d); err != nil {
		return v, err
	}
	if o.arn {
		v.arn, err = compileARN(s)
		return v, err
	}
	if o.parse == nil {
		return v, nil
	}
	if text, ok := v.text.constant(); ok {
		v.parsed, err = o.parse(text)
		v.constant = true
	}
	return v, err
}

// unescape drops the backslash before characters that certificate values are
// written with one for.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`,"\+=<>;`, s[i+1]) >= 0 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// holds decides the condition.
func (k *condition) holds(c *Context) bool {
	if k.key.index == allValues {
		list := c.list(&k.key)
		if len(list) == 0 {
			return k.absent()
		}
		return k.holdsFor(list, c)
	}
	v, ok := c.single(&k.key)
	if !ok {
		return k.absent()
	}
	if k.op.null {
		return k.wantsNull(false)
	}
	return k.passes(v, c)
}

// absent decides for a key that has no value.
func (k *condition) absent() bool {
	switch {
	case k.op.null:
		return k.wantsNull(true)
	case k.ifExists, k.quantor == forAll:
		return true
	case k.quantor == forAny:
		return false
	default:
		return k.op.negated
	}
}

func (k *condition) wantsNull(null bool) bool {
	for i := range k.values {
		if k.values[i].parsed.yes == null {
			return true
		}
	}
	return false
}

func (k *condition) holdsFor(list []string, c *Context) bool {
	if k.op.null {
		return k.wantsNull(false)
	}
	// Without a quantor a positive operator is satisfied by one value, a
	// negated one by none being equal, which is to say that all pass.
	all := k.quantor == forAll || k.quantor == anyMatches && k.op.negated
	for _, v := range list {
		if k.passes(v, c) != all {
			return !all
		}
	}
	return all
}

// passes decides one value of the key: it is (for a negated operator: is not)
// one of the values of the condition.
func (k *condition) passes(v string, c *Context) bool {
	for i := range k.values {
		if k.op.test(v, &k.values[i], c) {
			return !k.op.negated
		}
	}
	return k.op.negated
}
