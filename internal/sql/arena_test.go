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

// TestEvaluationAgain: an Evaluation that is used again needs no more memory
// than for the first message, and keeps nothing of a large one.
func TestEvaluationAgain(t *testing.T) {
	st, err := CompileStatement("SET @a = s + 'x' SELECT upper(s) AS s, (SELECT VALUE n + 1 FROM l) AS l, 'a' + @a AS a FROM 't'", nil)
	if err != nil {
		t.Fatal(err)
	}
	var ev Evaluation
	run := func(n int) {
		ev.Input.Payload = []byte(`{"s":"` + strings.Repeat("s", n) + `","l":[{"n":1},{"n":2}]}`)
		if r, err := ev.Run(t.Context(), st, &RunOptions{}); err != nil || !r.Matched {
			t.Fatal(r.Matched, err)
		}
		ev.Forget()
	}
	run(100)
	kept := cap(ev.env.sc.chunk)
	for range 200 {
		run(100)
	}
	if n := cap(ev.env.sc.chunk); n != kept || n > 2*firstChunk {
		t.Errorf("an arena of %d bytes after one message, %d after more", kept, n)
	}
	run(120_000)
	if n := cap(ev.env.sc.chunk); n > maxKept {
		t.Errorf("%d bytes are kept of a large message", n)
	}
	for _, b := range ev.env.bufs {
		if cap(b) > maxKept {
			t.Errorf("a buffer of %d bytes is kept", cap(b))
		}
	}
	if e := &ev.env; e.in != nil || e.ctx != nil || e.payload != "" || e.work != 0 || len(e.vars) != 0 || len(e.stack) != 0 {
		t.Errorf("the evaluation has not forgotten the message: %+v", e)
	}
	for _, s := range ev.env.slots[:cap(ev.env.slots)] {
		if s != "" {
			t.Errorf("a slot has %.20q still", s)
		}
	}
}
