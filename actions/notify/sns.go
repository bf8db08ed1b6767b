package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/thingloom/thingloom/actions"
)

// SNSParams are the parameters of the sns action of AWS IoT.
type SNSParams struct {
	TargetARN     actions.Template `json:"targetArn" required:"true" doc:"ARN of the topic, arn:aws:sns:<region>:<account>:<topic>; only its last part counts"`
	MessageFormat string           `json:"messageFormat" default:"RAW" doc:"RAW (the payload is the message) or JSON (the payload is an object, its member default is)"`
	RoleARN       actions.RoleARN  `json:"roleArn" required:"true" doc:"kept with the rule; nobody assumes it"`
}

// Topics are where notifications go, by the names of topics. *Server is one
// that sends them on.
type Topics interface {
	// Publish returns once the message has been taken. id is the same for
	// every attempt. It may be called from many goroutines.
	Publish(ctx context.Context, topic, message, id string) error
}

// SNSSpec returns the plugin "sns": the action of AWS IoT with its parameters,
// so that rules can be copied. The message is text: a payload that is not UTF-8
// or empty fails for good.
//
// With messageFormat JSON the payload is an object with a message for each
// kind of receiver; that under "default" counts here, and has to be there.
func SNSSpec(t Topics) actions.Spec {
	return actions.NewSpec("sns", "send a push notification, named as by AWS", func(_ context.Context, p *SNSParams) (actions.Action, error) {
		if p.MessageFormat != "" && p.MessageFormat != "RAW" && p.MessageFormat != "JSON" {
			return nil, &actions.ParamError{Path: "messageFormat", Err: fmt.Errorf("%q is neither RAW nor JSON", p.MessageFormat)}
		}
		if arn, constant := p.TargetARN.Constant(); constant {
			if _, err := topicOf(arn); err != nil {
				return nil, &actions.ParamError{Path: "targetArn", Err: err}
			}
		}
		return actions.Func(func(ctx context.Context, r *actions.Request) error {
			arn, err := p.TargetARN.Expand(ctx, r)
			if err != nil {
				return err
			}
			topic, err1 := topicOf(arn)
			message, err2 := messageOf(r.Payload, p.MessageFormat)
			if err := errors.Join(err1, err2); err != nil {
				return actions.WithResource(actions.Permanent(fmt.Errorf("sns: %w", err)), arn)
			}
			return actions.WithResource(t.Publish(ctx, topic, message, r.ID), arn)
		}), nil
	})
}

// topicOf is the name of the topic in an ARN.
func topicOf(arn string) (string, error) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sns" {
		return "", fmt.Errorf("%.200q is no ARN of a topic, arn:aws:sns:<region>:<account>:<topic>", arn)
	}
	name := parts[5]
	if strings.HasSuffix(name, ".fifo") {
		return "", fmt.Errorf("topic %.200q is FIFO, which the action does not have", name)
	}
	ok := name != "" && len(name) <= 256
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-')
	}
	if !ok {
		return "", fmt.Errorf("%.200q is no name of a topic: 1 to 256 letters, digits, hyphens and underscores", name)
	}
	return name, nil
}

func messageOf(payload []byte, format string) (string, error) {
	message := string(payload)
	if format == "JSON" {
		var members struct{ Default *string }
		if err := json.Unmarshal(payload, &members); err != nil {
			return "", fmt.Errorf("messageFormat JSON: the payload is no object of texts: %w", err)
		}
		if members.Default == nil {
			return "", errors.New("messageFormat JSON: the payload has no member default")
		}
		message = *members.Default
	}
	switch {
	case message == "":
		return "", errors.New("the message is empty")
	case !utf8.ValidString(message):
		return "", errors.New("the message is not UTF-8")
	}
	return message, nil
}

// A Server is a server that speaks ntfy's JSON publishing, for notifications
// that are not those of a rule's own action.
type Server struct {
	options Options
	url     string
}

var _ Topics = (*Server)(nil)

// NewServer returns the server of Options.URL. What is its topic is that of
// the action notify; Publish has topics of its own.
func NewServer(opts *Options) (*Server, error) {
	o := opts.withDefaults()
	url, _, err := split(o.URL)
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	return &Server{o, url}, nil
}

// Publish posts a notification whose title is the topic. Errors are Permanent
// as those of actions are.
func (s *Server) Publish(ctx context.Context, topic, message, id string) error {
	return s.options.post(ctx, s.url, id, notification{Topic: topic, Title: topic, Message: message})
}
