package shadowpebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/shadow"
)

// Options are the optional parts of a Store. A nil *Options is all defaults.
type Options struct {
	// History is how many documents are kept for each shadow besides the
	// present one. Zero means 10; negative means none.
	History int
}

// A Store is a shadow.Store and shadow.Historian on pebble. Its methods may be
// called from many goroutines. It holds nothing that needs closing.
type Store struct {
	db      *pebble.DB
	prefix  string
	history int
	// locks make compare and write of one shadow one step. No sync is waited for under them.
	locks [256]sync.Mutex
	seed  maphash.Seed
}

var (
	_ shadow.Store     = (*Store)(nil)
	_ shadow.Historian = (*Store)(nil)
)

// New returns a Store over the keys of db that begin with prefix.
func New(db *pebble.DB, prefix string, opts *Options) *Store {
	s := &Store{db: db, prefix: prefix, history: 10, seed: maphash.MakeSeed()}
	if opts != nil && opts.History != 0 {
		s.history = max(opts.History, 0)
	}
	return s
}

func (s *Store) key(ref shadow.Ref) []byte {
	b := make([]byte, 0, len(s.prefix)+len(ref.Thing)+1+len(ref.Name))
	return append(append(append(append(b, s.prefix...), ref.Thing...), 0), ref.Name...)
}

func (s *Store) lock(ref shadow.Ref) *sync.Mutex {
	return &s.locks[maphash.Comparable(s.seed, ref)%uint64(len(s.locks))]
}

// Load is part of shadow.Store.
func (s *Store) Load(ctx context.Context, ref shadow.Ref) (d shadow.Document, err error) {
	if err := ctx.Err(); err != nil {
		return d, err
	}
	err = s.read(ref, func(value []byte) error {
		d, err = decode(value)
		return err
	})
	return d, err
}

// read calls f with the stored value, which is valid until f returns.
func (s *Store) read(ref shadow.Ref, f func(value []byte) error) error {
	value, closer, err := s.db.Get(s.key(ref))
	if errors.Is(err, pebble.ErrNotFound) {
		return fmt.Errorf("%s: %w", ref, shadow.ErrNotFound)
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	return f(value)
}

// Save is part of shadow.Store.
func (s *Store) Save(ctx context.Context, ref shadow.Ref, doc shadow.Document, prev int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := b.Set(s.key(ref), encode(doc), nil); err != nil {
		return err
	}
	if err := s.swap(ref, b, doc.Version, prev); err != nil {
		return err
	}
	return b.SyncWait()
}

// swap applies b, and what it means for the history, if the stored version is prev.
func (s *Store) swap(ref shadow.Ref, b *pebble.Batch, version, prev int64) error {
	mu := s.lock(ref)
	mu.Lock()
	defer mu.Unlock()
	var stored int64
	err := s.read(ref, func(value []byte) error {
		h, err := decodeHead(value)
		if stored = h.version; err != nil || stored != prev {
			return err
		}
		return s.keep(b, ref, value, version, prev)
	})
	if err != nil && !errors.Is(err, shadow.ErrNotFound) {
		return err
	}
	if stored != prev {
		return fmt.Errorf("%s: version %d stored, %d expected: %w", ref, stored, prev, shadow.ErrVersionConflict)
	}
	return s.db.ApplyNoSyncWait(b, pebble.Sync)
}

// Names is part of shadow.Store.
func (s *Store) Names(ctx context.Context, thing, after string) iter.Seq2[string, error] {
	lower := append(s.key(shadow.Ref{Thing: thing, Name: after}), 0) // behind after, and behind the classic shadow
	upper := append([]byte(s.prefix+thing), 1)
	return func(yield func(string, error) bool) {
		for ref, err := range s.scan(ctx, lower, upper, false, time.Time{}) {
			if !yield(ref.Name, err) || err != nil {
				return
			}
		}
	}
}

// Refs is part of shadow.Store.
func (s *Store) Refs(ctx context.Context) iter.Seq2[shadow.Ref, error] {
	return s.scan(ctx, s.first(), upperBound(s.prefix), false, time.Time{})
}

// first is the lowest key that a shadow can have; below it are the histories.
func (s *Store) first() []byte { return append([]byte(s.prefix), 1) }

// Purge is part of shadow.Store.
func (s *Store) Purge(ctx context.Context, before time.Time) (int, error) {
	n := 0
	for ref, err := range s.scan(ctx, s.first(), upperBound(s.prefix), true, before) {
		if err != nil {
			return n, err
		}
		gone, err := s.forget(ref, before)
		if err != nil {
			return n, err
		}
		if gone {
			n++
		}
	}
	return n, nil
}

// forget removes a tombstone and its history unless somebody wrote in between.
// It need not be synced: a tombstone that a crash brings back is purged again.
func (s *Store) forget(ref shadow.Ref, before time.Time) (gone bool, err error) {
	mu := s.lock(ref)
	mu.Lock()
	defer mu.Unlock()
	err = s.read(ref, func(value []byte) error {
		h, err := decodeHead(value)
		gone = h.deleted && h.time.Before(before)
		return err
	})
	if err != nil || !gone {
		if errors.Is(err, shadow.ErrNotFound) {
			err = nil
		}
		return false, err
	}
	b := s.db.NewBatch()
	defer b.Close()
	lower, upper := s.historyBounds(ref)
	if err := errors.Join(b.Delete(s.key(ref), nil), b.DeleteRange(lower, upper, nil)); err != nil {
		return false, err
	}
	return true, b.Commit(pebble.NoSync)
}

// scan yields the shadows between two keys, or the tombstones written before before.
func (s *Store) scan(ctx context.Context, lower, upper []byte, tombstones bool, before time.Time) iter.Seq2[shadow.Ref, error] {
	return func(yield func(shadow.Ref, error) bool) {
		it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			yield(shadow.Ref{}, err)
			return
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			if err := ctx.Err(); err != nil {
				yield(shadow.Ref{}, err)
				return
			}
			thing, name, _ := bytes.Cut(it.Key()[len(s.prefix):], []byte{0})
			h, err := decodeHead(it.Value())
			if err != nil {
				yield(shadow.Ref{}, fmt.Errorf("%s/%s: %w", thing, name, err))
				return
			}
			if h.deleted != tombstones || tombstones && !h.time.Before(before) {
				continue
			}
			if !yield(shadow.Ref{Thing: string(thing), Name: string(name)}, nil) {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(shadow.Ref{}, err)
		}
	}
}

// upperBound is the first key behind all that begin with prefix; nil if there is none.
func upperBound(prefix string) []byte {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return b[:i+1]
		}
	}
	return nil
}
