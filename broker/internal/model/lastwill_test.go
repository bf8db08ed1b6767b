package model

import (
	"testing/synctest"
	"time"
)

// A lastWill is what a link has left to the broker to be published. Its message is on its way from when the link is over, and
// counts as acknowledged once it must be out.
type lastWill struct {
	m      *message
	delay  time.Duration // no longer than the session
	retain bool
	keeps  bool // its link has a session that persists: a broker does not end it for being slow

	began     int // the moment of the CONNECT
	ended     bool
	suspect   time.Time // when it came though the client had not heard of the end
	open      bool      // the broker may have ended the link, and the client does not hear
	crashes   int       // there had been when the link ended
	earliest  time.Time // of the publication
	latest    time.Time
	contested bool // the client is connecting again: does that discard it?
	settled   bool // published, discarded, or nobody knows: nothing is found out any more
	discarded bool // must not come
}

// leaves gives a link a will, as a step says, or none.
func (c *client) leaves(l *link, s step) {
	if s.text == "" {
		return
	}
	w := c.w
	m := &message{n: len(w.msgs), from: c, topic: s.text, qos: s.qos, sent: forever, done: forever, retain: s.flag}
	w.msgs = append(w.msgs, m)
	wl := &lastWill{m: m, began: w.now(), retain: s.flag, keeps: l.persistent}
	if c.v == 5 && l.persistent {
		wl.delay = min(time.Duration(s.n)*time.Second, sessionExpiry)
	}
	m.will = wl
	l.will = wl
	c.wills = append(c.wills, wl)
	w.logf("%s has the will m%d on %s at QoS %d, delay %d, retain %v", c.id, m.n, m.topic, m.qos, s.n, s.flag)
}

// end is the end of its link.
func (wl *lastWill) end(l *link) {
	w := l.c.w
	wl.ended, wl.crashes = true, w.crashes
	if !wl.open {
		wl.m.sent, wl.earliest = w.now(), time.Now().Add(wl.delay)
	}
	wl.latest = time.Now().Add(wl.delay)
	if !l.connected { // the broker may not have heard of it
		wl.m.sent, wl.earliest, wl.settled = wl.began, time.Time{}, true
	}
}

// mayEnd says that the broker may end the link from now on, without its client hearing of it at once.
func (l *link) mayEnd() {
	if l.will != nil && !l.will.open {
		l.will.open, l.will.m.sent = true, l.c.w.now()
	}
}

// discard notes that a link has said goodbye, which discards its will as soon as it is heard.
func (c *client) discard(l *link) {
	wl, w := l.will, c.w
	w.mu.Unlock()
	synctest.Wait()
	w.mu.Lock()
	if wl.settled = true; !w.srv.dead.Load() && l.written {
		wl.discarded = true
		w.logf("%s has discarded m%d", c.id, wl.m.n)
	} else {
		wl.earliest = time.Time{}
	}
}

// contest says that the client begins to connect: what is not out by now may be discarded thereby, or published because
// that ends the session.
func (c *client) contest(ends bool) {
	c.w.outstanding()
	for _, wl := range c.wills {
		wl.contested = wl.contested || wl.ended && !wl.settled
		if wl.contested && ends {
			wl.earliest = time.Time{}
		}
	}
}

// resolve says what became of the session of the client when it connected: it goes on, it does not, or nobody knows.
func (c *client) resolve(answered, present bool) {
	now := time.Now()
	for _, wl := range c.wills {
		if !wl.contested {
			continue
		}
		wl.contested = false
		switch {
		case !answered:
			wl.settled, wl.earliest = true, time.Time{} // the session may have ended
		case !present:
			wl.earliest, wl.latest = time.Time{}, now // it has ended
		case wl.delay > 0 && now.Before(wl.earliest):
			wl.settled, wl.discarded = true, true // [MQTT-3.1.3-9]
			c.w.logf("%s is back in time for m%d", c.id, wl.m.n)
		case wl.delay > 0: // who knows when the broker heard of it
			wl.settled = true
		}
	}
}

// outstanding finds the wills that must be out by now.
func (w *world) outstanding() {
	if w.srv.dead.Load() {
		return
	}
	for _, c := range w.clients {
		for _, wl := range c.wills {
			if !wl.ended && !wl.suspect.IsZero() && !c.deaf && time.Now().After(wl.suspect.Add(slack)) {
				w.fault("m%d, the will of %s, came, and it is still connected", wl.m.n, c.id)
			}
			if wl.ended && !wl.settled && !wl.contested && time.Now().After(wl.latest.Add(slack)) {
				wl.settled = true
				wl.m.acked, wl.m.done = true, w.now()
				w.logf("m%d, the will of %s, is out", wl.m.n, c.id)
			}
		}
	}
}

// rebooted gives the wills that may not be out yet the time that a new process has for them.
func (w *world) rebooted() {
	for _, c := range w.clients {
		for _, wl := range c.wills {
			if wl.ended && !wl.settled {
				if again := time.Now().Add(wl.delay); again.After(wl.latest) {
					wl.latest = again
				}
			}
		}
	}
}

// came looks at a will that a client got.
func (wl *lastWill) came(s *session, d delivery) {
	c, w := s.c, s.c.w
	switch {
	case !wl.ended && !wl.open && !wl.keeps:
		wl.open, wl.m.sent, wl.suspect = true, wl.began, time.Now()
	case !wl.ended && !wl.open:
		w.fault("%s got m%d, the will of %s, which is connected", c.id, wl.m.n, wl.m.from.id)
	case wl.discarded:
		w.fault("%s got m%d, a will of %s that was discarded", c.id, wl.m.n, wl.m.from.id)
	case time.Now().Before(wl.earliest):
		w.fault("%s got m%d, the will of %s, %v too early", c.id, wl.m.n, wl.m.from.id, time.Until(wl.earliest))
	case s.got[wl.m.n] > 0 && !d.dup && w.crashes == wl.crashes && !c.member:
		w.fault("%s got m%d, the will of %s, a second time", c.id, wl.m.n, wl.m.from.id)
	}
}

// repeats is how many copies of m there may be without a crash between its publication and what forgets it.
func (m *message) repeats() int {
	if m.will == nil {
		return 1
	}
	return 1 + m.from.w.crashes - m.will.crashes
}
