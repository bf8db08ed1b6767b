package model

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
)

const (
	window        = 10 // unacknowledged publishes of a client
	sessionExpiry = 300 * time.Second
	slack         = 3 * time.Second // of when a session expires
	forever       = math.MaxInt
)

// A world is all that the clients know together. Moments are numbers that grow with each event.
type world struct {
	mu      sync.Mutex
	cond    *sync.Cond // something has changed
	moment  int
	began   time.Time
	msgs    []*message
	clients []*client
	srv     *server
	crashes int
	unspent bool // a power cut that was to come at a write did not come
	trace   []string
	faults  []string
}

// A message is one publication.
type message struct {
	n      int // its payload
	from   *client
	epoch  int // of the publisher's session: order holds within
	topic  string
	qos    byte
	expiry uint32
	sent   int // when it was first on its way
	done   int // when it was acknowledged; forever before
	acked  bool
	again  bool      // it was sent more than once
	retain bool      // on one of retainedTopics
	clears bool      // without payload
	will   *lastWill // that it is
	until  time.Time // when it has expired, once it is acknowledged
}

// A span is the time that a subscription held: at the inside it must have, at the outside it may have.
type span struct {
	filter                               string
	qos                                  byte
	mayFrom, mustFrom, mustUntil, mayEnd int
}

// A session is what the broker keeps for a client, as far as the client can tell.
type session struct {
	c          *client
	persistent bool
	over       bool // ended, or perhaps: nothing has to come any more
	spans      []*span
	got        map[int]int // how often each message came, by number
	got2       map[int]int // of those, with QoS 2
	at0        map[int]int // the crashes there had been when it came with QoS 0
	order      map[orderKey]int
}

type orderKey struct {
	from      *client
	epoch     int
	topic     string
	qos, sent byte
}

func (w *world) now() int { w.moment++; return w.moment }

func (w *world) logf(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%6d %8s ", w.moment, time.Since(w.began))+fmt.Sprintf(format, args...))
}

func (w *world) fault(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.faults = append(w.faults, text)
	w.logf("FAULT %s", text)
}

// match is the rule of topic filters [MQTT-4.7.1], for topics that do not begin with '$'.
func match(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, level := range f {
		switch {
		case level == "#":
			return true
		case i >= len(t) || level != "+" && level != t[i]:
			return false
		}
	}
	return len(f) == len(t)
}

// inner is a filter without $share/group/.
func inner(filter string) (plain string, shared bool) {
	if rest, ok := strings.CutPrefix(filter, "$share/"); ok {
		_, plain, _ = strings.Cut(rest, "/")
		return plain, true
	}
	return filter, false
}

// may is the highest QoS at which s may get m, -1 if not at all. must is the QoS at which it has to.
func (s *session) may(m *message) (may, must int) {
	may, must = -1, -1
	for _, p := range s.spans {
		filter, _ := inner(p.filter)
		if !match(filter, m.topic) {
			continue
		}
		qos := int(min(p.qos, m.qos))
		if p.mayFrom <= m.done && m.sent <= p.mayEnd {
			may = max(may, qos)
		}
		if p.mustFrom <= m.sent && m.done <= p.mustUntil {
			must = max(must, qos)
		}
	}
	return may, must
}

// received takes a message that a client got, repetitions of QoS 2 left out.
func (s *session) received(d delivery, quick bool) {
	c, w := s.c, s.c.w
	var n int
	if _, err := fmt.Sscanf(d.payload, "m%d", &n); err != nil || n >= len(w.msgs) {
		w.fault("%s got %q, which nobody sent", c.id, d.payload)
		return
	}
	m := w.msgs[n]
	if m.will != nil {
		m.will.came(s, d)
	}
	may, must := s.may(m)
	if c.member && may < 0 && d.qos == 1 { // the session of a member may be over that had it, whose client has not asked
		for _, other := range s.group() {
			most, _ := other.may(m)
			may = max(may, most)
		}
	}
	switch {
	case m.topic != d.topic:
		w.fault("%s got m%d with topic %q, sent with %q", c.id, n, d.topic, m.topic)
	case may < 0:
		w.fault("%s got m%d on %q without a subscription", c.id, n, m.topic)
	case int(d.qos) > may || int(d.qos) < must:
		w.fault("%s got m%d at QoS %d, may %d, must %d", c.id, n, d.qos, may, must)
	case m.clears:
		w.fault("%s got m%d, which has no payload", c.id, n)
	case quick && m.expiry > 0 && m.acked && !m.again && !d.dup && s.got[n] == 0 && w.crashes == 0 && time.Now().After(m.until.Add(slack)):
		w.fault("%s got m%d after it expired", c.id, n)
	}
	switch d.qos {
	case 0:
		if had, ok := s.at0[n]; ok && had == w.crashes && !(m.again && m.qos == 1) {
			w.fault("%s got m%d again at QoS 0", c.id, n)
		}
		s.at0[n] = w.crashes
	case 2:
		all := 0
		for _, other := range s.group() {
			all += other.got2[n]
		}
		if all >= m.repeats() {
			w.fault("%s got m%d again at QoS 2", c.id, n)
		}
		s.got2[n]++
	}
	key := orderKey{m.from, m.epoch, m.topic, m.qos, d.qos}
	// A copy that was sent again may go to another member of the group, behind what came meanwhile, or to a subscription
	// that there was not when it was sent first: without one nothing is stored, and a new process knows nothing of it.
	// What a member has left behind at QoS 1 goes to another one.
	elsewhere := m.again && must < 0 || c.member && (m.again || d.qos == 1)
	if last, ok := s.order[key]; s.got[n] == 0 && m.will == nil && !elsewhere {
		if ok && last > n {
			w.fault("%s got m%d of %s on %q after m%d", c.id, n, m.from.id, m.topic, last)
		}
		s.order[key] = n
	}
	s.got[n]++
}

// group is s, or all sessions there have been of the shared subscription that it is a member of.
func (s *session) group() []*session {
	if !s.c.member {
		return []*session{s}
	}
	var all []*session
	for _, c := range s.c.w.clients {
		if c.member {
			all = append(all, c.sessions...)
		}
	}
	return all
}

// missing tells of the messages that had to come and did not.
func (w *world) missing() {
	for _, c := range w.clients {
		if c.sess == nil || c.sess.over {
			continue
		}
		group := c.sess.group()
		for _, m := range w.msgs {
			if _, must := c.sess.may(m); must < 1 || !m.acked || m.expiry > 0 || m.clears {
				continue
			}
			got, lost := 0, false
			for _, s := range group {
				got += s.got[m.n]
				if may, _ := s.may(m); may > 1 || may >= 0 && !s.persistent { // what waits in the Store at QoS 1 is handed on
					lost = lost || s.over // it may have been with this one
				}
			}
			if got == 0 && !lost {
				w.fault("%s did not get m%d of %s on %q, QoS %d, sent at %d, acknowledged at %d", c.id, m.n, m.from.id, m.topic, m.qos, m.sent, m.done)
			}
		}
	}
}
