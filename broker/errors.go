package broker

import (
	"errors"
	"fmt"
)

// ErrNotAuthorized reports that an [Authenticator] or [Authorizer] said no.
// Return it, wrapped or not, from theirs; other errors count as a failure of
// the server (reason 0x80) instead of a refusal (0x87).
var ErrNotAuthorized = errors.New("broker: not authorized")

// ErrBadCredentials is for an [Authenticator]: the user name, password or
// certificate is wrong. The client is told 0x86, or 4 in MQTT 3.1.1.
var ErrBadCredentials = errors.New("broker: bad user name or password")

// ErrCorrupt is for a [Store]: one stored record cannot be read, and never will be. A message in a queue that has it is dropped
// as [DropCorrupt], a retained message is passed over: what lies behind it is not to wait for it.
var ErrCorrupt = errors.New("broker: corrupt record")

// ErrNotFound reports that there is no client or session of that id.
var ErrNotFound = errors.New("broker: no such client")

// ErrTopic reports an invalid topic name or filter. The error around it says
// at which byte and why.
var ErrTopic = errors.New("broker: invalid topic")

func errorTopic(err error) error { return fmt.Errorf("%w: %w", ErrTopic, err) }

// ErrTooDeep reports that a message was published by the handler of a message
// that was published by a handler, and so on, [MaxDepth] times: a loop.
var ErrTooDeep = errors.New("broker: republished too often")

// ErrTooLarge reports a message above Options.MaxPacketBytes.
var ErrTooLarge = errors.New("broker: message too large")

// ErrQueueFull reports that a message was refused because the queue of a
// session that must get it is full and Options.QueueOverflow is RefusePublish.
var ErrQueueFull = errors.New("broker: queue full")

// ErrProtocol is in every error that a violation of MQTT by the peer causes.
// The [*ConnError] around it has the reason code.
var ErrProtocol = errors.New("broker: protocol violation")

// errSlowPacket ends a connection whose peer does not get to the end of a packet.
var errSlowPacket = errors.New("broker: a packet takes too long to come")

// ErrMemory reports that a retained message, a session or a connection was refused because Options.MaxMemoryBytes is
// reached.
var ErrMemory = errors.New("broker: too much is in memory")

// errClosed ends a connection whose fate is already recorded.
var errClosed = errors.New("broker: connection closed")

// A ConnError is why a connection ended when it was not in order: what
// [Broker.ServeConn] returns and what is logged.
type ConnError struct {
	ClientID string // empty before CONNECT was accepted
	Reason   DisconnectReason
	Code     byte // MQTT 5 reason code, also where the peer speaks 3.1.1
	Err      error
}

func (e *ConnError) Error() string {
	return fmt.Sprintf("broker: client %q: %s (0x%02x): %v", e.ClientID, e.Reason, e.Code, e.Err)
}

func (e *ConnError) Unwrap() error { return e.Err }
