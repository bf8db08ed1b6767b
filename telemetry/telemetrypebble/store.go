package telemetrypebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/telemetry"
)

// Options are the optional parts of a Store. Nil is all defaults.
type Options struct {
	// Partitions is the number of partitions of a store that is made now.
	// Zero means 4. A store that exists keeps its number; Open fails if
	// Partitions is set and another one.
	Partitions int

	// MaxAge is how long records are kept after their arrival, MaxBytes how
	// much is kept per partition (keys and values). Zero means for ever and
	// everything.
	MaxAge   time.Duration
	MaxBytes int64

	// SegmentBytes is the unit of retention. Zero means 4 MiB, or a tenth of
	// MaxBytes where that is less.
	SegmentBytes int64

	// TrimInterval is how often Run applies the limits. Zero means a minute.
	TrimInterval time.Duration

	// ReadBytes bounds what one Read returns, beyond the first record. Zero means 4 MiB.
	ReadBytes int

	// Now is the clock for arrivals. Nil means time.Now.
	Now func() time.Time

	// Logger gets what retention removes. Nil is silence.
	Logger *slog.Logger
}

// A Store is a telemetry.Log and its telemetry.Checkpoints.
type Store struct {
	db     *pebble.DB
	prefix []byte
	opts   Options
	parts  []*partition

	removed [reasons]atomic.Int64
}

type partition struct {
	n int

	mu       sync.Mutex
	first    int64
	next     int64     // what the next record gets
	segments []segment // oldest first; the last one may be open
	durable  atomic.Int64
	oldest   atomic.Int64 // first, for readers
}

var (
	_ telemetry.Log         = (*Store)(nil)
	_ telemetry.Checkpoints = (*Store)(nil)
)

// DefaultPartitions is the number of partitions of a new store.
const DefaultPartitions = 4

// Open opens the store below prefix in db, or makes it. It reads the segments'
// list and the last segment of each partition. The database must outlive the
// store, and one Store at a time may use the prefix.
func Open(db *pebble.DB, prefix string, opts *Options) (*Store, error) {
	s := &Store{db: db, prefix: []byte(prefix)}
	if opts != nil {
		s.opts = *opts
	}
	o := &s.opts
	if o.Partitions < 0 || o.MaxAge < 0 || o.MaxBytes < 0 || o.SegmentBytes < 0 || o.TrimInterval < 0 || o.ReadBytes < 0 {
		return nil, errors.New("telemetrypebble: an option is negative")
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 4 << 20
		if o.MaxBytes > 0 {
			o.SegmentBytes = max(1, min(o.SegmentBytes, o.MaxBytes/10))
		}
	}
	if o.TrimInterval == 0 {
		o.TrimInterval = time.Minute
	}
	if o.ReadBytes == 0 {
		o.ReadBytes = 4 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	n, err := s.openMeta()
	if err != nil {
		return nil, err
	}
	for i := range n {
		p, err := s.openPartition(i)
		if err != nil {
			return nil, fmt.Errorf("telemetrypebble: partition %d: %w", i, err)
		}
		s.parts = append(s.parts, p)
	}
	return s, nil
}

// openMeta returns the number of partitions, and writes it when it is new.
func (s *Store) openMeta() (int, error) {
	key := append(append([]byte(nil), s.prefix...), kindMeta)
	v, closer, err := s.db.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		n := s.opts.Partitions
		if n == 0 {
			n = DefaultPartitions
		}
		if n > 1<<16 {
			return 0, fmt.Errorf("telemetrypebble: %d partitions, more than %d", n, 1<<16)
		}
		v := binary.BigEndian.AppendUint32([]byte{formatVersion}, uint32(n))
		if err := s.db.Set(key, v, pebble.Sync); err != nil {
			return 0, fmt.Errorf("telemetrypebble: %w", err)
		}
		return n, nil
	case err != nil:
		return 0, fmt.Errorf("telemetrypebble: %w", err)
	}
	defer closer.Close()
	if len(v) != 5 || v[0] != formatVersion {
		return 0, fmt.Errorf("telemetrypebble: %w: format of %x, this program reads version %d", errCorrupt, v, formatVersion)
	}
	n := int(binary.BigEndian.Uint32(v[1:]))
	if want := s.opts.Partitions; want != 0 && want != n {
		return 0, fmt.Errorf("telemetrypebble: the store has %d partitions, not %d: keys would change their partition", n, want)
	}
	return n, nil
}

