package sql

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// randomNumber writes numbers of every length and scale, mostly small ones.
func randomNumber(r *rand.Rand) string {
	var b strings.Builder
	if r.IntN(3) == 0 {
		b.WriteByte('-')
	}
	digits := 1 + r.IntN([]int{3, 10, 19, 34, 45}[r.IntN(5)])
	point := -1
	if digits > 1 && r.IntN(2) == 0 {
		point = 1 + r.IntN(digits-1)
	}
	for i := range digits {
		if i == point {
			b.WriteByte('.')
		}
		lo := 0
		if i == 0 && digits > 1 && point != 1 {
			lo = 1
		}
		b.WriteByte(byte('0' + lo + r.IntN(10-lo)))
	}
	if r.IntN(4) == 0 {
		fmt.Fprintf(&b, "E%d", r.IntN(80)-40)
	}
	return b.String()
}

func rat(n number) *big.Rat {
	x, ok := new(big.Rat).SetString(string(n.append(nil)))
	if !ok {
		panic("not a number: " + string(n.append(nil)))
	}
	return x
}

// near reports whether got is exact rounded half-even to 34 digits: within
// half a unit of its last digit, and even there if it is just in between.
func near(got number, exact *big.Rat) error {
	if exact.Sign() == 0 {
		if !got.isZero() {
			return fmt.Errorf("want 0")
		}
		return nil
	}
	diff := new(big.Rat).Sub(rat(got), exact)
	// One unit in the 34th digit of exact.
	f, _ := new(big.Float).SetRat(new(big.Rat).Abs(exact)).SetPrec(400).SetMode(big.ToZero).MarshalText()
	x, _ := new(big.Float).SetPrec(400).SetString(string(f))
	text := x.Text('e', 60)
	_, e, _ := strings.Cut(text, "e")
	unit, _ := new(big.Rat).SetString("1e" + e)
	unit.Quo(unit, new(big.Rat).SetInt(bigPow10(maxDigits-1)))
	half := new(big.Rat).Quo(unit, big.NewRat(2, 1))
	if diff.Abs(diff).Cmp(half) > 0 {
		return fmt.Errorf("off by %s, unit %s", diff.FloatString(60), unit.FloatString(60))
	}
	if diff.Cmp(half) == 0 {
		last := new(big.Rat).Quo(rat(got), unit)
		if last.IsInt() && last.Num().Bit(0) == 1 {
			return fmt.Errorf("rounded to odd")
		}
	}
	return nil
}

// TestNumberAgainstRat: parsing, arithmetic and order agree with exact
// fractions.
func TestNumberAgainstRat(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		s1, s2 := randomNumber(r), randomNumber(r)
		a, _, exact, ok := parseNumber(s1)
		b, _, _, ok2 := parseNumber(s2)
		if !ok || !ok2 {
			t.Fatalf("%s, %s: out of range", s1, s2)
		}
		orig, _ := new(big.Rat).SetString(s1)
		if err := near(a, orig); err != nil {
			t.Fatalf("%s reads as %s: %v", s1, a.append(nil), err)
		}
		if exact != (rat(a).Cmp(orig) == 0) {
			t.Fatalf("%s reads as %s, exact %v", s1, a.append(nil), exact)
		}
		if again, _, _, _ := parseNumber(string(a.append(nil))); again != a {
			t.Fatalf("%s prints as %s, which reads as %v", s1, a.append(nil), again)
		}
		x, y := rat(a), rat(b)
		check := func(op string, got number, ok bool, want *big.Rat) {
			t.Helper()
			if !ok {
				t.Fatalf("%s %s %s is out of range", s1, op, s2)
			}
			if err := near(got, want); err != nil {
				t.Fatalf("%s %s %s = %s: %v", s1, op, s2, got.append(nil), err)
			}
		}
		n, ok := add(a, b)
		check("+", n, ok, new(big.Rat).Add(x, y))
		n, ok = add(a, b.negate())
		check("-", n, ok, new(big.Rat).Sub(x, y))
		n, ok = mul(a, b)
		check("*", n, ok, new(big.Rat).Mul(x, y))
		if got, want := a.compare(b), x.Cmp(y); got != want {
			t.Fatalf("%s compared with %s is %d, want %d", s1, s2, got, want)
		}
		if b.isZero() {
			continue
		}
		q := new(big.Rat).Quo(x, y)
		n, ok = quo(a, b)
		check("/", n, ok, q)
		whole := new(big.Rat).SetInt(new(big.Int).Quo(q.Num(), q.Denom()))
		n, ok = quoInt(a, b)
		check("div", n, ok, whole)
		n, ok = rem(a, b)
		check("%", n, ok, new(big.Rat).Sub(x, new(big.Rat).Mul(whole, y)))
	}
}

func TestNumberText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"0", "0"}, {"-0", "0"}, {"-0.0", "0"}, {"0e99999999999999999999", "0"}, {"10.0", "10"}, {"1E3", "1000"},
		{"1.50", "1.5"}, {"0.0000001", "0.0000001"}, {"0.00000001", "1E-8"}, {"12.5e-10", "1.25E-9"},
		{"1e33", "1000000000000000000000000000000000"}, {"1e34", "10000000000000000000000000000000000"}, {"1e35", "1E35"},
		{"9007199254740993", "9007199254740993"}, {"99999999999999999999999999999999995", "1E35"}, {"1e-999", "1E-999"}, {"1e-1000", "0"},
		{"0.12345678901234567890123456789012345", "0.1234567890123456789012345678901234"},
		{"0.123456789012345678901234567890123450", "0.1234567890123456789012345678901234"}, {"0.1234567890123456789012345678901234500000", "0.1234567890123456789012345678901234"},
		{"0.123456789012345678901234567890123451", "0.1234567890123456789012345678901235"}, {"0.1234567890123456789012345678901234500001", "0.1234567890123456789012345678901235"},
		{"0.12345678901234567890123456789012355", "0.1234567890123456789012345678901236"}, {"12345678901234567890123456789012345", "12345678901234567890123456789012340"},
		{"9999999999999999999", "9999999999999999999"}, {"18446744073709551616", "18446744073709551616"}, {"-999999999999999999.9", "-999999999999999999.9"}, {"99999999999999999.90", "99999999999999999.9"},
		{"9.999999999999999999999999999999999E999", "9.999999999999999999999999999999999E999"},
	} {
		n, _, _, ok := parseNumber(c.in)
		if got := string(n.append(nil)); !ok || got != c.want {
			t.Errorf("%s prints as %s, want %s (ok %v)", c.in, got, c.want, ok)
		}
	}
	for _, huge := range []string{"1e1000", "1e999999999", "-1e99999999999999999999999", "9.9999999999999999999999999999999999999E999"} {
		if n, _, _, ok := parseNumber(huge); ok {
			t.Errorf("%s is %s, want out of range", huge, n.append(nil))
		}
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-1.5e10", "1e999999999", "123456789012345678901234567890123456789.5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if end, ok := 0, s != "" && (s[0] == '-' || isDigit(s[0])); ok {
			if end, ok = skipNumber(s, 0); !ok || end != len(s) {
				return
			}
		} else {
			return
		}
		n, _, _, ok := parseNumber(s)
		if !ok {
			return
		}
		if again, _, exact, ok := parseNumber(string(n.append(nil))); again != n || !exact || !ok {
			t.Fatalf("%s prints as %s, which reads as %v", s, n.append(nil), again)
		}
	})
}
