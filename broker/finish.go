package broker

import (
	"time"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// finish is the end of a connection: the socket is closed, the session detached or
// ended, the will published or scheduled.
func (c *conn) finish(err error) error {
	c.aside()
	c.leaveContext()
	if c.late != nil {
		c.late.Stop()
	}
	c.mu.Lock()
	if !c.stop.set {
		c.stop = reasonFor(err)
		if p, ok := c.nc.(interface{ PeerClosed() bool }); ok && p.PeerClosed() {
			c.stop.reason = ClientInitiatedDisconnect
			c.noWill = c.b.opts.CloseFrameDiscardsWill
		}
	}
	c.busy, c.closing, c.finished = false, true, true
	c.wake()
	why := c.stop
	c.mu.Unlock()
	if s := c.in.sock; s == nil || s.secure() {
		c.kill()
	} // the others are written to without waiting, and closed below
	c.writers.Wait()
	c.mu.Lock()
	if c.stuck != nil {
		c.stuck.release()
		c.stuck, c.writing = nil, false
	}
	for c.writing { // on a publisher's goroutine, which is about to find the socket closed
		c.wait()
	}
	if c.buf != nil {
		c.buf.release()
		c.buf = nil
	}
	c.waiting.set(&c.b.memory, 0)
	if c.cut != nil {
		c.cut.Stop()
	}
	c.mu.Unlock()
	c.reading.set(&c.b.memory, 0)
	c.remembers.set(&c.b.memory, 0)
	c.in.give()
	if c.in.sock != nil {
		c.in.sock.close()
	}
	for _, scan := range c.backlog {
		scan.close()
	}
	c.stopAdmission()
	if c.sess != nil {
		c.detach(why)
	}
	if c.orderly(why) {
		return nil
	}
	return &ConnError{ClientID: c.info.ClientID, Reason: why.reason, Code: why.code, Err: why.err}
}

// waitIdle waits until the reader is through with its batch. The connection has been ended, so there is no other one.
func (c *conn) waitIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.busy {
		c.wait()
	}
}

// orderly reports whether the end needs no explanation to whoever serves.
func (c *conn) orderly(why stop) bool {
	switch why.reason {
	case ClientInitiatedDisconnect, ServerInitiatedDisconnect, APIInitiatedDisconnect, DuplicateClientID:
		return true
	}
	return false
}

// detach leaves the session to itself, and tells. Who takes over the session does so for this connection if it is
// sooner; then its socket goes later.
func (c *conn) detach(why stop) {
	c.detached.Do(func() {
		defer c.b.caught("end of the connection of " + c.sess.id)
		c.goAway(why)
	})
}

// displace ends c for another connection of the same client id. When it returns, all that c has routed is durable and
// noted, before the client sends it again there [MQTT-4.3.3-10], and its will is published.
func (c *conn) displace() {
	c.end(byte(wire.SessionTakenOver), DuplicateClientID, errTakenOver) // [MQTT-3.1.4-3]
	c.waitIdle()
	c.mu.Lock()
	why := c.stop
	c.mu.Unlock()
	c.detach(why)
}

func (c *conn) goAway(why stop) {
	b, s := c.b, c.sess
	b.mu.Lock()
	delete(b.conns, c)
	b.seats--
	b.mu.Unlock()
	now := b.now()
	will := c.leave(why, now)

	b.count.disconnects.add(why.reason, 1)
	b.opts.Logger.Info("disconnected", "client_id", s.id, "reason", string(why.reason), "err", why.err)
	if will != nil {
		b.publishWill(c.base, will)
		_ = b.attend(s, true) // counted and logged; a session left in the store expires
	}
	for _, f := range [...]func(ClientInfo, DisconnectReason){b.opts.Trace.Disconnected, b.opts.Hooks.OnClose} {
		if f != nil {
			info := c.info.describe()
			info.Connected, info.DisconnectedAt, info.DisconnectReason = false, now, why.reason
			f(info, why.reason)
		}
	}
	b.watched(func(w *Watch) {
		w.event(WatchEvent{Kind: "disconnected", ClientID: s.id, Detail: string(why.reason)})
	})
	b.presence(&c.info, why.reason, now)
}

// leave detaches the session, and returns the will that is to be published now. It lies in the session's record until
// then; so nothing is stored here if there is one.
func (c *conn) leave(why stop, now time.Time) (will *lastWill) {
	b, s := c.b, c.sess
	defer b.admit(s.id).Unlock()
	will, over, saved := c.letGo(why, now)
	switch {
	case will != nil:
	case over:
		_ = b.endSession(s) // counted and logged; a session left in the store expires
	default:
		b.mu.Lock()
		b.schedule(s)
		b.mu.Unlock()
		b.save(&saved)
	}
	return will
}

// letGo takes c away from its session.
func (c *conn) letGo(why stop, now time.Time) (will *lastWill, over bool, saved Session) {
	b, s := c.b, c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	info := c.info // the rest of the connection can go
	s.conn, s.info = nil, &info
	s.held.set(&b.memory, 0)
	s.online.Store(false)
	if d := c.parting; d != nil && d.HasSessionExpiry {
		s.expiry = min(seconds(d.SessionExpiry), b.opts.MaxSessionExpiry)
	}
	if c.forget.Load() {
		s.expiry = 0
	}
	info.Expiry = s.expiry
	over = s.expiry == 0
	if s.durable && !over {
		s.out.Detach()
	}
	s.disconnectedAt, s.reason = now, why.reason
	switch w := s.will; {
	case w == nil:
	case c.noWill || c.suppress.Load():
		s.will = nil
	default:
		w.Due = now.Add(min(w.Delay, s.expiry)) // [MQTT-3.1.3-9]
		if own := c.own.Load(); own != nil {
			w.own = *own
		}
		will = s.takeWill(now, over) // [MQTT-3.1.2-8]
	}
	if will == nil && !over {
		saved = s.stored()
	}
	return will, over, saved
}
