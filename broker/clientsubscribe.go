package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/broker/internal/wire"
	"github.com/thingloom/thingloom/internal/topic"
)

// subscribe takes a SUBSCRIBE, filter by filter [MQTT-3.8.4-5]. Its SUBACK [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-2.2.1-6] goes out
// once a durable session is saved; retained messages follow it [MQTT-3.8.4-4].
func (c *conn) subscribe(p *wire.Subscribe) error {
	c.aside()
	b, s := c.b, c.sess
	if len(p.Filters) > b.opts.MaxFilters {
		return &ConnError{Reason: ClientError, Code: quotaExceeded, Err: fmt.Errorf("broker: %d filters in one SUBSCRIBE", len(p.Filters))}
	}
	if p.Identifier > 0 && b.opts.NoSubscriptionIdentifiers {
		return &ConnError{Reason: ClientError, Code: byte(wire.SubIDsNotSupported), Err: fmt.Errorf("%w: subscription identifier", ErrProtocol)}
	}
	for i := range p.Filters { // all of them, before anything is done
		if err := c.wellFormed(string(p.Filters[i].Filter), p.Filters[i].NoLocal); err != nil {
			return err
		}
	}
	codes := make([]wire.Code, len(p.Filters))
	var granted []Subscription
	var scans []*retainedScan

	lock := b.admit(s.id)
	s.mu.Lock()
	mine := s.conn == c
	s.mu.Unlock()
	if !mine {
		lock.Unlock()
		return &ConnError{Reason: DuplicateClientID, Err: errClosed}
	}
	undo := map[string]*Subscription{} // what was there before
	changed := false
	for i := range p.Filters {
		sub, code := c.checkSubscription(&p.Filters[i], p.Identifier)
		old := s.subs.get(sub.Filter)
		if code < wire.Unspecified && old == nil && (s.subs.len() >= b.opts.MaxSubscriptions || b.crowded()) {
			code = wire.QuotaExceeded
		}
		same := old != nil && old.sub == sub // as devices do that subscribe whenever they connect
		if code < wire.Unspecified && !same {
			if err := b.addSubscription(s, sub); err != nil {
				code = wire.TopicFilterInvalid
			}
		}
		if codes[i] = code; code >= wire.Unspecified {
			continue
		}
		changed = changed || !same
		if _, seen := undo[sub.Filter]; !seen {
			undo[sub.Filter] = nil
			if old != nil {
				undo[sub.Filter] = &old.sub
			}
		}
		granted = append(granted, sub)
		one := s.subs.get(sub.Filter)
		if scan := b.newScan(&one.sub, one.group, old != nil); scan != nil {
			scans = append(scans, scan)
		}
	}
	err := c.saveSubscriptions(changed)
	if err != nil {
		for filter, old := range undo {
			if old == nil {
				b.removeSubscription(s, filter)
			} else {
				_ = b.addSubscription(s, *old) // was valid before
			}
		}
		for i := range codes {
			codes[i] = wire.Unspecified
		}
		granted, scans = nil, nil
	}
	lock.Unlock()

	c.send(func(buf []byte) []byte { return wire.AppendSuback(buf, c.engine.Version, p.PacketID, codes) })
	c.backlog = append(c.backlog, scans...)
	if len(granted) > 0 {
		b.watched(func(w *Watch) {
			for i := range granted {
				w.event(WatchEvent{Kind: "subscribed", ClientID: c.info.ClientID, Topic: granted[i].Filter, QoS: granted[i].QoS})
			}
		})
		if f := b.opts.Trace.Subscribed; f != nil {
			f(c.info.describe(), granted)
		}
		filters := make([]string, len(granted))
		for i := range granted {
			filters[i] = granted[i].Filter
		}
		b.subscriptionEvent(&c.info, "subscribed", filters)
	}
	return nil
}

// wellFormed ends the connection for a filter that cannot be one [MQTT-4.13.1-1], [MQTT-4.8.0-1] of 3.1.1. One that is well
// formed, but not accepted, is refused by a code in the SUBACK. 3.1.1 has no shared subscriptions, so there nothing is
// wrong with $share//x.
func (c *conn) wellFormed(filter string, noLocal bool) error {
	code, group, err := wire.Malformed, "", topic.CheckFilter(filter)
	if c.engine.Version == 5 {
		group, _, err = topic.ParseShare(filter)
	}
	if err == nil && group != "" && noLocal { // [MQTT-3.8.3-4]
		code, err = wire.ProtocolError, errors.New("no local on a shared subscription")
	}
	if err == nil {
		return nil
	}
	return &ConnError{Reason: ClientError, Code: byte(code), Err: fmt.Errorf("%w: %w: %w", ErrProtocol, ErrTopic, err)}
}

