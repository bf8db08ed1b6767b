package model

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"slices"
	"testing/synctest"
	"time"
)

// A client is an MQTT client that does what the standard says and tells the model. World.mu guards it.
type client struct {
	w          *world
	id         string
	v          byte
	persistent bool
	member     bool   // of the shared subscription
	window     uint16 // its Receive Maximum, 0 is none
	qos        map[string]byte

	sess     *session
	sessions []*session
	epoch    int
	known    existence
	// when the last connection ended, at the earliest and at the latest
	gone, goneLast time.Time

	link    *link // nil while not connected
	unheard bool  // the last one left before CONNACK

	// The session's state on this side.
	out     []*outgoing // in the order of sending
	waiting []*outgoing // for the window
	nextID  uint16
	in2     map[uint16]bool
	owed    map[uint16]bool // deliveries that we have not acknowledged

	wills        []*lastWill
	reader       map[string]string // of a client that looks what is retained: by topic
	deaf, silent bool              // does not read; does not acknowledge
	withheld     [][]byte
}

// existence is whether the broker has a session of the client.
type existence byte

const (
	absent existence = iota
	present
	perhaps
)

type outgoing struct {
	m        *message
	id       uint16
	released bool // PUBREC came
}

// A link is one connection. Only the client's present one is listened to.
type link struct {
	c          *client
	nc         net.Conn
	queue      [][]byte
	closing    bool // once the queue is written
	connected  bool // CONNACK came
	clean      bool
	persistent bool
	expected   bool // to end
	everDeaf   bool
	over       bool
	asked      map[uint16]*request
	will       *lastWill
	written    bool // all of queue, and closed
}

// A request is a SUBSCRIBE or UNSUBSCRIBE without an answer.
type request struct {
	filter string
	span   *span // of a SUBSCRIBE that made one
	off    bool
}

