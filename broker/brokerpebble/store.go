package brokerpebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/broker"
)

const storeFormat = 0x01

// Options are the optional parts of a Store. A nil *Options is all defaults.
type Options struct {
	// TrimEvery is how many shared messages are logged between two attempts to
	// delete the part of the log that no session needs any more. Zero means 4096.
	TrimEvery int

	// DequeueEvery is how many times a session dequeues between two deletions
	// of what it has dequeued. Zero means 64.
	DequeueEvery int
}

// A Store is a [broker.Store] on pebble. Its methods may be called from many
// goroutines. It holds nothing that needs closing; the database must stay open
// as long as the Store is used.
type Store struct {
	db   *pebble.DB
	keys keys
	opts Options

	// mu orders the numbers: they are given and their batch is made visible
	// under it, so that no message appears behind one with a higher number.
	mu     sync.Mutex
	next   uint64 // the next number
	queues map[string]*queue
	shared lows // queues with references to the log
	logged int  // shared messages since the last trim
	stats  Stats

	// trimming is held by the goroutine that trims the log. It is taken before mu.
	trimming sync.Mutex
	trimmed  uint64 // the log is empty below this
}

var _ broker.Store = (*Store)(nil)

// Stats are counts since Open, but for the gauge Queues.
type Stats struct {
	Enqueued    uint64 // messages, each once
	Shared      uint64 // of those, messages stored once for several sessions
	References  uint64 // to shared messages
	Trims       uint64 // deletions of a part of the shared log
	LowestKept  uint64 // the lowest number the shared log may hold
	NextSeq     uint64 // the next number
	Queues      int    // sessions with a queue in memory: about 100 bytes each
	CorruptRead uint64 // records that could not be read
}

// Open opens the store that lies below prefix in db, and makes it if there is
// nothing. It reads one or two keys for each session that has a queue.
func Open(ctx context.Context, db *pebble.DB, prefix string, opts *Options) (*Store, error) {
	if db == nil {
		return nil, errors.New("brokerpebble: no database")
	}
	s := &Store{db: db, keys: keys{prefix}, queues: map[string]*queue{}}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.TrimEvery < 0 || s.opts.DequeueEvery < 0 {
		return nil, errors.New("brokerpebble: negative option")
	}
	if s.opts.TrimEvery == 0 {
		s.opts.TrimEvery = 4096
	}
	if s.opts.DequeueEvery == 0 {
		s.opts.DequeueEvery = 64
	}
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("brokerpebble: open: %w", err)
	}
	return s, nil
}

func (s *Store) load(ctx context.Context) error {
	version, err := s.get(s.keys.version())
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		if err := s.db.Set(s.keys.version(), []byte{storeFormat}, pebble.Sync); err != nil {
			return err
		}
	case err != nil:
		return err
	case len(version) != 1 || version[0] != storeFormat:
		return fmt.Errorf("%w %x", ErrFormat, version)
	}
	s.next = 1
	next, err := s.get(s.keys.next())
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return err
	case len(next) != 8:
		return &CorruptError{Key: []byte("\x00n"), Offset: len(next), Reason: "not 8 bytes"}
	default:
		s.next = binary.BigEndian.Uint64(next)
	}
	return s.loadQueues(ctx)
}

// Stats returns the counts so far.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.NextSeq, st.Queues = s.next, len(s.queues)
	return st
}

// get returns a copy of the value of key, or pebble.ErrNotFound.
func (s *Store) get(key []byte) ([]byte, error) {
	v, closer, err := s.db.Get(key)
	if err != nil {
		return nil, err
	}
	v = append([]byte{}, v...)
	return v, closer.Close()
}

func (s *Store) countCorrupt(err error) {
	if errors.Is(err, ErrCorrupt) {
		s.mu.Lock()
		s.stats.CorruptRead++
		s.mu.Unlock()
	}
}

// Sessions implements [broker.SessionStore]. A record that cannot be read is
// yielded as a [*CorruptError]; the ones behind it follow.
func (s *Store) Sessions(ctx context.Context) iter.Seq2[broker.Session, error] {
	return func(yield func(broker.Session, error) bool) {
		all, err := s.marks(ctx)
		if err != nil {
			yield(broker.Session{}, fmt.Errorf("brokerpebble: sessions: %w", err))
			return
		}
		lower, upper := s.keys.bounds('s')
		for it, err := range s.scan(ctx, lower, upper) {
			if err != nil {
				yield(broker.Session{}, fmt.Errorf("brokerpebble: sessions: %w", err))
				return
			}
			sess, err := decodeSession(it.Key()[len(s.keys.prefix):], it.Value())
			s.countCorrupt(err)
			if m := all[sess.ClientID]; m != nil {
				sess.Received, sess.Released = m.received, m.released
			}
			sess.Tail = s.tail(sess.ClientID)
			if !yield(sess, err) {
				return
			}
		}
	}
}

// tail is the number of the last message in a queue, 0 if there is none.
func (s *Store) tail(client string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[client]; q != nil && q.last > q.position {
		return q.last
	}
	return 0
}

// SaveSession implements [broker.SessionStore].
func (s *Store) SaveSession(ctx context.Context, sess broker.Session) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkSession(&sess); err != nil {
		return err
	}
	if err := s.db.Set(s.keys.session(sess.ClientID), appendSession(nil, &sess), pebble.Sync); err != nil {
		return fmt.Errorf("brokerpebble: session %q: save: %w", sess.ClientID, err)
	}
	return nil
}

// DeleteSession implements [broker.SessionStore].
func (s *Store) DeleteSession(ctx context.Context, clientID string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	prefix := s.keys.queue(clientID)
	b := s.db.NewBatch()
	defer b.Close()
	err := errors.Join(
		b.Delete(s.keys.session(clientID), nil),
		b.Delete(s.keys.position(clientID), nil),
		b.DeleteRange(prefix, after(prefix), nil),
		b.DeleteRange(s.keys.received(clientID), after(s.keys.received(clientID)), nil),
		b.DeleteRange(s.keys.released(clientID), after(s.keys.released(clientID)), nil),
	)
	if err == nil {
		err = s.apply(b, func() { s.forget(clientID) })
	}
	if err != nil {
		return fmt.Errorf("brokerpebble: session %q: delete: %w", clientID, err)
	}
	return nil
}

// apply makes b visible together with then, under the lock, and waits for the
// disk outside of it.
func (s *Store) apply(b *pebble.Batch, then func()) error {
	s.mu.Lock()
	err := s.db.ApplyNoSyncWait(b, pebble.Sync)
	if err == nil {
		then()
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return b.SyncWait()
}

// scan yields an iterator at each key from lower to before upper, or one error.
// The loop's body may move it on with SeekGE.
func (s *Store) scan(ctx context.Context, lower, upper []byte) iter.Seq2[*pebble.Iterator, error] {
	return func(yield func(*pebble.Iterator, error) bool) {
		it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			yield(nil, err)
			return
		}
		left := false
		for ok := it.First(); ok; ok = it.Next() {
			if err := ctx.Err(); err != nil {
				break
			}
			if !yield(it, nil) {
				left = true
				break
			}
		}
		err = errors.Join(ctx.Err(), it.Error())
		if cerr := it.Close(); err == nil {
			err = cerr
		}
		if err != nil && !left {
			yield(nil, err)
		}
	}
}
