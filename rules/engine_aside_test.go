package rules

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a function of the user's that takes until the test lets go.
type slow struct {
	gate  chan struct{}
	asked atomic.Int64
	ended atomic.Int64 // contexts that were over when it was let go

	inline string // the goroutine that called the function inline
}

// goroutine is the header of the calling goroutine's stack, as "goroutine 7".
func goroutine() string {
	var b [32]byte
	head, _, _ := strings.Cut(string(b[:runtime.Stack(b[:], false)]), " [")
	return head
}

func (s *slow) options() *Options {
	return &Options{Compile: &CompileOptions{Funcs: &Funcs{User: []Function{
		{Name: "ask", Fn: func(ctx context.Context, x int64) int64 {
			s.asked.Add(1)
			<-s.gate
			if ctx.Err() != nil {
				s.ended.Add(1)
			}
			return x + 1
		}},
		{Name: "quick", Fn: func(x int64) int64 { return x + 2 }},
		{Name: "inline", Inline: true, Fn: func(x int64) int64 { s.inline = goroutine(); return x }},
	}}}}
}

// TestSlowFunction: a function that does not return holds up neither the other
// rules of the message, nor the publisher, nor rules with functions of their
// own; and what waits for it is delivered when it does return.
func TestSlowFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{gate: make(chan struct{})}
		log, own := &recorder{}, &recorder{}
		e := open(t, NewMemStore(), binder{"log": log, "own": own}, s.options())
		put(t, e, "a_before", "SELECT 1 AS x FROM 'a'", "log")
		put(t, e, "slow", "SELECT ask(n) AS x FROM 'a' WHERE n > 0", "own")
		put(t, e, "slow2", "SELECT 1 AS x FROM '+' WHERE ask(n) > 0", "own")
		put(t, e, "quick", "SELECT quick(n) AS x FROM 'a'", "log")
		put(t, e, "z_after", "SELECT 2 AS x FROM '#'", "log")
		begin := time.Now()
		for i := range 20 {
			n := i + 1
			if i == 10 {
				n = 0 // WHERE is not true, by a condition of the index
			}
			handle(t, e, "a", fmt.Sprintf(`{"n":%d}`, n))
			if waited := time.Since(begin); waited != 50*time.Millisecond {
				t.Fatalf("message %d: Handle has waited %v in all, want the patience once", i, waited)
			}
			synctest.Wait()
			got := log.outputs()
			slices.Sort(got)
			if want := []string{`a_before {"x":1}`, fmt.Sprintf(`quick {"x":%d}`, n+2), `z_after {"x":2}`}; !slices.Equal(got, want) {
				t.Fatalf("message %d: the neighbours made %q, want %q", i, got, want)
			}
		}
		wantLedger(t, e, "slow", Ledger{Matched: 20, Filtered: 1, Pending: 19})
		wantLedger(t, e, "slow2", Ledger{Matched: 20, Pending: 20})
		wantLedger(t, e, "quick", Ledger{Matched: 20, Delivered: 20})
		wantLedger(t, e, "z_after", Ledger{Matched: 20, Delivered: 20})
		if n := s.asked.Load(); n != 39 {
			t.Errorf("asked %d times, want 39", n)
		}
		close(s.gate)
		synctest.Wait()
		wantLedger(t, e, "slow", Ledger{Matched: 20, Filtered: 1, Delivered: 19})
		wantLedger(t, e, "slow2", Ledger{Matched: 20, Delivered: 20})
		got := own.outputs()
		slices.Sort(got)
		if len(got) != 39 || got[0] != `slow {"x":10}` || got[38] != `slow2 {"x":1}` || got[18] != `slow {"x":9}` {
			t.Errorf("the slow rules made %q", got)
		}
		// They are quick again: waited for, and no patience is spent.
		begin = time.Now()
		handle(t, e, "a", `{"n":1}`)
		if waited := time.Since(begin); waited != 0 || len(own.outputs()) != 2 {
			t.Errorf("afterwards Handle waited %v", waited)
		}
	})
}

// TestSlowOnlyRule: a message of no other rule is left behind just so, by a
// topic and by Basic Ingest.
func TestSlowOnlyRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{gate: make(chan struct{})}
		opts := s.options()
		opts.Patience, opts.MaxBehind = time.Second, 3
		own := &recorder{}
		e := open(t, NewMemStore(), binder{"own": own}, opts)
		put(t, e, "r", "SELECT ask(n) AS x FROM 'a'", "own")
		for i, topic := range []string{"a", "$aws/rules/r/x", "a", "a", "$aws/rules/r/x"} {
			begin := time.Now()
			handle(t, e, topic, `{"n":1}`)
			if waited := time.Since(begin); waited != time.Second && i == 0 || waited != 0 && i > 0 {
				t.Errorf("message %d: Handle waited %v", i, waited)
			}
		}
		failed := Ledger{Matched: 5, Pending: 3, Failed: 2, Reasons: map[Reason]uint64{ReasonSlow: 2}}
		wantLedger(t, e, "r", failed)
		if info, _ := e.Rule("r"); info.Ledger.LastFailure.Reason != ReasonSlow || !errors.Is(info.Ledger.LastFailure.Err, errSlow) {
			t.Errorf("the last failure is %+v", info.Ledger.LastFailure)
		}
		close(s.gate)
		synctest.Wait()
		failed.Pending, failed.Delivered = 0, 3
		wantLedger(t, e, "r", failed)
	})
}

