package engine

import (
	"github.com/thingloom/thingloom/broker/internal/wire"
)

// Limits are what a server lets a client send.
type Limits struct {
	MaxPacket  int // bytes, fixed header included
	ReceiveMax int
	AliasMax   int
	MaxQoS     byte
}

// An Inbound takes the packets of one connection apart. The zero value with
// Limits set is a fresh connection. After an error it is not used again.
type Inbound struct {
	Limits  *Limits // of all connections of a server
	Version byte    // set by the CONNECT

	// What Next found. The connection has it only while it works on what came.
	*Packets

	connected     bool
	keeps         bool // the CONNECT asked for a session that outlives it
	authenticates bool // with authMethod [MQTT5 4.12]
	authMethod    string
	unacked       int      // publishes above QoS 0 that wait for our acknowledgement
	aliases       [][]byte // by alias - 1
}

// Packets are what Inbound.Next found, by the type it returned. The bytes in them
// are those given to Next. Connections share a few of them, since one at rest needs none.
type Packets struct {
	Connect     wire.Connect
	Publish     wire.Publish
	Subscribe   wire.Subscribe
	Unsubscribe wire.Unsubscribe
	Ack         wire.Ack
	Disconnect  wire.Disconnect
	Auth        wire.Auth
}

// Next decodes the first packet in b. A type of 0 says that there is no whole
// packet yet; size is then what is needed, 0 if unknown. The error is a
// *wire.Error.
func (in *Inbound) Next(b []byte) (t wire.Type, size int, err error) {
	f, size, err := wire.Next(b, in.Limits.MaxPacket)
	if err != nil || size == 0 || size > len(b) {
		return 0, size, err
	}
	return f.Type, size, in.decode(&f)
}

func (in *Inbound) decode(f *wire.Frame) (err error) {
	if in.connected == (f.Type == wire.CONNECT) {
		if in.connected {
			return &wire.Error{Code: wire.ProtocolError, Packet: f.Type, Reason: "second CONNECT"} // [MQTT-3.1.0-2]
		}
		return &wire.Error{Code: wire.ProtocolError, Packet: f.Type, Reason: "the first packet is not CONNECT"} // [MQTT-3.1.0-1]
	}
	switch f.Type {
	case wire.CONNECT:
		in.Connect, err = wire.DecodeConnect(f)
		in.Version, in.connected, in.keeps = in.Connect.Version, true, in.Connect.SessionExpiry > 0
		in.authenticates, in.authMethod = in.Connect.HasAuthMethod, in.Connect.AuthMethod
	case wire.PUBLISH:
		if err = wire.DecodePublish(f, in.Version, &in.Publish); err == nil {
			err = in.checkPublish(&in.Publish)
		}
	case wire.PUBACK, wire.PUBREC, wire.PUBREL, wire.PUBCOMP:
		in.Ack, err = wire.DecodeAck(f, in.Version)
		if err == nil && f.Type != wire.PUBACK && in.Limits.MaxQoS < 2 {
			// Without QoS 2 in either direction nothing can be acknowledged so.
			err = &wire.Error{Code: wire.ProtocolError, Packet: f.Type, Reason: "QoS 2 is not granted"}
		}
	case wire.SUBSCRIBE:
		in.Subscribe, err = wire.DecodeSubscribe(f, in.Version)
	case wire.UNSUBSCRIBE:
		in.Unsubscribe, err = wire.DecodeUnsubscribe(f, in.Version)
	case wire.PINGREQ:
		err = wire.DecodeEmpty(f)
	case wire.DISCONNECT:
		in.Disconnect, err = wire.DecodeDisconnect(f, in.Version)
		if err == nil && in.Disconnect.HasSessionExpiry && in.Disconnect.SessionExpiry > 0 && !in.keeps {
			err = &wire.Error{Code: wire.ProtocolError, Packet: f.Type, Reason: "session expiry raised from 0"} // [MQTT-3.14.2-2]
		}
	case wire.AUTH:
		in.Auth, err = in.decodeAuth(f)
	default:
		err = &wire.Error{Code: wire.ProtocolError, Packet: f.Type, Reason: "clients do not send this packet"}
	}
	return err
}

// decodeAuth takes an AUTH of the method that the CONNECT named.
func (in *Inbound) decodeAuth(f *wire.Frame) (wire.Auth, error) {
	a, err := wire.Auth{}, error(nil)
	if in.Version == 5 {
		a, err = wire.DecodeAuth(f)
	}
	if err == nil && (!in.authenticates || a.Method != in.authMethod) { // [MQTT-4.12.0-5] [MQTT-4.12.0-7]
		err = &wire.Error{Code: wire.ProtocolError, Packet: wire.AUTH, Reason: "not the authentication method of the CONNECT"}
	}
	return a, err
}

// checkPublish applies what the connection knows: aliases, QoS, Receive Maximum.
func (in *Inbound) checkPublish(p *wire.Publish) error {
	fail := func(code wire.Code, reason string) error {
		return &wire.Error{Code: code, Packet: wire.PUBLISH, Reason: reason}
	}
	if p.QoS > in.Limits.MaxQoS {
		return fail(wire.QoSNotSupported, "QoS above the server's maximum") // [MQTT-3.2.2-11]
	}
	if p.Alias > 0 {
		if int(p.Alias) > in.Limits.AliasMax {
			return fail(wire.TopicAliasInvalid, "topic alias above the maximum") // [MQTT-3.3.2-9]
		}
		for int(p.Alias) > len(in.aliases) {
			in.aliases = append(in.aliases, nil)
		}
		known := &in.aliases[p.Alias-1]
		if len(p.Topic) > 0 {
			*known = append((*known)[:0], p.Topic...)
		} else if len(*known) == 0 {
			return fail(wire.ProtocolError, "unknown topic alias")
		}
		p.Topic = *known
	}
	if p.QoS > 0 {
		in.unacked++
		if in.Version == 5 && in.unacked > in.Limits.ReceiveMax {
			return fail(wire.ReceiveMaxExceeded, "more unacknowledged publishes than Receive Maximum") // [MQTT-3.3.4-9]
		}
	}
	return nil
}

// Acked says that n publishes were acknowledged to the peer.
func (in *Inbound) Acked(n int) { in.unacked -= n }
