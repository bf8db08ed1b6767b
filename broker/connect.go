package broker

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/thingloom/thingloom/broker/internal/wire"
	"github.com/thingloom/thingloom/internal/topic"
	"github.com/thingloom/thingloom/internal/uuid"
)

// connect answers a CONNECT. An error refuses it; its code is said in CONNACK.
func (c *conn) connect(p *wire.Connect) error {
	c.aside()
	err := c.accept(p)
	if err == nil {
		return nil
	}
	c.refused(string(p.ClientID), err)
	return err
}

// refused counts a client that was not let in, and tells. Its connection ends with a CONNACK that says why, and nothing that
// it sent behind its CONNECT is looked at [MQTT-3.1.4-2] [MQTT-3.1.4-6] [MQTT-3.2.2-7] [MQTT-3.14.0-1].
func (c *conn) refused(clientID string, err error) {
	code := byte(wire.Unspecified)
	var ce *ConnError
	if errors.As(err, &ce) {
		code = ce.Code
	}
	c.b.count.refusals.add(fmt.Sprintf("0x%02x", code), 1)
	if f := c.b.opts.Trace.Refused; f != nil {
		f(clientID, err)
	}
}

func (c *conn) refuse(code wire.Code, reason DisconnectReason, err error) error {
	return &ConnError{ClientID: c.info.ClientID, Reason: reason, Code: byte(code), Err: err}
}

func (c *conn) accept(p *wire.Connect) error {
	b := c.b
	ack := wire.Connack{ReceiveMax: uint16(b.opts.ReceiveMaximum), MaxQoS: b.opts.MaxQoS, MaxPacket: uint32(b.opts.MaxPacketBytes),
		TopicAliasMax: uint16(b.opts.TopicAliasMaximum), NoSubIDs: b.opts.NoSubscriptionIdentifiers}
	id, err := c.clientID(p, &ack)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.limits = clientLimits{p.MaxPacket, p.NoProblemString}
	c.info = identity{ClientID: id, Version: p.Version, CleanStart: p.CleanStart, SessionID: uuid.New(),
		persistent: p.Version == 4 && !p.CleanStart || p.SessionExpiry > 0, lastWill: p.Will != nil}
	c.info.setAddr(c.nc)
	c.mu.Unlock()
	if w := p.Will; w != nil {
		if err := topic.CheckName(string(w.Topic)); err != nil {
			return c.refuse(wire.Malformed, ClientError, fmt.Errorf("%w: will: %w: %w", ErrProtocol, ErrTopic, err))
		}
		if err := b.checkLimits(string(w.Topic)); err != nil {
			return c.refuse(wire.TopicNameInvalid, ClientError, fmt.Errorf("will: %w", err))
		}
		if !b.mayPublishReserved(string(w.Topic)) {
			return c.refuse(wire.TopicNameInvalid, AuthError, fmt.Errorf("will: %w: %s is the backend's own", ErrNotAuthorized, w.Topic))
		}
		if len(w.Payload) > b.opts.MaxPayloadBytes {
			return c.refuse(wire.PacketTooLarge, ClientError, fmt.Errorf("will: %w: payload of %d bytes", ErrTooLarge, len(w.Payload)))
		}
		if w.QoS > b.opts.MaxQoS {
			return c.refuse(wire.QoSNotSupported, ClientError, fmt.Errorf("%w: will QoS %d", ErrProtocol, w.QoS)) // [MQTT-3.2.2-12]
		}
	}
	c.cuts = b.cuts.n.Load()
	if c.trusted != nil {
		return c.admit(p, &ack, c.trusted)
	}
	if code, err := b.throttle(id); err != nil {
		return c.refuse(code, Throttled, err)
	}
	if p.HasAuthMethod {
		return c.beginAuth(p, &ack)
	}
	a, err := c.authenticate(p)
	if err != nil {
		return c.authError(err)
	}
	return c.admit(p, &ack, &a)
}

