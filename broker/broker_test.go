package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs f with a broker in virtual time, where each connection has a goroutine and a pipe. What
// did not wait there runs a second time with sockets and event loops, in real time.
func bubble(t *testing.T, f func(t *testing.T, b *Broker), opts ...func(*Options)) {
	t.Helper()
	if waited := bubblePipes(t, f, opts...); waited < 500*time.Millisecond && !t.Failed() {
		t.Run("sockets", func(t *testing.T) { f(t, onSockets(t, opts...)) })
		t.Run("TLS", func(t *testing.T) { f(t, onTLS(t, opts...)) })
	}
}

// bubblePipes is bubble for tests that need the narrowness of pipes, or can run but once. It returns how much
// time went by.
func bubblePipes(t *testing.T, f func(t *testing.T, b *Broker), opts ...func(*Options)) (waited time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f(t, open(t, NewMemStore(), all(opts)))
		waited = time.Since(began)
	})
	return waited
}

func all(opts []func(*Options)) func(*Options) {
	return func(o *Options) {
		for _, opt := range opts {
			opt(o)
		}
	}
}

func TestConnackProperties(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := dial(t, b)
		p.connect(connectOpts{id: "", expiry: 1 << 30, keepAlive: 5})
		_, props := p.connack(0)
		for what, want := range map[string][]byte{
			"session expiry capped": append([]byte{0x11}, u32(uint32(7*24*3600))...),
			"receive maximum":       append([]byte{0x21}, u16(100)...),
			"maximum packet":        append([]byte{0x27}, u32(1<<20)...),
			"topic aliases":         append([]byte{0x22}, u16(8)...),
			"server keep alive":     append([]byte{0x13}, u16(30)...),
			"assigned id":           append([]byte{0x12}, append(u16(31), "auto-"...)...),
		} {
			if !bytes.Contains(props, want) {
				t.Errorf("%s: %x not in %x", what, want, props)
			}
		}
		p.leave()
	}, func(o *Options) { o.MinKeepAlive = 30 * time.Second })
}

