package actions

import (
	"context"
	"encoding/json"
	"time"
)

// An Action delivers one request somewhere. Do is called from many goroutines
// at once. An Action that holds resources is also an io.Closer; it is closed
// once, after its last Do has returned.
//
// Do must not keep r, nor change what r points at, after it returned. The
// byte slices themselves never change and may be kept. An error is tried again
// by whatever policy is in force unless it is Permanent; RetryAfter asks for a
// longer wait.
type Action interface {
	Do(ctx context.Context, r *Request) error
}

// Func is an Action made of a function.
type Func func(ctx context.Context, r *Request) error

// Do calls f.
func (f Func) Do(ctx context.Context, r *Request) error { return f(ctx, r) }

// A Request is one thing to be delivered: what a rule selected, and the
// message it selected it from.
type Request struct {
	// ID names the request over all attempts and restarts, for receivers that
	// drop what they have seen. A Dispatcher fills it in when it is empty.
	ID string

	Rule      string // name of the rule that fired
	Topic     string // of the message
	ClientID  string // of the publisher; empty if the message did not come over MQTT
	Principal string // who the publisher acted as
	SourceIP  string // of the publisher, as text
	TraceID   string
	Time      time.Time // when the message was accepted

	// Payload is what the rule selected, Source the payload of the message it
	// selected from, which is what templates see. Both belong to nobody once
	// they are here: not to be modified by anyone, free to be kept.
	Payload []byte
	Source  []byte

	// Vars are the variables of the rule's SET clause.
	Vars []Var

	// Hops is how often rules have passed on what began as one message, this
	// request included: what a rules engine counts to cut circles. An action
	// that publishes again should publish at this depth; a queue delivers on a
	// goroutine of its own, where the context does not say it. A middleware of
	// the program puts it into the context of every attempt, see
	// Options.Middleware. Negative is 0.
	Hops int

	// Properties are what the message had of MQTT 5; nil means none.
	Properties *Properties

	// Attempt is 1 on the first try. It starts again after a restart.
	Attempt int

	// Done, if set, is called exactly once for a request that a Dispatcher's
	// action took (its Do returned nil): with nil when it has been delivered,
	// else with a *FailedError. An inline action calls it before Do returns.
	// For a refused request (Do returned an error) it is never called.
	//
	// A function does not survive the process. Where a durable queue delivers
	// what an earlier process took, or could not keep so many callbacks,
	// Options.Settled is called in its place. Done runs on a worker of the
	// action and should be quick.
	Done func(error)
}

// A Var is one variable of a rule's SET clause. Value is its JSON text; nil
// says that it is Undefined.
type Var struct {
	Name  string // without the @
	Value json.RawMessage
}

// Properties are the MQTT 5 properties that templates can read. Empty means absent.
type Properties struct {
	UTF8            bool // payload format indicator 1
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte
	User            []UserProperty // in order, names may repeat
}

// A UserProperty is one MQTT 5 user property.
type UserProperty struct{ Name, Value string }
