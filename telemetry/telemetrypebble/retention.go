package telemetrypebble

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Why records were removed.
const (
	reasonAge = iota
	reasonBytes
	reasonOffset
	reasons
)

var reasonNames = [reasons]string{"age", "bytes", "offset"}

// Stats are counters of a Store since it was opened, and gauges of what it keeps.
type Stats struct {
	RemovedByAge    int64 // records
	RemovedByBytes  int64
	RemovedByOffset int64 // by TrimBefore
	Partitions      []PartitionStats
}

// PartitionStats are gauges of one partition.
type PartitionStats struct {
	Partition   int
	First, Next int64 // offsets
	Segments    int
	Bytes       int64 // of records, before compression
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	st := Stats{
		RemovedByAge:    s.removed[reasonAge].Load(),
		RemovedByBytes:  s.removed[reasonBytes].Load(),
		RemovedByOffset: s.removed[reasonOffset].Load(),
	}
	for _, p := range s.parts {
		p.mu.Lock()
		ps := PartitionStats{Partition: p.n, First: p.first, Next: p.next, Segments: len(p.segments)}
		for i := range p.segments {
			ps.Bytes += p.segments[i].bytes
		}
		p.mu.Unlock()
		st.Partitions = append(st.Partitions, ps)
	}
	return st
}

// Run applies the limits of the Options every TrimInterval until ctx is done.
// A store without limits needs no Run. Failures are logged and tried again.
func (s *Store) Run(ctx context.Context) error {
	t := time.NewTicker(s.opts.TrimInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if err := s.Trim(ctx); err != nil && ctx.Err() == nil {
				s.opts.Logger.Error("telemetrypebble: retention failed", "err", err)
			}
		}
	}
}

// Trim applies MaxAge and MaxBytes now. A segment goes when its last record is
// too old, or when the partition has MaxBytes without it.
func (s *Store) Trim(ctx context.Context) error {
	now := s.opts.Now()
	for _, p := range s.parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.mu.Lock()
		var total int64
		for i := range p.segments {
			total += p.segments[i].bytes
		}
		var end int64
		n, why := 0, reasonAge
		for i := range p.segments {
			g := &p.segments[i]
			old := s.opts.MaxAge > 0 && now.Sub(g.last) > s.opts.MaxAge
			big := s.opts.MaxBytes > 0 && total-g.bytes >= s.opts.MaxBytes
			if !old && !big || g.end > p.durable.Load() {
				break
			}
			if !old {
				why = reasonBytes
			}
			total -= g.bytes
			end, n = g.end, i+1
		}
		err := s.remove(p, n, end, why)
		p.mu.Unlock()
		if err != nil {
			return fmt.Errorf("telemetrypebble: trim partition %d: %w", p.n, err)
		}
	}
	return nil
}

// TrimBefore removes the records of a partition below offset.
func (s *Store) TrimBefore(ctx context.Context, partition int, offset int64) error {
	p, err := s.partition(ctx, partition)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	offset = min(offset, p.durable.Load())
	if offset <= p.first {
		return nil
	}
	n := 0
	for n < len(p.segments) && p.segments[n].end <= offset {
		n++
	}
	if err := s.remove(p, n, offset, reasonOffset); err != nil {
		return fmt.Errorf("telemetrypebble: trim partition %d: %w", p.n, err)
	}
	return nil
}

// remove deletes everything below end and the n oldest segments; p.mu is held.
// The write is not synced: what a crash brings back is removed again.
func (s *Store) remove(p *partition, n int, end int64, why int) error {
	if end <= p.first {
		return nil
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := b.DeleteRange(s.offsetKey(kindRecord, p.n, 0), s.offsetKey(kindRecord, p.n, end), nil); err != nil {
		return err
	}
	rest := p.segments[n:]
	if len(rest) > 0 && rest[0].start < end {
		// The cut goes through a segment: what is left of it starts at end.
		cut := rest[0]
		cut.start = end
		cut.bytes = cut.bytes * (cut.end - end) / (cut.end - rest[0].start)
		if err := b.Set(s.offsetKey(kindSegment, p.n, end), cut.encode(), nil); err != nil {
			return err
		}
		rest = append([]segment{cut}, rest[1:]...)
	}
	if err := b.DeleteRange(s.offsetKey(kindSegment, p.n, 0), s.offsetKey(kindSegment, p.n, end), nil); err != nil {
		return err
	}
	if err := b.Set(s.key(kindFirst, p.n, 0), binary.BigEndian.AppendUint64(nil, uint64(end)), nil); err != nil {
		return err
	}
	if err := s.db.Apply(b, pebble.NoSync); err != nil {
		return err
	}
	s.removed[why].Add(end - p.first)
	s.opts.Logger.Info("telemetrypebble: records removed", "partition", p.n, "reason", reasonNames[why],
		"offset", p.first, "records", end-p.first)
	p.segments = append([]segment(nil), rest...)
	p.first = end
	p.oldest.Store(end)
	return nil
}
