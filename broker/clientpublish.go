package broker

import (
	"errors"
	"fmt"
	"time"

	"github.com/thingloom/thingloom/broker/internal/engine"
	"github.com/thingloom/thingloom/broker/internal/wire"
	"github.com/thingloom/thingloom/internal/topic"
)

// publish takes a PUBLISH of the client. What it refuses is said in the PUBACK, or
// by the end of the connection where there is none to say it in.
func (c *conn) publish(p *wire.Publish) error {
	r := c.routes[string(p.Topic)]
	if r == nil || !c.b.fresh(r) {
		r = c.makeRoute(string(p.Topic))
	}
	if len(p.Payload) > c.b.opts.MaxPayloadBytes {
		return &ConnError{Reason: ClientError, Code: byte(wire.PacketTooLarge), Err: fmt.Errorf("%w: payload of %d bytes", ErrTooLarge, len(p.Payload))}
	}
	if p.QoS == 2 && c.duplicate(p.PacketID) {
		return nil
	}
	err := r.publish
	if err == nil && !c.published.take() {
		c.b.dropped(c.info.ClientID, r.topic, DropThrottled)
		if p.QoS > 0 && c.engine.Version != 5 {
			c.engine.Acked(1) // never: it may send the message again, or another
			return nil
		}
		err = errThrottled
	}
	if err == nil && p.Retain {
		err = c.mayRetain(r)
	}
	stored := len(c.batch.entries)
	if err == nil {
		err = c.route(p, r)
	}
	if p.QoS == 0 {
		return c.refusedQoS0(err)
	}
	a := ack{packet: wire.PUBACK, id: p.PacketID, durable: true}
	if p.QoS == 2 {
		a.packet = wire.PUBREC
		if err == nil {
			c.took(p.PacketID, len(c.batch.entries) > stored)
		}
	}
	if err != nil {
		a.code = refusal(err)
		if c.engine.Version != 5 {
			c.b.count.refused.Add(1)
			reason := ServerError
			if errors.Is(err, ErrNotAuthorized) {
				reason = AuthError
			} else if errors.Is(err, ErrTopic) {
				reason = ClientError
			} else if errors.Is(err, ErrMemory) {
				reason = Throttled
			}
			return &ConnError{Reason: reason, Code: a.code, Err: err}
		}
		if errors.Is(err, ErrProtocol) {
			return &ConnError{Reason: ClientError, Code: a.code, Err: err}
		}
	}
	c.acks = append(c.acks, a)
	return nil
}

// refusedQoS0 ends the connection for a message without an acknowledgement if it is
// the client that is to blame. Handlers and stores that fail are counted and no more.
func (c *conn) refusedQoS0(err error) error {
	switch {
	case err == nil, errors.Is(err, errThrottled):
		return nil
	case errors.Is(err, ErrMemory):
		c.b.count.refused.Add(1)
		return nil
	case errors.Is(err, ErrNotAuthorized):
		return &ConnError{Reason: AuthError, Code: notAuthorized, Err: err}
	case errors.Is(err, ErrTopic):
		return &ConnError{Reason: ClientError, Code: refusal(err), Err: err}
	}
	c.b.count.refused.Add(1)
	c.b.opts.Logger.Warn("publish at QoS 0", "client_id", c.info.ClientID, "err", err)
	return nil
}

// makeRoute checks a topic and finds who gets its messages. It is remembered,
// refusals too, for as long as nothing changes.
func (c *conn) makeRoute(name string) *route {
	c.aside()
	r := &route{topic: name}
	auth := c.b.authGen.Load()
	if r.publish = c.mayPublish(name); r.publish == nil {
		c.b.findRoute(name, c.info.ClientID, r)
	} else {
		r.subs = c.b.subsGen.Load()
	}
	r.auth = auth
	if err := r.publish; err != nil && !errors.Is(err, ErrNotAuthorized) && !errors.Is(err, ErrTopic) {
		return r // the Authorizer could not tell: ask again
	}
	c.remember(r)
	return r
}

// remember keeps r until there are too many, in topics or in receivers.
func (c *conn) remember(r *route) {
	if old := c.routes[r.topic]; old != nil {
		c.routed -= old.size()
	}
	if c.routed += r.size(); len(c.routes) >= maxRoutes || c.routed > maxRouted || c.b.tight() {
		clear(c.routes)
		c.routed = r.size()
	}
	if c.routes == nil {
		c.routes = map[string]*route{}
	}
	c.routes[r.topic] = r
	c.remembers.set(&c.b.memory, len(c.routes)*routeBytes+c.routed*receiverBytes)
}

func (c *conn) mayPublish(name string) error {
	if err := topic.CheckName(name); err != nil {
		return fmt.Errorf("%w: %w: %w", ErrProtocol, ErrTopic, err) // [MQTT-3.3.2-2]
	}
	if err := c.b.checkLimits(name); err != nil {
		return err
	}
	if !c.b.mayPublishReserved(name) {
		return fmt.Errorf("%w: %s is the backend's own", ErrNotAuthorized, name)
	}
	return c.may(ActionPublish, "topic/"+name)
}

func (c *conn) mayRetain(r *route) error {
	if !r.retainKnown {
		c.aside()
		if r.retain = c.b.mayRetainReserved(r.topic); r.retain == nil {
			r.retain = c.may(ActionRetainPublish, "topic/"+r.topic)
		}
		r.retainKnown = r.retain == nil || errors.Is(r.retain, ErrNotAuthorized)
	}
	return r.retain
}

// mayReceive asks whether this client may get messages of a topic. Publishers
// call it when they look for receivers.
func (c *conn) mayReceive(name string) bool {
	auth := c.b.authGen.Load()
	c.receive.Lock()
	if c.receive.auth != auth || len(c.receive.known) >= maxRoutes {
		clear(c.receive.known)
		c.receive.auth = auth
	}
	may, known := c.receive.known[name]
	c.receive.Unlock()
	if known {
		return may
	}
	err := c.may(ActionReceive, "topic/"+name)
	if err == nil || errors.Is(err, ErrNotAuthorized) {
		c.receive.Lock()
		if c.receive.known == nil {
			c.receive.known = map[string]bool{}
		}
		if c.receive.auth == auth {
			c.receive.known[name] = err == nil
		}
		c.receive.Unlock()
	}
	return err == nil
}

// route sends p on its way. Its bytes are copied only if somebody keeps them.
func (c *conn) route(p *wire.Publish, r *route) error {
	pub := &c.pub
	*pub = publication{b: c.b, r: r, qos: p.QoS, retain: p.Retain, lenient: p.QoS == 0,
		now: c.now.UnixNano(), commit: &c.batch, client: c}
	pub.msg = &c.scratch
	*pub.msg = engine.Message{Topic: r.topic, Payload: p.Payload, Props: p.Props, Borrowed: true}
	if p.HasExpiry {
		pub.expiry = min(max(seconds(p.Expiry), time.Second), c.b.opts.MaxMessageExpiry)
		pub.msg.Expires = c.now.Add(pub.expiry).UnixNano()
	}
	if len(r.handlers) > 0 && len(c.dirty) > 0 && time.Since(c.flushed) > time.Millisecond {
		c.flushDirty() // handlers take their time: what is ready does not wait for them
	}
	ctx := c.base
	if len(r.handlers) > 0 || p.Retain || c.b.opts.Hooks.OnPublish != nil {
		ctx = c.context()
	}
	return pub.run(ctx)
}
