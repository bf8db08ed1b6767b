package actions

import (
	"context"
	"iter"
	"sync"
	"time"
)

// Memory are queues that live as long as the process: rings that grow to their limits.
type Memory struct{}

// NewMemory returns Queues in memory.
func NewMemory() *Memory { return &Memory{} }

var _ Queues = (*Memory)(nil)

// OpenQueue returns a new, empty queue.
func (*Memory) OpenQueue(_ context.Context, _ Identity, l Limits) (Queue, error) {
	if l.MaxCount == 0 {
		l.MaxCount = 10_000
	}
	if l.MaxBytes == 0 {
		l.MaxBytes = 16 << 20
	}
	return &memQueue{limits: l, wake: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

// Stored yields nothing.
func (*Memory) Stored(context.Context) iter.Seq2[Identity, error] {
	return func(func(Identity, error) bool) {}
}

type memQueue struct {
	limits Limits
	wake   chan struct{} // holds a token while there may be something to pop
	done   chan struct{} // closed by Close

	mu     sync.Mutex
	ring   []memEntry
	head   int // index of the oldest
	n      int // not popped yet
	count  int // not acknowledged yet
	bytes  int64
	seq    uint64
	closed bool
}

type memEntry struct {
	r     Request
	since time.Time // set only where MaxAge needs it
}

func (q *memQueue) Push(ctx context.Context, r *Request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	size := r.Size()
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return ErrClosed
	case q.limits.MaxCount > 0 && q.count >= q.limits.MaxCount,
		q.limits.MaxBytes > 0 && q.bytes+size > q.limits.MaxBytes:
		q.mu.Unlock()
		return ErrQueueFull
	}
	if q.n == len(q.ring) {
		q.grow()
	}
	e := &q.ring[(q.head+q.n)%len(q.ring)]
	e.r = *r
	if q.limits.MaxAge > 0 {
		e.since = time.Now()
	}
	q.n++
	q.count++
	q.bytes += size
	q.mu.Unlock()
	q.signal()
	return nil
}

func (q *memQueue) grow() {
	ring := make([]memEntry, max(16, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = q.ring[(q.head+i)%len(q.ring)]
	}
	q.ring, q.head = ring, 0
}

func (q *memQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *memQueue) Pop(ctx context.Context, into []Entry) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, more, closed := q.take(into)
		if more {
			q.signal() // for another worker
		}
		switch {
		case n > 0:
			return n, nil
		case closed:
			return 0, ErrClosed
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
		case <-q.done:
		}
	}
}

func (q *memQueue) take(into []Entry) (n int, more, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, false, true
	}
	var now time.Time
	if q.limits.MaxAge > 0 {
		now = time.Now()
	}
	for n < len(into) && q.n > 0 {
		e := &q.ring[q.head]
		q.seq++
		into[n] = Entry{Seq: q.seq, Request: e.r}
		if q.limits.MaxAge > 0 && now.Sub(e.since) > q.limits.MaxAge {
			into[n].Err = ErrExpired
		}
		*e = memEntry{} // the ring must not keep payloads alive
		q.head = (q.head + 1) % len(q.ring)
		q.n--
		n++
	}
	if q.n == 0 && len(q.ring) > 1024 {
		q.ring, q.head = nil, 0 // a burst is over
	}
	return n, q.n > 0, false
}

func (q *memQueue) Ack(entries []Entry) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range entries {
		q.count--
		q.bytes -= entries[i].Request.Size()
	}
	return nil
}

func (q *memQueue) Size() (int, int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count, q.bytes
}

func (q *memQueue) Durable() bool { return false }

func (q *memQueue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		q.ring = nil
		close(q.done)
	}
	return nil
}
