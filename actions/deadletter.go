package actions

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"
)

// A DeadLetterRecord is the JSON that a dead letter gets as its payload.
type DeadLetterRecord struct {
	ID        string    `json:"id"`
	Action    string    `json:"action"`
	Rule      string    `json:"ruleName,omitempty"`
	Topic     string    `json:"topic,omitempty"`
	ClientID  string    `json:"clientId,omitempty"`
	Principal string    `json:"principal,omitempty"`
	SourceIP  string    `json:"sourceIp,omitempty"`
	TraceID   string    `json:"traceId,omitempty"`
	Time      time.Time `json:"time,omitzero"` // when the message was accepted
	FailedAt  time.Time `json:"failedAt"`
	Attempts  int       `json:"attempts"`
	Error     string    `json:"errorMessage"`

	// Payload is what was not delivered, Source the message it was made from,
	// in base64 as encoding/json writes bytes.
	Payload []byte `json:"base64Payload"`
	Source  []byte `json:"base64OriginalPayload"`
}

// A DeadLetterError is the error of a request that DeadLetter handed over. It
// wraps the error of the last attempt.
type DeadLetterError struct{ Err error }

func (e *DeadLetterError) Error() string { return "dead-lettered: " + e.Err.Error() }
func (e *DeadLetterError) Unwrap() error { return e.Err }

// DeadLetter hands what failed to another action, as a DeadLetterRecord made
// of the request. The error stays an error, as a *DeadLetterError; if the
// other action fails too, both errors are joined. Place it outside of Retry,
// and wrap to in a Retry of its own. A failure because ctx is done is not
// handed over: the request may still be delivered by somebody else.
//
// action is the name the record gives what failed; now nil means time.Now.
func DeadLetter(action string, to Action, now func() time.Time) Middleware {
	if now == nil {
		now = time.Now
	}
	return func(next Action) Action {
		return Func(func(ctx context.Context, r *Request) error {
			err := next.Do(ctx, r)
			if err == nil || ctx.Err() != nil {
				return err
			}
			if failed := sendDeadLetter(ctx, action, to, now, r, err); failed != nil {
				return errors.Join(err, failed)
			}
			return &DeadLetterError{err}
		})
	}
}

func sendDeadLetter(ctx context.Context, action string, to Action, now func() time.Time, r *Request, cause error) error {
	at := r.Time
	if at.Year() < 0 || at.Year() > 9999 {
		at = time.Time{} // it has no JSON, and is no reason to lose the letter
	}
	record, err := json.Marshal(DeadLetterRecord{
		ID: r.ID, Action: action, Rule: r.Rule, Topic: r.Topic, ClientID: r.ClientID, Principal: r.Principal,
		SourceIP: r.SourceIP, TraceID: r.TraceID, Time: at, FailedAt: now(),
		Attempts: r.Attempt, Error: errorText(cause), Payload: r.Payload, Source: r.Source,
	})
	if err != nil {
		return err
	}
	// Templates of the dead letter see the record: its source is not JSON as often as not.
	letter := Request{ID: r.ID, Rule: r.Rule, Topic: r.Topic, ClientID: r.ClientID, Principal: r.Principal,
		SourceIP: r.SourceIP, TraceID: r.TraceID, Time: r.Time, Payload: record, Source: record, Attempt: 1}
	return to.Do(ctx, &letter)
}

// errorText bounds a foreign error text: it may quote what a server answered.
func errorText(err error) string {
	const most = 1024
	s := err.Error()
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for !utf8.ValidString(s) && len(s) > most-utf8.UTFMax {
		s = s[:len(s)-1]
	}
	return s + "…"
}
