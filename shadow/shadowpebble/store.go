package shadowpebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/shadow"
)

// A Store is a shadow.Store on pebble. Its methods may be called from many
// goroutines. It holds nothing that needs closing.
type Store struct {
	db     *pebble.DB
	prefix string
	// locks make compare and write of one shadow one step. No sync is waited for under them.
	locks [256]sync.Mutex
	seed  maphash.Seed
}

var _ shadow.Store = (*Store)(nil)

// New returns a Store over the keys of db that begin with prefix.
func New(db *pebble.DB, prefix string) *Store {
	return &Store{db: db, prefix: prefix, seed: maphash.MakeSeed()}
}

func (s *Store) key(ref shadow.Ref) []byte {
	b := make([]byte, 0, len(s.prefix)+len(ref.Thing)+1+len(ref.Name))
	return append(append(append(append(b, s.prefix...), ref.Thing...), 0), ref.Name...)
}

// Load is part of shadow.Store.
func (s *Store) Load(ctx context.Context, ref shadow.Ref) (shadow.Document, error) {
	if err := ctx.Err(); err != nil {
		return shadow.Document{}, err
	}
	return s.load(ref)
}

func (s *Store) load(ref shadow.Ref) (shadow.Document, error) {
	value, closer, err := s.db.Get(s.key(ref))
	if errors.Is(err, pebble.ErrNotFound) {
		return shadow.Document{}, fmt.Errorf("%s: %w", ref, shadow.ErrNotFound)
	}
	if err != nil {
		return shadow.Document{}, err
	}
	defer closer.Close()
	return decode(value)
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
	if err := s.swap(ref, b, prev); err != nil {
		return err
	}
	return b.SyncWait()
}

// swap applies b if the stored version is prev.
func (s *Store) swap(ref shadow.Ref, b *pebble.Batch, prev int64) error {
	mu := &s.locks[maphash.Comparable(s.seed, ref)%uint64(len(s.locks))]
	mu.Lock()
	defer mu.Unlock()
	stored, err := s.load(ref)
	if err != nil && !errors.Is(err, shadow.ErrNotFound) {
		return err
	}
	if stored.Version != prev {
		return fmt.Errorf("%s: version %d stored, %d expected: %w", ref, stored.Version, prev, shadow.ErrVersionConflict)
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
	return s.scan(ctx, []byte(s.prefix), upperBound(s.prefix), false, time.Time{})
}

// Purge is part of shadow.Store.
func (s *Store) Purge(ctx context.Context, before time.Time) (int, error) {
	n := 0
	for ref, err := range s.scan(ctx, []byte(s.prefix), upperBound(s.prefix), true, before) {
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

// forget removes a tombstone unless somebody wrote in between. It need not be
// synced: a tombstone that a crash brings back is purged again.
func (s *Store) forget(ref shadow.Ref, before time.Time) (bool, error) {
	mu := &s.locks[maphash.Comparable(s.seed, ref)%uint64(len(s.locks))]
	mu.Lock()
	defer mu.Unlock()
	doc, err := s.load(ref)
	if errors.Is(err, shadow.ErrNotFound) || err == nil && !(doc.Deleted && doc.Time.Before(before)) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.db.Delete(s.key(ref), pebble.NoSync)
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

const format = 0x01

func encode(d shadow.Document) []byte {
	b := make([]byte, 0, 64+len(d.By)+len(d.Desired)+len(d.Reported)+len(d.Metadata))
	b = append(b, format, 0)
	if d.Deleted {
		b[1] = 1
	}
	b = binary.AppendUvarint(b, uint64(d.Version))
	b = binary.AppendVarint(b, d.Time.UnixNano())
	for _, part := range []string{d.By, string(d.Desired), string(d.Reported), string(d.Metadata)} {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	return b
}

// A head is the part of a value before the texts.
type head struct {
	deleted bool
	version int64
	time    time.Time
	rest    []byte
}

func decodeHead(b []byte) (h head, err error) {
	corrupt := func(what string) error { return fmt.Errorf("%w: %s", shadow.ErrCorrupt, what) }
	if len(b) < 2 || b[0] != format || b[1] > 1 {
		return h, corrupt("format")
	}
	h.deleted = b[1] == 1
	version, n := binary.Uvarint(b[2:])
	if n <= 0 || version == 0 || version > 1<<62 {
		return h, corrupt("version")
	}
	b = b[2+n:]
	nanos, n := binary.Varint(b)
	if n <= 0 {
		return h, corrupt("time")
	}
	h.version, h.time, h.rest = int64(version), time.Unix(0, nanos), b[n:]
	return h, nil
}

// decode shares no memory with b.
func decode(b []byte) (d shadow.Document, err error) {
	h, err := decodeHead(b)
	if err != nil {
		return d, err
	}
	rest := bytes.Clone(h.rest)
	var parts [4][]byte
	for i := range parts {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return d, fmt.Errorf("%w: part %d", shadow.ErrCorrupt, i)
		}
		if length > 0 {
			parts[i] = rest[n : n+int(length) : n+int(length)]
		}
		rest = rest[n+int(length):]
	}
	if len(rest) > 0 {
		return d, fmt.Errorf("%w: %d bytes too many", shadow.ErrCorrupt, len(rest))
	}
	return shadow.Document{Deleted: h.deleted, Version: h.version, Time: h.time, By: string(parts[0]),
		Desired: json.RawMessage(parts[1]), Reported: json.RawMessage(parts[2]), Metadata: json.RawMessage(parts[3])}, nil
}