// TestPatience: within it the errors of such a rule are the publisher's as
// those of any other; negative, Handle evaluates the rule itself; and a caller
// that gives up takes neither the message from the rule nor its context.
func TestPatience(t *testing.T) {
	errDown := errors.New("down")
	fails := ActionFunc(func(context.Context, Firing) error { return errDown })
	t.Run("a failure in time", func(t *testing.T) {
		s := &slow{gate: make(chan struct{})}
		close(s.gate)
		e := open(t, NewMemStore(), binder{"fails": fails}, s.options())
		put(t, e, "r", "SELECT ask(1) AS x FROM 'a'", "fails")
		put(t, e, "s", "SELECT quick(1) AS x FROM '+'", "fails")
		var ae *ActionError
		err := e.Handle(t.Context(), &Message{Topic: "a"})
		if !errors.Is(err, errDown) || !errors.As(err, &ae) || e.Stats().Held != 1 {
			t.Errorf("Handle returns %v", err)
		}
		if err := e.Handle(t.Context(), &Message{Topic: "$aws/rules/r"}); !errors.As(err, &ae) || ae.Rule != "r" {
			t.Errorf("Handle returns %v", err)
		}
	})
	t.Run("a function that is inline", func(t *testing.T) {
		s := new(slow)
		e := open(t, NewMemStore(), binder{}, s.options())
		put(t, e, "r", "SELECT inline(1) AS x FROM 'a'")
		handle(t, e, "a", "{}")
		if s.inline != goroutine() {
			t.Errorf("it ran on %s, Handle on %s", s.inline, goroutine())
		}
	})
	t.Run("none", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &slow{gate: make(chan struct{})}
			opts := s.options()
			opts.Patience = -1
			e := open(t, NewMemStore(), binder{"fails": fails}, opts)
			put(t, e, "r", "SELECT ask(1) AS x FROM 'a'", "fails")
			time.AfterFunc(time.Hour, func() { close(s.gate) })
			begin := time.Now()
			if err := e.Handle(t.Context(), &Message{Topic: "a"}); !errors.Is(err, errDown) || time.Since(begin) != time.Hour {
				t.Errorf("Handle returns %v after %v", err, time.Since(begin))
			}
		})
	})
	t.Run("the caller gives up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &slow{gate: make(chan struct{})}
			own := &recorder{}
			e := open(t, NewMemStore(), binder{"own": own}, s.options())
			put(t, e, "r", "SELECT ask(1) AS x FROM 'a'", "own")
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			begin := time.Now()
			if err := e.Handle(ctx, &Message{Topic: "a"}); err != nil || time.Since(begin) != time.Millisecond {
				t.Errorf("Handle returns %v after %v", err, time.Since(begin))
			}
			close(s.gate)
			synctest.Wait()
			if got := own.outputs(); len(got) != 1 || s.ended.Load() != 0 {
				t.Errorf("the rule made %q, of %d contexts that were over", got, s.ended.Load())
			}
		})
	})
}

// TestSlowAndEdits: what is left behind belongs to the version that it began
// with, whose actions stay open for it, and Close waits for it.
func TestSlowAndEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{gate: make(chan struct{})}
		var live atomic.Int64
		used := &recorder{}
		e := open(t, NewMemStore(), binder{"own": maker(func(ActionSpec) (Action, error) {
			live.Add(1)
			return &closing{used, &live}, nil
		})}, s.options())
		put(t, e, "r", "SELECT ask(1) AS x FROM 'a'", "own")
		handle(t, e, "a", `{}`)
		put(t, e, "r", "SELECT 9 AS x FROM 'a'", "own") // the function is not asked any more
		begin := time.Now()
		handle(t, e, "a", `{}`)
		if got := used.outputs(); time.Since(begin) != 0 || !slices.Equal(got, []string{`r {"x":9}`}) || live.Load() != 2 {
			t.Errorf("the new version made %q, %d actions are open", got, live.Load())
		}
		wantLedger(t, e, "r", Ledger{Matched: 2, Delivered: 1, Pending: 1})
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close did not wait")
		default:
		}
		close(s.gate)
		<-closed
		synctest.Wait()
		if got := used.outputs(); !slices.Equal(got, []string{`r {"x":2}`}) || live.Load() != 0 {
			t.Errorf("the old version made %q, %d actions are open", got, live.Load())
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

// closing counts how many of it are open.
type closing struct {
	Action
	open *atomic.Int64
}

func (c *closing) Close() error { c.open.Add(-1); return nil }
