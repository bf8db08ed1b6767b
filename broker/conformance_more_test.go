package broker

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// The second half of what conformance_test.go begins: acknowledgements, wills, sessions.

// TestOtherPacketsAtZeroQuota covers [MQTT-3.3.4-10] and [MQTT-4.9.0-3].
func TestOtherPacketsAtZeroQuota(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a", props: append([]byte{0x21}, u16(1)...)})
		p.subscribe(1, "t")
		for range 3 {
			if err := b.Publish(t.Context(), "t", []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		d := p.gets(1, "t", "x")
		p.write([]byte{0xC0, 0})
		p.want(0xD0)
		p.subscribe(0, "other")
		p.publish(1, 4, "elsewhere", "")
		if err := b.PublishMessage(t.Context(), Message{Topic: "other"}); err != nil {
			t.Fatal(err)
		}
		p.gets(0, "other", "") // QoS 0 needs no quota
		p.puback(d.id)
		p.puback(p.gets(1, "t", "x").id)
		p.puback(p.gets(1, "t", "x").id)
		p.leave()
	})
}

// TestWillIsGoneOnceSaid covers [MQTT-3.1.2-10] and [MQTT-3.14.4-3]: a will is published once at most.
func TestWillIsGoneOnceSaid(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		n := 0
		if _, err := b.Subscribe("w", func(context.Context, string, []byte) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		will := &willOpts{topic: "w", payload: "gone"}
		join(t, b, connectOpts{id: "a", expiry: 60, will: will}).cut()
		join(t, b, connectOpts{id: "a", expiry: 60, resume: true}).cut() // has none
		if n != 1 {
			t.Errorf("%d wills after the first cut, want 1", n)
		}
		join(t, b, connectOpts{id: "a", will: will}).leave()
		if n != 1 {
			t.Errorf("%d wills after an orderly end, want 1", n)
		}
		p := join(t, b, connectOpts{id: "a", will: will})
		p.write([]byte{0xE0, 1, 4}) // disconnect with will
		p.closed(0)
		if n != 2 {
			t.Errorf("%d wills after DISCONNECT 0x04, want 2", n)
		}
	})
}

// TestSessionExpiryOfDisconnect covers [MQTT-3.14.2-2], section 3.14.2.2.2 and [MQTT-4.1.0-2].
func TestSessionExpiryOfDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a", expiry: 3600})
		p.write(frame(0xE0, []byte{0}, section([]byte{0x11}, u32(0))))
		p.closed(0)
		if _, err := b.Client("a"); err == nil {
			t.Error("the session outlives an expiry of 0")
		}
		p = join(t, b, connectOpts{id: "a", expiry: 10})
		p.write(frame(0xE0, []byte{0}, section([]byte{0x11}, u32(100))))
		p.closed(0)
		time.Sleep(50 * time.Second)
		if _, err := b.Client("a"); err != nil {
			t.Error("the session does not live as long as DISCONNECT said")
		}
		p = join(t, b, connectOpts{id: "b"})
		p.write(frame(0xE0, []byte{0}, section([]byte{0x11}, u32(100))))
		p.closed(0x82) // raised from 0
	})
}

// TestPayloadFormatIsNotChecked has [MQTT-3.3.2-4] with a payload that is not what it says.
func TestPayloadFormatIsNotChecked(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		p.subscribe(0, "t")
		p.write(p.publishFrame(0, 0, "t", "\xff", []byte{1, 1}))
		if d := p.gets(0, "t", "\xff"); string(d.props) != "\x01\x01" {
			t.Errorf("properties %x", d.props)
		}
		p.leave()
	})
}

// TestPacketIDsMayBeUsedAgain covers [MQTT-4.3.2-4] and [MQTT-4.3.2-5].
func TestPacketIDsMayBeUsedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		n := 0
		if _, err := b.Subscribe("t", func(context.Context, string, []byte) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		p := join(t, b, connectOpts{id: "a"})
		for i := range 5 {
			p.publish(1, 7, "t", fmt.Sprint(i))
		}
		if n != 5 {
			t.Errorf("%d messages, want 5", n)
		}
		p.leave()
	})
}

// TestWildcardsAndDollar covers [MQTT-4.7.2-1] over the wire, and section 4.7.1 beside it.
func TestWildcardsAndDollar(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		p.subscribe(0, "#", "+/x", "$other/#")
		p.write(p.publishFrame(0, 0, "$other/x", "once"), p.publishFrame(0, 0, "$more/x", "not at all"), p.publishFrame(0, 0, "a/x", "once"))
		p.gets(0, "$other/x", "once")
		p.gets(0, "a/x", "once")
		p.none()
		p.leave()
	})
}

// TestSupersededProtocols covers [MQTT-3.1.2-1] and [MQTT-3.1.2-2].
func TestSupersededProtocols(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, test := range []struct {
			what            string
			connect, answer []byte
		}{
			{"MQTT 3.1", frame(0x10, str("MQIsdp"), []byte{3, 2, 0, 60}, str("a")), []byte{0, 1}},
			{"MQTT level 3", frame(0x10, str("MQTT"), []byte{3, 2, 0, 60}, str("a")), []byte{0, 1}},
			{"MQTT level 6", frame(0x10, str("MQTT"), []byte{6, 2, 0, 60, 0}, str("a")), []byte{0, 0x84, 0}},
		} {
			p := dial(t, b)
			p.write(test.connect)
			if k := p.read(); k.first != 0x20 || !bytes.Equal(k.body, test.answer) {
				t.Errorf("%s: %v, want CONNACK %x", test.what, k, test.answer)
			}
			p.closed(0)
		}
		p := dial(t, b)
		p.write(frame(0x10, str("HTTP"), []byte{5, 2, 0, 60, 0}, str("a")))
		p.closed(0)
	})
}

