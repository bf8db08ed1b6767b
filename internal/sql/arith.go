package sql

import (
	"math/big"
	"math/bits"
)

// add is a + b. It fails, as all arithmetic here, beyond the largest number.
func add(a, b number) (number, bool) {
	if a.exp != b.exp {
		if a.exp > b.exp {
			a, b = b, a
		}
		// b has the larger exponent: write it with a's, if it fits.
		if diff := int(b.exp) - int(a.exp); diff <= maxDigits {
			if c, ok := b.coef.scale(diff); ok && c.hi>>62 == 0 {
				b.coef, b.exp = c, a.exp
			}
		}
	}
	if a.exp == b.exp {
		switch {
		case a.neg == b.neg:
			c, _ := a.coef.add(b.coef) // both below 2^126
			return finish(c, int(a.exp), a.neg, false)
		case a.coef.cmp(b.coef) >= 0:
			return finish(a.coef.sub(b.coef), int(a.exp), a.neg, false)
		default:
			return finish(b.coef.sub(a.coef), int(a.exp), b.neg, false)
		}
	}
	x := a.big(0)
	return finishBig(x.Add(x, b.big(int(b.exp)-int(a.exp))), int(a.exp), false)
}

func mul(a, b number) (number, bool) {
	exp := int(a.exp) + int(b.exp)
	if a.coef.hi|b.coef.hi == 0 {
		c, _ := a.coef.mul64(b.coef.lo)
		return finish(c, exp, a.neg != b.neg, false)
	}
	x := a.big(0)
	return finishBig(x.Mul(x, b.big(0)), exp, false)
}

// quo is a / b to 34 digits for b that is not zero.
func quo(a, b number) (number, bool) {
	if a.exp >= b.exp && a.coef.hi|b.coef.hi == 0 && a.coef.lo%b.coef.lo == 0 {
		return finish(u128{0, a.coef.lo / b.coef.lo}, int(a.exp)-int(b.exp), a.neg != b.neg, false)
	}
	if a.coef.hi|b.coef.hi == 0 {
		return quoShort(a, b)
	}
	// Enough digits that the quotient has more than 34 whatever the lengths.
	const up = 2*maxDigits + 2
	var q, r big.Int
	q.QuoRem(a.big(up), b.big(0), &r)
	return finishBig(&q, int(a.exp)-int(b.exp)-up, r.Sign() != 0)
}

// quoShort is quo for coefficients of 64 bits: long division, up to 18 digits
// at a time.
func quoShort(a, b number) (number, bool) {
	q, r := u128{0, a.coef.lo / b.coef.lo}, a.coef.lo%b.coef.lo
	exp := int(a.exp) - int(b.exp)
	for d := q.digits(); r != 0 && d < maxDigits+2; d = q.digits() {
		step := min(18, maxDigits+3-d)
		hi, lo := bits.Mul64(r, pow10[step].lo) // below b * 10^18, so hi < b
		digits, rest := bits.Div64(hi, lo, b.coef.lo)
		q, _ = q.scale(step)
		q, _ = q.add(u128{0, digits})
		r, exp = rest, exp-step
	}
	return finish(q, exp, a.neg != b.neg, r != 0)
}

// quoInt is a / b without its fraction, for b that is not zero.
func quoInt(a, b number) (number, bool) {
	if a.exp == 0 && b.exp == 0 && a.coef.hi|b.coef.hi == 0 {
		return finish(u128{0, a.coef.lo / b.coef.lo}, 0, a.neg != b.neg, false)
	}
	x, y := aligned(a, b)
	return finishBig(x.Quo(x, y), 0, false)
}

// rem is the remainder of a / b, with the sign of a, for b that is not zero.
func rem(a, b number) (number, bool) {
	if a.exp == b.exp && a.coef.hi|b.coef.hi == 0 {
		return finish(u128{0, a.coef.lo % b.coef.lo}, int(a.exp), a.neg, false)
	}
	x, y := aligned(a, b)
	return finishBig(x.Rem(x, y), int(min(a.exp, b.exp)), false)
}

// aligned are both coefficients under the smaller of the two exponents.
func aligned(a, b number) (x, y *big.Int) {
	low := min(a.exp, b.exp)
	return a.big(int(a.exp) - int(low)), b.big(int(b.exp) - int(low))
}

// compare orders two numbers: -1, 0, 1.
func (a number) compare(b number) int {
	if a.neg != b.neg {
		if a.neg {
			return -1
		}
		return 1
	}
	c := a.compareAbs(b)
	if a.neg {
		return -c
	}
	return c
}

// scaled is a * 10^n, n being at most 19.
func scaled(a uint64, n int) u128 {
	hi, lo := bits.Mul64(a, pow10[n].lo)
	return u128{hi, lo}
}

func (a number) compareAbs(b number) int {
	if a.isZero() || b.isZero() || a.exp == b.exp {
		return a.coef.cmp(b.coef)
	}
	// Most coefficients have one word, and exponents lie close together.
	if d := int(a.exp) - int(b.exp); a.coef.hi|b.coef.hi == 0 && d >= -19 && d <= 19 {
		if d < 0 {
			return -scaled(b.coef.lo, -d).cmp(a.coef)
		}
		return scaled(a.coef.lo, d).cmp(b.coef)
	}
	fa, fb := a.coef.digits()+int(a.exp), b.coef.digits()+int(b.exp)
	if fa != fb {
		if fa < fb {
			return -1
		}
		return 1
	}
	// The first digits stand in the same place, so the exponents differ by at
	// most 33 and the scaled coefficient has at most 34 digits.
	if a.exp > b.exp {
		c, _ := a.coef.scale(int(a.exp) - int(b.exp))
		return c.cmp(b.coef)
	}
	c, _ := b.coef.scale(int(b.exp) - int(a.exp))
	return a.coef.cmp(c)
}
