package actions

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errFlaky = errors.New("flaky")

func always(int) error { return errFlaky }

func TestRetryBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []time.Duration
		var err error
		a := Retry(RetryPolicy{MaxAttempts: 7, Min: time.Second, Max: 5 * time.Second})(Func(func(context.Context, *Request) error {
			attempts = append(attempts, time.Duration(time.Now().UnixNano()))
			return errFlaky
		}))
		if err = a.Do(t.Context(), &Request{}); !errors.Is(err, errFlaky) || len(attempts) != 7 {
			t.Fatalf("%v after %d attempts", err, len(attempts))
		}
		for i, most := range []time.Duration{1, 2, 4, 5, 5, 5} {
			most *= time.Second
			if wait := attempts[i+1] - attempts[i]; wait < most/2 || wait > most {
				t.Errorf("wait %d is %v, want %v to %v", i+1, wait, most/2, most)
			}
		}
	})
}

func TestRetryEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    RetryPolicy
		fail func(n int) error
		want int
	}{
		{"by default after five", RetryPolicy{}, always, 5},
		{"at a permanent error", RetryPolicy{}, func(n int) error {
			if n == 2 {
				return Permanent(errFlaky)
			}
			return errFlaky
		}, 2},
		// Each wait is two minutes, which fits once into three.
		{"before MaxElapsed", RetryPolicy{MaxAttempts: -1, MaxElapsed: 3 * time.Minute}, func(int) error {
			return RetryAfter(errFlaky, 2*time.Minute)
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				a := Retry(tt.p)(Func(func(context.Context, *Request) error { n++; return tt.fail(n) }))
				err := a.Do(t.Context(), &Request{})
				if !errors.Is(err, errFlaky) || n != tt.want {
					t.Errorf("%v after %d attempts, want %d", err, n, tt.want)
				}
			})
		})
	}
}

func TestRetryWithoutLimitGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last := 0
		a := Retry(RetryPolicy{MaxAttempts: -1})(Func(func(_ context.Context, r *Request) error {
			if r.Attempt != last+1 {
				t.Errorf("attempt %d after %d", r.Attempt, last)
			}
			if last = r.Attempt; last < 40 {
				return errFlaky
			}
			return nil
		}))
		if err := a.Do(t.Context(), &Request{}); err != nil || last != 40 {
			t.Errorf("%v after %d attempts", err, last)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		n := 0
		a := Retry(RetryPolicy{MaxAttempts: 2})(Func(func(context.Context, *Request) error {
			if n++; n == 1 {
				return RetryAfter(errFlaky, time.Minute)
			}
			return nil
		}))
		if err := a.Do(t.Context(), &Request{}); err != nil || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		a := Retry(RetryPolicy{MaxAttempts: -1, Min: time.Hour, Max: time.Hour})(Func(func(context.Context, *Request) error { return errFlaky }))
		if err := a.Do(ctx, &Request{}); !errors.Is(err, errFlaky) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestRetryPolicyIsChecked(t *testing.T) {
	for _, p := range []RetryPolicy{{Min: -1}, {Max: -1}, {MaxElapsed: -1}, {Multiplier: 0.5}, {Min: 2, Max: 1}} {
		if _, err := NewDispatcher(&Catalog{}, &Options{Retry: p}); err == nil {
			t.Errorf("%+v was taken", p)
		}
	}
}

func TestErrorMarks(t *testing.T) {
	if Permanent(nil) != nil || RetryAfter(nil, time.Second) != nil {
		t.Error("marks of nil are not nil")
	}
	if !IsPermanent(errors.Join(errFlaky, Permanent(errFlaky))) || IsPermanent(errFlaky) || !errors.Is(Permanent(errFlaky), errFlaky) {
		t.Error("Permanent is lost")
	}
	long := errorText(errors.New(string(make([]byte, 5000)) + "é"))
	if len(long) > 1100 {
		t.Errorf("an error text of %d bytes", len(long))
	}
}

func TestMiddleware(t *testing.T) {
	var order []string
	mark := func(name string) Middleware {
		return func(next Action) Action {
			return Func(func(ctx context.Context, r *Request) error { order = append(order, name); return next.Do(ctx, r) })
		}
	}
	panics := Func(func(context.Context, *Request) error { panic("oh") })
	err := Chain(panics, mark("a"), mark("b"), Recover()).Do(t.Context(), &Request{})
	var p *PanicError
	if !errors.As(err, &p) || !IsPermanent(err) || !errors.Is(err, ErrPanic) || p.Value != "oh" || len(p.Stack) == 0 {
		t.Errorf("got %v", err)
	}
	if len(order) != 2 || order[0] != "a" {
		t.Errorf("order %v", order)
	}
	synctest.Test(t, func(t *testing.T) {
		slow := Func(func(ctx context.Context, _ *Request) error { <-ctx.Done(); return ctx.Err() })
		if err := Timeout(time.Second)(slow).Do(t.Context(), &Request{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestDeadLetterMiddleware(t *testing.T) {
	var got []byte
	to := Func(func(_ context.Context, r *Request) error { got = r.Payload; return nil })
	failing := Func(func(context.Context, *Request) error { return errFlaky })
	now := func() time.Time { return time.Unix(5, 0).UTC() }
	err := DeadLetter("x", to, now)(failing).Do(t.Context(), &Request{ID: "1", Payload: []byte("p"), Attempt: 2})
	var sent *DeadLetterError
	if !errors.As(err, &sent) || !errors.Is(err, errFlaky) {
		t.Errorf("got %v", err)
	}
	want := `{"id":"1","action":"x","failedAt":"1970-01-01T00:00:05Z","attempts":2,"errorMessage":"flaky","base64Payload":"cA==","base64OriginalPayload":null}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	full := errors.New("disk full")
	err = DeadLetter("x", Func(func(context.Context, *Request) error { return full }), nil)(failing).Do(t.Context(), &Request{})
	if !errors.Is(err, full) || !errors.Is(err, errFlaky) || errors.As(err, &sent) {
		t.Errorf("the dead letter failed as well: %v", err)
	}
	got = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := DeadLetter("x", to, now)(failing).Do(ctx, &Request{}); !errors.Is(err, errFlaky) || got != nil {
		t.Errorf("at the end of the context: %v, sent %s", err, got)
	}
}
