// Package republish is the action plugin "republish": it publishes what a rule
// selected on another topic.
//
//	{"republish": {"topic": "alerts/${topic(2)}", "qos": 1}}
//
// A topic that begins with "$$" after substitution means one "$", which is how
// a rule reaches reserved topics ("$$aws/things/${topic(2)}/shadow/update"), as
// with AWS IoT; a single "$" at the beginning is refused. Parameters of AWS
// that mean nothing here (roleArn) are accepted, so that rules can be copied.
package republish

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/thingloom/thingloom/actions"
)

// A Publisher is the part of a broker that the plugin needs. *broker.Broker has it.
type Publisher interface {
	Publish(ctx context.Context, topic string, payload []byte) error
}

// Params are the parameters of the action.
type Params struct {
	Topic   actions.Template `json:"topic" required:"true" doc:"topic to publish on; $$ at the beginning stands for $"`
	QoS     int              `json:"qos" doc:"0 or 1; in-process publishing is at least once either way"`
	RoleARN string           `json:"roleArn" doc:"accepted and ignored"`
}

// Spec returns the plugin. It runs inline, before the publisher of the
// original message is acknowledged: the context still carries how deep the
// message was republished, by which the broker cuts loops, and what was
// acknowledged has been passed on.
func Spec(p Publisher) actions.Spec {
	s := actions.NewSpec("republish", "publish the payload on another topic", func(_ context.Context, params *Params) (actions.Action, error) {
		if params.QoS != 0 && params.QoS != 1 {
			return nil, &actions.ParamError{Path: "qos", Err: fmt.Errorf("%d is neither 0 nor 1", params.QoS)}
		}
		return &action{p, params}, nil
	})
	s.Inline = true
	return s
}

type action struct {
	publisher Publisher
	params    *Params
}

var _ actions.Action = (*action)(nil)

var (
	errEmpty    = errors.New("republish: the topic is empty after substitution")
	errReserved = errors.New("republish: a reserved topic is written with $$")
)

func (a *action) Do(ctx context.Context, r *actions.Request) error {
	topic, err := a.params.Topic.Expand(ctx, r)
	if err != nil {
		return err
	}
	to, err := resolve(topic)
	if err != nil {
		return actions.WithResource(actions.Permanent(err), topic)
	}
	if err := a.publisher.Publish(ctx, to, r.Payload); err != nil {
		return actions.WithResource(fmt.Errorf("republish %s: %w", to, err), to)
	}
	return nil
}

// resolve turns "$$aws" into "$aws" and refuses what a rule may not publish.
func resolve(topic string) (string, error) {
	switch rest, reserved := strings.CutPrefix(topic, "$"); {
	case topic == "":
		return "", errEmpty
	case !reserved:
		return topic, nil
	case !strings.HasPrefix(rest, "$"):
		return "", fmt.Errorf("%w: %s", errReserved, topic)
	default:
		return rest, nil
	}
}
