package broker

import (
	"context"
	"errors"
)

// full reports whether the queue of s is at its limit.
func (b *Broker) full(s *session) bool {
	return s.queued.Load() >= int64(b.opts.MaxQueueMessages) || s.queuedBytes.Load() >= b.opts.MaxQueueBytes
}

// keeps reports whether a message of qos goes into the Store for t.
func (t *target) keeps(qos byte) bool { return t.durable && min(t.qos, qos) > 0 }

// anyFull reports whether a queue of r's targets is at its limit.
func (b *Broker) anyFull(r *route) bool {
	if r.durables > 0 {
		for i := range r.targets {
			if t := &r.targets[i]; t.keeps(1) && b.full(t.s) {
				return true
			}
		}
	}
	return false
}

// refuses reports whether a message of qos is one that somebody has no room for: a target, or all members of a group that
// could take it.
func (b *Broker) refuses(r *route, qos byte) bool {
	if b.anyFull(r) {
		return true
	}
	for _, group := range r.shared {
		if t := b.member(group, qos, 0); t != nil && t.keeps(qos) && b.full(t.s) {
			return true
		}
	}
	return false
}

// countAll makes sure that it is known how full the queues are.
func (b *Broker) countAll(r *route) {
	count := func(targets []target) {
		for i := range targets {
			if t := &targets[i]; t.durable {
				b.ensureCounted(t.s)
			}
		}
	}
	count(r.targets)
	for _, group := range r.shared {
		count(group)
	}
}

// makeRoom reports whether one more message goes into the queue of s. With
// DropOldest it makes room, unless s is connected: what is unacknowledged
// there cannot be taken back.
func (b *Broker) makeRoom(s *session) bool {
	if !b.full(s) {
		return true
	}
	b.ensureCounted(s)
	if !b.full(s) {
		return true
	}
	switch b.opts.QueueOverflow {
	case DropNewest:
		return false
	case RefusePublish: // there was room when it came, and it will be acknowledged
		return true
	}
	defer b.admit(s.id).Unlock()
	if !b.full(s) {
		return true
	}
	s.mu.Lock()
	connected := s.conn != nil || s.ended
	s.mu.Unlock()
	if connected {
		return false
	}
	ctx := context.Background()
	var oldest []Queued
	freed := int64(0)
	some := max(1, min(64, b.opts.MaxQueueMessages/16))
	for q, err := range b.store.Queue(ctx, s.id, 0) {
		if err != nil && !(errors.Is(err, ErrCorrupt) && q.Seq > 0) {
			b.count.storeErrors.Add(1)
			return false
		}
		oldest = append(oldest, q)
		if freed += int64(queuedSize(&q.Message)); len(oldest) == some || freed >= b.opts.MaxQueueBytes/16 {
			break // a few at a time cost fewer calls; many large ones would be more than there is need for
		}
	}
	if len(oldest) == 0 {
		return false
	}
	last := oldest[len(oldest)-1].Seq
	if err := b.store.Dequeue(ctx, s.id, last); err != nil {
		b.count.storeErrors.Add(1)
		return false
	}
	s.mu.Lock()
	s.out.Discard(last)
	s.out.Effects()
	s.mu.Unlock()
	for i := range oldest {
		s.queued.Add(-1)
		s.queuedBytes.Add(-int64(queuedSize(&oldest[i].Message)))
		b.dropped(s.id, oldest[i].Message.Topic, DropQueueFull)
	}
	return !b.full(s)
}
