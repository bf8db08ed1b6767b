// Package table keeps JSON items in tables under a key and a sort key, and is
// the action plugin "table" that writes what a rule selected there: what
// DynamoDB is to AWS IoT.
//
//	tables := table.New(tablepebble.New(db, "tables/"))
//	item, err := tables.Get(ctx, "thresholds", "sensor-1", "")
//
// and in a rule
//
//	{"table": {"table": "latest", "key": "${topic(2)}", "sort": "${ts}"}}
//
// Tables need not be made. Items of one key are ordered by their sort key, as
// bytes: a number that is to be sorted is written with as many digits always.
package table

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
)

var (
	// ErrNotFound reports that there is no such item.
	ErrNotFound = errors.New("table: not found")
	// ErrInvalid reports a name, key or item that a table does not take.
	ErrInvalid = errors.New("table: invalid")
)

// The limits of names, keys and items, in bytes.
const (
	MaxNameBytes = 255
	MaxKeyBytes  = 2048
	MaxSortBytes = 1024
	MaxItemBytes = 400 << 10
)

// A Row is one item with its keys. Item is a JSON object, not to be modified.
type Row struct {
	Key, Sort string
	Item      json.RawMessage
}

// A Store keeps rows of tables. It checks nothing: names and keys have no zero
// byte, only sort may be empty. All methods may be called from many goroutines.
type Store interface {
	// Get returns the item. ErrNotFound.
	Get(ctx context.Context, table, key, sort string) (json.RawMessage, error)
	// Put replaces the item and returns once it is as durable as the store makes it.
	Put(ctx context.Context, table, key, sort string, item json.RawMessage) error
	// Delete removes the item; absent is no error.
	Delete(ctx context.Context, table, key, sort string) error
	// Rows yields the rows of a table ordered by key and sort key: those of
	// one key if key is not empty, else all.
	Rows(ctx context.Context, table, key string) iter.Seq2[Row, error]
}

// Tables are the tables of a Store. They are safe for concurrent use.
type Tables struct{ store Store }

// New returns the tables of store.
func New(store Store) *Tables { return &Tables{store} }

// Get returns the item under key and sort, which may be empty. ErrNotFound.
func (t *Tables) Get(ctx context.Context, table, key, sort string) (json.RawMessage, error) {
	if err := check(table, key, sort); err != nil {
		return nil, err
	}
	item, err := t.store.Get(ctx, table, key, sort)
	if err != nil {
		return nil, fmt.Errorf("table %s: get %q: %w", table, key, err)
	}
	return item, nil
}

// Put stores item, a JSON object, replacing what was there.
func (t *Tables) Put(ctx context.Context, table, key, sort string, item []byte) error {
	if err := check(table, key, sort); err != nil {
		return err
	}
	item = bytes.TrimSpace(item)
	switch {
	case len(item) > MaxItemBytes:
		return fmt.Errorf("%w item: %d bytes, at most %d are allowed", ErrInvalid, len(item), MaxItemBytes)
	case !json.Valid(item):
		return fmt.Errorf("%w item: not JSON", ErrInvalid)
	case item[0] != '{':
		return fmt.Errorf("%w item: not a JSON object", ErrInvalid)
	}
	if err := t.store.Put(ctx, table, key, sort, item); err != nil {
		return fmt.Errorf("table %s: put %q: %w", table, key, err)
	}
	return nil
}

// Delete removes the item; absent is no error.
func (t *Tables) Delete(ctx context.Context, table, key, sort string) error {
	if err := check(table, key, sort); err != nil {
		return err
	}
	if err := t.store.Delete(ctx, table, key, sort); err != nil {
		return fmt.Errorf("table %s: delete %q: %w", table, key, err)
	}
	return nil
}

// Query yields the rows of one key in the order of their sort keys.
func (t *Tables) Query(ctx context.Context, table, key string) iter.Seq2[Row, error] {
	if err := check(table, key, ""); err != nil {
		return failed(err)
	}
	return t.store.Rows(ctx, table, key)
}

// Scan yields all rows of a table, ordered by key and sort key.
func (t *Tables) Scan(ctx context.Context, table string) iter.Seq2[Row, error] {
	if err := check(table, "any", ""); err != nil {
		return failed(err)
	}
	return t.store.Rows(ctx, table, "")
}

func failed(err error) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) { yield(Row{}, err) }
}

func check(table, key, sort string) error {
	for _, part := range []struct {
		what, text string
		least, max int
	}{{"table name", table, 1, MaxNameBytes}, {"key", key, 1, MaxKeyBytes}, {"sort key", sort, 0, MaxSortBytes}} {
		switch {
		case len(part.text) < part.least:
			return fmt.Errorf("%w %s: empty", ErrInvalid, part.what)
		case len(part.text) > part.max:
			return fmt.Errorf("%w %s: %d bytes, at most %d are allowed", ErrInvalid, part.what, len(part.text), part.max)
		case strings.IndexByte(part.text, 0) >= 0:
			return fmt.Errorf("%w %s: has a zero byte", ErrInvalid, part.what)
		}
	}
	return nil
}
