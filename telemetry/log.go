package telemetry

import (
	"context"
	"time"
)

// A Log is an append-only partitioned store of records. Its methods are called
// from many goroutines. telemetrytest.TestLog tells an implementation what
// this comment means.
type Log interface {
	// Append stores recs at the end of a partition, all or none, and returns
	// once they are durable. They get consecutive offsets from first on;
	// their Partition and Offset fields are not looked at. The log keeps no
	// reference to recs, their keys or values. No records is no error.
	Append(ctx context.Context, partition int, recs []Record) (first int64, err error)

	// Read returns records in order of their offsets from the first at or
	// after from: at most max, at least one if there is any, and fewer than
	// max to bound memory. It is empty at the end. Only durable records are
	// returned, and they share no memory with the log. An offset below the
	// oldest kept record gives the oldest kept record: the gap is visible.
	Read(ctx context.Context, partition int, from int64, max int) ([]Record, error)

	// Bounds returns the offset of the oldest kept record and the one the
	// next record will get; they are equal in an empty partition.
	Bounds(ctx context.Context, partition int) (first, next int64, err error)

	// Partitions is their number, at least 1, and never changes.
	Partitions() int
}

// A Checkpoint is how far a consumer is in one partition and what it remembers
// there. It is saved by one write: all of it or nothing.
//
// A batch is announced before it is delivered: while Cut is set, the records
// from Next up to but not including End are in flight, as one batch cut at
// Cut. A consumer that finds such a checkpoint after a crash delivers exactly
// that batch again, with the same ID, before it goes on. This is what makes
// content exactly-once: a sink that names its effects by the batch's ID
// repeats them onto themselves.
type Checkpoint struct {
	Next  int64     // first offset that is not yet delivered
	Seq   int64     // batches delivered
	End   int64     // when Cut is set: end of the batch in flight
	Cut   time.Time // when the batch in flight was cut; zero when none is
	State []byte    // of a Stateful sink, as it is before the batch in flight
}

// Checkpoints keeps them, per consumer and partition. Its methods are called
// from many goroutines. telemetrytest.TestCheckpoints is its conformance suite.
type Checkpoints interface {
	// LoadCheckpoint returns the last one saved, the zero Checkpoint if none.
	LoadCheckpoint(ctx context.Context, consumer string, partition int) (Checkpoint, error)

	// SaveCheckpoint replaces it and returns once that is durable. It keeps
	// no reference to State.
	SaveCheckpoint(ctx context.Context, consumer string, partition int, c Checkpoint) error
}
