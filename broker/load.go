package broker

import (
	"context"
	"fmt"
)

// load makes sessions of what the store has. Their queues are not read: that is left for when a client comes back, or
// when it matters how much there is.
func (b *Broker) load(ctx context.Context) error {
	now := b.opts.Now()
	for stored, err := range b.store.Sessions(ctx) {
		if err != nil {
			return err
		}
		will := storedWill(&stored, now)
		if stored.Disconnected.IsZero() { // a crash cut it
			stored.Disconnected = now
		}
		s := &session{id: stored.ClientID, principal: stored.Principal, version: stored.Version, durable: true,
			expiry: stored.Expiry, disconnectedAt: stored.Disconnected, will: will,
		}
		s.restore(&stored)
		if stored.Tail > 0 {
			s.out.Known(stored.Tail)
			s.loaded = stored.Tail
			s.queued.Store(uncounted)
		}
		b.sessions[s.id] = s
		b.state.Add(s.bytes())
		for _, sub := range stored.Subscriptions {
			if err := b.addSubscription(s, sub); err != nil {
				return fmt.Errorf("session %q: %w", s.id, err)
			}
		}
		b.mu.Lock()
		b.schedule(s)
		b.mu.Unlock()
	}
	return nil
}

// uncounted stands in session.queued for what was in the queue when the session was loaded, until somebody asks.
// It is above every limit, so whoever asks whether the queue is full does.
const uncounted = 1 << 48

// countQueue finds out how much of what was there at the start waits for s, unless that is known. Broker.admit(s.id) is held. Nothing
// is taken out of the queue before it was called.
func (b *Broker) countQueue(s *session) error {
	if s.queued.Load() < uncounted/2 {
		return nil
	}
	n, bytes := int64(0), int64(0)
	for q, err := range b.store.Queue(context.Background(), s.id, 0) {
		if err != nil && q.Seq == 0 {
			return err
		}
		if q.Seq > s.loaded {
			break // came since, and was counted then
		}
		n++
		if err == nil {
			bytes += int64(queuedSize(&q.Message))
		}
	}
	s.queuedBytes.Add(bytes)
	s.queued.Add(n - uncounted)
	return nil
}

// ensureCounted is countQueue for who does not hold the admission. An error leaves the queue full.
func (b *Broker) ensureCounted(s *session) {
	if s.queued.Load() < uncounted/2 {
		return
	}
	defer b.admit(s.id).Unlock()
	if err := b.countQueue(s); err != nil {
		b.storeFailed("count queue", err, "client_id", s.id)
	}
}
