package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

const (
	pubrec  = 0x50
	pubrel  = 0x62
	pubcomp = 0x70
)

func (p *peer) ack(first byte, id uint16) {
	p.t.Helper()
	p.write([]byte{first, 2}, u16(id))
}

// Each step of both exchanges, in both versions, with persistent sessions and
// with others.
func TestQoS2(t *testing.T) {
	for _, v := range []byte{4, 5} {
		for _, durable := range []bool{false, true} {
			t.Run(fmt.Sprintf("version %d, durable %v", v, durable), func(t *testing.T) {
				bubble(t, func(t *testing.T, b *Broker) {
					o := connectOpts{v: v, id: "sub", resume: durable}
					if durable {
						o.expiry = 3600
					}
					sub := join(t, b, o)
					sub.subscribe(2, "t")
					pub := join(t, b, connectOpts{v: v, id: "pub"})
					for round, payload := range []string{"a", "b"} {
						id := uint16(7 + round)
						pub.write(pub.publishFrame(4, id, "t", payload))
						pub.want(pubrec, u16(id))
						pub.write(pub.publishFrame(4|8, id, "t", payload)) // again: it is not a second message
						pub.want(pubrec, u16(id))
						pub.ack(pubrel, id)
						pub.want(pubcomp, u16(id))

						d := sub.gets(2, "t", payload)
						if d.dup {
							t.Error("DUP on the first delivery")
						}
						sub.ack(pubrec, d.id)
						sub.want(pubrel, u16(d.id))
						sub.ack(pubrec, d.id)
						sub.want(pubrel, u16(d.id))
						sub.ack(pubcomp, d.id)
						sub.none()
					}
					// The packet id is free: it is a new message now.
					pub.write(pub.publishFrame(4, 7, "t", "c"))
					pub.want(pubrec, u16(7))
					sub.gets(2, "t", "c")
					unknown := [][]byte{u16(99)}
					if v == 5 {
						unknown = append(unknown, []byte{0x92})
					}
					pub.ack(pubrel, 99)
					pub.want(pubcomp, unknown...)
					pub.ack(pubrec, 99)
					pub.want(pubrel, unknown...)
					pub.ack(pubcomp, 99)
					pub.none()
					pub.leave()
					sub.leave()
				})
			})
		}
	}
}

// The QoS is the lower one of the message's and the subscription's, for each
// subscriber, and a message of QoS 2 is stored once for each of them.
func TestQoS2Levels(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		var subs []*peer
		for qos := range byte(3) {
			for _, expiry := range []uint32{0, 3600} {
				p := join(t, b, connectOpts{id: fmt.Sprint("sub", qos, expiry), expiry: expiry})
				p.subscribe(qos, "t/#")
				subs = append(subs, p)
			}
		}
		pub := join(t, b, connectOpts{id: "pub"})
		for qos := range byte(3) {
			pub.write(pub.publishFrame(qos<<1, 5, "t/x", fmt.Sprint(qos)))
			switch qos {
			case 1:
				pub.want(0x40, u16(5))
			case 2:
				pub.want(pubrec, u16(5))
				pub.ack(pubrel, 5)
				pub.want(pubcomp, u16(5))
			}
			for i, p := range subs {
				d := p.gets(min(qos, byte(i/2)), "t/x", fmt.Sprint(qos))
				switch d.qos {
				case 1:
					p.puback(d.id)
				case 2:
					p.ack(pubrec, d.id)
					p.want(pubrel, u16(d.id))
					p.ack(pubcomp, d.id)
				}
			}
		}
		for _, p := range append(subs, pub) {
			p.none()
			p.leave()
		}
	})
}

