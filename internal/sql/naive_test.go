package sql

import (
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// The naive interpreter walks the tree of a statement anew for each message,
// on values of its own: big.Rat for numbers, slices for arrays and objects. It
// shares nothing with the compiled program but the parser, and is written from
// the specification alone, for both versions. TestDifferential compares.

type nv struct {
	kind Kind // Int for every number
	b    bool
	r    *big.Rat
	dec  bool // a Decimal that stays one when it is whole, as version 2015-10-08 has it
	s    string
	arr  []nv
	obj  []nmember
}

type nmember struct {
	key string
	v   nv
}

var undef = nv{}

func nbool(b bool) nv     { return nv{kind: Bool, b: b} }
func nstr(s string) nv    { return nv{kind: String, s: s} }
func nnum(r *big.Rat) nv  { return round34(r) }
func nint(i int) nv       { return nv{kind: Int, r: big.NewRat(int64(i), 1)} }
func narr(a []nv) nv      { return nv{kind: Array, arr: a} }
func nobj(o []nmember) nv { return nv{kind: Object, obj: o} }

func (v nv) member(name string) nv {
	if v.kind == Object {
		for _, m := range v.obj {
			if m.key == name {
				return m.v
			}
		}
	}
	return undef
}

// whole says that the number counts as an Int.
func (v nv) whole() bool {
	return v.kind == Int && !v.dec && v.r.IsInt() && len(new(big.Int).Abs(v.r.Num()).String()) <= 34
}

func pow10Rat(n int) *big.Rat {
	p := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(n, -n))), nil)
	if n < 0 {
		return new(big.Rat).SetFrac(big.NewInt(1), p)
	}
	return new(big.Rat).SetInt(p)
}

// round34 rounds to 34 digits, half to even; Undefined from 1E1000.
func round34(r *big.Rat) nv {
	if r.Sign() == 0 {
		return nint(0)
	}
	abs := new(big.Rat).Abs(r)
	e := len(abs.Num().String()) - len(abs.Denom().String())
	for abs.Cmp(pow10Rat(e)) < 0 {
		e--
	}
	for abs.Cmp(pow10Rat(e+1)) >= 0 {
		e++
	}
	scaled := new(big.Rat).Mul(abs, pow10Rat(33-e))
	q, rem := new(big.Int).QuoRem(scaled.Num(), scaled.Denom(), new(big.Int))
	switch twice := rem.Lsh(rem, 1).Cmp(scaled.Denom()); {
	case twice > 0, twice == 0 && q.Bit(0) == 1:
		q.Add(q, big.NewInt(1))
	}
	out := new(big.Rat).Mul(new(big.Rat).SetInt(q), pow10Rat(e-33))
	if r.Sign() < 0 {
		out.Neg(out)
	}
	if abs.SetString("1E1000"); new(big.Rat).Abs(out).Cmp(abs) >= 0 {
		return undef
	}
	if abs.SetString("1E-999"); new(big.Rat).Abs(out).Cmp(abs) < 0 {
		return nint(0)
	}
	return nv{kind: Int, r: out}
}

// numberText is the text of a number: plain while the first digit's exponent
// is in -7..34.
func numberText(r *big.Rat) string {
	sign := ""
	if r.Sign() < 0 {
		sign, r = "-", new(big.Rat).Neg(r)
	}
	scale := 0
	for x := new(big.Rat).Set(r); !x.IsInt(); x.Mul(x, pow10Rat(1)) {
		scale++
	}
	digits := new(big.Rat).Mul(r, pow10Rat(scale)).Num().String()
	first := len(digits) - 1 - scale
	if first < -7 || first > 34 {
		digits = strings.TrimRight(digits, "0")
		if len(digits) > 1 {
			digits = digits[:1] + "." + digits[1:]
		}
		return sign + digits + "E" + strconv.Itoa(first)
	}
	if scale == 0 {
		return sign + digits
	}
	digits = strings.Repeat("0", max(0, scale+1-len(digits))) + digits
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}

// text is the value as a String.
func (v nv) text() (string, bool) {
	switch v.kind {
	case Bool:
		return strconv.FormatBool(v.b), true
	case Int:
		s := numberText(v.r)
		if v.dec && v.r.IsInt() && len(strings.TrimPrefix(s, "-")) <= 34 && !strings.Contains(s, "E") {
			s += ".0"
		}
		return s, true
	case String:
		return v.s, true
	case Array, Object:
		return v.json(), true
	}
	return "", false
}

