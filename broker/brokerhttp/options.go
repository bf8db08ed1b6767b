package brokerhttp

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/thingloom/thingloom/broker"
)

// An Access is what a request wants to do.
type Access struct {
	// Action is iot:Publish, iot:RetainPublish, iot:GetRetainedMessage, iot:ListRetainedMessages,
	// iot:GetConnection, iot:DeleteConnection or iot:ListSubscriptions.
	Action   string
	Topic    string // of the first three
	ClientID string // of the last three
}

// Resource is the end of the ARN that a policy is asked about: topic/{topic}, client/{clientId}, or
// "*" for iot:ListRetainedMessages.
func (a Access) Resource() string {
	switch {
	case a.Topic != "":
		return "topic/" + a.Topic
	case a.ClientID != "":
		return "client/" + a.ClientID
	}
	return "*"
}

// The actions of an Access.
const (
	ActionPublish       = "iot:Publish"
	ActionRetainPublish = "iot:RetainPublish"
	ActionGetRetained   = "iot:GetRetainedMessage"
	ActionListRetained  = "iot:ListRetainedMessages"

	ActionGetConnection     = "iot:GetConnection"
	ActionDeleteConnection  = "iot:DeleteConnection"
	ActionListSubscriptions = "iot:ListSubscriptions"
)

// Options are the optional parts of a Handler. A nil *Options is all defaults,
// and allows nothing.
type Options struct {
	// Authorize returns who the caller is if it may do a, and ErrForbidden or
	// broker.ErrNotAuthorized if it may not, or ErrUnauthenticated if it is
	// nobody known. Any other error is a failure of the server. Nil forbids
	// everything.
	Authorize func(r *http.Request, a Access) (principal string, err error)

	// Thing names the thing that a client acts as, for GetConnection; empty for none.
	// Nil leaves it out.
	Thing func(broker.ClientInfo) string

	// MaxPayloadBytes is the largest payload accepted. Zero means 131,072, the
	// limit of AWS IoT.
	MaxPayloadBytes int

	// MaxExpiry is the longest message expiry; more is lowered to it. Zero
	// means 7 days.
	MaxExpiry time.Duration

	// Logger gets the errors that callers are not told. Nil is silence.
	Logger *slog.Logger

	// Now tells which retained messages have expired. Nil means time.Now.
	Now func() time.Time
}

func (o *Options) filled() (Options, error) {
	var f Options
	if o != nil {
		f = *o
	}
	if f.Authorize == nil {
		f.Authorize = func(*http.Request, Access) (string, error) { return "", ErrForbidden }
	}
	if f.MaxPayloadBytes == 0 {
		f.MaxPayloadBytes = 128 << 10
	}
	if f.MaxExpiry == 0 {
		f.MaxExpiry = 7 * 24 * time.Hour
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	var errs []error
	if f.MaxPayloadBytes < 0 {
		errs = append(errs, errors.New("brokerhttp: options: MaxPayloadBytes is negative"))
	}
	if f.MaxExpiry < time.Second {
		errs = append(errs, errors.New("brokerhttp: options: MaxExpiry is below a second"))
	}
	return f, errors.Join(errs...)
}
