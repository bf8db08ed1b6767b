// Package actionspebble keeps the queues of actions in a pebble database: what
// a rule handed over before its message was acknowledged is delivered after a
// crash, and a slow sink costs disk, not memory. It takes an open database and
// a key prefix and closes neither.
//
// # Format, version 1
//
// Below the prefix, with id the 32 digits of actions.Identity.ID:
//
//	'i' id            JSON of the identity
//	'q' id seq        one request; seq is 8 bytes, big-endian
//
// The value of a request is 8 bytes, big-endian, the time it was taken in
// nanoseconds since 1970, and actions.Request.AppendBinary.
//
// # Guarantees
//
// Push returns once the request is synced; concurrent Pushes share a sync. Ack
// is not synced: what a crash brings back is delivered again, so delivery is
// at least once.
package actionspebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/actions"
)

// Options are the optional parts of Queues. A nil *Options is all defaults.
type Options struct {
	// MaxCallbacks is how many Request.Done one queue keeps in memory; the
	// outcome of requests beyond them goes to actions.Options.Settled. Zero means 100,000.
	MaxCallbacks int
	// Now gives the time that Limits.MaxAge counts from. Nil means time.Now.
	Now func() time.Time
}

// Queues are actions.Queues on pebble.
type Queues struct {
	db     *pebble.DB
	prefix string
	opts   Options
}

var _ actions.Queues = (*Queues)(nil)

// New returns Queues over the keys of db that begin with prefix.
func New(db *pebble.DB, prefix string, opts *Options) *Queues {
	q := &Queues{db: db, prefix: prefix}
	if opts != nil {
		q.opts = *opts
	}
	if q.opts.MaxCallbacks == 0 {
		q.opts.MaxCallbacks = 100_000
	}
	if q.opts.Now == nil {
		q.opts.Now = time.Now
	}
	return q
}

func (q *Queues) key(kind byte, id string) []byte { return []byte(q.prefix + string(kind) + id) }

// OpenQueue is part of actions.Queues.
func (q *Queues) OpenQueue(ctx context.Context, id actions.Identity, l actions.Limits) (actions.Queue, error) {
	if l.MaxCount == 0 {
		l.MaxCount = 10_000_000
	}
	if l.MaxBytes == 0 {
		l.MaxBytes = 4 << 30
	}
	text, err := json.Marshal(id)
	if err != nil {
		return nil, err
	}
	// Not synced: it is in the log before the first request, which is.
	if err := q.db.Set(q.key('i', id.ID()), text, pebble.NoSync); err != nil {
		return nil, err
	}
	o := &queue{owner: q, id: id.ID(), limits: l, done: map[uint64]func(error){}, sizes: map[uint64]int{}, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	return o, o.recover(ctx)
}

// Stored is part of actions.Queues.
func (q *Queues) Stored(ctx context.Context) iter.Seq2[actions.Identity, error] {
	return func(yield func(actions.Identity, error) bool) {
		it, err := q.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: q.key('i', ""), UpperBound: q.key('i'+1, "")})
		if err != nil {
			yield(actions.Identity{}, err)
			return
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			var id actions.Identity
			if err := json.Unmarshal(it.Value(), &id); err != nil {
				yield(id, fmt.Errorf("%w: identity: %w", actions.ErrCorrupt, err))
				return
			}
			has, err := q.has(id.ID())
			if err == nil && !has {
				continue
			}
			if !yield(id, err) || err != nil {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(actions.Identity{}, err)
		}
	}
}

func (q *Queues) has(id string) (bool, error) {
	it, err := q.iter(id, 0)
	if err != nil {
		return false, err
	}
	has := it.First()
	return has, errors.Join(it.Error(), it.Close())
}

// iter iterates over the requests of a queue from a number on.
func (q *Queues) iter(id string, from uint64) (*pebble.Iterator, error) {
	lower := q.key('q', id)
	upper := binary.BigEndian.AppendUint64(bytes.Clone(lower), 1<<64-1)
	return q.db.NewIter(&pebble.IterOptions{LowerBound: binary.BigEndian.AppendUint64(lower, from), UpperBound: upper})
}

// queue is one actions.Queue. What waits is on disk alone; in memory are the
// numbers, the callbacks, and what was read ahead for the workers.
type queue struct {
	owner  *Queues
	id     string
	limits actions.Limits
	wake   chan struct{}
	closed chan struct{}

	mu     sync.Mutex
	next   uint64 // number of the next request
	read   uint64 // number after the last one read ahead
	ahead  []actions.Entry
	count  int
	bytes  int64
	done   map[uint64]func(error)
	sizes  map[uint64]int // of what was read ahead and is not acknowledged
	ending bool
}

var _ actions.Queue = (*queue)(nil)

