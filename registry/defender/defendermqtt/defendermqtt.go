// Package defendermqtt takes the reports of devices on the reserved topics of
// AWS IoT,
//
//	$aws/things/{thing}/defender/metrics/{json|cbor}
//
// answers on accepted and rejected below them, and publishes the events of
// violations.
//
//	e, err := defendermqtt.New(svc, broker, nil)
//	defer e.Close()
package defendermqtt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/thingloom/thingloom/internal/cbor"
	"github.com/thingloom/thingloom/registry/defender"
)

// A Bus is the part of a broker that the topics need; *broker.Broker has it. A
// handler runs before the publisher is acknowledged.
type Bus interface {
	Publish(ctx context.Context, topic string, payload []byte) error
	Subscribe(filter string, h func(ctx context.Context, topic string, payload []byte) error) (cancel func(), err error)
}

// Options are the optional parts of an Endpoint. A nil *Options is all defaults.
type Options struct {
	// Answer publishes an answer, with the context that the Bus gave to the
	// handler of the report. Nil means Bus.Publish.
	Answer func(ctx context.Context, topic string, payload []byte) error

	// Logger hears of reports that failed inside and of messages that could
	// not be published. Nil is silence.
	Logger *slog.Logger
}

// An Endpoint is the topics of reports on one bus.
type Endpoint struct {
	svc    *defender.Service
	bus    Bus
	opts   Options
	cancel []func()
	failed atomic.Uint64
}

// New subscribes to the topics of reports and observes svc. Close undoes it.
func New(svc *defender.Service, bus Bus, opts *Options) (*Endpoint, error) {
	if svc == nil || bus == nil {
		return nil, errors.New("defendermqtt: New needs a service and a bus")
	}
	e := &Endpoint{svc: svc, bus: bus}
	if opts != nil {
		e.opts = *opts
	}
	if e.opts.Answer == nil {
		e.opts.Answer = bus.Publish
	}
	if e.opts.Logger == nil {
		e.opts.Logger = slog.New(slog.DiscardHandler)
	}
	e.cancel = append(e.cancel, svc.Observe(func(ctx context.Context, v defender.Event) { e.publish(ctx, bus.Publish, v.Topic, v.Payload) }))
	for _, format := range []string{"json", "cbor"} {
		cancel, err := bus.Subscribe("$aws/things/+/defender/metrics/"+format, func(ctx context.Context, topic string, payload []byte) error {
			return e.report(ctx, topic, payload, format == "cbor")
		})
		if err != nil {
			e.Close()
			return nil, fmt.Errorf("defendermqtt: subscribe: %w", err)
		}
		e.cancel = append(e.cancel, cancel)
	}
	return e, nil
}

// Close unsubscribes. It may be called twice.
func (e *Endpoint) Close() error {
	for _, cancel := range e.cancel {
		cancel()
	}
	e.cancel = nil
	return nil
}

// Failed is how many messages the bus did not take.
func (e *Endpoint) Failed() uint64 { return e.failed.Load() }

// details is why a report was rejected.
type details struct {
	Code    string `json:"ErrorCode"`
	Message string `json:"ErrorMessage"`
}

func (e *Endpoint) report(ctx context.Context, topic string, payload []byte, isCBOR bool) error {
	thing := strings.Split(topic, "/")[2]
	r, err := e.svc.Report(ctx, thing, payload, isCBOR)
	answer := struct {
		Thing     string   `json:"thingName"`
		Report    int64    `json:"reportId"`
		Status    string   `json:"status"`
		Details   *details `json:"statusDetails,omitempty"`
		Timestamp int64    `json:"timestamp"` // milliseconds
	}{thing, r.ID, "ACCEPTED", nil, e.svc.Now().UnixMilli()}
	end := "/accepted"
	if err != nil {
		end, answer.Status, answer.Details = "/rejected", "REJECTED", e.details(topic, err)
	}
	text, err := json.Marshal(answer)
	if err == nil && isCBOR {
		text, err = cbor.FromJSON(text)
	}
	if err != nil {
		return fmt.Errorf("defendermqtt: answer on %s: %w", topic, err)
	}
	return e.publish(ctx, e.opts.Answer, topic+end, text)
}

func (e *Endpoint) details(topic string, err error) *details {
	switch {
	case errors.Is(err, defender.ErrHeader):
		return &details{"MissingHeader", err.Error()}
	case errors.Is(err, defender.ErrInvalid):
		return &details{"InvalidPayload", err.Error()}
	case errors.Is(err, defender.ErrThrottled):
		return &details{"Throttled", err.Error()}
	}
	e.opts.Logger.Error("report failed", "topic", topic, "err", err)
	return &details{"InternalError", "internal failure"}
}

func (e *Endpoint) publish(ctx context.Context, publish func(context.Context, string, []byte) error, topic string, payload []byte) error {
	if err := publish(ctx, topic, payload); err != nil {
		e.failed.Add(1)
		e.opts.Logger.Error("defender message not published", "topic", topic, "err", err)
		return fmt.Errorf("defendermqtt: publish %s: %w", topic, err)
	}
	return nil
}
