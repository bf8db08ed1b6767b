package sql

import (
	"fmt"
	"strings"
)

// A Kind is the type of a Value.
type Kind uint8

// The kinds of the language. Int and Decimal are one numeric type for
// comparisons.
const (
	Undefined Kind = iota
	Null
	Bool
	Int
	Decimal
	String
	Array
	Object
)

func (k Kind) String() string {
	return [...]string{"Undefined", "Null", "Boolean", "Int", "Decimal", "String", "Array", "Object"}[k]
}

// A Value is one value of the language. The zero Value is Undefined. Arrays
// and objects are kept as their JSON text.
//
// A Value that the package hands out shares no memory with the input or with
// later evaluations.
type Value struct {
	s    string // a String's text; the JSON of an Array or Object; a number as written, or empty
	num  number
	kind Kind
	flag valueFlag
}

type valueFlag uint8

const (
	flagTrue    valueFlag = 1 << iota // a Bool that is true
	flagHuge                          // a number beyond the limits: only its text counts
	flagInexact                       // a number with more digits than num keeps
	flagWritten                       // a mark of projection.appendOverlay
)

// NullValue is Null.
func NullValue() Value { return Value{kind: Null} }

// BoolValue is a Boolean.
func BoolValue(b bool) Value {
	if b {
		return Value{kind: Bool, flag: flagTrue}
	}
	return Value{kind: Bool}
}

// IntValue is an Int.
func IntValue(i int64) Value { return Value{kind: Int, num: numberOf(i)} }

// FloatValue is the shortest number that reads as f, or Undefined for
// infinities and NaN.
func FloatValue(f float64) Value {
	n, ok := numberOfFloat(f)
	if !ok {
		return Value{}
	}
	return numberValue(n)
}

// StringValue is a String. Bytes of s that are not UTF-8 become U+FFFD.
func StringValue(s string) Value {
	return Value{kind: String, s: strings.ToValidUTF8(s, "\uFFFD")}
}

// ParseValue is the value of a JSON text, which may be a scalar. Blank text
// is Undefined.
func ParseValue(text []byte) (Value, error) {
	s := string(text)
	if strings.Trim(s, " \t\r\n") == "" {
		return Value{}, nil
	}
	raw, ok := validJSON(s)
	if !ok {
		return Value{}, fmt.Errorf("not JSON: %.40q", text)
	}
	var sc arena
	return loadRaw(raw, &sc, false), nil
}

// numberValue is n as an Int or a Decimal by whether it is whole.
func numberValue(n number) Value {
	if n.exp == 0 {
		return Value{kind: Int, num: n}
	}
	return Value{kind: Decimal, num: n}
}

// Kind is the type of v.
func (v Value) Kind() Kind { return v.kind }

// IsNumber reports whether v is an Int or a Decimal.
func (v Value) IsNumber() bool { return v.kind == Int || v.kind == Decimal }

func (v Value) isTrue() bool { return v.flag&flagTrue != 0 }

// Bool is v converted to Boolean as the language does it: of a String, only
// true and false in any case. It reports false when that gives no Boolean.
func (v Value) Bool() (value, ok bool) {
	switch v.kind {
	case Bool:
		return v.isTrue(), true
	case String:
		if strings.EqualFold(v.s, "true") {
			return true, true
		}
		return false, strings.EqualFold(v.s, "false")
	}
	return false, false
}

// number is v converted to a number: an Int, a Decimal or a numeric String.
func (v Value) number() (number, bool) {
	switch v.kind {
	case Int, Decimal:
		return v.num, v.flag&flagHuge == 0
	case String:
		if !isNumeric(v.s) {
			return number{}, false
		}
		n, _, _, ok := parseNumber(v.s)
		return n, ok
	}
	return number{}, false
}

// Float is v converted to a number and then to float64.
func (v Value) Float() (float64, bool) {
	n, ok := v.number()
	if !ok {
		return 0, false
	}
	return n.float(), true
}

// Int is v converted to an Int: its fraction dropped. It reports false also
// when the result needs more than 64 bits.
func (v Value) Int() (int64, bool) {
	n, ok := v.number()
	if !ok {
		return 0, false
	}
	return n.int64()
}

