package broker

import (
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// acknowledged takes a PUBACK. One for a packet id that is not in use says
// nothing [MQTT5 3.4.2.1].
func (c *conn) acknowledged(a *wire.Ack) error {
	wrong := false
	c.outbound(func(b []byte) []byte {
		b, ok := c.sess.out.Ack(b, c.now.UnixNano(), a.PacketID)
		wrong = !ok && c.sess.out.Misplaced(wire.PUBACK, a.PacketID)
		return b
	})
	if wrong {
		return c.misplaced(wire.PUBACK, a)
	}
	return nil
}

// misplaced ends the connection for an answer of another kind than its exchange has: the two sides no longer
// mean the same message.
func (c *conn) misplaced(t wire.Type, a *wire.Ack) error {
	return c.refuse(wire.ProtocolError, ClientError, fmt.Errorf("%w: %v for packet identifier %d, which waits for another answer", ErrProtocol, t, a.PacketID))
}

// endBatch makes durable what this batch published, and then acknowledges
// all of it by the packet that the QoS asks for, in the order in which it came [MQTT-3.3.4-1] [MQTT-2.2.1-5] [MQTT-4.3.2-4]
// [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-4].
func (c *conn) endBatch() error {
	defer c.dequeue(c.aside)
	if len(c.acks) == 0 && len(c.batch.entries) == 0 && len(c.batch.marks) == 0 {
		return nil
	}
	if len(c.batch.entries) > 0 || len(c.batch.marks) > 0 {
		c.aside()
		c.flushDirty() // others need not wait for the disk
	}
	err := c.b.commit(&c.batch)
	flush(c.batch.dirty)
	if err == nil {
		c.releaseStored(c.batch.marks)
	}
	exchanges := err != nil && len(c.batch.marks) > 0 // are to begin anew, on another connection
	c.batch.reset()

	refused, settled := c.settle(err)
	version := c.engine.Version
	c.send(func(b []byte) []byte {
		for _, a := range c.acks {
			b = wire.AppendAck(b, version, a.packet, a.id, wire.Code(a.code))
		}
		return b
	})
	c.engine.Acked(settled)
	c.acks = c.acks[:0]
	if refused || exchanges {
		return &ConnError{Reason: ServerError, Code: unspecified, Err: errors.Join(errors.New("broker: publish refused"), err)}
	}
	return nil
}

// giveUp ends a batch that cannot be brought to its end: nothing more of it is acknowledged.
func (c *conn) giveUp(err error) error {
	c.takeBack()
	c.acks = c.acks[:0]
	c.batch.reset()
	return &ConnError{Reason: ServerError, Code: unspecified, Err: err}
}

// takeBack is for a batch that could not be stored. What was to be stored with it begins anew when
// the client sends it again: noted as seen, it would be acknowledged then, and be nowhere.
func (c *conn) takeBack() {
	for _, a := range c.acks {
		switch {
		case !a.durable:
		case a.packet == wire.PUBCOMP:
			c.sess.seen(a.id, true) // the mark is still stored
		case a.packet == wire.PUBREC:
			c.forgo(a.id)
		}
	}
}

// settle decides what is said in the acknowledgements, after the commit that ended with
// err, and counts those that end what they acknowledge. Where a refusal cannot be said nothing is
// acknowledged from there on, and the connection is to end.
func (c *conn) settle(err error) (refused bool, settled int) {
	if err != nil {
		c.takeBack()
	}
	for i := range c.acks {
		a := &c.acks[i]
		if err != nil && a.durable {
			a.code = refusal(err)
			refused = a.packet == wire.PUBCOMP // there is no code to say it in
		}
		if a.code >= unspecified && a.packet != wire.PUBCOMP {
			c.b.count.refused.Add(1)
			refused = refused || c.engine.Version != 5 // 3.1.1 has no refusal
		}
		if refused {
			c.acks = c.acks[:i]
			return true, settled
		}
		switch {
		case a.packet == wire.PUBCOMP:
			if c.open2[a.id] {
				delete(c.open2, a.id)
				settled++
			}
		case a.packet == wire.PUBACK || a.code >= unspecified:
			settled++
		}
	}
	return false, settled
}