// What the client may not have acknowledged comes again, at the step where it was.
func TestQoS2Resumes(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for _, v := range []byte{4, 5} {
			t.Run(fmt.Sprintf("crash %v, version %d", crash, v), func(t *testing.T) {
				store := NewMemStore()
				b := open(t, store, nil)
				o := connectOpts{v: v, id: "sub", resume: true, expiry: 3600}
				sub := join(t, b, o)
				sub.subscribe(2, "t")
				again := func() {
					sub.cut()
					if crash {
						b = open(t, store, nil)
					}
					sub = dial(t, b)
					sub.resumes(o)
				}
				send := func(payload string) {
					if err := b.PublishMessage(t.Context(), Message{Topic: "t", Payload: []byte(payload), QoS: 2}); err != nil {
						t.Fatal(err)
					}
				}
				send("a")
				first := sub.gets(2, "t", "a")
				again() // before PUBREC: the message, under its id
				second := sub.gets(2, "t", "a")
				if second.id != first.id || !crash && !second.dup {
					t.Errorf("%+v again as %+v", first, second)
				}
				send("b")
				other := sub.gets(2, "t", "b")
				sub.ack(pubrec, first.id)
				sub.want(pubrel, u16(first.id))
				again() // after PUBREC: PUBREL, and never the message
				sub.want(pubrel, u16(first.id))
				if d := sub.gets(2, "t", "b"); d.id != other.id {
					t.Errorf("b came as %d, and then as %d", other.id, d.id)
				}
				sub.ack(pubcomp, first.id)
				sub.ack(pubrec, other.id)
				sub.want(pubrel, u16(other.id))
				sub.ack(pubcomp, other.id)
				sub.none()
				send("alone")
				alone := sub.gets(2, "t", "alone")
				sub.ack(pubrec, alone.id)
				sub.want(pubrel, u16(alone.id))
				again() // with nothing else to be sent
				sub.want(pubrel, u16(alone.id))
				sub.ack(pubcomp, alone.id)
				sub.none()
				again()
				sub.none() // over
				send("c")
				sub.gets(2, "t", "c")
				sub.cut()
			})
		}
	}
}

// A PUBLISH that is repeated after a crash is no second message for persistent
// sessions, and its id is free again once PUBREL was answered.
func TestQoS2PublisherSurvives(t *testing.T) {
	store := NewMemStore()
	b := open(t, store, nil)
	sub := join(t, b, connectOpts{id: "sub", resume: true, expiry: 3600})
	sub.subscribe(2, "t")
	sub.cut()
	o := connectOpts{id: "pub", resume: true, expiry: 3600}
	pub := join(t, b, o)
	crash := func() {
		pub.cut()
		b = open(t, store, nil)
		pub = dial(t, b)
		pub.resumes(o)
	}
	for _, payload := range []string{"a", "b"} {
		pub.write(pub.publishFrame(4, 3, "t", payload))
		pub.want(pubrec, u16(3))
		crash()
		pub.write(pub.publishFrame(4|8, 3, "t", payload))
		pub.want(pubrec, u16(3))
		pub.ack(pubrel, 3)
		pub.want(pubcomp, u16(3))
		crash()
		pub.ack(pubrel, 3) // the client did not see PUBCOMP
		pub.want(pubcomp, u16(3), []byte{0x92})
	}
	pub.cut()
	sub = dial(t, b)
	sub.resumes(connectOpts{id: "sub", resume: true, expiry: 3600})
	for _, id := range []uint16{sub.gets(2, "t", "a").id, sub.gets(2, "t", "b").id} {
		sub.ack(pubrec, id)
		sub.want(pubrel, u16(id))
		sub.ack(pubcomp, id)
	}
	sub.none()
	sub.cut()
}

