package broker

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// A versionNumber counts the connections of a client id, also of sessions that
// do not outlive them: what orders lifecycle events. That of a client that has a session
// is its last connection's; Broker.versions has the others.
type versionNumber struct {
	next      uint64
	connected int64 // when the last connection began, in Unix nanoseconds
	until     int64 // when a client that is gone begins at 0 again; 0 while it is connected
}

const (
	versionMemory = time.Hour // that a client id without a persistent session may be gone; one with may as long as that lasts
	versionsKept  = 100_000   // above it all are looked through for old ones
)

func (v *versionNumber) over(now int64) bool { return v.until > 0 && now > v.until }

func (b *Broker) version(clientID string) versionNumber {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.sessions[clientID]; s != nil {
		if v, ok := s.versionNumber(); ok {
			return v
		}
	}
	return b.versions[clientID]
}

// versionNumber is of the last connection of s, if there was one in this process.
func (s *session) versionNumber() (v versionNumber, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info == nil {
		return v, false
	}
	v = versionNumber{next: s.info.Connections + 1, connected: s.info.ConnectedAt.UnixNano()}
	if s.conn == nil {
		memory := s.info.Expiry // as it was when the client left
		if memory == 0 {
			memory = versionMemory
		}
		v.until = s.disconnectedAt.Add(memory).UnixNano()
	}
	return v, true
}

// nextVersion is the number of a connection that begins now.
func (b *Broker) nextVersion(clientID string, now time.Time) uint64 {
	v := b.version(clientID)
	if v.over(now.UnixNano()) {
		return 0
	}
	return v.next
}

// forgetVersions bounds the memory of version numbers.
func (b *Broker) forgetVersions(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.versions) <= max(versionsKept, 2*len(b.conns)) {
		return
	}
	for id, v := range b.versions {
		if v.over(now.UnixNano()) {
			delete(b.versions, id)
		}
	}
}

// presenceEvent is the payload of $aws/events/presence/...
type presenceEvent struct {
	ClientID                  string           `json:"clientId"`
	Timestamp                 int64            `json:"timestamp"`
	EventType                 string           `json:"eventType"`
	ClientInitiatedDisconnect *bool            `json:"clientInitiatedDisconnect,omitempty"`
	SessionIdentifier         string           `json:"sessionIdentifier"`
	PrincipalIdentifier       string           `json:"principalIdentifier"`
	DisconnectReason          DisconnectReason `json:"disconnectReason,omitempty"`
	IPAddress                 string           `json:"ipAddress,omitempty"`
	VersionNumber             uint64           `json:"versionNumber"`
	ThingName                 string           `json:"thingName,omitempty"` // of a connection that acts as another than the one named like it
}

// subscriptionEvent is the payload of $aws/events/subscriptions/...
type subscriptionEvent struct {
	ClientID            string   `json:"clientId"`
	Timestamp           int64    `json:"timestamp"`
	EventType           string   `json:"eventType"`
	SessionIdentifier   string   `json:"sessionIdentifier"`
	PrincipalIdentifier string   `json:"principalIdentifier"`
	Topics              []string `json:"topics"`
}

// presence publishes that a client came, or went for a reason.
func (b *Broker) presence(c *identity, reason DisconnectReason, at time.Time) {
	if !b.tells(c.ClientID) {
		return
	}
	e := presenceEvent{ClientID: c.ClientID, EventType: "connected", SessionIdentifier: c.SessionID.String(), PrincipalIdentifier: c.Principal,
		VersionNumber: c.Connections, ThingName: c.Thing, Timestamp: at.UnixMilli()}
	if reason == "" {
		e.IPAddress = c.SourceIP
	} else {
		by := reason == ClientInitiatedDisconnect
		e.EventType, e.DisconnectReason, e.ClientInitiatedDisconnect = "disconnected", reason, &by
	}
	b.tell("$aws/events/presence/"+e.EventType+"/"+c.ClientID, e)
}

func (b *Broker) subscriptionEvent(c *identity, kind string, filters []string) {
	if !b.tells(c.ClientID) {
		return
	}
	b.tell("$aws/events/subscriptions/"+kind+"/"+c.ClientID, subscriptionEvent{ClientID: c.ClientID, Timestamp: b.now().UnixMilli(),
		EventType: kind, SessionIdentifier: c.SessionID.String(), PrincipalIdentifier: c.Principal, Topics: filters})
}

// tells reports whether events are published of a client. One whose id has wildcards
// cannot be in a topic.
func (b *Broker) tells(clientID string) bool {
	return b.opts.LifecycleEvents && !strings.ContainsAny(clientID, "+#")
}

func (b *Broker) tell(topic string, event any) {
	payload, err := json.Marshal(event)
	if err == nil {
		err = b.Publish(context.Background(), topic, payload)
	}
	if err != nil {
		b.opts.Logger.Warn("lifecycle event", "topic", topic, "err", err)
	}
}
