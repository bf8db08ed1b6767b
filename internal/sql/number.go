package sql

import (
	"math"
	"math/big"
	"strconv"
)

const (
	maxDigits   = 34  // significant digits of a number
	maxExponent = 999 // largest and, negated, smallest exponent of the first digit
)

// A number is (-1)^neg * coef * 10^exp with at most 34 digits in coef, kept
// in one form per value: no trailing zero after the point (exp < 0), and
// exp 0 for every whole number that has room for its digits. Zero is the zero
// number.
type number struct {
	coef u128
	exp  int16
	neg  bool
}

func numberOf(i int64) number {
	if i < 0 {
		return number{coef: u128{0, -uint64(i)}, neg: true}
	}
	return number{coef: u128{0, uint64(i)}}
}

func (n number) isZero() bool { return n.coef.isZero() }
func (n number) negate() number {
	n.neg = !n.neg && !n.isZero()
	return n
}

// finish brings coef * 10^exp into the one form, rounding half-even to 34
// digits; sticky says that something below coef was dropped before. It fails
// beyond the largest magnitude; below the smallest the result is zero.
func finish(coef u128, exp int, neg, sticky bool) (number, bool) {
	if drop := coef.digits() - maxDigits; drop > 0 {
		q, half, _ := coef.shiftRight(drop)
		if half > 0 || half == 0 && (sticky || q.lo&1 == 1) {
			q, _ = q.add(u128{0, 1})
		}
		coef, exp = q, exp+drop
		if coef == pow10[maxDigits] {
			coef, exp = pow10[maxDigits-1], exp+1
		}
	}
	if coef.isZero() {
		return number{}, true
	}
	for exp < 0 {
		q, r := coef.div64(10)
		if r != 0 {
			break
		}
		coef, exp = q, exp+1
	}
	if d := coef.digits(); exp > 0 && d+exp <= maxDigits {
		coef, _ = coef.scale(exp)
		exp = 0
	}
	first := coef.digits() - 1 + exp
	switch {
	case first > maxExponent:
		return number{}, false
	case first < -maxExponent:
		return number{}, true
	}
	if exp > 0 { // a whole number without room for all its digits
		coef, _ = coef.scale(maxDigits - coef.digits())
		exp = first - (maxDigits - 1)
	}
	return number{coef, int16(exp), neg}, true
}

// parseNumber reads a number in the syntax of JSON; leading zeros do no harm.
// point says that it was written with a fraction or an exponent, exact that
// no digit was rounded away, ok that it is within the limits.
func parseNumber(s string) (n number, point, exact, ok bool) {
	i := 0
	neg := len(s) > 0 && s[0] == '-'
	if neg {
		i = 1
	}
	if n, point, ok := parseShort(s[i:], neg); ok {
		return n, point, true, true
	}
	var coef u128
	exp, digits, sticky, round := 0, 0, false, byte(0)
	exact = true
	for seen := false; i < len(s); i++ {
		c := s[i]
		if c == '.' {
			seen, point = true, true
			continue
		}
		if !isDigit(c) {
			break
		}
		switch {
		case digits < maxDigits:
			coef, _ = coef.mul64(10)
			coef, _ = coef.add(u128{0, uint64(c - '0')})
			if !coef.isZero() {
				digits++
			}
			if seen {
				exp--
			}
		default:
			if digits == maxDigits {
				round = c - '0'
			} else {
				sticky = sticky || c != '0'
			}
			exact = exact && c == '0'
			digits++
			if !seen {
				exp++
			}
		}
	}
	if i < len(s) { // an exponent
		point = true
		i++
		eneg, e := false, 0
		if i < len(s) && (s[i] == '-' || s[i] == '+') {
			eneg = s[i] == '-'
			i++
		}
		for ; i < len(s); i++ {
			if e < 1<<30 {
				e = e*10 + int(s[i]-'0')
			}
		}
		if eneg {
			e = -e
		}
		exp += e
	}
	if round > 5 || round == 5 && (sticky || coef.lo&1 == 1) {
		coef, _ = coef.add(u128{0, 1})
	}
	n, ok = finish(coef, exp, neg, false)
	if n.isZero() && !coef.isZero() {
		exact = false
	}
	return n, point, exact && ok, ok
}

// parseShort reads what most numbers are: up to 19 digits, which a word holds,
// perhaps a point among them, and no exponent.
func parseShort(s string, neg bool) (n number, point, ok bool) {
	if len(s) > 19 {
		return n, false, false
	}
	var v uint64
	places := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isDigit(c):
			v = v*10 + uint64(c-'0')
			if point {
				places++
			}
		case c == '.' && !point:
			point = true
		default:
			return n, false, false
		}
	}
	for places > 0 && v%10 == 0 {
		v /= 10
		places--
	}
	return number{coef: u128{0, v}, exp: int16(-places), neg: neg && v != 0}, point, true
}