// Both sides count an exchange until it is over.
func TestQoS2Quota(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		sub := dial(t, b)
		sub.connect(connectOpts{id: "sub", props: append([]byte{0x21}, u16(2)...)}) // Receive Maximum
		sub.connack(0)
		sub.subscribe(2, "t")
		pub := join(t, b, connectOpts{id: "pub"})
		send := func(id uint16) {
			pub.write(pub.publishFrame(4, id, "t", fmt.Sprint(id)))
			pub.want(pubrec, u16(id))
		}
		for id := uint16(1); id <= 2; id++ {
			send(id)
			sub.gets(2, "t", fmt.Sprint(id))
		}
		send(3)
		sub.none()
		sub.ack(pubrec, 1)
		sub.want(pubrel, u16(1))
		sub.none() // PUBREC does not give room, PUBCOMP does
		sub.ack(pubcomp, 1)
		sub.gets(2, "t", "3")
		sub.write(frame(pubrec, u16(2), []byte{0x83})) // refused: over
		send(4)
		sub.gets(2, "t", "4")
		sub.leave()

		pub.write(pub.publishFrame(4, 5, "t", "one too many")) // our Receive Maximum is 4
		pub.closed(0x93)
	}, func(o *Options) { o.ReceiveMaximum = 4 })
}

// Answers come in the order of what they answer, whatever the order of the messages.
func TestQoS2Order(t *testing.T) {
	for _, expiry := range []uint32{0, 3600} {
		bubble(t, func(t *testing.T, b *Broker) {
			sub := join(t, b, connectOpts{id: "sub", expiry: expiry})
			sub.subscribe(2, "t")
			pub := join(t, b, connectOpts{id: "pub", expiry: expiry})
			pub.write(pub.publishFrame(4, 9, "t", "a"), pub.publishFrame(4, 3, "t", "b"), pub.publishFrame(4, 5, "t", "c"))
			for _, id := range []uint16{9, 3, 5} {
				pub.want(pubrec, u16(id))
			}
			var ids []uint16
			for _, payload := range []string{"a", "b", "c"} {
				ids = append(ids, sub.gets(2, "t", payload).id)
			}
			var recs []byte
			for _, i := range []int{1, 2, 0} {
				recs = append(append(recs, pubrec, 2), u16(ids[i])...)
			}
			sub.write(recs)
			for _, i := range []int{1, 2, 0} {
				sub.want(pubrel, u16(ids[i]))
			}
			pub.leave()
			sub.leave()
		})
	}
}

// A message that was sent is brought to its end though it expires meanwhile.
func TestQoS2OutlivesExpiry(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		o := connectOpts{id: "sub", expiry: 3600}
		sub := join(t, b, o)
		sub.subscribe(2, "t")
		pub := join(t, b, connectOpts{id: "pub"})
		pub.write(pub.publishFrame(4, 1, "t", "x", append([]byte{2}, u32(1)...))) // expires in 1 s
		pub.want(pubrec, u16(1))
		first := sub.gets(2, "t", "x")
		time.Sleep(time.Minute) // of the bubble
		sub.cut()
		sub = dial(t, b)
		sub.resumes(o)
		if d := sub.gets(2, "t", "x"); d.id != first.id || !d.dup {
			t.Errorf("%+v again as %+v", first, d)
		}
		sub.ack(pubrec, first.id)
		sub.want(pubrel, u16(first.id))
		pub.ack(pubrel, 1)
		pub.want(pubcomp, u16(1))
		sub.leave()
		pub.leave()
	})
}

// What one member of a shared subscription has begun to get is its own.
func TestQoS2Shared(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		o := connectOpts{id: "one", expiry: 3600}
		one := join(t, b, o)
		one.subscribe(2, "$share/g/t")
		if err := b.PublishMessage(t.Context(), Message{Topic: "t", Payload: []byte("x"), QoS: 2}); err != nil {
			t.Fatal(err)
		}
		first := one.gets(2, "t", "x")
		two := join(t, b, connectOpts{id: "two", expiry: 3600})
		two.subscribe(2, "$share/g/t")
		one.cut()
		two.none()
		one = dial(t, b)
		one.resumes(o)
		if d := one.gets(2, "t", "x"); d.id != first.id {
			t.Errorf("%+v again as %+v", first, d)
		}
		one.ack(pubrec, first.id)
		one.want(pubrel, u16(first.id))
		one.leave()
		two.leave()
	})
}

