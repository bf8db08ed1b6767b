package stream

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/thingloom/thingloom/actions"
)

// ErrNotFound says that the program has no stream of that name.
var ErrNotFound = errors.New("stream: no such stream")

// KinesisParams are the parameters of the kinesis action of AWS IoT.
type KinesisParams struct {
	StreamName   actions.Template  `json:"streamName" doc:"name of the stream; required"`
	Stream       actions.Template  `json:"stream" doc:"the same in older texts"`
	PartitionKey *actions.Template `json:"partitionKey" doc:"records of one key stay in order, 1 to 256 bytes; by default each record has a key of its own"`
	RoleARN      actions.RoleARN   `json:"roleArn" required:"true" doc:"kept with the rule; nobody assumes it"`
}

// KinesisSpec returns the plugin "kinesis": the action of AWS IoT with its
// parameters, over streams by their names, so that rules can be copied. The
// payload is the record's value, whatever it is; a stream that takes JSON alone
// refuses others for good, as Options.Refused tells. It runs inline, as Spec does.
//
// A name that the program does not have fails the rule's put, or where it has
// substitutions the delivery, for good.
func KinesisSpec(streams map[string]Putter, opts *Options) actions.Spec {
	refused := opts.refused()
	s := actions.NewSpec("kinesis", "put the payload into a durable stream", func(_ context.Context, p *KinesisParams) (actions.Action, error) {
		name, path := p.StreamName, "streamName"
		switch old := p.Stream.String(); {
		case (name.String() == "") == (old == ""):
			return nil, &actions.ParamError{Path: path, Err: errors.New("required, as this or as stream")}
		case old != "":
			name, path = p.Stream, "stream"
		}
		if err := checkName(path, name, streams); err != nil {
			return nil, err
		}
		return actions.Func(func(ctx context.Context, r *actions.Request) error {
			to, err := name.Expand(ctx, r)
			if err == nil {
				err = putOne(ctx, streams, to, p.PartitionKey, r, refused)
			}
			return actions.WithResource(err, to)
		}), nil
	})
	s.Inline = true
	return s
}

func putOne(ctx context.Context, streams map[string]Putter, to string, partitionKey *actions.Template, r *actions.Request, refused func(error) bool) error {
	stream, err := find(streams, to)
	if err != nil {
		return actions.Permanent(err)
	}
	key := cmp.Or(r.ID, rand.Text())
	if partitionKey != nil {
		if key, err = partitionKey.Expand(ctx, r); err != nil {
			return err
		}
		if key == "" {
			return actions.Permanent(errors.New("kinesis: partitionKey is empty after substitution"))
		}
	}
	if len(key) > 256 && partitionKey == nil {
		key = rand.Text()
	}
	return put(stream.Put(ctx, key, r.Time, r.Payload), "kinesis", refused)
}

// put says what an error of a stream is.
func put(err error, action string, refused func(error) bool) error {
	if err == nil {
		return nil
	}
	if err = fmt.Errorf("%s: %w", action, err); refused(err) {
		return actions.Permanent(err)
	}
	return err
}

// refused is Options.Refused, or that of no options.
func (o *Options) refused() func(error) bool {
	if o == nil || o.Refused == nil {
		return func(error) bool { return false }
	}
	return o.Refused
}

// checkName refuses the name of a stream that is not there, as far as it is
// known when a rule is put.
func checkName[S any](path string, name actions.Template, streams map[string]S) error {
	text, constant := name.Constant()
	if !constant {
		return nil
	}
	if _, err := find(streams, text); err != nil {
		return &actions.ParamError{Path: path, Err: err}
	}
	return nil
}

func find[S any](streams map[string]S, name string) (S, error) {
	s, ok := streams[name]
	if !ok {
		return s, fmt.Errorf("%w: %q; there are %q", ErrNotFound, name, slices.Sorted(maps.Keys(streams)))
	}
	return s, nil
}
