package engine

import (
	"sort"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// An Outbound is the sending side of one session. The zero value is a fresh
// session that is not connected. Methods that send append to the buffer given and return it.
type Outbound struct {
	version    byte
	connected  bool
	filling    bool   // somebody reads the stored queue
	firstID    uint16 // of slots[head]; 0 before the first
	window     int    // how many may be unacknowledged
	maxPacket  int
	aliases    aliases
	maxPending int // bytes of pending

	slots   []slot  // slots[head:] are the ring, with consecutive packet ids
	ring    *[]slot // what slots lie in, see grow
	head    int
	next    int // slots[next:] were sent on an earlier connection and not on this one
	unacked int // sent on this connection and unacknowledged
	flight  int // their bytes: at most maxPending, unless it is one message

	pending      queue // deliveries without a packet id
	pendingBytes int

	// Numbers of a durable session's stored queue.
	tail     uint64 // the last one there is
	read     uint64 // the last one that came into slots or pending
	acked    uint64 // all up to it are acknowledged
	dequeued uint64 // of acked, what Dequeue has told

	// What happened, until taken with Effects.
	effects Effects
}

// Effects are what an Outbound did since last asked.
type Effects struct {
	Sent    [3]int32 // by QoS
	Acked   int32
	Settled int32 // durable deliveries that are over: acknowledged or dropped
	Bytes   int   // their sizes
	Dropped []Dropped
}

type slot struct {
	Delivery
	size     int
	sent     bool // on any connection
	received bool // PUBREC came; released once that is durable
	released bool // PUBREL is sent, PUBCOMP awaited; Msg is gone
	done     bool
}

// A Result is what became of a live delivery.
type Result byte

// The results.
const (
	Sent    Result = iota
	Held           // waits for the window
	Refused        // does not fit, see Effects
	Full           // no room: nothing was done
)

// Attach begins a connection, whose quota is window [MQTT-4.9.0-1]. Unacknowledged messages are to be sent again:
// Need asks for those that Detach let go of.
func (o *Outbound) Attach(version byte, window, maxPacket, maxPending int) {
	if maxPacket <= 0 {
		maxPacket = maxFrame
	}
	o.version, o.window, o.maxPacket, o.maxPending = version, window, maxPacket, maxPending
	o.connected = true
	o.aliases = aliases{}
	o.next, o.unacked, o.flight = o.head, 0, 0
}

// Detach ends a connection. Messages are let go of, since a durable session's
// are in the store; packet ids stay.
func (o *Outbound) Detach() {
	o.connected, o.filling = false, false
	o.aliases = aliases{}
	o.unacked = 0
	for i := o.head; i < len(o.slots); i++ {
		o.slots[i].Msg, o.slots[i].received = nil, false
	}
	o.pending, o.pendingBytes = queue{}, 0
	o.read = o.acked
	if n := len(o.slots); n > o.head {
		o.read = max(o.read, o.slots[n-1].Seq)
	}
}

// Waiting counts deliveries that are held or unacknowledged.
func (o *Outbound) Waiting() int {
	n := o.pending.len()
	for i := o.head; i < len(o.slots); i++ {
		if !o.slots[i].done {
			n++
		}
	}
	return n
}

// Send sends a QoS 0 message.
func (o *Outbound) Send(dst []byte, now int64, d *Delivery) ([]byte, Result) {
	if why := o.unfit(now, d); why != DropNone {
		o.drop(d, why)
		return dst, Refused
	}
	return o.emit(dst, now, d, 0, false), Sent // [MQTT-4.3.1-1]
}

// Live takes a delivery of a session that is not durable. What is sent is not kept: the session ends with its
// connection, so it is never sent again. What is held is kept, and d.Msg then is the copy if it was borrowed.
func (o *Outbound) Live(dst []byte, now int64, d *Delivery) ([]byte, Result) {
	if o.pending.len() == 0 && o.roomy() {
		if why := o.unfit(now, d); why != DropNone {
			o.drop(d, why)
			return dst, Refused
		}
		return o.pushLive(dst, now, d), Sent
	}
	if o.pendingBytes+d.Msg.Size() > o.maxPending {
		return dst, Full
	}
	d.Msg = d.Msg.Keep()
	o.hold(d)
	return dst, Held
}

// Stored says that a delivery is in the store under d.Seq. It is taken
// over from memory if all before it were and there is room, else read back later.
func (o *Outbound) Stored(dst []byte, now int64, d *Delivery) []byte {
	if d.Seq <= o.tail {
		return dst // was read from the store before its publisher came to tell
	}
	caughtUp := o.read >= o.tail
	o.tail = d.Seq
	if d.Seq <= o.read || !o.connected || o.filling || !caughtUp || o.next < len(o.slots) ||
		o.pending.len() > 0 && o.pendingBytes+d.Msg.Size() > o.maxPending {
		return dst
	}
	o.read = d.Seq
	o.hold(d)
	return o.pump(dst, now)
}

// Leave says that a delivery is in the store under seq, and that it is to stay there until it is read. It
// reports false, and does nothing, where no acknowledgement is awaited that would have it read.
func (o *Outbound) Leave(seq uint64) bool {
	if o.unacked == 0 || seq <= o.tail {
		return false
	}
	o.tail = seq
	return true
}

// Held is how much waits in memory for the window or an acknowledgement, in bytes.
func (o *Outbound) Held() int {
	if !o.connected {
		return 0
	}
	return o.pendingBytes + o.flight
}

// Known sets the number of the last stored message, when a session is loaded.
func (o *Outbound) Known(tail uint64) { o.tail = max(o.tail, tail) }

// Ack takes an acknowledgement. ok is false if the packet id is not in use.
func (o *Outbound) Ack(dst []byte, now int64, id uint16) (_ []byte, ok bool) {
	i := o.index(id)
	if i < 0 || i >= o.next || o.slots[i].done || o.slots[i].QoS == 2 {
		return dst, false
	}
	o.flight -= o.slots[i].size
	o.unacked-- // the quota comes back whatever else happens [MQTT-4.9.0-2]
	o.effects.Acked++
	o.settle(i)
	return o.pump(dst, now), true
}

// settle ends slot i, which counted as unacknowledged until now [MQTT-4.3.2-3] [MQTT-4.3.3-5], and moves the ring past what is over at its front.
func (o *Outbound) settle(i int) {
	o.finish(i)
	o.advance()
}

// finish marks slot i as over.
func (o *Outbound) finish(i int) {
	s := &o.slots[i]
	s.done, s.Msg = true, nil
	if s.Seq > 0 {
		o.effects.Settled++
		o.effects.Bytes += s.size
	}
}

// advance moves the front of the ring past what is over.
func (o *Outbound) advance() {
	for o.head < len(o.slots) && o.slots[o.head].done {
		o.acked = max(o.acked, o.slots[o.head].Seq)
		o.slots[o.head] = slot{}
		o.head++
		o.firstID = after(o.firstID, 1)
	}
	o.next = max(o.next, o.head)
	switch {
	case o.head == len(o.slots):
		o.slots, o.head, o.next = o.slots[:0], 0, 0
		if cap(o.slots) > restSlots {
			o.giveRing()
		}
	case o.head >= 32 && o.head >= len(o.slots)/2:
		n := copy(o.slots, o.slots[o.head:])
		clear(o.slots[n:])
		o.slots, o.next, o.head = o.slots[:n], o.next-o.head, 0
	}
}

// Dequeue returns the number up to which everything stored is acknowledged, if it
// has grown since the last call.
func (o *Outbound) Dequeue() (upTo uint64, ok bool) {
	if o.acked <= o.dequeued {
		return 0, false
	}
	o.dequeued = o.acked
	return o.acked, true
}

// Effects returns what happened since the last call.
func (o *Outbound) Effects() Effects {
	e := o.effects
	o.effects = Effects{}
	return e
}

// maxRing is the last of the packet ids that the ring gives in order. Those above
// are for stored messages of QoS 2, see idOf.
const maxRing = 32767

// index finds the slot of a packet id, -1 if there is none.
func (o *Outbound) index(id uint16) int {
	if id > maxRing {
		return o.indexOfStored(id)
	}
	if o.firstID == 0 || id == 0 {
		return -1
	}
	k := int(id) - int(o.firstID)
	if k < 0 {
		k += maxRing
	}
	if i := o.head + k; i < len(o.slots) && !o.slots[i].fixed() {
		return i
	}
	return -1
}

// after is the packet id n places behind id: they go from 1 to maxRing.
func after(id uint16, n int) uint16 { return uint16((int(id)-1+n)%maxRing + 1) }

// roomy reports whether one more message may be sent. Acknowledged
// slots behind an unacknowledged one take part, so that a peer that never acknowledges one
// message cannot make the ring grow forever.
func (o *Outbound) roomy() bool {
	return o.next == len(o.slots) && o.open() && len(o.slots)-o.head < max(8*o.window, 512) && len(o.slots)-o.head < maxRing
}

// open reports whether the peer may be sent one more to acknowledge.
func (o *Outbound) open() bool {
	return o.unacked < o.window && (o.unacked == 0 || o.flight < o.maxPending)
}

func (o *Outbound) hold(d *Delivery) {
	o.pending.push(*d)
	o.pendingBytes += d.Msg.Size()
}

// push gives d a packet id that is not in use and sends it, without DUP [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.3-1] [MQTT-4.3.3-2].
func (o *Outbound) push(dst []byte, now int64, d *Delivery) []byte {
	i := o.slot(d)
	s := &o.slots[i]
	s.sent = true
	o.unacked++
	if d.Released {
		s.released, s.Msg = true, nil
		return wire.AppendAck(dst, o.version, wire.PUBREL, o.idOf(i), wire.Success)
	}
	o.flight += s.size
	return o.emit(dst, now, d, o.idOf(i), false)
}

// pushLive is push for what is not in the store, and lets go of the message.
func (o *Outbound) pushLive(dst []byte, now int64, d *Delivery) []byte {
	dst = o.push(dst, now, d)
	o.slots[o.next-1].Msg = nil
	return dst
}

// slot puts d behind the ring's end.
func (o *Outbound) slot(d *Delivery) int {
	if o.firstID == 0 {
		o.firstID = 1
	}
	o.grow()
	o.slots = append(o.slots, slot{Delivery: *d, size: d.Msg.Size()})
	o.next = len(o.slots)
	return o.next - 1
}

func (o *Outbound) emit(dst []byte, now int64, d *Delivery, id uint16, dup bool) []byte {
	out := d.out(now, id, dup)
	if o.aliases.most > 0 {
		out.Topic, out.Alias = o.aliases.take(out.Topic, out.Size(o.version)+3 <= o.maxPacket)
	}
	o.effects.Sent[d.QoS]++
	return wire.AppendPublish(dst, o.version, &out)
}

func (o *Outbound) drop(d *Delivery, why Drop) {
	o.effects.Dropped = append(o.effects.Dropped, Dropped{d.Msg.Topic, why})
}

// pump sends what the window allows: first again what an earlier connection
// left, then what waits, in the order in which it came [MQTT-4.6.0-5] [MQTT-4.6.0-6]. Other packets do not pass through here, and
// are not held back at zero [MQTT-3.3.4-10] [MQTT-4.9.0-3].
func (o *Outbound) pump(dst []byte, now int64) []byte {
	for o.next < len(o.slots) {
		s := &o.slots[o.next]
		if s.released && !s.done {
			if o.unacked >= o.window {
				return dst
			}
			o.unacked++
			dst = wire.AppendAck(dst, o.version, wire.PUBREL, o.idOf(o.next), wire.Success) // [MQTT-4.4.0-1]
		} else if !s.done {
			if s.Msg == nil || !o.open() {
				return dst
			}
			// It may be too large for this connection. That it has expired breaks off no exchange [MQTT-4.3.3-7] [MQTT-4.3.3-13].
			if o.tooLarge(now, &s.Delivery) {
				o.drop(&s.Delivery, DropTooLarge)
				o.settle(o.next)
				continue
			}
			o.unacked++
			o.flight += s.size
			dst = o.emit(dst, now, &s.Delivery, o.idOf(o.next), s.sent) // [MQTT-4.4.0-1] [MQTT-3.3.1-1]
			s.sent = true
		}
		o.next++
	}
	for o.pending.len() > 0 && o.roomy() && !o.clashes(o.pending.first()) {
		d := o.pending.pop()
		o.pendingBytes -= d.Msg.Size()
		if why := o.unfit(now, &d); why != DropNone && !d.Released {
			o.drop(&d, why)
			if d.Seq > 0 {
				o.settle(o.slot(&d))
			}
			continue
		}
		if d.Seq == 0 {
			dst = o.pushLive(dst, now, &d)
		} else {
			dst = o.push(dst, now, &d)
		}
	}
	return dst
}

// Need asks for stored messages: those numbered above after, in order, some
// dozens of them. Each Need that says ok is answered by one Filled.
func (o *Outbound) Need() (after uint64, ok bool) {
	if !o.connected || o.filling {
		return 0, false
	}
	for i := o.next; i < len(o.slots); i++ {
		if s := &o.slots[i]; !s.done && !s.released && s.Msg == nil {
			o.filling = true
			return s.Seq - 1, true
		}
	}
	if o.read >= o.tail || o.next < len(o.slots) || !o.open() || o.pending.len() > o.window/2 {
		return 0, false
	}
	o.filling = true
	return o.read, true
}

// Filled gives what Need asked for. end says that the queue had no more after it.
func (o *Outbound) Filled(dst []byte, now int64, got []Delivery, end bool, tail uint64) []byte {
	if !o.filling {
		return dst // the connection that asked is gone
	}
	o.filling = false
	for i := range got {
		d := &got[i]
		if d.Seq > o.read {
			o.read = d.Seq
			o.hold(d)
			continue
		}
		ring := o.slots[o.next:]
		k := sort.Search(len(ring), func(k int) bool { return ring[k].Seq >= d.Seq })
		if k < len(ring) && ring[k].Seq == d.Seq && !ring[k].done && !ring[k].released {
			seen := ring[k].size
			ring[k].Delivery = *d
			ring[k].size = seen
		}
	}
	if end {
		o.read = max(o.read, tail)
	}
	o.lost(got, end)
	return o.pump(dst, now)
}

// lost settles slots whose messages the store no longer has, or that may not be sent.
func (o *Outbound) lost(got []Delivery, end bool) {
	var upTo uint64
	if end {
		upTo = ^uint64(0)
	} else if len(got) > 0 {
		upTo = got[len(got)-1].Seq
	}
	for i := o.next; i < len(o.slots); i++ {
		s := &o.slots[i]
		if s.done || s.released || s.Seq > upTo || s.Msg != nil && s.Drop == DropNone {
			continue
		}
		if s.Msg != nil {
			o.drop(&s.Delivery, s.Drop)
		}
		o.finish(i)
	}
	o.advance()
}

// Tail is the number of the last stored message.
func (o *Outbound) Tail() uint64 { return o.tail }

// Failed ends a Need that could not be met; a later Need asks again.
func (o *Outbound) Failed() { o.filling = false }

// Holding reports whether deliveries wait for the window.
func (o *Outbound) Holding() bool { return o.pending.len() > 0 || o.read < o.tail }

// Discard forgets stored messages up to upTo, which the store no longer has.
// The session is not connected.
func (o *Outbound) Discard(upTo uint64) {
	for i := o.head; i < len(o.slots) && o.slots[i].Seq <= upTo; i++ {
		if !o.slots[i].done {
			o.finish(i)
		}
	}
	o.advance()
	o.acked, o.read, o.dequeued = max(o.acked, upTo), max(o.read, upTo), max(o.dequeued, upTo)
}
