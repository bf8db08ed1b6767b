package brokerhttp

import (
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// An Access is what a request wants to do.
type Access struct {
	// Action is iot:Publish, iot:RetainPublish, iot:GetRetainedMessage or
	// iot:ListRetainedMessages.
	Action string
	Topic  string // empty for iot:ListRetainedMessages
}

// The actions of an Access.
const (
	ActionPublish       = "iot:Publish"
	ActionRetainPublish = "iot:RetainPublish"
	ActionGetRetained   = "iot:GetRetainedMessage"
	ActionListRetained  = "iot:ListRetainedMessages"
)

// Options are the optional parts of a Handler. A nil *Options is all defaults,
// and allows nothing.
type Options struct {
	// Authorize returns who the caller is if it may do a, and ErrForbidden or
	// broker.ErrNotAuthorized if it may not, or ErrUnauthenticated if it is
	// nobody known. Any other error is a failure of the server. Nil forbids
	// everything.
	Authorize func(r *http.Request, a Access) (principal string, err error)

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
