package telemetry

import (
	"errors"
	"fmt"
	"time"

	"github.com/thingloom/thingloom/internal/sql"
)

// ErrClosed is returned by Put once the stream's Run has begun to end. What
// was acknowledged before is in the log; what is refused now is not.
var ErrClosed = errors.New("telemetry: stream is closed")

// ErrInvalidRecord is wrapped by every *RecordError: the record can never be
// put as it is.
var ErrInvalidRecord = errors.New("telemetry: invalid record")

// ErrInvalidName reports a consumer's name, bucket key or template that is not
// acceptable. The text says why.
var ErrInvalidName = errors.New("telemetry: invalid name")

// ErrPartition reports a partition that the log does not have.
var ErrPartition = errors.New("telemetry: no such partition")

// ErrBusy is returned by Consume when a consumer of that name is already
// running on this stream, and by Run when it was called before.
var ErrBusy = errors.New("telemetry: already running")

// ErrState reports a checkpoint's state that this program cannot read: it is
// damaged, or of another query or format.
var ErrState = errors.New("telemetry: unreadable state")

// ErrNotPartitioned is returned by Consume when a query groups without the
// key over a stream of more than one partition, which would give one window
// per partition. Put the records through a stream of one partition first.
var ErrNotPartitioned = errors.New("telemetry: query does not group by key over several partitions")

// ErrLate reports a record whose windows have all been closed by the watermark.
var ErrLate = errors.New("telemetry: record is late")

// ErrAhead reports a record whose event time lies too far beyond the clock.
// Taking it would move the watermark there and make every other record late.
var ErrAhead = errors.New("telemetry: record is ahead of time")

// ErrTooManyWindows reports that WindowOptions.MaxWindows windows are open and
// the record would need one more.
var ErrTooManyWindows = errors.New("telemetry: too many open windows")

// ErrNotFound reports a bucket key that does not exist.
var ErrNotFound = errors.New("telemetry: not found")

// ErrSlow ends a subscription of Live that did not take its events in time.
var ErrSlow = errors.New("telemetry: subscriber is too slow")

// ErrTooManySubscribers is returned by Live.Subscribe at LiveOptions.MaxSubscribers.
var ErrTooManySubscribers = errors.New("telemetry: too many subscribers")

// A RecordError says which field of a record was refused and why. It wraps
// ErrInvalidRecord.
type RecordError struct {
	Field  string // "key", "time" or "value"
	Reason string
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("telemetry: invalid record: %s: %s", e.Field, e.Reason)
}

// Unwrap returns ErrInvalidRecord.
func (e *RecordError) Unwrap() error { return ErrInvalidRecord }

// A LateError says by how much a record missed its windows. It wraps ErrLate.
type LateError struct {
	Key       string
	Time      time.Time // of the record
	Watermark time.Time // at the moment it was offered
}

func (e *LateError) Error() string {
	return fmt.Sprintf("telemetry: record of %q is late: event time %s, watermark %s", e.Key,
		e.Time.UTC().Format(time.RFC3339Nano), e.Watermark.UTC().Format(time.RFC3339Nano))
}

// Unwrap returns ErrLate.
func (e *LateError) Unwrap() error { return ErrLate }

// A SyntaxError is window SQL that Compile refuses. Its text has line, column
// and reason on one line; Snippet shows the place.
type SyntaxError struct {
	Offset   int    // byte offset into the text
	Line     int    // from 1
	Column   int    // from 1, in characters
	Msg      string // what is wrong
	Expected string // what would have been right, or empty
	Nearest  string // the known name nearest to a misspelt one, or empty
	Snippet  string // the line, a newline, and a caret below the column

	text string
}

func (e *SyntaxError) Error() string { return "telemetry: window SQL: " + e.text }

// syntaxError turns an error of internal/sql into one of this package.
func syntaxError(err error) error {
	var se *sql.SyntaxError
	if !errors.As(err, &se) {
		return fmt.Errorf("telemetry: window SQL: %w", err)
	}
	return &SyntaxError{Offset: se.Offset, Line: se.Line, Column: se.Column, Msg: se.Msg,
		Expected: se.Expected, Nearest: se.Nearest, Snippet: se.Snippet, text: se.Error()}
}
