package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// TestFlood publishes as fast as it goes to a subscriber that does not read, of each kind. What waits for it is bounded,
// and what is too much is dropped, stored or refused as the options say; the flooding client itself is served.
func TestFlood(t *testing.T) {
	n := max(400, some(20_000))
	payload := strings.Repeat("x", 1000)
	for _, c := range []struct {
		name string
		o    connectOpts
		qos  byte
		end  byte // reason that the deaf client finds in the end
	}{
		{"QoS 0", connectOpts{id: "deaf"}, 0, 0},
		{"QoS 0, 3.1.1", connectOpts{id: "deaf", v: 4}, 0, 0},
		{"QoS 1", connectOpts{id: "deaf"}, 1, 0x97},
		{"QoS 2", connectOpts{id: "deaf", v: 4}, 2, 0},
		{"QoS 1, persistent", connectOpts{id: "deaf", expiry: 600}, 1, 0},
		{"QoS 2, persistent", connectOpts{id: "deaf", v: 4, resume: true}, 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			overloaded(t, func(t *testing.T, s *site) {
				before := heapInUse()
				deaf := s.connect(c.o)
				deaf.subscribe(c.qos, "flood/#")
				pub := s.connect(connectOpts{id: "pub", v: 4})
				for i := 0; i < n; i += 50 {
					var out, rel []byte
					for k := range 50 {
						out = append(out, pub.publishFrame(c.qos<<1, uint16(k+1), "flood/t", fmt.Sprintf("%08d%s", i+k, payload))...)
						rel = append(rel, 0x62, 2, 0, byte(k+1))
					}
					each := func(first byte) {
						for k := range 50 {
							pub.want(first, u16(uint16(k+1)))
						}
					}
					switch pub.write(out); c.qos {
					case 0:
						pub.write([]byte{0xC0, 0})
						pub.want(0xD0)
					case 1:
						each(0x40)
					case 2:
						each(0x50)
						pub.write(rel)
						each(0x70)
					}
				}
				// a megabyte of outbox, what is unacknowledged or waiting, and what a queue of 150 holds
				holds(t, "flooded", before, 8<<20)
				st := s.Stats()
				if most := int64(3 << 20); st.MemoryBytes > most {
					t.Errorf("%d bytes are counted", st.MemoryBytes)
				}
				durable := c.o.resume || c.o.expiry > 0
				ended := st.Disconnects[string(Throttled)]
				switch {
				case c.qos == 0 && (st.Dropped[DropSlowConsumer] == 0 && n > 10_000 || ended > 0):
					t.Errorf("dropped %v, %d ended", st.Dropped, ended)
				case durable && (st.Dropped[DropQueueFull] == 0 || ended > 0 || len(st.Dropped) > 1):
					t.Errorf("dropped %v, %d ended", st.Dropped, ended)
				}
				gone := c.qos > 0 && !durable
				if gone {
					until(t, "the deaf client is disconnected", func() bool { return s.Stats().Disconnects[string(Throttled)] == 1 })
				}
				// What came, came in order, without a gap before the first message that was dropped.
				if !gone {
					deaf.write([]byte{0xC0, 0})
				}
				next, gaps, reason := 0, 0, byte(0)
				for {
					k, err := deaf.readErr()
					if err != nil || k.first == 0xD0 {
						break
					}
					if k.first == 0xE0 {
						reason = k.body[0]
					}
					if k.first>>4 != 3 {
						continue
					}
					var at int
					if _, err := fmt.Sscanf(deaf.parse(k).payload, "%08dx", &at); err != nil || at < next {
						t.Fatalf("message %d after %d", at, next-1)
					}
					if at > next {
						gaps++
					}
					next = at + 1
				}
				if reason != c.end {
					t.Errorf("reason %x, want %x", reason, c.end)
				}
				if next == 0 || c.qos > 0 && gaps > 0 {
					t.Errorf("%d messages came, with %d gaps", next, gaps)
				}
				_ = deaf.nc.Close()
				_ = pub.nc.Close()
			}, func(o *Options) { o.MaxInflight, o.MaxPendingBytes, o.MaxQueueMessages = 100, 100<<10, 150 })
		})
	}
}

