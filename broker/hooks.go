package broker

import (
	"context"
	"unsafe"
)

// Hooks are functions that take part in what the broker does; each may be nil. Where they only
// want to know, use [Trace]. They run on the goroutine of the client concerned and may be called
// from many at a time. An error refuses, in the words of a [Refusal] if it is one.
type Hooks struct {
	// OnConnect is asked about a client that was authenticated and authorized, before it has
	// its session.
	OnConnect func(ctx context.Context, c ClientInfo) error
	// OnSubscribe is asked about a subscription that was authorized. It may lower its QoS and
	// change its options, but not its filter.
	OnSubscribe func(ctx context.Context, c ClientInfo, s *Subscription) error
	// OnPublish is asked about each message that a client publishes, its will included, once it
	// was authorized. It may change the payload, which it must not write into but replace, and the
	// properties; changes of other fields are lost.
	OnPublish func(ctx context.Context, m *Message) error
	// OnDeliver is asked about each message for each client that is to get it, when it is
	// routed: false drops it for that client, counted under [DropByHook].
	OnDeliver func(clientID string, m *Message) bool
	// OnDrop is told about each message that did not reach a client.
	OnDrop func(clientID, topic string, reason DropReason)
	// OnClose is told about the end of each connection that OnConnect let in.
	OnClose func(c ClientInfo, reason DisconnectReason)
}

// onPublish lets the hook see and change p.
func (p *publication) onPublish(ctx context.Context) error {
	hook := p.b.opts.Hooks.OnPublish
	if hook == nil || p.message().ClientID == "" {
		return nil
	}
	p.aside()
	m := p.message()
	if err := hook(ctx, &m); err != nil {
		return err
	}
	if untouched(&m, &p.whole) { // as most are: what came can go on as it is
		return nil
	}
	if why := checkProperties(&m.Properties); why != "" {
		return &Refusal{Code: unspecified, Text: "hook: " + why}
	}
	p.whole.Payload, p.whole.Properties = m.Payload, m.Properties
	p.msg = fromMessage(&p.whole)
	return nil
}

// untouched reports whether m is certainly as before, of which it is a copy. Who
// has properties that can be changed in place may have changed them.
func untouched(m, before *Message) bool {
	p, q := &m.Properties, &before.Properties
	return len(m.Payload) == len(before.Payload) && unsafe.SliceData(m.Payload) == unsafe.SliceData(before.Payload) &&
		p.ContentType == q.ContentType && p.ResponseTopic == q.ResponseTopic && p.Expiry == q.Expiry &&
		p.PayloadFormat == nil && q.PayloadFormat == nil && p.CorrelationData == nil && q.CorrelationData == nil && len(p.User)+len(q.User) == 0
}

// wanted asks the hook whether t gets p.
func (p *publication) wanted(t *target) bool {
	hook := p.b.opts.Hooks.OnDeliver
	if hook == nil {
		return true
	}
	p.aside()
	m := p.message()
	if hook(t.s.id, &m) {
		return true
	}
	p.b.dropped(t.s.id, p.r.topic, DropByHook)
	return false
}
