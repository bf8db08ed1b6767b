package wire

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/packets"
)

// decodeAny decodes the first packet in b as a server would.
func decodeAny(b []byte, version byte, limit int) (size int, err error) {
	f, size, err := Next(b, limit)
	if err != nil || size == 0 || size > len(b) {
		return size, err
	}
	switch f.Type {
	case CONNECT:
		_, err = DecodeConnect(&f)
	case PUBLISH:
		err = DecodePublish(&f, version, new(Publish))
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		_, err = DecodeAck(&f, version)
	case SUBSCRIBE:
		_, err = DecodeSubscribe(&f, version)
	case UNSUBSCRIBE:
		_, err = DecodeUnsubscribe(&f, version)
	case DISCONNECT:
		_, err = DecodeDisconnect(&f, version)
	default:
		err = DecodeEmpty(&f)
	}
	return size, err
}

func FuzzDecode(f *testing.F) {
	for _, p := range []packets.Packet{
		&packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: "c", CleanStart: true, WillFlag: true, WillTopic: "w", WillMessage: []byte("x"),
			WillProperties: &packets.Properties{ContentType: "t"}, UsernameFlag: true, Username: "u", PasswordFlag: true, Password: []byte("p"), Properties: &packets.Properties{}},
		&packets.Publish{Topic: "a/b", QoS: 1, PacketID: 3, Payload: []byte("x"), Properties: &packets.Properties{User: []packets.User{{Key: "k", Value: "v"}}, CorrelationData: []byte{1}}},
		&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "a/#", QoS: 1}}, Properties: &packets.Properties{}},
		&packets.Unsubscribe{PacketID: 1, Topics: []string{"a"}, Properties: &packets.Properties{}},
		&packets.Puback{PacketID: 1, ReasonCode: 0x10, Properties: &packets.Properties{ReasonString: "r"}},
		&packets.Disconnect{ReasonCode: 4, Properties: &packets.Properties{}},
		&packets.Pingreq{},
	} {
		var b bytes.Buffer
		if _, err := p.WriteTo(&b); err != nil {
			f.Fatal(err)
		}
		if _, err := decodeAny(b.Bytes(), 5, 1<<20); err != nil {
			f.Errorf("%T: %v", p, err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte{0x82, 6, 0, 1, 0, 0, 1, 'a'})
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, version := range []byte{4, 5} {
			before := bytes.Clone(b)
			size, err := decodeAny(b, version, 1<<20)
			if !bytes.Equal(b, before) {
				t.Fatal("decoding changed its input")
			}
			if size < 0 || size > 1<<20 {
				t.Fatalf("size %d", size)
			}
			var we *Error
			if err != nil && (!errors.As(err, &we) || we.Code < Unspecified || we.Pos < 0 || we.Pos > len(b)) {
				t.Fatalf("error %#v", err)
			}
			// A packet that is cut short is never whole, and never decodes further than its end.
			if size > 0 && size <= len(b) {
				if s, err := decodeAny(b[:size-1], version, 1<<20); err == nil && s > 0 && s <= size-1 {
					t.Fatalf("%x is a packet with and without its last byte", b[:size])
				}
			}
		}
	})
}

