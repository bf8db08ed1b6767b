package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thingloom/thingloom/broker/internal/engine"
)

// A session is what the broker knows of a client: for as long as its connection,
// or as its expiry says.
//
// Locks: mu is taken before the connection's own, never the other way round,
// and neither while anything is written or stored.
type session struct {
	id, principal string
	version       byte
	durable       bool // in the Store, with its messages of QoS 1 and 2

	// Guarded by Broker.admit(id), and by mu for writing.
	subs subscribers

	// released are the messages that the Store says the client has. It does not
	// change once the session is loaded.
	released map[uint64]bool

	queued      atomic.Int64 // messages in the Store's queue; see uncounted
	queuedBytes atomic.Int64
	loaded      uint64 // number of the last message that was in the queue at the start
	online      atomic.Bool
	gone        atomic.Bool // ended: nothing is stored for it any more

	mu             sync.Mutex
	conn           *conn // nil while disconnected
	ended          bool
	out            engine.Outbound
	received       map[uint16]bool // packet ids of QoS 2 publishes without PUBREL, and whether the Store has a mark
	expiry         time.Duration
	info           *ClientInfo // of the last connection; see describe
	disconnectedAt time.Time
	reason         DisconnectReason
	will           *PendingWill // while a delayed will waits
	standing       *PendingWill // of the present connection, if it is stored
	willStored     bool         // there is a record for the will alone
	held           account      // of what out has in memory

	timer timer // guarded by Broker.mu
}

// stored is the session as the Store keeps it. mu is held.
func (s *session) stored() Session {
	st := Session{ClientID: s.id, Principal: s.principal, Version: s.version, Expiry: s.expiry,
		Disconnected: s.disconnectedAt, Will: s.will}
	if st.Will == nil {
		st.Will = s.standing
	}
	st.Subscriptions = s.subscriptions()
	return st
}

// effects counts what the engine did and tells. No lock is held.
func (b *Broker) effects(s *session, e *engine.Effects) {
	for qos, n := range e.Sent {
		if n > 0 {
			b.count.delivered[qos].Add(int64(n))
		}
	}
	if e.Acked > 0 {
		b.count.acknowledged.Add(int64(e.Acked))
	}
	if e.Settled > 0 {
		if s.queued.Add(-int64(e.Settled)) <= 0 {
			s.queuedBytes.Store(0) // properties read back may differ by a few bytes
		} else {
			s.queuedBytes.Add(-int64(e.Bytes))
		}
	}
	for _, d := range e.Dropped {
		b.dropped(s.id, d.Topic, dropReasons[d.Reason])
	}
}

var dropReasons = [...]DropReason{
	engine.DropExpired:       DropExpired,
	engine.DropTooLarge:      DropTooLarge,
	engine.DropAge:           DropQueueAge,
	engine.DropNotAuthorized: DropNotAuthorized,
}

// deliver hands d, which is not in the Store, to the session's connection. It
// returns the connection if something is to be flushed.
func (b *Broker) deliver(s *session, now int64, d *engine.Delivery) *conn {
	var h handed
	b.hand(s, &h, now, d)
	c := h.to
	if c == nil {
		return nil // QoS 0 is not kept for the absent
	}
	b.effects(s, &h.effects)
	if h.heaped {
		c.flush()
	}
	switch {
	case h.why != "":
		b.dropped(s.id, d.Msg.Topic, h.why)
	case h.result == engine.Full:
		b.dropped(s.id, d.Msg.Topic, DropSlowConsumer)
		c.end(quotaExceeded, Throttled, errSlow)
	case h.result == engine.Sent:
		b.traceDelivered(s.id, d.Msg.Topic)
		return c
	}
	return nil
}

// handed is what became of a delivery.
type handed struct {
	to      *conn // nil if there is no connection
	result  engine.Result
	why     DropReason // empty if it was not dropped here
	heaped  bool       // much waits to be written
	effects engine.Effects
}

func (b *Broker) hand(s *session, h *handed, now int64, d *engine.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conn
	if c == nil {
		return
	}
	h.to, h.result = c, engine.Refused
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stop.set:
	case d.QoS == 0 && c.outstanding() > b.opts.MaxOutboxBytes:
		h.why = DropSlowConsumer
	case d.QoS == 0 && b.tight():
		h.why = DropMemory
	case d.QoS == 0 && !c.delivered.take():
		h.why = DropThrottled
	case d.QoS == 0:
		buf := c.outbox()
		buf.b, h.result = s.out.Send(buf.b, now, d)
	case b.tight() && s.out.Held() > memoryStep:
		h.result = engine.Full
	default:
		buf := c.outbox()
		buf.b, h.result = s.out.Live(buf.b, now, d)
	}
	b.account(s, c)
	h.heaped = c.heaped()
	h.effects = s.out.Effects()
}

// sending calls f with the session's connection, which is locked, and its outbox; without one f gets nil for both, and
// what it appends is lost.
func (b *Broker) sending(s *session, f func(c *conn, dst []byte) []byte) (*conn, engine.Effects) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conn
	if c == nil {
		f(nil, nil)
		return nil, s.out.Effects()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	buf := c.outbox()
	buf.b = f(c, buf.b)
	b.account(s, c)
	return c, s.out.Effects()
}

