// Package stream is the action plugin "stream": it puts what a rule selected
// into a telemetry stream.
//
//	{"stream": {"key": "${topic(2)}", "time": "${ts}"}}
//
// The actions of AWS IoT that streams answer are here as well: kinesis,
// firehose and cloudwatchMetric.
package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/thingloom/thingloom/actions"
)

// A Putter is the part of a stream that the plugin needs. *telemetry.Stream has it.
type Putter interface {
	// Put returns once the record is durable.
	Put(ctx context.Context, key string, t time.Time, value []byte) error
}

// Options are the optional parts of the plugin. A nil *Options is all defaults.
type Options struct {
	// Name is what rules call the action by, so that a program can have
	// several streams. Empty means "stream". Only Spec looks at it.
	Name string
	// Refused tells which errors of Put no further attempt can mend. Nil means none.
	Refused func(error) bool
}

// Params are the parameters of the action.
type Params struct {
	Key  actions.Template  `json:"key" required:"true" doc:"partition key, as a rule the thing name"`
	Time *actions.Template `json:"time" doc:"event time in milliseconds since 1970; by default, and where it is empty, when the message was accepted"`
}

// Spec returns the plugin. It runs inline: before the publisher of the
// message is acknowledged the record is in the stream, or the error action has
// what happened.
func Spec(p Putter, opts *Options) actions.Spec {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Name == "" {
		o.Name = "stream"
	}
	o.Refused = o.refused()
	s := actions.NewSpec(o.Name, "put the payload into a telemetry stream", func(_ context.Context, params *Params) (actions.Action, error) {
		return &action{p, params, o.Refused, o.Name}, nil
	})
	s.Inline = true
	return s
}

type action struct {
	putter  Putter
	params  *Params
	refused func(error) bool
	name    string
}

var _ actions.Action = (*action)(nil)

var errNoKey = errors.New("stream: the key is empty after substitution")

func (a *action) Do(ctx context.Context, r *actions.Request) error {
	return actions.WithResource(a.do(ctx, r), a.name)
}

func (a *action) do(ctx context.Context, r *actions.Request) error {
	key, err := a.params.Key.Expand(ctx, r)
	if err != nil {
		return err
	}
	if key == "" {
		return actions.Permanent(errNoKey)
	}
	at := r.Time
	if a.params.Time != nil {
		text, err := a.params.Time.Expand(ctx, r)
		if err != nil {
			return err
		}
		if text != "" {
			ms, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return actions.Permanent(fmt.Errorf("stream: time %q is not whole milliseconds", text))
			}
			at = time.UnixMilli(ms)
		}
	}
	if err := a.putter.Put(ctx, key, at, r.Payload); err != nil {
		err = fmt.Errorf("stream: put %q: %w", key, err)
		if a.refused(err) {
			return actions.Permanent(err)
		}
		return err
	}
	return nil
}
