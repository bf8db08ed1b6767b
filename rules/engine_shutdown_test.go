package rules

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// closeCounter is a recorder that counts how often it is closed.
type closeCounter struct {
	recorder
	closed atomic.Int64
}

func (c *closeCounter) Close() error {
	c.closed.Add(1)
	return nil
}

// ledgerOf is the ledger of a rule, which is not to be had after Close.
func ledgerOf(t *testing.T, e *Engine, name string) *ledger {
	t.Helper()
	en, ok := e.index.Load().rules.Get(name)
	if !ok {
		t.Fatal(name)
	}
	return en.ledger
}

// TestShutdownGivesUp: a function that never returns holds Shutdown as long as
// its context lasts and no longer. What is left is counted and told; what the
// function answers later is dropped.
func TestShutdownGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{gate: make(chan struct{})}
		own := &closeCounter{}
		opts := s.options()
		opts.Compile.Funcs.Timeout = -1 // no limit of its own
		lost := map[string][]Reason{}
		opts.Trace = &Trace{Failed: func(rule string, reason Reason, err error) {
			if !errors.Is(err, ErrGivenUp) {
				t.Error(err)
			}
			lost[rule] = append(lost[rule], reason)
		}}
		e := open(t, NewMemStore(), binder{"own": own}, opts)
		put(t, e, "one", "SELECT ask(n) AS x FROM 'a'", "own")
		put(t, e, "two", "SELECT 1 AS x FROM 'a' WHERE ask(n) > 0", "own")
		put(t, e, "quick", "SELECT quick(n) AS x FROM 'a'", "own")
		for range 3 {
			handle(t, e, "a", `{"n":1}`)
		}
		ledgers := []*ledger{ledgerOf(t, e, "one"), ledgerOf(t, e, "two")}
		own.outputs()

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		err := e.Shutdown(ctx)
		if want := "3 of rule one, 3 of rule two"; !errors.Is(err, ErrGivenUp) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("Shutdown: %v, want %s", err, want)
		}
		if waited := time.Since(begin); waited != time.Minute {
			t.Errorf("Shutdown took %v", waited)
		}
		if n := e.Stats().GivenUp; n != 6 || fmt.Sprint(lost) != "map[one:[closed closed closed] two:[closed closed closed]]" {
			t.Errorf("given up %d, told %v", n, lost)
		}
		for i, l := range ledgers {
			got := l.read()
			if got.Matched != 3 || got.Failed != 3 || got.Pending != 0 || got.Reasons[ReasonClosed] != 3 || !errors.Is(got.LastFailure.Err, ErrGivenUp) {
				t.Errorf("ledger %d: %+v", i, got)
			}
		}
		if err := e.Close(); err != nil { // nothing is left to wait for
			t.Error(err)
		}
		if own.closed.Load() != 1 { // of quick
			t.Errorf("%d actions closed, want that of the rule that is done", own.closed.Load())
		}

		close(s.gate)
		synctest.Wait()
		if got := own.outputs(); len(got) != 0 {
			t.Errorf("given up and still made: %q", got)
		}
		if s.ended.Load() != 6 || own.closed.Load() != 3 {
			t.Errorf("%d contexts were over, %d actions closed", s.ended.Load(), own.closed.Load())
		}
		for i, l := range ledgers {
			if got := l.read(); got.Failed != 3 || got.Delivered+got.Filtered != 0 {
				t.Errorf("ledger %d afterwards: %+v", i, got)
			}
		}
	})
}

// TestShutdownWaits: what ends in time is delivered, and Shutdown says nothing.
func TestShutdownWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{gate: make(chan struct{})}
		own := &recorder{}
		e := open(t, NewMemStore(), binder{"own": own}, s.options())
		put(t, e, "one", "SELECT ask(n) AS x FROM 'a'", "own")
		handle(t, e, "a", `{"n":1}`)
		go func() {
			time.Sleep(time.Second)
			close(s.gate)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		if err := e.Shutdown(ctx); err != nil || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if got := own.outputs(); len(got) != 1 || s.ended.Load() != 0 || e.Stats().GivenUp != 0 {
			t.Errorf("made %q, %d contexts were over, %d given up", got, s.ended.Load(), e.Stats().GivenUp)
		}
		if err := e.Put(t.Context(), Rule{Name: "r", SQL: "SELECT 1"}); !errors.Is(err, ErrClosed) {
			t.Errorf("Put: %v", err)
		}
	})
}

// TestShutdownAtActions: what is at its actions already is not given up: it is
// told of, and counts once, as what the action makes of it.
func TestShutdownAtActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var invoked atomic.Int64
		act := ActionFunc(func(ctx context.Context, f Firing) error {
			invoked.Add(1)
			<-gate
			return nil
		})
		s := &slow{}
		e := open(t, NewMemStore(), binder{"own": act}, s.options())
		put(t, e, "one", "SELECT quick(n) AS x FROM 'a'", "own")
		handle(t, e, "a", `{"n":1}`) // is left behind at its action
		l := ledgerOf(t, e, "one")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := e.Shutdown(ctx)
		if !errors.Is(err, ErrGivenUp) || !strings.HasSuffix(err.Error(), ": 1 at their actions") || e.Stats().GivenUp != 0 {
			t.Errorf("%v, %d given up", err, e.Stats().GivenUp)
		}
		if got := l.read(); got.Failed != 0 || got.Pending != 1 || invoked.Load() != 1 {
			t.Errorf("%+v", got)
		}
		close(gate)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if got := l.read(); got.Delivered != 1 || got.Pending != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// TestShutdownHeedsEdit: an edit that does not end holds Shutdown no longer
// than its context lasts.
func TestShutdownHeedsEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, NewMemStore(), binder{}, nil)
		e.editing <- struct{}{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		<-e.editing
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}
