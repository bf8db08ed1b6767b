package broker

import (
	"context"
	"slices"
	"sync"

	"github.com/thingloom/thingloom/broker/internal/engine"
)

// A committer puts messages into the Store for many publishers at once. The
// first to come leads: it takes what others have brought meanwhile, stores it
// in one call and hands it to the sessions in the order of the numbers, so that a
// session sees its queue in order. Then it passes the lead on. No goroutine is needed for it.
type committer struct {
	mu      sync.Mutex
	waiting []*commit
	leading bool
}

// A commit is what one publisher wants stored.
type commit struct {
	entries []Entry
	routes  []stored // as many
	marks   []Mark
	owner   *session // whose marks they are
	bytes   int
	err     error
	dirty   []*conn   // to be flushed by the publisher
	wake    chan bool // true: lead; false: it is done
}

// stored is what becomes of an entry once it is in the Store. retain and qos are the message's own.
type stored struct {
	msg     *engine.Message
	targets []target
	retain  bool
	qos     byte
}

// add has m, whose memory is msg's, stored for targets, with ids.
func (c *commit) add(m Message, msg *engine.Message, targets []target, ids []string) {
	c.routes = append(c.routes, stored{msg, targets, m.Retain, m.QoS})
	c.entries = append(c.entries, entryFor(m, targets, ids))
	c.bytes += msg.Size()
}

// entryFor is m as its targets get it.
func entryFor(m Message, targets []target, ids []string) Entry {
	e := Entry{Message: m, ClientIDs: ids}
	if len(targets) == 0 {
		return e
	}
	first := targets[0].mode(m.QoS, m.Retain)
	for i := range targets {
		if targets[i].mode(m.QoS, m.Retain) != first {
			e.Modes = make([]Mode, len(targets))
			break
		}
	}
	for i := range e.Modes {
		e.Modes[i] = targets[i].mode(m.QoS, m.Retain)
	}
	if e.Modes == nil {
		e.Message.QoS, e.Message.Retain = first.QoS, first.Retain
	}
	return e
}

// mode is how t gets a message.
func (t *target) mode(qos byte, retain bool) Mode { return Mode{min(qos, t.qos), retain && t.retain} }

// commit returns once all of c is durable and handed to its sessions, or failed.
func (b *Broker) commit(c *commit) error {
	if len(c.entries) == 0 && len(c.marks) == 0 {
		return nil
	}
	return b.commitInTurn(c)
}

// commitInTurn is commit also for one that has nothing to store: it waits for what is being stored.
func (b *Broker) commitInTurn(c *commit) error {
	q := &b.commits
	q.mu.Lock()
	if q.leading {
		if c.wake == nil {
			c.wake = make(chan bool, 1)
		}
		q.waiting = append(q.waiting, c)
		q.mu.Unlock()
		if lead := <-c.wake; !lead {
			return c.err
		}
		q.mu.Lock()
	} else {
		q.leading = true
		q.waiting = append(q.waiting, c)
	}
	group := q.waiting
	q.waiting = nil
	q.mu.Unlock()

	b.storeGroup(group)
	for _, one := range group {
		if one != c {
			one.wake <- false
		}
	}
	q.mu.Lock()
	if len(q.waiting) > 0 {
		q.waiting[0].wake <- true
	} else {
		q.leading = false
	}
	q.mu.Unlock()
	return c.err
}

// storeGroup stores the entries of all of group and hands them on.
func (b *Broker) storeGroup(group []*commit) {
	defer func() {
		if v := recover(); v != nil { // those who wait must hear, and another one lead
			err := b.panicked("commit", v)
			for _, c := range group {
				if c.err == nil {
					c.err = err
				}
			}
		}
	}()
	for _, c := range group {
		c.withoutEnded()
	}
	entries, marks := group[0].entries, group[0].marks
	if len(group) > 1 {
		entries, marks = nil, nil
		for _, c := range group {
			entries, marks = append(entries, c.entries...), append(marks, c.marks...)
		}
	}
	if len(entries) == 0 && len(marks) == 0 {
		return
	}
	// Not the publisher's context: others depend on this call.
	seq, err := b.store.Enqueue(context.Background(), entries, marks...)
	if err != nil {
		b.storeFailed("enqueue", err, "messages", len(entries))
		for _, c := range group {
			c.err = err
		}
		return
	}
	b.count.stored.Add(int64(len(entries)))
	now := b.now().UnixNano()
	for _, c := range group {
		for _, r := range c.routes {
			for i := range r.targets {
				t := &r.targets[i]
				mode := t.mode(r.qos, r.retain)
				d := engine.Delivery{Msg: r.msg, Seq: seq, QoS: mode.QoS, Retain: mode.Retain, SubIDs: t.ids}
				if dirty := b.deliverStored(t.s, now, &d); dirty != nil {
					c.dirty = append(c.dirty, dirty)
				}
			}
			seq++
		}
	}
}

// withoutEnded takes out what is for sessions that have ended since the route was made. In the Store it would be
// another session's, if the client has a new one. See [Broker.endSession].
func (c *commit) withoutEnded() {
	if c.owner != nil && c.owner.gone.Load() {
		c.marks = c.marks[:0]
	}
	ended := func(t target) bool { return t.s.gone.Load() }
	for i := range c.routes {
		r := &c.routes[i]
		if !slices.ContainsFunc(r.targets, ended) {
			continue
		}
		left := slices.DeleteFunc(slices.Clone(r.targets), ended) // the route's own is shared
		m := c.entries[i].Message
		m.QoS, m.Retain = r.qos, r.retain
		r.targets, c.entries[i] = left, entryFor(m, left, clientIDs(left))
	}
}

// reset makes c ready for the next batch. What it referred to can go.
func (c *commit) reset() {
	clear(c.entries)
	clear(c.routes)
	clear(c.dirty)
	clear(c.marks)
	*c = commit{entries: c.entries[:0], routes: c.routes[:0], marks: c.marks[:0], dirty: c.dirty[:0], wake: c.wake}
}
