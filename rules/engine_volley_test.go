package rules

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// TestVolleyAgainstOne: what becomes of each of many rules that fire for one
// message is what becomes of it where it is the only rule, whatever its action
// does and whatever those of its neighbours do, and so is what Handle returns.
func TestVolleyAgainstOne(t *testing.T) {
	lost := errors.New("lost")
	var mu sync.Mutex
	var later []func()
	act := func(_ context.Context, f Firing) error {
		var kind int
		if _, err := fmt.Sscanf(f.Rule, "r%d", &kind); err != nil {
			panic(err)
		}
		mu.Lock()
		defer mu.Unlock()
		switch kind % 10 {
		case 3:
			later = append(later, func() { f.Done(nil) })
			return ErrPending
		case 4:
			later = append(later, func() { f.Done(lost) })
			return ErrPending
		case 5:
			return lost
		case 6:
			panic("action of " + f.Rule)
		case 7:
			f.Done(nil) // against the rules, but harmless
		case 8:
			f.Done(nil)
			return ErrPending
		case 9:
			later = append(later, func() { f.Done(lost) }) // comes too late to count
		}
		return nil
	}
	bind := binder{"act": ActionFunc(act), "discard": discard["discard"]}
	items := []string{"a", "a, b", "*", "a + 1 AS s", "b AS x", "nope AS n", "VALUE n.x", "newuuid() AS u, a", "abs(a) AS a"}
	where := []string{"", " WHERE a > 1", " WHERE a > 1 AND upper(b) = 'X'", " WHERE a > 1 AND upper(b) = 'Y'"}
	const n = 240
	all := open(t, NewMemStore(), bind, nil)
	alone := make([]*Engine, n)
	for i := range n {
		r := Rule{Name: fmt.Sprint("r", i), SQL: "SELECT " + items[i%len(items)] + " FROM 'a/b'" + where[i/10%len(where)],
			Actions: []ActionSpec{{Type: "act"}}}
		switch i % 23 {
		case 1:
			r.Actions = append(r.Actions, ActionSpec{Type: "discard"})
		case 2:
			r.Actions = nil
		case 3, 6, 7:
			r.ErrorAction = &ActionSpec{Type: "discard"}
		}
		alone[i] = open(t, NewMemStore(), bind, nil)
		for _, e := range []*Engine{all, alone[i]} {
			if err := e.Put(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	offer := func(e *Engine, payload string) int {
		later = nil
		err := e.Handle(t.Context(), &Message{Topic: "a/b", Payload: []byte(payload)})
		for _, f := range later {
			f()
		}
		if err == nil {
			return 0
		}
		return len(err.(interface{ Unwrap() []error }).Unwrap())
	}
	for round, payload := range []string{`{"a":2,"b":"x","n":{"x":1}}`, `{"a":1,"b":"x"}`, `{"a":2.0,"b":"y"}`, `no JSON`, `{"a":2,"b":"x"}`} {
		want := 0
		for _, e := range alone {
			want += offer(e, payload)
		}
		if got := offer(all, payload); got != want {
			t.Errorf("round %d: Handle returns %d errors, %d for the rules by themselves", round, got, want)
		}
	}
	for i, e := range alone {
		name := fmt.Sprint("r", i)
		got, err := all.Rule(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := e.Rule(name)
		if err != nil {
			t.Fatal(err)
		}
		g, w := got.Ledger, want.Ledger
		if (g.LastFailure == nil) != (w.LastFailure == nil) || g.LastFailure != nil && (g.LastFailure.Reason != w.LastFailure.Reason || g.LastFailure.Err.Error() != w.LastFailure.Err.Error()) {
			t.Errorf("%s failed last with %+v, by itself with %+v", name, g.LastFailure, w.LastFailure)
		}
		g.LastFailure, w.LastFailure = nil, nil
		if fmt.Sprint(g) != fmt.Sprint(w) {
			t.Errorf("ledger of %s (%s) is\n%+v, by itself\n%+v", name, got.SQL, g, w)
		}
		if g.Pending != 0 || g.Matched != 5 {
			t.Errorf("ledger of %s is %+v", name, g)
		}
	}
}

// TestVolleyOutputsAreKept: what the actions of one message are given may be
// kept, and appended to, without a change for others.
func TestVolleyOutputsAreKept(t *testing.T) {
	got := map[string][]byte{}
	e := open(t, NewMemStore(), binder{"keep": ActionFunc(func(_ context.Context, f Firing) error {
		got[fmt.Sprint(f.Rule, "/", f.Trace)] = f.Output
		_ = append(f.Output, "XXXXXXXXXXXXXXXX"...)
		return nil
	})}, nil)
	const n, messages = 150, 3
	for i := range n { // more statements than answers that are kept, and more output than a chunk
		put(t, e, fmt.Sprint("r", i), fmt.Sprintf("SELECT a AS a%d, b FROM 'a/b'", i%100), "keep")
	}
	for k := range messages {
		m := &Message{Topic: "a/b", TraceID: fmt.Sprint(k), Payload: fmt.Appendf(nil, `{"a":%d,"b":"%050d"}`, k, k)}
		if err := e.Handle(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != n*messages {
		t.Fatalf("%d firings, want %d", len(got), n*messages)
	}
	for k := range messages {
		for i := range n {
			want := fmt.Sprintf(`{"a%d":%d,"b":"%050d"}`, i%100, k, k)
			if out := got[fmt.Sprintf("r%d/%d", i, k)]; string(out) != want {
				t.Errorf("rule %d, message %d: %s, want %s", i, k, out, want)
			}
		}
	}
}