// Text is v converted to String. It reports false for Null and Undefined.
func (v Value) Text() (string, bool) {
	if v.kind == String {
		return v.s, true
	}
	b, ok := v.appendText(nil, false)
	return string(b), ok
}

// AppendJSON appends v as JSON, nothing for Undefined.
func (v Value) AppendJSON(b []byte) []byte { return v.appendJSON(b, false) }

// JSON is v as JSON, nil for Undefined.
func (v Value) JSON() []byte { return v.appendJSON(nil, false) }

// Flat is an object as JSON of one layer: a member that is an object or an
// array is a string with its JSON, compact. Of other kinds it is as JSON.
func (v Value) Flat() []byte {
	if v.kind != Object {
		return v.JSON()
	}
	var sc arena
	var o object
	w := walk{raw: v.s}
	for k, raw, ok := w.member(); ok; k, raw, ok = w.member() {
		if raw[0] == '{' || raw[0] == '[' {
			raw = string(appendString(nil, string(appendCompact(nil, raw, false))))
		}
		o.put(nil, []string{unquote(k, &sc)}, raw)
	}
	return o.append(nil)
}

// Compare orders two values that are numbers or numeric strings.
func Compare(a, b Value) (order int, ok bool) {
	x, ok1 := a.number()
	y, ok2 := b.number()
	if !ok1 || !ok2 {
		return 0, false
	}
	return x.compare(y), true
}

// detach copies what v shares with buffers that will be used again.
func (v Value) detach() Value {
	switch {
	case v.s == "":
	case v.IsNumber() && v.flag&(flagHuge|flagInexact) == 0:
		v.s = ""
	default:
		v.s = strings.Clone(v.s)
	}
	return v
}

// kept is detach, and a number keeps the text that it was written as.
func (v Value) kept() Value {
	v.s = strings.Clone(v.s)
	return v
}

// appendJSON appends v as JSON, nothing for Undefined. A legacy Decimal keeps
// its point.
func (v Value) appendJSON(b []byte, legacy bool) []byte {
	switch v.kind {
	case Null:
		return append(b, "null"...)
	case Bool:
		if v.isTrue() {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case Int, Decimal:
		return v.appendNumber(b, legacy)
	case String:
		return appendString(b, v.s)
	case Array, Object:
		return append(b, v.s...)
	}
	return b
}

// appendNumber appends a number as written, if that says what it is, and in
// the one form if it was computed or is whole under another spelling.
func (v Value) appendNumber(b []byte, legacy bool) []byte {
	if v.s != "" && (v.kind == Decimal || v.flag&(flagHuge|flagInexact) != 0 || legacy) {
		return append(b, v.s...)
	}
	b = v.num.append(b)
	if legacy && v.kind == Decimal && v.num.exp == 0 {
		b = append(b, ".0"...)
	}
	return b
}

// appendText appends v converted to String.
func (v Value) appendText(b []byte, legacy bool) ([]byte, bool) {
	switch v.kind {
	case Null, Undefined:
		return b, false
	case String:
		return append(b, v.s...), true
	case Array, Object:
		return appendCompact(b, v.s, legacy), true
	case Int, Decimal:
		if v.flag&(flagHuge|flagInexact) == 0 {
			v.s = "" // the one form, not the one written
		}
		return v.appendNumber(b, legacy), true
	}
	return v.appendJSON(b, legacy), true
}

// isNumeric is the pattern -?\d+(\.\d+)?(E-?\d+)? with e in either case.
func isNumeric(s string) bool {
	digits := func() bool {
		n := 0
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		s = s[n:]
		return n > 0
	}
	s = strings.TrimPrefix(s, "-")
	if !digits() {
		return false
	}
	if strings.HasPrefix(s, ".") {
		if s = s[1:]; !digits() {
			return false
		}
	}
	if s != "" && s[0]|0x20 == 'e' {
		s = strings.TrimPrefix(s[1:], "-")
		if !digits() {
			return false
		}
	}
	return s == ""
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
