package shadow

import (
	"errors"
	"fmt"
)

// The sentinels, for errors.Is. Most come wrapped in a *RequestError, which
// has the text for the wire and the client token to echo.
var (
	// ErrInvalidRequest reports a request that is malformed: not JSON, without
	// state, with a wrong type, nested too deeply. Change the request. Code 400.
	ErrInvalidRequest = errors.New("shadow: invalid request")

	// ErrInvalidName reports a thing or shadow name outside the rules of Ref. Code 400.
	ErrInvalidName = errors.New("shadow: invalid name")

	// ErrUnauthorized reports a caller without a valid identity. Code 401.
	// The service never returns it: endpoints and their hooks do.
	ErrUnauthorized = errors.New("shadow: unauthorized")

	// ErrForbidden reports a caller that may not do what it asked. Code 403.
	// The service never returns it: endpoints and their hooks do.
	ErrForbidden = errors.New("shadow: forbidden")

	// ErrNotFound reports that the shadow does not exist. The first update
	// creates it. Code 404.
	ErrNotFound = errors.New("shadow: not found")

	// ErrVersionConflict reports that the stored version is not the one the caller
	// named. Load again and decide; retrying the same write cannot succeed. Code 409.
	ErrVersionConflict = errors.New("shadow: version conflict")

	// ErrTooLarge reports a request above Options.MaxRequestBytes, or a document
	// that would grow above Options.MaxBytes. Code 413.
	ErrTooLarge = errors.New("shadow: too large")

	// ErrEncoding reports a request that is not UTF-8. Code 415.
	ErrEncoding = errors.New("shadow: not UTF-8")

	// ErrTooManyRequests reports more than Options.MaxInFlight requests at once
	// for one thing, or more than Options.MaxRate a second for one shadow. Try
	// again later. Code 429.
	ErrTooManyRequests = errors.New("shadow: too many requests in flight")

	// ErrCorrupt reports a stored document that is not what was stored. It is a
	// fault of the store or its disk. Code 500.
	ErrCorrupt = errors.New("shadow: corrupt document")

	// ErrNoHistory reports that the store keeps no history, or no longer the
	// version asked for.
	ErrNoHistory = errors.New("shadow: no history")

	// ErrType reports a document that does not fit the type of a View, in a
	// *TypeError. Nothing was written. Code 500: the program's type is wrong.
	ErrType = errors.New("shadow: document does not fit the type")
)

// A TypeError says which part of a document does not fit the type of a View.
type TypeError struct {
	Ref     Ref
	Section string // desired, reported or delta
	Field   string // as encoding/json names it, such as color.hue; may be empty
	Err     error  // of encoding/json, or of a method of the type
}

func (e *TypeError) Error() string {
	where := e.Section
	if e.Field != "" {
		where += "." + e.Field
	}
	return fmt.Sprintf("shadow %s: %s: %v", e.Ref, where, e.Err)
}

// Unwrap returns ErrType and the cause.
func (e *TypeError) Unwrap() []error { return []error{ErrType, e.Err} }

// A RequestError is a refused request, in the words that the protocol uses.
type RequestError struct {
	// Err is the sentinel.
	Err error

	// Message is the text of the rejected message, such as "Version conflict".
	Message string

	// Detail says more to the programmer: what was found, and at which byte.
	Detail string

	// ClientToken is the token of the request, where it had a valid one.
	ClientToken string
}

func (e *RequestError) Error() string {
	s := "shadow: " + e.Message
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return s
}

// Unwrap returns the sentinel.
func (e *RequestError) Unwrap() error { return e.Err }

func refuse(sentinel error, message string) *RequestError {
	return &RequestError{Err: sentinel, Message: message}
}

// messages is the protocol's code and text of each sentinel, for errors that
// bring no text of their own. What is not in it is code 500.
var messages = []struct {
	err     error
	code    int
	message string
}{
	{ErrInvalidRequest, 400, "Invalid request"},
	{ErrInvalidName, 400, "Invalid name"},
	{ErrUnauthorized, 401, "Unauthorized"},
	{ErrForbidden, 403, "Forbidden"},
	{ErrNotFound, 404, "No shadow exists"},
	{ErrNoHistory, 404, "No such version"},
	{ErrVersionConflict, 409, "Version conflict"},
	{ErrTooLarge, 413, "The payload exceeds the maximum size allowed"},
	{ErrEncoding, 415, "Unsupported documented encoding; supported encoding is UTF-8"},
	{ErrTooManyRequests, 429, "Too many requests"},
	{ErrCorrupt, 500, "Internal service failure"},
	{ErrType, 500, "Internal service failure"},
}

// Code returns the protocol's number and text for an error of this package;
// 500 for any other, whose own text stays inside.
func Code(err error) (code int, message string) {
	for _, m := range messages {
		if !errors.Is(err, m.err) {
			continue
		}
		if re := (*RequestError)(nil); errors.As(err, &re) && re.Message != "" {
			return m.code, re.Message
		}
		return m.code, m.message
	}
	return 500, "Internal service failure"
}

// wrap says which shadow an error is about, and what was being done.
func wrap(ref Ref, what string, err error) error {
	return fmt.Errorf("shadow %s: %s: %w", ref, what, err)
}
