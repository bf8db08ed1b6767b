package republish

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/thingloom/thingloom/actions"
)

// A PropertyPublisher is a Publisher that can also give a message properties of
// MQTT 5. A rule with headers needs one.
type PropertyPublisher interface {
	Publisher

	// PublishProperties is Publish at a QoS, 0 or 1, and with properties. An
	// expiry of zero is none.
	PublishProperties(ctx context.Context, topic string, payload []byte, qos byte, p actions.Properties, expiry time.Duration) error
}

// Headers are the properties that the message gets. What is empty after
// substitution is left out.
type Headers struct {
	PayloadFormatIndicator actions.Template `json:"payloadFormatIndicator" doc:"UTF8_DATA or UNSPECIFIED_BYTES"`
	ContentType            actions.Template `json:"contentType" doc:"content type"`
	ResponseTopic          actions.Template `json:"responseTopic" doc:"topic for an answer"`
	CorrelationData        actions.Template `json:"correlationData" doc:"what an answer is told by, in base64"`
	MessageExpiry          actions.Template `json:"messageExpiry" doc:"seconds after which the message is not delivered any more"`
	UserProperties         []UserProperty   `json:"userProperties" doc:"1 to 100 pairs, in order"`
}

// A UserProperty is one pair of Headers.
type UserProperty struct {
	Key   actions.Template `json:"key" required:"true" doc:"name"`
	Value actions.Template `json:"value" required:"true" doc:"value"`
}

// The limits of the service.
const (
	maxUserProperties = 100
	maxHeaderRunes    = 1024
)

// check finds what is wrong whatever the message.
func (h *Headers) check() error {
	if n := len(h.UserProperties); h.UserProperties != nil && (n < 1 || n > maxUserProperties) {
		return &actions.ParamError{Path: "headers.userProperties", Err: fmt.Errorf("%d pairs, want 1 to %d", n, maxUserProperties)}
	}
	if text, ok := h.PayloadFormatIndicator.Constant(); ok {
		if _, err := isUTF8(text); err != nil {
			return &actions.ParamError{Path: "headers.payloadFormatIndicator", Err: err}
		}
	}
	if text, ok := h.CorrelationData.Constant(); ok {
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return &actions.ParamError{Path: "headers.correlationData", Err: err}
		}
	}
	if text, ok := h.MessageExpiry.Constant(); ok {
		if _, err := expiry(text); err != nil {
			return &actions.ParamError{Path: "headers.messageExpiry", Err: err}
		}
	}
	return nil
}

func isUTF8(text string) (bool, error) {
	switch text {
	case "", "UNSPECIFIED_BYTES":
		return false, nil
	case "UTF8_DATA":
		return true, nil
	}
	return false, fmt.Errorf("%q is neither UTF8_DATA nor UNSPECIFIED_BYTES", text)
}

func expiry(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no number of seconds, 1 to 4294967295", text)
	}
	return time.Duration(n) * time.Second, nil
}

// expand makes the properties for one request.
func (h *Headers) expand(ctx context.Context, r *actions.Request) (p actions.Properties, life time.Duration, err error) {
	var errs []error
	text := func(name string, t actions.Template) string {
		s, err := t.Expand(ctx, r)
		if n := utf8.RuneCountInString(s); err == nil && n > maxHeaderRunes {
			err = actions.Permanent(fmt.Errorf("%d characters, at most %d", n, maxHeaderRunes))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("republish: headers.%s: %w", name, err))
		}
		return s
	}
	fail := func(name string, err error) {
		if err != nil {
			errs = append(errs, actions.Permanent(fmt.Errorf("republish: headers.%s: %w", name, err)))
		}
	}
	p.UTF8, err = isUTF8(text("payloadFormatIndicator", h.PayloadFormatIndicator))
	fail("payloadFormatIndicator", err)
	p.ContentType = text("contentType", h.ContentType)
	p.ResponseTopic = text("responseTopic", h.ResponseTopic)
	p.CorrelationData, err = base64.StdEncoding.DecodeString(text("correlationData", h.CorrelationData))
	fail("correlationData", err)
	life, err = expiry(text("messageExpiry", h.MessageExpiry))
	fail("messageExpiry", err)
	for _, u := range h.UserProperties {
		p.User = append(p.User, actions.UserProperty{Name: text("userProperties", u.Key), Value: text("userProperties", u.Value)})
	}
	return p, life, errors.Join(errs...)
}
