package broker

import (
	"slices"
	"strings"

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
	for one := range all.all() {
		b.subs.tree.Remove(one.at)
	}
	b.subs.Unlock()
	b.subsGen.Add(1)
	b.count.subscriptions.Add(-int64(all.len()))
}

// subscriptions lists those of s, ordered by filter. mu or the admission is held.
func (s *session) subscriptions() []Subscription {
	list := make([]Subscription, 0, s.subs.len())
	for one := range s.subs.all() {
		list = append(list, one.sub)
	}
	slices.SortFunc(list, func(a, b Subscription) int { return strings.Compare(a.Filter, b.Filter) })
	return list
}

// identifiers are the subscription identifiers for a message read back from the queue
// [MQTT-3.3.4-3]. Only the session's own reader calls it, as the only one who changes subs.
func (s *session) identifiers(name string, below bool) (ids []uint32) {
	match := topic.Match
	if below {
		match = topic.MatchBelow
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.subs.all() {
		if one.sub.Identifier > 0 && match(one.inner, name) {
			ids = append(ids, one.sub.Identifier)
		}
	}
	slices.Sort(ids)
	return ids
}
