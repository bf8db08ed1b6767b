package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func (p *peer) resumes(o connectOpts) {
	p.t.Helper()
	o.resume = true
	p.connect(o)
	if present, _ := p.connack(0); !present {
		p.t.Fatal("session is not present")
	}
}

func TestPersistentSessionAcrossRestarts(t *testing.T) {
	for _, v := range []byte{4, 5} {
		synctest.Test(t, func(t *testing.T) {
			store := NewMemStore()
			b := open(t, store, nil)
			o := connectOpts{v: v, id: "dev", resume: true, expiry: 3600}
			p := join(t, b, o)
			p.subscribe(1, "d/#")
			p.leave()
			const n = 300
			for i := range n / 2 {
				if err := b.Publish(t.Context(), "d/x", fmt.Append(nil, i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.PublishMessage(t.Context(), Message{Topic: "d/x", Payload: []byte("QoS 0 is not queued")}); err != nil {
				t.Fatal(err)
			}
			b = open(t, store, nil) // as after a crash
			if c, err := b.Client("dev"); err != nil || c.Queued != n/2 || c.Subscriptions != 1 || c.Connected {
				t.Fatalf("after restart: %+v, %v", c, err)
			}
			for i := n / 2; i < n; i++ {
				if err := b.Publish(t.Context(), "d/x", fmt.Append(nil, i)); err != nil {
					t.Fatal(err)
				}
			}
			p = dial(t, b)
			p.resumes(o)
			for i := range n {
				p.puback(p.gets(1, "d/x", fmt.Sprint(i)).id)
			}
			p.none()
			p.leave()
			if c, _ := b.Client("dev"); c.Queued != 0 || c.QueuedBytes != 0 {
				t.Errorf("queue after acknowledging all: %d, %d bytes", c.Queued, c.QueuedBytes)
			}
			b = open(t, store, nil)
			p = dial(t, b)
			p.resumes(o)
			p.none()
			p.leave()
		})
	}
}

func TestUnacknowledgedComesAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		o := connectOpts{id: "dev", expiry: 3600}
		p := join(t, b, o)
		p.subscribe(1, "d")
		for i := range 20 {
			_ = b.Publish(t.Context(), "d", fmt.Append(nil, i))
		}
		var ids []uint16
		for i := range 20 {
			ids = append(ids, p.gets(1, "d", fmt.Sprint(i)).id)
		}
		p.puback(ids[0])
		p.puback(ids[2]) // a gap
		p.write([]byte{0xC0, 0})
		p.want(0xD0)
		p.cut()
		_ = b.Publish(t.Context(), "d", []byte("20"))

		p = dial(t, b)
		p.resumes(o)
		for i := range 21 {
			if i == 0 || i == 2 {
				continue
			}
			d := p.gets(1, "d", fmt.Sprint(i))
			if i < 20 && (!d.dup || d.id != ids[i]) || i == 20 && d.dup {
				t.Errorf("message %d: got dup %v, id %d", i, d.dup, d.id)
			}
		}
		p.cut()
		// The same with a window that is smaller than what is unacknowledged.
		o.props = append([]byte{0x21}, u16(5)...)
		p = dial(t, b)
		p.resumes(o)
		got := 0
		var pending []uint16
		for i := range 21 {
			if i == 0 || i == 2 {
				continue
			}
			if len(pending) == 5 {
				p.none() // no more than Receive Maximum
				for _, id := range pending {
					p.puback(id)
				}
				pending = nil
			}
			pending = append(pending, p.gets(1, "d", fmt.Sprint(i)).id)
			got++
		}
		p.leave()
		if got != 19 {
			t.Errorf("%d came again", got)
		}
	})
}

// TestReceiveMaximumGivesQuotaBack is the trap: a held message must count when it is sent.
func TestReceiveMaximumGivesQuotaBack(t *testing.T) {
	for _, expiry := range []uint32{0, 3600} {
		bubble(t, func(t *testing.T, b *Broker) {
			p := join(t, b, connectOpts{id: "p", expiry: expiry, props: append([]byte{0x21}, u16(10)...)})
			p.subscribe(1, "t")
			const n = 3000
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := range n {
					if err := b.Publish(context.Background(), "t", fmt.Append(nil, i)); err != nil {
						t.Error(err)
					}
				}
			})
			wg.Wait()
			for i := range n {
				d := p.gets(1, "t", fmt.Sprint(i))
				p.puback(d.id)
			}
			p.none()
			p.leave()
		})
	}
}

