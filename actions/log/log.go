// Package log is the action plugin "log": it writes what a rule selected to a
// slog.Logger, for trying out rules and as an error action.
//
//	{"log": {"level": "warn", "message": "hot: ${topic(2)}"}}
//
// Payloads are logged on purpose here and nowhere else in this module: whoever
// writes the rule asks for it. At most Options.MaxBytes of one are shown.
//
// CloudWatchSpec is the action cloudwatchLogs of AWS IoT, over the same logger.
package log

import (
	"context"
	"errors"
	"log/slog"

	"github.com/thingloom/thingloom/actions"
)

// Options are the optional parts of the plugin. A nil *Options is all defaults.
type Options struct {
	// MaxBytes is how much of a payload is shown. Zero means 4096.
	MaxBytes int
}

func (o *Options) limit() int {
	if o == nil || o.MaxBytes == 0 {
		return 4096
	}
	return o.MaxBytes
}

// Params are the parameters of the action.
type Params struct {
	Level   slog.Level       `json:"level" doc:"debug, info (the default), warn or error"`
	Message actions.Template `json:"message" doc:"text of the line; by default \"rule\""`
}

// Spec returns the plugin. Lines go to logger. It runs inline: a logger does not fail.
func Spec(logger *slog.Logger, opts *Options) actions.Spec {
	limit := opts.limit()
	s := actions.NewSpec("log", "write a line with the payload to the program's log", func(_ context.Context, p *Params) (actions.Action, error) {
		if logger == nil {
			return nil, errors.New("log: no logger")
		}
		return &action{logger: logger, params: p, limit: limit}, nil
	})
	s.Inline = true
	return s
}

type action struct {
	logger *slog.Logger
	params *Params
	limit  int
}

var _ actions.Action = (*action)(nil)

func (a *action) Do(ctx context.Context, r *actions.Request) error {
	if !a.logger.Enabled(ctx, a.params.Level) {
		return nil
	}
	message, err := a.params.Message.Expand(ctx, r)
	if err != nil {
		return err
	}
	if message == "" {
		message = "rule"
	}
	payload, cut := r.Payload, false
	if len(payload) > a.limit {
		payload, cut = payload[:a.limit], true
	}
	attrs := []slog.Attr{
		slog.String("rule", r.Rule), slog.String("topic", r.Topic),
		slog.String("client_id", r.ClientID), slog.String("payload", string(payload)),
	}
	if cut {
		attrs = append(attrs, slog.Int("payload_bytes", len(r.Payload)))
	}
	a.logger.LogAttrs(ctx, a.params.Level, message, attrs...)
	return nil
}