func TestPublishBetweenVersions(t *testing.T) {
	for _, v := range []struct{ from, to byte }{{4, 4}, {4, 5}, {5, 4}, {5, 5}} {
		t.Run(fmt.Sprintf("%d to %d", v.from, v.to), func(t *testing.T) {
			bubble(t, func(t *testing.T, b *Broker) {
				sub := join(t, b, connectOpts{v: v.to, id: "sub"})
				pub := join(t, b, connectOpts{v: v.from, id: "pub"})
				sub.subscribe(1, "a/+", "b")
				pub.publish(0, 0, "a/x", "zero")
				sub.gets(0, "a/x", "zero")
				pub.publish(1, 9, "a/y", "one")
				d := sub.gets(1, "a/y", "one")
				if d.id != 1 || d.dup || d.retain {
					t.Errorf("got %+v", d)
				}
				sub.puback(d.id)
				pub.publish(1, 10, "c", "nobody")
				pub.write(frame(0xA2, u16(3), pub.props(), str("x"))) // unsubscribe from what is not
				if v.from == 5 {
					pub.want(0xB0, u16(3), []byte{0, 0x11})
				} else {
					pub.want(0xB0, u16(3))
				}
				pub.write([]byte{0xC0, 0})
				pub.want(0xD0)
				sub.write(frame(0xA2, u16(4), sub.props(), str("a/+")))
				sub.read()
				pub.publish(1, 11, "a/y", "gone")
				pub.publish(1, 12, "b", "still")
				sub.gets(1, "b", "still")
				pub.leave()
				sub.leave()
				if s := b.Stats(); s.PublishedQoS1 != 4 || s.DeliveredQoS1 != 2 || s.Acknowledged != 1 || s.Stored != 0 || s.Connections != 0 || s.Sessions != 0 || s.Subscriptions != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

func TestPropertiesPassThroughInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		sub := join(t, b, connectOpts{id: "sub"})
		pub := join(t, b, connectOpts{id: "pub"})
		sub.write(frame(0x82, u16(1), section([]byte{0x0B, 42}), str("t"), []byte{1}))
		sub.want(0x90, u16(1), []byte{0}, []byte{1})

		user := slices.Concat([]byte{0x26}, str("k"), str("v"), []byte{0x26}, str("k"), str("w"))
		rest := slices.Concat([]byte{1, 1, 3}, str("text/plain"), []byte{8}, str("re"), []byte{9}, str("corr"))
		var got Message
		cancel, err := b.SubscribeMessages("t", func(_ context.Context, m Message) error { got = m; return nil })
		if err != nil {
			t.Fatal(err)
		}
		alias := []byte{0x23, 0, 3}
		pub.write(pub.publishFrame(2, 5, "t", "x", user, alias, rest, []byte{2}, u32(60)))
		pub.want(0x40, u16(5))
		d := sub.gets(1, "t", "x")
		if want := slices.Concat([]byte{2}, u32(60), user, rest, []byte{0x0B, 42}); !bytes.Equal(d.props, want) {
			t.Errorf("properties %x, want %x", d.props, want)
		}
		p := got.Properties
		if p.PayloadFormat == nil || *p.PayloadFormat != 1 || p.Expiry != time.Minute || p.ContentType != "text/plain" ||
			p.ResponseTopic != "re" || string(p.CorrelationData) != "corr" || !slices.Equal(p.User, []UserProperty{{"k", "v"}, {"k", "w"}}) {
			t.Errorf("handler got %+v", p)
		}
		cancel()
		pub.write(pub.publishFrame(0, 0, "", "by alias", alias))
		sub.gets(0, "t", "by alias")

		got.Topic, got.ClientID, got.QoS = "t", "", 0
		if err := b.PublishMessage(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		if d := sub.gets(0, "t", "x"); !bytes.Contains(d.props, user) {
			t.Errorf("in-process properties %x", d.props)
		}
		sub.leave()
		pub.leave()
	})
}

func TestOneCopyForOverlappingSubscriptions(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "p"})
		p.write(frame(0x82, u16(1), section([]byte{0x0B, 1}), str("a/#"), []byte{0}))
		p.want(0x90, u16(1), []byte{0, 0})
		p.write(frame(0x82, u16(2), section([]byte{0x0B, 2}), str("a/b"), []byte{1}))
		p.want(0x90, u16(2), []byte{0, 1})
		p.write(frame(0x82, u16(3), section(), str("a/+"), []byte{1 | 4})) // no local
		p.want(0x90, u16(3), []byte{0, 1})
		p.publish(0, 0, "a/b", "x")
		if d := p.gets(0, "a/b", "x"); !bytes.Equal(d.props, []byte{0x0B, 1, 0x0B, 2}) {
			t.Errorf("identifiers %x", d.props)
		}
		p.write(frame(0xA2, u16(4), section(), str("a/#"), str("a/b")))
		p.want(0xB0, u16(4), []byte{0, 0, 0})
		p.publish(0, 0, "a/b", "mine")
		p.none()
		p.leave()
	})
}

