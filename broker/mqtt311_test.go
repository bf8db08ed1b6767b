package broker

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// What MQTT 3.1.1 says as 5.0 does, but other tests show of 5.0 alone. The numbers are those of 3.1.1.

// TestSessionOf311 leaves QoS 1 messages unacknowledged: they come again on the next connection, with DUP, their
// identifiers, in their order, and before what is new [MQTT-2.3.1-3] [MQTT-3.3.1-1] [MQTT-4.4.0-1] [MQTT-4.6.0-1].
func TestSessionOf311(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		o := connectOpts{v: 4, id: "c", resume: true}
		p := join(t, b, o)
		p.subscribe(1, "t")
		ids := []uint16{}
		for i := range 5 {
			if err := b.Publish(t.Context(), "t", fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
			d := p.gets(1, "t", fmt.Sprint(i))
			if d.dup || d.id == 0 || slices.Contains(ids, d.id) { // [MQTT-2.3.1-2] [MQTT-2.3.1-4]
				t.Errorf("message %d has DUP %v and identifier %d after %v", i, d.dup, d.id, ids)
			}
			ids = append(ids, d.id)
		}
		p.puback(ids[1])
		p.none() // not on this connection
		p.cut()
		if err := b.Publish(t.Context(), "t", []byte("5")); err != nil { // [MQTT-3.1.2-5]
			t.Fatal(err)
		}
		p = dial(t, b)
		p.resumes(o)
		for _, i := range []int{0, 2, 3, 4, 5} {
			if d := p.gets(1, "t", fmt.Sprint(i)); i < 5 && (!d.dup || d.id != ids[i]) || i == 5 && d.dup {
				t.Errorf("message %d comes again with DUP %v and identifier %d", i, d.dup, d.id)
			}
		}
		p.cut()
		clean := join(t, b, connectOpts{v: 4, id: "c"}) // [MQTT-3.1.2-6]
		clean.none()
		clean.leave()
	})
}

// TestKeepAliveOf311 ends a silent connection after one and a half intervals, without a word [MQTT-3.1.2-24].
func TestKeepAliveOf311(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{v: 4, id: "p", keepAlive: 10})
		time.Sleep(14 * time.Second)
		p.write([]byte{0xC0, 0})
		p.want(0xD0) // [MQTT-3.12.4-1]
		start := time.Now()
		p.closed(0)
		if d := time.Since(start); d < 15*time.Second || d > 17*time.Second {
			t.Errorf("cut after %v, want 15 s", d)
		}
	})
}

// TestRetainedOf311 keeps the last retained message of a topic, of QoS 0 too, beyond the session that sent it, until
// an empty one comes: [MQTT-3.1.2-7] [MQTT-3.3.1-5] to [MQTT-3.3.1-12].
func TestRetainedOf311(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		watch := join(t, b, connectOpts{v: 4, id: "watch"})
		watch.subscribe(1, "t")
		for _, step := range []struct {
			flags   byte
			payload string
			kept    string
		}{{1 | 2, "one", "one"}, {1, "two", "two"}, {0, "plain", "two"}, {0, "", "two"}, {1, "", ""}, {1, "", ""}} {
			p := join(t, b, connectOpts{v: 4, id: "p"})
			p.write(p.publishFrame(step.flags, 7, "t", step.payload))
			if step.flags&2 != 0 {
				p.want(0x40, u16(7))
			}
			p.leave()
			if d := watch.gets(step.flags>>1&3, "t", step.payload); d.retain {
				t.Errorf("%q comes as retained to an established subscription", step.payload)
			} else if d.qos > 0 {
				watch.puback(d.id)
			}
			sub := join(t, b, connectOpts{v: 4, id: "sub"})
			sub.subscribe(1, "t")
			if step.kept != "" {
				if d := sub.receive(); d.payload != step.kept || !d.retain {
					t.Errorf("after %q with flags %d: got %+v, want %q, retained", step.payload, step.flags, d, step.kept)
				}
			}
			sub.none()
			sub.leave()
		}
		watch.leave()
	})
}

// TestOverlappingOf311 gives one copy, with the highest QoS of the subscriptions [MQTT-3.3.5-1].
func TestOverlappingOf311(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{v: 4, id: "p"})
		p.subscribe(0, "a/#")
		p.subscribe(1, "a/+")
		p.subscribe(0, "a/b")
		if err := b.Publish(t.Context(), "a/b", []byte("x")); err != nil {
			t.Fatal(err)
		}
		p.puback(p.gets(1, "a/b", "x").id)
		p.none()
		p.leave()
	})
}

// TestRefusedOf311 does nothing of what follows a CONNECT that is refused [MQTT-3.1.4-5], whose CONNACK has no session
// present and is the last that is sent [MQTT-3.2.2-4] [MQTT-3.2.2-5].
func TestRefusedOf311(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		_, err := b.Subscribe("#", func(_ context.Context, topic string, _ []byte) error {
			t.Errorf("a refused client has published to %s", topic)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		p := dial(t, b)
		p.v = 4
		p.write(connectFrame(connectOpts{v: 4, id: "a", user: "no", resume: true}), p.publishFrame(0, 0, "t", "x"))
		p.want(0x20, []byte{0, 5})
		p.closed(0)
	}, func(o *Options) { o.Authenticator = denyAll{} })
}
