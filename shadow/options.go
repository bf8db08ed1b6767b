package shadow

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Limits bound what one request may bring and one document may hold. The zero
// value is the limits of AWS.
type Limits struct {
	// MaxBytes is the largest state of a document: desired and reported together
	// as compact JSON, metadata not counted. Zero means 8192; negative no limit.
	MaxBytes int

	// MaxDepth is how many levels may lie below desired and reported. The name
	// of a member is a level, and so is an array inside an array. Zero means 8;
	// negative means the 512 that no text may exceed.
	MaxDepth int

	// MaxRequestBytes is the largest request looked at, in bytes as received.
	// Zero means 131072; negative no limit.
	MaxRequestBytes int
}

func (l Limits) filled() Limits {
	fill := func(v *int, def, none int) {
		switch {
		case *v == 0:
			*v = def
		case *v < 0:
			*v = none
		}
	}
	const most = int(^uint(0) >> 1)
	fill(&l.MaxBytes, 8192, most)
	fill(&l.MaxDepth, 8, maxNesting)
	fill(&l.MaxRequestBytes, 128<<10, most)
	return l
}

// Options are the optional parts of a Service. A nil *Options is all defaults.
type Options struct {
	Limits

	// MaxInFlight is how many requests for one thing, over all its shadows, may
	// be under way at once; more get ErrTooManyRequests. Zero means 10, the
	// limit of AWS; negative means no limit.
	MaxInFlight int

	// MaxRate is how many requests a second one shadow takes, with bursts of as
	// many; more get ErrTooManyRequests. Zero means no limit; AWS has 20.
	MaxRate int

	// VersionMemory is how long the version of a deleted shadow is remembered,
	// so that a shadow made again goes on counting. Zero means 48 hours.
	VersionMemory time.Duration

	// HistoryAge is how long a document is shown by History and its kin after
	// another replaced it; how many are kept is the store's. Zero means 30
	// days; negative means as long as the store keeps it.
	HistoryAge time.Duration

	// Now gives the time written into documents. Nil means time.Now.
	Now func() time.Time

	// Principal names who makes a change, for Document.By, where no endpoint
	// has told with WithPrincipal: as a rule it reads what a broker put into the
	// context. Nil means nobody.
	Principal func(context.Context) string

	// Logger receives what an observer did wrong. Nil is silence.
	Logger *slog.Logger
}

type principalKey struct{}

// WithPrincipal returns a context whose updates and deletions are made by
// principal, which becomes Document.By. It is for endpoints that know who asks;
// an empty principal changes nothing.
func WithPrincipal(ctx context.Context, principal string) context.Context {
	if principal == "" {
		return ctx
	}
	return context.WithValue(ctx, principalKey{}, principal)
}

// principal is who makes a change.
func (o *Options) principal(ctx context.Context) string {
	if p, ok := ctx.Value(principalKey{}).(string); ok {
		return p
	}
	return o.Principal(ctx)
}

func (o *Options) filled() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	c.Limits = c.Limits.filled()
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 10
	}
	if c.VersionMemory == 0 {
		c.VersionMemory = 48 * time.Hour
	}
	if c.HistoryAge == 0 {
		c.HistoryAge = 30 * 24 * time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Principal == nil {
		c.Principal = func(context.Context) string { return "" }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	if c.VersionMemory < 0 {
		errs = append(errs, errors.New("shadow: Options.VersionMemory is negative"))
	}
	if c.MaxRate < 0 {
		errs = append(errs, errors.New("shadow: Options.MaxRate is negative"))
	}
	return c, errors.Join(errs...)
}
