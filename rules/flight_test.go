package rules

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// queue is an action that keeps what it is given for the test to report.
type queue struct {
	mu      sync.Mutex
	firings []Firing
	settles bool
	early   error // reported by Done before Invoke returns, unless nil
}

func (q *queue) Invoke(_ context.Context, f Firing) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.early != nil {
		f.Done(q.early)
		return ErrPending
	}
	q.firings = append(q.firings, f)
	return ErrPending
}

func (q *queue) Settles() bool { return q.settles }

func (q *queue) take() Firing {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := q.firings[0]
	q.firings = q.firings[1:]
	return f
}

// newFlights opens an engine with a rule of three actions, of which two report
// late, and an error action.
func newFlights(t *testing.T, errorAction string, settles bool) (e *Engine, q *queue, dead *recorder) {
	q, dead = &queue{settles: settles}, &recorder{}
	e = open(t, NewMemStore(), binder{"queue": q, "dead": dead,
		"ok":    ActionFunc(func(context.Context, Firing) error { return nil }),
		"fails": ActionFunc(func(context.Context, Firing) error { return errors.New("no") })}, nil)
	put(t, e, "r", "SELECT 1 AS x FROM 'a'", "queue", "ok", "queue", "!"+errorAction)
	return e, q, dead
}

func TestPending(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name     string
		error    string // the error action
		first    error
		second   error
		ledger   Ledger
		document int
	}{
		{"both delivered", "dead", nil, nil, Ledger{Delivered: 1}, 0},
		{"the first fails", "dead", boom, nil, Ledger{DeadLettered: 1}, 1},
		{"both fail", "dead", boom, boom, Ledger{DeadLettered: 1}, 2},
		{"the error action fails", "fails", nil, boom, Ledger{Failed: 1, Reasons: map[Reason]uint64{ReasonErrorActionFailed: 1}}, 0},
	} {
		for _, settle := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/settle=%t", c.name, settle), func(t *testing.T) {
				e, q, dead := newFlights(t, c.error, settle)
				handle(t, e, "a", "{}")
				wantLedger(t, e, "r", Ledger{Matched: 1, Pending: 1})
				report := func(f Firing, err error) {
					if !settle {
						f.Done(err)
						return
					}
					if err := e.Settle(t.Context(), Settlement{ID: f.ID(), Message: f.Message, Hops: f.Hops, Err: err}); err != nil {
						t.Error(err)
					}
				}
				first, second := q.take(), q.take()
				report(first, c.first)
				if !settle {
					report(first, boom) // only the first call counts
				}
				wantLedger(t, e, "r", Ledger{Matched: 1, Pending: 1})
				if len(dead.firings) != 0 {
					t.Error("the error action ran before the last action reported")
				}
				report(second, c.second)
				c.ledger.Matched = 1
				wantLedger(t, e, "r", c.ledger)
				switch {
				case c.document == 0 && len(dead.firings) != 0, c.document > 0 && len(dead.firings) != 1:
					t.Errorf("%d documents", len(dead.firings))
				case c.document == 2:
					var err interface{ Unwrap() []error }
					if !errors.As(dead.firings[0].Err, &err) || len(err.Unwrap()) != 2 {
						t.Errorf("the error action was given %v", dead.firings[0].Err)
					}
				}
				if n := e.flightsLeft(); n != 0 {
					t.Errorf("%d flights are left", n)
				}
				info, _ := e.index.Load().rules.Get("r")
				if n := info.refs.Load(); n != 1 {
					t.Errorf("the rule has %d references", n)
				}
			})
		}
	}
}

// flightsLeft counts the flights that Settle could find.
func (e *Engine) flightsLeft() (n int) {
	for i := range e.flights.shards {
		n += len(e.flights.shards[i].by)
	}
	return n
}

// TestMixed: what Handle says when one action failed at once and another is
// pending depends on whether somebody will take the failure.
func TestMixed(t *testing.T) {
	for _, c := range []struct {
		error string
		held  bool
	}{{"!dead", false}, {"ok", true}} {
		q, dead := &queue{}, &recorder{}
		e := open(t, NewMemStore(), binder{"queue": q, "dead": dead, "ok": &recorder{},
			"fails": ActionFunc(func(context.Context, Firing) error { return errors.New("no") })}, nil)
		put(t, e, "r", "SELECT 1 AS x FROM 'a'", "fails", "queue", c.error)
		if err := e.Handle(t.Context(), &Message{Topic: "a"}); (err != nil) != c.held {
			t.Errorf("with %s Handle returns %v", c.error, err)
		}
		wantLedger(t, e, "r", Ledger{Matched: 1, Pending: 1})
		q.take().Done(nil)
		if c.held {
			wantLedger(t, e, "r", Ledger{Matched: 1, Failed: 1, Reasons: map[Reason]uint64{ReasonNoErrorAction: 1}})
		} else {
			wantLedger(t, e, "r", Ledger{Matched: 1, DeadLettered: 1})
		}
	}
}