// TestPublishThere sends a message through AppendPublish and reads it with paho, with all
// that a subscriber may see.
func TestPublishToPaho(t *testing.T) {
	var props []byte
	for _, p := range []Property{
		{ID: PayloadFormat, Byte: 1}, {ID: ContentType, Value: []byte("ct")}, {ID: ResponseTopic, Value: []byte("rt")},
		{ID: CorrelationData, Value: []byte{1, 2}}, {ID: User, Name: []byte("k"), Value: []byte("v")}, {ID: User, Name: []byte("k"), Value: []byte("w")},
	} {
		props = AppendProperty(props, p)
	}
	out := Out{Dup: true, Retain: true, QoS: 1, PacketID: 0x1234, Topic: "a/b", Payload: bytes.Repeat([]byte("x"), 300),
		Props: props, Expiry: 77, HasExpiry: true, SubIDs: []uint32{1}}
	b := AppendPublish([]byte("before"), 5, &out)[6:]
	if len(b) != out.Size(5) {
		t.Errorf("Size %d, length %d", out.Size(5), len(b))
	}
	cp, err := packets.ReadPacket(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	p := cp.Content.(*packets.Publish)
	if p.Topic != "a/b" || p.PacketID != 0x1234 || !p.Duplicate || !p.Retain || p.QoS != 1 || len(p.Payload) != 300 {
		t.Errorf("got %+v", p)
	}
	q := p.Properties
	if *q.PayloadFormat != 1 || q.ContentType != "ct" || q.ResponseTopic != "rt" || string(q.CorrelationData) != "\x01\x02" ||
		*q.MessageExpiry != 77 || *q.SubscriptionIdentifier != 1 || !slices.Equal(q.User, []packets.User{{Key: "k", Value: "v"}, {Key: "k", Value: "w"}}) {
		t.Errorf("properties %+v", q)
	}
	// Read as a server reads it, expiry and the rest fall apart into what goes on and what does not.
	out.SubIDs = nil
	f, _, err := Next(AppendPublish(nil, 5, &out), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var in Publish
	if err := DecodePublish(&f, 5, &in); err != nil || !bytes.Equal(in.Props, props) || in.Expiry != 77 || !in.HasExpiry {
		t.Errorf("%+v, %v", in, err)
	}
	// 3.1.1 has none of it.
	if b := AppendPublish(nil, 4, &Out{Topic: "a", Payload: []byte("x"), Props: props, Expiry: 1, HasExpiry: true}); string(b) != "\x30\x04\x00\x01ax" {
		t.Errorf("3.1.1: %x", b)
	}
}

func TestAnswersToPaho(t *testing.T) {
	ack := Connack{SessionPresent: true, SessionExpiry: 60, HasSessionExpiry: true, ReceiveMax: 10, MaxQoS: 1, MaxPacket: 1000,
		AssignedID: strings.Repeat("i", 200), TopicAliasMax: 8, ServerKeepAlive: 30, HasKeepAlive: true, Reason: "why"}
	codes := []Code{0, 1, NotAuthorized}
	for what, b := range map[string][]byte{
		"CONNACK":    AppendConnack(nil, 5, &ack),
		"SUBACK":     AppendSuback(nil, 5, 7, codes),
		"UNSUBACK":   AppendUnsuback(nil, 5, 7, codes),
		"PUBACK":     AppendAck(nil, 5, PUBACK, 7, QuotaExceeded),
		"DISCONNECT": AppendDisconnect(nil, ServerShuttingDown, "", ""),
		"PINGRESP":   AppendPingresp(nil),
	} {
		p, err := packets.ReadPacket(bytes.NewReader(b))
		if err != nil || p.PacketType() != what {
			t.Errorf("%s: %x: %v", what, b, err)
			continue
		}
		switch c := p.Content.(type) {
		case *packets.Connack:
			q := c.Properties
			if !c.SessionPresent || *q.SessionExpiryInterval != 60 || *q.ReceiveMaximum != 10 || *q.MaximumQOS != 1 || *q.MaximumPacketSize != 1000 ||
				len(q.AssignedClientID) != 200 || *q.TopicAliasMaximum != 8 || *q.ServerKeepAlive != 30 || q.ReasonString != "why" {
				t.Errorf("CONNACK %+v", q)
			}
		case *packets.Suback:
			if c.PacketID != 7 || !bytes.Equal(c.Reasons, []byte{0, 1, 0x87}) {
				t.Errorf("SUBACK %+v", c)
			}
		case *packets.Puback:
			if c.PacketID != 7 || c.ReasonCode != 0x97 {
				t.Errorf("PUBACK %+v", c)
			}
		}
	}
	for what, c := range map[string]struct{ got, want []byte }{
		"CONNACK":  {AppendConnack(nil, 4, &Connack{Code: NotAuthorized, SessionPresent: true}), []byte{0x20, 2, 0, 5}},
		"SUBACK":   {AppendSuback(nil, 4, 7, codes), []byte{0x90, 5, 0, 7, 0, 1, 0x80}},
		"UNSUBACK": {AppendUnsuback(nil, 4, 7, codes), []byte{0xB0, 2, 0, 7}},
		"PUBACK":   {AppendAck(nil, 4, PUBACK, 7, 0), []byte{0x40, 2, 0, 7}},
	} {
		if !bytes.Equal(c.got, c.want) {
			t.Errorf("3.1.1 %s: %x, want %x", what, c.got, c.want)
		}
	}
}

func TestConnectCodesOf311(t *testing.T) {
	for code, want := range map[Code]byte{Success: 0, UnsupportedVersion: 1, ClientIDInvalid: 2, BadCredentials: 4, NotAuthorized: 5,
		ServerUnavailable: 3, QuotaExceeded: 3, Unspecified: 3} {
		if got := code.Connack3(); got != want {
			t.Errorf("%#x: %d, want %d", byte(code), got, want)
		}
	}
}

func TestVarint(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455} {
		b := appendVarint(nil, n)
		if v, k := varint(b); int(v) != n || k != len(b) || k != varintLen(n) {
			t.Errorf("%d: %d in %d of %x", n, v, k, b)
		}
		for i := range b {
			if _, k := varint(b[:i]); k != 0 {
				t.Errorf("%x: %d from its first %d bytes", b, k, i)
			}
		}
	}
}

func TestPublishPathDoesNotAllocate(t *testing.T) {
	in := AppendPublish(nil, 5, &Out{QoS: 1, PacketID: 9, Topic: "sensors/1/climate", Payload: make([]byte, 64), Props: []byte{1, 1}})
	dst := make([]byte, 0, 1024)
	var p Publish
	if n := testing.AllocsPerRun(100, func() {
		f, _, err := Next(in, 1<<20)
		if err == nil {
			err = DecodePublish(&f, 5, &p)
		}
		if err != nil {
			t.Fatal(err)
		}
		dst = AppendPublish(dst[:0], 5, &Out{QoS: 1, PacketID: 1, Topic: "sensors/1/climate", Payload: p.Payload, Props: p.Props})
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
