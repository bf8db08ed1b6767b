package registry

import (
	"errors"
	"log/slog"
	"regexp"
	"time"
)

// Options are the optional parts of a Registry. A nil *Options is all defaults.
type Options struct {
	// Region and Account are parts of every ARN. Empty means "us-east-1" and
	// "123456789012". Stored policies name them, so they do not change.
	Region, Account string

	// CA issues certificates. Nil means that certificates can be registered
	// but not created (ErrNoCA).
	CA *CA

	// CachedPrincipals is for how many principals compiled policies are kept
	// in memory. Zero means 65536.
	CachedPrincipals int

	// Now gives the time written into data and compared with validities. Nil
	// means time.Now.
	Now func() time.Time

	// Logger is told what was swallowed. Nil is silence.
	Logger *slog.Logger
}

var (
	regionPattern  = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
)

func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Region == "" {
		out.Region = "us-east-1"
	}
	if out.Account == "" {
		out.Account = "123456789012"
	}
	if out.CachedPrincipals == 0 {
		out.CachedPrincipals = 1 << 16
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	if !regionPattern.MatchString(out.Region) {
		errs = append(errs, invalid("Options.Region", "%q is not a region", out.Region))
	}
	if !accountPattern.MatchString(out.Account) {
		errs = append(errs, invalid("Options.Account", "%q is not twelve digits", out.Account))
	}
	if out.CachedPrincipals < 0 {
		errs = append(errs, invalid("Options.CachedPrincipals", "is negative"))
	}
	return out, errors.Join(errs...)
}
