package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"
)

// Options are the optional parts of a [Broker]. A nil *Options is all
// defaults, and admits nobody.
type Options struct {
	// Authenticator decides who a client is. Nil admits nobody; see [AllowAll].
	Authenticator Authenticator
	// AuthMethods are enhanced authentications by the name that clients put into Authentication
	// Method. A CONNECT with a name that is not here is refused with 0x8C.
	AuthMethods map[string]AuthMethod
	// Authorizer decides what a client may do. Nil allows nothing.
	Authorizer Authorizer

	// MaxPacketBytes is the largest packet accepted, its fixed header included,
	// and announced as Maximum Packet Size. Zero means 1 MiB.
	MaxPacketBytes int
	// MaxConnections refuses clients above it with 0x97 (3.1.1: 3, server
	// unavailable), but not one that takes over its own connection. Zero is no limit.
	MaxConnections int
	// ConnectTimeout is how long a peer may take until its CONNECT is
	// complete, TLS handshake included. Zero means 10 s.
	ConnectTimeout time.Duration
	// PacketTimeout is how long a peer may take for one packet, from when its first bytes have come: whoever sends a
	// byte now and then holds memory, and is disconnected. Zero means 60 s, negative no limit.
	PacketTimeout time.Duration
	// EventLoops is how many goroutines each [Broker.Serve] of a plain TCP or Unix listener, or of one that
	// went through [ForTLS], reads with on Linux; elsewhere, and for all other connections, each has its own. Zero means half of
	// GOMAXPROCS, at least 1; negative none.
	EventLoops int
	// DrainTimeout is how long [Broker.Serve] waits, once its context is done, for
	// connections to finish what they are doing. Zero means 5 s.
	DrainTimeout time.Duration

	// MaxClientIDBytes refuses longer client ids with 0x85. Zero means 256.
	MaxClientIDBytes int
	// RefuseDollarClientIDs refuses client ids that begin with '$', as AWS IoT does.
	RefuseDollarClientIDs bool

	// MinKeepAlive and MaxKeepAlive bound the keep alive of a client: less is
	// raised, more and none is lowered, and MQTT 5 clients are told. Zero is no bound.
	MinKeepAlive, MaxKeepAlive time.Duration

	// MaxSessionExpiry bounds how long a session outlives its connection.
	// Zero means 7 days.
	MaxSessionExpiry time.Duration
	// SessionExpiry is how long a session of MQTT 3.1.1 with clean session 0
	// outlives its connection. Zero means MaxSessionExpiry.
	SessionExpiry time.Duration

	// MaxQoS is the highest quality of service of publishes and
	// subscriptions; a publish above it ends the connection with 0x9B, a
	// subscription is granted less. Zero means 2.
	MaxQoS byte

	// ReceiveMaximum is how many QoS 1 and 2 publishes of one client may be
	// unacknowledged, 1 to 65535. Zero means 100.
	ReceiveMaximum int
	// MaxInflight is how many deliveries to one client may be unacknowledged,
	// less if the client says so, 1 to 16384. Zero means 1000.
	MaxInflight int
	// TopicAliasMaximum is how many topic aliases a client may set up, up to
	// 65535. Zero means 8, negative none.
	TopicAliasMaximum int

	// OutboundAliases is how many topic aliases the broker uses towards a client that
	// allows some, up to 65535. Zero means 8, negative none.
	OutboundAliases int

	// MaxTopicBytes and MaxTopicLevels bound topic names and filters. Zero
	// means 1024 bytes and 64 levels.
	MaxTopicBytes, MaxTopicLevels int
	// MaxFilters bounds the filters of one SUBSCRIBE. Zero is no limit.
	MaxFilters int
	// MaxSubscriptions bounds the subscriptions of one session. Zero means 10,000.
	MaxSubscriptions int
	// NoSubscriptionIdentifiers refuses subscription identifiers with 0xA1.
	NoSubscriptionIdentifiers bool
	// HashBelow makes the filter a/# not match the topic a, as AWS IoT has it.
	HashBelow bool
	// RetainedExactOnly gives retained messages to subscriptions without wildcards
	// alone, as AWS IoT does.
	RetainedExactOnly bool
	// ReservedTopics keeps clients to what AWS IoT has them do with topics that begin
	// with '$': shadows, jobs, provisioning and the like. Other publishes and subscriptions there are
	// refused as not authorized, and so are retained messages. Messages to $aws/rules/{rule}/ are for
	// in-process handlers alone (Basic Ingest), and this prefix does not count for MaxTopicBytes
	// and MaxTopicLevels.
	ReservedTopics bool

	// CloseFrameDiscardsWill has the close frame of a WebSocket discard the will of its client, as AWS IoT has it. MQTT leaves
	// that to DISCONNECT [MQTT-3.1.2-8].
	CloseFrameDiscardsWill bool

	// MaxPayloadBytes is the largest payload of a PUBLISH or will; above it the
	// connection ends with 0x95. Zero is no limit but MaxPacketBytes.
	MaxPayloadBytes int
	// MaxMessageExpiry lowers message expiry intervals above it. Zero is no bound.
	MaxMessageExpiry time.Duration

	// MaxPublishRate is how many PUBLISH packets a second each client may send, in the
	// mean over a second. What is above it is discarded and counted under [DropThrottled]; an MQTT 5
	// publisher of QoS 1 or 2 is told 0x97, others nothing. Zero is no limit.
	MaxPublishRate int
	// MaxDeliverRate is the same for QoS 0 messages to a client. Those of QoS 1
	// and 2 are bounded by MaxInflight and wait. Zero is no limit.
	MaxDeliverRate int
	// MaxResendRate is how many messages a second are read from the Store for each client
	// that has come back, or was too slow. Zero is no limit.
	MaxResendRate int
	// MaxByteRate is how many bytes a second are read from each client: more of them
	// wait in the network. Zero is no limit.
	MaxByteRate int
	// MaxConnectRate is how many clients may connect in a second; those above it are refused
	// with 0x9F (3.1.1: 3). Zero is no limit.
	MaxConnectRate int
	// ConnectInterval is the least time between two connections of a client id; a
	// client that is too fast is refused with 0x97 (3.1.1: 3). Zero is none.
	ConnectInterval time.Duration

	// MaxOutboxBytes is how much may wait to be written to one connection
	// before QoS 0 messages to it are dropped. Zero means 1 MiB.
	MaxOutboxBytes int
	// MaxMemoryBytes bounds what waits in memory for all connections together: to be written, to be acknowledged, or
	// to become a whole packet. Above it QoS 0 messages are dropped as [DropMemory], those of persistent sessions
	// wait in the Store alone, a client without one that does not keep up is disconnected with 0x97, so is one with a
	// large packet under way, and new clients are refused with 0x89 (3.1.1: 3). Each connection may be off by 64 KiB, and by
	// the message it is just given.
	//
	// Three quarters of it may be taken by what is kept: sessions, subscriptions, and the retained messages of a Store
	// that is a [RetainedMemory], each by an estimate. Above that new sessions, subscriptions and retained messages are
	// refused with 0x97 (3.1.1: CONNACK 3, SUBACK 0x80, the end of the connection); what there is stays, can come back and be
	// replaced. Not counted are the queues of a [MemStore], see MaxQueueBytes, TLS and the connections themselves,
	// about 3 KiB each, see MaxConnections. Zero is no limit.
	MaxMemoryBytes int64
	// MaxPendingBytes is how much QoS 1 may wait in memory for one connection, and
	// how much of it may be unacknowledged.
	// Beyond it a persistent session's messages wait in the Store alone, and
	// a client without one is disconnected with 0x97: its session ends, so
	// nothing that was promised is lost in silence. Zero means 4 MiB.
	MaxPendingBytes int

	// MaxQueueMessages, MaxQueueBytes and MaxQueueAge bound what waits in the
	// Store for one session. Zero means 100,000 messages, 64 MiB and no age.
	MaxQueueMessages int
	MaxQueueBytes    int64
	MaxQueueAge      time.Duration
	// QueueOverflow says what happens at MaxQueueMessages and MaxQueueBytes. What is under way when a queue gets there
	// may go above.
	QueueOverflow Overflow

	// LifecycleEvents publishes $aws/events/presence/... and
	// $aws/events/subscriptions/... as AWS IoT does.
	LifecycleEvents bool

	// Hooks take part in what the broker does.
	Hooks *Hooks
	// SysInterval publishes $SYS/broker/... that often: what has changed of the broker's
	// statistics, at QoS 0. A subscriber gets all of it at once, as retained. Zero publishes nothing.
	SysInterval time.Duration
	// Trace is called at moments of the broker's life.
	Trace *Trace
	// Logger gets state changes and errors that were swallowed. Nil is silence.
	Logger *slog.Logger
	// Now gives the times written into messages and sessions. Nil means time.Now.
	Now func() time.Time
}