func TestInboundReceiveMaximum(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "p"})
		var all []byte
		for i := range 3 {
			all = append(all, p.publishFrame(2, uint16(i+1), "t", "x")...)
		}
		p.write(all)
		for i := range 2 {
			p.want(0x40, u16(uint16(i+1))) // what was within the limit is acknowledged
		}
		p.closed(0x93)
		// One after the other is no matter.
		p = join(t, b, connectOpts{id: "p"})
		for i := range 10 {
			p.publish(1, uint16(i+1), "t", "x")
		}
		p.leave()
		// 3.1.1 knows no such limit.
		p = join(t, b, connectOpts{v: 4, id: "p"})
		all = nil
		for i := range 5 {
			all = append(all, p.publishFrame(2, uint16(i+1), "t", "x")...)
		}
		p.write(all)
		for i := range 5 {
			p.want(0x40, u16(uint16(i+1)))
		}
		p.leave()
	}, func(o *Options) { o.ReceiveMaximum = 2 })
}

// TestStalledSubscriberStallsNobody: one subscriber never reads; publishers get
// their acknowledgements and others their messages.
func TestStalledSubscriberStallsNobody(t *testing.T) {
	for _, kind := range []string{"QoS 0", "clean", "persistent"} {
		bubblePipes(t, func(t *testing.T, b *Broker) {
			o := connectOpts{id: "stalled"}
			if kind == "persistent" {
				o.expiry = 3600
			}
			qos := byte(1)
			if kind == "QoS 0" {
				qos = 0
			}
			stalled := join(t, b, o)
			stalled.subscribe(qos, "t")
			good := join(t, b, connectOpts{id: "good"})
			good.subscribe(1, "t")
			pub := join(t, b, connectOpts{id: "pub"})
			payload := strings.Repeat("x", 1000)
			const n = 500
			for i := range n {
				pub.publish(1, uint16(i+1), "t", payload)
				good.puback(good.gets(1, "t", payload).id)
			}
			s := b.Stats()
			switch kind {
			case "QoS 0":
				if s.Dropped[DropSlowConsumer] == 0 {
					t.Error("no drop counted")
				}
				stalled.cut()
			case "clean":
				time.Sleep(3 * time.Second) // for the farewell that it does not read
				s = b.Stats()
				if s.Disconnects[string(Throttled)] != 1 {
					t.Errorf("disconnects %v", s.Disconnects)
				}
				stalled.cut()
			case "persistent": // everything waits in the store, and comes
				if len(s.Dropped) > 0 {
					t.Errorf("dropped %v", s.Dropped)
				}
				for range n {
					stalled.puback(stalled.gets(1, "t", payload).id)
				}
				stalled.leave()
			}
			good.leave()
			pub.leave()
		}, func(o *Options) { o.MaxOutboxBytes, o.MaxPendingBytes, o.MaxInflight = 40_000, 30_000, 20 })
	}
}

func TestQueueLimits(t *testing.T) {
	for _, c := range []struct {
		overflow    Overflow
		first, last int // of the messages that come, of 0..29
	}{{DropNewest, 0, 9}, {DropOldest, 20, 29}, {RefusePublish, 0, 9}} {
		bubble(t, func(t *testing.T, b *Broker) {
			o := connectOpts{id: "dev", expiry: 3600}
			p := join(t, b, o)
			p.subscribe(1, "t")
			p.leave()
			pub := join(t, b, connectOpts{id: "pub"})
			for i := range 30 {
				pub.write(pub.publishFrame(2, uint16(i+1), "t", fmt.Sprintf("%02d", i)))
				if c.overflow == RefusePublish && i > 9 {
					pub.want(0x40, u16(uint16(i+1)), []byte{0x97})
				} else {
					pub.want(0x40, u16(uint16(i+1)))
				}
			}
			p = dial(t, b)
			p.resumes(o)
			for i := c.first; i <= c.last; i++ {
				p.puback(p.gets(1, "t", fmt.Sprintf("%02d", i)).id)
			}
			p.none()
			dropped := b.Stats().Dropped[DropQueueFull]
			if want := int64(20); c.overflow != RefusePublish && dropped != want || c.overflow == RefusePublish && dropped != 0 {
				t.Errorf("overflow %d: %d drops counted", c.overflow, dropped)
			}
			p.leave()
			pub.leave()
		}, func(o *Options) { o.MaxQueueMessages, o.QueueOverflow = 10, c.overflow })
	}
}