func TestRetained(t *testing.T) {
	bubblePipes(t, func(t *testing.T, b *Broker) {
		pub := join(t, b, connectOpts{v: 4, id: "pub"})
		live := join(t, b, connectOpts{id: "live"})
		rap := join(t, b, connectOpts{id: "rap"})
		live.subscribe(1, "r/#")
		rap.subscribe(1|8, "r/#")
		synctest.Wait() // SUBACK may be on its way before the retained messages are looked for
		pub.write(pub.publishFrame(3, 1, "r/1", "one"))
		pub.want(0x40, u16(1))
		if live.gets(1, "r/1", "one").retain || !rap.gets(1, "r/1", "one").retain {
			t.Error("retain flag of live messages") // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
		}
		pub.write(pub.publishFrame(1, 0, "r/2", "two"))
		live.gets(0, "r/2", "two")

		late := join(t, b, connectOpts{v: 4, id: "late"})
		late.subscribe(1, "r/+")
		if d := late.gets(1, "r/1", "one"); !d.retain {
			t.Error("not marked as retained") // [MQTT-3.3.1-8]
		}
		late.gets(0, "r/2", "two")
		// Retain handling: 1 only for a new subscription, 2 never.
		other := join(t, b, connectOpts{id: "other"})
		other.subscribe(2<<4, "r/#")
		other.subscribe(1<<4, "r/#")
		other.none()
		other.subscribe(0, "r/2")
		other.gets(0, "r/2", "two")
		// A shared subscription gets none.
		other.subscribe(0, "$share/g/r/#")
		other.none()
		// An empty payload clears, and is delivered.
		pub.write(pub.publishFrame(3, 2, "r/1", ""))
		pub.want(0x40, u16(2))
		live.gets(1, "r/1", "")
		last := join(t, b, connectOpts{id: "last"})
		last.subscribe(1, "r/1")
		last.none()
		for _, p := range []*peer{pub, live, rap, late, other, last} {
			p.cut()
		}
	})
}

func TestManyRetainedWithSmallWindow(t *testing.T) {
	for _, expiry := range []uint32{0, 60} {
		bubble(t, func(t *testing.T, b *Broker) {
			const n = 500
			for i := range n {
				if err := b.PublishMessage(t.Context(), Message{Topic: fmt.Sprintf("r/%03d", i), Payload: []byte("x"), QoS: 1, Retain: true}); err != nil {
					t.Fatal(err)
				}
			}
			p := join(t, b, connectOpts{id: "p", expiry: expiry, props: append([]byte{0x21}, u16(3)...)})
			p.subscribe(1, "r/#")
			for i := range n {
				d := p.gets(1, fmt.Sprintf("r/%03d", i), "x")
				if !d.retain {
					t.Fatal("retain is not set")
				}
				p.puback(d.id)
			}
			p.none()
			p.leave()
		})
	}
}

func TestSharedSubscription(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		x := join(t, b, connectOpts{v: 4, id: "x"})
		y := join(t, b, connectOpts{id: "y"})
		x.subscribe(1, "$share/g/j/#")
		y.subscribe(1, "$share/g/j/#")
		for i := range 4 {
			if err := b.Publish(t.Context(), "j/1", []byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]int{}
		for _, p := range []*peer{x, y, x, y} {
			got[p.receive().payload]++
		}
		if len(got) != 4 {
			t.Errorf("got %v, want each once", got)
		}
		x.none()
		y.none()
		y.leave()
		for range 2 {
			_ = b.Publish(t.Context(), "j/2", []byte("rest"))
			x.gets(1, "j/2", "rest")
		}
		x.leave()
	})
}

func TestTakeover(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		watch := join(t, b, connectOpts{id: "watch"})
		watch.subscribe(0, "will/#")
		old := join(t, b, connectOpts{id: "c", will: &willOpts{topic: "will/c", payload: "gone"}})
		next := dial(t, b)
		next.connect(connectOpts{v: 4, id: "c"})
		old.closed(0x8E)
		next.connack(0)
		watch.gets(0, "will/c", "gone")
		if n := b.Stats().Disconnects["DUPLICATE_CLIENTID"]; n != 1 {
			t.Errorf("%d takeovers counted", n)
		}
		next.write([]byte{0xC0, 0})
		next.want(0xD0)
		next.leave()
		watch.leave()
	})
}

