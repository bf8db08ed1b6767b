package sql

import (
	"math/bits"
	"strconv"
)

// A u128 is an unsigned integer of 128 bits, the coefficient of a number.
type u128 struct{ hi, lo uint64 }

// pow10 holds 10^0 to 10^38, all that a u128 can.
var pow10 = func() (p [39]u128) {
	p[0] = u128{0, 1}
	for i := 1; i < len(p); i++ {
		p[i], _ = p[i-1].mul64(10)
	}
	return
}()

func (a u128) isZero() bool { return a.hi|a.lo == 0 }

func (a u128) cmp(b u128) int {
	switch {
	case a.hi != b.hi:
		if a.hi < b.hi {
			return -1
		}
		return 1
	case a.lo != b.lo:
		if a.lo < b.lo {
			return -1
		}
		return 1
	}
	return 0
}

func (a u128) add(b u128) (sum u128, overflow bool) {
	lo, c := bits.Add64(a.lo, b.lo, 0)
	hi, c := bits.Add64(a.hi, b.hi, c)
	return u128{hi, lo}, c != 0
}

// sub is a - b for a >= b.
func (a u128) sub(b u128) u128 {
	lo, c := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, c)
	return u128{hi, lo}
}

func (a u128) mul64(m uint64) (product u128, overflow bool) {
	h, lo := bits.Mul64(a.lo, m)
	over, hi := bits.Mul64(a.hi, m)
	hi, c := bits.Add64(hi, h, 0)
	return u128{hi, lo}, over != 0 || c != 0
}

func (a u128) div64(d uint64) (quotient u128, remainder uint64) {
	hi, r := a.hi/d, a.hi%d
	lo, r := bits.Div64(r, a.lo, d)
	return u128{hi, lo}, r
}

// scale is a * 10^n for n >= 0.
func (a u128) scale(n int) (u128, bool) {
	if a.isZero() {
		return a, true
	}
	for n > 0 {
		step := min(n, 19)
		var over bool
		if a, over = a.mul64(pow10[step].lo); over {
			return a, false
		}
		n -= step
	}
	return a, true
}

// digits is the number of decimal digits, 1 for zero.
func (a u128) digits() int {
	// 1233/4096 is a little below log10(2), so that guess is exact or one low.
	n := 64 - bits.LeadingZeros64(a.lo)
	if a.hi != 0 {
		n = 128 - bits.LeadingZeros64(a.hi)
	}
	guess := n * 1233 >> 12
	if a.cmp(pow10[guess]) < 0 {
		return max(guess, 1)
	}
	return guess + 1
}

// shiftRight drops n decimal digits. half compares what was dropped with one
// half of the last digit kept: -1, 0, 1; any says that it was not zero.
func (a u128) shiftRight(n int) (q u128, half int, any bool) {
	if n <= 0 {
		return a, -1, false
	}
	if n > 39 {
		return u128{}, -1, !a.isZero()
	}
	var last uint64
	rest := false
	for ; n > 0 && !a.isZero(); n-- {
		rest = rest || last != 0
		a, last = a.div64(10)
	}
	if n > 0 {
		return a, -1, rest || last != 0
	}
	switch {
	case last > 5 || last == 5 && rest:
		half = 1
	case last < 5:
		half = -1
	}
	return a, half, rest || last != 0
}

// append writes the decimal digits.
func (a u128) append(b []byte) []byte {
	if a.hi == 0 {
		return strconv.AppendUint(b, a.lo, 10)
	}
	q, r := a.div64(1e18)
	b = q.append(b)
	for range 18 - (u128{0, r}).digits() {
		b = append(b, '0')
	}
	return strconv.AppendUint(b, r, 10)
}
