package ruleshttp

import (
	"log/slog"
	"net/http"
)

// Options are the optional parts of a [Handler]. A nil *Options is all
// defaults.
type Options struct {
	// Region and Account are written into ARNs,
	// arn:aws:iot:<region>:<account>:rule/<name>. Empty means us-east-1 and
	// 000000000000.
	Region, Account string

	// Authorize decides on each request, before its body is read. action is
	// the operation as policies name it, iot:CreateTopicRule; resource is the
	// ARN of the rule, or "*" for iot:ListTopicRules. An error refuses the
	// request with UnauthorizedException; its text goes to the log only. Nil
	// allows everything.
	Authorize func(r *http.Request, action, resource string) error

	// RequireRoles refuses rules with an action of AWS IoT that lacks the
	// roleArn which is required there, whatever the action's own parameters
	// say, so that a rule which is accepted here is accepted there.
	RequireRoles bool

	// MaxBodyBytes is the largest body read. Zero means 262,144: the engine's
	// own limit on rules is meant to be met first.
	MaxBodyBytes int64

	// Logger hears of refused requests (level info) and of internal errors.
	// Nil is silence.
	Logger *slog.Logger
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Region == "" {
		d.Region = "us-east-1"
	}
	if d.Account == "" {
		d.Account = "000000000000"
	}
	if d.Authorize == nil {
		d.Authorize = func(*http.Request, string, string) error { return nil }
	}
	if d.MaxBodyBytes <= 0 {
		d.MaxBodyBytes = 256 << 10
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d
}
