package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// These are statements of MQTT 5.0 that no other test has for its subject. docs/mqtt-conformance.md says
// which test covers which.

// TestByteOrderMarkIsKept covers [MQTT-1.5.4-3].
func TestByteOrderMarkIsKept(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "\uFEFFa"})
		p.subscribe(0, "\uFEFFt", "t")
		p.write(p.publishFrame(0, 0, "\uFEFFt", ""), p.publishFrame(0, 0, "t", ""))
		p.gets(0, "\uFEFFt", "")
		p.gets(0, "t", "")
		if _, err := b.Client("\uFEFFa"); err != nil {
			t.Error(err)
		}
		p.leave()
	})
}

// TestTopicsAreNotNormalised covers [MQTT-4.7.3-4].
func TestTopicsAreNotNormalised(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		names := []string{"a", "A", "/a", "a/", "a//", "\u00e9", "e\u0301", " a"}
		for _, name := range names {
			p.subscribe(0, name)
		}
		for _, name := range names {
			p.write(p.publishFrame(0, 0, name, ""))
			p.gets(0, name, "")
		}
		p.leave()
	})
}

// TestClientIDs covers [MQTT-3.1.3-5], [MQTT-3.1.3-6], [MQTT-3.1.3-7] and [MQTT-3.1.3-8].
func TestClientIDs(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, id := range []string{"0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ", "with blank", "grün/1"} {
			for _, v := range []byte{4, 5} {
				join(t, b, connectOpts{id: id, v: v}).leave()
			}
		}
		assigned := map[string]bool{}
		for range 3 {
			p := dial(t, b)
			p.connect(connectOpts{id: ""})
			_, props := p.connack(0)
			i := bytes.IndexByte(props, 0x12)
			id := string(props[i+3 : i+3+int(props[i+2])])
			if info, err := b.Client(id); err != nil || !info.Connected || assigned[id] {
				t.Errorf("assigned %q: %+v, %v", id, info, err)
			}
			assigned[id] = true
			p.cut()
		}
		join(t, b, connectOpts{v: 4}).leave() // clean session
		p := dial(t, b)
		p.connect(connectOpts{v: 4, resume: true}) // [MQTT-3.1.3-8] of 3.1.1
		p.connack(2)
		p.closed(0)
	})
}

// TestNothingIsDoneForARefusedClient covers [MQTT-3.1.4-6] and [MQTT-3.14.0-1]: what came behind a
// refused CONNECT is not looked at, and no DISCONNECT follows the CONNACK.
func TestNothingIsDoneForARefusedClient(t *testing.T) {
	published := 0
	bubble(t, func(t *testing.T, b *Broker) {
		if _, err := b.Subscribe("#", func(context.Context, string, []byte) error { published++; return nil }); err != nil {
			t.Fatal(err)
		}
		p := dial(t, b)
		p.write(connectFrame(connectOpts{id: "a", user: "no"}), p.publishFrame(0, 0, "t", "x"))
		p.connack(0x87)
		p.closed(0)
	}, func(o *Options) { o.Authenticator = denyAll{} })
	if published > 0 {
		t.Error("a refused client has published")
	}
}

// TestPacketsBehindTheConnect covers the opposite: an accepted client need not wait for CONNACK.
func TestPacketsBehindTheConnect(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := dial(t, b)
		p.write(connectFrame(connectOpts{id: "a"}), frame(0x82, u16(1), []byte{0}, str("t"), []byte{0}), p.publishFrame(0, 0, "t", "x"))
		p.connack(0)
		p.want(0x90, u16(1), []byte{0, 0})
		p.gets(0, "t", "x")
		p.leave()
	})
}

// TestNoResponseInformation covers [MQTT-3.1.2-28], and that the broker never has some.
func TestNoResponseInformation(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, asked := range []byte{0, 1} {
			p := dial(t, b)
			p.connect(connectOpts{id: "a", props: []byte{0x19, asked}})
			if _, props := p.connack(0); bytes.IndexByte(props, 0x1A) >= 0 {
				t.Errorf("asked %d: response information in %x", asked, props)
			}
			p.leave()
		}
	})
}

// TestNoAuthenticationWithoutMethod covers [MQTT-4.12.0-6].
func TestNoAuthenticationWithoutMethod(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := dial(t, b)
		p.connect(connectOpts{id: "a"})
		if _, props := p.connack(0); bytes.IndexByte(props, 0x15) >= 0 {
			t.Errorf("an authentication method in %x", props)
		}
		p.leave()
	})
}

// TestClientsKeepAliveHolds covers [MQTT-3.2.2-22]: no Server Keep Alive is said, and the client's is used.
func TestClientsKeepAliveHolds(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := dial(t, b)
		p.connect(connectOpts{id: "a", keepAlive: 10})
		if _, props := p.connack(0); bytes.IndexByte(props[1:], 0x13) >= 0 {
			t.Errorf("a server keep alive in %x", props)
		}
		time.Sleep(14 * time.Second)
		p.write([]byte{0xC0, 0})
		p.want(0xD0)
		time.Sleep(14 * time.Second)
		p.closed(0x8D)
	})
}

