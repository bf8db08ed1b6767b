package telemetry

import (
	"encoding/binary"
	"math/big"
	"math/bits"

	"github.com/thingloom/thingloom/internal/record"
)

// A decimal is a sum of numbers, exact: lo * 10^exp, or big * 10^exp once lo
// is too small for it. The same numbers make the same sum in any order, so
// that windows do not depend on the order of records; float64 would differ in
// the last digits.
type decimal struct {
	lo  int64
	exp int // not above 0
	big *big.Int
}

// maxScale is the most digits after the point; those of JSON numbers are
// limited to about as many by internal/sql.
const maxScale = 1100

var ten = big.NewInt(10)

func pow10(n int) *big.Int { return new(big.Int).Exp(ten, big.NewInt(int64(n)), nil) }

// parseDecimal reads a number in JSON's syntax.
func parseDecimal(s []byte) (d decimal, ok bool) {
	neg := len(s) > 0 && s[0] == '-'
	i := 0
	if neg {
		i++
	}
	start, point := i, -1
	var lo uint64
	small := true
	for ; i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.'); i++ {
		if s[i] == '.' {
			point = i
			continue
		}
		if lo > (1<<63-10)/10 {
			small = false
		}
		lo = lo*10 + uint64(s[i]-'0')
	}
	digits := s[start:i]
	if point >= 0 {
		d.exp = -(i - point - 1)
	}
	if i < len(s) {
		if s[i]|0x20 != 'e' {
			return decimal{}, false
		}
		e, eneg := 0, false
		for i++; i < len(s); i++ {
			switch c := s[i]; {
			case c == '-':
				eneg = true
			case c == '+':
			case c >= '0' && c <= '9' && e < 1e6:
				e = e*10 + int(c-'0')
			default:
				return decimal{}, false
			}
		}
		if eneg {
			e = -e
		}
		d.exp += e
	}
	if len(digits) == 0 || d.exp < -maxScale || d.exp > maxScale {
		return decimal{}, false
	}
	if small {
		d.lo = int64(lo)
	} else {
		clean := make([]byte, 0, len(digits))
		for _, c := range digits {
			if c != '.' {
				clean = append(clean, c)
			}
		}
		if d.big, ok = new(big.Int).SetString(string(clean), 10); !ok {
			return decimal{}, false
		}
	}
	if neg {
		d.lo = -d.lo
		if d.big != nil {
			d.big.Neg(d.big)
		}
	}
	if d.exp > 0 {
		d.rescale(0)
	}
	return d, true
}

// int is the coefficient, to be read only.
func (d *decimal) int() *big.Int {
	if d.big != nil {
		return d.big
	}
	return big.NewInt(d.lo)
}

// rescale changes exp to a smaller one.
func (d *decimal) rescale(exp int) {
	n := d.exp - exp
	if n <= 0 {
		return
	}
	d.exp = exp
	if d.big == nil {
		lo := d.lo
		for range n {
			hi, l := bits.Mul64(abs(lo), 10)
			if hi != 0 || l > 1<<63-1 {
				d.big = new(big.Int).Mul(big.NewInt(d.lo), pow10(n))
				d.lo = 0
				return
			}
			lo *= 10
		}
		d.lo = lo
		return
	}
	d.big = new(big.Int).Mul(d.big, pow10(n))
}

func abs(i int64) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

// add adds o, which may be rescaled.
func (d *decimal) add(o decimal) {
	switch {
	case d.exp > o.exp:
		d.rescale(o.exp)
	case o.exp > d.exp:
		o.rescale(d.exp)
	}
	if d.big == nil && o.big == nil {
		sum := d.lo + o.lo
		if (sum > d.lo) == (o.lo > 0) {
			d.lo = sum
			return
		}
	}
	d.big = new(big.Int).Add(d.int(), o.int())
	d.lo = 0
}

// square is d*d.
func (d *decimal) square() decimal {
	if d.big == nil {
		hi, lo := bits.Mul64(abs(d.lo), abs(d.lo))
		if hi == 0 && lo <= 1<<63-1 {
			return decimal{lo: int64(lo), exp: 2 * d.exp}
		}
	}
	return decimal{big: new(big.Int).Mul(d.int(), d.int()), exp: 2 * d.exp}
}

// rat is the exact value.
func (d *decimal) rat() *big.Rat {
	return new(big.Rat).SetFrac(d.int(), pow10(-d.exp))
}

// json appends the value as a JSON number.
func (d *decimal) json(dst []byte) []byte {
	s := d.int().String()
	if d.exp == 0 {
		return append(dst, s...)
	}
	if s[0] == '-' {
		dst = append(dst, '-')
		s = s[1:]
	}
	for len(s) <= -d.exp {
		s = "0" + s
	}
	whole, frac := s[:len(s)+d.exp], s[len(s)+d.exp:]
	for frac != "" && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	dst = append(dst, whole...)
	if frac != "" {
		dst = append(append(dst, '.'), frac...)
	}
	return dst
}

// encode appends the state: scale, sign and coefficient.
func (d *decimal) encode(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(-d.exp))
	n := d.int()
	sign := byte(0)
	if n.Sign() < 0 {
		sign = 1
	}
	dst = append(dst, sign)
	return record.AppendBytes(dst, n.Bytes())
}

func (r *stateReader) decimal() decimal {
	exp := r.Uvarint()
	sign := r.Byte()
	b := r.View()
	// Squares have twice the scale.
	if exp > 2*maxScale || sign > 1 || len(b) > 4096 {
		r.Fail("number out of range")
		return decimal{}
	}
	n := new(big.Int).SetBytes(b)
	if sign == 1 {
		n.Neg(n)
	}
	if n.IsInt64() && n.Int64() != -1<<63 {
		return decimal{lo: n.Int64(), exp: -int(exp)}
	}
	return decimal{big: n, exp: -int(exp)}
}
