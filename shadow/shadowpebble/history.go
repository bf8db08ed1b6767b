package shadowpebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/shadow"
)

// historyBounds is the range of keys that holds the history of ref.
func (s *Store) historyBounds(ref shadow.Ref) (lower, upper []byte) {
	b := append([]byte(s.prefix), 0)
	b = append(append(append(b, ref.Thing...), 0), ref.Name...)
	return append(bytes.Clone(b), 0), append(b, 1)
}

func (s *Store) historyKey(ref shadow.Ref, version int64) []byte {
	lower, _ := s.historyBounds(ref)
	return binary.BigEndian.AppendUint64(lower, uint64(version))
}

// keep puts into b what replacing value, the document of version prev, by
// version means for the history.
func (s *Store) keep(b *pebble.Batch, ref shadow.Ref, value []byte, version, prev int64) error {
	lower, upper := s.historyBounds(ref)
	switch {
	case version <= prev: // the versions start again
		return b.DeleteRange(lower, upper, nil)
	case s.history == 0:
		return nil
	case version != prev+1: // unlike those of a Service: more than one falls out
		if err := b.DeleteRange(lower, s.historyKey(ref, max(prev-int64(s.history)+1, 0)), nil); err != nil {
			return err
		}
	case prev > int64(s.history):
		if err := b.Delete(s.historyKey(ref, prev-int64(s.history)), nil); err != nil {
			return err
		}
	}
	return b.Set(s.historyKey(ref, prev), value, nil)
}

// History is part of shadow.Historian.
func (s *Store) History(ctx context.Context, ref shadow.Ref) iter.Seq2[shadow.Document, error] {
	return func(yield func(shadow.Document, error) bool) {
		lower, upper := s.historyBounds(ref)
		it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			yield(shadow.Document{}, err)
			return
		}
		defer it.Close()
		for ok := it.Last(); ok; ok = it.Prev() {
			if err := ctx.Err(); err != nil {
				yield(shadow.Document{}, err)
				return
			}
			d, err := decode(it.Value())
			if !yield(d, err) || err != nil {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(shadow.Document{}, err)
		}
	}
}

// Trim is part of shadow.Historian. It reads the whole history once and holds
// no lock meanwhile.
func (s *Store) Trim(ctx context.Context, before time.Time) (n int, err error) {
	lower := append([]byte(s.prefix), 0)
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: s.first()})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	var last shadow.Ref
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		thing, rest, _ := bytes.Cut(it.Key()[len(lower):], []byte{0})
		name, _, _ := bytes.Cut(rest, []byte{0})
		if last.Thing == string(thing) && last.Name == string(name) {
			continue
		}
		last = shadow.Ref{Thing: string(thing), Name: string(name)}
		// Written in time means replaced in time: most shadows end here.
		if h, err := decodeHead(it.Value()); err != nil {
			return n, err
		} else if !h.time.Before(before) {
			continue
		}
		gone, err := s.trim(ctx, last, before)
		n += gone
		if err != nil {
			return n, err
		}
	}
	return n, it.Error()
}

// trim forgets the documents of one shadow that were replaced before before. It
// need not be synced: what a crash brings back is trimmed again.
func (s *Store) trim(ctx context.Context, ref shadow.Ref, before time.Time) (n int, err error) {
	mu := s.lock(ref)
	mu.Lock()
	defer mu.Unlock()
	var replaced time.Time // of the document looked at
	err = s.read(ref, func(value []byte) error {
		h, err := decodeHead(value)
		replaced = h.time
		return err
	})
	if errors.Is(err, shadow.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return 0, err
	}
	b := s.db.NewBatch()
	defer b.Close()
	for d, err := range s.History(ctx, ref) {
		if err != nil {
			return 0, err
		}
		if replaced.Before(before) {
			n++
			if err := b.Delete(s.historyKey(ref, d.Version), nil); err != nil {
				return 0, err
			}
		}
		replaced = d.Time
	}
	return n, b.Commit(pebble.NoSync)
}
