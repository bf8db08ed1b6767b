// Package republish is the action plugin "republish": it publishes what a rule
// selected on another topic.
//
//	{"republish": {"topic": "alerts/${topic(2)}", "qos": 1}}
//
// As with AWS IoT a message is published at QoS 0 unless the rule says 1: who
// is not connected then misses it, whatever its session.
//
// A topic that begins with "$$" after substitution means one "$", which is how
// a rule reaches reserved topics ("$$aws/things/${topic(2)}/shadow/update"), as
// with AWS IoT; a single "$" at the beginning is refused, and so are the topics of
// jobs. The parameters are those of AWS, headers included; what means nothing here
// (roleArn) is accepted, so that rules can be copied.
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

// A QoSPublisher is a Publisher that can also publish at QoS 0. Without it all
// messages are published as Publish does it, which should be at least once.
type QoSPublisher interface {
	Publisher

	// PublishQoS is Publish at a QoS, 0 or 1.
	PublishQoS(ctx context.Context, topic string, payload []byte, qos byte) error
}

// Params are the parameters of the action.
type Params struct {
	Topic   actions.Template `json:"topic" required:"true" doc:"topic to publish on; $$ at the beginning stands for $"`
	QoS     int              `json:"qos" default:"0" doc:"0 or 1"`
	Headers *Headers         `json:"headers" doc:"properties of MQTT 5"`
	RoleARN actions.RoleARN  `json:"roleArn" doc:"kept with the rule, and not required here; nobody assumes it"`
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
		a := &action{publisher: p, params: params}
		a.qos, _ = p.(QoSPublisher)
		if h := params.Headers; h != nil {
			if err := h.check(); err != nil {
				return nil, err
			}
			var ok bool
			if a.properties, ok = p.(PropertyPublisher); !ok {
				return nil, &actions.ParamError{Path: "headers", Err: errors.New("the publisher has no properties")}
			}
		}
		if topic, ok := params.Topic.Constant(); ok {
			if _, err := resolve(topic); err != nil {
				return nil, &actions.ParamError{Path: "topic", Err: err}
			}
		}
		return a, nil
	})
	s.Inline = true
	return s
}

type action struct {
	publisher  Publisher
	qos        QoSPublisher      // nil if the publisher is none
	properties PropertyPublisher // nil without headers
	params     *Params
}

var _ actions.Action = (*action)(nil)

var (
	errEmpty    = errors.New("republish: the topic is empty after substitution")
	errReserved = errors.New("republish: a reserved topic is written with $$")
	errJobs     = errors.New("republish: topics of jobs are refused")
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
	return actions.WithResource(a.publish(ctx, to, r), to)
}

func (a *action) publish(ctx context.Context, to string, r *actions.Request) (err error) {
	switch {
	case a.properties == nil && a.qos != nil:
		err = a.qos.PublishQoS(ctx, to, r.Payload, byte(a.params.QoS))
	case a.properties == nil:
		err = a.publisher.Publish(ctx, to, r.Payload)
	default:
		p, life, bad := a.params.Headers.expand(ctx, r)
		if bad != nil {
			return bad
		}
		err = a.properties.PublishProperties(ctx, to, r.Payload, byte(a.params.QoS), p, life)
	}
	if err != nil {
		return fmt.Errorf("republish %s: %w", to, err)
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
	}
	name, found := strings.CutPrefix(topic[1:], "$aws/things/")
	if _, rest, _ := strings.Cut(name, "/"); found && (rest == "jobs" || strings.HasPrefix(rest, "jobs/")) {
		return "", fmt.Errorf("%w: %s", errJobs, topic[1:])
	}
	return topic[1:], nil
}
