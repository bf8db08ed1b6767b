package broker

import "time"

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
	}
	c.busy, c.closing, c.finished = false, true, true
	c.wake()
	why := c.stop
	c.mu.Unlock()
	c.kill()
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
	c.mu.Unlock()
	c.reading.set(&c.b.memory, 0)
	c.remembers.set(&c.b.memory, 0)
	c.in.give()
	if c.in.sock != nil {
		c.in.sock.close()
		if c.cut != nil {
			c.cut.Stop()
		}
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

// detach leaves the session to itself, and tells.
func (c *conn) detach(why stop) {
	b, s := c.b, c.sess
	defer b.caught("end of the connection of " + s.id)
	b.mu.Lock()
	delete(b.conns, c)
	b.seats--
	b.mu.Unlock()
	now := b.now()
	l := c.leave(why, now)

	b.count.disconnects.add(why.reason, 1)
	b.opts.Logger.Info("disconnected", "client_id", s.id, "reason", string(why.reason), "err", why.err)
	info := c.info
	info.Connected, info.DisconnectedAt, info.DisconnectReason = false, now, why.reason
	if l.publish {
		b.publishWillAs(c.base, c)
	}
	switch {
	case l.endsLater:
		b.endAway(s)
	case l.recorded:
		b.forgetWill(s)
	case l.publish && l.mine && !l.over:
		b.saveAway(s)
	}
	if f := b.opts.Trace.Disconnected; f != nil {
		f(info, why.reason)
	}
	if f := b.opts.Hooks.OnClose; f != nil {
		f(info, why.reason)
	}
	b.watched(func(w *Watch) {
		w.event(WatchEvent{Kind: "disconnected", ClientID: info.ClientID, Detail: string(why.reason)})
	})
	b.presence(&info, why.reason)
}

// leaving is what the end of a connection means for its session.
type leaving struct {
	mine      bool // no other connection has taken over
	over      bool // the session has ended, or does now
	publish   bool // the will
	endsLater bool // once the will is published, which is stored in the session's record until then
	recorded  bool // there is a record for the will alone
}

// leave detaches the session, with its admission locked.
func (c *conn) leave(why stop, now time.Time) leaving {
	b, s := c.b, c.sess
	c.noWill = c.noWill || c.suppress.Load()
	defer b.admit(s.id).Unlock()
	l, saved := c.letGo(why, now)
	l.publish = c.will != nil && !c.noWill && (l.over || c.willWait == 0) // [MQTT-3.1.2-8] [MQTT-3.1.3-9]
	if l.publish {
		saved.Will = &PendingWill{Message: *c.will, Due: now} // until it is published
	}
	switch {
	case !l.mine:
	case !l.over:
		b.mu.Lock()
		b.schedule(s)
		b.mu.Unlock()
		b.save(&saved)
	case l.publish && s.durable:
		l.endsLater = true
	default:
		_ = b.endSession(s) // counted and logged; a session left in the store expires
	}
	return l
}

// letGo takes c away from its session, unless another connection has done so.
func (c *conn) letGo(why stop, now time.Time) (l leaving, saved Session) {
	b, s := c.b, c.sess
	c.mu.Lock()
	resumed := c.resumed // only now: who takes over says so with the admission locked
	c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	l = leaving{mine: s.conn == c, recorded: s.willStored}
	if !l.mine {
		l.over = !resumed
		return l, saved
	}
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
	l.over = s.expiry == 0
	if s.durable && !l.over {
		s.out.Detach()
	}
	s.disconnectedAt, s.reason = now, why.reason
	s.standing = nil
	if wait := min(c.willWait, s.expiry); c.will != nil && !c.noWill && wait > 0 {
		s.will = &PendingWill{Message: *c.will, Due: now.Add(wait)}
	}
	return l, s.stored()
}

// endAway ends s, unless its client is back or has ended it.
func (b *Broker) endAway(s *session) {
	defer b.admit(s.id).Unlock()
	s.mu.Lock()
	away := s.conn == nil
	s.mu.Unlock()
	if away {
		_ = b.endSession(s) // counted and logged; a session left in the store expires
	}
}