func TestWill(t *testing.T) {
	will := func(delay uint32) *willOpts {
		return &willOpts{topic: "w", payload: "bye", qos: 1, retain: true, delay: delay}
	}
	bubble(t, func(t *testing.T, b *Broker) {
		watch := join(t, b, connectOpts{id: "watch"})
		watch.subscribe(1|2<<4, "w")
		got := func() {
			t.Helper()
			d := watch.gets(1, "w", "bye")
			watch.puback(d.id)
		}
		// Not after DISCONNECT, but with code 4 and after a cut.
		join(t, b, connectOpts{id: "a", will: will(0)}).leave()
		watch.none()
		a := join(t, b, connectOpts{id: "a", will: will(0)})
		a.write([]byte{0xE0, 1, 4})
		a.closed(0)
		got()
		join(t, b, connectOpts{v: 4, id: "a", will: will(0)}).cut()
		got()
		// With a delay: not if the client is back in time.
		join(t, b, connectOpts{id: "a", expiry: 100, will: will(10)}).cut()
		time.Sleep(8 * time.Second)
		a = join(t, b, connectOpts{id: "a", expiry: 100, resume: true, will: will(10)})
		time.Sleep(20 * time.Second)
		watch.none()
		a.cut()
		time.Sleep(9 * time.Second)
		watch.none()
		time.Sleep(3 * time.Second)
		got()
		// The end of the session is sooner than the delay.
		join(t, b, connectOpts{id: "b", expiry: 5, will: will(100)}).cut()
		time.Sleep(7 * time.Second)
		got()
		// A clean start ends the session, and publishes.
		join(t, b, connectOpts{id: "b", expiry: 500, will: will(100)}).cut()
		join(t, b, connectOpts{id: "b"}).leave()
		got()
		watch.leave()
	})
}

func TestKeepAlive(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "p", keepAlive: 10})
		quiet := join(t, b, connectOpts{id: "quiet", keepAlive: 0})
		for range 3 {
			time.Sleep(14 * time.Second)
			p.write([]byte{0xC0, 0})
			p.want(0xD0)
		}
		start := time.Now()
		p.want(0xE0, []byte{0x8D})
		if d := time.Since(start); d < 15*time.Second || d > 17*time.Second {
			t.Errorf("cut after %v, want 15 s", d)
		}
		var ce *ConnError
		if err := p.closed(0); !errors.As(err, &ce) || ce.Reason != KeepAliveTimeout {
			t.Errorf("ServeConn: %v", err)
		}
		// Bytes that make no packet do not keep a connection alive.
		p = join(t, b, connectOpts{id: "p", keepAlive: 10})
		for _, c := range []byte{0x30, 0x20, 0, 1} {
			time.Sleep(4 * time.Second)
			p.write([]byte{c})
		}
		p.closed(0x8D)
		quiet.leave()
	})
}

func TestConnectTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := dial(t, b)
		for _, c := range []byte{0x10, 0x20, 0, 4} { // slow loris
			p.write([]byte{c})
			time.Sleep(3 * time.Second)
		}
		p.closed(0)
	})
}

func TestDrainSaysGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, NewMemStore(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		five, four := dialCtx(t, b, ctx), dialCtx(t, b, ctx)
		five.connect(connectOpts{id: "five"})
		five.connack(0)
		four.connect(connectOpts{v: 4, id: "four"})
		four.connack(0)
		cancel()
		if err := five.closed(0x8B); err != nil {
			t.Errorf("ServeConn: %v", err)
		}
		four.closed(0)
	})
}

