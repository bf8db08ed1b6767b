package sql

import (
	"math"
	"math/big"
	"math/rand/v2"
)

// A double computes in float64.
type double func(x float64) float64

func (f double) call(e *env, a []Value) Value {
	n, ok := e.number(a[0])
	if !ok {
		return Value{}
	}
	return e.float(f(n.float()))
}

// float is the result of a double function: Undefined for what is no number.
func (e *env) float(f float64) Value {
	n, ok := numberOfFloat(f)
	return e.result(n, ok, false)
}

var doubles = map[string]double{
	"acos": math.Acos, "asin": math.Asin, "atan": math.Atan,
	"cos": math.Cos, "sin": math.Sin, "tan": math.Tan,
	"cosh": math.Cosh, "sinh": math.Sinh, "tanh": math.Tanh,
	"exp": math.Exp, "ln": math.Log, "log": log10, "sqrt": math.Sqrt,
}

// log10 is exact for powers of ten, which math.Log10 is not always.
func log10(x float64) float64 {
	y := math.Log10(x)
	if n := math.Round(y); math.Abs(y-n) < 1e-9 && math.Pow10(int(n)) == x {
		return n
	}
	return y
}

var numberFuncs = map[string]builtin{
	"abs": {1, 1, false, true, func(e *env, a []Value) Value {
		n, ok := e.number(a[0])
		n.neg = false
		return e.result(n, ok, a[0].kind == Int)
	}},
	"atan2": {2, 2, false, true, twoFloats(math.Atan2)},
	"power": {2, 2, false, true, twoFloats(math.Pow)},
	"rand":  {0, 0, false, false, func(e *env, _ []Value) Value { return e.float(rand.Float64()) }},

	"bitand": {2, 2, false, true, bitwise((*big.Int).And)},
	"bitor":  {2, 2, false, true, bitwise((*big.Int).Or)},
	"bitxor": {2, 2, false, true, bitwise((*big.Int).Xor)},
	"bitnot": {1, 1, false, true, func(e *env, a []Value) Value {
		n, ok := e.wholeInt(a[0])
		if !ok {
			return Value{}
		}
		r, ok := add(n.negate(), numberOf(-1))
		return e.result(r, ok, true)
	}},

	"ceil":  {1, 1, false, true, adjusted('c')},
	"floor": {1, 1, false, true, adjusted('f')},
	"round": {1, 1, false, true, adjusted('r')},

	"mod":       {2, 2, false, true, func(e *env, a []Value) Value { return e.modulo(a[0], a[1]) }},
	"remainder": {2, 2, false, true, func(e *env, a []Value) Value { return e.modulo(a[0], a[1]) }},
	"nanvl": {2, 2, false, true, func(_ *env, a []Value) Value {
		if a[0].kind == Undefined || a[0].kind == Null {
			return a[1]
		}
		return a[0]
	}},
	"sign": {1, 1, false, true, func(e *env, a []Value) Value {
		n, ok := e.number(a[0])
		switch {
		case !ok:
			return Value{}
		case n.isZero():
			return IntValue(0)
		case n.neg:
			return IntValue(-1)
		}
		return IntValue(1)
	}},
	"trunc": {2, 2, false, true, func(e *env, a []Value) Value {
		n, ok := e.number(a[0])
		places, ok2 := e.number(a[1])
		if !ok || !ok2 || !a[1].IsNumber() {
			return Value{}
		}
		p := int64(maxDigits)
		if places.neg {
			p = 0
		} else if i, ok := places.int64(); ok {
			p = min(i, p)
		}
		return e.result(n.truncate(int(p)), true, a[0].kind == Int)
	}},
}

func twoFloats(f func(a, b float64) float64) func(*env, []Value) Value {
	return func(e *env, a []Value) Value {
		x, ok1 := e.number(a[0])
		y, ok2 := e.number(a[1])
		if !ok1 || !ok2 {
			return Value{}
		}
		return e.float(f(x.float(), y.float()))
	}
}

// adjusted is floor, ceil or round.
func adjusted(mode byte) func(*env, []Value) Value {
	return func(e *env, a []Value) Value {
		n, ok := e.number(a[0])
		return e.result(n.adjust(mode), ok, true)
	}
}

// wholeInt is v as a number without its fraction that has room for all its
// digits.
func (e *env) wholeInt(v Value) (number, bool) {
	n, ok := e.number(v)
	n = n.truncate(0)
	return n, ok && n.exp == 0
}

// bitwise works on two's complement of any width.
func bitwise(f func(z, x, y *big.Int) *big.Int) func(*env, []Value) Value {
	return func(e *env, a []Value) Value {
		x, ok1 := e.wholeInt(a[0])
		y, ok2 := e.wholeInt(a[1])
		if !ok1 || !ok2 {
			return Value{}
		}
		n, ok := finishBig(f(new(big.Int), x.big(0), y.big(0)), 0, false)
		return e.result(n, ok, true)
	}
}

// index is v converted to an Int, as an index: beyond 64 bits it is as far
// out as those go.
func (e *env) index(v Value) (int64, bool) {
	n, ok := e.number(v)
	if !ok {
		return 0, false
	}
	if i, ok := n.int64(); ok {
		return i, true
	}
	if n.neg {
		return math.MinInt64, true
	}
	return math.MaxInt64, true
}
