package table

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"sync"
)

// A MemStore is a Store that forgets when the process ends.
type MemStore struct {
	mu   sync.RWMutex
	rows map[[3]string]json.RawMessage // table, key, sort
}

// NewMemStore returns an empty store.
func NewMemStore() *MemStore { return &MemStore{rows: map[[3]string]json.RawMessage{}} }

var _ Store = (*MemStore)(nil)

// Get is part of Store.
func (m *MemStore) Get(ctx context.Context, table, key, sort string) (json.RawMessage, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	item, ok := m.rows[[3]string{table, key, sort}]
	if !ok {
		return nil, cmp.Or(ctx.Err(), ErrNotFound)
	}
	return item, ctx.Err()
}

// Put is part of Store.
func (m *MemStore) Put(ctx context.Context, table, key, sort string, item json.RawMessage) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[[3]string{table, key, sort}] = bytes.Clone(item)
	return nil
}

// Delete is part of Store.
func (m *MemStore) Delete(ctx context.Context, table, key, sort string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.rows, [3]string{table, key, sort})
	return nil
}

// Update is part of Store. Writes of all rows wait for f.
func (m *MemStore) Update(ctx context.Context, table, key, sort string, f func(old json.RawMessage) (json.RawMessage, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k := [3]string{table, key, sort}
	item, err := f(m.rows[k])
	switch {
	case err != nil:
		return err
	case item == nil:
		delete(m.rows, k)
	default:
		m.rows[k] = bytes.Clone(item)
	}
	return nil
}

// Rows is part of Store. It yields the rows of the moment it began.
func (m *MemStore) Rows(ctx context.Context, table string, r Range) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		var rows []Row
		m.mu.RLock()
		for k, item := range m.rows {
			if k[0] == table && r.has(k[1], k[2]) {
				rows = append(rows, Row{k[1], k[2], item})
			}
		}
		m.mu.RUnlock()
		slices.SortFunc(rows, func(a, b Row) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Sort, b.Sort)) })
		for _, row := range rows {
			if err := ctx.Err(); err != nil {
				yield(Row{}, err)
				return
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

func (r Range) has(key, sort string) bool {
	if r.Key != "" && (key != r.Key || !strings.HasPrefix(sort, r.Prefix)) {
		return false
	}
	return r.AfterKey == "" || key > r.AfterKey || key == r.AfterKey && sort > r.AfterSort
}