// checkSubscription says what is granted, or why not [MQTT-3.8.4-7]. More than MaxQoS is granted as MaxQoS [MQTT-3.2.2-10].
func (c *conn) checkSubscription(f *wire.Filter, identifier uint32) (Subscription, wire.Code) {
	sub := Subscription{Filter: string(f.Filter), QoS: min(f.QoS, c.b.opts.MaxQoS), NoLocal: f.NoLocal,
		RetainAsPublished: f.RetainAsPublished, RetainHandling: f.RetainHandling, Identifier: identifier}
	_, inner, err := topic.ParseShare(sub.Filter)
	if err != nil || c.b.checkLimits(inner) != nil {
		return sub, wire.TopicFilterInvalid
	}
	if !c.b.maySubscribeReserved(inner) {
		return sub, wire.NotAuthorized
	}
	err = c.may(ActionSubscribe, "topicfilter/"+sub.Filter)
	if code, ok := refusalCode(err, wire.SUBACK); ok {
		return sub, code
	}
	switch {
	case errors.Is(err, ErrNotAuthorized):
		return sub, wire.NotAuthorized
	case err != nil:
		c.b.opts.Logger.Warn("authorize subscribe", "client_id", c.info.ClientID, "filter", sub.Filter, "err", err)
		return sub, wire.Unspecified
	}
	if f := c.b.opts.Hooks.OnSubscribe; f != nil {
		filter, most := sub.Filter, sub.QoS
		if err := f(c.context(), c.info.describe(), &sub); err != nil {
			code, ok := refusalCode(err, wire.SUBACK)
			if !ok {
				code = wire.NotAuthorized
			}
			return sub, code
		}
		sub.Filter, sub.QoS = filter, min(sub.QoS, most)
	}
	return sub, wire.Code(sub.QoS)
}

// saveSubscriptions stores a durable session whose subscriptions have changed.
func (c *conn) saveSubscriptions(changed bool) error {
	b, s := c.b, c.sess
	if !s.durable || !changed {
		return nil
	}
	s.mu.Lock()
	saved := s.stored()
	s.mu.Unlock()
	if err := b.store.SaveSession(context.Background(), saved); err != nil {
		b.storeFailed("save subscriptions", err, "client_id", s.id)
		return err
	}
	return nil
}

// unsubscribe takes an UNSUBSCRIBE, filter by filter [MQTT-3.10.4-6], and answers it, whether or not there was anything
// [MQTT-3.10.4-4] [MQTT-3.10.4-5]. What is on its way to the client stays so [MQTT-3.10.4-3].
func (c *conn) unsubscribe(p *wire.Unsubscribe) error {
	c.aside()
	b, s := c.b, c.sess
	for _, filter := range p.Filters {
		if err := c.wellFormed(string(filter), false); err != nil {
			return err
		}
	}
	codes := make([]wire.Code, len(p.Filters))
	var gone []string
	var removed []Subscription

	lock := b.admit(s.id)
	s.mu.Lock()
	mine := s.conn == c
	s.mu.Unlock()
	if !mine {
		lock.Unlock()
		return &ConnError{Reason: DuplicateClientID, Err: errClosed}
	}
	for i, filter := range p.Filters {
		old := s.subs.get(string(filter)) // [MQTT-3.10.4-1]
		if old == nil {
			codes[i] = wire.NoSubscriptionExisted
			continue
		}
		b.removeSubscription(s, old.sub.Filter) // [MQTT-3.10.4-2]
		removed = append(removed, old.sub)
		gone = append(gone, old.sub.Filter)
	}
	if err := c.saveSubscriptions(len(gone) > 0); err != nil {
		// Memory must not say other than the disk: a restart would bring them back.
		for _, sub := range removed {
			_ = b.addSubscription(s, sub) // was valid before
		}
		lock.Unlock()
		return &ConnError{Reason: ServerError, Code: unspecified, Err: err}
	}
	lock.Unlock()
	c.send(func(buf []byte) []byte { return wire.AppendUnsuback(buf, c.engine.Version, p.PacketID, codes) })
	if len(gone) > 0 {
		if f := b.opts.Trace.Unsubscribed; f != nil {
			f(c.info.describe(), gone)
		}
		b.subscriptionEvent(&c.info, "unsubscribed", gone)
	}
	return nil
}
