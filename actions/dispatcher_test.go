package actions

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/internal/sql"
)

// A probe is a plugin whose behaviour a test sets.
type probe struct {
	do     func(ctx context.Context, r *Request) error
	opened int
	closed int

	onClose func() // or nil
}

func (p *probe) Do(ctx context.Context, r *Request) error { return p.do(ctx, r) }
func (p *probe) Close() error {
	p.closed++
	if p.onClose != nil {
		p.onClose()
	}
	return nil
}

func (p *probe) spec(inline bool) Spec {
	return Spec{Name: "probe", Inline: inline, Open: func(context.Context, json.RawMessage) (Action, error) {
		p.opened++
		return p, nil
	}}
}

// run runs a dispatcher with the probe in a bubble and returns its stats after the drain.
func run(t *testing.T, p *probe, inline bool, opts *Options, use func(t *testing.T, d *Dispatcher, a Action)) (ActionStats, error) {
	t.Helper()
	c, err := NewCatalog(p.spec(inline))
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDispatcher(c, opts)
	if err != nil {
		t.Fatal(err)
	}
	a, err := d.OpenFor(t.Context(), "r", "probe", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	synctest.Wait()
	use(t, d, a)
	cancel()
	err = <-done
	s := d.Stats()[0]
	var dropped uint64
	for _, n := range s.Dropped {
		dropped += n
	}
	if s.HandedOver != s.Delivered+s.DeadLettered+s.Pending+dropped {
		t.Errorf("the ledger does not add up: %+v", s)
	}
	return s, err
}

func TestDeliversAfterRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []int
		p := &probe{do: func(_ context.Context, r *Request) error {
			attempts = append(attempts, r.Attempt)
			if r.Attempt < 3 {
				return errors.New("not yet")
			}
			return nil
		}}
		outcome := make(chan error, 1)
		s, err := run(t, p, false, nil, func(t *testing.T, _ *Dispatcher, a Action) {
			if err := a.Do(t.Context(), &Request{Done: func(err error) { outcome <- err }}); err != nil {
				t.Fatal(err)
			}
			if err := <-outcome; err != nil {
				t.Errorf("outcome %v", err)
			}
		})
		if err != nil || s.Delivered != 1 || s.Attempts != 3 || s.Retries != 2 || len(attempts) != 3 || p.closed != 1 {
			t.Errorf("%v, %+v, attempts %v, closed %d", err, s, attempts, p.closed)
		}
	})
}

func TestDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		p := &probe{do: func(context.Context, *Request) error { return Permanent(broken) }}
		letters := make(chan string, 1)
		opts := &Options{DeadLetter: Func(func(_ context.Context, r *Request) error { letters <- string(r.Payload); return nil })}
		outcome := make(chan error, 1)
		s, err := run(t, p, false, opts, func(t *testing.T, _ *Dispatcher, a Action) {
			if err := a.Do(t.Context(), &Request{ID: "7", Rule: "r", Payload: []byte("x"), Done: func(err error) { outcome <- err }}); err != nil {
				t.Fatal(err)
			}
			var failed *FailedError
			if err := <-outcome; !errors.As(err, &failed) || !failed.DeadLettered || !errors.Is(err, broken) || failed.Attempts != 1 {
				t.Errorf("outcome %#v", err)
			}
		})
		if err != nil || s.DeadLettered != 1 || s.Attempts != 1 {
			t.Errorf("%v, %+v", err, s)
		}
		var record DeadLetterRecord
		if err := json.Unmarshal([]byte(<-letters), &record); err != nil || record.ID != "7" || record.Error != "broken" || string(record.Payload) != "x" {
			t.Errorf("%v, %+v", err, record)
		}
	})
}

func TestDroppedWithoutDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{do: func(context.Context, *Request) error { panic("oh") }}
		s, err := run(t, p, false, nil, func(t *testing.T, _ *Dispatcher, a Action) {
			if err := a.Do(t.Context(), &Request{}); err != nil {
				t.Fatal(err)
			}
		})
		if err != nil || s.Dropped[DropFailed] != 1 || s.Panics != 1 || s.LastError == "" {
			t.Errorf("%v, %+v", err, s)
		}
	})
}

