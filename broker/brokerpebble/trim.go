package brokerpebble

import (
	"container/heap"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
)

// lows are the queues that refer to the shared log, the one with the lowest
// reference first. Dequeuing leaves it alone: low is a bound that may be too
// low, and trim raises it.
type lows []*queue

func (l lows) Len() int           { return len(l) }
func (l lows) Less(i, j int) bool { return l[i].low < l[j].low }
func (l lows) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].index, l[j].index = i, j
}

// Push and Pop are for package heap.
func (l *lows) Push(x any) {
	q := x.(*queue)
	q.index = len(*l)
	*l = append(*l, q)
}

func (l *lows) Pop() any {
	q := (*l)[len(*l)-1]
	(*l)[len(*l)-1] = nil
	*l = (*l)[:len(*l)-1]
	q.index = -1
	return q
}

// add notes a reference with a number that is higher than all others of q.
func (l *lows) add(q *queue, seq uint64) {
	if q.index < 0 {
		q.low = seq
		heap.Push(l, q)
	}
}

func (l *lows) remove(q *queue) {
	if q.index >= 0 {
		heap.Remove(l, q.index)
	}
}

const (
	trimRounds = 64  // queues looked at in one trim
	trimSteps  = 256 // keys looked at in one of them
)

// trim deletes the part of the log below the lowest reference to it. One
// goroutine does it at a time, and the others do not wait. An error is not
// reported: the part stays and the next trim finds it again, and a database
// that cannot write tells so at the next Enqueue.
func (s *Store) trim() {
	if !s.trimming.TryLock() {
		return
	}
	defer s.trimming.Unlock()
	var low uint64
	for range trimRounds {
		q, from, last := s.lowest()
		if q == nil {
			low = last // nobody refers to what is below the next number
			break
		}
		low = from
		next, ok, err := s.nextShared(q.client, from)
		if err != nil {
			return
		}
		if raised := s.raise(q, from, last, next, ok); !raised {
			break
		}
	}
	if low <= s.trimmed {
		return
	}
	if err := s.db.DeleteRange(s.keys.log(s.trimmed), s.keys.log(low), pebble.NoSync); err != nil {
		return
	}
	s.trimmed = low
	s.mu.Lock()
	s.stats.Trims++
	s.stats.LowestKept = low
	s.mu.Unlock()
}

// lowest returns the queue with the lowest reference, where that can be at the
// lowest, and the highest in the queue; or no queue and the next number.
func (s *Store) lowest() (q *queue, from, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.shared) > 0 {
		q = s.shared[0]
		if q.last > q.position {
			if from := q.position + 1; from > q.low {
				q.low = from
				heap.Fix(&s.shared, 0)
				continue
			}
			return q, q.low, q.last
		}
		heap.Pop(&s.shared)
	}
	return nil, 0, s.next
}

// nextShared finds the first reference of a queue to the log with a number of
// from or above. After some steps it gives up and returns where it is; ok is
// false when there is none.
func (s *Store) nextShared(client string, from uint64) (seq uint64, ok bool, err error) {
	prefix := s.keys.queue(client)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: ref(prefix, from), UpperBound: after(prefix)})
	if err != nil {
		return 0, false, err
	}
	defer it.Close()
	steps := 0
	for valid := it.First(); valid; valid = it.Next() {
		key := it.Key()
		seq = binary.BigEndian.Uint64(key[len(key)-8:])
		if steps++; steps == trimSteps || len(it.Value()) <= 1 {
			return seq, true, nil
		}
	}
	return 0, false, it.Error()
}

// raise notes what nextShared found for q, unless q was at the exact number
// already. New references that came meanwhile are above last.
func (s *Store) raise(q *queue, from, last, next uint64, ok bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok && next == from {
		return false
	}
	if q.index < 0 || q.low != from {
		return true // deleted, or deleted and made anew: look again
	}
	switch {
	case ok:
		q.low = next
		heap.Fix(&s.shared, q.index)
	case q.last == last:
		s.shared.remove(q)
	default:
		q.low = last + 1
		heap.Fix(&s.shared, q.index)
	}
	return true
}
