package engine

import (
	"bytes"
	"testing"
)

// TestLiveKeepsOnlyWhatItHolds lends a message, takes its memory back, and looks at what comes of it.
func TestLiveKeepsOnlyWhatItHolds(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		var o Outbound
		o.Attach(4, 1, 0, 1<<20)
		mem := []byte("first")
		lent := Message{Topic: "t", Payload: mem, Borrowed: true}
		d := Delivery{Msg: &lent, QoS: qos}
		b, r := o.Live(nil, 0, &d)
		if got := sent(t, b); r != Sent || len(got) != 1 || string(got[0].Payload) != "first" || d.Msg != &lent {
			t.Fatalf("QoS %d: %v, %+v, copied: %v", qos, r, got, d.Msg != &lent)
		}
		if o.slots[0].Msg != nil {
			t.Errorf("QoS %d: what is sent is kept", qos)
		}
		copy(mem, "SECON")
		d = Delivery{Msg: &lent, QoS: qos}
		if _, r := o.Live(nil, 0, &d); r != Held || d.Msg == &lent || d.Msg.Borrowed {
			t.Fatalf("QoS %d: %v, %+v", qos, r, d.Msg)
		}
		other := Delivery{Msg: d.Msg, QoS: qos} // for the next of the publication's receivers
		if _, r := o.Live(nil, 0, &other); r != Held || other.Msg != d.Msg {
			t.Errorf("QoS %d: %v, copied twice", qos, r)
		}
		copy(mem, "xxxxx")
		if qos == 1 {
			b, _ = o.Ack(nil, 0, 1)
		} else {
			o.Received(nil, 0, 1, 0)
			o.Release(nil, 0, 1, 0)
			b, _ = o.Completed(nil, 0, 1)
		}
		if got := sent(t, b); len(got) != 1 || string(got[0].Payload) != "SECON" {
			t.Errorf("QoS %d: then came %+v", qos, got)
		}
	}
}

// TestRingsAreShared fills and empties rings of all sizes, alone and beside each other: none sees another's slots, none
// is held when empty, and no allocation is needed once there are enough.
func TestRingsAreShared(t *testing.T) {
	var all [3]Outbound
	msg := &Message{Topic: "t", Payload: bytes.Repeat([]byte("x"), 10)}
	dst := make([]byte, 0, 64)
	round := func() {
		for n := 1; n <= 5000; n = n*3 + 1 {
			for i := range all {
				o := &all[i]
				for range n {
					d := Delivery{Msg: msg, QoS: 1}
					if _, r := o.Live(dst, 0, &d); r != Sent {
						t.Fatalf("%d: %v", n, r)
					}
				}
			}
			for i := range all {
				o := &all[i]
				for o.unacked > 0 {
					if _, ok := o.Ack(dst, 0, o.firstID); !ok {
						t.Fatalf("%d: %d is not in use", n, o.firstID)
					}
				}
				if cap(o.slots) > restSlots || len(o.slots) > 0 {
					t.Fatalf("%d slots of %d are held by nobody", len(o.slots), cap(o.slots))
				}
			}
		}
	}
	for i := range all {
		all[i].Attach(4, 16384, 0, 1<<30)
	}
	if n := testing.AllocsPerRun(3, round); n > 100 { // under the race detector pools are leaky
		t.Errorf("%v allocations a round", n)
	}
}