// admit lets in a client that has shown who it is.
func (c *conn) admit(p *wire.Connect, ack *wire.Connack, a *Admission) error {
	b := c.b
	if err := c.authorize(p, a); err != nil {
		return err
	}
	if b.tight() {
		return c.refuse(wire.ServerBusy, Throttled, ErrMemory)
	}
	if b.crowded() && b.session(c.info.ClientID) == nil {
		return c.refuse(wire.QuotaExceeded, Throttled, ErrMemory)
	}
	if !b.takeSeat(c.info.ClientID) {
		return c.refuse(wire.QuotaExceeded, Throttled, errors.New("broker: too many connections"))
	}
	defer func() {
		if c.sess == nil {
			b.leaveSeat()
		}
	}()
	c.times(p, ack)
	if f := b.opts.Hooks.OnConnect; f != nil {
		if err := f(c.context(), c.info.describe()); err != nil {
			return c.authError(err)
		}
	}
	// A CONNACK with less in it would say something else [MQTT-3.1.2-24].
	if p.MaxPacket > 0 {
		if size := len(wire.AppendConnack(nil, p.Version, ack)); size > int(p.MaxPacket) {
			return c.refuse(wire.PacketTooLarge, ClientError, fmt.Errorf("broker: CONNACK takes %d bytes, the client allows %d", size, p.MaxPacket))
		}
	}
	if p.Will != nil {
		c.keepWill(p.Will)
	}
	if err := c.begins(p, ack); err != nil {
		return err
	}
	c.admission(a)
	return nil
}

// takeSeat counts a client in before it is let in, so that a storm of them lets in no more than Options.MaxConnections.
// One that takes its own place over has it: its earlier connection may be dead, and is about to end.
func (b *Broker) takeSeat(clientID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seats >= b.opts.MaxConnections {
		if s := b.sessions[clientID]; s == nil || !s.online.Load() {
			return false
		}
	}
	b.seats++
	return true
}

func (b *Broker) leaveSeat() {
	b.mu.Lock()
	b.seats--
	b.mu.Unlock()
}

// clientID checks the client id, or makes one up [MQTT-3.1.3-6]. What 3.1.3.1 has every server accept is accepted [MQTT-3.1.3-5].
func (c *conn) clientID(p *wire.Connect, ack *wire.Connack) (string, error) {
	id := string(p.ClientID)
	switch {
	case id == "" && p.Version == 4 && !p.CleanStart:
		return "", c.refuse(wire.ClientIDInvalid, ClientError, errors.New("broker: no client id for a session that is to be kept")) // [MQTT-3.1.3-8] of 3.1.1
	case id == "":
		id = "auto-" + rand.Text()
		ack.AssignedID = id // [MQTT-3.2.2-16]
	case len(id) > c.b.opts.MaxClientIDBytes:
		return "", c.refuse(wire.ClientIDInvalid, ClientError, fmt.Errorf("broker: client id of %d bytes", len(id)))
	case id[0] == '$' && c.b.opts.RefuseDollarClientIDs:
		return "", c.refuse(wire.ClientIDInvalid, ClientError, errors.New("broker: client id begins with '$'"))
	}
	return id, nil
}

// throttle refuses a client if too many connect, or it too often.
func (b *Broker) throttle(clientID string) (wire.Code, error) {
	b.connecting.Lock()
	ok := b.connecting.take()
	b.connecting.Unlock()
	if !ok {
		return wire.ConnectRateExceeded, fmt.Errorf("broker: more than %d clients connect in a second", b.opts.MaxConnectRate)
	}
	if b.opts.ConnectInterval > 0 {
		last := b.version(clientID).connected
		if since := time.Duration(b.now().UnixNano() - last); last != 0 && since < b.opts.ConnectInterval {
			return wire.QuotaExceeded, fmt.Errorf("broker: %q connected %v ago", clientID, since)
		}
	}
	return wire.Success, nil
}

// credentials are what a CONNECT shows.
func (c *conn) credentials(p *wire.Connect) Credentials {
	cred := Credentials{ClientID: c.info.ClientID, Username: string(p.Username), Password: p.Password,
		Version: p.Version, RemoteAddr: c.nc.RemoteAddr(), Conn: c.nc}
	if t, ok := c.nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
		state := t.ConnectionState()
		cred.TLS = &state
	}
	if u, ok := c.nc.(interface {
		Upgrade() (query string, header map[string][]string)
	}); ok {
		cred.Query, cred.Header = u.Upgrade()
	}
	return cred
}