// TestDoneBeforeInvokeReturns: a queue may be faster than its Invoke.
func TestDoneBeforeInvokeReturns(t *testing.T) {
	e, q, dead := newFlights(t, "dead", false)
	q.early = errors.New("too early")
	handle(t, e, "a", "{}")
	wantLedger(t, e, "r", Ledger{Matched: 1, DeadLettered: 1})
	if len(dead.firings) != 1 {
		t.Errorf("%d documents", len(dead.firings))
	}
}

// TestErrorActionPends: the error action may be a queue as well, and may report
// before it returns.
func TestErrorActionPends(t *testing.T) {
	for _, settle := range []bool{false, true} {
		for _, err := range []error{nil, errors.New("full")} {
			q := &queue{settles: settle}
			e := open(t, NewMemStore(), binder{"queue": q, "fails": ActionFunc(func(context.Context, Firing) error { return errors.New("no") })}, nil)
			put(t, e, "r", "SELECT 1 AS x FROM 'a'", "fails", "!queue")
			handle(t, e, "a", "{}") // the error action has it: nobody is held
			wantLedger(t, e, "r", Ledger{Matched: 1, Pending: 1})
			if err := e.Delete(t.Context(), "r"); err != nil {
				t.Fatal(err)
			}
			put(t, e, "r", "SELECT 1 AS x FROM 'a'", "fails", "!queue")
			f := q.take()
			entry := f.flight.en
			if n := entry.refs.Load(); n != 1 {
				t.Errorf("a deleted rule with a pending error action has %d references", n)
			}
			if settle {
				if err := e.Settle(t.Context(), Settlement{ID: f.ID(), Message: f.Message, Err: err}); err != nil {
					t.Error(err)
				}
			} else {
				f.Done(err)
				f.Done(errors.New("again"))
			}
			l := entry.ledger.read()
			if l.Pending != 0 || err == nil && l.DeadLettered != 1 || err != nil && l.Reasons[ReasonErrorActionFailed] != 1 || entry.refs.Load() != 0 {
				t.Errorf("the ledger is %+v, %d references", l, entry.refs.Load())
			}
			q.early = errors.New("early")
			handle(t, e, "a", "{}")
			wantLedger(t, e, "r", Ledger{Matched: 1, Failed: 1, Reasons: map[Reason]uint64{ReasonErrorActionFailed: 1}})
		}
	}
}

// TestSettleCarried: outcomes of an earlier process are counted one by one, and
// a failure among them makes its document.
func TestSettleCarried(t *testing.T) {
	e, _, dead := newFlights(t, "dead", true)
	settle := func(id string, err error) error {
		return e.Settle(t.Context(), Settlement{ID: id, Message: &Message{Topic: "a", Payload: []byte("{}")}, Hops: 4, Err: err})
	}
	boom := errors.New("boom")
	for _, err := range []error{settle("t/r/0", nil), settle("t/r/2", boom), settle("t/r/9", boom), settle("t/r/error", nil), settle("t/r/error", boom)} {
		if err != nil {
			t.Error(err)
		}
	}
	wantLedger(t, e, "r", Ledger{Matched: 5, Delivered: 1, DeadLettered: 3, Failed: 1, Carried: 5, Reasons: map[Reason]uint64{ReasonErrorActionFailed: 1}})
	if got := dead.firings; len(got) != 2 || got[0].ID() != "t/r/error" || got[0].Hops != 4 || got[0].Message.TraceID != "t" {
		t.Errorf("documents are %+v", got)
	}
	if err := settle("t/gone/0", nil); !errors.Is(err, ErrNotFound) || e.Stats().Unsettled != 1 {
		t.Errorf("Settle for a rule that is gone: %v, %+v", err, e.Stats())
	}
	if err := settle("nonsense", nil); !errors.Is(err, ErrID) {
		t.Errorf("Settle of nonsense: %v", err)
	}
	if err := e.Settle(t.Context(), Settlement{ID: "t/r/0", Err: boom}); err == nil {
		t.Error("Settle of a failure without the message")
	}
	if n := e.flightsLeft(); n != 0 {
		t.Errorf("%d flights are left", n)
	}
}

