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
		if s := b.Stats(); s.MemoryBytes != s.KeptBytes {
			t.Errorf("%d bytes are held by nobody", s.MemoryBytes-s.KeptBytes)
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
		if s := b.Stats(); s.MemoryBytes != s.KeptBytes {
			t.Errorf("%d bytes are held by nobody", s.MemoryBytes-s.KeptBytes)
		}
	}, func(o *Options) { o.MaxMemoryBytes = 400 << 10 })
}

// TestMemoryOfState fills a broker with sessions, subscriptions and retained messages. What is too much is refused, what
// is there is served as before, and what goes makes room.
func TestMemoryOfState(t *testing.T) {
	const most = 400 << 10
	bubble(t, func(t *testing.T, b *Broker) {
		five := join(t, b, connectOpts{id: "five"})
		four := join(t, b, connectOpts{v: 4, id: "four"})
		four.subscribe(0, "live")
		check := func(what string) {
			t.Helper()
			s := b.Stats()
			if s.KeptBytes < most*3/4 || s.KeptBytes > most*3/4+8<<10 || s.MemoryBytes < s.KeptBytes {
				t.Errorf("%s: %d bytes are kept, %d counted", what, s.KeptBytes, s.MemoryBytes)
			}
			five.publish(0, 0, "live", what)
			four.gets(0, "live", what) // messages go on
		}

		for i := 0; ; i++ {
			five.write(frame(0x82, u16(1), []byte{0}, str(fmt.Sprint("filter/", i)), []byte{1}))
			k := five.read()
			if k.body[3] != 1 {
				if k.body[3] != 0x97 {
					t.Errorf("got %v", k)
				}
				break
			}
		}
		check("subscriptions")
		four.write(frame(0x82, u16(1), str("one/more"), []byte{1}, str("live"), []byte{0}))
		four.want(0x90, u16(1), []byte{0x80, 0}) // what there is can be replaced
		for v, code := range map[byte]byte{4: 3, 5: 0x97} {
			p := dial(t, b)
			p.connect(connectOpts{v: v, id: "new"})
			p.connack(code)
			p.closed(0)
		}
		five.leave() // and all that it had
		if got := b.Stats().KeptBytes; got > 8<<10 {
			t.Errorf("%d bytes are kept", got)
		}

		five = join(t, b, connectOpts{id: "five", expiry: 60})
		kept := 0
		for ; ; kept++ {
			five.write(five.publishFrame(3, 1, fmt.Sprint("kept/", kept), "a value"))
			if k := five.read(); len(k.body) > 2 {
				if k.first != 0x40 || k.body[2] != 0x97 {
					t.Errorf("got %v", k)
				}
				break
			}
		}
		check("retained")
		five.write(five.publishFrame(3, 1, "kept/0", "another"), five.publishFrame(3, 2, "kept/1", "a longer one"), five.publishFrame(1, 0, "kept/new", "x"))
		five.want(0x40, u16(1))
		five.want(0x40, u16(2), []byte{0x97})
		other := join(t, b, connectOpts{v: 4, id: "four"}) // whose session is there
		four.closed(0)
		other.subscribe(0, "live")
		other.write(other.publishFrame(3, 1, "kept/more", "x"))
		other.closed(0)
		if got := b.Stats(); got.Disconnects[string(Throttled)] != 1 || got.PublishRefused < 4 {
			t.Errorf("%+v", got)
		}
		for i := range kept {
			five.write(five.publishFrame(1, 0, fmt.Sprint("kept/", i), ""))
		}
		five.write([]byte{0xC0, 0})
		five.want(0xD0)
		join(t, b, connectOpts{id: "new"}).leave()
		five.leave()
		if s := b.Stats(); s.KeptBytes > 2<<10 || s.Sessions != 1 {
			t.Errorf("%+v", s)
		}

		for i := 0; ; i++ {
			p := dial(t, b)
			p.connect(connectOpts{id: fmt.Sprint("absent", i), expiry: 3600})
			k := p.read()
			if code := k.body[1]; code != 0 {
				if code != 0x97 || i < 100 {
					t.Errorf("client %d: %v", i, k)
				}
				p.closed(0)
				break
			}
			p.leave()
		}
		p := dial(t, b)
		p.connect(connectOpts{id: "absent7", expiry: 3600, resume: true})
		if present, _ := p.connack(0); !present {
			t.Error("the session is gone")
		}
		p.leave()
	}, func(o *Options) { o.MaxMemoryBytes = most })
}
