package broker

import (
	"time"
)

// A DisconnectReason says why a connection ended, in the words of AWS IoT's
// lifecycle events.
type DisconnectReason string

// The reasons why connections end.
const (
	ClientInitiatedDisconnect DisconnectReason = "CLIENT_INITIATED_DISCONNECT"
	AuthError                 DisconnectReason = "AUTH_ERROR"
	ClientError               DisconnectReason = "CLIENT_ERROR"
	ConnectionLost            DisconnectReason = "CONNECTION_LOST"
	DuplicateClientID         DisconnectReason = "DUPLICATE_CLIENTID"
	ForbiddenAccess           DisconnectReason = "FORBIDDEN_ACCESS"
	KeepAliveTimeout          DisconnectReason = "MQTT_KEEP_ALIVE_TIMEOUT"
	ServerError               DisconnectReason = "SERVER_ERROR"
	ServerInitiatedDisconnect DisconnectReason = "SERVER_INITIATED_DISCONNECT"
	APIInitiatedDisconnect    DisconnectReason = "API_INITIATED_DISCONNECT"
	Throttled                 DisconnectReason = "THROTTLED"
	WebSocketTTLExpiration    DisconnectReason = "WEBSOCKET_TTL_EXPIRATION"
	CustomAuthTTLExpiration   DisconnectReason = "CUSTOMAUTH_TTL_EXPIRATION"
)

// A DropReason names why a message did not reach a client. Every drop is
// counted under its reason in [Stats].
type DropReason string

// The reasons for drops.
const (
	DropMemory        DropReason = "memory"         // QoS 0 above Options.MaxMemoryBytes
	DropSlowConsumer  DropReason = "slow_consumer"  // QoS 0 to a client whose outbox is full
	DropQueueFull     DropReason = "queue_full"     // a persistent session's queue is at its limit
	DropQueueAge      DropReason = "queue_age"      // waited longer than Options.MaxQueueAge
	DropExpired       DropReason = "expired"        // message expiry interval passed
	DropTooLarge      DropReason = "too_large"      // above the client's Maximum Packet Size
	DropNotAuthorized DropReason = "not_authorized" // iot:Receive refused
	DropCorrupt       DropReason = "corrupt"        // the Store cannot read it: ErrCorrupt
	DropByHook        DropReason = "hook"           // Hooks.OnDeliver said no
	DropThrottled     DropReason = "throttled"      // above Options.MaxPublishRate or MaxDeliverRate
	DropOffline       DropReason = "offline"        // a shared subscription without a member that could take it
	DropSessionEnded  DropReason = "session_ended"  // still waiting or unacknowledged when its session ended
)

// A Trace has functions that the broker calls at moments of its life. Each may
// be nil. They run on the goroutine where it happens and with no lock held: be
// quick, since that client waits.
type Trace struct {
	Connected    func(ClientInfo)
	Disconnected func(c ClientInfo, reason DisconnectReason)
	// Refused is called for a CONNECT that was not accepted.
	Refused      func(clientID string, err error)
	Subscribed   func(c ClientInfo, s []Subscription)
	Unsubscribed func(c ClientInfo, filters []string)
	// Published is called for each message accepted, before its receivers get it.
	Published func(Message)
	// Delivered is called for each message handed to a connection, before it is
	// written. It may be called again for one that is sent again.
	Delivered func(clientID, topic string)
	Dropped   func(clientID, topic string, reason DropReason)
}

// ClientInfo describes a client and its session.
type ClientInfo struct {
	ClientID   string
	Principal  string
	Thing      string // that the connection acts as, if its Admission says so
	SessionID  string // a UUID, new for each connection
	Version    byte   // 4 is MQTT 3.1.1, 5 is MQTT 5.0
	RemoteAddr string // of the last connection
	CleanStart bool
	KeepAlive  time.Duration // zero is none
	Expiry     time.Duration // of the session after the connection

	Connected        bool
	ConnectedAt      time.Time // zero if not since the broker started
	DisconnectedAt   time.Time // zero while connected
	DisconnectReason DisconnectReason
	// Connections counts the connections of this session: the versionNumber of
	// lifecycle events, from 0.
	Connections uint64

	Subscriptions int
	Queued        int   // messages waiting in the Store or unacknowledged
	QueuedBytes   int64 // their payloads and topics
}
