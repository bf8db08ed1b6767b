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
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/actions/table"
)

// A Store is a table.Store on pebble. Put returns once the item is synced;
// concurrent Puts share a sync.
type Store struct {
	db     *pebble.DB
	prefix string
}

var _ table.Store = (*Store)(nil)

// New returns a Store over the keys of db that begin with prefix.
func New(db *pebble.DB, prefix string) *Store { return &Store{db, prefix} }

func (s *Store) key(name, key, sort string) []byte {
	return []byte(s.prefix + name + "\x00" + key + "\x00" + sort)
}

// Get is part of table.Store.
func (s *Store) Get(ctx context.Context, name, key, sort string) (json.RawMessage, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	value, closer, err := s.db.Get(s.key(name, key, sort))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, table.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return bytes.Clone(value), nil
}

// Put is part of table.Store.
func (s *Store) Put(ctx context.Context, name, key, sort string, item json.RawMessage) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.db.Set(s.key(name, key, sort), item, pebble.Sync)
}

// Delete is part of table.Store.
func (s *Store) Delete(ctx context.Context, name, key, sort string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.db.Delete(s.key(name, key, sort), pebble.Sync)
}

// Rows is part of table.Store.
func (s *Store) Rows(ctx context.Context, name, key string) iter.Seq2[table.Row, error] {
	// The byte behind the zero that ends the name, or the key.
	lower, upper := []byte(s.prefix+name+"\x00"), []byte(s.prefix+name+"\x01")
	if key != "" {
		lower, upper = []byte(s.prefix+name+"\x00"+key+"\x00"), []byte(s.prefix+name+"\x00"+key+"\x01")
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
