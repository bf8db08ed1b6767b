package broker

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// A property of MQTT 5 and what it may stand in, as the table of section 2.2.2.2 has it.
type propertyRow struct {
	id    byte
	name  string
	value []byte // a valid one
	in    string // packets that clients send it in: C connect, W will, P publish, A ack, S subscribe, U unsubscribe, D disconnect
}

var propertyTable = []propertyRow{
	{0x01, "payload format", []byte{1}, "PW"},
	{0x02, "message expiry", []byte{0, 0, 0, 9}, "PW"},
	{0x03, "content type", str("t"), "PW"},
	{0x08, "response topic", str("r"), "PW"},
	{0x09, "correlation data", str("c"), "PW"},
	{0x0B, "subscription identifier", []byte{7}, "S"},
	{0x11, "session expiry", []byte{0, 0, 0, 0}, "CD"},
	{0x12, "assigned client id", str("i"), ""},
	{0x13, "server keep alive", []byte{0, 9}, ""},
	{0x15, "authentication method", str("m"), "C"},
	{0x16, "authentication data", str("d"), "C"},
	{0x17, "request problem information", []byte{1}, "C"},
	{0x18, "will delay", []byte{0, 0, 0, 9}, "W"},
	{0x19, "request response information", []byte{0}, "C"},
	{0x1A, "response information", str("i"), ""},
	{0x1C, "server reference", str("s"), ""},
	{0x1F, "reason string", str("w"), "AD"},
	{0x21, "receive maximum", []byte{0, 9}, "C"},
	{0x22, "topic alias maximum", []byte{0, 9}, "C"},
	{0x23, "topic alias", []byte{0, 1}, "P"},
	{0x24, "maximum QoS", []byte{1}, ""},
	{0x25, "retain available", []byte{1}, ""},
	{0x26, "user property", slices.Concat(str("k"), str("v")), "CWPASUD"},
	{0x27, "maximum packet size", []byte{0, 1, 0, 0}, "C"},
	{0x28, "wildcards available", []byte{1}, ""},
	{0x29, "subscription identifiers available", []byte{1}, ""},
	{0x2A, "shared subscriptions available", []byte{1}, ""},
}

// carriers build each packet that can carry properties, around a property section.
var carriers = []struct {
	letter, name string
	connects     bool
	build        func(props []byte) []byte
}{
	{"C", "CONNECT", true, func(p []byte) []byte {
		return frame(0x10, str("MQTT"), []byte{5, 2, 0, 60}, section(p), str("m"))
	}},
	{"W", "the will of a CONNECT", true, func(p []byte) []byte {
		return frame(0x10, str("MQTT"), []byte{5, 6, 0, 60}, section(), str("m"), section(p), str("t"), str("w"))
	}},
	{"P", "PUBLISH", false, func(p []byte) []byte { return frame(0x30, str("t"), section(p)) }},
	{"A", "PUBACK", false, func(p []byte) []byte { return frame(0x40, u16(1), []byte{0}, section(p)) }},
	{"S", "SUBSCRIBE", false, func(p []byte) []byte { return frame(0x82, u16(1), section(p), str("s"), []byte{0}) }},
	{"U", "UNSUBSCRIBE", false, func(p []byte) []byte { return frame(0xA2, u16(1), section(p), str("s")) }},
	{"D", "DISCONNECT", false, func(p []byte) []byte { return frame(0xE0, []byte{0}, section(p)) }},
}

