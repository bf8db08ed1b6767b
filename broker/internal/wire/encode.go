package wire

import "encoding/binary"

// Connack is what a CONNACK says. The properties are for MQTT 5 alone.
type Connack struct {
	SessionPresent bool
	Code           Code

	SessionExpiry    uint32 // with HasSessionExpiry
	HasSessionExpiry bool
	ReceiveMax       uint16
	MaxQoS           byte // 2 is not said
	MaxPacket        uint32
	AssignedID       string
	TopicAliasMax    uint16
	ServerKeepAlive  uint16 // with HasKeepAlive
	HasKeepAlive     bool
	NoSubIDs         bool // Subscription Identifier Available is 0
	Reason           string
	ServerReference  string
	AuthMethod       string
	AuthData         []byte
}

// AppendConnack appends p.
func AppendConnack(dst []byte, version byte, p *Connack) []byte {
	var flags byte
	if p.SessionPresent && p.Code == Success {
		flags = 1 // [MQTT-3.2.2-6]; the other bits are 0 [MQTT-3.2.2-1]
	}
	if version != 5 {
		return append(dst, byte(CONNACK)<<4, 2, flags, p.Code.Connack3())
	}
	var room [160]byte
	b := room[:0]
	if p.HasSessionExpiry {
		b = binary.BigEndian.AppendUint32(append(b, propSessionExpiry), p.SessionExpiry)
	}
	if p.Code == Success {
		b = binary.BigEndian.AppendUint16(append(b, propReceiveMax), p.ReceiveMax)
		if p.MaxQoS < 2 { // [MQTT-3.2.2-9]
			b = append(b, propMaxQoS, p.MaxQoS)
		}
		b = binary.BigEndian.AppendUint32(append(b, propMaxPacket), p.MaxPacket)
		if p.TopicAliasMax > 0 {
			b = binary.BigEndian.AppendUint16(append(b, propTopicAliasMax), p.TopicAliasMax)
		}
	}
	if p.AssignedID != "" {
		b = appendBinary(append(b, propAssignedID), p.AssignedID) // [MQTT-3.1.3-7]
	}
	if p.HasKeepAlive {
		b = binary.BigEndian.AppendUint16(append(b, propServerKeepAlive), p.ServerKeepAlive)
	}
	if p.NoSubIDs {
		b = append(b, propSubIDAvail, 0)
	}
	if p.AuthMethod != "" {
		b = appendBinary(append(b, propAuthMethod), p.AuthMethod)
	}
	if p.AuthData != nil {
		b = appendBinary(append(b, propAuthData), p.AuthData)
	}
	b = appendWhy(b, p.Reason, p.ServerReference)
	dst = append(dst, byte(CONNACK)<<4)
	dst = appendVarint(dst, 2+varintLen(len(b))+len(b))
	dst = append(dst, flags, byte(p.Code))
	dst = appendVarint(dst, len(b))
	return append(dst, b...)
}

// appendWhy appends what explains a reason code.
func appendWhy(b []byte, reason, server string) []byte {
	if reason != "" {
		b = appendBinary(append(b, propReasonString), reason)
	}
	if server != "" {
		b = appendBinary(append(b, propServerReference), server)
	}
	return b
}

// Out is a PUBLISH to a subscriber.
type Out struct {
	Dup, Retain bool
	QoS         byte
	PacketID    uint16
	Topic       string
	Payload     []byte
	Props       []byte // see Publish.Props
	Expiry      uint32 // seconds left, with HasExpiry
	HasExpiry   bool
	SubIDs      []uint32
	Alias       uint16 // 0 is none; with one the topic may be empty
}

// Size is the length of p on the wire in the version. It is above any
// client's limit if p cannot be said in MQTT at all.
func (p *Out) Size(version byte) int {
	body := p.bodySize(version)
	return 1 + varintLen(body) + body
}

func (p *Out) bodySize(version byte) int {
	n := 2 + len(p.Topic) + len(p.Payload)
	if p.QoS > 0 {
		n += 2
	}
	if version == 5 {
		props := p.propsSize()
		n += varintLen(props) + props
	}
	return n
}

func (p *Out) propsSize() int {
	n := len(p.Props)
	if p.HasExpiry {
		n += 5
	}
	if p.Alias > 0 {
		n += 3
	}
	for _, id := range p.SubIDs {
		n += 1 + varintLen(int(id))
	}
	return n
}

