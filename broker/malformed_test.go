package broker

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMalformed sends wrong bytes after CONNECT. An MQTT 5 client is told the code; a 3.1.1
// client, where v4 says so, just sees the end.
func TestMalformed(t *testing.T) {
	for _, c := range []struct {
		what, bytes string
		code        byte // of MQTT 5
		v4          bool // wrong in 3.1.1 as well
	}{
		{"type 0", "00 00", 0x81, true},
		{"remaining length of five bytes", "30 ff ff ff ff 01", 0x81, true},
		{"remaining length longer than needed", "c0 80 00", 0x81, true},
		{"larger than allowed", "30 ff ff ff 7f", 0x95, true},
		{"second CONNECT", "10 0d 00 04 4d 51 54 54 05 02 00 00 00 00 00", 0x82, true},
		{"CONNACK from a client", "20 02 00 00", 0x82, true},
		{"SUBACK from a client", "90 03 00 01 00", 0x82, true},
		{"UNSUBACK from a client", "b0 02 00 01", 0x82, true},
		{"PINGRESP from a client", "d0 00", 0x82, true},
		{"AUTH without having asked", "f0 00", 0x82, true},
		{"PINGREQ with a body", "c0 01 00", 0x81, true},
		{"PINGREQ with flags", "c1 00", 0x81, true},
		{"PUBLISH without topic", "30 00", 0x81, true},
		{"PUBLISH with topic that ends early", "30 03 00 05 61", 0x81, true},
		{"PUBLISH with QoS 3", "36 06 00 01 61 00 01 00", 0x81, true},
		{"PUBLISH with DUP at QoS 0", "38 04 00 01 61 00", 0x81, true},
		{"PUBLISH with packet id 0", "32 06 00 01 61 00 00 00", 0x82, true},
		{"PUBLISH with wildcard", "30 06 00 03 61 2f 23 00", 0x81, true},
		{"PUBLISH with U+0000 in its topic", "30 06 00 03 61 00 62 00", 0x81, true},
		{"PUBLISH with topic that is not UTF-8", "30 05 00 02 c3 28 00", 0x81, true},
		{"PUBLISH with a surrogate", "30 06 00 03 ed a0 80 00", 0x81, true},
		{"PUBLISH with empty topic and no alias", "30 03 00 00 00", 0x82, false},
		{"PUBLISH with alias 0", "30 07 00 01 61 03 23 00 00", 0x94, false},
		{"PUBLISH with alias above the maximum", "30 07 00 01 61 03 23 00 09", 0x94, false},
		{"PUBLISH with alias that is not set", "30 06 00 00 03 23 00 01", 0x82, false},
		{"PUBLISH with subscription identifier", "30 06 00 01 61 02 0b 01", 0x82, false},
		{"PUBLISH with unknown property", "30 06 00 01 61 02 7e 01", 0x81, false},
		{"PUBLISH with property given twice", "30 08 00 01 61 04 01 00 01 00", 0x82, false},
		{"PUBLISH with properties longer than it", "30 06 00 01 61 7f 01 01", 0x81, false},
		{"PUBLISH with payload format 2", "30 06 00 01 61 02 01 02", 0x82, false},
		{"PUBLISH with wildcard in response topic", "30 08 00 01 61 04 08 00 01 2b", 0x82, false},
		{"PUBLISH with empty response topic", "30 07 00 01 61 03 08 00 00", 0x81, false},
		{"PUBLISH with half a user property", "30 08 00 01 61 04 26 00 01 61", 0x81, false},
		{"PUBACK of one byte", "40 01 00", 0x81, true},
		{"PUBACK with packet id 0", "40 02 00 00", 0x82, true},
		{"PUBACK with flags", "41 02 00 01", 0x81, true},
		{"PUBACK with wrong property", "40 06 00 01 00 02 01 00", 0x81, false},
		{"PUBACK with bytes behind", "40 05 00 01 00 00 00", 0x81, true},
		{"PUBREC with packet id 0", "50 02 00 00", 0x82, true},
		{"PUBREC with flags", "52 02 00 01", 0x81, true},
		{"PUBREL with packet id 0", "62 02 00 00", 0x82, true},
		{"PUBREL with wrong flags", "60 02 00 01", 0x81, true},
		{"PUBCOMP with packet id 0", "70 02 00 00", 0x82, true},
		{"PUBACK with properties that end early", "40 07 00 01 00 05 1f 00 05", 0x81, false},
		{"PUBACK with a reason string given twice", "40 0a 00 01 00 06 1f 00 00 1f 00 00", 0x82, false},
		{"PUBACK with a reason string that is not UTF-8", "40 09 00 01 00 05 1f 00 02 c3 28", 0x81, false},
		{"PUBACK with an unknown property", "40 06 00 01 00 02 7e 01", 0x81, false},
		{"PUBACK with bytes behind its properties", "40 05 00 01 00 00 00", 0x81, false},
		{"PUBACK with reason 0x05, which it has not", "40 03 00 01 05", 0x82, false},
		{"PUBREC of one byte, again", "50 01 00", 0x81, true},
		{"PUBREC with properties that end early", "50 07 00 01 00 05 1f 00 05", 0x81, false},
		{"PUBREC with a reason string given twice", "50 0a 00 01 00 06 1f 00 00 1f 00 00", 0x82, false},
		{"PUBREC with a reason string that is not UTF-8", "50 09 00 01 00 05 1f 00 02 c3 28", 0x81, false},
		{"PUBREC with an unknown property", "50 06 00 01 00 02 7e 01", 0x81, false},
		{"PUBREC with bytes behind its properties", "50 05 00 01 00 00 00", 0x81, false},
		{"PUBREC with reason 0x05, which it has not", "50 03 00 01 05", 0x82, false},
		{"PUBREL of one byte, again", "62 01 00", 0x81, true},
		{"PUBREL with properties that end early", "62 07 00 01 00 05 1f 00 05", 0x81, false},
		{"PUBREL with a reason string given twice", "62 0a 00 01 00 06 1f 00 00 1f 00 00", 0x82, false},
		{"PUBREL with a reason string that is not UTF-8", "62 09 00 01 00 05 1f 00 02 c3 28", 0x81, false},
		{"PUBREL with an unknown property", "62 06 00 01 00 02 7e 01", 0x81, false},
		{"PUBREL with bytes behind its properties", "62 05 00 01 00 00 00", 0x81, false},
		{"PUBREL with reason 0x05, which it has not", "62 03 00 01 05", 0x82, false},
		{"PUBCOMP of one byte, again", "70 01 00", 0x81, true},
		{"PUBCOMP with properties that end early", "70 07 00 01 00 05 1f 00 05", 0x81, false},
		{"PUBCOMP with a reason string given twice", "70 0a 00 01 00 06 1f 00 00 1f 00 00", 0x82, false},
		{"PUBCOMP with a reason string that is not UTF-8", "70 09 00 01 00 05 1f 00 02 c3 28", 0x81, false},
		{"PUBCOMP with an unknown property", "70 06 00 01 00 02 7e 01", 0x81, false},
		{"PUBCOMP with bytes behind its properties", "70 05 00 01 00 00 00", 0x81, false},
		{"PUBCOMP with reason 0x05, which it has not", "70 03 00 01 05", 0x82, false},
		{"PUBREL with flags 0", "60 02 00 01", 0x81, true},
		{"PUBCOMP with flags", "72 02 00 01", 0x81, true},
		{"AUTH with flags", "f1 00", 0x81, false},
		{"AUTH that ends in its method", "f0 06 18 04 15 00 05 61", 0x81, false},
		{"SUBSCRIBE with wrong flags", "80 07 00 01 00 00 01 61 00", 0x81, true},
		{"SUBSCRIBE with packet id 0", "82 07 00 00 00 00 01 61 00", 0x82, true},
		{"SUBSCRIBE without filter", "82 03 00 01 00", 0x82, false},
		{"SUBSCRIBE without filter, 3.1.1", "82 02 00 01", 0x81, true},
		{"SUBSCRIBE that ends within a string (the trap)", "82 06 00 01 00 00 01 61", 0x81, true},
		{"SUBSCRIBE with QoS 3", "82 07 00 01 00 00 01 61 03", 0x82, false},
		{"SUBSCRIBE with retain handling 3", "82 07 00 01 00 00 01 61 30", 0x82, false},
		{"SUBSCRIBE with reserved options", "82 07 00 01 00 00 01 61 c0", 0x81, false},
		{"SUBSCRIBE with empty filter", "82 06 00 01 00 00 00 00", 0x81, false},
		{"SUBSCRIBE with # before the end", "82 0e 00 01 00 00 02 6f 6b 00 00 03 23 2f 61 00", 0x81, false},
		{"SUBSCRIBE with + in a level, 3.1.1", "82 08 00 01 00 03 61 2f 2b 62 00", 0x81, true},
		{"SUBSCRIBE with + in a level", "82 0a 00 01 00 00 04 61 2f 2b 62 00", 0x81, false},
		{"SUBSCRIBE shared without a name", "82 0f 00 01 00 00 09 24 73 68 61 72 65 2f 2f 78 00", 0x81, false},
		{"SUBSCRIBE shared without a filter", "82 0e 00 01 00 00 08 24 73 68 61 72 65 2f 67 00", 0x81, false},
		{"SUBSCRIBE shared by a name with a wildcard", "82 10 00 01 00 00 0a 24 73 68 61 72 65 2f 2b 2f 78 00", 0x81, false},
		{"UNSUBSCRIBE with + in a level", "a2 09 00 01 00 00 04 61 2f 2b 62", 0x81, false},
		{"UNSUBSCRIBE with + in a level, 3.1.1", "a2 08 00 01 00 04 61 2f 2b 62", 0x81, true},
		{"SUBSCRIBE with identifier 0", "82 09 00 01 02 0b 00 00 01 61 00", 0x82, false},
		{"SUBSCRIBE shared with no local", "82 11 00 01 00 00 0b 24 73 68 61 72 65 2f 67 2f 61 62 04", 0x82, false},
		{"UNSUBSCRIBE with wrong flags", "a0 06 00 01 00 00 01 61", 0x81, true},
		{"UNSUBSCRIBE without filter", "a2 03 00 01 00", 0x82, false},
		{"UNSUBSCRIBE with packet id 0", "a2 06 00 00 00 00 01 61", 0x82, true},
		{"PUBLISH of QoS 1 that ends in its topic", "32 03 00 01 61", 0x81, true},
		{"PUBLISH of QoS 1 with half a packet id", "32 04 00 01 61 00", 0x81, true},
		{"PUBLISH without properties", "30 03 00 01 61", 0x81, false},
		{"PUBLISH with property length of five bytes", "30 08 00 01 61 ff ff ff ff 01", 0x81, false},
		{"PUBLISH that ends in its property length", "30 04 00 01 61 80", 0x81, false},
		{"PUBLISH with property length longer than needed", "30 05 00 01 61 80 00", 0x81, false},
		{"PUBLISH with content type that is not UTF-8", "30 08 00 01 61 04 03 00 01 ff", 0x81, false},
		{"PUBLISH with U+0000 in a user property", "30 0b 00 01 61 07 26 00 01 00 00 01 62", 0x81, false},
		{"PUBLISH with half an expiry", "30 07 00 01 61 03 02 00 00", 0x81, false},
		{"PUBLISH with correlation data that ends early", "30 08 00 01 61 04 09 00 05 01", 0x81, false},
		{"PUBLISH with topic and +", "30 05 00 02 2b 61 00", 0x81, true},
		{"PUBREC of nothing", "50 00", 0x81, true},
		{"PUBREL of nothing", "62 00", 0x81, true},
		{"PUBCOMP of nothing", "70 00", 0x81, true},
		{"PUBACK of nothing", "40 00", 0x81, true},
		{"SUBSCRIBE of nothing", "82 00", 0x81, true},
		{"SUBSCRIBE of half a packet id", "82 01 00", 0x81, true},
		{"SUBSCRIBE without options", "82 06 00 01 00 00 01 61", 0x81, true},
		{"SUBSCRIBE with filter that is not UTF-8", "82 08 00 01 00 00 02 c3 28 00", 0x81, false},
		{"SUBSCRIBE with filter that is not UTF-8, 3.1.1", "82 07 00 01 00 02 c3 28 00", 0x81, true},
		{"SUBSCRIBE with U+0000 in its filter", "82 08 00 01 00 00 02 61 00 00", 0x81, false},
		{"SUBSCRIBE with QoS 3, 3.1.1", "82 06 00 01 00 01 61 03", 0x81, true},
		{"SUBSCRIBE with options that 3.1.1 has not", "82 06 00 01 00 01 61 04", 0x81, true},
		{"SUBSCRIBE with empty filter, 3.1.1", "82 05 00 01 00 00 00", 0x81, true},
		{"SUBSCRIBE with an identifier of five bytes", "82 0d 00 01 06 0b ff ff ff ff 01 00 01 61 00", 0x81, false},
		{"SUBSCRIBE with two identifiers", "82 0b 00 01 04 0b 01 0b 02 00 01 61 00", 0x82, false},
		{"SUBSCRIBE with a property of another packet", "82 0a 00 01 03 1f 00 00 00 01 61 00", 0x81, false},
		{"SUBSCRIBE with properties longer than it", "82 07 00 01 7f 00 01 61 00", 0x81, false},
		{"SUBSCRIBE whose second filter ends early", "82 0a 00 01 00 00 01 61 00 00 05 62", 0x81, false},
		{"UNSUBSCRIBE of nothing", "a2 00", 0x81, true},
		{"UNSUBSCRIBE without filter, 3.1.1", "a2 02 00 01", 0x81, true},
		{"UNSUBSCRIBE with empty filter", "a2 05 00 01 00 00 00", 0x81, false},
		{"UNSUBSCRIBE with empty filter, 3.1.1", "a2 04 00 01 00 00", 0x81, true},
		{"UNSUBSCRIBE that ends within a string", "a2 06 00 01 00 00 05 61", 0x81, true},
		{"UNSUBSCRIBE with filter that is not UTF-8", "a2 07 00 01 00 00 02 c3 28", 0x81, false},
		{"UNSUBSCRIBE with a property of another packet", "a2 08 00 01 02 0b 01 00 01 61", 0x81, false},
		{"DISCONNECT with reason 0x05, which it has not", "e0 01 05", 0x82, true},
		{"DISCONNECT with properties longer than it", "e0 02 00 09", 0x81, true},
		{"DISCONNECT with session expiry twice", "e0 0c 00 0a 11 00 00 00 00 11 00 00 00 00", 0x82, true},
		{"DISCONNECT that raises session expiry from 0", "e0 07 00 05 11 00 00 00 09", 0x82, true},
		{"DISCONNECT with bytes behind its properties", "e0 03 00 00 00", 0x81, true},
		{"AUTH with reason 0, the server's", "f0 06 00 04 15 00 01 6d", 0x82, true},
		{"AUTH without method", "f0 02 18 00", 0x82, true},
		{"AUTH with bytes behind its properties", "f0 07 18 04 15 00 01 6d 00", 0x81, false},
		{"DISCONNECT with flags", "e1 00", 0x81, true},
		{"DISCONNECT with wrong property", "e0 04 00 02 01 00", 0x81, false},
		{"DISCONNECT with server reference", "e0 06 00 04 1c 00 01 61", 0x82, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *Broker) {
				for _, v := range []byte{5, 4} {
					if v == 4 && !c.v4 {
						continue
					}
					p := join(t, b, connectOpts{v: v, id: "p"})
					go func() { _, _ = p.nc.Write(unhex(t, c.bytes)) }() // may not be read to its end
					code := c.code
					if v == 4 {
						code = 0
					}
					err := p.closed(code)
					if !errors.Is(err, ErrProtocol) {
						t.Errorf("version %d: ServeConn returned %v", v, err)
					}
				}
				p := join(t, b, connectOpts{id: "next"}) // and others are served
				p.leave()
			})
		})
	}
}

