package engine

import "github.com/thingloom/thingloom/broker/internal/wire"

// A Message is one message on its way to any number of clients. It does not
// change once it is routed.
type Message struct {
	Topic   string
	Payload []byte
	Props   []byte // as wire.Publish.Props
	Expires int64  // when it expires, in Unix nanoseconds; 0 is never

	// Borrowed says that Payload and Props are a read buffer's: whoever keeps the message calls Keep.
	Borrowed bool
}

// Keep is m in memory of its own.
func (m *Message) Keep() *Message {
	if !m.Borrowed {
		return m
	}
	own := *m
	mem := make([]byte, len(m.Payload)+len(m.Props)) // one piece of memory for both
	n := copy(mem, m.Payload)
	copy(mem[n:], m.Props)
	own.Payload, own.Props, own.Borrowed = mem[:n:n], mem[n:], false
	return &own
}

// Size is what a waiting message counts against limits, in bytes.
func (m *Message) Size() int { return len(m.Topic) + len(m.Payload) + len(m.Props) + 64 }

// A Delivery is a message as one client gets it.
type Delivery struct {
	Msg    *Message
	Seq    uint64 // in the store; 0 outside of it
	SubIDs []uint32
	QoS    byte
	Retain bool
	// Drop, if set, is why the message is not to be sent: it counts as
	// acknowledged, so that the queue behind it moves on.
	Drop Drop
	// Released says that the client has a QoS 2 message already, from before the
	// broker was started: only PUBREL is to be sent.
	Released bool
}

// Drop is a reason not to send a message.
type Drop byte

// The reasons.
const (
	DropNone Drop = iota
	DropExpired
	DropTooLarge
	DropAge
	DropNotAuthorized
	DropCorrupt
)

// A Dropped is one message that was not sent.
type Dropped struct {
	Topic  string
	Reason Drop
}

// out is d as it goes onto the wire.
func (d *Delivery) out(now int64, id uint16, dup bool) wire.Out {
	o := wire.Out{Dup: dup, Retain: d.Retain, QoS: d.QoS, PacketID: id,
		Topic: d.Msg.Topic, Payload: d.Msg.Payload, Props: d.Msg.Props, SubIDs: d.SubIDs}
	if d.Msg.Expires > 0 {
		o.HasExpiry = true
		// [MQTT-3.3.2-6], a second that has begun counted as whole: what waits for less than one goes on as it came, and
		// what has not expired never says 0.
		o.Expiry = uint32(max(0, (d.Msg.Expires-now+1e9-1)/1e9))
	}
	return o
}

// tooLarge says that the peer does not take a packet of d's size [MQTT-3.1.2-24].
func (o *Outbound) tooLarge(now int64, d *Delivery) bool {
	if o.maxPacket >= maxFrame {
		return false
	}
	out := d.out(now, 0, false)
	return out.Size(o.version) > o.maxPacket
}

// unfit is why d cannot be sent now, if so.
func (o *Outbound) unfit(now int64, d *Delivery) Drop {
	if d.Drop != DropNone {
		return d.Drop
	}
	if d.Msg.Expires > 0 && now >= d.Msg.Expires {
		return DropExpired // [MQTT-3.3.2-5]
	}
	if o.tooLarge(now, d) {
		return DropTooLarge // [MQTT-3.1.2-25]
	}
	return DropNone
}

// maxFrame is the longest packet that MQTT can say.
const maxFrame = 268_435_455 + 5
