package broker

import (
	"github.com/thingloom/thingloom/broker/internal/engine"
	"github.com/thingloom/thingloom/broker/internal/wire"
)

// QoS 2 [MQTT-4.3.3]. A client's message is routed when its PUBLISH comes; that
// its packet id was seen is stored together with the message, if that is stored at
// all. Towards clients, that a PUBREC came is stored before PUBREL is sent.

// restore takes what the Store knows of exchanges.
func (s *session) restore(stored *Session) {
	for _, id := range stored.Received {
		s.seen(id, true)
	}
	if len(stored.Released) > 0 {
		s.released = make(map[uint64]bool, len(stored.Released))
		for _, seq := range stored.Released {
			s.released[seq] = true
		}
	}
}

// seen notes the packet id of a QoS 2 publish.
func (s *session) seen(id uint16, marked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.received == nil {
		s.received = map[uint16]bool{}
	}
	s.received[id] = marked
}

// saw returns what seen has noted.
func (s *session) saw(id uint16) (marked, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	marked, known = s.received[id]
	return marked, known
}

// forget undoes seen.
func (s *session) forget(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.received, id)
}

// duplicate reports whether a QoS 2 publish was taken before, and if so owes its
// PUBREC again [MQTT-4.3.3-10].
func (c *conn) duplicate(id uint16) bool {
	_, known := c.sess.saw(id)
	if known {
		if c.open2[id] {
			c.engine.Acked(1) // it counts once
		}
		c.opened(id)
		c.acks = append(c.acks, ack{packet: wire.PUBREC, id: id})
	}
	return known
}

// opened notes that a packet id counts against the client's quota on this connection.
func (c *conn) opened(id uint16) {
	if c.open2 == nil {
		c.open2 = map[uint16]bool{}
	}
	c.open2[id] = true
}

// took notes a QoS 2 publish that was routed: PUBREC is owed for it [MQTT-4.3.3-8]. stored says that it is to be stored.
func (c *conn) took(id uint16, stored bool) {
	marked := stored && c.sess.durable
	c.sess.seen(id, marked)
	c.opened(id)
	if marked {
		c.mark(Mark{ClientID: c.sess.id, Kind: MarkReceived, PacketID: id})
	}
}

// mark has a step of an exchange stored with this batch.
func (c *conn) mark(m Mark) {
	c.batch.owner = c.sess
	c.batch.marks = append(c.batch.marks, m)
}

// forgo undoes took for a publish that is refused [MQTT-4.3.3-9].
func (c *conn) forgo(id uint16) {
	c.sess.forget(id)
	delete(c.open2, id)
}

// release takes a PUBREL of the client, which PUBCOMP answers [MQTT-4.3.3-11]: its packet id is free again [MQTT-4.3.3-12].
func (c *conn) release(a *wire.Ack) {
	marked, known := c.sess.saw(a.PacketID)
	owed := ack{packet: wire.PUBCOMP, id: a.PacketID}
	if !known {
		owed.code = byte(wire.PacketIDNotFound)
	}
	if marked {
		owed.durable = true
		c.mark(Mark{ClientID: c.sess.id, Kind: MarkCompleted, PacketID: a.PacketID})
	}
	c.sess.forget(a.PacketID)
	c.acks = append(c.acks, owed)
}

// recorded takes a PUBREC: the client has the message.
func (c *conn) recorded(a *wire.Ack) error {
	s, wrong := c.sess, false
	var seq uint64
	receipt := engine.Repeated
	c.outbound(func(b []byte) []byte {
		b, seq, receipt = s.out.Received(b, c.now.UnixNano(), a.PacketID, a.Code)
		switch {
		case receipt == engine.NotInUse && s.out.Misplaced(wire.PUBREC, a.PacketID):
			wrong = true
		case receipt == engine.NotInUse && a.Code < wire.Unspecified: // [MQTT-4.3.3-4]
			b = wire.AppendAck(b, c.engine.Version, wire.PUBREL, a.PacketID, wire.PacketIDNotFound)
		case receipt == engine.Taken && seq == 0:
			b = s.out.Release(b, c.now.UnixNano(), a.PacketID, 0)
		}
		return b
	})
	if receipt == engine.Taken && seq > 0 {
		c.mark(Mark{ClientID: s.id, Kind: MarkReleased, PacketID: a.PacketID, Seq: seq})
	}
	if wrong {
		return c.misplaced(wire.PUBREC, a)
	}
	return nil
}

// completed takes a PUBCOMP.
func (c *conn) completed(a *wire.Ack) error {
	wrong := false
	c.outbound(func(b []byte) []byte {
		b, ok := c.sess.out.Completed(b, c.now.UnixNano(), a.PacketID)
		wrong = !ok && c.sess.out.Misplaced(wire.PUBCOMP, a.PacketID)
		return b
	})
	if wrong {
		return c.misplaced(wire.PUBCOMP, a)
	}
	return nil
}

// releaseStored sends PUBREL for those whose marks are stored: on this connection, or on the one that has taken
// over meanwhile.
func (c *conn) releaseStored(marks []Mark) {
	s := c.sess
	for _, m := range marks {
		if m.Kind != MarkReleased {
			continue
		}
		to, e := c.b.sending(s, func(_ *conn, dst []byte) []byte { return s.out.Release(dst, c.now.UnixNano(), m.PacketID, m.Seq) })
		c.b.effects(s, &e)
		if to != nil && to != c {
			c.given(to)
		}
	}
}

// outbound works on the session's sending side. Where another connection has
// taken over, what f appends is lost, as it would be on a broken one.
func (c *conn) outbound(f func(b []byte) []byte) {
	_, e := c.b.sending(c.sess, func(to *conn, dst []byte) []byte {
		if to != c {
			f(nil)
			return dst
		}
		return f(dst)
	})
	c.b.effects(c.sess, &e)
}
