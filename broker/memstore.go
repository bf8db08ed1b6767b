package broker

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/thingloom/thingloom/internal/topic"
)

// A MemStore is a [Store] in memory: for tests, examples and brokers that may
// forget everything with their process. It has no limit of its own; the
// broker's queue limits hold. The zero value is not usable: see [NewMemStore].
type MemStore struct {
	mu       sync.RWMutex
	seq      uint64 // of the last message enqueued
	sessions map[string]Session
	queues   map[string][]Queued
	received map[string]map[uint16]bool // marks, by client
	released map[string]map[uint64]bool
	retained map[string]Message
	taken    atomic.Int64 // by retained
	topics   topicSet     // of retained
}

var _ Store = (*MemStore)(nil)

// NewMemStore returns an empty MemStore.
func NewMemStore() *MemStore {
	return &MemStore{
		sessions: map[string]Session{},
		queues:   map[string][]Queued{},
		received: map[string]map[uint16]bool{},
		released: map[string]map[uint64]bool{},
		retained: map[string]Message{},
	}
}

// Sessions yields copies of all sessions as they were when it was called.
func (s *MemStore) Sessions(ctx context.Context) iter.Seq2[Session, error] {
	return func(yield func(Session, error) bool) {
		s.mu.RLock()
		all := make([]Session, 0, len(s.sessions))
		for id, one := range s.sessions {
			one.Received, one.Released = slices.Sorted(maps.Keys(s.received[id])), slices.Sorted(maps.Keys(s.released[id]))
			one.Tail = 0
			if q := s.queues[id]; len(q) > 0 {
				one.Tail = q[len(q)-1].Seq
			}
			all = append(all, one)
		}
		s.mu.RUnlock()
		for _, one := range all {
			if err := ctx.Err(); err != nil {
				yield(Session{}, err)
				return
			}
			if !yield(one.clone(), nil) {
				return
			}
		}
	}
}

// SaveSession stores a copy of one.
func (s *MemStore) SaveSession(ctx context.Context, one Session) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[one.ClientID] = one.clone()
	return nil
}

// DeleteSession removes the session and its queue.
func (s *MemStore) DeleteSession(ctx context.Context, clientID string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, clientID)
	delete(s.queues, clientID)
	delete(s.received, clientID)
	delete(s.released, clientID)
	return nil
}

// Enqueue appends batch to the queues it names.
func (s *MemStore) Enqueue(ctx context.Context, batch []Entry, marks ...Mark) (first uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first = s.seq + 1
	for _, e := range batch {
		s.seq++
		m := e.Message.clone()
		for i, id := range e.ClientIDs {
			if e.Modes != nil {
				m.QoS, m.Retain = e.Modes[i].QoS, e.Modes[i].Retain
			}
			s.queues[id] = append(s.queues[id], Queued{s.seq, m})
		}
	}
	for _, m := range marks {
		switch m.Kind {
		case MarkReceived:
			mark(s.received, m.ClientID, m.PacketID)
		case MarkCompleted:
			delete(s.received[m.ClientID], m.PacketID)
		case MarkReleased:
			mark(s.released, m.ClientID, m.Seq)
		}
	}
	return first, nil
}

func mark[K comparable](of map[string]map[K]bool, clientID string, k K) {
	if of[clientID] == nil {
		of[clientID] = map[K]bool{}
	}
	of[clientID][k] = true
}

// Dequeue removes the front of a queue.
func (s *MemStore) Dequeue(ctx context.Context, clientID string, upTo uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.released[clientID], func(seq uint64, _ bool) bool { return seq <= upTo })
	q := s.queues[clientID]
	n := after(q, upTo)
	if n == len(q) {
		delete(s.queues, clientID)
		return nil
	}
	clear(q[:n]) // so that the messages can go before the array does
	s.queues[clientID] = q[n:]
	return nil
}

// after is the index of the first message numbered above seq.
func after(q []Queued, seq uint64) int {
	return sort.Search(len(q), func(i int) bool { return q[i].Seq > seq })
}

// Queue yields the messages of a queue. What is enqueued meanwhile is seen.
func (s *MemStore) Queue(ctx context.Context, clientID string, seq uint64) iter.Seq2[Queued, error] {
	return func(yield func(Queued, error) bool) {
		for {
			if err := ctx.Err(); err != nil {
				yield(Queued{}, err)
				return
			}
			s.mu.RLock()
			q := s.queues[clientID]
			i := after(q, seq)
			var next Queued
			if i < len(q) {
				next = q[i]
			}
			s.mu.RUnlock()
			if i >= len(q) || !yield(Queued{next.Seq, next.Message.clone()}, nil) {
				return
			}
			seq = next.Seq
		}
	}
}

// SetRetained keeps a copy of m, or clears its topic if m has no payload.
func (s *MemStore) SetRetained(ctx context.Context, m Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.retained[m.Topic]; ok {
		s.taken.Add(-old.bytes())
	}
	if len(m.Payload) == 0 {
		delete(s.retained, m.Topic)
		s.topics.remove(m.Topic)
	} else {
		s.retained[m.Topic] = m.clone()
		s.topics.add(m.Topic)
		s.taken.Add(m.bytes())
	}
	return nil
}

// RetainedBytes is about what the retained messages take in memory.
func (s *MemStore) RetainedBytes() int64 { return s.taken.Load() }

// bytes is what m takes as a retained message.
func (m *Message) bytes() int64 { return int64(retainedBytes + queuedSize(m)) }

// Retained yields copies of the retained messages that filter matches.
func (s *MemStore) Retained(ctx context.Context, filter string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(Message{}, err)
			return
		}
		if !strings.ContainsAny(filter, "+#") {
			s.mu.RLock()
			m, ok := s.retained[filter]
			s.mu.RUnlock()
			if ok {
				yield(m.clone(), nil)
			}
			return
		}
		s.retainedMatching(ctx, filter, yield)
	}
}

// retainedMatching walks the topics in order, past what cannot match. It holds no lock while it yields.
func (s *MemStore) retainedMatching(ctx context.Context, filter string, yield func(Message, error) bool) {
	from, names := "", make([]string, 0, 64)
	for {
		if err := ctx.Err(); err != nil {
			yield(Message{}, err)
			return
		}
		s.mu.RLock()
		names = s.topics.appendFrom(names[:0], from, cap(names))
		s.mu.RUnlock()
		if len(names) == 0 {
			return
		}
		for _, name := range names {
			if name < from {
				continue
			}
			match, to := topic.MatchOrSkip(filter, name)
			if match && !s.yieldRetained(name, yield) || to == topic.End {
				return
			}
			if from = to; to == "" {
				from = name + "\x00" // the next
			}
		}
	}
}

func (s *MemStore) yieldRetained(name string, yield func(Message, error) bool) bool {
	s.mu.RLock()
	m, ok := s.retained[name]
	s.mu.RUnlock()
	return !ok || yield(m.clone(), nil)
}

func (s Session) clone() Session {
	s.Subscriptions = slices.Clone(s.Subscriptions)
	if s.Will != nil {
		w := *s.Will
		w.Message = w.Message.clone()
		s.Will = &w
	}
	return s
}

func (m Message) clone() Message {
	m.Payload = slices.Clone(m.Payload)
	p := &m.Properties
	p.CorrelationData = slices.Clone(p.CorrelationData)
	p.User = slices.Clone(p.User)
	if p.PayloadFormat != nil {
		f := *p.PayloadFormat
		p.PayloadFormat = &f
	}
	return m
}
