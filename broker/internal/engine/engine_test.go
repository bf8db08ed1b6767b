package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// sent reads what an Outbound wrote to a 3.1.1 client.
func sent(t *testing.T, b []byte) (all []wire.Publish) {
	t.Helper()
	for len(b) > 0 {
		f, size, err := wire.Next(b, 1<<20)
		if err != nil || size > len(b) {
			t.Fatal(err, size)
		}
		var p wire.Publish
		if err := wire.DecodePublish(&f, 4, &p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
		b = b[size:]
	}
	return all
}

// TestDurableModel runs random schedules of storing, connecting, acknowledging, reading back and
// being cut against the one law: every message comes, in order of first
// delivery, until it is acknowledged, and never more than the window is open.
func TestDurableModel(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var (
			o         Outbound
			store     []uint64            // what the store has, in order
			acked     = map[uint64]bool{} // by the client
			got       []uint64            // first deliveries, in order
			open      = map[uint16]uint64{}
			connected bool
			window    int
			seq       uint64
		)
		take := func(b []byte) {
			for _, p := range sent(t, b) {
				var n uint64
				fmt.Sscan(string(p.Payload), &n)
				switch {
				case acked[n]:
					t.Fatalf("seed %d: %d comes after its acknowledgement", seed, n)
				case open[p.PacketID] != 0:
					t.Fatalf("seed %d: packet id %d is in use", seed, p.PacketID)
				case slices.Contains(got, n) != p.Dup:
					t.Fatalf("seed %d: %d with dup %v", seed, n, p.Dup)
				}
				open[p.PacketID] = n
				if !p.Dup {
					if len(got) > 0 && n <= got[len(got)-1] {
						t.Fatalf("seed %d: %d after %d", seed, n, got[len(got)-1])
					}
					got = append(got, n)
				}
				if len(open) > window {
					t.Fatalf("seed %d: %d unacknowledged in a window of %d", seed, len(open), window)
				}
			}
			o.Effects()
			if to, ok := o.Dequeue(); ok {
				for len(store) > 0 && store[0] <= to {
					if !acked[store[0]] {
						t.Fatalf("seed %d: %d is dequeued unacknowledged", seed, store[0])
					}
					store = store[1:]
				}
			}
		}
		msg := func(n uint64) *Message { return &Message{Topic: "t", Payload: fmt.Append(nil, n)} }
		fill := func() {
			for {
				after, ok := o.Need()
				if !ok {
					return
				}
				tail := o.Tail()
				var batch []Delivery
				end := true
				most := 1 + rng.IntN(8)
				for _, n := range store {
					if n <= after {
						continue
					}
					if len(batch) == most {
						end = false
						break
					}
					batch = append(batch, Delivery{Msg: msg(n), Seq: n, QoS: 1})
				}
				take(o.Filled(nil, 0, batch, end, tail))
			}
		}
		for range 400 {
			switch k := rng.IntN(10); {
			case k < 4:
				seq += 1 + uint64(rng.IntN(3))
				store = append(store, seq)
				take(o.Stored(nil, 0, &Delivery{Msg: msg(seq), Seq: seq, QoS: 1}))
			case k < 5 && !connected:
				window = 1 + rng.IntN(10)
				o.Attach(4, window, 0, []int{1, 500, 1 << 20}[rng.IntN(3)])
				connected = true
				fill()
			case k < 6 && rng.IntN(4) == 0:
				o.Detach()
				connected = false
				clear(open)
			case connected && len(open) > 0:
				ids := make([]uint16, 0, len(open))
				for id := range open {
					ids = append(ids, id)
				}
				slices.Sort(ids)
				id := ids[rng.IntN(len(ids))]
				acked[open[id]] = true
				delete(open, id)
				b, ok := o.Ack(nil, 0, id)
				if !ok {
					t.Fatalf("seed %d: acknowledgement of %d is not known", seed, id)
				}
				take(b)
				fill()
			}
		}
		// In the end, with a client that acknowledges, everything comes.
		if connected {
			o.Detach()
			clear(open)
		}
		window = 5
		o.Attach(4, window, 0, 1000)
		fill()
		for len(open) > 0 {
			for id, n := range open {
				acked[n] = true
				delete(open, id)
				b, _ := o.Ack(nil, 0, id)
				take(b)
				fill()
				break
			}
		}
		if len(store) > 0 || o.Holding() || o.Waiting() > 0 {
			t.Fatalf("seed %d: %d left in the store, %d waiting", seed, len(store), o.Waiting())
		}
	}
}

