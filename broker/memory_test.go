package broker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestPacketTimeout: bytes now and then do not keep a connection; what the broker itself takes its time for does not end it.
func TestPacketTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		_, _ = b.Subscribe("slow", func(ctx context.Context, _ string, _ []byte) error { time.Sleep(8 * time.Second); return nil })
		for _, v := range []byte{4, 5} {
			p := join(t, b, connectOpts{v: v, id: "loris"})
			one := p.publishFrame(2, 1, "t", strings.Repeat("x", 100))
			code := byte(0)
			if v == 5 {
				code = 0x80
			}
			began := time.Now()
			for _, c := range one[:6] {
				p.write([]byte{c})
				time.Sleep(900 * time.Millisecond)
			}
			p.closed(code)
			if d := time.Since(began); d > 7*time.Second {
				t.Errorf("it took %v", d)
			}
		}
		p := join(t, b, connectOpts{id: "good"})
		one := p.publishFrame(2, 1, "t", "x")
		for range 3 { // slow, but each in time
			p.write(one[:3])
			time.Sleep(4 * time.Second)
			p.write(one[3:])
			p.want(0x40, u16(1))
		}
		p.write(p.publishFrame(2, 2, "slow", ""), one[:3]) // 8 s are the handler's
		p.want(0x40, u16(2))
		p.write(one[3:])
		p.want(0x40, u16(1))
		p.leave()
		if n := b.Stats().Disconnects["CLIENT_ERROR"]; n != 2 {
			t.Errorf("%d connections ended for it", n)
		}
	}, func(o *Options) { o.PacketTimeout = 5 * time.Second })
}

// TestMemoryLimit: subscribers that do not read, and a limit for all of them.
func TestMemoryLimit(t *testing.T) {
	const most, size, n = 256 << 10, 8 << 10, 100
	bubblePipes(t, func(t *testing.T, b *Broker) {
		durable := join(t, b, connectOpts{id: "durable", resume: true, expiry: 3600})
		durable.subscribe(1, "one")
		var slow []*peer
		for i := range 3 {
			p := join(t, b, connectOpts{id: fmt.Sprint("slow", i)})
			p.subscribe(0, "zero")
			slow = append(slow, p)
		}
		payload := strings.Repeat("x", size)
		for i := range n {
			if err := b.Publish(t.Context(), "one", []byte(fmt.Sprintf("%04d", i)+payload)); err != nil {
				t.Fatal(err)
			}
			if err := b.PublishMessage(t.Context(), Message{Topic: "zero", Payload: []byte(payload)}); err != nil {
				t.Fatal(err)
			}
			if held := b.Stats().MemoryBytes; held > most+4*(3*memoryStep+size) {
				t.Fatalf("%d bytes are held", held)
			}
		}
		s := b.Stats()
		if s.Dropped[DropMemory] == 0 || s.Dropped[DropMemory]+s.DeliveredQoS0 != 3*n || s.Dropped[DropSlowConsumer] != 0 {
			t.Errorf("%+v", s)
		}
		for v, code := range map[byte]byte{4: 3, 5: 0x89} {
			p := dial(t, b)
			p.connect(connectOpts{v: v, id: "new"})
			p.connack(code)
			p.closed(0)
		}
		large := durable // one that was let in before, with a large packet under way
		large.write(large.publishFrame(2, 1, "t", payload)[:100])
		for _, p := range slow {
			p.cut()
		}
		large.write(large.publishFrame(2, 1, "t", payload)[100:])
		for i := range n { // all of it came through the Store, in order
			k := durable.read()
			for k.first == 0x40 { // of its own publish
				k = durable.read()
			}
			d := durable.parse(k)
			if !strings.HasPrefix(d.payload, fmt.Sprintf("%04d", i)) {
				t.Fatalf("message %d: %.4s", i, d.payload)
			}
			durable.puback(d.id)
		}
		durable.leave()
		if held := b.Stats().MemoryBytes; held != 0 {
			t.Errorf("%d bytes are held by nobody", held)
		}
		join(t, b, connectOpts{id: "new"}).leave()
	}, func(o *Options) { o.MaxMemoryBytes = most })
}

// TestMemoryOfPartialPackets: many large packets that have begun to come.
func TestMemoryOfPartialPackets(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		good := join(t, b, connectOpts{id: "good"})
		var ended int
		var open []*peer
		for i := range 8 {
			p := dial(t, b)
			p.connect(connectOpts{id: fmt.Sprint(i)})
			k := p.read()
			if k.body[1] == 0x89 {
				p.closed(0)
				ended++
				continue
			}
			one := p.publishFrame(2, 1, "t", strings.Repeat("x", 200<<10))
			p.write(one[:100<<10])
			_ = p.nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			var b [4]byte
			if n, err := p.nc.Read(b[:]); n > 0 || !isTimeout(err) {
				ended++
				_ = p.nc.Close()
				p.ended()
				continue
			}
			open = append(open, p)
		}
		if ended == 0 || len(open) == 0 {
			t.Errorf("%d of 8 ended", ended)
		}
		good.publish(1, 1, "t", "x")
		for _, p := range open {
			p.cut()
		}
		good.leave()
		if held := b.Stats().MemoryBytes; held != 0 {
			t.Errorf("%d bytes are held by nobody", held)
		}
	}, func(o *Options) { o.MaxMemoryBytes = 400 << 10 })
}