// TestConnectFlagsAndPayload covers [MQTT-3.1.2-9] and [MQTT-3.1.2-16] to [MQTT-3.1.2-19]: what the flags announce is
// there, and nothing else.
func TestConnectFlagsAndPayload(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		name, password, will := str("u"), str("p"), slices.Concat([]byte{0}, str("w"), str("gone"))
		for _, test := range []struct {
			what  string
			flags byte
			rest  []byte
			code  byte
		}{
			{"nothing", 0x02, nil, 0},
			{"user name", 0x82, name, 0},
			{"user name and password", 0xC2, slices.Concat(name, password), 0},
			{"password alone, which 5.0 allows", 0x42, password, 0},
			{"will, user name and password", 0xC6, slices.Concat(will, name, password), 0},
			{"user name without its flag", 0x02, name, 0x81},
			{"no user name", 0x82, nil, 0x81},
			{"password without its flag", 0x82, slices.Concat(name, password), 0x81},
			{"no password", 0xC2, name, 0x81},
			{"no will", 0x06, nil, 0x81},
			{"will without its flag", 0x02, will, 0x81},
			{"a will's payload missing", 0x06, slices.Concat([]byte{0}, str("w")), 0x81},
		} {
			p := dial(t, b)
			p.write(frame(0x10, str("MQTT"), []byte{5, test.flags, 0, 60, 0}, str("id"), test.rest))
			if k := p.read(); k.first != 0x20 || k.body[1] != test.code {
				t.Errorf("%s: %v, want CONNACK %#x", test.what, k, test.code)
			}
			p.cut()
		}
	})
}

// TestWillProperties covers [MQTT-3.1.3-10], and that the other properties of a will go through.
func TestWillProperties(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		w := join(t, b, connectOpts{id: "w"})
		w.subscribe(0, "will")
		props := slices.Concat([]byte{1, 1, 3}, str("text"), []byte{8}, str("r"), []byte{9}, str("c"),
			[]byte{0x26}, str("b"), str("1"), []byte{0x26}, str("a"), str("2"), []byte{0x26}, str("b"), str("0"))
		p := dial(t, b)
		p.write(frame(0x10, str("MQTT"), []byte{5, 6, 0, 60, 0}, str("id"), section(props), str("will"), str("gone")))
		p.connack(0)
		p.cut()
		if d := w.gets(0, "will", "gone"); !bytes.Equal(d.props, props) {
			t.Errorf("properties %x, want %x", d.props, props)
		}
		w.leave()
	})
}

// TestSharedBesidesPlain has one client with a plain and two shared subscriptions: it gets a copy for each,
// connected, and what was under way again.
func TestSharedBesidesPlain(t *testing.T) {
	for _, expiry := range []uint32{0, 600} {
		bubble(t, func(t *testing.T, b *Broker) {
			p := join(t, b, connectOpts{id: "a", expiry: expiry})
			p.subscribe(1, "t", "$share/g/t", "$share/h/+")
			for _, payload := range []string{"1", "2"} {
				if err := b.Publish(t.Context(), "t", []byte(payload)); err != nil {
					t.Fatal(err)
				}
			}
			for _, payload := range []string{"1", "1", "1", "2", "2", "2"} {
				d := p.gets(1, "t", payload)
				if payload == "1" {
					p.puback(d.id)
				}
			}
			if expiry > 0 {
				p.cut()
				p = dial(t, b)
				p.connect(connectOpts{id: "a", expiry: expiry, resume: true})
				p.connack(0)
				for range 3 {
					p.puback(p.gets(1, "t", "2").id)
				}
			}
			p.none()
			p.leave()
		})
	}
}

// TestMisplacedAcknowledgements answers messages with the acknowledgements of other exchanges, and exchanges
// that do not exist.
func TestMisplacedAcknowledgements(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, test := range []struct {
			what    string
			qos     byte
			answers []byte // first bytes; the last one is wrong
		}{
			{"PUBREC for QoS 1", 1, []byte{0x50}},
			{"PUBCOMP for QoS 1", 1, []byte{0x70}},
			{"PUBACK for QoS 2", 2, []byte{0x40}},
			{"PUBCOMP before PUBREC", 2, []byte{0x70}},
			{"PUBACK after PUBREC", 2, []byte{0x50, 0x40}},
		} {
			for _, v := range []byte{4, 5} {
				p := join(t, b, connectOpts{id: "a", v: v})
				p.subscribe(test.qos, "t")
				if err := b.PublishMessage(t.Context(), Message{Topic: "t", QoS: test.qos}); err != nil {
					t.Fatal(err)
				}
				d := p.gets(test.qos, "t", "")
				for i, first := range test.answers {
					p.write(frame(first, u16(d.id)))
					if i < len(test.answers)-1 {
						p.want(0x62, u16(d.id))
					}
				}
				code := byte(0x82)
				if v == 4 {
					code = 0
				}
				if err := p.closed(code); err == nil {
					t.Errorf("%s, version %d: no error", test.what, v)
				}
			}
		}
		p := join(t, b, connectOpts{id: "a"})
		p.write(frame(0x40, u16(9)), frame(0x70, u16(9)), frame(0x50, u16(9), []byte{0x80}), []byte{0xC0, 0})
		p.want(0xD0) // no PUBREL for a refusal [MQTT-4.3.3-4]
		p.write(frame(0x50, u16(9)))
		p.want(0x62, u16(9), []byte{0x92})
		p.leave()
	})
}
