package broker

import (
	"context"
	"iter"
	"time"
)

// A Store keeps what must outlive a connection, and the process. Its methods
// are called from many goroutines. Errors that are no sentinel of this package
// refuse the packet that caused them: nothing is acknowledged that a Store did
// not take.
type Store interface {
	SessionStore
	RetainedStore
}

// A Session is what is stored of one client's persistent session.
type Session struct {
	ClientID  string
	Principal string
	Version   byte // protocol level: 4 is MQTT 3.1.1, 5 is MQTT 5.0
	// Expiry is how long the session outlives its connection.
	Expiry time.Duration
	// Disconnected is when the last connection ended; zero while connected.
	// A session found connected when the store is opened was cut by a crash.
	Disconnected  time.Time
	Subscriptions []Subscription // ordered by Filter
	// Will is that of the present connection, or a delayed one that is pending. A client without a persistent
	// session is stored, with an Expiry of zero, for as long as it is connected with a will.
	Will *PendingWill

	// What Enqueue has left. SaveSession does not look at it.
	Received []uint16 // marks, in ascending order, and so the next
	Released []uint64
	Tail     uint64 // the number of the last message in the queue, 0 if there is none
}

// A Mark is a step of an exchange of QoS 2 [MQTT-4.3.3] of a session.
type Mark struct {
	ClientID string
	Kind     MarkKind
	PacketID uint16 // of MarkReceived and MarkCompleted
	Seq      uint64 // of MarkReleased, in the client's queue
}

// A MarkKind says what a Mark does.
type MarkKind byte

// The kinds.
const (
	// MarkReceived: the client's publish with that packet id was taken, and
	// is to be taken no second time. It adds to Session.Received.
	MarkReceived MarkKind = iota
	// MarkCompleted: the client's PUBREL came. It removes from Session.Received.
	MarkCompleted
	// MarkReleased: the client has that message of its queue, and is not to be
	// sent it again. It adds to Session.Released, which Dequeue removes from.
	MarkReleased
)

// A Subscription is one topic filter with its options.
type Subscription struct {
	Filter            string // as the client sent it, $share included
	QoS               byte   // granted
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte
	Identifier        uint32 // 0 is none
}

// A PendingWill is a will to be published at Due unless its client is back. While the client is connected
// Due is zero, and the will is to be published Delay after the end of the connection.
type PendingWill struct {
	Message Message // Message.SourceIP is stored, too
	Due     time.Time
	Delay   time.Duration
	// Thing is that of Access, for when the Authorizer is asked again, before the will is published.
	Thing string
	// OwnAuthorizer says that the connection had an Authorizer of its own, which a later process cannot ask.
	OwnAuthorizer bool
}

// An Entry is one message for the queues of one or more sessions.
type Entry struct {
	Message   Message
	ClientIDs []string
	// Modes, unless nil, has for each of ClientIDs how it gets the message: in its queue the message has this QoS and Retain
	// instead of its own.
	Modes []Mode
}

// A Mode is how one session gets a message.
type Mode struct {
	QoS    byte
	Retain bool
}

// A Queued is one message of a session's queue.
type Queued struct {
	Seq     uint64
	Message Message
}

// A SessionStore keeps sessions and their queues: one log of messages, each
// stored once however many sessions wait for it, and a position per session.
type SessionStore interface {
	// Sessions yields all stored sessions, in no particular order.
	Sessions(ctx context.Context) iter.Seq2[Session, error]

	// SaveSession stores s, replacing what was there, and returns once it is durable.
	// The queue is left as it is.
	SaveSession(ctx context.Context, s Session) error

	// DeleteSession removes the session, its queue and its marks. Absent is no error.
	DeleteSession(ctx context.Context, clientID string) error

	// Enqueue appends all of batch and applies all marks, or nothing, and
	// returns once that is durable. The entries get consecutive sequence numbers from first on; numbers only
	// grow, also over a restart. For one client no message becomes visible to
	// Queue after one with a higher number.
	Enqueue(ctx context.Context, batch []Entry, marks ...Mark) (first uint64, err error)

	// Dequeue removes the messages of clientID's queue up to and including
	// upTo, and their marks. It need not be durable: what a crash brings back is
	// delivered again. But a crash must not bring back a message without its mark.
	Dequeue(ctx context.Context, clientID string, upTo uint64) error

	// Queue yields the messages of clientID's queue with a number above after,
	// in order. It may be left at any point. A message that cannot be read is yielded as its number and an error that wraps
	// ErrCorrupt, and the ones behind it follow; any other error is the last thing yielded.
	Queue(ctx context.Context, clientID string, after uint64) iter.Seq2[Queued, error]
}

// A RetainedStore keeps the last retained message of each topic.
type RetainedStore interface {
	// SetRetained stores m as the retained message of its topic and returns
	// once it is durable. An empty payload clears [MQTT-3.3.1-6].
	SetRetained(ctx context.Context, m Message) error

	// Retained yields the retained messages whose topics match filter, ordered by topic.
	// A filter without wildcards must not cost more than a look-up. What cannot be read is yielded as an error that wraps
	// ErrCorrupt, and the others follow; any other error is the last thing yielded.
	Retained(ctx context.Context, filter string) iter.Seq2[Message, error]
}
