package broker

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// What Mosquitto's tests and the Eclipse Paho suite check and no other test here did.

// TestWillAtTakeover: the connection that is taken over ends, so its will is due [MQTT-3.1.2-8], but for a delay that its
// session outlives in the hands of the next connection [MQTT-3.1.3-9].
func TestWillAtTakeover(t *testing.T) {
	for _, c := range []struct {
		v      byte
		expiry uint32 // of the first session
		resume bool   // by the second connection
		delay  uint32
		due    bool
	}{
		{4, 0, false, 0, true},
		{4, 0, true, 0, true},
		{5, 0, false, 0, true},
		{5, 0, true, 0, true},
		{5, 60, true, 0, true},
		{5, 60, false, 0, true},
		{5, 60, true, 30, false},
		{5, 60, false, 30, true}, // the session is over
		{5, 0, true, 30, true},   // as it is here
	} {
		synctest.Test(t, func(t *testing.T) {
			b := open(t, NewMemStore(), nil)
			watch := join(t, b, connectOpts{id: "watch"})
			watch.subscribe(0, "w")
			old := join(t, b, connectOpts{v: c.v, id: "c", resume: c.v == 4 && c.resume, expiry: c.expiry,
				will: &willOpts{topic: "w", payload: "gone", delay: c.delay}})
			next := dial(t, b)
			next.connect(connectOpts{v: c.v, id: "c", resume: c.resume, expiry: c.expiry})
			if code := byte(0x8E); c.v == 5 {
				old.closed(code)
			} else {
				old.closed(0)
			}
			if present, _ := next.connack(0); present != (c.resume && (c.v == 4 || c.expiry > 0)) {
				t.Errorf("%+v: session present is %v", c, present)
			}
			if c.due {
				watch.gets(0, "w", "gone")
			}
			time.Sleep(time.Minute) // and not later
			watch.none()
			next.leave()
			watch.leave()
		})
	}
}

// TestWillWithoutPayload has a will of no bytes.
func TestWillWithoutPayload(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, v := range []byte{4, 5} {
			watch := join(t, b, connectOpts{id: "watch"})
			watch.subscribe(0, "w")
			join(t, b, connectOpts{v: v, id: "c", will: &willOpts{topic: "w"}}).cut()
			watch.gets(0, "w", "")
			watch.leave()
		}
	})
}

// TestKindsOfSessionsAlternate connects a client by turns with a session that stays and one that does not.
func TestKindsOfSessionsAlternate(t *testing.T) {
	for _, v := range []byte{4, 5} {
		bubble(t, func(t *testing.T, b *Broker) {
			for round := range 3 {
				p := dial(t, b)
				p.connect(connectOpts{v: v, id: "c", resume: true, expiry: 60})
				if present, _ := p.connack(0); present {
					t.Errorf("version %d, round %d: what the clean session ended is present", v, round)
				}
				p.subscribe(1, "t")
				p.leave()
				if err := b.Publish(t.Context(), "t", []byte("for the session that stays")); err != nil {
					t.Fatal(err)
				}
				clean := join(t, b, connectOpts{v: v, id: "c"})
				clean.none()
				if c, err := b.Client("c"); err != nil || c.Subscriptions != 0 || c.Queued != 0 {
					t.Errorf("version %d, round %d: the clean session has %+v, %v", v, round, c, err)
				}
				clean.leave()
			}
		})
	}
}

// TestSubscriptionOptionsSurvive looks at what a session was subscribed with after a restart: QoS, No Local, Retain As
// Published and the identifier [MQTT-4.1.0-1].
func TestSubscriptionOptionsSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemStore()
		o := connectOpts{id: "c", expiry: 60}
		p := join(t, open(t, store, nil), o)
		p.write(frame(0x82, u16(1), section([]byte{0x0B, 200, 1}), str("own"), []byte{1 | 4}, str("as"), []byte{0 | 8}))
		p.want(0x90, u16(1), section(), []byte{1, 0})
		p.leave()
		b := open(t, store, nil)
		p = dial(t, b)
		p.resumes(o)
		p.publish(1, 1, "own", "not for me")
		p.write(p.publishFrame(1|2, 2, "as", "x")) // retained
		d := p.gets(0, "as", "x")
		p.want(0x40, u16(2))
		if !d.retain || !bytes.Equal(d.props, []byte{0x0B, 200, 1}) {
			t.Errorf("got %+v, want it retained and with identifier 200", d)
		}
		if err := b.Publish(t.Context(), "own", []byte("of another")); err != nil {
			t.Fatal(err)
		}
		p.puback(p.gets(1, "own", "of another").id)
		p.none()
		p.leave()
	})
}

// TestIdentifierIsReplaced subscribes again with another identifier and with none [MQTT-3.8.4-3].
func TestIdentifierIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "c"})
		for i, id := range [][]byte{{0x0B, 1}, {0x0B, 2}, nil, {0x0B, 3}} {
			p.write(frame(0x82, u16(9), section(id), str("t"), []byte{0}))
			p.want(0x90, u16(9), section(), []byte{0})
			if err := b.Publish(t.Context(), "t", fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
			if d := p.gets(0, "t", fmt.Sprint(i)); !bytes.Equal(d.props, id) {
				t.Errorf("subscription %d: properties %x, want %x", i, d.props, id)
			}
		}
		p.leave()
	})
}

