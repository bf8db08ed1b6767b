package telemetry

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// A Func is a consumer function as a Sink: it gets each batch, and again what
// it failed. After a crash it may see one batch per partition a second time,
// under the same ID.
type Func func(ctx context.Context, b Batch) error

// Write implements Sink.
func (f Func) Write(ctx context.Context, b Batch) error { return f(ctx, b) }

// A Putter is the part of a key-value table that Table needs.
type Putter interface {
	Put(ctx context.Context, key string, value []byte) error
}

// Table returns a sink that puts each record's value into t under the key
// that the function returns, or the record's own key if it is nil: a table
// of the latest values. Of records in one batch with the same key only the
// last is put. Putting a batch twice changes nothing.
func Table(t Putter, key func(*Record) string) Sink {
	if key == nil {
		key = func(r *Record) string { return r.Key }
	}
	return Func(func(ctx context.Context, b Batch) error {
		last := make(map[string]int, len(b.Records))
		for i := range b.Records {
			last[key(&b.Records[i])] = i
		}
		for i := range b.Records {
			r := &b.Records[i]
			k := key(r)
			if last[k] != i {
				continue
			}
			if err := t.Put(ctx, k, r.Value); err != nil {
				return fmt.Errorf("telemetry: table: put %q: %w", k, err)
			}
		}
		return nil
	})
}

// Into returns a sink that puts the records into another stream, as windows
// into a stream of metrics. Its Run must be running. A batch that is repeated
// is put again: consumers of that stream may see a window twice, with the same
// Key and Time and the same Value.
func Into(s *Stream) Sink {
	return Func(func(ctx context.Context, b Batch) error { return s.putAll(ctx, b.Records) })
}

// A DeadLetterSink gives up on a batch. Made by DeadLetter.
type DeadLetterSink struct {
	wrapped
	to       Sink
	attempts int

	batches, records atomic.Int64

	mu    sync.Mutex
	tries map[int]*deadLetterTry // by partition
}

type deadLetterTry struct {
	id string
	n  int
}

// DeadLetter returns a sink that gives each batch to next and, when that has
// failed the given number of times (at least once), to to instead. Attempts
// are counted from the start of the process.
func DeadLetter(next Sink, attempts int, to Sink) *DeadLetterSink {
	return &DeadLetterSink{wrapped: wrapped{next}, to: to, attempts: max(attempts, 1), tries: make(map[int]*deadLetterTry)}
}

// Write implements Sink.
func (d *DeadLetterSink) Write(ctx context.Context, b Batch) error {
	d.mu.Lock()
	t := d.tries[b.Partition]
	if t == nil || t.id != b.ID {
		t = &deadLetterTry{id: b.ID}
		d.tries[b.Partition] = t
	}
	d.mu.Unlock()
	if t.n < d.attempts {
		err := d.next.Write(ctx, b)
		if err == nil {
			return nil
		}
		if t.n++; t.n < d.attempts {
			return err
		}
	}
	if err := d.to.Write(ctx, b); err != nil {
		return fmt.Errorf("telemetry: dead letter: %w", err)
	}
	d.batches.Add(1)
	d.records.Add(int64(len(b.Records)))
	return nil
}

// Dead returns how many batches and records went to the dead letter sink.
func (d *DeadLetterSink) Dead() (batches, records int64) {
	return d.batches.Load(), d.records.Load()
}
