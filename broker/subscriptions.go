package broker

import (
	"slices"

	"github.com/thingloom/thingloom/internal/topic"
)

// A subscriber is what the tree holds: a client's subscription or a handler.
type subscriber struct {
	order   uint64 // of adding
	session *session
	sub     Subscription
	group   string // name of a shared subscription
	inner   string // filter without $share/{group}/
	handler *handler
	at      *topic.Entry[*subscriber] // in the tree
}

// addSubscriber puts one into the tree.
func (b *Broker) addSubscriber(filter string, one *subscriber) {
	b.subs.Lock()
	b.subs.last++
	one.order = b.subs.last
	one.at = b.subs.tree.Add(filter, one)
	b.subs.Unlock()
	b.subsGen.Add(1)
}

func (b *Broker) removeSubscriber(one *subscriber) {
	b.subs.Lock()
	b.subs.tree.Remove(one.at)
	b.subs.Unlock()
	b.subsGen.Add(1)
}

// addSubscription gives s a subscription, replacing one with the same filter
// [MQTT-3.8.4-3]. Broker.admit(s.id) is held.
func (b *Broker) addSubscription(s *session, sub Subscription) error {
	group, inner, err := topic.ParseShare(sub.Filter)
	if err != nil {
		return err
	}
	one := &subscriber{session: s, sub: sub, group: group, inner: inner}
	b.addSubscriber(inner, one)
	s.mu.Lock()
	old := s.subs.put(one)
	s.mu.Unlock()
	if old != nil {
		b.removeSubscriber(old) // only now: there is no moment without a subscription
	} else {
		b.count.subscriptions.Add(1)
		b.state.Add(sub.bytes())
	}
	return nil
}

// removeSubscription reports whether s had the subscription.
func (b *Broker) removeSubscription(s *session, filter string) bool {
	s.mu.Lock()
	old := s.subs.remove(filter)
	s.mu.Unlock()
	if old == nil {
		return false
	}
	b.removeSubscriber(old)
	b.count.subscriptions.Add(-1)
	b.state.Add(-old.sub.bytes())
	return true
}

// removeSubscriptions takes all subscriptions of a session that ends.
func (b *Broker) removeSubscriptions(s *session) {
	s.mu.Lock()
	all := s.subs
	s.subs = subscribers{}
	s.mu.Unlock()
	if all.len() == 0 {
		return
	}
	b.subs.Lock()
	for _, one := range all.list {
		b.subs.tree.Remove(one.at)
		b.state.Add(-one.sub.bytes())
	}
	b.subs.Unlock()
	b.subsGen.Add(1)
	b.count.subscriptions.Add(-int64(all.len()))
}

// subscriptions lists those of s, ordered by filter. mu or the admission is held.
func (s *session) subscriptions() []Subscription {
	list := make([]Subscription, 0, s.subs.len())
	for _, one := range s.subs.list {
		list = append(list, one.sub)
	}
	return list
}

// identifiers are the subscription identifiers for a message read back from the queue of s
// [MQTT-3.3.4-3].
func (b *Broker) identifiers(s *session, name string) (ids []uint32) {
	s.mu.Lock()
	any, few := s.subs.identified > 0, s.subs.len() <= 8
	s.mu.Unlock()
	if !any {
		return nil
	}
	if !few { // of many, a few match
		b.subs.RLock()
		for one := range b.subs.tree.Match(name) {
			if one.session == s && one.sub.Identifier > 0 {
				ids = append(ids, one.sub.Identifier)
			}
		}
		b.subs.RUnlock()
		slices.Sort(ids)
		return ids
	}
	match := topic.Match
	if b.opts.HashBelow {
		match = topic.MatchBelow
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.subs.list {
		if one.sub.Identifier > 0 && match(one.inner, name) {
			ids = append(ids, one.sub.Identifier)
		}
	}
	slices.Sort(ids)
	return ids
}