func TestFullQueue(t *testing.T) {
	for name, tt := range map[string]struct {
		full      FullPolicy
		refused   uint64
		dropped   uint64
		delivered uint64
	}{"refuse": {Refuse, 1, 0, 2}, "drop": {Drop, 0, 1, 2}, "block": {Block, 0, 0, 3}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				p := &probe{do: func(context.Context, *Request) error { <-gate; return nil }}
				opts := &Options{Workers: 1, Full: tt.full, Limits: Limits{MaxCount: 2}}
				s, err := run(t, p, false, opts, func(t *testing.T, _ *Dispatcher, a Action) {
					for range 2 {
						if err := a.Do(t.Context(), &Request{}); err != nil {
							t.Fatal(err)
						}
					}
					third := make(chan error, 1)
					go func() { third <- a.Do(t.Context(), &Request{}) }()
					synctest.Wait()
					close(gate)
					if err := <-third; (err != nil) != (tt.full == Refuse) || err != nil && !errors.Is(err, ErrQueueFull) {
						t.Errorf("third: %v", err)
					}
				})
				if err != nil || s.Refused[RefusedFull] != tt.refused || s.Dropped[DropFull] != tt.dropped || s.Delivered != tt.delivered {
					t.Errorf("%v, %+v", err, s)
				}
			})
		})
	}
}

func TestBlockEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		p := &probe{do: func(context.Context, *Request) error { <-gate; return nil }}
		opts := &Options{Workers: 1, Full: Block, Limits: Limits{MaxCount: 1}}
		s, _ := run(t, p, false, opts, func(t *testing.T, _ *Dispatcher, a Action) {
			if err := a.Do(t.Context(), &Request{}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := a.Do(ctx, &Request{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			close(gate)
		})
		if s.Refused[RefusedFailed] != 1 || s.Delivered != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestDrainGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &probe{do: func(ctx context.Context, _ *Request) error { <-ctx.Done(); return ctx.Err() }}
		opts := &Options{Workers: 1, Timeout: -1, DrainTimeout: time.Minute}
		var mu sync.Mutex
		var outcomes []error
		s, err := run(t, p, false, opts, func(t *testing.T, _ *Dispatcher, a Action) {
			for range 3 {
				if err := a.Do(t.Context(), &Request{Done: func(err error) { mu.Lock(); outcomes = append(outcomes, err); mu.Unlock() }}); err != nil {
					t.Fatal(err)
				}
			}
		})
		if !errors.Is(err, ErrDrain) || s.Dropped[DropShutdown] != 3 || s.Pending != 0 || len(outcomes) != 3 {
			t.Errorf("%v, %+v, %v", err, s, outcomes)
		}
	})
}

func TestInline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		p := &probe{}
		s, err := run(t, p, true, nil, func(t *testing.T, _ *Dispatcher, a Action) {
			p.do = func(context.Context, *Request) error { return broken }
			if err := a.Do(t.Context(), &Request{Done: func(error) { t.Error("Done of a refused request") }}); !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
			called := false
			p.do = func(context.Context, *Request) error { return nil }
			if err := a.Do(t.Context(), &Request{Done: func(err error) { called = err == nil }}); err != nil || !called {
				t.Errorf("got %v, Done called: %v", err, called)
			}
		})
		if err != nil || s.Delivered != 1 || s.HandedOver != 1 || s.Refused[RefusedFailed] != 1 {
			t.Errorf("%v, %+v", err, s)
		}
	})
}

func TestSharedAndRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		p := &probe{do: func(context.Context, *Request) error { <-gate; return nil }}
		_, err := run(t, p, false, nil, func(t *testing.T, d *Dispatcher, a Action) {
			// A rule is replaced by its equal: the new action is opened before the old is closed.
			b, err := d.OpenFor(t.Context(), "r", "probe", json.RawMessage(``))
			if err != nil {
				t.Fatal(err)
			}
			if p.opened != 1 {
				t.Errorf("opened %d times", p.opened)
			}
			a.(*handle).Close()
			if err := a.Do(t.Context(), &Request{}); !errors.Is(err, ErrClosed) {
				t.Errorf("closed handle: %v", err)
			}
			outcome := make(chan error, 1)
			if err := b.Do(t.Context(), &Request{Done: func(err error) { outcome <- err }}); err != nil {
				t.Fatal(err)
			}
			b.(*handle).Close()
			if p.closed != 0 {
				t.Error("closed with a request pending")
			}
			close(gate)
			if err := <-outcome; err != nil {
				t.Errorf("outcome %v", err)
			}
			synctest.Wait()
			if p.closed != 1 {
				t.Errorf("closed %d times", p.closed)
			}
			if _, err := d.OpenFor(t.Context(), "r", "probe", nil); err != nil {
				t.Fatal(err)
			}
		})
		if err != nil || p.opened != 2 || p.closed != 2 {
			t.Errorf("%v; opened %d, closed %d", err, p.opened, p.closed)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	c, err := NewCatalog(NewSpec("x", "", func(context.Context, *struct {
		A Template `json:"a" required:"true"`
	}) (Action, error) {
		return Func(func(context.Context, *Request) error { return nil }), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDispatcher(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open(t.Context(), "y", nil); !errors.Is(err, ErrUnknownAction) {
		t.Errorf("unknown: %v", err)
	}
	for _, params := range []string{`{}`, `{"a":"${"}`, `{"a":1}`, `{"a":"","b":1}`, `{`} {
		if _, err := d.Open(t.Context(), "x", json.RawMessage(params)); !errors.Is(err, ErrParams) {
			t.Errorf("%s: %v", params, err)
		}
	}
	if len(d.Stats()) != 0 {
		t.Error("a refused action has a ledger")
	}
}

// TestLanguages: a queue belongs to a language too, and a rule that is opened
// on an action that is there already is checked all the same.
func TestLanguages(t *testing.T) {
	type params struct {
		Text Template `json:"text"`
	}
	opened, closed := 0, 0
	catalog, err := NewCatalog(NewSpec("say", "says", func(_ context.Context, p *params) (Action, error) {
		opened++
		return &probe{do: func(ctx context.Context, r *Request) error {
			text, err := p.Text.Expand(ctx, r)
			return errors.Join(err, Permanent(errors.New(text)))
		}, onClose: func() { closed++ }}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDispatcher(catalog, nil)
	if err != nil {
		t.Fatal(err)
	}
	bound := func(version string, variables ...string) context.Context {
		b := &sql.Binding{Rule: "r"}
		b.Version, b.Variables = version, append([]string{}, variables...)
		return sql.WithBinding(t.Context(), b)
	}
	text := json.RawMessage(`{"text":"${@x} ${10.0}"}`)
	for _, c := range []struct {
		ctx  context.Context
		ok   bool
		open int // lanes
	}{
		{bound("", "x"), true, 1}, {bound("2016-03-23", "x", "y"), true, 1}, {bound("2015-10-08", "x"), true, 2}, {t.Context(), true, 2}, {bound(""), false, 2}, {bound("2015-10-08", "y"), false, 2},
	} {
		_, err := d.OpenFor(c.ctx, "r", "say", text)
		if ok := err == nil; ok != c.ok || !ok && !errors.Is(err, ErrParams) {
			t.Errorf("%+v: %v", sql.BindingOf(c.ctx), err)
		}
		if len(d.lanes) != c.open || opened-closed != c.open {
			t.Errorf("%d lanes, %d actions open, want %d", len(d.lanes), opened-closed, c.open)
		}
	}
	// What an earlier process left is read in its language.
	for language, want := range map[string]string{"": " 10", "2015-10-08": " 10.0"} {
		l, err := d.left(t.Context(), catalog.Specs()[0], Identity{Owner: "gone", Action: "say", Params: text, Language: language})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.action.Do(t.Context(), &Request{Source: []byte("{}")}); err == nil || err.Error() != want {
			t.Errorf("in %q it says %v, want %q", language, err, want)
		}
	}
	if _, err := d.left(t.Context(), catalog.Specs()[0], Identity{Action: "say", Params: text, Language: "latin"}); err == nil {
		t.Error("an unknown language is read")
	}
}