// connect opens a connection, with the will of the step, and waits until it is known how that went.
func (c *client) connect(clean bool, s step) {
	w := c.w
	w.mu.Lock()
	if old := c.link; old != nil && !old.connected {
		c.cut(false, false)
	} else if old != nil {
		c.leave(old, "taken over")
		defer old.nc.Close() // if the broker does not
	}
	if c.unheard {
		w.mu.Unlock()
		synctest.Wait() // its CONNECT must not come after the next one
		w.mu.Lock()
		c.unheard = false
	}
	clean = clean || !c.persistent
	l := &link{c: c, nc: w.srv.dial(), clean: clean, persistent: c.persistent && !(clean && c.v == 4), asked: map[uint16]*request{}}
	l.everDeaf = c.deaf
	c.link = l
	c.contest(clean || c.known != present)
	c.leaves(l, s)
	if c.deaf {
		l.mayEnd()
	}
	expiry := uint32(0)
	if c.v == 5 && c.persistent {
		expiry = uint32(sessionExpiry / time.Second)
	}
	w.logf("%s connects, clean %v", c.id, clean)
	c.silent, c.withheld = false, nil
	c.owed = map[uint16]bool{}
	l.send(connectFrame(c.v, c.id, clean, expiry, c.window, l.will))
	if c.persistent && !c.gone.IsZero() && c.known == present {
		switch away, most := time.Since(c.goneLast), time.Since(c.gone); {
		case away > sessionExpiry+slack:
			c.known = absent
		case most > sessionExpiry-slack:
			c.known = perhaps
		}
	}
	if clean || c.known != present { // the client's own side of the session goes now, whatever the broker hears of it
		c.end()
		if c.sess != nil {
			c.sess.got2 = map[int]int{}
		}
	}
	w.mu.Unlock()
	go l.write()
	go l.read()
	for range 1000 {
		w.mu.Lock()
		settled := l.connected || c.link != l || c.deaf
		w.mu.Unlock()
		if settled {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.mu.Lock()
	if !w.srv.dead.Load() {
		w.fault("%s waits for CONNACK", c.id)
	}
	w.mu.Unlock()
}

func (l *link) send(b []byte) {
	l.queue = append(l.queue, b)
	l.c.w.cond.Broadcast()
}

func (l *link) write() {
	w := l.c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(l.queue) == 0 && !l.closing && !l.over {
			w.cond.Wait()
		}
		if l.over || len(l.queue) == 0 {
			l.written = !l.over
			_ = l.nc.Close()
			return
		}
		all := slices.Concat(l.queue...)
		l.queue = nil
		w.mu.Unlock()
		_, err := l.nc.Write(all)
		w.mu.Lock()
		if err != nil {
			return
		}
	}
}

func (l *link) read() {
	c, w := l.c, l.c.w
	r := bufio.NewReaderSize(l.nc, 16)
	for {
		w.mu.Lock()
		for c.link == l && c.deaf && !l.over {
			w.cond.Wait()
		}
		w.mu.Unlock()
		p, err := readPacket(r)
		w.mu.Lock()
		if c.link == l {
			if err != nil {
				c.leave(l, "ended: "+err.Error())
			} else {
				c.handle(l, p)
			}
		}
		if err != nil {
			l.over = true
			w.cond.Broadcast()
			_ = l.nc.Close()
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
	}
}

// leave notes that l is not the client's connection any more.
func (c *client) leave(l *link, why string) {
	w := c.w
	w.logf("%s: %s", c.id, why)
	if !l.expected && why != "taken over" && l.persistent && l.connected && !w.srv.dead.Load() {
		w.fault("%s was disconnected: %s", c.id, why)
	}
	c.link = nil
	c.goneLast = time.Now()
	if c.unheard = !l.connected; l.connected { // else the broker may not know of it
		c.gone = time.Now()
	}
	if l.will != nil {
		l.will.end(l)
	}
	if !l.connected {
		c.resolve(false, false)
	}
	for _, r := range l.asked {
		if r.span != nil && !r.off { // SUBSCRIBE without SUBACK: it may hold from now on
			r.span.mustFrom = forever
		}
	}
	switch {
	case l.connected && !l.persistent:
		c.end()
		c.known = absent
	case !l.connected && (l.clean || c.known != present):
		c.known = perhaps
		if c.sess != nil {
			c.sess.over = true
		}
	}
	c.withheld = nil
	w.cond.Broadcast()
}

// end is the end of the session.
func (c *client) end() {
	if c.sess != nil {
		c.sess.over = true
		for _, p := range c.sess.spans {
			p.mustUntil = min(p.mustUntil, c.w.now())
		}
	}
	c.out, c.waiting = nil, nil
	c.in2 = map[uint16]bool{}
	c.epoch++
}

// cut breaks the connection, without a word or after a DISCONNECT. forget ends the session with it, in version 5.
func (c *client) cut(orderly, forget bool) {
	l := c.link
	if l == nil {
		return
	}
	l.expected = true
	switch {
	case !orderly:
		l.over = true
		_ = l.nc.Close()
	case forget && c.v == 5 && l.connected && l.persistent:
		l.send(frame(disconnect, []byte{0}, props(5, append([]byte{0x11}, u32(0)...))))
		l.closing = true
		c.sess.over = true
		c.known = perhaps
	default:
		l.send(frame(disconnect))
		l.closing = true
	}
	c.leave(l, fmt.Sprintf("leaves, orderly %v, forget %v", orderly, forget))
	if orderly && l.will != nil && l.connected {
		c.discard(l)
	}
}

// partWith leaves in order, and wants its will to be published, in version 5.
func (c *client) partWith() {
	l := c.link
	if l == nil || c.v != 5 {
		return
	}
	l.expected = true
	l.send(frame(disconnect, []byte{4}, props(5)))
	l.closing = true
	c.leave(l, "leaves with its will")
}

func (c *client) id16() uint16 {
	for {
		c.nextID = c.nextID%200 + 1
		used := slices.ContainsFunc(c.out, func(o *outgoing) bool { return o.id == c.nextID })
		if c.link != nil && c.link.asked[c.nextID] != nil {
			used = true
		}
		if !used {
			return c.nextID
		}
	}
}

// publish sends a message, or keeps it until the window has room.
func (c *client) publish(m *message) {
	w := c.w
	if c.link == nil || !c.link.connected {
		return
	}
	m.n, m.from, m.epoch, m.sent, m.done = len(w.msgs), c, c.epoch, forever, forever
	w.msgs = append(w.msgs, m)
	c.waiting = append(c.waiting, &outgoing{m: m})
	c.pump()
}

func (c *client) pump() {
	for len(c.waiting) > 0 && len(c.out) < window {
		o := c.waiting[0]
		c.waiting = c.waiting[1:]
		o.m.sent = c.w.now()
		if o.m.qos > 0 {
			o.id = c.id16()
			c.out = append(c.out, o)
		}
		c.w.logf("%s sends m%d to %s at QoS %d as %d", c.id, o.m.n, o.m.topic, o.m.qos, o.id)
		c.link.send(c.frameOf(o, false))
	}
}

func (c *client) frameOf(o *outgoing, dup bool) []byte {
	expiry := o.m.expiry
	if c.v != 5 {
		expiry = 0
	}
	b := publishFrame(c.v, o.m.qos, dup, o.id, o.m.topic, o.m.payload(), expiry)
	if o.m.retain {
		b[0] |= 1
	}
	return b
}

// subscribe asks for a subscription, or for its end.
func (c *client) subscribe(filter string, off bool) {
	w := c.w
	if c.link == nil || !c.link.connected {
		return
	}
	for _, r := range c.link.asked {
		if r.filter == filter {
			return // one at a time
		}
	}
	id, at := c.id16(), w.now()
	r := &request{filter: filter, off: off}
	c.link.asked[id] = r
	if off {
		w.logf("%s unsubscribes %s", c.id, filter)
		for _, p := range c.sess.spans {
			if p.filter == filter {
				p.mustUntil = min(p.mustUntil, at)
			}
		}
		c.link.send(frame(0xA2, u16(id), props(c.v), str(filter)))
		return
	}
	w.logf("%s subscribes %s at QoS %d", c.id, filter, c.qos[filter])
	held := slices.ContainsFunc(c.sess.spans, func(p *span) bool { return p.filter == filter && p.mustFrom < forever && p.mustUntil == forever })
	if !held {
		r.span = &span{filter: filter, qos: c.qos[filter], mayFrom: at, mustFrom: forever, mustUntil: forever, mayEnd: forever}
		c.sess.spans = append(c.sess.spans, r.span)
	}
	c.link.send(frame(0x82, u16(id), props(c.v), str(filter), []byte{c.qos[filter]}))
}

// handle takes a packet of the broker.
func (c *client) handle(l *link, p packet) {
	w := c.w
	w.now()
	if !l.connected && p.first != connack {
		w.fault("%s: packet %#x before CONNACK", c.id, p.first)
		return
	}
	id := uint16(0)
	if len(p.body) >= 2 {
		id = binary.BigEndian.Uint16(p.body)
	}
	code := byte(0)
	if len(p.body) > 2 && p.first != connack {
		code = p.body[len(p.body)-1]
		if p.first>>4 >= 4 && p.first>>4 <= 7 {
			code = p.body[2]
		}
	}
	switch {
	case p.first == connack:
		c.connacked(l, p.body)
	case p.first>>4 == 3:
		c.delivered(l, p)
	case p.first == puback, p.first == pubrec:
		c.accepted(l, p.first, id, code)
	case p.first == pubcomp:
		if i := slices.IndexFunc(c.out, func(o *outgoing) bool { return o.id == id && o.released }); i >= 0 {
			w.logf("%s: m%d is completed", c.id, c.out[i].m.n)
			c.out = slices.Delete(c.out, i, i+1)
			c.pump()
		}
	case p.first == pubrel:
		w.logf("%s gets PUBREL %d", c.id, id)
		delete(c.in2, id)
		c.answer(l, pubcomp, id)
	case p.first == suback, p.first == unsuback:
		c.answered(l, id, code, p.first == suback)
	case p.first == disconnect:
		w.logf("%s: DISCONNECT %x", c.id, p.body)
	default:
		w.fault("%s: packet %#x", c.id, p.first)
	}
}

func (c *client) connacked(l *link, body []byte) {
	w := c.w
	if len(body) < 2 || body[1] != 0 {
		w.fault("%s: CONNACK %x", c.id, body)
		return
	}
	has := body[0] == 1
	w.logf("%s is connected, session present %v", c.id, has)
	switch {
	case has && (l.clean || c.known == absent):
		w.fault("%s: session present", c.id)
	case !has && !l.clean && c.known == present:
		w.fault("%s: the session is gone", c.id)
	}
	l.connected = true
	if !has || c.sess == nil {
		c.end()
		c.sess = &session{c: c, persistent: l.persistent, got: map[int]int{}, got2: map[int]int{}, at0: map[int]int{}, order: map[orderKey]int{}}
		c.sessions = append(c.sessions, c.sess)
	}
	c.known = present
	c.resolve(true, has)
	for _, o := range c.out { // in the order of sending [MQTT-4.6.0-1]
		if o.released {
			l.send(frame(pubrel, u16(o.id)))
		} else {
			w.logf("%s sends m%d again", c.id, o.m.n)
			o.m.again = true
			l.send(c.frameOf(o, true))
		}
	}
	c.pump()
	w.cond.Broadcast()
}

// delivered takes a PUBLISH.
func (c *client) delivered(l *link, p packet) {
	w := c.w
	d, err := decodePublish(c.v, p)
	if err != nil {
		w.fault("%s: %v", c.id, err)
		return
	}
	w.logf("%s gets %s on %s at QoS %d as %d, DUP %v", c.id, d.payload, d.topic, d.qos, d.id, d.dup)
	if d.qos > 0 && !c.owed[d.id] {
		c.owed[d.id] = true
		if c.window > 0 && len(c.owed) > int(c.window) {
			w.fault("%s has %d deliveries to acknowledge, Receive Maximum is %d: %v", c.id, len(c.owed), c.window, slices.Sorted(maps.Keys(c.owed)))
		}
	}
	switch {
	case d.qos == 2 && c.in2[d.id]:
	case c.reader != nil:
		c.reader[d.topic] = d.payload
	case d.retain:
		c.sess.retainedCopy(d)
	case d.payload != clear:
		c.sess.received(d, !l.everDeaf)
	}
	switch d.qos {
	case 1:
		c.answer(l, puback, d.id)
	case 2:
		c.in2[d.id] = true
		c.answer(l, pubrec, d.id)
	}
}

// answer acknowledges, unless the client is one that does not.
func (c *client) answer(l *link, first byte, id uint16) {
	b := frame(first, u16(id))
	if first != pubrec && !c.silent {
		delete(c.owed, id)
	}
	if c.silent {
		c.withheld = append(c.withheld, b)
		return
	}
	l.send(b)
}

// speak sends what was withheld.
func (c *client) speak() {
	if c.silent = false; c.link == nil {
		return
	}
	for _, b := range c.withheld {
		if b[0] != pubrec {
			delete(c.owed, binary.BigEndian.Uint16(b[2:]))
		}
		c.link.send(b)
	}
	c.withheld = nil
}

// accepted takes a PUBACK or PUBREC.
func (c *client) accepted(l *link, first byte, id uint16, code byte) {
	w := c.w
	i := slices.IndexFunc(c.out, func(o *outgoing) bool { return o.id == id })
	if i < 0 {
		w.fault("%s: acknowledgement %#x for %d, which is not in use", c.id, first, id)
		return
	}
	o := c.out[i]
	if o.m.qos == 1 != (first == puback) {
		w.fault("%s: acknowledgement %#x for m%d of QoS %d", c.id, first, o.m.n, o.m.qos)
	}
	if code >= 0x80 {
		w.fault("%s: m%d was refused with %#x", c.id, o.m.n, code)
	}
	if !o.m.acked {
		o.m.acked, o.m.done = true, w.now()
		o.m.until = time.Now().Add(time.Duration(o.m.expiry) * time.Second)
		w.logf("%s: m%d is acknowledged", c.id, o.m.n)
	}
	if first == pubrec {
		o.released = true
		l.send(frame(pubrel, u16(id)))
		return
	}
	c.out = slices.Delete(c.out, i, i+1)
	c.pump()
}

// answered takes a SUBACK or UNSUBACK.
func (c *client) answered(l *link, id uint16, code byte, on bool) {
	w := c.w
	r := l.asked[id]
	if r == nil || r.off == on {
		w.fault("%s: answer to %d, which was not asked", c.id, id)
		return
	}
	delete(l.asked, id)
	at := w.now()
	switch {
	case !on:
		for _, p := range c.sess.spans {
			if p.filter == r.filter {
				p.mayEnd = min(p.mayEnd, at)
			}
		}
		w.logf("%s has unsubscribed %s", c.id, r.filter)
	case code != c.qos[r.filter]:
		w.fault("%s: %s granted with %d", c.id, r.filter, code)
	default:
		if r.span != nil {
			r.span.mustFrom = at
		}
		w.logf("%s has subscribed %s", c.id, r.filter)
	}
}