// authenticate asks who the client is.
func (c *conn) authenticate(p *wire.Connect) (_ Admission, err error) {
	defer c.b.caughtAs(&err, "Authenticator")
	cred := c.credentials(p)
	if a, ok := c.b.opts.Authenticator.(Admitter); ok {
		return a.Admit(c.context(), cred)
	}
	principal, err := c.b.opts.Authenticator.Authenticate(c.context(), cred)
	return Admission{Principal: principal}, err
}

// authorize asks whether the client may connect, with its will.
func (c *conn) authorize(p *wire.Connect, a *Admission) error {
	c.mu.Lock()
	c.info.Principal, c.info.Thing = a.Principal, a.Thing
	c.mu.Unlock()
	c.actsAs(a.Authorizer)
	if err := c.may(ActionConnect, "client/"+c.info.ClientID); err != nil {
		return c.authError(err)
	}
	if w := p.Will; w != nil {
		if err := c.b.mayWill(string(w.Topic), w.Retain, c.may); err != nil {
			return c.authError(fmt.Errorf("will: %w", err))
		}
	}
	return nil
}

// times settles keep alive and session expiry.
func (c *conn) times(p *wire.Connect, ack *wire.Connack) {
	o := &c.b.opts
	keep := time.Duration(p.KeepAlive) * time.Second
	keep = max(keep, o.MinKeepAlive)
	if p.KeepAlive == 0 {
		keep = 0
	}
	if o.MaxKeepAlive > 0 && (keep == 0 || keep > o.MaxKeepAlive) {
		keep = o.MaxKeepAlive
	}
	if secs := uint16(keep / time.Second); secs != p.KeepAlive {
		ack.ServerKeepAlive, ack.HasKeepAlive = secs, true // [MQTT-3.2.2-22]
	}
	c.silence = keep * 3 / 2 // [MQTT-3.1.2-22]

	var expiry time.Duration
	switch {
	case p.Version == 4 && !p.CleanStart:
		expiry = o.SessionExpiry
	case p.Version == 5:
		expiry = min(seconds(p.SessionExpiry), o.MaxSessionExpiry)
		if secs := uint32(expiry / time.Second); secs != p.SessionExpiry {
			ack.SessionExpiry, ack.HasSessionExpiry = secs, true
		}
	}
	c.mu.Lock()
	c.info.KeepAlive, c.info.Expiry = keep, expiry
	c.mu.Unlock()
}

// begins gives the connection the session of its client id, a new one if there is none, and tells [MQTT-3.1.2-6] [MQTT-3.1.3-2].
func (c *conn) begins(p *wire.Connect, ack *wire.Connack) error {
	b := c.b
	if err := c.takeSession(p, ack); err != nil {
		return err
	}
	b.count.connects[p.Version-4].Add(1)
	b.opts.Logger.Info("connected", "client_id", c.sess.id, "principal", c.sess.principal, "version", p.Version, "resumed", ack.SessionPresent)
	if f := b.opts.Trace.Connected; f != nil {
		f(c.info.describe())
	}
	b.watched(func(w *Watch) {
		w.event(WatchEvent{Kind: "connected", ClientID: c.info.ClientID, Detail: c.info.RemoteAddr})
	})
	b.presence(&c.info, "", c.info.ConnectedAt)
	return nil
}