func TestPacketIDsWrap(t *testing.T) {
	var o Outbound
	o.Attach(4, 10, 0, 1<<20)
	m := &Message{Topic: "t"}
	last := uint16(0)
	for i := range 200_000 {
		b, r := o.Live(nil, 0, &Delivery{Msg: m, QoS: 1})
		if r != Sent {
			t.Fatal(i, r)
		}
		id := sent(t, b)[0].PacketID
		if want := last%maxRing + 1; id != want {
			t.Fatalf("message %d has packet id %d, want %d", i, id, want)
		}
		last = id
		if _, ok := o.Ack(nil, 0, id); !ok {
			t.Fatal("not known")
		}
		if _, ok := o.Ack(nil, 0, id); ok {
			t.Fatal("acknowledged twice")
		}
	}
}

// TestOneNeverAcknowledged: a peer that acknowledges all but one cannot make the ring grow.
func TestOneNeverAcknowledged(t *testing.T) {
	var o Outbound
	o.Attach(4, 10, 0, 1<<20)
	m := &Message{Topic: "t"}
	full := false
	for range 100_000 {
		b, r := o.Live(nil, 0, &Delivery{Msg: m, QoS: 1})
		full = full || r == Full
		for _, p := range sent(t, b) {
			if p.PacketID != 1 {
				o.Ack(nil, 0, p.PacketID)
			}
		}
	}
	if !full || len(o.slots) > 1024 {
		t.Errorf("%d slots, full %v", len(o.slots), full)
	}
}

func TestInboundAliasesAndQuota(t *testing.T) {
	in := Inbound{Packets: &Packets{}, Limits: &Limits{MaxPacket: 1000, ReceiveMax: 1, AliasMax: 2, MaxQoS: 1}}
	connect := []byte("\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00")
	if typ, n, err := in.Next(connect); typ != wire.CONNECT || n != len(connect) || err != nil {
		t.Fatal(typ, n, err)
	}
	publish := func(topic string, props string) error {
		body := string([]byte{0, byte(len(topic))}) + topic + string([]byte{byte(len(props))}) + props
		_, _, err := in.Next([]byte("\x30" + string([]byte{byte(len(body))}) + body))
		return err
	}
	for _, c := range []struct{ topic, alias, want string }{
		{"a", "\x23\x00\x01", "a"}, {"b", "\x23\x00\x02", "b"}, {"", "\x23\x00\x01", "a"}, {"c", "\x23\x00\x01", "c"}, {"", "\x23\x00\x01", "c"},
	} {
		if err := publish(c.topic, c.alias); err != nil || string(in.Publish.Topic) != c.want {
			t.Errorf("%+v: %q, %v", c, in.Publish.Topic, err)
		}
	}
	q1 := []byte("\x32\x06\x00\x01a\x00\x01\x00")
	for range 3 {
		if _, _, err := in.Next(q1); err != nil {
			t.Fatal(err)
		}
		in.Acked(1)
	}
	in.Next(q1)
	if _, _, err := in.Next(q1); err == nil {
		t.Error("Receive Maximum is not kept")
	}
	for i := range q1 {
		if typ, need, err := in.Next(q1[:i]); typ != 0 || err != nil || need > len(q1) {
			t.Errorf("%d bytes: %v, %d, %v", i, typ, need, err)
		}
	}
}