func TestExpiryAndAge(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		o := connectOpts{id: "dev", expiry: 36000}
		p := join(t, b, o)
		p.subscribe(1, "t")
		p.leave()
		send := func(payload string, expiry time.Duration) {
			t.Helper()
			m := Message{Topic: "t", QoS: 1, Payload: []byte(payload), Properties: Properties{Expiry: expiry}}
			if err := b.PublishMessage(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		send("old", 0)
		time.Sleep(50 * time.Minute)
		send("short", 10*time.Second)
		send("long", 100*time.Second)
		send("plain", 0)
		time.Sleep(30 * time.Second)
		time.Sleep(10*time.Minute - 30*time.Second)
		send("short", 10*time.Second)
		send("long", 100*time.Second)
		time.Sleep(30 * time.Second)
		p = dial(t, b)
		p.resumes(o)
		p.gets(1, "t", "plain")
		d := p.gets(1, "t", "long")
		if !bytes.Equal(d.props, append([]byte{2}, u32(70)...)) {
			t.Errorf("expiry on the wire %x, want 70 s left", d.props)
		}
		p.none()
		p.leave()
		if s := b.Stats(); s.Dropped[DropExpired] != 3 || s.Dropped[DropQueueAge] != 1 {
			t.Errorf("dropped %v", s.Dropped)
		}
	}, func(o *Options) { o.MaxQueueAge = time.Hour })
}

func TestSessionExpires(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		watch := join(t, b, connectOpts{id: "watch"})
		p := join(t, b, connectOpts{id: "p", expiry: 10})
		p.subscribe(1, "t")
		p.leave()
		time.Sleep(9 * time.Second)
		if _, err := b.Client("p"); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
		if _, err := b.Client("p"); !errors.Is(err, ErrNotFound) {
			t.Errorf("after its expiry: %v", err)
		}
		if s := b.Stats(); s.Subscriptions != 0 || s.Sessions != 1 {
			t.Errorf("stats %+v", s)
		}
		// DISCONNECT shortens it to nothing, and may not raise it from nothing.
		p = join(t, b, connectOpts{id: "p", expiry: 10})
		p.write(frame(0xE0, []byte{0}, section(append([]byte{0x11}, u32(0)...))))
		p.closed(0)
		if _, err := b.Client("p"); !errors.Is(err, ErrNotFound) {
			t.Error("session outlived expiry 0")
		}
		p = join(t, b, connectOpts{id: "p"})
		p.write(frame(0xE0, []byte{0}, section(append([]byte{0x11}, u32(5)...))))
		p.closed(0x82)
		watch.leave()
	})
}

func TestSessionOfAnotherVersionOrPrincipalIsNotResumed(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		first := connectOpts{v: 4, id: "c", resume: true, user: "ann"}
		for _, o := range []connectOpts{
			{v: 5, id: "c", resume: true, expiry: 60, user: "ann"},
			{v: 4, id: "c", resume: true, user: "bob"},
			{v: 4, id: "c", user: "ann"}, // clean
		} {
			p := join(t, b, first)
			p.subscribe(1, "secret")
			p.leave()
			_ = b.Publish(t.Context(), "secret", nil)
			p = dial(t, b)
			p.connect(o)
			if present, _ := p.connack(0); present {
				t.Errorf("%+v: resumed", o)
			}
			p.none()
			p.leave()
			_ = b.Disconnect("c", DisconnectOptions{EndSession: true})
		}
	})
}

func TestTakeoverKeepsTheSession(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		o := connectOpts{id: "c", expiry: 60}
		old := join(t, b, o)
		old.subscribe(1, "t")
		_ = b.Publish(t.Context(), "t", []byte("1"))
		id := old.gets(1, "t", "1").id
		next := dial(t, b)
		next.resumes2(o, old)
		if d := next.gets(1, "t", "1"); !d.dup || d.id != id {
			t.Errorf("got %+v", d)
		}
		_ = b.Publish(t.Context(), "t", []byte("2"))
		next.gets(1, "t", "2")
		next.leave()
	})
}

// resumes2 resumes while old is connected.
func (p *peer) resumes2(o connectOpts, old *peer) {
	p.t.Helper()
	o.resume = true
	p.connect(o)
	old.closed(0x8E)
	if present, _ := p.connack(0); !present {
		p.t.Fatal("session is not present")
	}
}

// failing is a Store that fails where it is told to.
type failing struct {
	Store
	mu   sync.Mutex
	fail string
}

var errDisk = errors.New("disk full")

func (f *failing) on(op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.Contains(f.fail, op) {
		return errDisk
	}
	return nil
}

func (f *failing) set(ops string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = ops
}

func (f *failing) DeleteSession(ctx context.Context, id string) error {
	if err := f.on("delete"); err != nil {
		return err
	}
	return f.Store.DeleteSession(ctx, id)
}