// TestSameTraceTwice: a message offered again while the first is pending.
func TestSameTraceTwice(t *testing.T) {
	e, q, _ := newFlights(t, "dead", true)
	m := &Message{Topic: "a", TraceID: "t"}
	for range 2 {
		if err := e.Handle(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		f := q.take()
		if err := e.Settle(t.Context(), Settlement{ID: f.ID(), Message: m}); err != nil {
			t.Error(err)
		}
		want := Ledger{Matched: 2, Pending: 2, Delivered: 0}
		switch i {
		case 1:
			want.Pending, want.Delivered = 1, 1
		case 2:
			want.Pending, want.Delivered = 1, 1
		case 3:
			want.Pending, want.Delivered = 0, 2
		}
		wantLedger(t, e, "r", want)
	}
	if n := e.flightsLeft(); n != 0 {
		t.Errorf("%d flights are left", n)
	}
}

// TestOutcomesUnderLoad reports at random from other goroutines while rules are
// edited, and asks for the ledger to come out even at the end.
func TestOutcomesUnderLoad(t *testing.T) {
	for _, mode := range []struct {
		settles bool
		beside  time.Duration // the rule is evaluated beside Handle, with this patience
	}{{false, 0}, {true, 0}, {false, time.Microsecond}, {true, time.Microsecond}} {
		settles, one := mode.settles, "1"
		opts := &Options{Patience: mode.beside, MaxBehind: 5000, Compile: &CompileOptions{Funcs: &Funcs{User: []Function{
			{Name: "one", Fn: func() int64 { runtime.Gosched(); return 1 }}}}}}
		if mode.beside > 0 {
			one = "one()"
		}
		work := make(chan Firing, 1000)
		var e *Engine
		slow := &sender{work, settles}
		flaky := ActionFunc(func(context.Context, Firing) error {
			if rand.IntN(3) == 0 {
				return errors.New("flaky")
			}
			return nil
		})
		e = open(t, NewMemStore(), binder{"slow": slow, "flaky": flaky}, opts)
		put(t, e, "r", "SELECT 1 AS x FROM 'a' WHERE t > "+one, "slow", "flaky", "slow", "!slow")
		var workers, publishers sync.WaitGroup
		for range 4 {
			workers.Go(func() {
				for f := range work {
					var err error
					if rand.IntN(3) == 0 {
						err = errors.New("late")
					}
					if settles {
						if err := e.Settle(context.Background(), Settlement{ID: f.ID(), Message: f.Message, Err: err}); err != nil {
							t.Error(err)
						}
					} else {
						f.Done(err)
					}
				}
			})
		}
		const each = 500
		for i := range 4 {
			publishers.Go(func() {
				for j := range each {
					_ = e.Handle(t.Context(), &Message{Topic: "a", TraceID: fmt.Sprint(i, ".", j), Payload: fmt.Appendf(nil, `{"t":%d}`, j%3)})
				}
			})
		}
		for i := range 20 {
			r := rule("r", fmt.Sprintf("SELECT %d AS x FROM 'a' WHERE t > %s", i, one), "slow", "flaky", "slow", "!slow")
			if err := e.Put(t.Context(), r); err != nil {
				t.Error(err)
			}
		}
		publishers.Wait()
		if err := e.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		for { // error actions are sent by the workers themselves
			if info, _ := e.Rule("r"); info.Ledger.Pending == 0 {
				break
			}
			runtime.Gosched()
		}
		close(work)
		workers.Wait()
		info, _ := e.Rule("r")
		l := info.Ledger
		if l.Matched != 4*each || l.Filtered+l.Delivered+l.DeadLettered+l.Failed != l.Matched || l.Carried != 0 ||
			min(l.Filtered, l.Delivered, l.DeadLettered, l.Failed) == 0 {
			t.Errorf("%+v: %+v", mode, l)
		}
		if n := e.flightsLeft(); n != 0 {
			t.Errorf("%+v: %d flights are left", mode, n)
		}
		if n := len(e.old); n != 0 {
			t.Errorf("%d old indexes are left", n)
		}
	}
}

// sender puts firings into a channel.
type sender struct {
	work    chan Firing
	settles bool
}

func (s *sender) Settles() bool { return s.settles }

func (s *sender) Invoke(_ context.Context, f Firing) error {
	select {
	case s.work <- f:
		return ErrPending
	default:
		return errors.New("full")
	}
}

// TestFailuresAreSorted: failures are listed in the order of the actions, however
// they came in.
func TestFailuresAreSorted(t *testing.T) {
	e, q, dead := newFlights(t, "dead", false)
	handle(t, e, "a", "{}")
	first, second := q.take(), q.take()
	second.Done(errors.New("second"))
	first.Done(errors.New("first"))
	var got []string
	var all interface{ Unwrap() []error }
	errors.As(dead.firings[0].Err, &all)
	for _, err := range all.Unwrap() {
		got = append(got, errors.Unwrap(err).Error())
	}
	if !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("failures are %q", got)
	}
}