func TestHandlers(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		fail := errors.New("no")
		var order []string
		sub := func(name, filter string, err error) func() {
			cancel, e := b.Subscribe(filter, func(ctx context.Context, topic string, payload []byte) error {
				order = append(order, fmt.Sprintf("%s:%s:%s:%d", name, topic, payload, Depth(ctx)))
				return err
			})
			if e != nil {
				t.Fatal(e)
			}
			return cancel
		}
		sub("first", "h/#", nil)
		cancel := sub("second", "h/+", fail)
		five, four := join(t, b, connectOpts{id: "five"}), join(t, b, connectOpts{v: 4, id: "four"})
		watch := join(t, b, connectOpts{id: "watch"})
		watch.subscribe(1, "h/#")

		five.write(five.publishFrame(2, 1, "h/1", "x"))
		five.want(0x40, u16(1), []byte{0x80})
		watch.none() // refused whole
		five.publish(0, 0, "h/1", "zero")
		watch.gets(0, "h/1", "zero")
		four.write(four.publishFrame(2, 1, "h/1", "x"))
		four.closed(0)
		if err := b.Publish(t.Context(), "h/2", nil); !errors.Is(err, fail) {
			t.Errorf("in-process publish: %v", err)
		}
		cancel()
		five.publish(1, 2, "h/1", "y")
		watch.gets(1, "h/1", "y")
		want := "first:h/1:x:1 second:h/1:x:1 first:h/1:zero:1 second:h/1:zero:1 first:h/1:x:1 second:h/1:x:1 first:h/2::1 second:h/2::1 first:h/1:y:1"
		if got := strings.Join(order, " "); got != want {
			t.Errorf("calls\n%s, want\n%s", got, want)
		}
		if s := b.Stats(); s.HandlerErrors != 4 || s.PublishRefused != 3 {
			t.Errorf("%d handler errors, %d refused", s.HandlerErrors, s.PublishRefused)
		}
		five.leave()
		watch.leave()
	})
}

func TestRepublishLoopIsCut(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		calls := 0
		var last error
		_, _ = b.Subscribe("loop", func(ctx context.Context, topic string, payload []byte) error {
			calls++
			if err := b.Publish(ctx, "loop", payload); err != nil {
				last = err
			}
			return nil
		})
		if err := b.Publish(t.Context(), "loop", nil); err != nil {
			t.Fatal(err)
		}
		if calls != MaxDepth+1 || !errors.Is(last, ErrTooDeep) {
			t.Errorf("%d calls, last error %v", calls, last)
		}
	})
}

func TestPanickingHandlerRefusesOneMessage(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		_, _ = b.Subscribe("p", func(context.Context, string, []byte) error { panic("bug") })
		p := join(t, b, connectOpts{id: "p", will: &willOpts{topic: "p"}})
		p.write(p.publishFrame(2, 1, "p", ""))
		p.want(0x40, u16(1), []byte{0x80})
		p.publish(1, 2, "q", "")
		p.cut() // the will meets the panic where no connection is left
		if n := b.Stats().Panics; n != 2 {
			t.Errorf("%d panics counted", n)
		}
	})
}

func TestLifecycleEvents(t *testing.T) {
	bubblePipes(t, func(t *testing.T, b *Broker) {
		var got []string
		_, _ = b.Subscribe("$aws/events/#", func(_ context.Context, topic string, payload []byte) error {
			got = append(got, topic+" "+string(payload))
			return nil
		})
		p := join(t, b, connectOpts{id: "dev", user: "cert1"})
		p.subscribe(0, "a", "b")
		p.publish(1, 1, "x", "")
		p.cut()
		for i, want := range []string{
			`"clientId":"dev","timestamp":946684800000,"eventType":"connected"`,
			`"eventType":"subscribed"`,
			`"disconnectReason":"CONNECTION_LOST"`,
		} {
			if len(got) != 3 || !strings.Contains(got[i], want) || !strings.Contains(got[i], `"principalIdentifier":"cert1"`) {
				t.Fatalf("event %d: %q has no %s", i, got, want)
			}
		}
		if !strings.Contains(got[2], `"clientInitiatedDisconnect":false`) || !strings.Contains(got[1], `"topics":["a","b"]`) {
			t.Errorf("got %q", got)
		}
		// Nobody else publishes there.
		p = join(t, b, connectOpts{id: "forger"})
		p.write(p.publishFrame(2, 1, "$aws/events/presence/connected/dev", "{}"))
		p.want(0x40, u16(1), []byte{0x87})
		p.leave()
	}, func(o *Options) { o.LifecycleEvents = true })
}
