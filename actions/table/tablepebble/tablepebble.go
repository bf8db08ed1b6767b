// Package tablepebble keeps tables in a pebble database. It takes an open
// database and a key prefix and closes neither.
//
// Format, version 1: below the prefix the key is the table name, 0x00, the key,
// 0x00, the sort key; the value is the JSON of the item. Names and keys hold no
// zero byte, so rows are ordered by key and sort key.
package tablepebble

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"iter"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/actions/table"
)

// A Store is a table.Store on pebble. A write returns once it is synced;
// concurrent ones share a sync.
type Store struct {
	db     *pebble.DB
	prefix string
	seed   maphash.Seed
	rows   [256]sync.Mutex // by hash of the row's key: writes of one row are applied one after the other
}

var _ table.Store = (*Store)(nil)

// New returns a Store over the keys of db that begin with prefix. Have one for
// a prefix: what Update promises holds among the writes of one Store.
func New(db *pebble.DB, prefix string) *Store {
	return &Store{db: db, prefix: prefix, seed: maphash.MakeSeed()}
}

func (s *Store) key(name, key, sort string) []byte {
	return []byte(s.prefix + name + "\x00" + key + "\x00" + sort)
}

// Get is part of table.Store.
func (s *Store) Get(ctx context.Context, name, key, sort string) (json.RawMessage, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	item, err := s.get(s.key(name, key, sort))
	if item == nil && err == nil {
		err = table.ErrNotFound
	}
	return item, err
}

// get returns nil if there is no item.
func (s *Store) get(row []byte) (json.RawMessage, error) {
	value, closer, err := s.db.Get(row)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return bytes.Clone(value), nil
}

// Put is part of table.Store.
func (s *Store) Put(ctx context.Context, name, key, sort string, item json.RawMessage) error {
	return s.write(ctx, s.key(name, key, sort), func([]byte) (json.RawMessage, error) { return item, nil })
}

// Delete is part of table.Store.
func (s *Store) Delete(ctx context.Context, name, key, sort string) error {
	return s.write(ctx, s.key(name, key, sort), func([]byte) (json.RawMessage, error) { return nil, nil })
}

// Update is part of table.Store.
func (s *Store) Update(ctx context.Context, name, key, sort string, f func(old json.RawMessage) (json.RawMessage, error)) error {
	return s.write(ctx, s.key(name, key, sort), func(row []byte) (json.RawMessage, error) {
		old, err := s.get(row)
		if err != nil {
			return nil, err
		}
		return f(old)
	})
}

// write stores what f returns, or removes the row if that is nil. Only the order
// of writes is kept under the lock; the disk is waited for outside of it.
func (s *Store) write(ctx context.Context, row []byte, f func(row []byte) (json.RawMessage, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := s.apply(b, row, f); err != nil {
		return err
	}
	return b.SyncWait()
}

func (s *Store) apply(b *pebble.Batch, row []byte, f func(row []byte) (json.RawMessage, error)) error {
	lock := &s.rows[maphash.Bytes(s.seed, row)%uint64(len(s.rows))]
	lock.Lock()
	defer lock.Unlock() // f may panic
	item, err := f(row)
	if err != nil {
		return err
	}
	if item == nil {
		err = b.Delete(row, nil)
	} else {
		err = b.Set(row, item, nil)
	}
	if err != nil {
		return err
	}
	return s.db.ApplyNoSyncWait(b, pebble.Sync)
}

// Rows is part of table.Store.
func (s *Store) Rows(ctx context.Context, name string, r table.Range) iter.Seq2[table.Row, error] {
	lower := []byte(s.prefix + name + "\x00")
	if r.Key != "" {
		lower = append(append(lower, r.Key...), 0)
		lower = append(lower, r.Prefix...)
	}
	upper := successor(lower)
	if r.AfterKey != "" {
		// One zero more is the next possible key.
		if after := append(s.key(name, r.AfterKey, r.AfterSort), 0); bytes.Compare(after, lower) > 0 {
			lower = after
		}
		if upper != nil && bytes.Compare(lower, upper) > 0 {
			lower = upper // pebble wants them in order
		}
	}
	return func(yield func(table.Row, error) bool) {
		it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			yield(table.Row{}, err)
			return
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			if err := ctx.Err(); err != nil {
				yield(table.Row{}, err)
				return
			}
			value, err := it.ValueAndErr()
			if err != nil {
				yield(table.Row{}, err)
				return
			}
			k, sort, _ := bytes.Cut(it.Key()[len(s.prefix)+len(name)+1:], []byte{0})
			if !yield(table.Row{Key: string(k), Sort: string(sort), Item: bytes.Clone(value)}, nil) {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(table.Row{}, err)
		}
	}
}

// successor is the first key that does not begin with prefix; nil if there is none.
func successor(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
