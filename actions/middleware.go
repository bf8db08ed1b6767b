package actions

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"time"
)

// A Middleware wraps an Action.
type Middleware func(Action) Action

// Chain wraps a in m, the first outermost.
func Chain(a Action, m ...Middleware) Action {
	for i := len(m) - 1; i >= 0; i-- {
		a = m[i](a)
	}
	return a
}

// Timeout bounds each Do of what it wraps.
func Timeout(d time.Duration) Middleware {
	return func(next Action) Action {
		return Func(func(ctx context.Context, r *Request) error {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			return next.Do(ctx, r)
		})
	}
}

// A PanicError is what Recover makes of a panic. It wraps ErrPanic.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("%v: %v", ErrPanic, e.Value) }
func (e *PanicError) Unwrap() error { return ErrPanic }

// Recover turns a panic of what it wraps into a permanent *PanicError. A
// Dispatcher wraps every action in it.
func Recover() Middleware {
	return func(next Action) Action {
		return Func(func(ctx context.Context, r *Request) error { return doRecovered(ctx, next, r) })
	}
}

func doRecovered(ctx context.Context, a Action, r *Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Permanent(&PanicError{p, debug.Stack()})
		}
	}()
	return a.Do(ctx, r)
}

// open calls s.Open; a plugin that panics there has bad parameters, not a dead program.
func open(ctx context.Context, s Spec, params []byte) (a Action, err error) {
	defer func() {
		if p := recover(); p != nil {
			a, err = nil, &PanicError{p, debug.Stack()}
		}
		if err != nil {
			err = fmt.Errorf("actions: open %s: %w", s.Name, err)
		}
	}()
	a, err = s.Open(ctx, params)
	if err == nil && a == nil {
		err = fmt.Errorf("its Open returned neither an action nor an error")
	}
	return a, err
}

func closeAction(a Action) (err error) {
	c, ok := a.(io.Closer)
	if !ok {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
	}()
	return c.Close()
}