func (v nv) json() string {
	switch v.kind {
	case Null:
		return "null"
	case String:
		return string(appendString(nil, v.s))
	case Array:
		parts := make([]string, len(v.arr))
		for i, x := range v.arr {
			parts[i] = x.json()
		}
		return "[" + strings.Join(parts, ",") + "]"
	case Object:
		parts := make([]string, len(v.obj))
		for i, m := range v.obj {
			parts[i] = string(appendString(nil, m.key)) + ":" + m.v.json()
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	s, _ := v.text()
	return s
}

// num is the value as a number: of a String, if it is one.
func (v nv) num() (*big.Rat, bool) {
	if v.kind == String && isNumberText(v.s) {
		r, ok := new(big.Rat).SetString(v.s)
		if !ok {
			return nil, false
		}
		v = round34(r)
	}
	return v.r, v.kind == Int
}

// isNumberText is the pattern of the specification, character by character.
func isNumberText(s string) bool {
	s = strings.TrimPrefix(s, "-")
	mant, exp, hasExp := strings.Cut(strings.ToUpper(s), "E")
	whole, frac, hasFrac := strings.Cut(mant, ".")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	return digits(whole) && (!hasFrac || digits(frac)) && (!hasExp || digits(strings.TrimPrefix(exp, "-")))
}

func (v nv) boolean() (value, ok bool) {
	switch {
	case v.kind == Bool:
		return v.b, true
	case v.kind == String && strings.ToLower(v.s) == "true":
		return true, true
	case v.kind == String && strings.ToLower(v.s) == "false":
		return false, true
	}
	return false, false
}

// index is the value as an Int, its fraction dropped.
func (v nv) index() (int, bool) {
	r, ok := v.num()
	if !ok {
		return 0, false
	}
	q := new(big.Int).Quo(r.Num(), r.Denom())
	switch {
	case q.IsInt64() && q.Int64() > -1<<40 && q.Int64() < 1<<40:
		return int(q.Int64()), true
	case q.Sign() < 0:
		return -1 << 40, true
	}
	return 1 << 40, true
}

func truncRat(r *big.Rat) *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Quo(r.Num(), r.Denom()))
}

// nequal is = without Undefined.
func nequal(a, b nv) bool {
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case Bool:
		return a.b == b.b
	case Int:
		return a.r.Cmp(b.r) == 0
	case String:
		return a.s == b.s
	case Array:
		return slices.EqualFunc(a.arr, b.arr, nequal)
	case Object:
		if len(a.obj) != len(b.obj) {
			return false
		}
		for _, m := range a.obj {
			if o := b.member(m.key); o.kind == Undefined || !nequal(m.v, o) {
				return false
			}
		}
	}
	return true
}

// nwritten is a number as JSON or a statement writes it.
func nwritten(s string, legacy bool) nv {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic("not a number: " + s)
	}
	v := round34(r)
	v.dec = legacy && strings.ContainsAny(s, ".eE")
	return v
}

// parseNaive reads JSON with the standard library. Of members with one name
// the last counts.
func parseNaive(text string, legacy bool) (nv, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	v, err := readNaive(dec, legacy)
	if _, end := dec.Token(); err == nil && end != io.EOF {
		err = errors.New("there is more after the value")
	}
	return v, err
}

func readNaive(dec *json.Decoder, legacy bool) (nv, error) {
	tok, err := dec.Token()
	if err != nil {
		return undef, err
	}
	switch tok := tok.(type) {
	case nil:
		return nv{kind: Null}, nil
	case bool:
		return nbool(tok), nil
	case string:
		return nstr(tok), nil
	case json.Number:
		return nwritten(string(tok), legacy), nil
	case json.Delim:
		if tok == '[' {
			v := narr(nil)
			for dec.More() {
				x, err := readNaive(dec, legacy)
				if err != nil {
					return undef, err
				}
				v.arr = append(v.arr, x)
			}
			_, err = dec.Token()
			return v, err
		}
		v := nobj(nil)
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return undef, err
			}
			x, err := readNaive(dec, legacy)
			if err != nil {
				return undef, err
			}
			v.set(key.(string), x)
		}
		_, err = dec.Token()
		return v, err
	}
	return undef, errors.New("token")
}

// set keeps the place of a key that there is.
func (v *nv) set(key string, x nv) {
	for i := range v.obj {
		if v.obj[i].key == key {
			v.obj[i].v = x
			return
		}
	}
	v.obj = append(v.obj, nmember{key, x})
}

// put sets a path; what is no object on the way is replaced.
func (v *nv) put(path []string, x nv) {
	if len(path) == 1 {
		v.set(path[0], x)
		return
	}
	sub := nobj(slices.Clone(v.member(path[0]).obj))
	sub.put(path[1:], x)
	v.set(path[0], sub)
}
