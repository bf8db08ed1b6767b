package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/thingloom/thingloom/broker/internal/engine"
	"github.com/thingloom/thingloom/internal/topic"
)

type handler struct {
	fn func(context.Context, Message) error
}

// Subscribe calls h for each message on a topic that filter matches, clients'
// and in-process ones. See [Broker.SubscribeMessages]. [Publisher] tells from
// ctx who published it.
func (b *Broker) Subscribe(filter string, h func(ctx context.Context, topic string, payload []byte) error) (cancel func(), err error) {
	return b.SubscribeMessages(filter, func(ctx context.Context, m Message) error {
		return h(context.WithValue(ctx, publisherKey{}, m.Principal), m.Topic, m.Payload)
	})
}

type publisherKey struct{}

// Publisher is the principal of the client whose message a handler of
// [Broker.Subscribe] was called for; empty for in-process messages.
func Publisher(ctx context.Context) string {
	principal, _ := ctx.Value(publisherKey{}).(string)
	return principal
}

// SubscribeMessages calls h for each message on a topic that filter matches.
//
// Handlers run one after another, in the order in which they were subscribed, on the
// publisher's goroutine, before any client gets the message and before its publisher
// gets its acknowledgement: a slow handler slows that publisher and nobody
// else. For messages of one publisher h is called in their order; those of different
// publishers come at the same time, so h must be safe for concurrent use.
//
// An error of h is counted, and refuses a message of QoS 1: no client gets it, an MQTT
// 5 publisher gets PUBACK 0x80, a 3.1.1 publisher no PUBACK and the end of its
// connection, an in-process publisher the error. Publishers try again, so h, and the
// handlers before it, may see the message again. A message of QoS 0 goes on. A
// panic of h is an error.
//
// The payload may be kept and must not be modified. ctx carries the depth
// ([Depth]), so publish with it. The filter is as for clients, but
// not $share; wildcards do not match topics that begin with '$'. Errors are ErrTopic. After cancel h
// is not called for messages that are published later.
func (b *Broker) SubscribeMessages(filter string, h func(context.Context, Message) error) (cancel func(), err error) {
	if err := topic.CheckFilter(filter); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTopic, err)
	}
	if strings.HasPrefix(filter, "$share/") {
		return nil, fmt.Errorf("%w: %q: handlers have no shared subscriptions", ErrTopic, filter)
	}
	one := &subscriber{handler: &handler{h}}
	b.addSubscriber(filter, one)
	return func() { b.removeSubscriber(one) }, nil
}

// callHandlers runs the handlers of one message.
func (b *Broker) callHandlers(ctx context.Context, hs []*handler, m Message) error {
	var first error
	for _, h := range hs {
		if err := b.callHandler(ctx, h, m); err != nil {
			b.count.handlerErrors.Add(1)
			b.opts.Logger.Warn("handler refused message", "topic", m.Topic, "client_id", m.ClientID, "err", err)
			first = errors.Join(first, err)
		}
	}
	return first
}

// callHandler turns a panic of h into an error: it concerns this message and
// no other.
func (b *Broker) callHandler(ctx context.Context, h *handler, m Message) (err error) {
	defer b.caughtAs(&err, "handler")
	return h.fn(ctx, m)
}

// Publish publishes payload at QoS 1, as nobody in particular. See
// [Broker.PublishMessage].
func (b *Broker) Publish(ctx context.Context, topic string, payload []byte) error {
	return b.PublishMessage(ctx, Message{Topic: topic, Payload: payload, QoS: 1})
}

// PublishMessage publishes m as the program itself: no Authorizer is asked. When it
// returns nil, the handlers have taken m, it is retained if it is to be, and, at
// QoS 1, it is durable for every persistent session that subscribed to it.
//
// A zero m.Time becomes now. The payload belongs to the broker from now on.
// Errors are ErrTopic, ErrTooDeep, ErrTooLarge, ErrQueueFull, those of
// handlers, and those of the Store.
func (b *Broker) PublishMessage(ctx context.Context, m Message) error {
	return b.publishAsProgram(ctx, m, nil, false)
}

// PublishTo publishes m as the program itself to one client alone, if it has
// subscribed to the topic: answers that are nobody else's business. Handlers
// and other subscribers do not see m, and it is not retained. Beside the errors of
// [Broker.PublishMessage] there is ErrNotFound, for a client without such a subscription.
func (b *Broker) PublishTo(ctx context.Context, clientID string, m Message) error {
	m.Retain = false
	return b.publishAsProgram(ctx, m, &clientID, false)
}

