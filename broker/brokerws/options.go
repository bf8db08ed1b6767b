package brokerws

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"time"
)

// Options are the optional parts of a Handler. A nil *Options is all defaults.
type Options struct {
	// Origins are patterns of the hosts whose pages may connect besides those
	// of the same host, as path.Match has them: "*.example.com",
	// "https://app.example.com". "*" admits every page.
	Origins []string

	// CloseTimeout is how long a peer may take to answer a close frame before
	// its connection is cut. Zero means 1 s.
	CloseTimeout time.Duration

	// Lifetime is how long a connection may last; then a broker ends it with 0xA0 and the reason
	// WEBSOCKET_TTL_EXPIRATION. Zero is no limit. AWS IoT has 24 h.
	Lifetime time.Duration

	// Logger gets how connections ended that were not in order, at debug
	// level. Nil is silence.
	Logger *slog.Logger
}

func (o *Options) filled() (Options, error) {
	var f Options
	if o != nil {
		f = *o
	}
	var errs []error
	for _, p := range f.Origins {
		if _, err := path.Match(p, ""); err != nil {
			errs = append(errs, fmt.Errorf("brokerws: options: origin %q: %w", p, err))
		}
	}
	if f.CloseTimeout < 0 {
		errs = append(errs, errors.New("brokerws: options: CloseTimeout is negative"))
	}
	if f.Lifetime < 0 {
		errs = append(errs, errors.New("brokerws: options: Lifetime is negative"))
	}
	if f.CloseTimeout == 0 {
		f.CloseTimeout = time.Second
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	return f, errors.Join(errs...)
}
