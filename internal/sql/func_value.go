package sql

import "unicode/utf8"

// maxTransform bounds the result of transform, in bytes.
const maxTransform = 128 << 10

var valueFuncs = map[string]builtin{
	"get":         {2, 2, false, true, func(e *env, a []Value) Value { return e.get(a[0], a[1]) }},
	"isnull":      {1, 1, false, true, func(_ *env, a []Value) Value { return BoolValue(a[0].kind == Null) }},
	"isundefined": {1, 1, true, true, func(_ *env, a []Value) Value { return BoolValue(a[0].kind == Undefined) }},
	"transform":   {3, 3, true, true, func(e *env, a []Value) Value { return e.transform(a) }},
}

// get is an element of an array, a character of a string, or a member of an
// object.
func (e *env) get(v, key Value) Value {
	if v.kind == Object {
		if key.kind != String || !e.charge(len(v.s)) {
			return Value{}
		}
		return e.load(lookup(v.s, key.s))
	}
	i, ok := e.index(key)
	if !ok || i < 0 || !e.charge(len(v.s)) {
		return Value{}
	}
	switch v.kind {
	case Array:
		w := walk{raw: v.s}
		for raw, ok := w.element(); ok; raw, ok = w.element() {
			if i == 0 {
				return e.load(raw)
			}
			i--
		}
	case String:
		if at := runeOffset(v.s, i); at < len(v.s) {
			_, n := utf8.DecodeRuneInString(v.s[at:])
			return Value{kind: String, s: v.s[at : at+n]}
		}
	}
	return Value{}
}

// transform is transform('enrichArray', object, array): each element with the
// members of the object, which win a clash.
func (e *env) transform(a []Value) Value {
	mode, obj, arr := a[0], a[1], a[2]
	if mode.kind != String || mode.s != "enrichArray" || obj.kind != Object || arr.kind != Array || !e.charge(len(arr.s)) {
		return Value{}
	}
	b := append(e.buffer(), '[')
	defer func() { e.done(b) }()
	w := walk{raw: arr.s}
	for raw, ok := w.element(); ok; raw, ok = w.element() {
		if raw[0] != '{' || !e.charge(len(raw)+len(obj.s)) {
			return Value{}
		}
		var o object
		o.putAll(e, raw)
		o.putAll(e, obj.s)
		if len(b) > 1 {
			b = append(b, ',')
		}
		if b = o.append(b); len(b) > maxTransform {
			return Value{}
		}
	}
	b = append(b, ']')
	return e.raw(Array, append(e.sc.grow(len(b)), b...))
}
