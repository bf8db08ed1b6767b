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
// Tables need not be made, except those whose items hold their own keys: a
// [Schema] says where, and DynamoDBv2Spec writes such items. Items of one key are ordered by their sort key, as
// bytes: a number that is to be sorted is written with as many digits always.
package table

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
)

var (
	// ErrNotFound reports that there is no such item.
	ErrNotFound = errors.New("table: not found")
	// ErrExists reports that Create found an item.
	ErrExists = errors.New("table: exists")
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
	// Update replaces the item by what f makes of it, with no other write of
	// the row between: old is nil if there is none, and f returns nil to have it
	// removed. An error of f leaves everything as it is and is returned as it
	// is. Durable as Put; f may see what an earlier write has not synced yet.
	Update(ctx context.Context, table, key, sort string, f func(old json.RawMessage) (json.RawMessage, error)) error
	// Rows yields the rows of a table in r, ordered by key and sort key as bytes.
	Rows(ctx context.Context, table string, r Range) iter.Seq2[Row, error]
}

// A Range says which rows. The zero Range is all of a table.
type Range struct {
	// Key is the only key, if it is not empty; then Prefix is what sort keys begin with.
	Key, Prefix string
	// AfterKey, if it is not empty, is the key of the row after which to
	// begin, and AfterSort its sort key. It need not exist any more.
	AfterKey, AfterSort string
}

// Tables are the tables of a Store. They are safe for concurrent use.
type Tables struct {
	store Store
	known sync.Map // Schema by name of the table; as it is stored, since it does not change
}

// New returns the tables of store. Have one for a store.
func New(store Store) *Tables { return &Tables{store: store} }

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
	item, err := checkItem(item)
	if err != nil {
		return err
	}
	if err := t.store.Put(ctx, table, key, sort, item); err != nil {
		return fmt.Errorf("table %s: put %q: %w", table, key, err)
	}
	return nil
}

// Create is Put of an item that is not there yet, and else ErrExists.
func (t *Tables) Create(ctx context.Context, table, key, sort string, item []byte) error {
	return t.Update(ctx, table, key, sort, func(old json.RawMessage) (json.RawMessage, error) {
		if old != nil {
			return nil, ErrExists
		}
		return item, nil
	})
}

// Update replaces an item by what f makes of it, with no other write of the row
// between, so that any condition can be put to a write: old is nil if there is
// none, and not to be modified; f returns nil to have the item removed, or an
// error to leave everything as it is, which Update returns. f must be quick and
// not use the tables.
func (t *Tables) Update(ctx context.Context, table, key, sort string, f func(old json.RawMessage) (json.RawMessage, error)) error {
	if err := check(table, key, sort); err != nil {
		return err
	}
	err := t.store.Update(ctx, table, key, sort, func(old json.RawMessage) (json.RawMessage, error) {
		item, err := f(old)
		if err != nil || item == nil {
			return nil, err
		}
		return checkItem(item)
	})
	if err != nil {
		return fmt.Errorf("table %s: update %q: %w", table, key, err)
	}
	return nil
}

// checkItem returns the item without space around it.
func checkItem(item []byte) (json.RawMessage, error) {
	item = bytes.TrimSpace(item)
	switch {
	case len(item) > MaxItemBytes:
		return nil, fmt.Errorf("%w item: %d bytes, at most %d are allowed", ErrInvalid, len(item), MaxItemBytes)
	case !json.Valid(item):
		return nil, fmt.Errorf("%w item: not JSON", ErrInvalid)
	case item[0] != '{':
		return nil, fmt.Errorf("%w item: not a JSON object", ErrInvalid)
	}
	return item, nil
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
	return t.QueryPrefix(ctx, table, key, "")
}

// QueryPrefix is Query of the rows whose sort keys begin with prefix.
func (t *Tables) QueryPrefix(ctx context.Context, table, key, prefix string) iter.Seq2[Row, error] {
	if key == "" {
		return failed(check(table, key, prefix))
	}
	return t.Rows(ctx, table, Range{Key: key, Prefix: prefix})
}

// Scan yields all rows of a table, ordered by key and sort key.
func (t *Tables) Scan(ctx context.Context, table string) iter.Seq2[Row, error] {
	return t.Rows(ctx, table, Range{})
}

// Rows yields the rows of a table in r, ordered by key and sort key.
func (t *Tables) Rows(ctx context.Context, table string, r Range) iter.Seq2[Row, error] {
	if r.Key == "" && r.Prefix != "" {
		return failed(fmt.Errorf("%w range: a prefix of sort keys without a key", ErrInvalid))
	}
	for _, key := range []struct{ key, sort string }{{r.Key, r.Prefix}, {r.AfterKey, r.AfterSort}} {
		if err := check(table, cmp.Or(key.key, "any"), key.sort); err != nil {
			return failed(err)
		}
	}
	return t.store.Rows(ctx, table, r)
}

// A Page says which rows Tables.Page returns.
type Page struct {
	Key, Prefix string // as those of Range
	Limit       int    // the most rows; zero means 100
	Token       string // what the page before returned as next; empty is the first
}

// Page returns some rows at a time, for endpoints: next is the Token of the
// following page, empty at the end. Rows written meanwhile appear if they come
// after those already returned. A Token that no Page made is ErrInvalid.
func (t *Tables) Page(ctx context.Context, table string, p Page) (rows []Row, next string, err error) {
	r := Range{Key: p.Key, Prefix: p.Prefix}
	if p.Token != "" {
		text, err := base64.RawURLEncoding.DecodeString(p.Token)
		key, sort, ok := strings.Cut(string(text), "\x00")
		if err != nil || !ok || check(table, key, sort) != nil {
			return nil, "", fmt.Errorf("%w token %.40q", ErrInvalid, p.Token)
		}
		r.AfterKey, r.AfterSort = key, sort
	}
	limit := p.Limit
	if limit <= 0 {
		limit = 100
	}
	for row, err := range t.Rows(ctx, table, r) {
		if err != nil {
			return nil, "", err
		}
		if len(rows) == limit {
			last := rows[limit-1]
			return rows, base64.RawURLEncoding.EncodeToString([]byte(last.Key + "\x00" + last.Sort)), nil
		}
		rows = append(rows, row)
	}
	return rows, "", nil
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
	if table[0] == '$' { // kept for this package
		return fmt.Errorf("%w table name: %q begins with $", ErrInvalid, table)
	}
	return nil
}
