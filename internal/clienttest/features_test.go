package clienttest

import (
	"fmt"
	"slices"
	"strings"
)

func qos01(c *cell) {
	sub, pub := c.device("sub", clean), c.device("pub", clean)
	sub.subscribe(c.T, 0, filter{Filter: c.topic("+"), QoS: 1})
	want := []message{{Topic: c.topic("0"), Payload: "zero"}, {Topic: c.topic("1"), Payload: "one", QoS: 1}}
	for _, m := range want {
		pub.publish(c.T, m)
	}
	c.gets(sub, want...)
}

func empty(c *cell) {
	sub, pub := c.device("sub", clean), c.device("pub", clean)
	sub.subscribe(c.T, 0, filter{Filter: c.topic("+"), QoS: 1})
	for qos := range byte(2) {
		m := message{Topic: c.topic("t"), QoS: qos}
		pub.publish(c.T, m)
		c.gets(sub, m)
	}
}

// qos2 has a message of each QoS come with that QoS, and one of 2 with less to a subscription of less [MQTT-3.8.4-8].
func qos2(c *cell) {
	sub, less, pub := c.device("sub", clean), c.device("less", clean), c.device("pub", clean)
	codes := sub.subscribe(c.T, 0, filter{Filter: c.topic("+"), QoS: 2})
	if codes[0] != 2 {
		c.Errorf("QoS %d is granted", codes[0])
	}
	less.subscribe(c.T, 0, filter{Filter: c.topic("+"), QoS: 1})
	var want, lower []message
	for qos := range byte(3) {
		m := message{Topic: c.topic("t"), Payload: fmt.Sprint(qos), QoS: qos}
		pub.publish(c.T, m)
		want = append(want, m)
		m.QoS = min(qos, 1)
		lower = append(lower, m)
	}
	c.gets(sub, want...)
	c.gets(less, lower...)
}

func large(c *cell) {
	sub, pub := c.device("sub", clean), c.device("pub", clean)
	sub.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1})
	m := message{Topic: c.topic("big"), Payload: strings.Repeat("x", 200_000), QoS: 1}
	pub.publish(c.T, m)
	if got := sub.box().next(c.T, 1)[0]; got.Payload != m.Payload {
		c.Errorf("%d bytes arrive, want %d", len(got.Payload), len(m.Payload))
	}
}

func unsubscribing(c *cell) {
	sub, pub := c.device("sub", persistent), c.device("pub", clean)
	sub.subscribe(c.T, 0, filter{Filter: c.topic("a/#"), QoS: 1}, filter{Filter: c.topic("+/b"), QoS: 1})
	a, b := message{Topic: c.topic("a"), Payload: "a", QoS: 1}, message{Topic: c.topic("x/b"), Payload: "b", QoS: 1}
	for _, m := range []message{a, b} {
		pub.publish(c.T, m)
	}
	c.gets(sub, a, b)
	sub.unsubscribe(c.T, c.topic("a/#"))
	for _, m := range []message{a, b} {
		pub.publish(c.T, m)
	}
	c.gets(sub, b)
}

func retained(c *cell) {
	pub := c.device("pub", clean)
	a, b := message{Topic: c.topic("a"), Payload: "a", QoS: 1, Retain: true}, message{Topic: c.topic("b"), Payload: "b", QoS: 1, Retain: true}
	old := a
	old.Payload = "old"
	for _, m := range []message{old, a, b} {
		pub.publish(c.T, m)
	}
	first := c.device("first", clean)
	first.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1})
	c.gets(first, a, b)
	first.leave(c.T)
	pub.publish(c.T, message{Topic: a.Topic, QoS: 1, Retain: true}) // clears it [MQTT-3.3.1-6]
	second := c.device("second", clean)
	second.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1})
	c.gets(second, b)
}

func retainHandling(c *cell) {
	d := c.device("d", clean)
	kept := message{Topic: c.topic("kept"), Payload: "kept", QoS: 1, Retain: true}
	end := message{Topic: c.topic("kept"), Payload: "end", QoS: 1}
	d.publish(c.T, kept)
	d.subscribe(c.T, 0, filter{Filter: kept.Topic, QoS: 1, RetainHandling: 2}) // never
	d.subscribe(c.T, 0, filter{Filter: kept.Topic, QoS: 1, RetainHandling: 1}) // not again
	d.publish(c.T, end)
	c.gets(d, end)
	d.subscribe(c.T, 0, filter{Filter: kept.Topic, QoS: 1})
	c.gets(d, kept)
	d.unsubscribe(c.T, kept.Topic)
	d.subscribe(c.T, 0, filter{Filter: kept.Topic, QoS: 1, RetainHandling: 1}) // it is new
	c.gets(d, kept)
}

func retainAsPublished(c *cell) {
	as, plain, pub := c.device("as", clean), c.device("plain", clean), c.device("pub", clean)
	as.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1, RetainAsPublished: true})
	plain.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1})
	m := message{Topic: c.topic("t"), Payload: "x", QoS: 1, Retain: true}
	pub.publish(c.T, m)
	c.gets(as, m)
	m.Retain = false
	c.gets(plain, m)
}