// recover counts what an earlier process left.
func (o *queue) recover(context.Context) error {
	it, err := o.owner.iter(o.id, 0)
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		seq := binary.BigEndian.Uint64(it.Key()[len(it.Key())-8:])
		if o.count == 0 {
			o.read = seq
		}
		o.count++
		o.bytes += int64(len(it.Value()))
		o.next = seq + 1
	}
	if o.count > 0 {
		o.signal()
	}
	return errors.Join(it.Error(), it.Close())
}

func (o *queue) key(seq uint64) []byte {
	return binary.BigEndian.AppendUint64(o.owner.key('q', o.id), seq)
}

// Push is part of actions.Queue.
func (o *queue) Push(ctx context.Context, r *actions.Request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	value := binary.BigEndian.AppendUint64(make([]byte, 0, 64+r.Size()), uint64(o.owner.opts.Now().UnixNano()))
	value, err := r.AppendBinary(value)
	if err != nil {
		return err
	}
	b := o.owner.db.NewBatch()
	defer b.Close()
	if err := o.append(b, value, r.Done); err != nil {
		return err
	}
	// Visible already: a worker may deliver it before this returns.
	if err := b.SyncWait(); err != nil {
		return err
	}
	o.signal()
	return nil
}

// append numbers a request and makes it visible, both under the lock, so that
// numbers appear in order.
func (o *queue) append(b *pebble.Batch, value []byte, done func(error)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.ending:
		return actions.ErrClosed
	case o.limits.MaxCount > 0 && o.count >= o.limits.MaxCount,
		o.limits.MaxBytes > 0 && o.bytes+int64(len(value)) > o.limits.MaxBytes:
		return actions.ErrQueueFull
	}
	if err := b.Set(o.key(o.next), value, nil); err != nil {
		return err
	}
	if err := o.owner.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		return err
	}
	if done != nil && len(o.done) < o.owner.opts.MaxCallbacks {
		o.done[o.next] = done
	}
	o.next++
	o.count++
	o.bytes += int64(len(value))
	return nil
}

func (o *queue) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Pop is part of actions.Queue.
func (o *queue) Pop(ctx context.Context, into []actions.Entry) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, more, err := o.take(into)
		if more {
			o.signal() // for another worker
		}
		if n > 0 || err != nil {
			return n, err
		}
		select {
		case <-o.wake:
		case <-ctx.Done():
		case <-o.closed:
		}
	}
}

// readAhead is how many requests one read of the database fetches.
const readAhead = 64

func (o *queue) take(into []actions.Entry) (n int, more bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return 0, false, actions.ErrClosed
	}
	if len(o.ahead) == 0 && o.read < o.next {
		if err := o.fetch(); err != nil {
			return 0, false, err
		}
	}
	n = copy(into, o.ahead)
	clear(o.ahead[:n])
	o.ahead = o.ahead[n:]
	return n, len(o.ahead) > 0 || o.read < o.next, nil
}

func (o *queue) fetch() error {
	it, err := o.owner.iter(o.id, o.read)
	if err != nil {
		return err
	}
	now := o.owner.opts.Now()
	for ok := it.First(); ok && len(o.ahead) < readAhead; ok = it.Next() {
		e := actions.Entry{Seq: binary.BigEndian.Uint64(it.Key()[len(it.Key())-8:])}
		value, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		o.sizes[e.Seq] = len(value)
		if len(value) < 8 {
			e.Err = fmt.Errorf("%w: %d bytes", actions.ErrCorrupt, len(value))
		} else {
			e.Err = e.Request.UnmarshalBinary(value[8:])
			taken := time.Unix(0, int64(binary.BigEndian.Uint64(value)))
			if e.Err == nil && o.limits.MaxAge > 0 && now.Sub(taken) > o.limits.MaxAge {
				e.Err = actions.ErrExpired
			}
		}
		var kept bool
		e.Request.Done, kept = o.done[e.Seq]
		delete(o.done, e.Seq)
		e.Lost = !kept
		o.ahead = append(o.ahead, e)
		o.read = e.Seq + 1
	}
	return errors.Join(it.Error(), it.Close())
}

// Ack is part of actions.Queue.
func (o *queue) Ack(entries []actions.Entry) error {
	b := o.owner.db.NewBatch()
	defer b.Close()
	for i := range entries {
		if err := b.Delete(o.key(entries[i].Seq), nil); err != nil {
			return err
		}
	}
	if err := o.owner.db.Apply(b, pebble.NoSync); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range entries {
		size, ok := o.sizes[entries[i].Seq]
		if !ok {
			continue // acknowledged before
		}
		delete(o.sizes, entries[i].Seq)
		o.count--
		o.bytes -= int64(size)
	}
	return nil
}

// Size is part of actions.Queue.
func (o *queue) Size() (int, int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count, o.bytes
}

// Durable is part of actions.Queue.
func (o *queue) Durable() bool { return true }

// Close is part of actions.Queue. An empty queue leaves nothing behind.
func (o *queue) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return nil
	}
	o.ending = true
	close(o.closed)
	if o.count == 0 {
		return o.owner.db.Delete(o.owner.key('i', o.id), pebble.NoSync)
	}
	return nil
}
