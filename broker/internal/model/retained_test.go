package model

import (
	"fmt"
	"testing/synctest"
	"time"
)

// Messages are retained on topics of their own. What a topic has is one of the last that were written to it: each
// that no other one has certainly replaced.

var retainedTopics = []string{"r/a", "r/b"}

// clear is the payload of a message that clears its topic.
const clear = ""

// payload is what m says.
func (m *message) payload() string {
	if m.clears {
		return clear
	}
	return fmt.Sprintf("m%d", m.n)
}

// last are the messages that a topic may have, and whether one of them certainly was written.
func (w *world) last(topic string) (may []*message, certain bool) {
	var all []*message
	for _, m := range w.msgs {
		if m.retain && m.topic == topic && m.sent < forever && (m.will == nil || !m.will.discarded) {
			all = append(all, m)
		}
	}
	for _, m := range all {
		replaced := false
		for _, later := range all {
			replaced = replaced || later.acked && m.done < later.sent
		}
		if !replaced {
			may, certain = append(may, m), certain || m.acked
		}
	}
	return may, certain
}

// retainedCopy looks at a retained message that came with a subscription.
func (s *session) retainedCopy(d delivery) {
	w := s.c.w
	var n int
	if _, err := fmt.Sscanf(d.payload, "m%d", &n); err != nil || n >= len(w.msgs) {
		w.fault("%s got %q retained, which nobody sent", s.c.id, d.payload)
		return
	}
	switch m := w.msgs[n]; {
	case !m.retain || m.topic != d.topic || m.clears:
		w.fault("%s got m%d retained on %s", s.c.id, n, d.topic)
	case m.sent == forever, m.will != nil && m.will.discarded:
		w.fault("%s got m%d retained, which was not published", s.c.id, n)
	}
}

// retained asks a server what it has in the end.
func (w *world) retained() {
	c := &client{w: w, id: "reader", v: 5, qos: map[string]byte{"r/+": 1}, reader: map[string]string{}}
	c.connect(true, step{})
	w.mu.Lock()
	c.subscribe("r/+", false)
	w.mu.Unlock()
	synctest.Wait()
	time.Sleep(time.Second)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, topic := range retainedTopics {
		got := c.reader[topic]
		may, certain := w.last(topic)
		found, absent := false, !certain
		for _, m := range may {
			found = found || m.payload() == got
			absent = absent || m.clears
		}
		if !found && !(got == clear && absent) {
			w.fault("%s has %q retained", topic, got)
			for _, m := range may {
				w.logf("it may be m%d, clears %v, sent at %d, acknowledged at %d", m.n, m.clears, m.sent, m.done)
			}
		}
	}
	c.cut(false, false)
}