// TestMalformedConnect sends wrong bytes instead of a CONNECT.
func TestMalformedConnect(t *testing.T) {
	five := func(f func(b []byte) []byte) []byte { return f(connectFrame(connectOpts{id: "x"})) }
	set := func(at int, v byte) func([]byte) []byte {
		return func(b []byte) []byte { b = bytes.Clone(b); b[at] = v; return b }
	}
	for _, c := range []struct {
		what   string
		bytes  []byte
		answer string // "" is nothing
	}{
		{"not MQTT at all", []byte("GET / HTTP/1.1\r\n\r\n"), ""},
		{"a TLS hello", unhex(t, "16030100c8010000c40303"), ""},
		{"PUBLISH first", unhex(t, "30 03 00 01 61"), ""},
		{"wrong protocol name", five(set(4, 'm')), ""},
		{"MQTT 3.1", unhex(t, "10 0f 00 06 4d 51 49 73 64 70 03 02 00 00 00 01 61"), "20020001"},
		{"level 6", five(set(8, 6)), "2003008400"},
		{"nothing in it", []byte{0x10, 0}, ""},
		{"empty protocol name", frame(0x10, str(""), []byte{5, 2, 0, 0, 0}, str("x")), ""},
		{"level 0", five(set(8, 0)), "20020001"},
		{"level 3 of MQTT", five(set(8, 3)), "20020001"},
		{"no flags", frame(0x10, str("MQTT"), []byte{5}), "2003008100"},
		{"no keep alive", frame(0x10, str("MQTT"), []byte{5, 2, 0}), "2003008100"},
		{"no client id", frame(0x10, str("MQTT"), []byte{5, 2, 0, 0, 0}), "2003008100"},
		{"client id that is not UTF-8", connectFrame(connectOpts{id: "\xc3\x28"}), "2003008100"},
		{"will retain without a will", five(set(9, 0x22)), "2003008100"},
		{"a will that is not there", five(set(9, 6)), "2003008100"},
		{"a user name that is not there", five(set(9, 0x82)), "2003008100"},
		{"a password that is not there", five(set(9, 0x42)), "2003008100"},
		{"properties longer than it", frame(0x10, str("MQTT"), []byte{5, 2, 0, 0, 0x7f}, str("x")), "2003008100"},
		{"a property twice", connectFrame(connectOpts{id: "x", props: []byte{0x21, 0, 1, 0x21, 0, 1}}), "2003008200"},
		{"an unknown property", connectFrame(connectOpts{id: "x", props: []byte{0x7e, 0}}), "2003008100"},
		{"request problem information 2", connectFrame(connectOpts{id: "x", props: []byte{0x17, 2}}), "2003008200"},
		{"will delay outside of the will", connectFrame(connectOpts{id: "x", props: []byte{0x18, 0, 0, 0, 1}}), "2003008100"},
		{"empty will topic", connectFrame(connectOpts{id: "x", will: &willOpts{}}), "2003008100"},
		{"empty will topic, 3.1.1", connectFrame(connectOpts{v: 4, id: "x", will: &willOpts{}}), ""},
		{"will with wildcard, 3.1.1", connectFrame(connectOpts{v: 4, id: "x", will: &willOpts{topic: "+"}}), ""},
		{"reserved flag, 3.1.1", frame(0x10, str("MQTT"), []byte{4, 3, 0, 0}, str("x")), ""},
		{"ends early, 3.1.1", frame(0x10, str("MQTT"), []byte{4, 2, 0, 0, 0, 5, 'x'}), ""},
		{"bytes behind, 3.1.1", frame(0x10, str("MQTT"), []byte{4, 2, 0, 0}, str("x"), []byte{0}), ""},
		{"will QoS 3, 3.1.1", frame(0x10, str("MQTT"), []byte{4, 0x1e, 0, 0}, str("x"), str("t"), str("")), ""},
		{"client id with U+0000, 3.1.1", connectFrame(connectOpts{v: 4, id: "a\x00"}), ""},
		{"reserved flag", five(set(9, 3)), "2003008100"},
		{"will QoS without a will", five(set(9, 8)), "2003008100"},
		{"will QoS 3", five(set(9, 0x1e)), "2003008100"},
		{"flags of the fixed header", five(set(0, 0x11)), ""},
		{"ends early", five(func(b []byte) []byte { return frame(0x10, b[2:13]) }), "2003008100"},
		{"bytes behind", five(func(b []byte) []byte { return frame(0x10, b[2:], []byte{0}) }), "2003008100"},
		{"receive maximum 0", connectFrame(connectOpts{id: "x", props: []byte{0x21, 0, 0}}), "2003008200"},
		{"maximum packet size 0", connectFrame(connectOpts{id: "x", props: []byte{0x27, 0, 0, 0, 0}}), "2003008200"},
		{"property of another packet", connectFrame(connectOpts{id: "x", props: []byte{0x23, 0, 1}}), "2003008100"},
		{"authentication data without method", connectFrame(connectOpts{id: "x", props: []byte{0x16, 0, 0}}), "2003008200"},
		{"authentication method", connectFrame(connectOpts{id: "x", props: []byte{0x15, 0, 1, 'm'}}), "2003008c00"},
		{"client id too long", connectFrame(connectOpts{id: strings.Repeat("x", 257)}), "2003008500"},
		{"client id too long, 3.1.1", connectFrame(connectOpts{v: 4, id: strings.Repeat("x", 257)}), "20020002"},
		{"client id with '$'", connectFrame(connectOpts{id: "$x"}), "2003008500"},
		{"client id with U+0000", connectFrame(connectOpts{id: "a\x00"}), "2003008100"},
		{"no client id and no clean session", connectFrame(connectOpts{v: 4, resume: true}), "20020002"},
		{"will with wildcard", connectFrame(connectOpts{id: "x", will: &willOpts{topic: "a/#"}}), "2003008100"},
		{"password without user, 3.1.1", frame(0x10, str("MQTT"), []byte{4, 0x42, 0, 0}, str("x"), str("p")), ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *Broker) {
				p := dial(t, b)
				go func() { _, _ = p.nc.Write(c.bytes) }()
				if c.answer != "" {
					k := p.read()
					if got := fmt.Sprintf("%02x%02x%x", k.first, len(k.body), k.body); got != c.answer {
						t.Errorf("answer %s, want %s", got, c.answer)
					}
				}
				var ce *ConnError
				if err := p.closed(0); !errors.As(err, &ce) {
					t.Errorf("ServeConn returned %v", err)
				}
				if s := b.Stats(); s.Connections != 0 || s.Sessions != 0 {
					t.Errorf("left behind: %+v", s)
				}
			}, func(o *Options) { o.RefuseDollarClientIDs = true })
		})
	}
}
