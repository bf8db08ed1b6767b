package actions

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// A RetryPolicy says how often and when a failed attempt is repeated. The wait
// before attempt n+1 is drawn evenly from the half to the whole of
// Min * Multiplier^(n-1), at most Max.
type RetryPolicy struct {
	// MaxAttempts counts the first one. Zero means 5; negative means no limit.
	MaxAttempts int
	// MaxElapsed, from the first attempt on, after which no other begins. Zero means no limit.
	MaxElapsed time.Duration
	// Min is the first wait, Max the longest. Zero means 200 ms and 30 s.
	// A RetryAfter beyond Max is waited for all the same, up to an hour.
	Min, Max time.Duration
	// Multiplier is at least 1. Zero means 2.
	Multiplier float64
}

const maxRetryAfter = time.Hour

func (p RetryPolicy) check() error {
	if p.MaxElapsed < 0 || p.Min < 0 || p.Max < 0 {
		return errors.New("actions: negative duration in RetryPolicy")
	}
	if p.Multiplier != 0 && !(p.Multiplier >= 1) {
		return fmt.Errorf("actions: RetryPolicy.Multiplier %v is less than 1", p.Multiplier)
	}
	if p.Max != 0 && p.Max < p.Min {
		return errors.New("actions: RetryPolicy.Max is less than Min")
	}
	return nil
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	if p.MaxAttempts == 0 {
		p.MaxAttempts = 5
	}
	if p.Min == 0 {
		p.Min = 200 * time.Millisecond
	}
	if p.Max == 0 {
		p.Max = max(30*time.Second, p.Min)
	}
	if p.Multiplier == 0 {
		p.Multiplier = 2
	}
	return p
}

// backoff is the wait after the given failed attempt.
func (p RetryPolicy) backoff(attempt int, err error) time.Duration {
	d := float64(p.Min)
	for range attempt - 1 {
		if d *= p.Multiplier; d >= float64(p.Max) {
			d = float64(p.Max)
			break
		}
	}
	// Jitter keeps the workers of many actions from striking a server that
	// comes back all at the same moment.
	wait := time.Duration(d/2 + rand.Float64()*d/2)
	var after *retryAfterError
	if errors.As(err, &after) {
		wait = max(wait, min(after.wait, maxRetryAfter))
	}
	return wait
}

// Retry repeats failed attempts by p. It sets Request.Attempt, gives up at
// once on a Permanent error, and stops waiting when ctx is done; in each case
// the error is that of the last attempt.
func Retry(p RetryPolicy) Middleware {
	p = p.withDefaults()
	return func(next Action) Action {
		return Func(func(ctx context.Context, r *Request) error { return p.run(ctx, next, r, nil) })
	}
}

// run also gives up, as errStopped, when stop is closed while it waits: what
// is in a durable queue need not be waited for.
func (p *RetryPolicy) run(ctx context.Context, next Action, r *Request, stop <-chan struct{}) error {
	var start time.Time
	if p.MaxElapsed > 0 {
		start = time.Now()
	}
	for r.Attempt = 1; ; r.Attempt++ {
		err := next.Do(ctx, r)
		if err == nil || IsPermanent(err) || ctx.Err() != nil || r.Attempt == p.MaxAttempts {
			return err
		}
		wait := p.backoff(r.Attempt, err)
		if p.MaxElapsed > 0 && time.Since(start)+wait > p.MaxElapsed {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		case <-stop:
			t.Stop()
			return &stoppedError{err}
		}
	}
}

// stoppedError says that attempts ended because the dispatcher did, not because they were used up.
type stoppedError struct{ last error }

func (e *stoppedError) Error() string { return e.last.Error() }
func (e *stoppedError) Unwrap() error { return e.last }