func (f *failing) SaveSession(ctx context.Context, s Session) error {
	return errors.Join(f.on("save"), f.Store.SaveSession(ctx, s))
}

func (f *failing) Enqueue(ctx context.Context, batch []Entry, marks ...Mark) (uint64, error) {
	if err := f.on("enqueue"); err != nil {
		return 0, err
	}
	return f.Store.Enqueue(ctx, batch, marks...)
}

func (f *failing) SetRetained(ctx context.Context, m Message) error {
	if err := f.on("retain"); err != nil {
		return err
	}
	return f.Store.SetRetained(ctx, m)
}

func TestStoreErrorsRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &failing{Store: NewMemStore()}
		b := open(t, store, nil)
		dev := join(t, b, connectOpts{id: "dev", expiry: 60})
		dev.subscribe(1, "t")
		five, four := join(t, b, connectOpts{id: "five"}), join(t, b, connectOpts{v: 4, id: "four"})

		store.set("enqueue retain")
		five.write(five.publishFrame(2, 1, "t", "x"), five.publishFrame(2, 2, "t", "x"))
		five.want(0x40, u16(1), []byte{0x80})
		five.want(0x40, u16(2), []byte{0x80})
		five.write(five.publishFrame(3, 3, "other", "x"))
		five.want(0x40, u16(3), []byte{0x80})
		four.write(four.publishFrame(2, 1, "t", "x"))
		four.closed(0)
		if err := b.Publish(t.Context(), "t", nil); !errors.Is(err, errDisk) {
			t.Errorf("in-process: %v", err)
		}
		store.set("save")
		dev.write(frame(0x82, u16(9), section(), str("more"), []byte{1}))
		dev.want(0x90, u16(9), []byte{0, 0x80})
		p := dial(t, b)
		p.connect(connectOpts{id: "new", expiry: 60})
		p.connack(0x88)
		p.closed(0)

		store.set("")
		five.publish(1, 4, "more", "not subscribed")
		five.publish(1, 5, "t", "well")
		dev.gets(1, "t", "well")
		if n := b.Stats().StoreErrors; n != 6 {
			t.Errorf("%d store errors counted", n)
		}
		dev.leave()
		five.leave()
	})
}

func TestKickAndList(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		will := &willOpts{topic: "w", payload: "bye"}
		watch := join(t, b, connectOpts{id: "watch"})
		watch.subscribe(0, "w")
		a := join(t, b, connectOpts{id: "a", user: "cert", expiry: 60, will: will})
		c := join(t, b, connectOpts{v: 4, id: "c", user: "cert"})
		var ids []string
		for info := range b.Clients() {
			ids = append(ids, fmt.Sprint(info.ClientID, info.Connected, info.Principal))
		}
		if got := strings.Join(ids, " "); got != "atruecert ctruecert watchtrue" {
			t.Errorf("clients %s", got)
		}
		if err := b.Disconnect("a", DisconnectOptions{NoWill: true, EndSession: true}); err != nil {
			t.Fatal(err)
		}
		a.closed(0x98)
		watch.none()
		if _, err := b.Client("a"); !errors.Is(err, ErrNotFound) {
			t.Error("session was to end")
		}
		if err := b.Kick("a", ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("kick of nobody: %v", err)
		}
		a = join(t, b, connectOpts{id: "a", user: "cert", will: will})
		if n := b.DisconnectPrincipal("cert"); n != 2 {
			t.Errorf("%d disconnected", n)
		}
		a.closed(0x87)
		c.closed(0)
		watch.gets(0, "w", "bye")
		if n := b.Stats().Disconnects["AUTH_ERROR"]; n != 2 {
			t.Errorf("disconnects %v", b.Stats().Disconnects)
		}
		watch.leave()
	})
}

func TestMaximumPacketSizeOfAClient(t *testing.T) {
	for _, expiry := range []uint32{0, 60} {
		bubble(t, func(t *testing.T, b *Broker) {
			p := join(t, b, connectOpts{id: "p", expiry: expiry, props: append([]byte{0x27}, u32(60)...)})
			p.subscribe(1, "t")
			_ = b.Publish(t.Context(), "t", bytes.Repeat([]byte("x"), 60))
			_ = b.Publish(t.Context(), "t", []byte("small"))
			p.gets(1, "t", "small")
			if n := b.Stats().Dropped[DropTooLarge]; n != 1 {
				t.Errorf("dropped %v", b.Stats().Dropped)
			}
			p.leave()
		})
	}
}