// TestInboundAliasesEndWithTheConnection covers [MQTT-3.3.2-7] and [MQTT-3.3.2-12].
func TestInboundAliasesEndWithTheConnection(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a", expiry: 60})
		p.subscribe(0, "#")
		for n := byte(1); n <= 8; n++ {
			p.write(p.publishFrame(0, 0, fmt.Sprint("t/", n), "set", []byte{0x23, 0, n}))
			p.gets(0, fmt.Sprint("t/", n), "set")
		}
		p.write(p.publishFrame(0, 0, "", "used", []byte{0x23, 0, 3}))
		p.gets(0, "t/3", "used")
		p.write(p.publishFrame(0, 0, "other", "set anew", []byte{0x23, 0, 3}), p.publishFrame(0, 0, "", "used", []byte{0x23, 0, 3}))
		p.gets(0, "other", "set anew")
		p.gets(0, "other", "used")
		p.cut()
		p = join(t, b, connectOpts{id: "a", expiry: 60, resume: true})
		p.write(p.publishFrame(0, 0, "", "used", []byte{0x23, 0, 3}))
		p.closed(0x82)
	})
}

// TestDupSaysNothing covers [MQTT-3.3.1-3]: the flag of what comes in has no bearing on what goes out.
func TestDupSaysNothing(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		p.subscribe(1, "t")
		p.write(p.publishFrame(8|2, 1, "t", "x"))
		if d := p.gets(1, "t", "x"); d.dup {
			t.Error("DUP went through")
		}
		p.want(0x40, u16(1))
		p.leave()
	})
}

// TestNegativeAcknowledgementEndsAMessage covers [MQTT-4.4.0-2] and [MQTT-4.8.2-6]: it is not sent again, and to no other
// member of a shared subscription.
func TestNegativeAcknowledgementEndsAMessage(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a", expiry: 60})
		q := join(t, b, connectOpts{id: "b"})
		p.subscribe(1, "$share/g/t")
		if err := b.Publish(t.Context(), "t", []byte("x")); err != nil {
			t.Fatal(err)
		}
		d := p.gets(1, "t", "x")
		q.subscribe(1, "$share/g/t")
		p.write(frame(0x40, u16(d.id), []byte{0x83}))
		p.write([]byte{0xC0, 0})
		p.want(0xD0)
		p.cut()
		q.none()
		p = dial(t, b)
		p.connect(connectOpts{id: "a", expiry: 60, resume: true})
		p.connack(0)
		p.none()
		p.leave()
		q.leave()
	})
}

// TestUnsubscribe covers [MQTT-3.10.4-1] to [MQTT-3.10.4-6] and [MQTT-3.11.3-1].
func TestUnsubscribe(t *testing.T) {
	for _, v := range []byte{4, 5} {
		bubble(t, func(t *testing.T, b *Broker) {
			p := join(t, b, connectOpts{id: "a", v: v, props: append([]byte{0x21}, u16(1)...)})
			p.subscribe(1, "a", "b/+", "c")
			for _, payload := range []string{"under way", "behind it"} {
				if err := b.Publish(t.Context(), "a", []byte(payload)); err != nil {
					t.Fatal(err)
				}
			}
			first := p.gets(1, "a", "under way")
			p.write(frame(0xA2, u16(9), p.props(), str("none"), str("a"), str("b/x"), str("b/+"), str("a")))
			if v == 4 {
				p.puback(p.gets(1, "a", "behind it").id)
			}
			codes := []byte{}
			if v == 5 {
				codes = []byte{0x11, 0, 0x11, 0, 0x11} // in the order of the filters
			}
			p.want(0xB0, u16(9), p.props(), codes)
			if err := b.Publish(t.Context(), "a", []byte("too late")); err != nil {
				t.Fatal(err)
			}
			p.puback(first.id)
			if v == 5 {
				p.puback(p.gets(1, "a", "behind it").id) // begun before, so completed [MQTT-3.10.4-3]
			}
			if err := b.Publish(t.Context(), "c", []byte("stays")); err != nil {
				t.Fatal(err)
			}
			p.puback(p.gets(1, "c", "stays").id)
			p.leave()
		})
	}
}

// TestSubackInOrder covers [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.9.3-1] and [MQTT-3.2.2-10]. A filter that is well formed,
// but not accepted, is refused alone.
func TestSubackInOrder(t *testing.T) {
	for _, v := range []byte{4, 5} {
		bubble(t, func(t *testing.T, b *Broker) {
			p := join(t, b, connectOpts{id: "a", v: v})
			deep := "a/b/c/d" // MaxTopicLevels is 3
			p.write(frame(0x82, u16(3), p.props(), str("q0"), []byte{0}, str(deep), []byte{1}, str("q1"), []byte{1}, str("$share/g/"+deep), []byte{0}))
			bad := byte(0x8F)
			if v == 4 {
				bad = 0x80
			}
			p.want(0x90, u16(3), p.props(), []byte{0, bad, 1, bad})
			p.leave()
		}, func(o *Options) { o.MaxTopicLevels = 3 })
	}
}

