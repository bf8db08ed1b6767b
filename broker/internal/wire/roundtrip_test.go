package wire

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
)

// What a client sends is encoded by tests alone. Properties that a server does not look at are left out.

func clientFrame(t Type, flags byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(appendVarint([]byte{byte(t)<<4 | flags}, len(body)), body...)
}

func text[T string | []byte](s T) []byte { return appendBinary(nil, s) }

func u16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

func prop(id byte, value []byte) []byte { return append([]byte{id}, value...) }

// section is a property section, and nothing in 3.1.1.
func section(version byte, props ...[]byte) []byte {
	if version != 5 {
		return nil
	}
	b := bytes.Join(props, nil)
	return append(appendVarint(nil, len(b)), b...)
}

func u32prop(id byte, v uint32, there bool) []byte {
	if !there {
		return nil
	}
	return binary.BigEndian.AppendUint32([]byte{id}, v)
}

func (p *Connect) encode() []byte {
	var flags byte
	bit := func(on bool, b byte) {
		if on {
			flags |= b
		}
	}
	bit(p.CleanStart, 2)
	bit(p.HasUser, 0x80)
	bit(p.Password != nil, 0x40)
	if p.Will != nil {
		flags |= 4 | p.Will.QoS<<3
		bit(p.Will.Retain, 0x20)
	}
	props := [][]byte{u32prop(propSessionExpiry, p.SessionExpiry, p.SessionExpiry > 0), u32prop(propMaxPacket, p.MaxPacket, p.MaxPacket > 0),
		prop(propReceiveMax, u16(p.ReceiveMax)), prop(propTopicAliasMax, u16(p.TopicAliasMax))}
	if p.HasAuthMethod {
		props = append(props, prop(propAuthMethod, text(p.AuthMethod)))
	}
	if p.AuthData != nil {
		props = append(props, prop(propAuthData, text(p.AuthData)))
	}
	if p.NoProblemString {
		props = append(props, []byte{propRequestProblem, 0})
	}
	parts := [][]byte{text("MQTT"), {p.Version, flags}, u16(p.KeepAlive), section(p.Version, props...), text(p.ClientID)}
	if w := p.Will; w != nil {
		parts = append(parts, section(p.Version, w.Props, u32prop(propExpiry, w.Expiry, w.HasExpiry), u32prop(propWillDelay, w.Delay, w.Delay > 0)),
			text(w.Topic), text(w.Payload))
	}
	if p.HasUser {
		parts = append(parts, text(p.Username))
	}
	if p.Password != nil {
		parts = append(parts, text(p.Password))
	}
	return clientFrame(CONNECT, 0, parts...)
}

func (p *Subscribe) encode(version byte) []byte {
	var id []byte
	if p.Identifier > 0 {
		id = appendVarint([]byte{propSubID}, int(p.Identifier))
	}
	parts := [][]byte{u16(p.PacketID), section(version, id)}
	for _, f := range p.Filters {
		o := f.QoS | f.RetainHandling<<4
		if f.NoLocal {
			o |= 4
		}
		if f.RetainAsPublished {
			o |= 8
		}
		parts = append(parts, text(f.Filter), []byte{o})
	}
	return clientFrame(SUBSCRIBE, 2, parts...)
}

func (p *Unsubscribe) encode(version byte) []byte {
	parts := [][]byte{u16(p.PacketID), section(version)}
	for _, f := range p.Filters {
		parts = append(parts, text(f))
	}
	return clientFrame(UNSUBSCRIBE, 2, parts...)
}

func (p *Disconnect) encode(version byte) []byte {
	if version != 5 {
		return clientFrame(DISCONNECT, 0)
	}
	return clientFrame(DISCONNECT, 0, []byte{byte(p.Code)}, section(5, u32prop(propSessionExpiry, p.SessionExpiry, p.HasSessionExpiry)))
}

func (p *Publish) encode(version byte) []byte {
	return AppendPublish(nil, version, &Out{Dup: p.Dup, Retain: p.Retain, QoS: p.QoS, PacketID: p.PacketID, Topic: string(p.Topic),
		Payload: p.Payload, Props: p.Props, Expiry: p.Expiry, HasExpiry: p.HasExpiry, Alias: p.Alias})
}

