package sql

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestArena: texts stay what they are until reset, whatever grew after them,
// also where one fills its chunk to the last byte.
func TestArena(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var a arena
	for range 200 {
		var texts, want []string
		for i := range 30 {
			n := r.IntN(300)
			if r.IntN(8) == 0 {
				n = 3 * cap(a.chunk)
			}
			s := strings.Repeat(string(rune('a'+i%26)), min(n, 10_000))
			b := append(a.grow(len(s)), s...)
			if r.IntN(4) == 0 {
				continue // not kept: the room is used again
			}
			if r.IntN(4) == 0 {
				b = append(b, strings.Repeat("+", r.IntN(2000))...) // beyond what was asked for
			}
			want = append(want, string(b))
			texts = append(texts, a.string(b))
		}
		for i := range texts {
			if texts[i] != want[i] {
				t.Fatalf("%.20q became %.20q", want[i], texts[i])
			}
		}
		a.reset()
		if cap(a.chunk) > maxKept {
			t.Fatalf("%d bytes are kept", cap(a.chunk))
		}
	}
}