// TestManyUnreleased sends all the QoS 2 there can be and no PUBREL. An MQTT 5 client is told that it is too much, a
// 3.1.1 client has its 65,535 packet ids.
func TestManyUnreleased(t *testing.T) {
	most := max(1000, some(65_535))
	overloaded(t, func(t *testing.T, s *site) {
		before := heapInUse()
		p := s.connect(connectOpts{id: "five"})
		for i := range 101 {
			p.write(p.publishFrame(4, uint16(i+1), "t", ""))
		}
		for i := range 100 {
			p.want(0x50, u16(uint16(i+1)))
		}
		p.closed(0x93)
		var got atomic.Int64
		if _, err := s.Subscribe("open/#", func(context.Context, string, []byte) error { got.Add(1); return nil }); err != nil {
			t.Fatal(err)
		}
		p = s.connect(connectOpts{id: "three", v: 4, resume: true})
		for turn := range 2 { // and once more: they are known, and taken no second time
			for i := 0; i < most; i += 200 {
				var out []byte
				n := min(200, most-i)
				for k := range n {
					out = append(out, p.publishFrame(byte(4+8*turn), uint16(i+k+1), "open/t", "x")...)
				}
				p.write(out)
				for k := range n {
					p.want(0x50, u16(uint16(i+k+1)))
				}
			}
		}
		if got := got.Load(); got != int64(most) {
			t.Errorf("%d messages were taken, want %d", got, most)
		}
		holds(t, "all packet ids open", before, int64(most)*150+8<<20)
		for i := 0; i < most; i += 200 {
			var out []byte
			n := min(200, most-i)
			for k := range n {
				out = append(append(out, 0x62, 2), u16(uint16(i+k+1))...)
			}
			p.write(out)
			for k := range n {
				p.want(0x70, u16(uint16(i+k+1)))
			}
		}
		_ = p.nc.Close()
	}, func(o *Options) { o.ReceiveMaximum = 100 })
}

// TestManyUnreceived delivers QoS 2 to a client that answers nothing, answers half, and then all.
func TestManyUnreceived(t *testing.T) {
	n := max(200, some(5000))
	overloaded(t, func(t *testing.T, s *site) {
		before := heapInUse()
		o := connectOpts{id: "slow", v: 4, resume: true}
		p := s.connect(o)
		p.subscribe(2, "t")
		for i := range n {
			if err := s.PublishMessage(t.Context(), Message{Topic: "t", QoS: 2, Payload: fmt.Append(nil, i)}); err != nil {
				t.Fatal(err)
			}
		}
		window := min(n, 1000)
		var ids []uint16
		for i := range window {
			ids = append(ids, p.gets(2, "t", fmt.Sprint(i)).id)
		}
		p.write([]byte{0xC0, 0})
		p.want(0xD0) // no more than the window
		holds(t, "nothing answered", before, int64(n)*1500+4<<20)
		answer := func(first byte, ids []uint16) {
			for part := range slices.Chunk(ids, 100) {
				var out []byte
				for _, id := range part {
					out = append(append(out, first, 2), u16(id)...)
				}
				p.write(out)
			}
		}
		answer(0x50, ids)
		for i := range ids {
			p.want(0x62, u16(ids[i]))
		}
		p.write([]byte{0xC0, 0})
		p.want(0xD0) // the window is closed until PUBCOMP
		answer(0x70, ids)
		for came, over := window, window; over < n; {
			switch k := p.read(); k.first {
			case 0x34:
				d := p.parse(k)
				if d.payload != fmt.Sprint(came) {
					t.Fatalf("got %+v, want %d", d, came)
				}
				came++
				answer(0x50, []uint16{d.id})
			case 0x62:
				over++
				answer(0x70, []uint16{binary.BigEndian.Uint16(k.body)})
			default:
				t.Fatalf("got %v", k)
			}
		}
		p.write([]byte{0xC0, 0})
		p.want(0xD0)
		until(t, "nothing is queued", func() bool { c, _ := s.Client("slow"); return c.Queued == 0 })
		_ = p.nc.Close()
	})
}