func noLocal(c *cell) {
	d, other := c.device("d", clean), c.device("other", clean)
	d.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1, NoLocal: true})
	d.publish(c.T, message{Topic: c.topic("t"), Payload: "mine", QoS: 1})
	m := message{Topic: c.topic("t"), Payload: "the other's", QoS: 1}
	other.publish(c.T, m)
	c.gets(d, m)
}

func resumed(c *cell) {
	d, pub := c.device("d", persistent), c.device("pub", clean)
	d.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: c.kind.maxQoS})
	d.leave(c.T)
	var want []message
	for i := range byte(4) {
		m := message{Topic: c.topic("t"), Payload: fmt.Sprint(i), QoS: min(1+i/2, c.kind.maxQoS)} // those of 2 come last: a client may hold them back until PUBREL
		pub.publish(c.T, m)
		want = append(want, m)
	}
	d, ack := c.connects("d", persistent)
	if ack.Present != nil && !*ack.Present {
		c.Error("the session is not present")
	}
	if strings.HasPrefix(c.kind.name, "mosquitto") { // it connects with its subscription
		d.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: c.kind.maxQoS})
	}
	c.gets(d, want...)
}

func unresumed(c *cell) {
	for range 2 {
		d, ack := c.connects("d", connection{})
		if ack.Present == nil || *ack.Present {
			c.Error("a session of expiry 0 is present")
		}
		d.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1})
		d.leave(c.T)
	}
}

func willSent(c *cell) {
	watch := c.device("watch", clean)
	watch.subscribe(c.T, 0, filter{Filter: c.topic("will"), QoS: 1})
	o := clean
	ends := []string{"left", "gone"}
	if strings.HasPrefix(c.kind.name, "mosquitto") {
		ends = ends[1:] // it cannot leave in order
	}
	for _, end := range ends {
		o.Will = &will{Topic: c.topic("will"), Payload: end, QoS: 1}
		d := c.device("d", o)
		d.subscribe(c.T, 0, filter{Filter: c.topic("x")})
		if end == "left" { // in order, so nobody hears of it [MQTT-3.1.2-10]
			d.leave(c.T)
		} else {
			d.kill(c.T)
		}
	}
	c.gets(watch, message{Topic: c.topic("will"), Payload: "gone", QoS: 1})
}

// willDelayed comes back before the will of the first connection is due [MQTT-3.1.3-9].
func willDelayed(c *cell) {
	watch := c.device("watch", clean)
	watch.subscribe(c.T, 0, filter{Filter: c.topic("will"), QoS: 1})
	for _, delay := range []int{3600, 0} {
		o := persistent
		o.Will = &will{Topic: c.topic("will"), Payload: fmt.Sprint(delay), QoS: 1, Delay: delay}
		d := c.device("d", o)
		d.subscribe(c.T, 0, filter{Filter: c.topic("x")})
		d.kill(c.T)
	}
	c.gets(watch, message{Topic: c.topic("will"), Payload: "0", QoS: 1})
}

func shared(c *cell) {
	members, pub := []device{c.device("a", clean), c.device("b", clean)}, c.device("pub", clean)
	for _, m := range members {
		m.subscribe(c.T, 0, filter{Filter: "$share/g/" + c.topic("+"), QoS: 1})
	}
	var want []string
	for i := range 6 {
		m := message{Topic: c.topic("t"), Payload: fmt.Sprint(i), QoS: 1}
		pub.publish(c.T, m)
		want = append(want, m.Payload)
	}
	got := append(c.texts(members[0].box().next(c.T, 3)), c.texts(members[1].box().next(c.T, 3))...)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		c.Errorf("the group got %q, want %q", got, want)
	}
}

func takenOver(c *cell) {
	first := c.device("d", clean)
	second := c.device("d", clean)
	first.box().close(c.T)
	second.subscribe(c.T, 0, filter{Filter: c.topic("t"), QoS: 1})
	m := message{Topic: c.topic("t"), Payload: "x", QoS: 1}
	second.publish(c.T, m)
	c.gets(second, m)
}

func disconnected(c *cell) {
	first := c.device("d", clean)
	c.device("d", clean)
	if code := first.box().close(c.T); code != 0x8E { // [MQTT-3.1.4-3]
		c.Errorf("the first is told %#x, want 0x8E", code)
	}
}

func refused(c *cell) {
	o := clean
	o.Username, o.Password = "u", "wrong"
	_, ack := c.connects("d", o)
	if want := map[byte]int{4: 4, 5: 0x86}[c.kind.version]; ack.Code != want {
		c.Errorf("the code is %#x, want %#x", ack.Code, want)
	}
}

func forbiddenSubscription(c *cell) {
	codes := c.device("d", clean).subscribe(c.T, 0, filter{Filter: "forbidden/" + c.id, QoS: 1})
	if want := map[byte]int{4: 0x80, 5: 0x87}[c.kind.version]; len(codes) != 1 || codes[0] != want {
		c.Errorf("the codes are %v, want %d", codes, want)
	}
}

func forbiddenPublish(c *cell) {
	if code := c.device("d", clean).publish(c.T, message{Topic: "forbidden/" + c.id, Payload: "x", QoS: 1}); code != 0x87 {
		c.Errorf("the code is %#x, want 0x87", code)
	}
}