// With MaxQoS 1, as the AWS profile has it.
func TestQoS2NotGranted(t *testing.T) {
	for what, bytes := range map[string]string{"PUBLISH": "34 06 00 01 61 00 01 00", "PUBREC": "50 02 00 01", "PUBREL": "62 02 00 01", "PUBCOMP": "70 02 00 01"} {
		bubble(t, func(t *testing.T, b *Broker) {
			p := join(t, b, connectOpts{id: "p"})
			p.write(frame(0x82, u16(77), p.props(), str("t"), []byte{2}))
			p.want(0x90, u16(77), p.props(), []byte{1})
			p.write(unhex(t, bytes))
			code := byte(0x82)
			if what == "PUBLISH" {
				code = 0x9B
			}
			p.closed(code)
			p = dial(t, b)
			p.connect(connectOpts{id: "x", will: &willOpts{topic: "a", qos: 2}})
			p.connack(0x9B)
			p.closed(0)
		}, func(o *Options) { o.MaxQoS = 1 })
	}
}

// A store that fails ends the exchange, and another try makes it once.
func TestQoS2StoreFails(t *testing.T) {
	bubble(t, func(t *testing.T, _ *Broker) {
		store := &failing{Store: NewMemStore()}
		b := open(t, store, nil)
		sub := join(t, b, connectOpts{id: "sub", expiry: 3600})
		sub.subscribe(2, "t")
		pub := join(t, b, connectOpts{id: "pub", expiry: 3600})
		store.set("enqueue")
		pub.write(pub.publishFrame(4, 1, "t", "x"))
		pub.want(pubrec, u16(1), []byte{0x80})
		pub.closed(0x80)
		store.set("")
		pub = dial(t, b)
		pub.resumes(connectOpts{id: "pub", resume: true, expiry: 3600})
		pub.write(pub.publishFrame(4, 1, "t", "y"))
		pub.want(pubrec, u16(1))
		d := sub.gets(2, "t", "y")
		store.set("enqueue")
		sub.ack(pubrec, d.id)
		sub.closed(0x80)
		pub.ack(pubrel, 1)
		pub.closed(0x80)
		store.set("")
		sub, pub = dial(t, b), dial(t, b)
		pub.resumes(connectOpts{id: "pub", resume: true, expiry: 3600})
		pub.ack(pubrel, 1)
		pub.want(pubcomp, u16(1))
		pub.leave()
		sub.resumes(connectOpts{id: "sub", resume: true, expiry: 3600})
		if again := sub.gets(2, "t", "y"); again.id != d.id || !again.dup {
			t.Errorf("%+v again as %+v", d, again)
		}
		sub.leave()
	})
}

// A client2 keeps the state of QoS 2 as the standard says, over its connections.
type client2 struct {
	o    connectOpts
	p    *peer
	held map[uint16]bool // received, PUBREL outstanding
	got  []string        // each once

	next   int               // message to publish
	flying map[uint16]string // PUBLISH sent, PUBREC outstanding
	freed  map[uint16]bool   // PUBREL sent, PUBCOMP outstanding
}

