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
	if b.opts.QueueOverflow == RefusePublish && p.qos > 0 && b.anyFull(r) {
		p.aside()
		if b.countAll(r); b.anyFull(r) {
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
		if err := b.store.SetRetained(ctx, p.message()); err != nil {
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
		p.whole = Message{Topic: p.r.topic, ClientID: c.info.ClientID, Principal: c.info.Principal, SourceIP: c.access.SourceIP,
			Payload: p.msg.Payload, QoS: p.qos, Retain: p.retain, Time: c.now, Properties: toProperties(p.msg.Props, p.expiry)}
		p.complete = true
	}
	return p.whole
}

// deliver sends to each target what need not be stored, and collects the others.
func (p *publication) deliver() {
	var plain, retained [3][]target // to be stored, by QoS
	give := func(t *target) {
		if !p.wanted(t) {
			return
		}
		retain := p.retain && t.retain
		qos := min(p.qos, t.qos)
		if qos == 0 || !t.durable {
			d := engine.Delivery{Msg: p.msg, QoS: qos, Retain: retain, SubIDs: t.ids}
			p.flushLater(p.b.deliver(t.s, p.now, &d))
			p.msg = d.Msg // one copy for all that keep it
			return
		}
		if p.b.full(t.s) {
			p.aside()
		}
		if !p.b.makeRoom(t.s) {
			p.b.dropped(t.s.id, p.r.topic, DropQueueFull)
		} else if retain {
			retained[qos] = append(retained[qos], *t)
		} else {
			plain[qos] = append(plain[qos], *t)
		}
	}
	keep := func() {
		for qos := byte(1); qos <= 2; qos++ {
			p.store(plain[qos], qos, false)
			p.store(retained[qos], qos, true)
		}
		plain, retained = [3][]target{}, [3][]target{}
	}
	for i := range p.r.targets {
		give(&p.r.targets[i])
	}
	for _, group := range p.r.shared {
		if t := p.b.member(group, p.qos, p.b.turn.Add(1)); t != nil {
			for qos := 1; qos <= 2; qos++ {
				if of(plain[qos], t.s) || of(retained[qos], t.s) {
					keep() // so that the second copy has a number of its own
				}
			}
			give(t)
		} else {
			p.b.dropped(group[0].s.id, p.r.topic, DropOffline)
		}
	}
	keep()
}

func (p *publication) store(targets []target, qos byte, retain bool) {
	if len(targets) == 0 {
		return
	}
	m := p.message()
	m.QoS, m.Retain = qos, retain // as these sessions are to see it
	p.commit.add(m, p.msg, targets, clientIDs(targets))
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

// full reports whether the queue of s is at its limit.
func (b *Broker) full(s *session) bool {
	return s.queued.Load() >= int64(b.opts.MaxQueueMessages) || s.queuedBytes.Load() >= b.opts.MaxQueueBytes
}

func (b *Broker) anyFull(r *route) bool {
	if r.durables > 0 {
		for i := range r.targets {
			if t := &r.targets[i]; t.durable && b.full(t.s) {
				return true
			}
		}
	}
	return false
}

// countAll makes sure that it is known how full the queues are.
func (b *Broker) countAll(r *route) {
	for i := range r.targets {
		if t := &r.targets[i]; t.durable {
			b.ensureCounted(t.s)
		}
	}
}

// makeRoom reports whether the queue of s has room for one more message. With
// DropOldest it makes some, unless s is connected: what is unacknowledged
// there cannot be taken back.
func (b *Broker) makeRoom(s *session) bool {
	if !b.full(s) {
		return true
	}
	b.ensureCounted(s)
	if !b.full(s) {
		return true
	}
	if b.opts.QueueOverflow != DropOldest {
		return false
	}
	defer b.admit(s.id).Unlock()
	if !b.full(s) {
		return true
	}
	s.mu.Lock()
	connected := s.conn != nil || s.ended
	s.mu.Unlock()
	if connected {
		return false
	}
	ctx := context.Background()
	var oldest []Queued
	freed := int64(0)
	some := max(1, min(64, b.opts.MaxQueueMessages/16))
	for q, err := range b.store.Queue(ctx, s.id, 0) {
		if err != nil {
			b.count.storeErrors.Add(1)
			return false
		}
		oldest = append(oldest, q)
		if freed += int64(queuedSize(&q.Message)); len(oldest) == some || freed >= b.opts.MaxQueueBytes/16 {
			break // a few at a time cost fewer calls; many large ones would be more than there is need for
		}
	}
	if len(oldest) == 0 {
		return false
	}
	last := oldest[len(oldest)-1].Seq
	if err := b.store.Dequeue(ctx, s.id, last); err != nil {
		b.count.storeErrors.Add(1)
		return false
	}
	s.mu.Lock()
	s.out.Discard(last)
	s.out.Effects()
	s.mu.Unlock()
	for i := range oldest {
		s.queued.Add(-1)
		s.queuedBytes.Add(-int64(queuedSize(&oldest[i].Message)))
		b.dropped(s.id, oldest[i].Message.Topic, DropQueueFull)
	}
	return !b.full(s)
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
	case errors.Is(err, ErrTopic):
		return topicNameInvalid
	}
	return unspecified
}
