package wire

import "encoding/binary"

// Property identifiers [MQTT5 2.2.2.2].
const (
	propPayloadFormat   = 0x01
	propExpiry          = 0x02
	propContentType     = 0x03
	propResponseTopic   = 0x08
	propCorrelation     = 0x09
	propSubID           = 0x0B
	propSessionExpiry   = 0x11
	propAssignedID      = 0x12
	propServerKeepAlive = 0x13
	propAuthMethod      = 0x15
	propAuthData        = 0x16
	propRequestProblem  = 0x17
	propWillDelay       = 0x18
	propRequestResponse = 0x19
	propResponseInfo    = 0x1A
	propServerReference = 0x1C
	propReasonString    = 0x1F
	propReceiveMax      = 0x21
	propTopicAliasMax   = 0x22
	propTopicAlias      = 0x23
	propMaxQoS          = 0x24
	propRetainAvailable = 0x25
	propUser            = 0x26
	propMaxPacket       = 0x27
	propWildcardAvail   = 0x28
	propSubIDAvail      = 0x29
	propSharedAvail     = 0x2A
)

// Which properties a client may send where.
const (
	propsForward  = 1<<propPayloadFormat | 1<<propContentType | 1<<propResponseTopic | 1<<propCorrelation | 1<<propUser
	propsPublish  = propsForward | 1<<propExpiry | 1<<propTopicAlias | 1<<propSubID
	propsWill     = propsForward | 1<<propExpiry | 1<<propWillDelay
	propsConnect  = 1<<propSessionExpiry | 1<<propAuthMethod | 1<<propAuthData | 1<<propRequestProblem | 1<<propRequestResponse | 1<<propReceiveMax | 1<<propTopicAliasMax | 1<<propUser | 1<<propMaxPacket
	propsSub      = 1<<propSubID | 1<<propUser
	propsUnsub    = 1 << propUser
	propsAck      = 1<<propReasonString | 1<<propUser
	propsDisconn  = 1<<propSessionExpiry | 1<<propReasonString | 1<<propUser | 1<<propServerReference
	propsAuth     = 1<<propAuthMethod | 1<<propAuthData | 1<<propReasonString | 1<<propUser
	propsRepeated = 1 << propUser
)

// properties are the decoded properties of one packet, as far as a server
// looks at them. seen has a bit for each identifier that was there.
type properties struct {
	seen          uint64
	expiry        uint32
	sessionExpiry uint32
	willDelay     uint32
	maxPacket     uint32
	subID         uint32
	receiveMax    uint16
	aliasMax      uint16
	alias         uint16
	noProblemInfo bool
	authMethod    []byte
	authData      []byte
	responseTopic []byte
	forward       []byte // the bytes of those that go to subscribers, in order
}

func (p *properties) has(id byte) bool { return p.seen&(1<<id) != 0 }

// properties reads a property section in which the identifiers of allowed may stand.
func (c *cursor) properties(p *properties, allowed uint64) {
	*p = properties{}
	n := c.varint()
	if n > c.left() {
		c.fail(Malformed, "properties are longer than the packet")
	}
	if c.err != nil || n == 0 {
		return
	}
	in := cursor{b: c.b[:c.at+n], at: c.at, t: c.t}
	for in.left() > 0 && in.err == nil {
		in.property(p, allowed)
	}
	if in.err != nil {
		c.err, c.at = in.err, len(c.b)
		return
	}
	section := c.b[c.at : c.at+n : c.at+n]
	c.at += n
	if p.seen&^propsForward == 0 {
		p.forward = section
	} else if p.seen&propsForward != 0 {
		p.forward = forwardOnly(section)
	}
}

// forwardOnly copies the properties of a valid section that go to subscribers.
func forwardOnly(section []byte) []byte {
	out := make([]byte, 0, len(section))
	c := cursor{b: section}
	var p properties
	for c.left() > 0 {
		at, id := c.at, section[c.at]
		p.seen = 0
		c.property(&p, ^uint64(0))
		if propsForward&(1<<id) != 0 {
			out = append(out, section[at:c.at]...)
		}
	}
	return out
}