// SendTo is PublishTo for a client that is connected, whether it has
// subscribed to the topic or not: what AWS IoT answers on some of its reserved
// topics comes unasked for. The client must be allowed to receive on the topic
// (ErrNotAuthorized). ErrNotFound is for a client that is not connected.
func (b *Broker) SendTo(ctx context.Context, clientID string, m Message) error {
	m.Retain = false
	return b.publishAsProgram(ctx, m, &clientID, true)
}

// publishAsProgram publishes m, to one client if only is not nil, to that
// without a subscription if it is uninvited.
func (b *Broker) publishAsProgram(ctx context.Context, m Message, only *string, uninvited bool) error {
	if err := b.checkName(m.Topic); err != nil {
		return err
	}
	depth := Depth(ctx)
	switch why := checkProperties(&m.Properties); {
	case why != "":
		return fmt.Errorf("broker: publish to %q: %s", m.Topic, why)
	case m.QoS > 2:
		return fmt.Errorf("broker: publish to %q: QoS %d", m.Topic, m.QoS)
	case depth > MaxDepth:
		return fmt.Errorf("%w: %q at depth %d", ErrTooDeep, m.Topic, depth)
	}
	m.QoS = min(m.QoS, b.opts.MaxQoS)
	if m.Time.IsZero() {
		m.Time = b.now()
	}
	msg := fromMessage(&m)
	if msg.Size() > b.opts.MaxPacketBytes {
		return fmt.Errorf("%w: %d bytes to %q", ErrTooLarge, len(m.Payload), m.Topic)
	}
	var r route
	b.findRoute(m.Topic, m.ClientID, &r)
	if only != nil {
		if r = r.only(*only); len(r.targets) == 0 && uninvited {
			if err := b.invite(*only, m, &r); err != nil {
				return err
			}
		} else if len(r.targets) == 0 {
			return fmt.Errorf("%w: %q has not subscribed to %q", ErrNotFound, *only, m.Topic)
		}
	}
	return b.publishWhole(WithDepth(ctx, depth+1), m, msg, &r)
}

// invite makes a client that is connected a target as if it had subscribed.
func (b *Broker) invite(clientID string, m Message, r *route) error {
	s := b.session(clientID)
	if s == nil || !s.online.Load() {
		return fmt.Errorf("%w: %q is not connected", ErrNotFound, clientID)
	}
	if !b.mayReceive(s, m.Topic) {
		return fmt.Errorf("%w: %q may not receive %q", ErrNotAuthorized, clientID, m.Topic)
	}
	r.targets = []target{{s: s, qos: m.QoS, durable: s.durable}}
	if s.durable && m.QoS > 0 {
		r.durables, r.ids = 1, []string{clientID}
	}
	return nil
}

// only is r for one of its clients alone.
func (r *route) only(clientID string) route {
	one := route{topic: r.topic, subs: r.subs, auth: r.auth}
	for _, targets := range append([][]target{r.targets}, r.shared...) {
		for _, t := range targets {
			if t.s.id != clientID || len(one.targets) > 0 {
				continue
			}
			one.targets = []target{t}
			if t.durable && t.qos > 0 {
				one.durables, one.ids = 1, []string{clientID}
			}
		}
	}
	return one
}

// publishWhole publishes a message that owns its memory.
func (b *Broker) publishWhole(ctx context.Context, m Message, msg *engine.Message, r *route) error {
	var (
		dirty []*conn
		c     commit
	)
	p := publication{b: b, r: r, msg: msg, whole: m, complete: true, qos: m.QoS, retain: m.Retain,
		now: b.now().UnixNano(), dirty: &dirty, commit: &c}
	err := p.run(ctx)
	flush(dirty)
	if err == nil {
		err = b.commit(&c)
		flush(c.dirty)
	}
	if err != nil {
		b.count.refused.Add(1)
		return fmt.Errorf("broker: publish to %q: %w", m.Topic, err)
	}
	return nil
}

// checkName checks a topic name against MQTT and the options.
func (b *Broker) checkName(name string) error {
	if err := topic.CheckName(name); err != nil {
		return fmt.Errorf("%w: %w", ErrTopic, err)
	}
	return b.checkLimits(name)
}

// checkLimits checks a name or filter against the options.
func (b *Broker) checkLimits(s string) error {
	s = b.counted(s)
	if len(s) > b.opts.MaxTopicBytes {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTopic, len(s), b.opts.MaxTopicBytes)
	}
	if n := topic.Levels(s); n > b.opts.MaxTopicLevels {
		return fmt.Errorf("%w: %d levels, at most %d are allowed", ErrTopic, n, b.opts.MaxTopicLevels)
	}
	return nil
}

// seconds is a number of seconds as a duration.
func seconds(n uint32) time.Duration { return time.Duration(n) * time.Second }