// openPartition finds out where the partition begins and ends, and how large
// its last segment is.
func (s *Store) openPartition(n int) (*partition, error) {
	p := &partition{n: n}
	v, closer, err := s.db.Get(s.key(kindFirst, n, 0))
	if err == nil {
		if len(v) != 8 {
			return nil, errors.Join(errCorrupt, closer.Close())
		}
		p.first = int64(binary.BigEndian.Uint64(v))
		if err := closer.Close(); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, pebble.ErrNotFound) {
		return nil, err
	}
	p.next = p.first
	if err := s.openSegments(p); err != nil {
		return nil, err
	}
	it, err := s.records(p, p.first)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	if it.Last() {
		p.next = offsetOf(it.Key()) + 1
	}
	if last := p.last(); last != nil && !last.sealed {
		for ok := it.SeekGE(s.offsetKey(kindRecord, n, last.start)); ok; ok = it.Next() {
			last.bytes += int64(len(it.Value()))
		}
		// When its last record came is not on record. Later than true keeps
		// it longer, which is the harmless side.
		last.last, last.end = s.opts.Now(), p.next
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	p.durable.Store(p.next)
	p.oldest.Store(p.first)
	return p, nil
}

func (s *Store) openSegments(p *partition) error {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: s.offsetKey(kindSegment, p.n, p.first), UpperBound: s.endKey(kindSegment, p.n),
	})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		g, err := decodeSegment(offsetOf(it.Key()), it.Value())
		if err != nil {
			return err
		}
		p.segments = append(p.segments, g)
	}
	return it.Error()
}

func (p *partition) last() *segment {
	if len(p.segments) == 0 {
		return nil
	}
	return &p.segments[len(p.segments)-1]
}

func (s *Store) records(p *partition, from int64) (*pebble.Iterator, error) {
	return s.db.NewIter(&pebble.IterOptions{
		LowerBound: s.offsetKey(kindRecord, p.n, max(from, 0)), UpperBound: s.endKey(kindRecord, p.n),
	})
}

func (s *Store) partition(ctx context.Context, n int) (*partition, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if n < 0 || n >= len(s.parts) {
		return nil, fmt.Errorf("telemetrypebble: %w: %d of %d", telemetry.ErrPartition, n, len(s.parts))
	}
	return s.parts[n], nil
}

// Partitions implements telemetry.Log.
func (s *Store) Partitions() int { return len(s.parts) }

// Append implements telemetry.Log.
func (s *Store) Append(ctx context.Context, partition int, recs []telemetry.Record) (int64, error) {
	p, err := s.partition(ctx, partition)
	if err != nil {
		return 0, err
	}
	b := s.db.NewBatch()
	defer b.Close()
	first, end, err := s.apply(b, p, recs)
	if err != nil || first == end {
		return first, err
	}
	if err := b.SyncWait(); err != nil {
		return 0, fmt.Errorf("telemetrypebble: append: %w", err)
	}
	// The write-ahead log is synced in order: whatever was applied before
	// this batch is durable as well.
	for {
		old := p.durable.Load()
		if end <= old || p.durable.CompareAndSwap(old, end) {
			return first, nil
		}
	}
}

// apply gives the records their offsets and the batch to the database. The
// lock is held for that and not for the fsync.
func (s *Store) apply(b *pebble.Batch, p *partition, recs []telemetry.Record) (first, end int64, err error) {
	now := s.opts.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	first, end = p.next, p.next
	if len(recs) == 0 {
		return first, end, nil
	}
	g, roll, err := s.segmentFor(b, p, now)
	if err != nil {
		return 0, 0, err
	}
	var key, value []byte
	for i := range recs {
		key = append(key[:0], s.prefix...)
		key = append(key, kindRecord)
		key = binary.BigEndian.AppendUint32(key, uint32(p.n))
		key = binary.BigEndian.AppendUint64(key, uint64(end))
		value = appendRecord(value[:0], &recs[i])
		if err := b.Set(key, value, nil); err != nil {
			return 0, 0, fmt.Errorf("telemetrypebble: append: %w", err)
		}
		g.bytes += int64(len(value))
		end++
	}
	g.last, g.end = now, end
	if err := s.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		return 0, 0, fmt.Errorf("telemetrypebble: append: %w", err)
	}
	// Nothing above has touched the partition: a failure leaves it as it was.
	if roll {
		if last := p.last(); last != nil {
			last.sealed = true
		}
		p.segments = append(p.segments, g)
	} else {
		*p.last() = g
	}
	p.next = end
	return first, end, nil
}

