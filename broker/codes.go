package broker

import (
	"errors"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// Reason codes where they are said as bytes.
const (
	unspecified        = byte(wire.Unspecified)
	malformed          = byte(wire.Malformed)
	notAuthorized      = byte(wire.NotAuthorized)
	topicNameInvalid   = byte(wire.TopicNameInvalid)
	quotaExceeded      = byte(wire.QuotaExceeded)
	serverShuttingDown = byte(wire.ServerShuttingDown)
)

var (
	errSlow      = errors.New("broker: the client reads too slowly for what it must get")
	errTakenOver = errors.New("broker: another connection has the same client id")
	errDraining  = errors.New("broker: shutting down")
	errSilent    = errors.New("broker: nothing came within one and a half keep alive intervals")
	errNoConnect = errors.New("broker: no CONNECT in time")
	errThrottled = errors.New("broker: more publishes a second than allowed")
	errLifetime  = errors.New("broker: the connection has lasted as long as it may")
	errKicked    = errors.New("broker: disconnected by the application")
)
