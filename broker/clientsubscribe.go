package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/broker/internal/wire"
	"github.com/thingloom/thingloom/internal/topic"
)

// subscribe takes a SUBSCRIBE. Its SUBACK goes out once a durable session is
// saved; retained messages follow it.
func (c *conn) subscribe(p *wire.Subscribe) error {
	c.aside()
	b, s := c.b, c.sess
	if len(p.Filters) > b.opts.MaxFilters {
		return &ConnError{Reason: ClientError, Code: quotaExceeded, Err: fmt.Errorf("broker: %d filters in one SUBSCRIBE", len(p.Filters))}
	}
	if p.Identifier > 0 && b.opts.NoSubscriptionIdentifiers {
		return &ConnError{Reason: ClientError, Code: byte(wire.SubIDsNotSupported), Err: fmt.Errorf("%w: subscription identifier", ErrProtocol)}
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
	for i := range p.Filters {
		sub, code, err := c.checkSubscription(&p.Filters[i], p.Identifier)
		if err != nil {
			lock.Unlock()
			return err
		}
		old := s.subs.get(sub.Filter)
		if code < wire.Unspecified && old == nil && (s.subs.len() >= b.opts.MaxSubscriptions || b.crowded()) {
			code = wire.QuotaExceeded
		}
		if code < wire.Unspecified {
			if err := b.addSubscription(s, sub); err != nil {
				code = wire.TopicFilterInvalid
			}
		}
		if codes[i] = code; code >= wire.Unspecified {
			continue
		}
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
	err := c.saveSubscriptions(len(granted) > 0)
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
			f(c.info, granted)
		}
		filters := make([]string, len(granted))
		for i := range granted {
			filters[i] = granted[i].Filter
		}
		b.subscriptionEvent(&c.info, "subscribed", filters)
	}
	return nil
}

// checkSubscription says what is granted. An error is the client's and ends the connection.
func (c *conn) checkSubscription(f *wire.Filter, identifier uint32) (Subscription, wire.Code, error) {
	sub := Subscription{Filter: string(f.Filter), QoS: min(f.QoS, c.b.opts.MaxQoS), NoLocal: f.NoLocal,
		RetainAsPublished: f.RetainAsPublished, RetainHandling: f.RetainHandling, Identifier: identifier}
	group, inner, err := topic.ParseShare(sub.Filter)
	switch {
	case err != nil:
		return sub, wire.TopicFilterInvalid, nil
	case group != "" && sub.NoLocal: // [MQTT-3.8.3-4]
		return sub, 0, &ConnError{Reason: ClientError, Code: byte(wire.ProtocolError), Err: fmt.Errorf("%w: no local on a shared subscription", ErrProtocol)}
	case c.b.checkLimits(inner) != nil:
		return sub, wire.TopicFilterInvalid, nil
	}
	if !c.b.maySubscribeReserved(inner) {
		return sub, wire.NotAuthorized, nil
	}
	err = c.may(ActionSubscribe, "topicfilter/"+sub.Filter)
	if code, ok := refusalCode(err, wire.SUBACK); ok {
		return sub, code, nil
	}
	switch {
	case errors.Is(err, ErrNotAuthorized):
		return sub, wire.NotAuthorized, nil
	case err != nil:
		c.b.opts.Logger.Warn("authorize subscribe", "client_id", c.info.ClientID, "filter", sub.Filter, "err", err)
		return sub, wire.Unspecified, nil
	}
	if f := c.b.opts.Hooks.OnSubscribe; f != nil {
		filter, most := sub.Filter, sub.QoS
		if err := f(c.context(), c.info, &sub); err != nil {
			code, ok := refusalCode(err, wire.SUBACK)
			if !ok {
				code = wire.NotAuthorized
			}
			return sub, code, nil
		}
		sub.Filter, sub.QoS = filter, min(sub.QoS, most)
	}
	return sub, wire.Code(sub.QoS), nil
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

// unsubscribe takes an UNSUBSCRIBE.
func (c *conn) unsubscribe(p *wire.Unsubscribe) error {
	c.aside()
	b, s := c.b, c.sess
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
		old := s.subs.get(string(filter))
		if old == nil {
			codes[i] = wire.NoSubscriptionExisted
			continue
		}
		b.removeSubscription(s, old.sub.Filter)
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
			f(c.info, gone)
		}
		b.subscriptionEvent(&c.info, "unsubscribed", gone)
	}
	return nil
}