// TestWrongSubscribeDoesNothing has a filter that is right before one that is wrong: the SUBSCRIBE ends the connection
// [MQTT-4.13.1-1], [MQTT-4.8.0-1] of 3.1.1, and the session is as it was.
func TestWrongSubscribeDoesNothing(t *testing.T) {
	for _, c := range []struct {
		what  string
		v     byte
		wrong string
		opts  byte
		code  byte
	}{
		{what: "# before the end", v: 5, wrong: "#/x", code: 0x81},
		{what: "# before the end", v: 4, wrong: "#/x"},
		{what: "a shared subscription without a name", v: 5, wrong: "$share//x", code: 0x81},
		{what: "No Local on a shared subscription", v: 5, wrong: "$share/g/x", opts: 4, code: 0x82},
	} {
		bubble(t, func(t *testing.T, b *Broker) {
			o := connectOpts{id: "a", v: c.v, expiry: 100, resume: true}
			p := join(t, b, o)
			p.subscribe(1, "kept")
			p.write(frame(0x82, u16(3), p.props(), str("right"), []byte{1}, str(c.wrong), []byte{c.opts}))
			if err := p.closed(c.code); !errors.Is(err, ErrProtocol) {
				t.Errorf("%s, version %d: ServeConn returned %v", c.what, c.v, err)
			}
			p = dial(t, b)
			p.connect(o)
			if present, _ := p.connack(0); !present {
				t.Errorf("%s, version %d: the session is gone", c.what, c.v)
			}
			for _, topic := range []string{"right", "kept"} {
				if err := b.Publish(t.Context(), topic, []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			p.puback(p.gets(1, "kept", "x").id)
			p.leave()
		})
	}
}

// TestSharedFilterOf311 has in MQTT 3.1.1, which knows no shared subscriptions, a filter that is none: it is refused alone.
func TestSharedFilterOf311(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a", v: 4})
		p.write(frame(0x82, u16(3), str("$share//x"), []byte{0}, str("x"), []byte{1}))
		p.want(0x90, u16(3), []byte{0x80, 1})
		p.leave()
	})
}

// TestSubscribeAgain covers [MQTT-3.8.4-3] and [MQTT-3.8.4-4]: the options are replaced, retained messages come again,
// and nothing is lost meanwhile.
func TestSubscribeAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		p.write(p.publishFrame(1, 0, "t", "kept"))
		p.subscribe(1, "t")
		p.gets(0, "t", "kept")
		stop, done := make(chan bool), make(chan int)
		go func() {
			n := 0
			for {
				select {
				case <-stop:
					done <- n
					return
				default:
					n++
					if err := b.PublishMessage(t.Context(), Message{Topic: "t", Payload: []byte("live")}); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Millisecond)
				}
			}
		}()
		live, kept := 0, 0
		next := func() byte {
			k := p.read()
			if k.first>>4 == 3 {
				if strings.HasSuffix(string(k.body), "live") {
					live++
				} else {
					kept++
				}
			}
			return k.first
		}
		for i := range 20 {
			p.write(frame(0x82, u16(uint16(i+1)), []byte{0}, str("t"), []byte{byte(i % 2)}))
			for next() != 0x90 {
			}
		}
		close(stop)
		sent := <-done
		for live < sent || kept < 20 {
			next()
		}
		if live != sent || kept != 20 {
			t.Errorf("%d live of %d, %d retained", live, sent, kept)
		}
		p.none()
		p.leave()
	})
}

// TestRetainedRules covers [MQTT-3.3.1-5] to [MQTT-3.3.1-8].
func TestRetainedRules(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		watch := join(t, b, connectOpts{id: "w"})
		watch.subscribe(0, "t")
		kept := func() (got []string) {
			for m, err := range b.Retained(t.Context(), "#") {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(m.Payload))
			}
			return got
		}
		for _, step := range []struct {
			flags   byte
			payload string
			want    []string
		}{
			{1, "one", []string{"one"}},
			{1, "two", []string{"two"}},
			{0, "plain", []string{"two"}},
			{0, "", []string{"two"}},
			{1, "", nil},
			{1, "", nil},
		} {
			p.write(p.publishFrame(step.flags, 0, "t", step.payload))
			watch.gets(0, "t", step.payload) // an empty one is delivered, too
			if got := kept(); !slices.Equal(got, step.want) {
				t.Errorf("after %q with flags %d: %q is retained, want %q", step.payload, step.flags, got, step.want)
			}
		}
		p.leave()
		watch.leave()
	})
}
