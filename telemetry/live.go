package telemetry

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// LiveOptions are the optional parts of a Live. Nil is all defaults.
type LiveOptions struct {
	// MaxKeys is how many keys' last values are kept; of more, those that
	// were not updated for the longest time are forgotten. Zero means 10,000.
	MaxKeys int

	// History is how many events are kept for subscribers that come back.
	// Zero means 1024.
	History int

	// MaxSubscribers bounds Subscribe. Zero means 256.
	MaxSubscribers int

	// Buffer is how many events a subscriber may be behind before it is
	// dropped. Zero means 256.
	Buffer int

	// Now is the clock for Epoch. Nil means time.Now.
	Now func() time.Time
}

// A Live is a Sink that keeps the last value of each key in memory and shows
// records to subscribers as they come. It never waits for a subscriber: one
// that falls behind by LiveOptions.Buffer events is dropped and counted. All
// methods may be called from many goroutines.
type Live struct {
	opts  LiveOptions
	epoch int64

	mu      sync.Mutex
	id      uint64 // of the last event
	keys    map[string]*list.Element
	order   *list.List // of Event, least recently updated first
	ring    []Event    // the last events, oldest at id%len once full
	subs    map[*Subscription]struct{}
	batches map[int]string // last ID by partition: a repeated batch is no news
	stats   LiveStats
}

// An Event is a record as Live shows it.
type Event struct {
	ID uint64 // from 1, grows by one
	Record
}

// LiveStats are counters of a Live, but for Keys and Subscribers.
type LiveStats struct {
	Events      int64
	Dropped     int64 // subscribers that were too slow
	Refused     int64 // Subscribe beyond MaxSubscribers
	Forgotten   int64 // keys beyond MaxKeys
	Keys        int
	Subscribers int
}

var _ Sink = (*Live)(nil)

// NewLive returns a Live without values.
func NewLive(opts *LiveOptions) *Live {
	l := &Live{keys: make(map[string]*list.Element), order: list.New(),
		subs: make(map[*Subscription]struct{}), batches: make(map[int]string)}
	if opts != nil {
		l.opts = *opts
	}
	for _, f := range []struct {
		v   *int
		def int
	}{{&l.opts.MaxKeys, 10_000}, {&l.opts.History, 1024}, {&l.opts.MaxSubscribers, 256}, {&l.opts.Buffer, 256}} {
		if *f.v <= 0 {
			*f.v = f.def
		}
	}
	if l.opts.Now == nil {
		l.opts.Now = time.Now
	}
	l.epoch = l.opts.Now().UnixNano()
	return l
}

// Epoch tells the events of this Live from those of another process: their
// IDs begin anew.
func (l *Live) Epoch() int64 { return l.epoch }

// Write implements Sink. It does not fail.
func (l *Live) Write(_ context.Context, b Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.ID != "" && l.batches[b.Partition] == b.ID {
		return nil
	}
	l.batches[b.Partition] = b.ID
	for _, r := range b.Records {
		l.show(r)
	}
	return nil
}

// show makes an event of r; l.mu is held.
func (l *Live) show(r Record) {
	l.id++
	l.stats.Events++
	e := Event{ID: l.id, Record: r}
	if len(l.ring) < l.opts.History {
		l.ring = append(l.ring, e)
	} else {
		l.ring[int((l.id-1)%uint64(len(l.ring)))] = e
	}
	if el := l.keys[r.Key]; el != nil {
		el.Value = e
		l.order.MoveToBack(el)
	} else {
		if l.order.Len() >= l.opts.MaxKeys {
			oldest := l.order.Front()
			delete(l.keys, l.order.Remove(oldest).(Event).Key)
			l.stats.Forgotten++
		}
		l.keys[r.Key] = l.order.PushBack(e)
	}
	for s := range l.subs {
		select {
		case s.events <- e:
		default:
			l.stats.Dropped++
			l.end(s, ErrSlow)
		}
	}
}

// end closes a subscription; l.mu is held.
func (l *Live) end(s *Subscription, err error) {
	if _, ok := l.subs[s]; ok {
		delete(l.subs, s)
		s.err = err
		close(s.events)
	}
}

// Current returns the last event of each key, the one updated last at the end.
func (l *Live) Current() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current()
}

func (l *Live) current() []Event {
	out := make([]Event, 0, l.order.Len())
	for el := l.order.Front(); el != nil; el = el.Next() {
		out = append(out, el.Value.(Event))
	}
	return out
}

// Stats returns the counters.
func (l *Live) Stats() LiveStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Keys, s.Subscribers = l.order.Len(), len(l.subs)
	return s
}

// A Subscription receives events until it is closed or dropped.
type Subscription struct {
	// Replay is what happened before: all events after the one that
	// Subscribe was given if they are still known, else the last event of each key.
	Replay []Event

	live   *Live
	events chan Event
	err    error // guarded by live.mu
}

// Subscribe returns a subscription to the events after the one with the given
// ID, the last that the caller has seen; 0 if it has seen none. It returns
// ErrTooManySubscribers at the limit.
func (l *Live) Subscribe(after uint64) (*Subscription, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.subs) >= l.opts.MaxSubscribers {
		l.stats.Refused++
		return nil, ErrTooManySubscribers
	}
	s := &Subscription{live: l, events: make(chan Event, l.opts.Buffer)}
	missed := l.id - after
	if after == 0 || after > l.id || missed > uint64(len(l.ring)) {
		s.Replay = l.current()
	} else {
		for id := after; id < l.id; id++ {
			s.Replay = append(s.Replay, l.ring[int(id%uint64(l.opts.History))])
		}
	}
	l.subs[s] = struct{}{}
	return s, nil
}

// Events returns the events after Replay. It is closed when the subscription ends.
func (s *Subscription) Events() <-chan Event { return s.events }

// Err says why Events was closed: ErrSlow, or nil after Close.
func (s *Subscription) Err() error {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	return s.err
}

// Close ends the subscription. It may be called twice.
func (s *Subscription) Close() {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	s.live.end(s, nil)
}
