package jobs

import (
	"errors"
	"fmt"
)

var (
	// ErrInvalid reports a request that breaks a rule. The error is an
	// *InvalidError that names the field.
	ErrInvalid = errors.New("jobs: invalid request")

	// ErrNotFound reports that a job, execution, template, thing or group does
	// not exist.
	ErrNotFound = errors.New("jobs: not found")

	// ErrExists reports that the name of a job or template is taken by another.
	ErrExists = errors.New("jobs: already exists")

	// ErrTransition reports a change of status that the present one does not
	// allow. For an execution the error is a *StateError with what is stored.
	ErrTransition = errors.New("jobs: status does not allow this")

	// ErrVersion reports that the execution is not at the version that the caller
	// named. The error is a *StateError with what is stored.
	ErrVersion = errors.New("jobs: version mismatch")

	// ErrTerminal reports that a device asked for an execution that is over.
	ErrTerminal = errors.New("jobs: execution is in a terminal state")

	// ErrLimit reports that a quota of Options would be exceeded.
	ErrLimit = errors.New("jobs: limit exceeded")

	// ErrThrottled reports more requests at once for one thing than
	// Options.MaxInFlight. Try again when some are answered.
	ErrThrottled = errors.New("jobs: too many requests in flight")
)

// An InvalidError is the ErrInvalid of one field.
type InvalidError struct {
	Field  string // as in the AWS API, such as "timeoutConfig.inProgressTimeoutInMinutes"
	Reason string
}

func (e *InvalidError) Error() string { return "jobs: " + e.Field + " " + e.Reason }

// Unwrap returns ErrInvalid.
func (e *InvalidError) Unwrap() error { return ErrInvalid }

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// A StateError is an ErrTransition or ErrVersion, with the execution that was found.
type StateError struct {
	Err       error // the sentinel
	Reason    string
	Execution Execution
}

func (e *StateError) Error() string {
	return fmt.Sprintf("%v: execution of %s on %s is %s at version %d: %s",
		e.Err, e.Execution.Job, e.Execution.Thing, e.Execution.Status, e.Execution.Version, e.Reason)
}

// Unwrap returns the sentinel.
func (e *StateError) Unwrap() error { return e.Err }

func notFound(kind, name string) error {
	return fmt.Errorf("jobs: %s %q: %w", kind, name, ErrNotFound)
}

// absent is the ErrNotFound of an execution.
func absent(job, thing string) error {
	return fmt.Errorf("jobs: execution of %q on %q: %w", job, thing, ErrNotFound)
}
