package brokerpaho

import (
	"errors"
	"fmt"
)

// ErrNotConnected reports that there was no connection until the context was
// done. Nothing was sent.
var ErrNotConnected = errors.New("brokerpaho: not connected")

// ErrUnconfirmed reports that a message was sent and not acknowledged in time.
// It may have arrived or arrive yet; publish it again if twice is better than never.
var ErrUnconfirmed = errors.New("brokerpaho: not confirmed")

// ErrRefused reports that the server said no; the [*ReasonError] around it
// says why. Trying again does not help.
var ErrRefused = errors.New("brokerpaho: refused")

// ErrTopic reports an invalid topic name or filter. Nothing was sent.
var ErrTopic = errors.New("brokerpaho: invalid topic")

// ErrClosed reports that Run has ended.
var ErrClosed = errors.New("brokerpaho: closed")

// A ReasonError is a refusal of the server. It wraps ErrRefused.
type ReasonError struct {
	Op    string // "publish" or "subscribe"
	Topic string // or filter
	Code  byte   // MQTT 5 reason code, 0x80 or above
	Text  string // the server's reason string, often empty
}

func (e *ReasonError) Error() string {
	s := fmt.Sprintf("brokerpaho: %s %q: refused with reason 0x%02x", e.Op, e.Topic, e.Code)
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

func (e *ReasonError) Unwrap() error { return ErrRefused }