// decode decodes the first packet in b, and says how to encode it.
func decode(b []byte, version byte) (p any, encode func() []byte, err error) {
	f, size, err := Next(b, 1<<20)
	if err != nil || size == 0 || size > len(b) {
		return nil, nil, err
	}
	switch f.Type {
	case CONNECT:
		p, err := DecodeConnect(&f)
		return &p, p.encode, err
	case PUBLISH:
		p := new(Publish)
		err := DecodePublish(&f, version, p)
		return p, func() []byte { return p.encode(version) }, err
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		p, err := DecodeAck(&f, version)
		return &p, func() []byte { return AppendAck(nil, version, f.Type, p.PacketID, p.Code) }, err
	case SUBSCRIBE:
		p, err := DecodeSubscribe(&f, version)
		return &p, func() []byte { return p.encode(version) }, err
	case UNSUBSCRIBE:
		p, err := DecodeUnsubscribe(&f, version)
		return &p, func() []byte { return p.encode(version) }, err
	case DISCONNECT:
		p, err := DecodeDisconnect(&f, version)
		return &p, func() []byte { return p.encode(version) }, err
	case AUTH:
		p, err := DecodeAuth(&f)
		return &p, func() []byte { return AppendAuth(nil, p.Code, p.Method, p.Data) }, err
	case PINGREQ:
		return nil, nil, DecodeEmpty(&f)
	}
	return nil, nil, nil
}

// FuzzRoundTrip decodes, encodes and decodes again: both are the same, none looks behind its packet, and none shares
// what it must not. No byte may be missing from a packet, and none be too many.
func FuzzRoundTrip(f *testing.F) {
	for _, version := range []byte{4, 5} {
		for _, b := range [][]byte{
			(&Connect{Version: version, CleanStart: true, KeepAlive: 9, ClientID: []byte("c"), HasUser: true, Username: []byte("u"), Password: []byte("p"),
				ReceiveMax: 10, Will: &Will{QoS: 1, Retain: true, Topic: []byte("w"), Payload: []byte("x"), HasExpiry: true, Expiry: 3, Delay: 4}}).encode(),
			(&Connect{Version: 5, ReceiveMax: 1, SessionExpiry: 1, MaxPacket: 5, TopicAliasMax: 3, HasAuthMethod: true, AuthMethod: "m", AuthData: []byte{1},
				NoProblemString: true}).encode(),
			(&Publish{QoS: 1, PacketID: 9, Topic: []byte("a/b"), Payload: []byte("x"), Alias: 2, HasExpiry: true, Expiry: 7,
				Props: AppendProperty(nil, Property{ID: User, Name: []byte("k"), Value: []byte("v")})}).encode(version),
			(&Publish{Topic: []byte("a/b"), Retain: true}).encode(version),
			(&Subscribe{PacketID: 1, Identifier: 300, Filters: []Filter{{Filter: []byte("a/#"), QoS: 2, NoLocal: version == 5}, {Filter: []byte("+")}}}).encode(version),
			(&Unsubscribe{PacketID: 1, Filters: [][]byte{[]byte("a"), []byte("b")}}).encode(version),
			(&Disconnect{Code: DisconnectWithWill, HasSessionExpiry: true, SessionExpiry: 5}).encode(version),
			AppendAuth(nil, ContinueAuth, "m", []byte{}),
			AppendAck(nil, version, PUBREC, 5, Unspecified), AppendAck(nil, version, PUBREL, 5, Success),
			{byte(PINGREQ) << 4, 0},
		} {
			if _, _, err := decode(b, version); err != nil {
				f.Errorf("%x: %v", b, err)
			}
			f.Add(version, b)
		}
	}
	f.Fuzz(func(t *testing.T, version byte, b []byte) {
		version = 4 + version%2
		p, encode, err := decode(b, version)
		if err != nil || encode == nil {
			return
		}
		if c, ok := p.(*Connect); ok {
			version = c.Version
		}
		again := encode()
		q, _, err := decode(again, version)
		if err != nil {
			t.Fatalf("%x became %x: %v", b, again, err)
		}
		if !equal(p, q) {
			t.Fatalf("%x became %x:\n%+v\n%+v", b, again, p, q)
		}
		if third, _, err := decode(append(again[:len(again):len(again)], 0xff, 0xff), version); err != nil || !equal(third, q) {
			t.Fatalf("%x with bytes behind it: %+v, %v", again, third, err)
		}
		if o, ok := p.(*Publish); ok {
			out := Out{QoS: o.QoS, PacketID: o.PacketID, Topic: string(o.Topic), Payload: o.Payload, Props: o.Props, HasExpiry: o.HasExpiry, Alias: o.Alias}
			if size := out.Size(version); size != len(again) {
				t.Fatalf("Size %d of %d bytes", size, len(again))
			}
		}
	})
}

// equal is reflect.DeepEqual for which empty and absent are the same where they are to a server.
func equal(a, b any) bool {
	norm := func(v any) any {
		switch v := v.(type) {
		case *Publish:
			c := *v
			if len(c.Props) == 0 {
				c.Props = nil
			}
			return c
		case *Connect:
			c := v.Clone()
			if c.Will != nil && len(c.Will.Props) == 0 {
				c.Will.Props = nil
			}
			return c
		}
		return v
	}
	return reflect.DeepEqual(norm(a), norm(b))
}
