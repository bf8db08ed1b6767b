package brokerpebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/broker"
)

// A queue is what is known in memory of one session's queue.
type queue struct {
	client   string
	position uint64 // dequeued up to here
	deleted  uint64 // references up to here are deleted
	dequeues int    // since they were
	marked   bool   // there may be marks of messages that the client has

	// For the trimming of the shared log: no reference to it is below low.
	// index is the place in Store.shared, -1 when there are no references.
	low   uint64
	last  uint64 // the highest reference
	index int
}

func (s *Store) queue(client string) *queue {
	q := s.queues[client]
	if q == nil {
		q = &queue{client: client, index: -1}
		s.queues[client] = q
	}
	return q
}

func (s *Store) forget(client string) {
	if q := s.queues[client]; q != nil {
		s.shared.remove(q)
		delete(s.queues, client)
	}
}

// loadQueues finds the queues that are not empty. It does not tell references
// from messages: what is taken for a reference here is looked at when trimming.
func (s *Store) loadQueues(ctx context.Context) error {
	lower, upper := s.keys.bounds('q')
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; {
		if err := ctx.Err(); err != nil {
			return err
		}
		client, first, valid := s.keys.splitRef(it.Key())
		if !valid {
			return &CorruptError{Key: append([]byte(nil), it.Key()[len(s.keys.prefix):]...), Reason: "not the key of a queue"}
		}
		q := s.queue(client)
		q.deleted = first - 1
		if q.position, err = s.loadPosition(client); err != nil {
			return err
		}
		end := after(s.keys.queue(client))
		if !it.SeekLT(end) {
			return errors.Join(it.Error(), errors.New("queue without a last key"))
		}
		_, q.last, _ = s.keys.splitRef(it.Key())
		if q.last > q.position {
			s.shared.add(q, max(first, q.position+1))
		}
		ok = it.SeekGE(end)
	}
	if err := it.Error(); err != nil {
		return err
	}
	all, err := s.marks(ctx)
	for client, m := range all {
		if q := s.queues[client]; q != nil {
			q.marked = len(m.released) > 0
		}
	}
	return err
}

func (s *Store) loadPosition(client string) (uint64, error) {
	v, err := s.get(s.keys.position(client))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(v) != 8:
		return 0, &CorruptError{Key: append([]byte{'p'}, client...), Offset: len(v), Reason: "not 8 bytes"}
	}
	return binary.BigEndian.Uint64(v), nil
}

// Enqueue implements [broker.SessionStore]. An empty batch is no error; an
// entry without sessions takes a number and stores nothing.
func (s *Store) Enqueue(ctx context.Context, batch []broker.Entry, marks ...broker.Mark) (first uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	// All that needs no number is done before the lock.
	records := make([][]byte, len(batch))
	size := 32
	for i := range batch {
		e := &batch[i]
		if err := checkEntry(e); err != nil {
			return 0, err
		}
		for _, c := range e.ClientIDs {
			size += len(s.keys.prefix) + len(c) + 32
		}
		if e.Modes != nil && len(e.ClientIDs) == 1 {
			e = &broker.Entry{Message: e.Message, ClientIDs: e.ClientIDs}
			e.Message.QoS, e.Message.Retain = batch[i].Modes[0].QoS, batch[i].Modes[0].Retain
		}
		if len(e.ClientIDs) > 0 {
			records[i] = appendMessage(make([]byte, 0, 64+len(e.Message.Topic)+len(e.Message.Payload)), &e.Message)
			size += len(records[i]) + 32
		}
	}
	for i := range marks {
		size += len(s.keys.prefix) + len(marks[i].ClientID) + 32
	}
	b := s.db.NewBatchWithSize(size)
	defer b.Close()

	s.mu.Lock()
	first = s.next
	err = s.fill(b, first, batch, records)
	if err == nil {
		err = s.mark(b, marks)
	}
	if err == nil {
		err = s.db.ApplyNoSyncWait(b, pebble.Sync)
	}
	trim := false
	if err == nil {
		trim = s.enqueued(first, batch)
	}
	s.mu.Unlock()

	if err == nil {
		err = b.SyncWait()
	}
	if err != nil {
		return 0, fmt.Errorf("brokerpebble: enqueue %d messages: %w", len(batch), err)
	}
	if trim {
		s.trim()
	}
	return first, nil
}

// fill puts a batch of entries that get numbers from first on into b.
func (s *Store) fill(b *pebble.Batch, first uint64, batch []broker.Entry, records [][]byte) error {
	for i := range batch {
		seq, clients, record := first+uint64(i), batch[i].ClientIDs, records[i]
		if len(clients) > 1 {
			if err := b.Set(s.keys.log(seq), record, nil); err != nil {
				return err
			}
			record = nil
		}
		for k, c := range clients {
			if len(clients) > 1 && batch[i].Modes != nil {
				record = appendMode(record[:0], batch[i].Modes[k])
			}
			if err := b.Set(ref(s.keys.queue(c), seq), record, nil); err != nil {
				return err
			}
		}
	}
	return b.Set(s.keys.next(), binary.BigEndian.AppendUint64(nil, first+uint64(len(batch))), nil)
}