// segmentFor returns the segment the next record belongs to, as a copy. A new
// one is announced in b, where the one before is sealed.
func (s *Store) segmentFor(b *pebble.Batch, p *partition, now time.Time) (g segment, roll bool, err error) {
	last := p.last()
	if last != nil && last.bytes < s.opts.SegmentBytes && (s.opts.MaxAge == 0 || now.Sub(last.first) < s.opts.MaxAge/10) {
		return *last, false, nil
	}
	if last != nil {
		sealed := *last
		sealed.sealed = true
		if err := b.Set(s.offsetKey(kindSegment, p.n, sealed.start), sealed.encode(), nil); err != nil {
			return segment{}, false, fmt.Errorf("telemetrypebble: append: %w", err)
		}
	}
	g = segment{start: p.next, end: p.next, first: now, last: now}
	if err := b.Set(s.offsetKey(kindSegment, p.n, g.start), g.encode(), nil); err != nil {
		return segment{}, false, fmt.Errorf("telemetrypebble: append: %w", err)
	}
	return g, true, nil
}

// Read implements telemetry.Log.
func (s *Store) Read(ctx context.Context, partition int, from int64, max int) ([]telemetry.Record, error) {
	p, err := s.partition(ctx, partition)
	if err != nil {
		return nil, err
	}
	durable := p.durable.Load()
	if from >= durable || max <= 0 {
		return nil, nil
	}
	it, err := s.records(p, from)
	if err != nil {
		return nil, fmt.Errorf("telemetrypebble: read: %w", err)
	}
	defer it.Close()
	out := make([]telemetry.Record, 0, min(int64(max), durable-from))
	size := 0
	for ok := it.First(); ok && len(out) < max && size < s.opts.ReadBytes; ok = it.Next() {
		offset := offsetOf(it.Key())
		if offset >= durable {
			break
		}
		r, err := decodeRecord(it.Value())
		if err != nil {
			return nil, fmt.Errorf("%w: partition %d, offset %d", err, partition, offset)
		}
		r.Partition, r.Offset = partition, offset
		size += len(r.Key) + len(r.Value)
		out = append(out, r)
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("telemetrypebble: read: %w", err)
	}
	return out, nil
}

// Bounds implements telemetry.Log.
func (s *Store) Bounds(ctx context.Context, partition int) (first, next int64, err error) {
	p, err := s.partition(ctx, partition)
	if err != nil {
		return 0, 0, err
	}
	next = p.durable.Load()
	return min(p.oldest.Load(), next), next, nil
}

// LoadCheckpoint implements telemetry.Checkpoints.
func (s *Store) LoadCheckpoint(ctx context.Context, consumer string, partition int) (telemetry.Checkpoint, error) {
	if _, err := s.partition(ctx, partition); err != nil {
		return telemetry.Checkpoint{}, err
	}
	v, closer, err := s.db.Get(s.checkpointKey(consumer, partition))
	if errors.Is(err, pebble.ErrNotFound) {
		return telemetry.Checkpoint{}, nil
	}
	if err != nil {
		return telemetry.Checkpoint{}, fmt.Errorf("telemetrypebble: load checkpoint: %w", err)
	}
	defer closer.Close()
	c, err := decodeCheckpoint(v)
	if err != nil {
		return telemetry.Checkpoint{}, fmt.Errorf("%w: checkpoint of %q, partition %d", err, consumer, partition)
	}
	return c, nil
}

// SaveCheckpoint implements telemetry.Checkpoints.
func (s *Store) SaveCheckpoint(ctx context.Context, consumer string, partition int, c telemetry.Checkpoint) error {
	if _, err := s.partition(ctx, partition); err != nil {
		return err
	}
	// One write, synced: the commit pipeline shares the fsync with others.
	if err := s.db.Set(s.checkpointKey(consumer, partition), encodeCheckpoint(c), pebble.Sync); err != nil {
		return fmt.Errorf("telemetrypebble: save checkpoint: %w", err)
	}
	return nil
}
