package broker

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// DisconnectOptions say how a client is disconnected.
type DisconnectOptions struct {
	// Reason is what lifecycle events and traces say. Empty means APIInitiatedDisconnect.
	Reason DisconnectReason
	// NoWill suppresses the client's will.
	NoWill bool
	// Server is told to an MQTT 5 client as the server to use instead, with 0x9C.
	Server string
	// EndSession ends the session as well, also of a client that is not connected.
	EndSession bool
}

// Kick disconnects a client. See [Broker.Disconnect].
func (b *Broker) Kick(clientID string, reason DisconnectReason) error {
	return b.Disconnect(clientID, DisconnectOptions{Reason: reason})
}

// Disconnect ends the connection of a client. An MQTT 5 client is told 0x87 for
// AuthError, 0x97 for Throttled, else 0x98. It does not wait for the end. ErrNotFound
// says that there is no such connection, or no such session with EndSession.
//
// The will of a session that ends is published, unless NoWill suppresses it, also one that waits for its delay.
func (b *Broker) Disconnect(clientID string, o DisconnectOptions) error {
	s, connected := b.endConnection(clientID, &o)
	switch {
	case s == nil:
		return fmt.Errorf("%w: %q", ErrNotFound, clientID)
	case connected:
		return nil
	case o.EndSession:
		return b.due(s, b.now())
	}
	return fmt.Errorf("%w: %q is not connected", ErrNotFound, clientID)
}

// endConnection ends the connection of a client as o says, and reports whether there is one. If there is none, it sees to it
// that the session is over, and has no will, if that is what o says. s is nil if there is no session.
func (b *Broker) endConnection(clientID string, o *DisconnectOptions) (s *session, connected bool) {
	defer b.admit(clientID).Unlock()
	if s = b.session(clientID); s == nil {
		return nil, false
	}
	s.mu.Lock()
	c := s.conn
	discards := c == nil && o.NoWill && s.will != nil && s.saying == nil
	switch {
	case c != nil && o.EndSession:
		c.forget.Store(true)
	case c == nil && o.EndSession:
		s.expiry = 0
	}
	if discards {
		s.will = nil
	}
	saved := s.stored()
	s.mu.Unlock()
	if c == nil {
		if discards && !o.EndSession {
			b.save(&saved) // or a later process would publish it
		}
		return s, false
	}
	if o.NoWill {
		c.suppress.Store(true)
	}
	reason := cmp.Or(o.Reason, APIInitiatedDisconnect)
	code, err := codeFor(reason), errKicked
	if o.Server != "" {
		code, err = byte(wire.UseAnotherServer), &Refusal{Code: byte(wire.UseAnotherServer), Server: o.Server, Err: errKicked}
	}
	c.end(code, reason, err)
	return s, true
}

// DisconnectPrincipal disconnects all clients of a principal whose right to be
// here has ended, with AuthError, and returns how many. New connections are the
// Authenticator's to refuse.
func (b *Broker) DisconnectPrincipal(principal string) int {
	b.InvalidateAuth()
	var cut []*conn
	b.mu.Lock()
	b.cuts.add(principal) // for those that are being let in
	for c := range b.conns {
		if c.info.Principal == principal {
			cut = append(cut, c)
		}
	}
	b.mu.Unlock()
	for _, c := range cut {
		c.end(notAuthorized, AuthError, errKicked)
	}
	return len(cut)
}

func codeFor(reason DisconnectReason) byte {
	switch reason {
	case AuthError, ForbiddenAccess:
		return notAuthorized
	case Throttled:
		return quotaExceeded
	case ServerInitiatedDisconnect:
		return serverShuttingDown
	}
	return byte(wire.AdminAction)
}

// Clients yields all sessions, connected or not, ordered by client id.
func (b *Broker) Clients() iter.Seq[ClientInfo] {
	return func(yield func(ClientInfo) bool) {
		b.mu.Lock()
		all := make([]*session, 0, len(b.sessions))
		for _, s := range b.sessions {
			all = append(all, s)
		}
		b.mu.Unlock()
		slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
		for _, s := range all {
			b.ensureCounted(s)
			if !yield(s.describe()) {
				return
			}
		}
	}
}

// Client describes one session. ErrNotFound says that there is none.
func (b *Broker) Client(clientID string) (ClientInfo, error) {
	s := b.session(clientID)
	if s == nil {
		return ClientInfo{}, fmt.Errorf("%w: %q", ErrNotFound, clientID)
	}
	b.ensureCounted(s)
	return s.describe(), nil
}

// Subscriptions lists the subscriptions of a session, ordered by filter.
// ErrNotFound says that there is no such session.
func (b *Broker) Subscriptions(clientID string) ([]Subscription, error) {
	s := b.session(clientID)
	if s == nil {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, clientID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subscriptions(), nil
}

func (s *session) describe() ClientInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var info ClientInfo
	if s.info != nil {
		info = s.info.describe()
	}
	info.ClientID, info.Principal, info.Version, info.Expiry = s.id, s.principal, s.version, s.expiry
	info.Connected = s.conn != nil
	info.DisconnectedAt, info.DisconnectReason = s.disconnectedAt, s.reason
	info.Subscriptions = s.subs.len()
	info.Queued, info.QueuedBytes = int(s.queued.Load()), s.queuedBytes.Load()
	if !s.durable {
		info.Queued = s.out.Waiting()
	}
	return info
}

// Publisher is what the republish of rules and others need of a broker.
var _ interface {
	Publish(ctx context.Context, topic string, payload []byte) error
	Subscribe(filter string, h func(ctx context.Context, topic string, payload []byte) error) (cancel func(), err error)
} = (*Broker)(nil)
