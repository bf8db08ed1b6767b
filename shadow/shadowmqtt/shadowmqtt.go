// Package shadowmqtt serves shadows on the reserved topics of AWS IoT:
//
//	$aws/things/{thing}/shadow/{get|update|delete}
//	$aws/things/{thing}/shadow/name/{name}/{get|update|delete}
//
// and publishes what becomes of requests below them: accepted, rejected, and
// for updates delta and documents. It observes the service, so that a change
// made over HTTP or in Go reaches devices as well.
//
//	err := shadowmqtt.Serve(ctx, svc, broker, nil) // blocks
package shadowmqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/thingloom/thingloom/shadow"
)

// A Bus is the part of a broker that the shadow topics need; *broker.Broker
// has it. A handler runs before the publisher is acknowledged, and its
// messages leave on topics under $aws. A Bus may also have
//
//	Heard(topic string) bool
//
// as *broker.Broker has. What a change says on a topic of which it reports
// false is not made, and not published.
type Bus interface {
	Publish(ctx context.Context, topic string, payload []byte) error
	Subscribe(filter string, h func(ctx context.Context, topic string, payload []byte) error) (cancel func(), err error)
}

// Options are the optional parts of an Endpoint. A nil *Options is all defaults.
type Options struct {
	// Logger hears of answers that could not be published. Nil is silence.
	Logger *slog.Logger
}

// An Endpoint is the shadow topics on one bus.
type Endpoint struct {
	svc    *shadow.Service
	bus    Bus
	heard  func(topic string) bool
	log    *slog.Logger
	cancel []func()

	requests, rejected, published, failed atomic.Uint64
}

// Stats are the counters of an Endpoint. They only grow.
type Stats struct {
	Requests  uint64 // received on the request topics
	Rejected  uint64 // answered on a rejected topic
	Published uint64 // messages handed to the bus
	Failed    uint64 // messages that the bus did not take
}

// New subscribes to the request topics and observes svc: when it returns,
// requests are answered. Close undoes it.
func New(svc *shadow.Service, bus Bus, opts *Options) (*Endpoint, error) {
	if svc == nil || bus == nil {
		return nil, errors.New("shadowmqtt: New needs a service and a bus")
	}
	e := &Endpoint{svc: svc, bus: bus, log: slog.New(slog.DiscardHandler), heard: func(string) bool { return true }}
	if b, ok := bus.(interface{ Heard(topic string) bool }); ok {
		e.heard = b.Heard
	}
	if opts != nil && opts.Logger != nil {
		e.log = opts.Logger
	}
	// Observed first: no accepted request goes without its answer.
	e.cancel = append(e.cancel, svc.Observe(e.changed))
	for _, kind := range []string{"", "name/+/"} {
		for op, handle := range map[string]func(context.Context, shadow.Ref, string, []byte) error{"get": e.get, "update": e.update, "delete": e.delete} {
			cancel, err := bus.Subscribe("$aws/things/+/shadow/"+kind+op, func(ctx context.Context, topic string, payload []byte) error {
				e.requests.Add(1)
				base := strings.TrimSuffix(topic, "/"+op)
				return handle(ctx, parseBase(base), topic, payload)
			})
			if err != nil {
				e.Close()
				return nil, fmt.Errorf("shadowmqtt: subscribe: %w", err)
			}
			e.cancel = append(e.cancel, cancel)
		}
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

// Stats returns the counters.
func (e *Endpoint) Stats() Stats {
	return Stats{e.requests.Load(), e.rejected.Load(), e.published.Load(), e.failed.Load()}
}

// Serve answers on bus until ctx is done. An application that has to know when
// it is answered uses New and Close.
func Serve(ctx context.Context, svc *shadow.Service, bus Bus, opts *Options) error {
	e, err := New(svc, bus, opts)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return e.Close()
}

// base is the topic of a shadow without the operation.
func base(ref shadow.Ref) string {
	if ref.Name == "" {
		return "$aws/things/" + ref.Thing + "/shadow"
	}
	return "$aws/things/" + ref.Thing + "/shadow/name/" + ref.Name
}

// parseBase is the inverse. Names that are not legal are the service's to refuse.
func parseBase(base string) shadow.Ref {
	thing, rest, _ := strings.Cut(strings.TrimPrefix(base, "$aws/things/"), "/shadow")
	return shadow.Ref{Thing: thing, Name: strings.TrimPrefix(rest, "/name/")}
}

func (e *Endpoint) get(ctx context.Context, ref shadow.Ref, topic string, payload []byte) error {
	token, err := shadow.ParseToken(payload, e.svc.Limits())
	if err != nil {
		return e.reject(ctx, topic, err, token)
	}
	doc, err := e.svc.Get(ctx, ref)
	if err != nil {
		return e.reject(ctx, topic, err, token)
	}
	answer, err := doc.Answer(e.svc.Now(), token)
	if err != nil {
		return e.reject(ctx, topic, err, token)
	}
	return e.publish(ctx, topic+"/accepted", answer)
}

// update and delete publish nothing when they succeed: changed does, for every
// change whoever made it.
func (e *Endpoint) update(ctx context.Context, ref shadow.Ref, topic string, payload []byte) error {
	if _, err := e.svc.Update(ctx, ref, payload); err != nil {
		token := ""
		if re := (*shadow.RequestError)(nil); errors.As(err, &re) {
			token = re.ClientToken
		}
		if token == "" && !errors.Is(err, shadow.ErrInvalidRequest) { // which knows all there is to know
			token, _ = shadow.ParseToken(payload, e.svc.Limits())
		}
		return e.reject(ctx, topic, err, token)
	}
	return nil
}

func (e *Endpoint) delete(ctx context.Context, ref shadow.Ref, topic string, payload []byte) error {
	token, err := shadow.ParseDelete(payload, e.svc.Limits())
	if err != nil {
		return e.reject(ctx, topic, err, "")
	}
	if _, err := e.svc.DeleteToken(ctx, ref, token); err != nil {
		return e.reject(ctx, topic, err, token)
	}
	return nil
}

func (e *Endpoint) reject(ctx context.Context, topic string, err error, token string) error {
	e.rejected.Add(1)
	if code, _ := shadow.Code(err); code >= 500 {
		e.log.Error("shadow request failed", "topic", topic, "err", err)
	}
	return e.publish(ctx, topic+"/rejected", shadow.RejectedToken(err, e.svc.Now(), token))
}

// changed publishes one change to those who hear. What cannot be published is
// counted and logged: the change itself is saved, and a device that missed its
// delta finds it by a get.
func (e *Endpoint) changed(ctx context.Context, c shadow.Change) {
	base := base(c.Ref)
	tell := func(end string, payload func() []byte) {
		if topic := base + end; e.heard(topic) {
			e.publish(ctx, topic, payload())
		}
	}
	if c.After.Deleted {
		tell("/delete/accepted", c.Accepted)
		return
	}
	tell("/update/accepted", c.Accepted)
	if c.Delta != nil {
		tell("/update/delta", c.DeltaMessage)
	}
	tell("/update/documents", c.Documents)
}

func (e *Endpoint) publish(ctx context.Context, topic string, payload []byte) error {
	if err := e.bus.Publish(ctx, topic, payload); err != nil {
		e.failed.Add(1)
		e.log.Error("shadow answer not published", "topic", topic, "err", err)
		return fmt.Errorf("shadowmqtt: publish %s: %w", topic, err)
	}
	e.published.Add(1)
	return nil
}
