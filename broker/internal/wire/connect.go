package wire

import (
	"bytes"
	"slices"
)

// Connect is a CONNECT packet.
type Connect struct {
	Version    byte // 4 or 5
	CleanStart bool
	KeepAlive  uint16 // seconds, 0 is none
	ClientID   []byte
	HasUser    bool
	Username   []byte
	Password   []byte // nil when absent

	Will *Will

	SessionExpiry   uint32 // seconds; 0xFFFFFFFF is forever
	ReceiveMax      uint16 // 65535 when absent
	MaxPacket       uint32 // 0 when absent
	TopicAliasMax   uint16
	HasAuthMethod   bool
	AuthMethod      string
	AuthData        []byte // nil when absent
	NoProblemString bool   // Request Problem Information is 0
}

// A Will is the will of a CONNECT.
type Will struct {
	QoS       byte
	Retain    bool
	Topic     []byte
	Payload   []byte
	Props     []byte // see Publish.Props
	Expiry    uint32 // seconds
	HasExpiry bool
	Delay     uint32 // seconds
}

// DecodeConnect decodes a CONNECT. With an [*Error] the returned Version is
// set if it was read, so that the refusal can be said in that version.
func DecodeConnect(f *Frame) (Connect, error) {
	var p Connect
	c := f.start(0)
	name := c.binary()
	version := c.u8()
	if c.err != nil {
		return p, c.err
	}
	if !bytes.Equal(name, []byte("MQTT")) {
		if bytes.Equal(name, []byte("MQIsdp")) {
			return p, &Error{UnsupportedVersion, CONNECT, 0, "MQTT 3.1 is not spoken here"}
		}
		return p, &Error{ProtocolError, CONNECT, 0, "protocol name is not MQTT"}
	}
	if version != 4 && version != 5 {
		if version > 5 { // a later MQTT reads the answer of the last that there is
			p.Version = 5
		}
		return p, &Error{UnsupportedVersion, CONNECT, 6, "protocol level is neither 4 nor 5"}
	}
	p.Version = version
	p.ReceiveMax = 65535
	flags := c.u8()
	p.KeepAlive = c.u16()
	p.CleanStart = flags&0x02 != 0
	qos := flags >> 3 & 3
	switch {
	case c.err != nil:
	case flags&1 != 0:
		c.fail(Malformed, "reserved connect flag is set") // [MQTT-3.1.2-3]
	case flags&0x04 == 0 && flags&0x38 != 0:
		c.fail(Malformed, "will QoS or retain without a will") // [MQTT-3.1.2-11]
	case qos == 3:
		c.fail(Malformed, "will QoS 3") // [MQTT-3.1.2-12]
	case version == 4 && flags&0xC0 == 0x40:
		c.fail(Malformed, "password without user name") // [MQTT-3.1.2-22] of 3.1.1
	}
	var props properties
	if version == 5 {
		c.properties(&props, propsConnect)
		p.SessionExpiry = props.sessionExpiry
		p.MaxPacket = props.maxPacket
		p.TopicAliasMax = props.aliasMax
		p.HasAuthMethod = props.has(propAuthMethod)
		p.AuthMethod, p.AuthData = string(props.authMethod), props.authData
		p.NoProblemString = props.noProblemInfo
		if props.has(propReceiveMax) {
			p.ReceiveMax = props.receiveMax
		}
		if props.has(propAuthData) && !p.HasAuthMethod {
			c.fail(ProtocolError, "authentication data without method")
		}
	}
	p.ClientID = c.text()
	if flags&0x04 != 0 {
		w := &Will{QoS: qos, Retain: flags&0x20 != 0}
		if version == 5 {
			c.properties(&props, propsWill)
			w.Props, w.Expiry, w.HasExpiry, w.Delay = props.forward, props.expiry, props.has(propExpiry), props.willDelay
			c.responseTopic(&props)
		}
		w.Topic = c.text()
		w.Payload = c.binary()
		p.Will = w
	}
	if flags&0x80 != 0 {
		p.HasUser = true
		p.Username = c.text()
	}
	if flags&0x40 != 0 {
		p.Password = c.binary()
	}
	c.end()
	return p, c.error()
}

// Clone is p in memory of its own.
func (p *Connect) Clone() Connect {
	q := *p
	for _, b := range []*[]byte{&q.ClientID, &q.Username, &q.Password, &q.AuthData} {
		*b = slices.Clone(*b)
	}
	if p.Will != nil {
		w := *p.Will
		for _, b := range []*[]byte{&w.Topic, &w.Payload, &w.Props} {
			*b = slices.Clone(*b)
		}
		q.Will = &w
	}
	return q
}

// responseTopic checks that a response topic is a topic name, without wildcards [MQTT-3.3.2-14].
func (c *cursor) responseTopic(p *properties) {
	switch {
	case !p.has(propResponseTopic):
	case len(p.responseTopic) == 0:
		c.fail(Malformed, "empty response topic") // [MQTT-4.7.3-1]
	case bytes.ContainsAny(p.responseTopic, "+#"):
		c.fail(ProtocolError, "response topic has wildcards")
	}
}
