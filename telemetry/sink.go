package telemetry

import (
	"context"
	"time"
)

// A Sink takes a batch whole or fails it whole. A failed batch is offered
// again, and after a crash a batch may be seen again although it was taken:
// always with the same ID, Time and Records. A sink whose effect is named by
// the ID (a file, a row) therefore ends with each record exactly once.
//
// Write is called for different partitions at the same time and for one
// partition in order, one batch after the other. It must not modify the
// records and may keep them.
type Sink interface {
	Write(ctx context.Context, b Batch) error
}

// A Batch is a run of consecutive records of one partition.
type Batch struct {
	// ID names the batch: consumer, partition and offsets. It is a valid file
	// name, and sorts as the batches of a partition do.
	ID        string
	Partition int
	// Time is when the batch was cut, by the stream's clock. It is saved
	// before the batch is delivered and does not change when it is repeated.
	Time time.Time
	// Records may be empty: then the batch says that time has passed. Only a
	// sink that implements Idler gets such batches.
	Records []Record
}

// A Stateful sink is asked for its state at each checkpoint, and given it back
// at the start (nil when there is none). State is called between two Writes of
// that partition; what it returns is saved with the offset in one write.
type Stateful interface {
	State(partition int) ([]byte, error)
	SetState(partition int, state []byte) error
}

// Hints say how a sink likes its batches. A batch is cut when it has
// MaxRecords or MaxBytes, or when its first record has waited MaxWait.
type Hints struct {
	MaxRecords int           // zero means 1000
	MaxBytes   int           // of keys and values; zero means 1 MiB
	MaxWait    time.Duration // zero means that a batch is whatever is there
	// IdleAfter is how long a partition must be silent before an Idler gets
	// an empty batch. Zero means never.
	IdleAfter time.Duration
}

func (h Hints) withDefaults() Hints {
	if h.MaxRecords <= 0 {
		h.MaxRecords = 1000
	}
	if h.MaxBytes <= 0 {
		h.MaxBytes = 1 << 20
	}
	return h
}

// A Hinter is a sink with Hints. Files and Aggregate are; Buffer makes one of
// any sink.
type Hinter interface {
	Hints() Hints
}

// An Idler is a sink that has work waiting for time to pass, as open windows
// have. While Idle is true and the partition has been silent for
// Hints.IdleAfter, the sink is given an empty batch.
type Idler interface {
	Idle(partition int) bool
}

// A partitionChecker refuses streams it cannot work on.
type partitionChecker interface {
	checkPartitions(n int) error
}

// Buffer returns next with other Hints: how many records make a batch and how
// long it may wait for them.
func Buffer(next Sink, h Hints) Sink { return buffered{wrapped{next}, h} }

type buffered struct {
	wrapped
	h Hints
}

func (b buffered) Write(ctx context.Context, batch Batch) error { return b.next.Write(ctx, batch) }
func (b buffered) Hints() Hints {
	if b.h.IdleAfter == 0 {
		b.h.IdleAfter = hintsOf(b.next).IdleAfter
	}
	return b.h
}

// wrapped passes on what a sink around another one must not hide.
type wrapped struct{ next Sink }

func (w wrapped) State(partition int) ([]byte, error) { return stateOf(w.next, partition) }
func (w wrapped) SetState(partition int, state []byte) error {
	return setStateOf(w.next, partition, state)
}
func (w wrapped) Hints() Hints                { return hintsOf(w.next) }
func (w wrapped) Idle(partition int) bool     { return idleOf(w.next, partition) }
func (w wrapped) checkPartitions(n int) error { return checkPartitionsOf(w.next, n) }

func stateOf(s Sink, partition int) ([]byte, error) {
	if st, ok := s.(Stateful); ok {
		return st.State(partition)
	}
	return nil, nil
}

func setStateOf(s Sink, partition int, state []byte) error {
	if st, ok := s.(Stateful); ok {
		return st.SetState(partition, state)
	}
	return nil
}

func hintsOf(s Sink) Hints {
	if h, ok := s.(Hinter); ok {
		return h.Hints()
	}
	return Hints{}
}

func idleOf(s Sink, partition int) bool {
	i, ok := s.(Idler)
	return ok && i.Idle(partition)
}

func checkPartitionsOf(s Sink, n int) error {
	if c, ok := s.(partitionChecker); ok {
		return c.checkPartitions(n)
	}
	return nil
}
