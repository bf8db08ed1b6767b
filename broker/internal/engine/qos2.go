package engine

import (
	"sort"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// Stored messages of QoS 2 have packet ids that follow from their numbers. So a
// broker that was killed sends a message again under the id that the client may have
// it under, and nothing about ids needs to be stored before a message is sent.
// What is stored is that the client has the message, before PUBREL says so: from
// then on it would take another PUBLISH for a new message.

// fixed reports whether the slot's packet id follows from its number.
func (s *slot) fixed() bool { return s.QoS == 2 && s.Seq > 0 }

// storedID is the packet id of a stored message of QoS 2.
func storedID(seq uint64) uint16 { return uint16(maxRing + 1 + seq%(maxRing+1)) }

// idOf is the packet id of a slot.
func (o *Outbound) idOf(i int) uint16 {
	if s := &o.slots[i]; s.fixed() {
		return storedID(s.Seq)
	}
	return after(o.firstID, i-o.head)
}

// indexOfStored finds the slot of a stored message of QoS 2. Few numbers between the
// first and the last in flight have the packet id: each is looked up.
func (o *Outbound) indexOfStored(id uint16) int {
	flying := o.slots[o.head:o.next]
	if len(flying) == 0 {
		return -1
	}
	const step = maxRing + 1
	first, last := flying[0].Seq, flying[len(flying)-1].Seq
	seq := first + (uint64(id)-step+step-first%step)%step
	for ; seq <= last; seq += step {
		i := sort.Search(len(flying), func(i int) bool { return flying[i].Seq >= seq })
		if i < len(flying) && flying[i].Seq == seq && flying[i].fixed() && !flying[i].done {
			return o.head + i
		}
	}
	return -1
}

// clashes reports whether d has to wait because an earlier message with its packet
// id is not over: the id is in use until PUBCOMP [MQTT-2.2.1-4], and order lets nothing overtake d. So a client that
// never completes an exchange holds back its own messages, from the one numbered 32,768 after it on, as it
// would by the bound of the ring if they were all its own. They stay in the store, other clients notice nothing, and
// the next connection begins with the PUBREL that is to be answered.
func (o *Outbound) clashes(d *Delivery) bool {
	return d.QoS == 2 && d.Seq > 0 && o.indexOfStored(storedID(d.Seq)) >= 0
}

// A Receipt is what a PUBREC means.
type Receipt byte

// The receipts.
const (
	NotInUse  Receipt = iota // answer PUBREL with 0x92 [MQTT5 4.4]
	Taken                    // store it and call Release
	Repeated                 // it is being stored: nothing to do
	Confirmed                // PUBREL was sent again
	Rejected                 // the client does not want the message: it is over
)

// Misplaced reports whether an acknowledgement of type t is not what the exchange of its packet
// id waits for, nor what came before in it. One for a packet id that is not in use is not misplaced.
func (o *Outbound) Misplaced(t wire.Type, id uint16) bool {
	i := o.index(id)
	if i < 0 || i >= o.next || o.slots[i].done {
		return false
	}
	s := &o.slots[i]
	switch t {
	case wire.PUBACK:
		return s.QoS == 2
	case wire.PUBREC:
		return s.QoS != 2
	}
	return s.QoS != 2 || !s.released && !s.received
}

// Received takes a PUBREC. seq is the number of the message, 0 if it is not stored.
func (o *Outbound) Received(dst []byte, now int64, id uint16, code wire.Code) (_ []byte, seq uint64, r Receipt) {
	i := o.index(id)
	if i < 0 || i >= o.next || o.slots[i].done || o.slots[i].QoS != 2 {
		return dst, 0, NotInUse
	}
	s := &o.slots[i]
	switch {
	case s.released:
		return wire.AppendAck(dst, o.version, wire.PUBREL, id, wire.Success), s.Seq, Confirmed
	case code >= wire.Unspecified: // [MQTT-4.4.0-2] does not hold for it, and the quota comes back [MQTT5 4.9]
		seq = s.Seq
		o.flight -= s.size
		o.unacked--
		o.effects.Acked++
		o.settle(i)
		return o.pump(dst, now), seq, Rejected
	case s.received:
		return dst, s.Seq, Repeated
	}
	s.received = true
	return dst, s.Seq, Taken
}

// Release notes that the client has a message for good, and says so [MQTT-4.3.3-6]. If the connection that
// the PUBREC came on is gone, the next one says so, or is about to send the message again and hears another PUBREC.
func (o *Outbound) Release(dst []byte, now int64, id uint16, seq uint64) []byte {
	i := -1
	if seq > 0 {
		ring := o.slots[o.head:]
		k := sort.Search(len(ring), func(k int) bool { return ring[k].Seq >= seq })
		if k < len(ring) && ring[k].Seq == seq {
			i = o.head + k
		}
	} else {
		i = o.index(id)
	}
	if i < 0 || o.slots[i].done || o.slots[i].released {
		return dst
	}
	s := &o.slots[i]
	if i < o.next { // what is to be sent again is not in flight
		o.flight -= s.size
	}
	live := s.received
	s.received, s.released, s.Msg = false, true, nil
	switch {
	case !o.connected:
		return dst
	case !live:
		return o.pump(dst, now) // it may be what the next connection waits for
	}
	return wire.AppendAck(dst, o.version, wire.PUBREL, o.idOf(i), wire.Success)
}

// Resume sends, once the client has attached again, the PUBREL that come before all that must be read back.
func (o *Outbound) Resume(dst []byte, now int64) []byte { return o.pump(dst, now) }

// Completed takes a PUBCOMP. ok is false if no PUBREL waits for it.
func (o *Outbound) Completed(dst []byte, now int64, id uint16) (_ []byte, ok bool) {
	i := o.index(id)
	if i < 0 || i >= o.next || o.slots[i].done || !o.slots[i].released {
		return dst, false
	}
	o.unacked--
	o.effects.Acked++
	o.settle(i)
	return o.pump(dst, now), true
}