// append writes the number: plain while the exponent of its first digit is
// in -7..34, else with E.
func (n number) append(b []byte) []byte {
	if n.neg {
		b = append(b, '-')
	}
	if n.exp == 0 {
		return n.coef.append(b)
	}
	start := len(b)
	coef := n.coef
	exp := int(n.exp)
	first := coef.digits() - 1 + exp
	if first < -7 || first > maxDigits {
		for q, r := coef.div64(10); r == 0; q, r = coef.div64(10) {
			coef = q
		}
		b = coef.append(b)
		if len(b)-start > 1 {
			b = append(b, 0)
			copy(b[start+2:], b[start+1:])
			b[start+1] = '.'
		}
		b = append(b, 'E')
		return strconv.AppendInt(b, int64(first), 10)
	}
	if exp > 0 {
		b = coef.append(b)
		for range exp {
			b = append(b, '0')
		}
		return b
	}
	if first < 0 {
		b = append(b, "0."...)
		for range -first - 1 {
			b = append(b, '0')
		}
		return coef.append(b)
	}
	b = coef.append(b)
	point := start + first + 1
	b = append(b, 0)
	copy(b[point+1:], b[point:])
	b[point] = '.'
	return b
}

// float is the nearest float64.
func (n number) float() float64 {
	// Both are exact as float64, so one division rounds as it must. An
	// exponent above 0 comes with 34 digits alone.
	if n.coef.hi == 0 && n.coef.lo < 1<<53 && n.exp >= -22 {
		f := float64(n.coef.lo) / float64Pow10[-n.exp]
		if n.neg {
			f = -f
		}
		return f
	}
	var buf [64]byte
	f, _ := strconv.ParseFloat(string(n.append(buf[:0])), 64)
	return f
}

var float64Pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// numberOfFloat is the shortest decimal that reads back as f; not ok for
// infinities and NaN.
func numberOfFloat(f float64) (number, bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return number{}, false
	}
	var buf [32]byte
	n, _, _, ok := parseNumber(string(strconv.AppendFloat(buf[:0], f, 'e', -1, 64)))
	return n, ok
}

// int64 is the number without its fraction, if that fits.
func (n number) int64() (int64, bool) {
	if n.exp < 0 {
		n = n.truncate(0)
	}
	if n.exp != 0 || n.coef.hi != 0 || n.coef.lo > math.MaxInt64 {
		return 0, false
	}
	if n.neg {
		return -int64(n.coef.lo), true
	}
	return int64(n.coef.lo), true
}

// truncate drops the digits beyond places after the point.
func (n number) truncate(places int) number {
	drop := -int(n.exp) - places
	if drop <= 0 {
		return n
	}
	q, _, _ := n.coef.shiftRight(drop)
	n, _ = finish(q, -places, n.neg, false)
	return n
}

// adjust is the whole number at or beside n: mode floor, ceil or round half
// away from zero.
func (n number) adjust(mode byte) number {
	if n.exp >= 0 {
		return n
	}
	q, half, rest := n.coef.shiftRight(-int(n.exp))
	if mode == 'r' && half >= 0 || rest && (mode == 'f' && n.neg || mode == 'c' && !n.neg) {
		q, _ = q.add(u128{0, 1})
	}
	n, _ = finish(q, 0, n.neg, false)
	return n
}

// big is the coefficient times 10^up, signed.
func (n number) big(up int) *big.Int {
	b := new(big.Int).SetUint64(n.coef.hi)
	b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(n.coef.lo))
	if up > 0 {
		b.Mul(b, bigPow10(up))
	}
	if n.neg {
		b.Neg(b)
	}
	return b
}

func bigPow10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// finishBig rounds b * 10^exp; sticky says that something was dropped below.
func finishBig(b *big.Int, exp int, sticky bool) (number, bool) {
	neg := b.Sign() < 0
	b.Abs(b)
	// Down to at most 38 digits, which a u128 holds, by one division.
	if over := len(b.Text(10)) - 38; over > 0 {
		var r big.Int
		b.QuoRem(b, bigPow10(over), &r)
		sticky = sticky || r.Sign() != 0
		exp += over
	}
	var lo, hi big.Int
	lo.And(b, new(big.Int).SetUint64(math.MaxUint64))
	hi.Rsh(b, 64)
	return finish(u128{hi.Uint64(), lo.Uint64()}, exp, neg, sticky)
}
