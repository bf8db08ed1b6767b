package actions

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrQueueFull refuses a request because the queue of its action has
	// reached a limit. Nothing was taken; the rule's error action should see it.
	ErrQueueFull = errors.New("actions: queue full")

	// ErrClosed refuses a request to an action that was closed, or whose
	// dispatcher has stopped.
	ErrClosed = errors.New("actions: closed")

	// ErrExpired is the failure of a request that waited longer than Limits.MaxAge.
	ErrExpired = errors.New("actions: request expired in the queue")

	// ErrUnknownAction says that the catalog has no Spec of that name.
	ErrUnknownAction = errors.New("actions: unknown action")

	// ErrDuplicate says that two Specs of a catalog have the same name.
	ErrDuplicate = errors.New("actions: duplicate action")

	// ErrParams is wrapped by every *ParamError.
	ErrParams = errors.New("actions: invalid parameters")

	// ErrPanic is wrapped by the permanent error that a panic in an action becomes.
	ErrPanic = errors.New("actions: panic")

	// ErrCorrupt says that a stored request cannot be read.
	ErrCorrupt = errors.New("actions: corrupt request")

	// ErrDrain is returned by Run when requests in memory had to be given up
	// because Options.DrainTimeout had passed.
	ErrDrain = errors.New("actions: not drained in time")
)

// A ParamError says which parameter of an action is wrong. It wraps ErrParams
// and the cause.
type ParamError struct {
	Path string // as "headers[1].value"; empty for the parameters as a whole
	Err  error
}

func (e *ParamError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("actions: invalid parameters: %v", e.Err)
	}
	return fmt.Sprintf("actions: invalid parameter %s: %v", e.Path, e.Err)
}

// Unwrap gives ErrParams and the cause.
func (e *ParamError) Unwrap() []error { return []error{ErrParams, e.Err} }

// A FailedError is the final failure of a request that had been taken. It
// wraps the error of the last attempt.
type FailedError struct {
	Action   string // name of the Spec
	Attempts int    // made by this process; 0 if it was given up untried
	// DeadLettered is set when the dead letter took the request. Otherwise it
	// was dropped, for Reason.
	DeadLettered bool
	Reason       Reason
	Err          error
}

func (e *FailedError) Error() string {
	to := "dropped (" + string(e.Reason) + ")"
	if e.DeadLettered {
		to = "dead-lettered"
	}
	return fmt.Sprintf("actions: %s: %s after %d attempts: %v", e.Action, to, e.Attempts, e.Err)
}

func (e *FailedError) Unwrap() error { return e.Err }

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks an error that no further attempt can mend: Retry gives up
// at once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether err, or an error it wraps, came from Permanent.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type retryAfterError struct {
	err  error
	wait time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// RetryAfter marks an error whose next attempt should wait at least d, as a
// server's Retry-After asks. RetryAfter(nil, d) is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, d}
}

type resourceError struct {
	err  error
	what string
}

func (e *resourceError) Error() string    { return e.err.Error() }
func (e *resourceError) Unwrap() error    { return e.err }
func (e *resourceError) Resource() string { return e.what }

// WithResource says what err is about, as a URL, a topic or the name of a
// table: what the error documents of rules call the failed resource. It gives
// err a method Resource() string, found by errors.As. WithResource of nil is nil.
func WithResource(err error, what string) error {
	if err == nil {
		return nil
	}
	return &resourceError{err, what}
}
