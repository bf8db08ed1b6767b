package broker

import (
	"context"
	"errors"
	"slices"

	"github.com/thingloom/thingloom/broker/internal/engine"
	"github.com/thingloom/thingloom/internal/topic"
)

// endSession ends s for good. Broker.admit(s.id) is held, no connection is left. Where the Store fails, the session
// stays listed, without subscriptions: who comes next tries again, since it must not find the old queue.
func (b *Broker) endSession(s *session) error {
	s.mu.Lock()
	first, waiting := !s.ended, s.out.Waiting()
	subs := s.subs
	s.ended, s.will = true, nil
	s.mu.Unlock()
	if !first && b.session(s.id) != s {
		return nil
	}
	if first {
		b.removeSubscriptions(s)
		b.mu.Lock()
		b.unschedule(s)
		b.mu.Unlock()
	}
	if s.durable || s.willStored {
		s.gone.Store(true)
		_ = b.commitInTurn(&commit{}) // what is on its way into its queue goes with it
	}
	if first {
		b.leavesBehind(s, &subs, waiting)
	}
	if s.durable || s.willStored {
		if err := b.store.DeleteSession(context.Background(), s.id); err != nil {
			b.storeFailed("delete session", err, "client_id", s.id)
			return err
		}
	}
	version, connected := s.versionNumber()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sessions[s.id] == s {
		delete(b.sessions, s.id)
		b.state.Add(-s.bytes())
		if connected {
			b.versions[s.id] = version
		}
	}
	return nil
}

// leavesBehind hands on what others can have, and counts what a session that ends has not delivered.
func (b *Broker) leavesBehind(s *session, subs *subscribers, waiting int) {
	if waiting > 0 && !s.durable {
		b.count.dropped.add(DropSessionEnded, int64(waiting))
	}
	if err := b.countQueue(s); err != nil {
		b.storeFailed("count queue", err, "client_id", s.id)
		return
	}
	n := s.queued.Load()
	if n > 0 {
		handed, err := b.handOn(s, subs)
		if err != nil {
			b.storeFailed("hand on", err, "client_id", s.id)
		}
		n -= handed
	}
	if n > 0 {
		b.count.dropped.add(DropSessionEnded, n)
	}
}

// handOn gives the messages of QoS 1 that came into the queue of s by its shared subscriptions to other members of those, and
// counts them. Those of QoS 2 that the client may have had must not go to anybody else [MQTT-4.8.2-5], and nobody knows which
// these are. Where s has a subscription of its own to a topic, too, it is not known by which one a message came, and it is
// not handed on. A crash before s is deleted repeats this.
func (b *Broker) handOn(s *session, subs *subscribers) (handed int64, err error) {
	var shared, plain []*subscriber
	for _, one := range subs.list {
		if one.group != "" {
			shared = append(shared, one)
		} else {
			plain = append(plain, one)
		}
	}
	if len(shared) == 0 {
		return 0, nil
	}
	var c commit
	var added int64
	store := func() error {
		err := b.commit(&c)
		if err == nil {
			handed += added
		}
		flush(c.dirty)
		c.reset()
		added = 0
		return err
	}
	for q, err := range b.store.Queue(context.Background(), s.id, 0) {
		if errors.Is(err, ErrCorrupt) {
			continue
		}
		if err != nil {
			return handed, err
		}
		t := b.heir(&q.Message, shared, plain)
		switch msg := fromMessage(&q.Message); {
		case t == nil:
		case t.keeps(1):
			c.add(q.Message, msg, []target{*t}, []string{t.s.id})
			if added++; c.bytes > maxBatch {
				if err := store(); err != nil {
					return handed, err
				}
			}
		default:
			d := engine.Delivery{Msg: msg, QoS: min(1, t.qos), SubIDs: t.ids}
			if to := b.deliver(t.s, b.now().UnixNano(), &d); to != nil {
				to.flush()
			}
			handed++
		}
	}
	return handed, store()
}

// heir is the member that gets m in place of one that had the subscriptions given, nil if there is none.
func (b *Broker) heir(m *Message, shared, plain []*subscriber) *target {
	match := topic.Match
	if b.opts.HashBelow {
		match = topic.MatchBelow
	}
	for _, one := range plain {
		if match(one.inner, m.Topic) {
			return nil
		}
	}
	if m.QoS != 1 {
		return nil
	}
	for _, one := range shared {
		if !match(one.inner, m.Topic) {
			continue
		}
		group := b.members(one.sub.Filter, m.Topic)
		if keep := slices.DeleteFunc(slices.Clone(group), func(t target) bool { return !t.keeps(1) }); len(keep) > 0 {
			group = keep // what was in the Store stays there
		}
		return b.member(group, 1, b.turn.Add(1))
	}
	return nil
}

// members are those of a shared subscription who may have messages of a topic that it matches.
func (b *Broker) members(filter, name string) (group []target) {
	b.subs.RLock()
	found := b.subs.tree.AppendMatch(nil, name)
	b.subs.RUnlock()
	for _, one := range found {
		if one.session != nil && one.sub.Filter == filter && b.mayReceive(one.session, name) {
			group = append(group, one.target())
		}
	}
	return group
}
