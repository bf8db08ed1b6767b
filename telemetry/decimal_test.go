package telemetry

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
)

// Sums of decimals are exact in any order, also beyond 64 bits.
func TestDecimalSums(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var texts []string
		want := new(big.Rat)
		for range 1 + rng.IntN(50) {
			s := fmt.Sprintf("%d.%0*d", rng.Int64N(1<<rng.IntN(62)+1), 1+rng.IntN(20), rng.Int64N(1000))
			switch rng.IntN(4) {
			case 0:
				s = "-" + s
			case 1:
				s = fmt.Sprintf("%se%d", s, rng.IntN(60)-30)
			case 2:
				s = fmt.Sprint(rng.Int64() - 1<<62)
			}
			r, ok := new(big.Rat).SetString(s)
			if !ok {
				t.Fatal(s)
			}
			want.Add(want, r)
			texts = append(texts, s)
		}
		var first string
		for range 3 {
			rng.Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
			var sum decimal
			for _, s := range texts {
				d, ok := parseDecimal([]byte(s))
				if !ok {
					t.Fatalf("%s is refused", s)
				}
				if exact, _ := new(big.Rat).SetString(s); d.rat().Cmp(exact) != 0 {
					t.Fatalf("%s is read as %s", s, d.rat())
				}
				sq := d.square()
				if e := new(big.Rat).Mul(d.rat(), d.rat()); sq.rat().Cmp(e) != 0 {
					t.Fatalf("%s squared is %s", s, sq.rat())
				}
				sum.add(d)
			}
			if sum.rat().Cmp(want) != 0 {
				t.Fatalf("seed %d: sum is %s, want %s", seed, sum.rat(), want)
			}
			text := string(sum.json(nil))
			if got, ok := new(big.Rat).SetString(text); !ok || got.Cmp(want) != 0 {
				t.Fatalf("seed %d: sum is written %s", seed, text)
			}
			if first == "" {
				first = text
			}
			r := newStateReader(sum.encode(nil))
			if d := r.decimal(); r.end() != nil || d.rat().Cmp(want) != 0 || text != first {
				t.Fatalf("seed %d: %s and %s, state %v", seed, text, first, r.Fault())
			}
		}
	}
}

func TestParseDecimalRefuses(t *testing.T) {
	for _, s := range []string{"", "-", "x", "1x", "1e9999999", "1e-2000", "NaN"} {
		if d, ok := parseDecimal([]byte(s)); ok {
			t.Errorf("%q is %s", s, d.rat())
		}
	}
}
