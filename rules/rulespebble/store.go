package rulespebble

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/rules"
)

// ErrFormat says that the database holds rules in a format of another version.
var ErrFormat = errors.New("rulespebble: unknown format")

const (
	formatVersion = 1
	versionTag    = 'v'
	ruleTag       = 'r'
)

// A Store is a [rules.Store] in a part of a pebble database.
type Store struct {
	db     *pebble.DB
	prefix []byte

	// mu makes Delete's look before it writes one step with the write. It is
	// not held while waiting for the disk.
	mu sync.Mutex
}

var _ rules.Store = (*Store)(nil)

// New returns the Store of the keys of db that begin with prefix, which may be
// empty. The first New of a prefix writes the format version; it is [ErrFormat]
// if another one is there.
func New(db *pebble.DB, prefix []byte) (*Store, error) {
	if db == nil {
		return nil, errors.New("rulespebble: New needs a database")
	}
	s := &Store{db: db, prefix: bytes.Clone(prefix)}
	key := append(bytes.Clone(prefix), versionTag)
	value, closer, err := db.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		if err := db.Set(key, []byte{formatVersion}, pebble.Sync); err != nil {
			return nil, fmt.Errorf("rulespebble: %w", err)
		}
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("rulespebble: %w", err)
	}
	defer closer.Close()
	if !bytes.Equal(value, []byte{formatVersion}) {
		return nil, fmt.Errorf("%w: %x", ErrFormat, value)
	}
	return s, nil
}

func (s *Store) key(name string) []byte {
	key := make([]byte, 0, len(s.prefix)+1+len(name))
	key = append(append(key, s.prefix...), ruleTag)
	return append(key, name...)
}

// Load implements [rules.Store].
func (s *Store) Load(ctx context.Context, name string) (rules.Rule, error) {
	if err := ctx.Err(); err != nil {
		return rules.Rule{}, err
	}
	value, closer, err := s.db.Get(s.key(name))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return rules.Rule{}, rules.ErrNotFound
	case err != nil:
		return rules.Rule{}, fmt.Errorf("rulespebble: load %q: %w", name, err)
	}
	defer closer.Close()
	return decode(name, value)
}

func decode(name string, value []byte) (rules.Rule, error) {
	var r rules.Rule
	if err := json.Unmarshal(value, &r); err != nil { // copies what it keeps
		return rules.Rule{}, fmt.Errorf("rulespebble: load %q: %w", name, err)
	}
	return r, nil
}

// Save implements [rules.Store].
func (s *Store) Save(ctx context.Context, r rules.Rule) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var value bytes.Buffer
	enc := json.NewEncoder(&value)
	enc.SetEscapeHTML(false) // a statement has < and >, and people read it
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("rulespebble: save %q: %w", r.Name, err)
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := b.Set(s.key(r.Name), value.Bytes(), nil); err != nil {
		return fmt.Errorf("rulespebble: save %q: %w", r.Name, err)
	}
	s.mu.Lock()
	err := s.db.ApplyNoSyncWait(b, pebble.Sync)
	s.mu.Unlock()
	if err == nil {
		err = b.SyncWait()
	}
	if err != nil {
		return fmt.Errorf("rulespebble: save %q: %w", r.Name, err)
	}
	return nil
}

// Delete implements [rules.Store].
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	defer b.Close()
	switch err := s.applyDelete(b, s.key(name)); {
	case errors.Is(err, pebble.ErrNotFound):
		return rules.ErrNotFound
	case err != nil:
		return fmt.Errorf("rulespebble: delete %q: %w", name, err)
	}
	if err := b.SyncWait(); err != nil {
		return fmt.Errorf("rulespebble: delete %q: %w", name, err)
	}
	return nil
}

func (s *Store) applyDelete(b *pebble.Batch, key []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, closer, err := s.db.Get(key)
	if err != nil {
		return err
	}
	if err := closer.Close(); err != nil {
		return err
	}
	if err := b.Delete(key, nil); err != nil {
		return err
	}
	return s.db.ApplyNoSyncWait(b, pebble.Sync)
}

// All implements [rules.Store]. It yields the rules of the moment it began.
func (s *Store) All(ctx context.Context) iter.Seq2[rules.Rule, error] {
	return func(yield func(rules.Rule, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(rules.Rule{}, err)
			return
		}
		lower := s.key("")
		upper := bytes.Clone(lower)
		upper[len(upper)-1]++
		it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			yield(rules.Rule{}, fmt.Errorf("rulespebble: all: %w", err))
			return
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			if err := ctx.Err(); err != nil {
				yield(rules.Rule{}, err)
				return
			}
			r, err := decode(string(it.Key()[len(lower):]), it.Value())
			if !yield(r, err) || err != nil {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(rules.Rule{}, fmt.Errorf("rulespebble: all: %w", err))
		}
	}
}