// TestPropertyMatrix sends every property in every packet: whole, cut short, twice, and where it does
// not belong. [MQTT5 2.2.2.2]
func TestPropertyMatrix(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, c := range carriers {
			// outcome sends the packet and tells what becomes of the connection: 0 if it goes on or was ended in
			// order, else the code.
			outcome := func(props []byte) byte {
				p := dial(t, b)
				defer p.cut()
				if !c.connects {
					p.connect(connectOpts{id: "m"})
					p.connack(0)
				}
				p.write(c.build(props))
				if c.letter != "D" && !c.connects {
					if _, err := p.nc.Write([]byte{0xC0, 0}); err != nil {
						return 0xFF
					}
				}
				for {
					k, err := p.readErr()
					switch {
					case err != nil && c.letter == "D":
						return 0
					case err != nil:
						return 0xFF
					case k.first == 0xE0:
						return k.body[0]
					case k.first == 0x20:
						return k.body[1]
					case k.first == 0xD0:
						return 0
					}
				}
			}
			for _, row := range propertyTable {
				one := append([]byte{row.id}, row.value...)
				allowed := bytes.Contains([]byte(row.in), []byte(c.letter))
				want := byte(0)
				if !allowed {
					want = 0x81
				}
				if row.id == 0x0B && c.letter == "P" || row.id == 0x1C && c.letter == "D" {
					want = 0x82 // these packets have it, when a server sends them
				}
				if row.id == 0x15 && allowed {
					want = 0x8C // a method that is not known here
				}
				if row.id == 0x16 && allowed {
					want = 0x82 // data without a method
				}
				check := func(what string, props []byte, want byte) {
					t.Helper()
					if got := outcome(props); got != want {
						t.Errorf("%s with %s %s: outcome %#x, want %#x", c.name, row.name, what, got, want)
					}
				}
				check("as it is", one, want)
				for n := 1; n < len(one); n++ {
					check(fmt.Sprintf("of %d bytes", n), one[:n], 0x81) // short is malformed, wherever it stands
				}
				if allowed && row.id != 0x16 {
					twice := byte(0x82)
					if row.id == 0x26 {
						twice = 0
					}
					check("twice", append(slices.Clone(one), one...), twice)
				}
			}
			if got := outcome([]byte{0x04, 1}); got != 0x81 {
				t.Errorf("%s with a property that does not exist: outcome %#x", c.name, got)
			}
		}
	}, func(o *Options) { o.TopicAliasMaximum = 9 })
}

// TestReservedFlags sends every value of the lower half of the first byte [MQTT-2.1.3-1].
func TestReservedFlags(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, packet := range []struct {
			what  string
			right byte
			rest  []byte
		}{
			{"PUBACK", 0x40, []byte{2, 0, 1}}, {"PUBREC", 0x50, []byte{2, 0, 1}}, {"PUBREL", 0x62, []byte{2, 0, 1}}, {"PUBCOMP", 0x70, []byte{2, 0, 1}},
			{"SUBSCRIBE", 0x82, append([]byte{7, 0, 1, 0}, append(str("a"), 0)...)}, {"UNSUBSCRIBE", 0xA2, append([]byte{6, 0, 1, 0}, str("a")...)},
			{"PINGREQ", 0xC0, []byte{0}}, {"DISCONNECT", 0xE0, []byte{0}}, {"AUTH", 0xF0, []byte{0}},
		} {
			for flags := range byte(16) {
				first := packet.right&0xF0 | flags
				if first == packet.right {
					continue
				}
				p := join(t, b, connectOpts{id: "f"})
				p.write([]byte{first}, packet.rest)
				k, err := p.readErr()
				if err != nil || k.first != 0xE0 || k.body[0] != 0x81 && k.body[0] != 0x82 {
					t.Errorf("%s with first byte %#x: %v, %v, want DISCONNECT 0x81", packet.what, first, k, err)
				}
				p.cut()
			}
		}
	})
}

// TestReasonCodesOfClients sends every reason code in the packets of clients that have one
// [MQTT-3.4.2-1] [MQTT-3.14.2-1].
func TestReasonCodesOfClients(t *testing.T) {
	allowed := map[byte]string{
		0x40: "\x00\x10\x80\x83\x87\x90\x91\x97\x99",
		0xE0: "\x00\x04\x80\x81\x82\x83\x90\x93\x94\x95\x96\x97\x98\x99",
	}
	bubble(t, func(t *testing.T, b *Broker) {
		for first, codes := range allowed {
			for code := range 256 {
				p := join(t, b, connectOpts{id: "c"})
				id := []byte{}
				if first == 0x40 {
					id = u16(1)
				}
				p.write(frame(first, id, []byte{byte(code)}))
				if first == 0x40 {
					p.write([]byte{0xC0, 0})
				}
				k, err := p.readErr()
				legal := bytes.IndexByte([]byte(codes), byte(code)) >= 0
				refused := err == nil && k.first == 0xE0 && k.body[0] == 0x82
				if legal == refused {
					t.Errorf("first byte %#x with reason %#x: %v, %v", first, code, k, err)
				}
				p.cut()
			}
		}
	})
}