// AppendPublish appends p.
func AppendPublish(dst []byte, version byte, p *Out) []byte {
	first := byte(PUBLISH)<<4 | p.QoS<<1
	if p.Dup {
		first |= 8
	}
	if p.Retain {
		first |= 1
	}
	dst = append(dst, first)
	dst = appendVarint(dst, p.bodySize(version))
	dst = appendBinary(dst, p.Topic)
	if p.QoS > 0 { // [MQTT-2.2.1-2]
		dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	}
	if version == 5 {
		dst = appendVarint(dst, p.propsSize())
		if p.HasExpiry {
			dst = binary.BigEndian.AppendUint32(append(dst, propExpiry), p.Expiry)
		}
		if p.Alias > 0 {
			dst = binary.BigEndian.AppendUint16(append(dst, propTopicAlias), p.Alias)
		}
		dst = append(dst, p.Props...)
		for _, id := range p.SubIDs {
			dst = appendVarint(append(dst, propSubID), int(id))
		}
	}
	return append(dst, p.Payload...)
}

// AppendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP. 3.1.1 has no code.
func AppendAck(dst []byte, version byte, t Type, id uint16, code Code) []byte {
	first := byte(t) << 4
	if t == PUBREL {
		first |= 2
	}
	if version == 5 && code != Success {
		return append(dst, first, 3, byte(id>>8), byte(id), byte(code))
	}
	return append(dst, first, 2, byte(id>>8), byte(id))
}

// AppendSuback appends a SUBACK with one code a filter, in their order [MQTT-3.8.4-6] [MQTT-3.9.3-1]. 3.1.1 knows one failure.
func AppendSuback(dst []byte, version byte, id uint16, codes []Code) []byte {
	dst = appendCodesHead(dst, version, SUBACK, id, len(codes))
	for _, c := range codes {
		if version != 5 && c >= Unspecified {
			c = Unspecified
		}
		dst = append(dst, byte(c))
	}
	return dst
}

// AppendUnsuback appends an UNSUBACK with one code a filter, in their order [MQTT-3.11.3-1] [MQTT-3.11.3-2]. 3.1.1 has none.
func AppendUnsuback(dst []byte, version byte, id uint16, codes []Code) []byte {
	if version != 5 {
		codes = nil
	}
	dst = appendCodesHead(dst, version, UNSUBACK, id, len(codes))
	for _, c := range codes {
		dst = append(dst, byte(c))
	}
	return dst
}

func appendCodesHead(dst []byte, version byte, t Type, id uint16, codes int) []byte {
	n := 2 + codes
	if version == 5 {
		n++
	}
	dst = append(dst, byte(t)<<4)
	dst = appendVarint(dst, n)
	dst = binary.BigEndian.AppendUint16(dst, id)
	if version == 5 {
		dst = append(dst, 0)
	}
	return dst
}

// AppendPingresp appends a PINGRESP.
func AppendPingresp(dst []byte) []byte { return append(dst, byte(PINGRESP)<<4, 0) }

// AppendDisconnect appends a DISCONNECT of MQTT 5; 3.1.1 servers have none.
func AppendDisconnect(dst []byte, code Code, reason, server string) []byte {
	if reason == "" && server == "" {
		return append(dst, byte(DISCONNECT)<<4, 1, byte(code))
	}
	return appendExplained(dst, DISCONNECT, code, appendWhy(nil, reason, server))
}

// AppendAuth appends an AUTH: [ContinueAuth], or [Success] at the end of a re-authentication.
func AppendAuth(dst []byte, code Code, method string, data []byte) []byte {
	b := appendBinary([]byte{propAuthMethod}, method)
	if data != nil {
		b = appendBinary(append(b, propAuthData), data)
	}
	return appendExplained(dst, AUTH, code, b)
}

// appendExplained appends a packet that is a code and properties.
func appendExplained(dst []byte, t Type, code Code, props []byte) []byte {
	dst = append(dst, byte(t)<<4)
	dst = appendVarint(dst, 1+varintLen(len(props))+len(props))
	dst = append(dst, byte(code))
	dst = appendVarint(dst, len(props))
	return append(dst, props...)
}
