package clienttest

import (
	"fmt"
	"slices"
	"strings"
)

func expiry(c *cell) {
	sub, pub := c.device("sub", persistent), c.device("pub", clean)
	sub.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1})
	sub.leave(c.T)
	pub.publish(c.T, message{Topic: c.topic("t"), Payload: "x", QoS: 1, Expiry: 600})
	sub = c.device("sub", persistent)
	if strings.HasPrefix(c.kind.name, "mosquitto") { // it connects with its subscription
		sub.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1})
	}
	if got := sub.box().next(c.T, 1)[0]; got.Expiry < 500 || got.Expiry > 600 { // [MQTT-3.3.2-6]
		c.Errorf("the message expires in %d s, want at most 600", got.Expiry)
	}
}

func aliasIn(c *cell) {
	sub, pub := c.device("sub", clean), c.device("pub", clean)
	sub.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1})
	pub.publish(c.T, message{Topic: c.topic("t"), Payload: "0", QoS: 1, Alias: 3})
	again := message{Payload: "1", QoS: 1, Alias: 3}
	if strings.HasPrefix(c.kind.name, "AWS") {
		again.Topic = c.topic("t") // the SDK leaves it out by itself
	}
	pub.publish(c.T, again)
	c.gets(sub, message{Topic: c.topic("t"), Payload: "0", QoS: 1}, message{Topic: c.topic("t"), Payload: "1", QoS: 1})
}

// aliasOut has the broker use aliases, which libraries put back into topics or show.
func aliasOut(c *cell) {
	o := clean
	o.TopicAliasMaximum = 2
	sub, pub := c.device("sub", o), c.device("pub", clean)
	sub.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1})
	names := map[int]string{}
	for i, topic := range []string{"a", "a", "b", "a", "c", "b", "c"} {
		m := message{Topic: c.topic(topic), Payload: fmt.Sprint(i), QoS: 1}
		pub.publish(c.T, m)
		got := sub.box().next(c.T, 1)[0]
		if got.Topic != "" && got.Alias != 0 {
			names[got.Alias] = got.Topic
		} else if got.Topic == "" {
			got.Topic = names[got.Alias]
		}
		if got.Topic != m.Topic || got.Payload != m.Payload || got.Alias > 2 {
			c.Errorf("message %d is %+v, want topic %s", i, got, m.Topic)
		}
	}
}

func properties(c *cell) {
	sub, pub := c.device("sub", clean), c.device("pub", clean)
	sub.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1})
	m := message{Topic: c.topic("t"), Payload: "x", QoS: 1, ContentType: "text/plain", ResponseTopic: "r", Correlation: "c1",
		User: [][2]string{{"k", "v"}, {"k", "w"}, {"a", "b"}}, Text: 1}
	pub.publish(c.T, m)
	got := c.gets(sub, m)[0]
	if got.ContentType != m.ContentType || got.ResponseTopic != m.ResponseTopic || got.Correlation != m.Correlation || got.Text != 1 ||
		!slices.Equal(got.User, m.User) {
		c.Errorf("it arrives as %+v, want %+v", got, m)
	}
}

func requestResponse(c *cell) {
	server, client := c.device("server", clean), c.device("client", clean)
	server.subscribe(c.T, 0, filter{Filter: c.topic("request"), QoS: 1})
	client.subscribe(c.T, 0, filter{Filter: c.topic("response"), QoS: 1})
	client.publish(c.T, message{Topic: c.topic("request"), Payload: "?", QoS: 1, ResponseTopic: c.topic("response"), Correlation: "7"})
	request := server.box().next(c.T, 1)[0]
	answer := message{Topic: request.ResponseTopic, Payload: "!", QoS: 1, Correlation: request.Correlation}
	server.publish(c.T, answer)
	if got := c.gets(client, answer)[0]; got.Correlation != "7" {
		c.Errorf("the answer is %+v", got)
	}
}

func identifiers(c *cell) {
	sub, pub := c.device("sub", clean), c.device("pub", clean)
	sub.subscribe(c.T, 7, filter{Filter: c.topic("+"), QoS: 1})
	m := message{Topic: c.topic("t"), Payload: "x", QoS: 1}
	pub.publish(c.T, m)
	if got := c.gets(sub, m)[0]; !slices.Equal(got.Identifiers, []int{7}) {
		c.Errorf("the identifiers are %v", got.Identifiers)
	}
}

// receiveMaximum has more messages wait than may be unacknowledged, and all of them come.
func receiveMaximum(c *cell) {
	o := persistent
	o.ReceiveMaximum = 2
	sub, pub := c.device("sub", o), c.device("pub", clean)
	sub.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: c.kind.maxQoS})
	sub.leave(c.T)
	var want []message
	for i := range 8 {
		m := message{Topic: c.topic("t"), Payload: fmt.Sprint(i), QoS: c.kind.maxQoS}
		pub.publish(c.T, m)
		want = append(want, m)
	}
	sub = c.device("sub", o)
	if strings.HasPrefix(c.kind.name, "mosquitto") {
		sub.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: c.kind.maxQoS})
	}
	c.gets(sub, want...)
}

// maximumPacketSize has a message that is too large left out, and the next one come [MQTT-3.1.2-25].
func maximumPacketSize(c *cell) {
	o := clean
	o.MaximumPacketSize = 400
	sub, pub := c.device("sub", o), c.device("pub", clean)
	sub.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1})
	pub.publish(c.T, message{Topic: c.topic("t"), Payload: strings.Repeat("x", 1000), QoS: 1})
	m := message{Topic: c.topic("t"), Payload: "small", QoS: 1}
	pub.publish(c.T, m)
	c.gets(sub, m)
}

func assigned(c *cell) {
	d, ack := c.connects("", clean)
	if ack.Assigned == "" { // [MQTT-3.2.2-16]
		c.Error("no client id was assigned")
	}
	d.subscribe(c.T, 0, filter{Filter: c.topic("#"), QoS: 1})
	m := message{Topic: c.topic("t"), Payload: "x", QoS: 1}
	d.publish(c.T, m)
	c.gets(d, m)
}