func (c *cursor) property(p *properties, allowed uint64) {
	at := c.at
	id := c.u8() // identifiers are variable byte integers, all below 0x80
	if id > propSharedAvail || !known(id) {
		c.at = at
		c.fail(Malformed, "unknown property")
		return
	}
	twice := p.has(id) && propsRepeated&(1<<id) == 0
	p.seen |= 1 << id
	c.value(p, id)
	// Only now: what ends early is malformed, whether or not it belongs here.
	switch {
	case c.err != nil:
	case allowed&(1<<id) == 0: // malformed, by section 2.2.2.2
		c.at = at
		c.fail(Malformed, "property not allowed here")
	case twice:
		c.at = at
		c.fail(ProtocolError, "property given twice")
	}
}

// value reads the value of a property.
func (c *cursor) value(p *properties, id byte) {
	switch id {
	case propPayloadFormat:
		c.boolean()
	case propRequestProblem:
		p.noProblemInfo = !c.boolean()
	case propRequestResponse, propMaxQoS, propRetainAvailable, propWildcardAvail, propSubIDAvail, propSharedAvail:
		c.boolean()
	case propServerKeepAlive:
		c.u16()
	case propExpiry:
		p.expiry = c.u32()
	case propSessionExpiry:
		p.sessionExpiry = c.u32()
	case propWillDelay:
		p.willDelay = c.u32()
	case propMaxPacket:
		p.maxPacket = c.u32()
		c.notZero(uint32(p.maxPacket))
	case propReceiveMax:
		p.receiveMax = c.u16()
		c.notZero(uint32(p.receiveMax))
	case propTopicAliasMax:
		p.aliasMax = c.u16()
	case propTopicAlias:
		p.alias = c.u16()
		if p.alias == 0 {
			c.fail(TopicAliasInvalid, "topic alias 0") // [MQTT-3.3.2-8]
		}
	case propSubID:
		p.subID = uint32(c.varint())
		c.notZero(p.subID)
	case propAuthMethod:
		p.authMethod = c.text()
	case propResponseTopic:
		p.responseTopic = c.text()
	case propAuthData:
		p.authData = c.binary()
	case propCorrelation:
		c.binary()
	case propUser:
		c.text()
		c.text()
	default: // the other strings
		c.text()
	}
}

func known(id byte) bool {
	const all = propsPublish | propsWill | propsConnect | propsSub | propsDisconn | propsAuth |
		1<<propAssignedID | 1<<propServerKeepAlive | 1<<propResponseInfo | 1<<propMaxQoS | 1<<propRetainAvailable |
		1<<propWildcardAvail | 1<<propSubIDAvail | 1<<propSharedAvail
	return all&(uint64(1)<<id) != 0
}

func (c *cursor) boolean() bool {
	v := c.u8()
	if v > 1 {
		c.fail(ProtocolError, "property is neither 0 nor 1")
	}
	return v == 1
}

func (c *cursor) notZero(v uint32) {
	if v == 0 {
		c.fail(ProtocolError, "property must not be 0")
	}
}

// A Property is one of those that travel with a message.
type Property struct {
	ID          byte
	Byte        byte   // of the payload format
	Name, Value []byte // Name for user properties only
}

// The identifiers in a [Property].
const (
	PayloadFormat   = propPayloadFormat
	ContentType     = propContentType
	ResponseTopic   = propResponseTopic
	CorrelationData = propCorrelation
	User            = propUser
)

// Properties calls yield for each property in forward, which is Publish.Props.
func Properties(forward []byte, yield func(Property)) {
	c := cursor{b: forward}
	for c.left() > 0 && c.err == nil {
		p := Property{ID: c.u8()}
		switch p.ID {
		case propPayloadFormat:
			p.Byte = c.u8()
		case propUser:
			p.Name, p.Value = c.binary(), c.binary()
		default:
			p.Value = c.binary()
		}
		if c.err == nil {
			yield(p)
		}
	}
}

// AppendProperty appends p as it stands in Publish.Props.
func AppendProperty(dst []byte, p Property) []byte {
	dst = append(dst, p.ID)
	switch p.ID {
	case propPayloadFormat:
		return append(dst, p.Byte)
	case propUser:
		dst = appendBinary(dst, p.Name)
	}
	return appendBinary(dst, p.Value)
}

func appendBinary[T string | []byte](dst []byte, s T) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}
