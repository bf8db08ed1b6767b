package wire

// Publish is a PUBLISH packet.
type Publish struct {
	Dup, Retain bool
	QoS         byte
	PacketID    uint16 // 0 with QoS 0
	Topic       []byte // empty where an alias stands for it
	Alias       uint16 // 0 when absent
	Payload     []byte

	// Props are the properties that go on to subscribers, as they came: all but
	// expiry and alias. See [Properties].
	Props     []byte
	Expiry    uint32 // seconds
	HasExpiry bool
}

// DecodePublish decodes a PUBLISH into p. It does not look at whether the topic is
// valid as one; it is UTF-8.
func DecodePublish(f *Frame, version byte, p *Publish) error {
	*p = Publish{Dup: f.Flags&8 != 0, QoS: f.Flags >> 1 & 3, Retain: f.Flags&1 != 0}
	c := cursor{b: f.Body, t: PUBLISH}
	switch {
	case p.QoS == 3:
		c.fail(Malformed, "QoS 3") // [MQTT-3.3.1-4]
	case p.Dup && p.QoS == 0:
		c.fail(Malformed, "DUP with QoS 0") // [MQTT-3.3.1-2]
	}
	p.Topic = c.text()
	if p.QoS > 0 {
		p.PacketID = c.packetID()
	}
	if version == 5 {
		var props properties
		c.properties(&props, propsPublish)
		c.responseTopic(&props)
		p.Props, p.Alias = props.forward, props.alias
		p.Expiry, p.HasExpiry = props.expiry, props.has(propExpiry)
		if props.has(propSubID) {
			c.fail(ProtocolError, "a client sends no subscription identifier") // [MQTT-3.3.4-6]
		}
	}
	if len(p.Topic) == 0 && p.Alias == 0 && c.err == nil {
		c.at = 0
		if version == 5 {
			c.fail(ProtocolError, "neither topic nor alias")
		} else {
			c.fail(Malformed, "empty topic")
		}
	}
	if c.err != nil {
		return c.err
	}
	p.Payload = c.b[c.at:]
	return nil
}

// A Filter is one entry of a SUBSCRIBE.
type Filter struct {
	Filter            []byte
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte
}

// Subscribe is a SUBSCRIBE packet.
type Subscribe struct {
	PacketID   uint16
	Identifier uint32 // 0 when absent
	Filters    []Filter
}

// DecodeSubscribe decodes a SUBSCRIBE.
func DecodeSubscribe(f *Frame, version byte) (Subscribe, error) {
	var p Subscribe
	c := f.start(2) // [MQTT-3.8.1-1]
	p.PacketID = c.packetID()
	if version == 5 {
		var props properties
		c.properties(&props, propsSub)
		p.Identifier = props.subID
	}
	if c.left() == 0 {
		c.fail(ProtocolError, "no topic filter") // [MQTT-3.8.3-2]
	}
	for c.left() > 0 {
		at := c.at
		one := Filter{Filter: c.text()}
		opts := c.u8()
		one.QoS = opts & 3
		reserved := byte(0xFC)
		if version == 5 {
			one.NoLocal = opts&4 != 0
			one.RetainAsPublished = opts&8 != 0
			one.RetainHandling = opts >> 4 & 3
			reserved = 0xC0
		}
		switch {
		case c.err != nil:
		case opts&reserved != 0:
			c.fail(Malformed, "reserved subscription options are set") // [MQTT-3.8.3-5]
		case one.QoS == 3 || one.RetainHandling == 3:
			c.fail(ProtocolError, "subscription option 3")
		case len(one.Filter) == 0:
			c.at = at
			c.fail(Malformed, "empty topic filter") // [MQTT-4.7.3-1]
		}
		p.Filters = append(p.Filters, one)
	}
	return p, c.error()
}

// Unsubscribe is an UNSUBSCRIBE packet.
type Unsubscribe struct {
	PacketID uint16
	Filters  [][]byte
}

// DecodeUnsubscribe decodes an UNSUBSCRIBE.
func DecodeUnsubscribe(f *Frame, version byte) (Unsubscribe, error) {
	var p Unsubscribe
	c := f.start(2) // [MQTT-3.10.1-1]
	p.PacketID = c.packetID()
	if version == 5 {
		c.properties(new(properties), propsUnsub)
	}
	if c.left() == 0 {
		c.fail(ProtocolError, "no topic filter") // [MQTT-3.10.3-2]
	}
	for c.left() > 0 {
		at := c.at
		filter := c.text()
		if len(filter) == 0 && c.err == nil {
			c.at = at
			c.fail(Malformed, "empty topic filter")
		}
		p.Filters = append(p.Filters, filter)
	}
	return p, c.error()
}

// Ack is a PUBACK, PUBREC, PUBREL or PUBCOMP.
type Ack struct {
	PacketID uint16
	Code     Code
}

// DecodeAck decodes an acknowledgement.
func DecodeAck(f *Frame, version byte) (Ack, error) {
	var want byte
	if f.Type == PUBREL {
		want = 2 // [MQTT-3.6.1-1]
	}
	c := f.start(want)
	p := Ack{PacketID: c.packetID()}
	if version == 5 && c.left() > 0 {
		if p.Code = Code(c.u8()); !p.Code.acknowledges(f.Type) { // [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
			c.fail(ProtocolError, "not a reason code of this packet")
		}
		if c.left() > 0 {
			c.properties(new(properties), propsAck)
		}
	}
	c.end()
	return p, c.error()
}

// Disconnect is a DISCONNECT packet.
type Disconnect struct {
	Code             Code
	SessionExpiry    uint32 // seconds
	HasSessionExpiry bool
}

// DecodeDisconnect decodes a DISCONNECT.
func DecodeDisconnect(f *Frame, version byte) (Disconnect, error) {
	var p Disconnect
	c := f.start(0)
	if version == 5 && c.left() > 0 {
		if p.Code = Code(c.u8()); !p.Code.leaves() { // [MQTT-3.14.2-1]
			c.fail(ProtocolError, "not a reason code of a client's DISCONNECT")
		}
		if c.left() > 0 {
			var props properties
			c.properties(&props, propsDisconn)
			p.SessionExpiry, p.HasSessionExpiry = props.sessionExpiry, props.has(propSessionExpiry)
			if props.has(propServerReference) {
				c.fail(ProtocolError, "a client sends no server reference")
			}
		}
	}
	c.end()
	return p, c.error()
}

// Auth is an AUTH packet.
type Auth struct {
	Code   Code
	Method string
	Data   []byte // nil when absent
}

// DecodeAuth decodes an AUTH.
func DecodeAuth(f *Frame) (Auth, error) {
	var p Auth
	c := f.start(0) // [MQTT-3.15.1-1]
	if c.left() > 0 {
		p.Code = Code(c.u8())
		var props properties
		if c.left() > 0 {
			c.properties(&props, propsAuth)
		}
		p.Method, p.Data = string(props.authMethod), props.authData
	}
	switch {
	case c.err != nil:
	case p.Code != ContinueAuth && p.Code != ReAuthenticate: // Success is the server's to say [MQTT-3.15.2-1]
		c.fail(ProtocolError, "clients send AUTH with 0x18 and 0x19 only")
	case p.Method == "":
		c.fail(ProtocolError, "AUTH without authentication method")
	}
	c.end()
	return p, c.error()
}

// DecodeEmpty checks a packet that has nothing but its fixed header: PINGREQ.
func DecodeEmpty(f *Frame) error {
	c := f.start(0)
	c.end()
	return c.error()
}
