package broker

import (
	"context"
	"time"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// A will is stored before CONNACK [MQTT-3.1.2-7] and forgotten after it was published or
// discarded, so that it is published also when the process dies: by the next one, at its start
// [MQTT-3.1.2-8]. It lies in the record of the client's session, which takes no write of its own; a client
// without a persistent session gets a record for it.
//
// One gap is left: where a clean start takes over from a connection of a persistent session, the record is the new
// client's before the will of the old one is published, and a crash just between them loses that will.

// keepWill copies the will of a CONNECT.
func (c *conn) keepWill(w *wire.Will) {
	var expiry time.Duration
	if w.HasExpiry {
		expiry = min(max(seconds(w.Expiry), time.Second), c.b.opts.MaxMessageExpiry)
	}
	c.will = &Message{Topic: string(w.Topic), ClientID: c.info.ClientID, Principal: c.info.Principal,
		Payload: append([]byte{}, w.Payload...), QoS: w.QoS, Retain: w.Retain,
		Properties: toProperties(w.Props, expiry)}
	c.willWait = seconds(w.Delay)
}

// publishWillAs publishes the will of c if its client may still do so.
func (b *Broker) publishWillAs(ctx context.Context, c *conn) {
	err := c.may(ActionPublish, "topic/"+c.will.Topic)
	if err == nil && c.will.Retain {
		err = c.may(ActionRetainPublish, "topic/"+c.will.Topic)
	}
	if err != nil {
		b.opts.Logger.Warn("will refused", "client_id", c.info.ClientID, "topic", c.will.Topic, "err", err)
		b.count.refused.Add(1)
		return
	}
	b.publishWill(ctx, c.will)
}

func (b *Broker) publishWill(ctx context.Context, m *Message) {
	w := *m
	w.Time = b.now()
	var r route
	b.findRoute(w.Topic, w.ClientID, &r)
	if err := b.publishWhole(WithDepth(ctx, 1), w, fromMessage(&w), &r); err != nil {
		b.opts.Logger.Warn("will", "client_id", m.ClientID, "topic", m.Topic, "err", err)
	}
}

// standing is the will of a connection as it is stored, nil if there is none.
func (c *conn) standing() *PendingWill {
	if c.will == nil {
		return nil
	}
	return &PendingWill{Message: *c.will, Delay: c.willWait}
}

// forgetWill removes the record of a client that had it only for its will.
func (b *Broker) forgetWill(s *session) {
	defer b.admit(s.id).Unlock()
	if now := b.session(s.id); now != nil && (now.durable || now.willStored) {
		return // the client is back, and its record has replaced that one
	}
	if err := b.store.DeleteSession(context.Background(), s.id); err != nil {
		b.storeFailed("forget will", err, "client_id", s.id)
	}
}

// saveAway stores s as it is now, unless its client is back or it has ended.
func (b *Broker) saveAway(s *session) {
	defer b.admit(s.id).Unlock()
	s.mu.Lock()
	away, saved := s.conn == nil && !s.ended, s.stored()
	s.mu.Unlock()
	if away {
		b.save(&saved)
	}
}

// save stores a session for which nobody waits: a failure is counted and logged.
func (b *Broker) save(s *Session) {
	if err := b.store.SaveSession(context.Background(), *s); err != nil {
		b.storeFailed("save session", err, "client_id", s.ClientID)
	}
}

// storeFailed counts and logs an error of the Store.
func (b *Broker) storeFailed(what string, err error, args ...any) {
	b.count.storeErrors.Add(1)
	b.opts.Logger.Error(what, append(args, "err", err)...)
}