// take handles one packet from the broker, unless lazy says that the answer is lost.
func (c *client2) take(k packet, lazy bool) {
	t := c.p.t
	id := func(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
	answer := func(first byte, id uint16) {
		if !lazy {
			c.p.ack(first, id)
		}
	}
	switch k.first & 0xf0 {
	case 0x30:
		n := int(binary.BigEndian.Uint16(k.body))
		topic, rest := string(k.body[2:2+n]), k.body[2+n:]
		if qos := k.first >> 1 & 3; qos != 2 {
			t.Fatalf("QoS %d", qos)
		}
		pid := id(rest)
		payload := string(rest[3:]) // no properties
		if !c.held[pid] {
			c.held[pid] = true
			c.got = append(c.got, topic+" "+payload)
		}
		answer(pubrec, pid)
	case 0x60:
		delete(c.held, id(k.body))
		answer(pubcomp, id(k.body))
	case 0x50:
		if _, ok := c.flying[id(k.body)]; ok {
			delete(c.flying, id(k.body))
			c.freed[id(k.body)] = true
		}
		answer(pubrel, id(k.body))
	case 0x70:
		delete(c.freed, id(k.body))
	default:
		t.Fatalf("got %v", k)
	}
}

// publish sends a new message under the lowest packet id that is free.
func (c *client2) publish() {
	id := uint16(1)
	for c.flying[id] != "" || c.freed[id] {
		id++
	}
	c.flying[id] = fmt.Sprint(c.next)
	c.next++
	c.p.write(c.p.publishFrame(4, id, "t/"+c.o.id, c.flying[id]))
}

// connect begins a connection and repeats what is not over, in order.
func (c *client2) connect(t *testing.T, b *Broker) {
	c.p = dial(t, b)
	c.p.resumes(c.o)
	for _, id := range slices.SortedFunc(maps.Keys(c.flying), func(a, b uint16) int {
		return len(c.flying[a]) - len(c.flying[b]) + 2*compare(c.flying[a], c.flying[b])
	}) {
		c.p.write(c.p.publishFrame(4|8, id, "t/"+c.o.id, c.flying[id]))
	}
	for id := range c.freed {
		c.p.ack(pubrel, id)
	}
}

func compare(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	if a < b {
		return -1
	}
	return 1
}

// Exactly once: publishers and a subscriber with persistent sessions, cut at any
// step, their answers lost, and a broker that is thrown away as by a crash. Each message
// comes, in order, and none twice.
func TestExactlyOnce(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { exactlyOnce(t, seed) })
	}
}

func exactlyOnce(t *testing.T, seed uint64) {
	store := NewMemStore()
	rng := rand.New(rand.NewPCG(seed, 2))
	opts := func(o *Options) { o.MaxInflight, o.MaxPendingBytes = 1+rng.IntN(8), 300+rng.IntN(2000) }
	b := open(t, store, opts)
	client := func(id string) *client2 {
		c := &client2{o: connectOpts{v: 5, id: id, resume: true, expiry: 3600}, held: map[uint16]bool{}, flying: map[uint16]string{}, freed: map[uint16]bool{}}
		c.p = join(t, b, c.o)
		return c
	}
	sub, pubs := client("sub"), []*client2{client("a"), client("b")}
	sub.p.subscribe(2, "t/#")
	all := append(slices.Clone(pubs), sub)
	const each = 25
	done := func() bool {
		return len(sub.got) == 2*each && len(sub.held) == 0 && !slices.ContainsFunc(pubs, func(c *client2) bool { return len(c.flying)+len(c.freed) > 0 })
	}
	for step := 0; !done(); step++ {
		if step > 20_000 {
			t.Fatalf("seed %d: after %d steps: got %d, held %v", seed, step, len(sub.got), sub.held)
		}
		quiet := step > 2000 // then everything works, and has to end
		c := all[rng.IntN(len(all))]
		switch k := rng.IntN(100); {
		case k < 3 && !quiet:
			for _, c := range all {
				c.p.cut()
			}
			b = open(t, store, opts)
			for _, c := range all {
				c.connect(t, b)
			}
		case k < 12 && !quiet:
			c.p.cut()
			c.connect(t, b)
		case k < 40 && c != sub && c.next < each && len(c.flying)+len(c.freed) < 5:
			c.publish()
		default:
			if packet, ok := c.p.poll(); ok {
				lost := !quiet && rng.IntN(12) == 0
				c.take(packet, lost)
				if lost { // as the connection is, then
					c.p.cut()
					c.connect(t, b)
				}
			}
		}
	}
	next := map[string]int{}
	for _, m := range sub.got {
		var topic string
		var n int
		if _, err := fmt.Sscanf(m, "%s %d", &topic, &n); err != nil || n != next[topic] {
			t.Fatalf("seed %d: %q after %d messages of %s", seed, m, next[topic], topic)
		}
		next[topic]++
	}
	for _, c := range all {
		c.p.cut()
	}
	left := 0
	for s, err := range store.Sessions(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		left += len(s.Received)
	}
	if left > 0 {
		t.Errorf("seed %d: %d packet ids are still marked", seed, left)
	}
}
