package defender

import (
	"errors"
	"fmt"
)

var (
	// ErrInvalid reports a request that breaks a rule. The error is an
	// *InvalidError that names the field.
	ErrInvalid = errors.New("defender: invalid request")

	// ErrNotFound reports that a profile, target, metric, dimension, audit or
	// violation does not exist.
	ErrNotFound = errors.New("defender: not found")

	// ErrExists reports that a name is taken.
	ErrExists = errors.New("defender: already exists")

	// ErrVersion reports that a profile is not at the version that the caller named.
	ErrVersion = errors.New("defender: version conflict")

	// ErrLimit reports that a quota would be exceeded.
	ErrLimit = errors.New("defender: limit exceeded")

	// ErrThrottled reports a device that reports more often than
	// Options.ReportInterval.
	ErrThrottled = errors.New("defender: reports come too fast")

	// ErrHeader reports a device report without header. It is also an ErrInvalid.
	ErrHeader = fmt.Errorf("%w: the report has no header", ErrInvalid)
)

// An InvalidError is the ErrInvalid of one field.
type InvalidError struct {
	Field  string // as in the AWS API, such as "behaviors[0].metric"
	Reason string
}

func (e *InvalidError) Error() string { return "defender: " + e.Field + " " + e.Reason }

// Unwrap returns ErrInvalid.
func (e *InvalidError) Unwrap() error { return ErrInvalid }

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

func notFound(kind, name string) error {
	return fmt.Errorf("defender: %s %q: %w", kind, name, ErrNotFound)
}
