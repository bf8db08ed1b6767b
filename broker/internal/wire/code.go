package wire

import "fmt"

// A Code is a reason code of MQTT 5 [MQTT5 2.4]. It is used inside for both
// versions; what 3.1.1 makes of it is [Code.Connack3].
type Code byte

// The reason codes in use.
const (
	Success               Code = 0x00
	DisconnectWithWill    Code = 0x04
	NoMatchingSubscribers Code = 0x10
	NoSubscriptionExisted Code = 0x11
	ContinueAuth          Code = 0x18
	ReAuthenticate        Code = 0x19
	Unspecified           Code = 0x80
	Malformed             Code = 0x81
	ProtocolError         Code = 0x82
	ImplementationError   Code = 0x83
	UnsupportedVersion    Code = 0x84
	ClientIDInvalid       Code = 0x85
	BadCredentials        Code = 0x86
	NotAuthorized         Code = 0x87
	ServerUnavailable     Code = 0x88
	ServerBusy            Code = 0x89
	Banned                Code = 0x8A
	ServerShuttingDown    Code = 0x8B
	BadAuthMethod         Code = 0x8C
	KeepAliveTimeout      Code = 0x8D
	SessionTakenOver      Code = 0x8E
	TopicFilterInvalid    Code = 0x8F
	TopicNameInvalid      Code = 0x90
	PacketIDInUse         Code = 0x91
	PacketIDNotFound      Code = 0x92
	ReceiveMaxExceeded    Code = 0x93
	TopicAliasInvalid     Code = 0x94
	PacketTooLarge        Code = 0x95
	MessageRateTooHigh    Code = 0x96
	QuotaExceeded         Code = 0x97
	AdminAction           Code = 0x98
	PayloadFormatInvalid  Code = 0x99
	RetainNotSupported    Code = 0x9A
	QoSNotSupported       Code = 0x9B
	UseAnotherServer      Code = 0x9C
	ServerMoved           Code = 0x9D
	SharedNotSupported    Code = 0x9E
	ConnectRateExceeded   Code = 0x9F
	MaxConnectTime        Code = 0xA0
	SubIDsNotSupported    Code = 0xA1
	WildcardsNotSupported Code = 0xA2
)

// Connack3 is the return code of a 3.1.1 CONNACK for c [MQTT 3.1.1, 3.2.2.3].
func (c Code) Connack3() byte {
	switch c {
	case Success:
		return 0
	case UnsupportedVersion:
		return 1
	case ClientIDInvalid:
		return 2
	case BadCredentials:
		return 4
	case NotAuthorized, Banned:
		return 5
	}
	return 3
}

// acknowledges reports whether c may stand in an acknowledgement of type t [MQTT5 3.4.2.1] [MQTT5 3.6.2.1].
func (c Code) acknowledges(t Type) bool {
	if t == PUBREL || t == PUBCOMP {
		return c == Success || c == PacketIDNotFound
	}
	switch c {
	case Success, NoMatchingSubscribers, Unspecified, ImplementationError, NotAuthorized, TopicNameInvalid,
		PacketIDInUse, QuotaExceeded, PayloadFormatInvalid:
		return true
	}
	return false
}

// Refuses reports whether c is a failure that a server may say in a packet of type t
// [MQTT-3.2.2-8] [MQTT-3.4.2-1] [MQTT-3.9.3-2] [MQTT-3.14.2-1].
func (c Code) Refuses(t Type) bool {
	if c < Unspecified {
		return false
	}
	switch t {
	case PUBACK, PUBREC:
		return c.acknowledges(t)
	case SUBACK:
		switch c {
		case Unspecified, ImplementationError, NotAuthorized, TopicFilterInvalid, PacketIDInUse, QuotaExceeded,
			SharedNotSupported, SubIDsNotSupported, WildcardsNotSupported:
			return true
		}
		return false
	case CONNACK:
		switch c {
		case ServerShuttingDown, KeepAliveTimeout, SessionTakenOver, TopicFilterInvalid, PacketIDInUse, PacketIDNotFound,
			ReceiveMaxExceeded, TopicAliasInvalid, MessageRateTooHigh, AdminAction, SharedNotSupported:
			return false
		}
		return c <= ConnectRateExceeded
	}
	switch c { // DISCONNECT
	case UnsupportedVersion, ClientIDInvalid, BadCredentials, ServerUnavailable, Banned, BadAuthMethod, PacketIDInUse, PacketIDNotFound:
		return false
	}
	return c <= WildcardsNotSupported
}

// leaves reports whether a client may say c in a DISCONNECT [MQTT5 3.14.2.1].
func (c Code) leaves() bool {
	switch c {
	case Success, DisconnectWithWill, Unspecified, Malformed, ProtocolError, ImplementationError, TopicNameInvalid,
		ReceiveMaxExceeded, TopicAliasInvalid, PacketTooLarge, MessageRateTooHigh, QuotaExceeded, AdminAction, PayloadFormatInvalid:
		return true
	}
	return false
}

// A Type is the kind of a packet: the upper half of its first byte.
type Type byte

// The packet types [MQTT5 2.1.2].
const (
	CONNECT Type = iota + 1
	CONNACK
	PUBLISH
	PUBACK
	PUBREC
	PUBREL
	PUBCOMP
	SUBSCRIBE
	SUBACK
	UNSUBSCRIBE
	UNSUBACK
	PINGREQ
	PINGRESP
	DISCONNECT
	AUTH
)

var typeNames = [16]string{"reserved 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"}

func (t Type) String() string { return typeNames[t&15] }

// An Error says what is wrong with a packet.
type Error struct {
	Code   Code
	Packet Type
	Pos    int // byte offset into the packet's body, behind the fixed header
	Reason string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%v at byte %d: %s (0x%02x)", e.Packet, e.Pos, e.Reason, byte(e.Code))
}