// An Overflow is what happens to a message for a session whose queue is full.
type Overflow int

const (
	// DropNewest drops the message for that session.
	DropNewest Overflow = iota
	// DropOldest drops the session's oldest messages.
	DropOldest
	// RefusePublish refuses the message for everybody: MQTT 5 publishers get 0x97, 3.1.1
	// publishers no PUBACK and the end of their connection.
	RefusePublish
)

const (
	day = 24 * time.Hour
	// maxFrame is what the four bytes of remaining length allow, with them.
	maxFrame = 268_435_455 + 5
)

// filled is o with its defaults, checked.
func (o *Options) filled() (Options, error) {
	var f Options
	if o != nil {
		f = *o
	}
	if f.Authenticator == nil {
		f.Authenticator = denyAll{}
	}
	if f.Authorizer == nil {
		f.Authorizer = denyAll{}
	}
	if f.Hooks == nil {
		f.Hooks = &Hooks{}
	}
	if f.Trace == nil {
		f.Trace = &Trace{}
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	var errs []error
	number := func(name string, v *int, def, least, most int) {
		if *v == 0 {
			*v = def
		}
		if *v < least || *v > most {
			errs = append(errs, fmt.Errorf("broker: options: %s is %d, not in %d to %d", name, *v, least, most))
		}
	}
	span := func(name string, v *time.Duration, def time.Duration) {
		if *v == 0 {
			*v = def
		}
		if *v < 0 {
			errs = append(errs, fmt.Errorf("broker: options: %s is negative", name))
		}
	}
	const any = int(^uint(0) >> 1)
	number("MaxPacketBytes", &f.MaxPacketBytes, 1<<20, 64, maxFrame)
	number("MaxConnections", &f.MaxConnections, any, 1, any)
	number("MaxClientIDBytes", &f.MaxClientIDBytes, 256, 1, 65535)
	if f.MaxQoS == 0 {
		f.MaxQoS = 2
	}
	if f.MaxQoS > 2 {
		errs = append(errs, fmt.Errorf("broker: Options.MaxQoS is %d", f.MaxQoS))
	}
	number("ReceiveMaximum", &f.ReceiveMaximum, 100, 1, 65535)
	number("MaxInflight", &f.MaxInflight, 1000, 1, 16384)
	f.TopicAliasMaximum = max(f.TopicAliasMaximum, -1)
	number("TopicAliasMaximum", &f.TopicAliasMaximum, 8, -1, 65535)
	f.TopicAliasMaximum = max(f.TopicAliasMaximum, 0)
	f.OutboundAliases = max(f.OutboundAliases, -1)
	number("OutboundAliases", &f.OutboundAliases, 8, -1, 65535)
	f.OutboundAliases = max(f.OutboundAliases, 0)
	number("MaxTopicBytes", &f.MaxTopicBytes, 1024, 1, 65535)
	number("MaxTopicLevels", &f.MaxTopicLevels, 64, 1, 65535)
	number("MaxFilters", &f.MaxFilters, any, 1, any)
	number("MaxSubscriptions", &f.MaxSubscriptions, 10_000, 1, any)
	number("MaxPayloadBytes", &f.MaxPayloadBytes, any, 1, any)
	number("MaxPublishRate", &f.MaxPublishRate, 0, 0, any)
	number("MaxDeliverRate", &f.MaxDeliverRate, 0, 0, any)
	number("MaxResendRate", &f.MaxResendRate, 0, 0, any)
	number("MaxByteRate", &f.MaxByteRate, 0, 0, any)
	number("MaxConnectRate", &f.MaxConnectRate, 0, 0, any)
	span("SysInterval", &f.SysInterval, 0)
	span("ConnectInterval", &f.ConnectInterval, 0)
	span("MaxMessageExpiry", &f.MaxMessageExpiry, math.MaxInt64)
	number("MaxOutboxBytes", &f.MaxOutboxBytes, 1<<20, 1, any)
	number("MaxPendingBytes", &f.MaxPendingBytes, 4<<20, 1, any)
	number("MaxQueueMessages", &f.MaxQueueMessages, 100_000, 1, any)
	if f.MaxQueueBytes == 0 {
		f.MaxQueueBytes = 64 << 20
	}
	if f.MaxQueueBytes < 0 {
		errs = append(errs, errors.New("broker: options: MaxQueueBytes is negative"))
	}
	if f.QueueOverflow < DropNewest || f.QueueOverflow > RefusePublish {
		errs = append(errs, fmt.Errorf("broker: options: QueueOverflow %d is unknown", f.QueueOverflow))
	}
	if f.PacketTimeout == 0 {
		f.PacketTimeout = time.Minute
	}
	if f.MaxMemoryBytes < 0 {
		errs = append(errs, errors.New("broker: options: MaxMemoryBytes is negative"))
	}
	span("ConnectTimeout", &f.ConnectTimeout, 10*time.Second)
	span("DrainTimeout", &f.DrainTimeout, 5*time.Second)
	span("MinKeepAlive", &f.MinKeepAlive, 0)
	span("MaxKeepAlive", &f.MaxKeepAlive, 0)
	span("MaxSessionExpiry", &f.MaxSessionExpiry, 7*day)
	span("SessionExpiry", &f.SessionExpiry, f.MaxSessionExpiry)
	f.SessionExpiry = min(f.SessionExpiry, f.MaxSessionExpiry)
	span("MaxQueueAge", &f.MaxQueueAge, 0)
	if f.MaxKeepAlive > 0 && f.MinKeepAlive > f.MaxKeepAlive {
		errs = append(errs, errors.New("broker: options: MinKeepAlive is above MaxKeepAlive"))
	}
	if f.MinKeepAlive > 65535*time.Second || f.MaxKeepAlive > 65535*time.Second {
		errs = append(errs, errors.New("broker: options: keep alive bounds end at 65535 s"))
	}
	return f, errors.Join(errs...)
}
