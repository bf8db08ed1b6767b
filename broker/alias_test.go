package broker

import (
	"slices"
	"testing"
)

// TestOutboundAliases reads what a client gets that allows two aliases.
func TestOutboundAliases(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a", props: slices.Concat([]byte{0x22}, u16(2))})
		p.subscribe(0, "#")
		alias := func(n byte) string { return string([]byte{0x23, 0, n}) }
		for i, want := range []struct{ publish, topic, props string }{
			{"first/topic", "first/topic", alias(1)},
			{"first/topic", "", alias(1)},
			{"second/topic", "second/topic", alias(2)},
			{"third/topic", "third/topic", ""},
			{"second/topic", "", alias(2)},
			{"first/topic", "", alias(1)},
		} {
			if err := b.Publish(t.Context(), want.publish, []byte("x")); err != nil {
				t.Fatal(err)
			}
			if d := p.receive(); d.topic != want.topic || string(d.props) != want.props || d.payload != "x" {
				t.Errorf("message %d: got topic %q, properties %x, want %q, %x", i, d.topic, d.props, want.topic, want.props)
			}
		}
		p.leave()
		// Aliases end with the connection [MQTT-3.3.2-7].
		p = join(t, b, connectOpts{id: "a", props: slices.Concat([]byte{0x22}, u16(1))})
		p.subscribe(0, "#")
		if err := b.Publish(t.Context(), "second/topic", nil); err != nil {
			t.Fatal(err)
		}
		if d := p.receive(); d.topic != "second/topic" || string(d.props) != alias(1) {
			t.Errorf("on a new connection: topic %q, properties %x", d.topic, d.props)
		}
		p.leave()
	})
}

// TestNoAliasesWithoutConsent covers [MQTT-3.1.2-27]: absent means none.
func TestNoAliasesWithoutConsent(t *testing.T) {
	for _, test := range []struct {
		what string
		most int
		o    connectOpts
	}{
		{"the client allows none", 0, connectOpts{id: "a"}},
		{"MQTT 3.1.1 has none", 0, connectOpts{id: "a", v: 4}},
		{"the broker uses none", -1, connectOpts{id: "a", props: slices.Concat([]byte{0x22}, u16(9))}},
	} {
		bubble(t, func(t *testing.T, b *Broker) {
			p := join(t, b, test.o)
			p.subscribe(0, "#")
			for range 2 {
				if err := b.Publish(t.Context(), "some/topic", nil); err != nil {
					t.Fatal(err)
				}
				if d := p.receive(); d.topic != "some/topic" || len(d.props) > 0 {
					t.Errorf("%s: topic %q, properties %x", test.what, d.topic, d.props)
				}
			}
			p.leave()
		}, func(o *Options) { o.OutboundAliases = test.most })
	}
}