// takeSession finds or makes the session, and says CONNACK.
func (c *conn) takeSession(p *wire.Connect, ack *wire.Connack) error {
	b, id := c.b, c.info.ClientID
	s, resumed, lock := c.vacate(p)
	defer lock.Unlock()
	if s != nil && !resumed {
		if err := b.endSession(s); err != nil {
			return c.refuse(wire.ServerUnavailable, ServerError, err)
		}
	}
	if !resumed {
		s = &session{id: id, principal: c.info.Principal, version: p.Version, durable: c.info.Expiry > 0}
	}
	s.mu.Lock()
	expiry, will, since := s.expiry, s.will, s.disconnectedAt
	s.expiry, s.disconnectedAt = c.info.Expiry, time.Time{}
	s.will = c.will // a delayed one is not published: its client is back in time [MQTT-3.1.3-9]
	s.willStored = !s.durable && s.will != nil
	var saved Session
	if s.durable || s.willStored {
		saved = s.stored()
	}
	s.mu.Unlock()
	if s.durable || s.willStored {
		err := b.countQueue(s)
		if err == nil {
			err = b.store.SaveSession(context.Background(), saved)
		}
		if err != nil {
			b.count.storeErrors.Add(1)
			s.mu.Lock()
			s.expiry, s.will, s.disconnectedAt = expiry, will, since
			s.mu.Unlock()
			return c.refuse(wire.ServerUnavailable, ServerError, err)
		}
	}
	c.attach(s, p, ack, resumed)
	if resumed {
		b.subsGen.Add(1) // others' routes must ask what this connection may receive
	}
	return nil
}

// vacate sees to it that the session that the client id has, if any, is without connection, and that a will that is due, or
// that is not to survive this CONNECT, is published. Only then is anything stored that forgets it. resumed
// says that the session goes on. The admission is locked when it returns.
func (c *conn) vacate(p *wire.Connect) (old *session, resumed bool, lock *sync.Mutex) {
	b, id := c.b, c.info.ClientID
	for {
		lock = b.admit(id)
		if old = b.session(id); old == nil {
			return nil, false, lock
		}
		now := b.now()
		old.mu.Lock()
		// [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.1.4-4]
		resumed = !p.CleanStart && old.durable && !old.ended && old.principal == c.info.Principal && old.version == p.Version && !old.over(now)
		prev, saying := old.conn, old.saying
		will := old.takeWill(now, !resumed)
		if will != nil && !resumed {
			old.expiry = 0 // it ends with its will
		}
		old.mu.Unlock()
		if prev == nil && saying == nil && will == nil {
			return old, resumed, lock
		}
		lock.Unlock()
		switch {
		case prev != nil:
			prev.displace()
		case saying != nil:
			<-saying
		default:
			b.publishWill(c.context(), will)
			_ = b.attend(old, true) // a session that could not be deleted is met again
		}
	}
}

// attach makes c the connection of s. CONNACK is the first thing in the
// outbox [MQTT-3.2.0-1], and from here on publishers may append.
func (c *conn) attach(s *session, p *wire.Connect, ack *wire.Connack, resumed bool) {
	b, now := c.b, c.b.now()
	ack.SessionPresent = resumed // [MQTT-3.2.2-2] [MQTT-3.2.2-3]
	version := b.nextVersion(s.id, now)
	c.sess = s
	c.greet(p, ack, now, version)
	c.alive.Store(time.Now().UnixNano())
	b.mu.Lock()
	if b.sessions[s.id] != s {
		b.sessions[s.id] = s
		b.state.Add(s.bytes())
	}
	delete(b.versions, s.id)
	b.conns[c] = struct{}{}
	b.unschedule(s)
	cut := b.cuts.since(c.cuts, c.info.Principal)
	b.mu.Unlock()
	if cut {
		c.end(notAuthorized, AuthError, errKicked)
	}
}

// greet makes c the connection of its session, says CONNACK and sends again what waits for an acknowledgement.
func (c *conn) greet(p *wire.Connect, ack *wire.Connack, now time.Time, version uint64) {
	b, s := c.b, c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.info.Connected, c.info.ConnectedAt, c.info.Connections = true, now, version
	buf := c.outbox()
	buf.b = wire.AppendConnack(buf.b, p.Version, ack)
	s.info = &c.info // does not change any more
	s.conn = c
	s.online.Store(true)
	s.out.Attach(p.Version, min(int(p.ReceiveMax), b.opts.MaxInflight), int(p.MaxPacket), b.opts.MaxPendingBytes)
	s.out.UseAliases(min(int(p.TopicAliasMax), b.opts.OutboundAliases))
	if ack.SessionPresent {
		buf.b = s.out.Resume(buf.b, now.UnixNano())
	}
}
