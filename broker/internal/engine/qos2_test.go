package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// TestExchangeNeverCompleted: a client that answers no PUBREL is held up by the first message whose packet id is
// that of the open exchange, with little in memory, also on its next connection; with PUBCOMP all of it comes, in order.
func TestExchangeNeverCompleted(t *testing.T) {
	const turn = maxRing + 1
	var o Outbound
	var got []string
	m := func(seq uint64) *Message { return &Message{Topic: "t", Payload: fmt.Append(nil, seq)} }
	take := func(b []byte) {
		t.Helper()
		for _, p := range sent(t, b) {
			got = append(got, string(p.Payload))
			if p.QoS == 1 {
				b, ok := o.Ack(nil, 0, p.PacketID)
				if !ok || len(b) > 0 {
					t.Fatalf("PUBACK of %s: %v, then %x", p.Payload, ok, b)
				}
			}
		}
	}
	o.Attach(4, 10, 0, 1000)
	take(o.Stored(nil, 0, &Delivery{Msg: m(1), Seq: 1, QoS: 2}))
	id := storedID(1)
	if _, seq, r := o.Received(nil, 0, id, wire.Success); seq != 1 || r != Taken {
		t.Fatalf("PUBREC: message %d, %d", seq, r)
	}
	o.Release(nil, 0, id, 1)

	take(o.Stored(nil, 0, &Delivery{Msg: m(turn), Seq: turn, QoS: 2})) // the packet id before
	take(o.Stored(nil, 0, &Delivery{Msg: m(turn + 1), Seq: turn + 1, QoS: 2}))
	for seq := uint64(turn + 2); seq < turn+2000; seq++ {
		take(o.Stored(nil, 0, &Delivery{Msg: m(seq), Seq: seq, QoS: 1}))
	}
	want := []string{"1", fmt.Sprint(turn)}
	if !slices.Equal(got, want) {
		t.Fatalf("%v came, want %v", got, want)
	}
	if o.pendingBytes > 1000 || len(o.slots) > 2 {
		t.Errorf("%d bytes and %d slots are in memory", o.pendingBytes, len(o.slots))
	}
	if after, ok := o.Need(); ok {
		t.Errorf("it wants more than it may send, after %d", after)
	}

	o.Detach()
	o.Attach(4, 10, 0, 1000)
	if b := o.Resume(nil, 0); !slices.Equal(b, wire.AppendAck(nil, 4, wire.PUBREL, id, wire.Success)) {
		t.Fatalf("the next connection begins with %x", b)
	}
	for round := 0; ; round++ { // what the store is asked for
		after, ok := o.Need()
		if !ok {
			break
		}
		if round > 5 {
			t.Fatal("it asks without end")
		}
		var more []Delivery
		for seq := max(after+1, turn); len(more) < 20; seq++ {
			qos := byte(1)
			if seq < turn+2 {
				qos = 2
			}
			more = append(more, Delivery{Msg: m(seq), Seq: seq, QoS: qos})
		}
		b := o.Filled(nil, 0, more, false, turn+1999)
		for _, p := range sent(t, b) {
			if string(p.Payload) != fmt.Sprint(turn) || !p.Dup {
				t.Fatalf("%s came, DUP %v", p.Payload, p.Dup)
			}
		}
	}

	b, ok := o.Completed(nil, 0, id)
	if !ok {
		t.Fatal("PUBCOMP is refused")
	}
	if all := sent(t, b); len(all) == 0 || string(all[0].Payload) != fmt.Sprint(turn+1) || all[0].PacketID != id {
		t.Errorf("with PUBCOMP came %v", all)
	}
}