// account enters what s and its connection hold. Both are locked.
func (b *Broker) account(s *session, c *conn) {
	s.held.set(&b.memory, s.out.Held())
	c.waiting.set(&b.memory, c.outstanding())
}

func (b *Broker) traceDelivered(clientID, topic string) {
	if b.watches.Load() != nil {
		b.watched(func(w *Watch) { w.event(WatchEvent{Kind: "delivered", ClientID: clientID, Topic: topic}) })
	}
	if f := b.opts.Trace.Delivered; f != nil {
		f(clientID, topic)
	}
}

// deliverStored tells the session that d is in its queue.
func (b *Broker) deliverStored(s *session, now int64, d *engine.Delivery) *conn {
	s.queued.Add(1)
	s.queuedBytes.Add(int64(d.Msg.Size()))
	c, e := b.sending(s, func(_ *conn, dst []byte) []byte {
		if b.spill(s, d.Seq) {
			return dst
		}
		return s.out.Stored(dst, now, d)
	})
	b.effects(s, &e)
	if e.Sent != [3]int{} {
		b.traceDelivered(s.id, d.Msg.Topic)
	}
	return c
}

// refill reads stored messages back for as long as the session's window wants
// some. It calls before before anything that may wait.
func (c *conn) refill(before func()) error {
	s := c.sess
	if !s.durable {
		return nil
	}
	for {
		most := c.mayResend()
		if most == 0 {
			return nil // housekeeping goes on
		}
		after, tail, ok := c.need()
		if !ok {
			return nil
		}
		before()
		got, end, err := c.readQueue(after, most)
		c.resentNow(len(got))
		if err != nil {
			s.mu.Lock()
			if s.conn == c {
				s.out.Failed()
			}
			s.mu.Unlock()
			c.b.count.storeErrors.Add(1)
			return err
		}
		now := c.b.now().UnixNano()
		_, e := c.b.sending(s, func(to *conn, dst []byte) []byte {
			if to != c {
				return dst // another one has taken over, and asks itself
			}
			return s.out.Filled(dst, now, got, end, tail)
		})
		c.b.effects(s, &e)
		c.dequeue(before)
	}
}

// need is what the session wants to be read, if c still is its connection.
func (c *conn) need() (after, tail uint64, ok bool) {
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return 0, 0, false
	}
	after, ok = s.out.Need()
	return after, s.out.Tail(), ok
}

// readQueue reads some stored messages as deliveries for this connection.
func (c *conn) readQueue(after uint64, most int) (got []engine.Delivery, end bool, err error) {
	const mostBytes = 256 << 10
	b, bytes := c.b, 0
	for q, err := range b.store.Queue(context.Background(), c.sess.id, after) {
		if err != nil {
			return nil, false, err
		}
		m := fromMessage(&q.Message)
		d := engine.Delivery{Msg: m, Seq: q.Seq, QoS: max(1, q.Message.QoS), Retain: q.Message.Retain,
			Released: c.sess.released[q.Seq], SubIDs: b.identifiers(c.sess, q.Message.Topic)}
		switch {
		case b.opts.MaxQueueAge > 0 && b.now().Sub(q.Message.Time) > b.opts.MaxQueueAge:
			d.Drop = engine.DropAge
		case !c.mayReceive(q.Message.Topic):
			d.Drop = engine.DropNotAuthorized
		}
		got = append(got, d)
		if bytes += m.Size(); len(got) == most || bytes > mostBytes {
			return got, false, nil
		}
	}
	return got, true, nil
}

// dequeue tells the Store what is acknowledged. A failure is counted: the
// messages come again, which QoS 1 allows. It calls before before it may wait.
func (c *conn) dequeue(before func()) {
	s := c.sess
	s.mu.Lock()
	upTo, ok := s.out.Dequeue()
	s.mu.Unlock()
	if !ok {
		return
	}
	before()
	if err := c.b.store.Dequeue(context.Background(), s.id, upTo); err != nil {
		c.b.storeFailed("dequeue", err, "client_id", s.id, "up_to", upTo)
	}
}

// endSession ends s for good. Broker.admit(s.id) is held, no connection is left.
func (b *Broker) endSession(s *session) error {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return nil
	}
	s.ended = true
	waiting := s.out.Waiting()
	s.mu.Unlock()
	if waiting > 0 && !s.durable {
		b.count.dropped.add(DropSessionEnded, int64(waiting))
	}
	if err := b.countQueue(s); err != nil {
		b.storeFailed("count queue", err, "client_id", s.id)
	} else if n := s.queued.Load(); n > 0 {
		b.count.dropped.add(DropSessionEnded, n)
	}
	b.removeSubscriptions(s)
	b.mu.Lock()
	if b.sessions[s.id] == s {
		delete(b.sessions, s.id)
		b.state.Add(-s.bytes())
	}
	b.unschedule(s)
	b.mu.Unlock()
	if !s.durable {
		return nil
	}
	s.gone.Store(true)
	_ = b.commitInTurn(&commit{}) // what is on its way into its queue goes with it
	if err := b.store.DeleteSession(context.Background(), s.id); err != nil {
		b.storeFailed("delete session", err, "client_id", s.id)
		return err
	}
	return nil
}
