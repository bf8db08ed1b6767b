package broker

import (
	"cmp"
	"slices"
	"strings"
)

// A route is who gets the messages of one topic from one publisher, and
// whether that may publish there. It is immutable and remembered per connection until a
// subscription or a policy changes.
type route struct {
	topic      string
	subs, auth uint64 // generations it was made in

	publish, retain error // why not; nil is yes
	retainKnown     bool

	handlers []*handler
	targets  []target
	shared   [][]target // one list a group
	denied   []string   // client ids that may not receive
	durables int        // targets that may need the Store
	ids      []string   // client ids of those, when all targets are durable and want QoS 1
}

// A target is one session and how it gets a message.
type target struct {
	s       *session
	qos     byte
	retain  bool // Retain As Published
	ids     []uint32
	durable bool
}

// findRoute looks up who gets messages on a valid name that clientID publishes.
func (b *Broker) findRoute(name, clientID string, r *route) {
	r.topic = name
	r.subs = b.subsGen.Load() // before the look-up: a change meanwhile makes r stale at once
	r.auth = b.authGen.Load()
	b.subs.RLock()
	found := b.subs.tree.AppendMatch(nil, name)
	b.subs.RUnlock()
	slices.SortFunc(found, func(a, b *subscriber) int { return cmp.Compare(a.order, b.order) })

	ingest := b.opts.ReservedTopics && strings.HasPrefix(name, basicIngest)
	var seen map[*session]int // index into r.targets
	if len(found) > 1 {
		seen = make(map[*session]int, len(found))
	}
	var groups map[string]int
	for _, one := range found {
		switch {
		case one.handler != nil:
			r.handlers = append(r.handlers, one.handler)
			continue
		case ingest:
			continue
		case one.sub.NoLocal && one.session.id == clientID:
			continue // [MQTT-3.8.3-3]
		case !b.mayReceive(one.session, name):
			r.denied = append(r.denied, one.session.id)
			continue
		}
		t := one.target() // the QoS granted is the most that is sent [MQTT-3.8.4-8] [MQTT-4.8.2-3]
		if one.group != "" {
			key := one.sub.Filter
			i, ok := groups[key]
			if !ok {
				if groups == nil {
					groups = map[string]int{}
				}
				i = len(r.shared)
				groups[key] = i
				r.shared = append(r.shared, nil)
			}
			r.shared[i] = append(r.shared[i], t)
			continue
		}
		if i, ok := seen[t.s]; ok { // one copy a client, at the highest QoS [MQTT-3.3.4-2]
			old := &r.targets[i]
			old.qos = max(old.qos, t.qos)
			old.retain = old.retain || t.retain
			old.ids = append(old.ids, t.ids...)
			continue
		}
		if seen != nil {
			seen[t.s] = len(r.targets)
		}
		if r.targets == nil {
			r.targets = make([]target, 0, len(found)-len(r.handlers))
		}
		r.targets = append(r.targets, t)
	}
	for i := range r.targets {
		if t := &r.targets[i]; t.durable && t.qos > 0 {
			r.durables++
			r.ids = append(r.ids, t.s.id)
		}
	}
	if r.durables < len(r.targets) {
		r.ids = nil
	}
}

// target is how a client's subscription gets messages.
func (one *subscriber) target() target {
	t := target{s: one.session, qos: one.sub.QoS, retain: one.sub.RetainAsPublished, durable: one.session.durable}
	if one.sub.Identifier > 0 {
		t.ids = []uint32{one.sub.Identifier}
	}
	return t
}

// mayReceive asks the Authorizer about a connected session. One that is not
// is asked about when it reads its queue.
func (b *Broker) mayReceive(s *session, name string) bool {
	if !s.online.Load() {
		return true
	}
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	return c == nil || c.mayReceive(name)
}

// size is how many receivers r has.
func (r *route) size() int {
	n := len(r.targets) + len(r.denied)
	for _, group := range r.shared {
		n += len(group)
	}
	return n
}

// fresh reports whether r still holds.
func (b *Broker) fresh(r *route) bool {
	return r.subs == b.subsGen.Load() && r.auth == b.authGen.Load()
}

// member picks the member of a shared subscription that gets a message: the
// next that is connected, else the next whose session keeps it, else nobody. Those whose queue is full
// are passed over while another one has room.
// From then on it is that member's alone, whatever becomes of it [MQTT-4.8.2-4] [MQTT-4.8.2-5] [MQTT-4.8.2-6].
func (b *Broker) member(group []target, qos byte, turn uint64) *target {
	n := uint64(len(group))
	var full *target
	for _, connected := range []bool{true, false} {
		for i := range n {
			t := &group[(turn+i)%n]
			keeps := t.keeps(qos)
			switch {
			case connected && !t.s.online.Load(), !connected && !keeps:
			case !keeps || !b.full(t.s):
				return t
			case full == nil:
				full = t
			}
		}
	}
	return full
}