// TestRetainedExpires has retained messages, of a publish and of a will, go when their expiry is over [MQTT-3.3.2-5].
func TestRetainedExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, NewMemStore(), nil)
		p := join(t, b, connectOpts{id: "p"})
		p.write(p.publishFrame(1|2, 1, "r/short", "short", []byte{2}, u32(10)))
		p.want(0x40, u16(1))
		p.write(p.publishFrame(1|2, 2, "r/stays", "stays"))
		p.want(0x40, u16(2))
		dying := dial(t, b)
		dying.write(frame(0x10, str("MQTT"), []byte{5, 0x26, 0, 0}, section(), str("d"), section([]byte{2}, u32(10)), str("r/will"), str("will")))
		dying.connack(0)
		dying.cut()
		subscribed := func() (got []string) {
			s := join(t, b, connectOpts{id: "s"})
			s.subscribe(0, "r/#")
			for {
				k, ok := s.poll()
				if !ok {
					break
				}
				d := s.parse(k)
				got = append(got, fmt.Sprintf("%s %x", d.payload, d.props))
			}
			s.leave()
			return got
		}
		time.Sleep(4 * time.Second)
		if got := fmt.Sprint(subscribed()); got != "[short 0200000006 stays  will 0200000006]" {
			t.Errorf("after 4 s: %s", got)
		}
		time.Sleep(7 * time.Second)
		if got := fmt.Sprint(subscribed()); got != "[stays ]" {
			t.Errorf("after 11 s: %s", got)
		}
		p.leave()
	})
}

// TestRetainedComesWithEachSubscription subscribes to retained messages of several levels, again and again, before and
// after each is cleared.
func TestRetainedComesWithEachSubscription(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "p"})
		topics := []string{"a", "a/b", "a/b/c"}
		for i, topic := range topics {
			p.write(p.publishFrame(1|2, uint16(i+1), topic, topic))
			p.want(0x40, u16(uint16(i+1)))
		}
		for cleared := range len(topics) + 1 {
			for range 2 {
				p.subscribe(0, "a/#")
				left := map[string]bool{}
				for range topics[cleared:] {
					d := p.receive()
					left[d.topic] = d.retain && d.payload == d.topic
				}
				for _, topic := range topics[cleared:] {
					if !left[topic] {
						t.Errorf("%d cleared: %s does not come", cleared, topic)
					}
				}
				p.none()
				p.write(frame(0xA2, u16(5), section(), str("a/#")))
				p.want(0xB0, u16(5), section(), []byte{0})
			}
			if cleared < len(topics) {
				p.write(p.publishFrame(1|2, 9, topics[cleared], ""))
				p.want(0x40, u16(9))
			}
		}
		p.leave()
	})
}

// TestTooLargeToBeSentAgain has the next connection of a session take less than the last, for messages that are not
// acknowledged, one of them expired meanwhile: they count as delivered [MQTT-3.1.2-24] [MQTT-3.1.2-25].
func TestTooLargeToBeSentAgain(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			b := open(t, NewMemStore(), nil)
			o := connectOpts{id: "c", expiry: 3600}
			p := join(t, b, o)
			p.subscribe(qos, "t")
			long := string(bytes.Repeat([]byte("x"), 300))
			for _, m := range []Message{
				{Topic: "t", QoS: qos, Payload: []byte(long), Properties: Properties{Expiry: 10 * time.Second}},
				{Topic: "t", QoS: qos, Payload: []byte(long)},
				{Topic: "t", QoS: qos, Payload: []byte("short")},
			} {
				if err := b.PublishMessage(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				p.gets(qos, "t", string(m.Payload))
			}
			p.cut()
			time.Sleep(time.Minute)
			o.props = append([]byte{0x27}, u32(100)...)
			p = dial(t, b)
			p.resumes(o)
			if d := p.gets(qos, "t", "short"); !d.dup {
				t.Errorf("got %+v, want DUP", d)
			}
			p.none()
			if s := b.Stats(); s.Dropped[DropTooLarge] != 2 {
				t.Errorf("dropped %v, want 2 that are too large", s.Dropped)
			}
			p.leave()
		})
	}
}

// TestSharedGrantedQoS sends each member of a shared subscription what it was granted, and QoS 0 as that: without
// identifier and DUP [MQTT-4.8.2-3] [MQTT-4.3.1-1].
func TestSharedGrantedQoS(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		zero, two := join(t, b, connectOpts{id: "zero"}), join(t, b, connectOpts{id: "two"})
		zero.subscribe(0, "$share/g/t")
		two.subscribe(2, "$share/g/t")
		for range 4 {
			if err := b.PublishMessage(t.Context(), Message{Topic: "t", QoS: 1, Payload: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			zero.want(0x30, str("t"), section(), []byte("x"))
			two.puback(two.gets(1, "t", "x").id)
		}
		zero.none()
		two.none()
		zero.leave()
		two.leave()
	})
}

// TestPropertiesSurvive has what goes with a message come after a restart as it would have before.
func TestPropertiesSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemStore()
		b := open(t, store, nil)
		o := connectOpts{id: "c", expiry: 60}
		p := join(t, b, o)
		p.subscribe(1, "t")
		p.leave()
		props := [][]byte{{1, 1}, {3}, str("text"), {8}, str("r"), {9}, str("c"), {0x26}, str("k"), str("v"), {0x26}, str("k"), str("w")}
		other := join(t, b, connectOpts{id: "other"})
		other.write(other.publishFrame(1|2, 1, "t", "x", props...))
		other.want(0x40, u16(1))
		other.leave()
		p = dial(t, open(t, store, nil))
		p.resumes(o)
		d := p.gets(1, "t", "x")
		if !bytes.Equal(d.props, bytes.Join(props, nil)) {
			t.Errorf("properties %x, want %x", d.props, bytes.Join(props, nil))
		}
		p.puback(d.id)
		p.leave()
	})
}