// enqueued notes a batch that has become visible, and tells whether it is time
// to trim the log. It is called under mu.
func (s *Store) enqueued(first uint64, batch []broker.Entry) (trim bool) {
	for i := range batch {
		seq, clients := first+uint64(i), batch[i].ClientIDs
		if len(clients) > 1 {
			s.logged++
			s.stats.Shared++
			s.stats.References += uint64(len(clients))
		}
		for _, c := range clients {
			q := s.queue(c)
			q.last = seq
			if len(clients) > 1 {
				s.shared.add(q, seq)
			}
		}
	}
	s.next = first + uint64(len(batch))
	s.stats.Enqueued += uint64(len(batch))
	if s.logged < s.opts.TrimEvery {
		return false
	}
	s.logged = 0
	return true
}

// Dequeue implements [broker.SessionStore]. It does not wait for the disk.
func (s *Store) Dequeue(ctx context.Context, clientID string, upTo uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[clientID]
	if q == nil {
		return nil // nothing was ever enqueued, or all of it is deleted
	}
	upTo = min(upTo, s.next-1) // a position ahead would swallow what comes
	if upTo <= q.position {
		return nil
	}
	b := s.db.NewBatch()
	defer b.Close()
	err := b.Set(s.keys.position(clientID), binary.BigEndian.AppendUint64(nil, upTo), nil)
	purge := q.dequeues+1 >= s.opts.DequeueEvery
	if err == nil && purge {
		prefix := s.keys.queue(clientID)
		err = b.DeleteRange(ref(prefix, q.deleted+1), ref(prefix, upTo+1), nil)
	}
	if err == nil && q.marked {
		// In the batch that moves the position: a mark never goes before its message.
		prefix := s.keys.released(clientID)
		err = b.DeleteRange(ref(prefix, q.position+1), ref(prefix, upTo+1), nil)
	}
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err != nil {
		return fmt.Errorf("brokerpebble: session %q: dequeue: %w", clientID, err)
	}
	q.position = upTo
	q.dequeues++
	if purge {
		q.dequeues, q.deleted = 0, upTo
	}
	return nil
}

// Queue implements [broker.SessionStore]. It sees the queue as it is when the
// loop begins. A message that cannot be read is yielded with its number and a
// [*CorruptError]; the ones behind it follow, so that the caller may dequeue it
// and go on.
func (s *Store) Queue(ctx context.Context, clientID string, seq uint64) iter.Seq2[broker.Queued, error] {
	return func(yield func(broker.Queued, error) bool) {
		fail := func(err error) {
			yield(broker.Queued{}, fmt.Errorf("brokerpebble: session %q: queue: %w", clientID, err))
		}
		s.mu.Lock()
		q := s.queues[clientID]
		if q == nil || q.last <= max(seq, q.position) {
			s.mu.Unlock()
			if err := ctx.Err(); err != nil {
				fail(err)
			}
			return
		}
		seq = max(seq, q.position)
		s.mu.Unlock()

		prefix := s.keys.queue(clientID)
		// The log is read through the snapshot that the references are read
		// from: a trim while this loop runs takes nothing away from it.
		snap := s.db.NewSnapshot()
		defer snap.Close()
		it, err := snap.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: ref(prefix, seq+1), UpperBound: after(prefix)})
		if err != nil {
			fail(err)
			return
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			if err := ctx.Err(); err != nil {
				fail(err)
				return
			}
			queued, err := s.queued(snap, it)
			s.countCorrupt(err)
			if err != nil && !errors.Is(err, ErrCorrupt) {
				fail(err)
				return
			}
			if !yield(queued, err) {
				return
			}
		}
		if err := it.Error(); err != nil {
			fail(err)
		}
	}
}

// queued reads the message at it.
func (s *Store) queued(snap *pebble.Snapshot, it *pebble.Iterator) (broker.Queued, error) {
	key := it.Key()
	seq := binary.BigEndian.Uint64(key[len(key)-8:])
	record, err := it.ValueAndErr()
	if err != nil {
		return broker.Queued{}, err
	}
	mode, reference, err := decodeMode(key[len(s.keys.prefix):], record)
	if err != nil {
		return broker.Queued{Seq: seq}, err
	}
	if reference {
		key = s.keys.log(seq)
		shared, closer, err := snap.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			return broker.Queued{Seq: seq}, &CorruptError{Key: key[len(s.keys.prefix):], Reason: "missing, but a queue refers to it"}
		}
		if err != nil {
			return broker.Queued{}, err
		}
		defer closer.Close()
		record = shared
	}
	m, err := decodeMessage(key[len(s.keys.prefix):], record)
	if mode != nil && err == nil {
		m.QoS, m.Retain = mode.QoS, mode.Retain
	}
	return broker.Queued{Seq: seq, Message: m}, err
}
