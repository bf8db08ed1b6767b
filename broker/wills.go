package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// A will is stored before CONNACK [MQTT-3.1.2-7], in the record of the client's session, and forgotten with the
// next thing that is stored of that session after it was published or discarded. So it is published also when the
// process dies, by the next one [MQTT-3.1.2-8], and a crash between the two repeats it: it is never lost.
//
// A persistent session is stored when its client comes and when it has gone, with a will or without. A client
// without one has a record only for its will, which is stored when it comes and deleted when it has gone.
//
// While a will is on its way (session.saying) nothing else happens to its session: who wants it, waits.

// A lastWill is a will as the process has it.
type lastWill struct {
	PendingWill
	own        Authorizer // that the connection ended with, nil if it had none of its own, or is one of an earlier process
	attributes []string   // Access.ConnectAttributes of its CONNECT
}

// keepWill copies the will of a CONNECT, whose client has been authorized.
func (c *conn) keepWill(w *wire.Will) {
	var expiry time.Duration
	if w.HasExpiry {
		expiry = min(max(seconds(w.Expiry), time.Second), c.b.opts.MaxMessageExpiry)
	}
	c.will = &lastWill{attributes: connectAttributes(c.info.persistent, true), PendingWill: PendingWill{
		Message: Message{Topic: string(w.Topic), ClientID: c.info.ClientID, Principal: c.info.Principal, SourceIP: c.info.SourceIP,
			Payload: append([]byte{}, w.Payload...), QoS: w.QoS, Retain: w.Retain, Properties: toProperties(w.Props, expiry)},
		Delay: seconds(w.Delay), Thing: c.info.Thing, OwnAuthorizer: c.own.Load() != nil}}
}

// storedWill is a will of an earlier process. Where that died with the client connected, it is due once its delay or the
// session is over.
func storedWill(s *Session, now time.Time) *lastWill {
	if s.Will == nil {
		return nil
	}
	w := &lastWill{PendingWill: *s.Will, attributes: connectAttributes(s.Expiry > 0, true)}
	if s.Disconnected.IsZero() {
		w.Due = now.Add(min(w.Delay, s.Expiry))
	}
	return w
}

// connectAttributes are what a CONNECT asks for, as policies know it.
func connectAttributes(persistent, will bool) (list []string) {
	if persistent {
		list = append(list, "PersistentConnect")
	}
	if will {
		list = append(list, "LastWill")
	}
	return list
}

// mayWill asks whether a client may have a will.
func (b *Broker) mayWill(topic string, retain bool, may func(action, resource string) error) error {
	if !b.mayPublishReserved(topic) {
		return fmt.Errorf("%w: %s is the backend's own", ErrNotAuthorized, topic)
	}
	err := may(ActionPublish, "topic/"+topic)
	if err == nil && retain {
		if err = b.mayRetainReserved(topic); err == nil {
			err = may(ActionRetainPublish, "topic/"+topic)
		}
	}
	return err
}

// publishWill publishes w if its client may still do so. Whoever decided for that connection alone decides now; of a
// connection of an earlier process nobody knows who that was, and what was decided at its CONNECT holds.
func (b *Broker) publishWill(ctx context.Context, w *lastWill) {
	m := w.Message
	defer b.caught("will of " + m.ClientID)
	err := b.mayWill(m.Topic, m.Retain, func(action, resource string) (err error) {
		defer b.caughtAs(&err, "Authorizer")
		judge := b.opts.Authorizer
		switch {
		case w.own != nil:
			judge = w.own
		case w.OwnAuthorizer:
			return nil
		}
		return judge.Authorize(ctx, Access{Principal: m.Principal, ClientID: m.ClientID, Action: action, Resource: resource,
			SourceIP: m.SourceIP, ConnectAttributes: w.attributes, Thing: w.Thing})
	})
	if err != nil {
		b.opts.Logger.Warn("will refused", "client_id", m.ClientID, "topic", m.Topic, "err", err)
		b.count.refused.Add(1)
		return
	}
	m.Time = b.now()
	var r route
	b.findRoute(m.Topic, m.ClientID, &r)
	if err := b.publishWhole(WithDepth(ctx, 1), m, fromMessage(&m), &r); err != nil {
		b.opts.Logger.Warn("will", "client_id", m.ClientID, "topic", m.Topic, "err", err)
	}
}

// takeWill takes the will of s to be published, if there is one and it is time: it is due, or over says that the session ends.
// [Broker.attend] is to be called once it is published. mu is held.
func (s *session) takeWill(now time.Time, over bool) *lastWill {
	w := s.will
	if w == nil || s.conn != nil || s.ended || s.saying != nil || !over && now.Before(w.Due) {
		return nil
	}
	s.saying = make(chan struct{})
	return w
}

// over reports whether a session without connection has had its time. mu is held.
func (s *session) over(now time.Time) bool { return !now.Before(s.disconnectedAt.Add(s.expiry)) }

// due does for s what has fallen due.
func (b *Broker) due(s *session, now time.Time) error {
	s.mu.Lock()
	w := s.takeWill(now, s.over(now))
	s.mu.Unlock()
	if w != nil {
		b.publishWill(context.Background(), w)
	}
	return b.attend(s, w != nil)
}

// attend sees to a session without connection: it ends if it is over, and is looked at again in time otherwise. said
// tells that its will, which was taken, is published, and can be forgotten.
func (b *Broker) attend(s *session, said bool) error {
	defer b.admit(s.id).Unlock()
	s.mu.Lock()
	if said {
		close(s.saying)
		s.will, s.saying = nil, nil
	}
	mine, over := s.conn == nil && !s.ended && s.saying == nil, s.over(b.now())
	var saved Session
	if said && mine && !over {
		saved = s.stored()
	}
	s.mu.Unlock()
	switch {
	case !mine: // or another one is about to come here
		return nil
	case over:
		return b.endSession(s)
	}
	if said {
		b.save(&saved)
	}
	b.mu.Lock()
	b.schedule(s)
	b.mu.Unlock()
	return nil
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
