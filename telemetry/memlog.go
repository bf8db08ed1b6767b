package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
)

// A MemLog is a Log and its Checkpoints in memory, for tests and for streams
// that need not outlive the process.
type MemLog struct {
	max   int
	parts []memPartition

	mu  sync.Mutex
	cps map[memConsumer]Checkpoint
}

type memConsumer struct {
	name      string
	partition int
}

type memPartition struct {
	mu    sync.RWMutex
	first int64
	recs  []Record
}

var (
	_ Log         = (*MemLog)(nil)
	_ Checkpoints = (*MemLog)(nil)
)

// NewMemLog returns an empty log of n partitions that keeps the last
// maxRecords records of each; zero means all of them, in unbounded memory.
func NewMemLog(n, maxRecords int) *MemLog {
	return &MemLog{max: maxRecords, parts: make([]memPartition, max(n, 1)), cps: make(map[memConsumer]Checkpoint)}
}

// Partitions implements Log.
func (l *MemLog) Partitions() int { return len(l.parts) }

func (l *MemLog) part(ctx context.Context, n int) (*memPartition, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if n < 0 || n >= len(l.parts) {
		return nil, fmt.Errorf("%w: %d of %d", ErrPartition, n, len(l.parts))
	}
	return &l.parts[n], nil
}

// Append implements Log.
func (l *MemLog) Append(ctx context.Context, partition int, recs []Record) (int64, error) {
	p, err := l.part(ctx, partition)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.first + int64(len(p.recs))
	for i, r := range recs {
		r.Key, r.Value = strings.Clone(r.Key), bytes.Clone(r.Value)
		r.Partition, r.Offset = partition, first+int64(i)
		p.recs = append(p.recs, r)
	}
	if over := len(p.recs) - l.max; l.max > 0 && over > 0 {
		clear(p.recs[:over]) // for the collector, until append moves the rest
		p.recs = p.recs[over:]
		p.first += int64(over)
	}
	return first, nil
}

// Read implements Log.
func (l *MemLog) Read(ctx context.Context, partition int, from int64, max int) ([]Record, error) {
	p, err := l.part(ctx, partition)
	if err != nil {
		return nil, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	at := min(from-p.first, int64(len(p.recs)))
	if at < 0 {
		at = 0
	}
	n := min(int64(max), int64(len(p.recs))-at)
	if n <= 0 {
		return nil, nil
	}
	out := make([]Record, n)
	for i := range out {
		out[i] = p.recs[at+int64(i)]
		out[i].Value = bytes.Clone(out[i].Value)
	}
	return out, nil
}

// Bounds implements Log.
func (l *MemLog) Bounds(ctx context.Context, partition int) (first, next int64, err error) {
	p, err := l.part(ctx, partition)
	if err != nil {
		return 0, 0, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.first, p.first + int64(len(p.recs)), nil
}

// LoadCheckpoint implements Checkpoints.
func (l *MemLog) LoadCheckpoint(ctx context.Context, consumer string, partition int) (Checkpoint, error) {
	if err := ctx.Err(); err != nil {
		return Checkpoint{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.cps[memConsumer{consumer, partition}]
	c.State = bytes.Clone(c.State)
	return c, nil
}

// SaveCheckpoint implements Checkpoints.
func (l *MemLog) SaveCheckpoint(ctx context.Context, consumer string, partition int, c Checkpoint) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.State = bytes.Clone(c.State)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cps[memConsumer{consumer, partition}] = c
	return nil
}
