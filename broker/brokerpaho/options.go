package brokerpaho

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/url"
	"time"
)

// Options are the optional parts of a Client. A nil *Options is all defaults.
type Options struct {
	// ClientID is the client identifier. Empty means a random one, with which
	// no session outlives the program.
	ClientID string
	Username string
	Password []byte
	// TLS is used with the schemes mqtts and wss. Nil means the system's roots.
	TLS *tls.Config

	// KeepAlive is the longest silence on the connection, in whole seconds.
	// Zero means 30 s.
	KeepAlive time.Duration
	// SessionExpiry is how long the server keeps the session without a
	// connection, in whole seconds. Zero means an hour; negative means not at all.
	SessionExpiry time.Duration
	// ReceiveMaximum is how many messages may be sent to the client ahead of
	// what it has acknowledged, 1 to 65535. Zero means 256.
	ReceiveMaximum int
	// MaxPacketBytes is the largest packet that the server may send. Zero
	// means 1 MiB.
	MaxPacketBytes int

	// Workers is how many handlers may run at a time. Zero means 1, which
	// keeps the order of all messages.
	Workers int
	// Attempts is how often a message is given to a handler that fails. Zero
	// means 5.
	Attempts int
	// RetryPause is the pause before the second attempt; it doubles with each.
	// Zero means 100 ms.
	RetryPause time.Duration

	// ConnectTimeout is how long an attempt to connect may take, and a
	// SUBSCRIBE or UNSUBSCRIBE. Zero means 10 s.
	ConnectTimeout time.Duration
	// ReconnectPause is the pause before the attempt to connect with that
	// number, from 0, which is the first. Nil means none before the first, then
	// 250 ms doubling up to 30 s, each lengthened by chance up to half.
	ReconnectPause func(attempt int) time.Duration
	// PublishTimeout is how long Publish waits for an acknowledgement.
	// Zero means 30 s.
	PublishTimeout time.Duration
	// DrainTimeout is how long Run waits, once its context is done, for
	// messages that have arrived to be handled. Zero means 10 s.
	DrainTimeout time.Duration

	// Dial makes the connection to a server instead of the client itself.
	Dial func(ctx context.Context, server *url.URL) (net.Conn, error)

	// Logger gets connections made and lost, refused subscriptions and
	// messages given up. Nil is silence.
	Logger *slog.Logger
}

func (o *Options) filled() (Options, error) {
	var f Options
	if o != nil {
		f = *o
	}
	var errs []error
	span := func(name string, v *time.Duration, def, least, most time.Duration) {
		if *v == 0 {
			*v = def
		}
		if *v < least || *v > most {
			errs = append(errs, fmt.Errorf("brokerpaho: options: %s is %v, not in %v to %v", name, *v, least, most))
		}
	}
	number := func(name string, v *int, def, most int) {
		if *v == 0 {
			*v = def
		}
		if *v < 1 || *v > most {
			errs = append(errs, fmt.Errorf("brokerpaho: options: %s is %d, not in 1 to %d", name, *v, most))
		}
	}
	const forever = time.Duration(math.MaxInt64)
	span("KeepAlive", &f.KeepAlive, 30*time.Second, time.Second, math.MaxUint16*time.Second)
	f.SessionExpiry = max(f.SessionExpiry, -1)
	span("SessionExpiry", &f.SessionExpiry, time.Hour, -1, math.MaxUint32*time.Second)
	span("RetryPause", &f.RetryPause, 100*time.Millisecond, 1, time.Hour)
	span("ConnectTimeout", &f.ConnectTimeout, 10*time.Second, 1, forever)
	span("PublishTimeout", &f.PublishTimeout, 30*time.Second, 1, forever)
	span("DrainTimeout", &f.DrainTimeout, 10*time.Second, 1, forever)
	number("ReceiveMaximum", &f.ReceiveMaximum, 256, math.MaxUint16)
	number("MaxPacketBytes", &f.MaxPacketBytes, 1<<20, 268_435_460)
	number("Workers", &f.Workers, 1, 1024)
	number("Attempts", &f.Attempts, 5, 1000)
	if f.ReconnectPause == nil {
		f.ReconnectPause = reconnectPause
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	return f, errors.Join(errs...)
}

func reconnectPause(attempt int) time.Duration {
	if attempt == 0 {
		return 0
	}
	pause := min(250*time.Millisecond<<min(attempt-1, 10), 30*time.Second)
	return pause + rand.N(pause/2)
}
