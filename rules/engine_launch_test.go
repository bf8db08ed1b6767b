package rules

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

type userKey struct{}

// TestMemoryUsedAgain: actions that keep what they were given see it as it was,
// whatever messages came later, and one that reports twice does not report for
// somebody else.
func TestMemoryUsedAgain(t *testing.T) {
	var kept []Firing
	var contexts []context.Context
	answers := []error{nil, ErrPending, nil, nil}
	keep := ActionFunc(func(ctx context.Context, f Firing) error {
		kept, contexts = append(kept, f), append(contexts, ctx)
		return answers[(len(kept)-1)%len(answers)]
	})
	e := open(t, NewMemStore(), binder{"keep": keep}, nil)
	put(t, e, "one", "SELECT n, pad FROM 'a/+'", "keep")
	put(t, e, "two", "SELECT n AS m, pad FROM 'a/b'", "keep")
	type want struct {
		trace, output string
		user, hops    int
	}
	var wants []want
	for i := range 40 {
		user, hops := i/8, i/16
		ctx := WithHops(context.WithValue(t.Context(), userKey{}, user), hops)
		if i%8 > 3 { // several messages of one context
			ctx = contexts[len(contexts)-1].(*hopContext).Context
			user, hops = ctx.Value(userKey{}).(int), Hops(ctx)
		}
		pad := strings.Repeat("x", i*37%300)
		m := &Message{Topic: "a/b", TraceID: fmt.Sprint("t", i), Payload: fmt.Appendf(nil, `{"n":%d,"pad":%q}`, i, pad)}
		if i%5 == 0 {
			m.Topic, m.TraceID = "a/c", ""
		}
		before := len(kept)
		if err := e.Handle(ctx, m); err != nil {
			t.Fatal(err)
		}
		for _, f := range kept[before:] {
			key := map[string]string{"one": "n", "two": "m"}[f.Rule]
			w := want{m.TraceID, fmt.Sprintf(`{"%s":%d,"pad":%q}`, key, i, pad), user, hops + 1}
			if w.trace == "" {
				w.trace = strings.Clone(f.Trace)
			}
			wants = append(wants, w)
		}
		if len(kept) > 3 {
			kept[len(kept)-3].Done(errors.New("reported before, or not mine")) // those with answer nil count no more
		}
	}
	for i, w := range wants {
		f := kept[i]
		got := want{f.Trace, string(f.Output), contexts[i].Value(userKey{}).(int), Hops(contexts[i])}
		if got != w || f.Hops != w.hops {
			t.Errorf("firing %d is %+v with %d hops, want %+v", i, got, f.Hops, w)
		}
	}
	pending := 0
	for i, f := range kept {
		if answers[i%len(answers)] != nil {
			pending++
			f.Done(nil) // for some not the first report
		}
	}
	matched, delivered, failed := uint64(0), uint64(0), uint64(0)
	for info := range e.Rules() {
		l := info.Ledger
		matched, delivered, failed = matched+l.Matched, delivered+l.Delivered, failed+l.Failed
		if l.Pending != 0 {
			t.Errorf("ledger of %s: %+v", info.Name, l)
		}
	}
	if matched != uint64(len(kept)) || delivered+failed != matched || failed == 0 || failed > uint64(pending) {
		t.Errorf("%d firings, %d of them pending at first: matched %d, delivered %d, failed %d", len(kept), pending, matched, delivered, failed)
	}
}

// TestReportedTwice: of what an action says by Done and then by returning, the
// first counts, also where it is the only action and says at once that it
// delivered.
func TestReportedTwice(t *testing.T) {
	no := errors.New("no")
	for _, c := range []struct {
		name       string
		done, then error
		ledger     Ledger
	}{
		{"failed, then delivered", no, nil, Ledger{Matched: 1, Failed: 1, Reasons: map[Reason]uint64{ReasonNoErrorAction: 1}}},
		{"delivered, then failed", nil, no, Ledger{Matched: 1, Delivered: 1}},
		{"delivered, then pending", nil, ErrPending, Ledger{Matched: 1, Delivered: 1}},
		{"delivered twice", nil, nil, Ledger{Matched: 1, Delivered: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var early Firing
			e := open(t, NewMemStore(), binder{"both": ActionFunc(func(_ context.Context, f Firing) error {
				early = f
				f.Done(c.done)
				return c.then
			}), "ok": ActionFunc(func(context.Context, Firing) error { return nil })}, nil)
			put(t, e, "r", "SELECT 1 AS x FROM 'a'", "both")
			put(t, e, "other", "SELECT 1 AS x FROM 'b'", "ok")
			m := Message{Topic: "a", TraceID: "t"}
			if err := e.Handle(t.Context(), &m); err != nil {
				t.Error(err)
			}
			m.Topic = "b" // perhaps in the same memory
			if err := e.Handle(t.Context(), &m); err != nil {
				t.Error(err)
			}
			early.Done(no)
			wantLedger(t, e, "r", c.ledger)
			wantLedger(t, e, "other", Ledger{Matched: 1, Delivered: 1})
		})
	}
}

// TestContextsThatDoNotCompare: a context may be of a type that == panics for.
func TestContextsThatDoNotCompare(t *testing.T) {
	e := open(t, NewMemStore(), discard, nil)
	put(t, e, "one", "SELECT n FROM 'a'", "discard")
	for range 3 {
		ctx := odd{t.Context(), []int{1}}
		if err := e.Handle(ctx, &Message{Topic: "a", TraceID: "t", Payload: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
}

type odd struct {
	context.Context
	_ []int
}
