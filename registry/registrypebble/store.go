package registrypebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/registry"
)

// Options are the optional parts of a Store. A nil *Options is all defaults.
type Options struct {
	// NoSync acknowledges writes that a power cut may take back. It is for
	// bulk loads that can be repeated.
	NoSync bool
}

// A Store is a registry.Store in pebble. It is safe for concurrent use. Only
// one Store may be open for a prefix.
type Store struct {
	db   *pebble.DB
	meta []byte // key of format and last version
	data []byte // prefix of entries
	sync *pebble.WriteOptions

	mu   sync.Mutex // held from check to apply
	last uint64     // last version given
}

var _ registry.Store = (*Store)(nil)

const formatVersion = 1

// ErrFormat reports data below the prefix that this version cannot read.
var ErrFormat = errors.New("registrypebble: unknown format")

// Open reads the state of the store below prefix. It writes nothing.
func Open(ctx context.Context, db *pebble.DB, prefix string, opts *Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &Store{db: db, meta: []byte(prefix + "m"), data: []byte(prefix + "d"), sync: pebble.Sync}
	if opts != nil && opts.NoSync {
		s.sync = pebble.NoSync
	}
	value, closer, err := db.Get(s.meta)
	if errors.Is(err, pebble.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("registrypebble: open: %w", err)
	}
	defer closer.Close()
	if len(value) != 9 || value[0] != formatVersion {
		return nil, fmt.Errorf("%w: %d bytes at %q", ErrFormat, len(value), s.meta)
	}
	s.last = binary.BigEndian.Uint64(value[1:])
	return s, nil
}

func (s *Store) key(k string) []byte { return append(bytes.Clone(s.data), k...) }

// Get implements registry.Store.
func (s *Store) Get(ctx context.Context, key string) (registry.Entry, error) {
	if err := ctx.Err(); err != nil {
		return registry.Entry{}, err
	}
	value, closer, err := s.db.Get(s.key(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return registry.Entry{}, fmt.Errorf("registrypebble: key %q: %w", key, registry.ErrNotFound)
	}
	if err != nil {
		return registry.Entry{}, fmt.Errorf("registrypebble: get: %w", err)
	}
	defer closer.Close()
	return decode(key, value)
}

func decode(key string, value []byte) (registry.Entry, error) {
	if len(value) < 8 {
		return registry.Entry{}, fmt.Errorf("%w: key %q has %d bytes", ErrFormat, key, len(value))
	}
	return registry.Entry{Key: key, Version: int64(binary.BigEndian.Uint64(value)), Value: bytes.Clone(value[8:])}, nil
}

func (s *Store) version(key []byte) (int64, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	if len(value) < 8 {
		return 0, fmt.Errorf("%w: key %q has %d bytes", ErrFormat, key, len(value))
	}
	return int64(binary.BigEndian.Uint64(value)), nil
}

// Apply implements registry.Store.
func (s *Store) Apply(ctx context.Context, ops ...registry.Op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	defer b.Close()
	written, err := s.apply(b, ops)
	if err != nil || !written {
		return err
	}
	if s.sync.Sync {
		if err := b.SyncWait(); err != nil {
			return fmt.Errorf("registrypebble: sync: %w", err)
		}
	}
	return nil
}

// apply checks the ops and hands the batch to pebble, from where readers and
// the next caller see it.
func (s *Store) apply(b *pebble.Batch, ops []registry.Op) (written bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range ops {
		if err := s.check(&ops[i]); err != nil {
			return false, err
		}
	}
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], s.last+1)
	for _, op := range ops {
		switch op.Kind {
		case registry.Put: // put together in place
			d := b.SetDeferred(len(s.data)+len(op.Key), len(head)+len(op.Value))
			copy(d.Key[copy(d.Key, s.data):], op.Key)
			copy(d.Value[copy(d.Value, head[:]):], op.Value)
			err = d.Finish()
		case registry.Delete:
			err = b.Delete(s.key(op.Key), nil)
		}
		if err != nil {
			return false, fmt.Errorf("registrypebble: batch: %w", err)
		}
	}
	if b.Empty() {
		return false, nil
	}
	if err := b.Set(s.meta, append([]byte{formatVersion}, head[:]...), nil); err != nil {
		return false, fmt.Errorf("registrypebble: batch: %w", err)
	}
	// A version is given once, also if what follows fails halfway.
	s.last++
	if s.sync.Sync {
		err = s.db.ApplyNoSyncWait(b, s.sync)
	} else {
		err = s.db.Apply(b, s.sync)
	}
	if err != nil {
		return false, fmt.Errorf("registrypebble: apply: %w", err)
	}
	return true, nil
}

// DeletePrefix deletes all entries whose keys begin with prefix, in one step that neither
// reads nor checks them.
func (s *Store) DeletePrefix(ctx context.Context, prefix string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lower := s.key(prefix)
	if err := s.db.DeleteRange(lower, after(lower), s.sync); err != nil {
		return fmt.Errorf("registrypebble: delete %q: %w", prefix, err)
	}
	return nil
}

func (s *Store) check(op *registry.Op) error {
	holds := true
	switch {
	case op.Kind == registry.CheckEmpty:
		lower := s.key(op.Key)
		it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: after(lower)})
		if err != nil {
			return fmt.Errorf("registrypebble: iterator: %w", err)
		}
		holds = !it.First()
		if err := errors.Join(it.Error(), it.Close()); err != nil {
			return fmt.Errorf("registrypebble: iterator: %w", err)
		}
	case op.Prev != registry.Any:
		v, err := s.version(s.key(op.Key))
		if err != nil {
			return fmt.Errorf("registrypebble: get: %w", err)
		}
		holds = v == op.Prev || op.Prev == registry.Present && v > 0
	}
	if !holds {
		return fmt.Errorf("registrypebble: key %q: %w", op.Key, registry.ErrVersionConflict)
	}
	return nil
}

// after returns the smallest key greater than all that begin with prefix, or
// nil if there is none.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// scanPage is how many entries one iterator reads before it is closed: an
// open iterator keeps files and memtables, and the loop body may take long.
const scanPage = 256

// Scan implements registry.Store.
func (s *Store) Scan(ctx context.Context, prefix, from string) iter.Seq2[registry.Entry, error] {
	return func(yield func(registry.Entry, error) bool) {
		for limit := firstPage; ; limit = min(4*limit, scanPage) {
			page, err := s.page(ctx, prefix, from, limit)
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
				from = e.Key
			}
			if err != nil {
				yield(registry.Entry{}, err)
				return
			}
			if len(page) < limit {
				return
			}
		}
	}
}

// firstPage is where pages begin to grow: many callers want one entry only.
const firstPage = 16

func (s *Store) page(ctx context.Context, prefix, from string, limit int) ([]registry.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lower := s.key(prefix)
	upper := after(lower)
	if from >= prefix && from != "" {
		lower = append(s.key(from), 0) // the first key beyond
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, fmt.Errorf("registrypebble: iterator: %w", err)
	}
	var page []registry.Entry
	for ok := it.First(); ok && len(page) < limit; ok = it.Next() {
		e, err := decode(string(it.Key()[len(s.data):]), it.Value())
		if err != nil {
			it.Close()
			return page, err
		}
		page = append(page, e)
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return page, fmt.Errorf("registrypebble: iterator: %w", err)
	}
	return page, nil
}
