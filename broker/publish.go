package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/thingloom/thingloom/broker/internal/engine"
	"github.com/thingloom/thingloom/broker/internal/wire"
)

// A publication is one message on its way through the broker.
type publication struct {
	b       *Broker
	r       *route
	msg     *engine.Message
	qos     byte
	retain  bool
	lenient bool     // a handler's error does not refuse: QoS 0 from a client
	now     int64    // Unix nanoseconds
	dirty   *[]*conn // of an in-process publisher
	commit  *commit

	whole    Message // msg as a Message, once complete
	complete bool
	client   *conn // publisher, if whole is not complete
	expiry   time.Duration
}

// run routes p: first the in-process handlers, whose error refuses it, then
// the retained message, then the clients. What must be durable is added
// to p.commit, and is on its way only when that is committed.
func (p *publication) run(ctx context.Context) error {
	b, r := p.b, p.r
	if b.opts.QueueOverflow == RefusePublish && p.qos > 0 && b.refuses(r, p.qos) {
		p.aside()
		if b.countAll(r); b.refuses(r, p.qos) {
			return ErrQueueFull
		}
	}
	if err := p.onPublish(ctx); err != nil {
		return err
	}
	if p.retain && !b.mayKeep(ctx, r.topic, len(p.msg.Payload)) {
		return ErrMemory
	}
	b.watched(func(w *Watch) { w.published(p) })
	if b.opts.Trace.Published != nil {
		b.opts.Trace.Published(p.message())
	}
	if len(r.handlers) > 0 {
		p.aside()
		if err := b.callHandlers(ctx, r.handlers, p.message()); err != nil && !p.lenient {
			return err
		}
	}
	if p.retain {
		p.aside()
		if err := b.store.SetRetained(ctx, p.message()); err != nil { // [MQTT-3.3.1-5] [MQTT-3.3.1-7]
			b.count.storeErrors.Add(1)
			return fmt.Errorf("broker: retain: %w", err)
		}
	}
	b.count.published[p.qos].Add(1)
	for _, id := range r.denied {
		b.dropped(id, r.topic, DropNotAuthorized)
	}
	if p.qos == 1 && r.durables == len(r.targets) && r.durables > 0 && !p.retain && len(r.shared) == 0 && b.opts.Hooks.OnDeliver == nil && !b.anyFull(r) {
		m := p.message()
		p.commit.add(m, p.msg, r.targets, r.ids) // the common case
		return nil
	}
	p.deliver()
	return nil
}

// message is p as a Message, for those who keep it.
func (p *publication) message() Message {
	if !p.complete {
		p.msg = p.msg.Keep()
		c := p.client
		p.whole = Message{Topic: p.r.topic, ClientID: c.info.ClientID, Principal: c.info.Principal, SourceIP: c.info.SourceIP,
			Payload: p.msg.Payload, QoS: p.qos, Retain: p.retain, Time: c.now, Properties: toProperties(p.msg.Props, p.expiry)}
		p.complete = true
	}
	return p.whole
}

// deliver sends to each target what need not be stored, and collects the others [MQTT-4.5.0-1].
func (p *publication) deliver() {
	var kept []target // it is to be stored for
	give := func(t *target) {
		if !p.wanted(t) {
			return
		}
		if !t.keeps(p.qos) {
			mode := t.mode(p.qos, p.retain)
			d := engine.Delivery{Msg: p.msg, QoS: mode.QoS, Retain: mode.Retain, SubIDs: t.ids}
			p.flushLater(p.b.deliver(t.s, p.now, &d))
			p.msg = d.Msg // one copy for all that keep it
			return
		}
		if p.b.full(t.s) {
			p.aside()
		}
		if p.b.makeRoom(t.s) {
			kept = append(kept, *t)
		} else {
			p.b.dropped(t.s.id, p.r.topic, DropQueueFull)
		}
	}
	keep := func() {
		if len(kept) > 0 {
			p.commit.add(p.message(), p.msg, kept, clientIDs(kept))
		}
		kept = nil
	}
	for i := range p.r.targets {
		give(&p.r.targets[i])
	}
	for _, group := range p.r.shared {
		t := p.b.member(group, p.qos, p.b.turn.Add(1))
		switch {
		case t == nil:
			p.b.dropped(group[0].s.id, p.r.topic, DropOffline)
			continue
		case of(kept, t.s):
			keep() // so that the second copy has a number of its own
		}
		give(t)
	}
	keep()
}

// of reports whether s is among the targets.
func of(targets []target, s *session) bool {
	return slices.ContainsFunc(targets, func(t target) bool { return t.s == s })
}

func clientIDs(targets []target) []string {
	ids := make([]string, len(targets))
	for i := range targets {
		ids[i] = targets[i].s.id
	}
	return ids
}

// flushLater remembers c, once in a row.
func (p *publication) flushLater(c *conn) {
	switch d := p.dirty; {
	case c == nil:
	case p.client != nil:
		p.client.given(c)
	case len(*d) == 0 || (*d)[len(*d)-1] != c:
		*d = append(*d, c)
	}
}

// aside is called before what may wait.
func (p *publication) aside() {
	if p.client != nil {
		p.client.aside()
	}
}

// flush writes what was given to connections, each once.
func flush(dirty []*conn) {
	for _, c := range dirty {
		c.flush()
	}
}

// refusal is the reason code for a publish that failed with err.
func refusal(err error) byte {
	if code, ok := refusalCode(err, wire.PUBACK); ok {
		return byte(code)
	}
	switch {
	case errors.Is(err, ErrQueueFull), errors.Is(err, errThrottled), errors.Is(err, ErrMemory):
		return quotaExceeded
	case errors.Is(err, ErrNotAuthorized):
		return notAuthorized
	case errors.Is(err, ErrProtocol): // 0x90 is for names that are well formed, but not accepted
		return malformed
	case errors.Is(err, ErrTopic):
		return topicNameInvalid
	}
	return unspecified
}
