package telemetry

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// StreamStats are counters of a Stream since it was made. All but End, Next
// and Lag only grow.
type StreamStats struct {
	Put        int64 // records acknowledged
	PutBytes   int64 // of their keys and values
	Groups     int64 // appends that wrote them; Put/Groups is the group commit's gain
	Refused    int64 // records not accepted: invalid, closed, given up while waiting
	Failed     int64 // records whose append failed
	Partitions []PartitionStats
	Consumers  []ConsumerStats // ordered by name and partition
}

// PartitionStats is one partition of a Stream.
type PartitionStats struct {
	Partition int
	End       int64 // offset the next record gets, as far as known
}

// ConsumerStats is one consumer in one partition. It stays when Consume ends.
type ConsumerStats struct {
	Consumer  string
	Partition int
	Running   bool
	Next      int64 // first offset not delivered
	Lag       int64 // records behind the end of the partition
	Batches   int64 // delivered
	Records   int64 // delivered
	Retries   int64 // failed writes
	Skipped   int64 // records that retention removed before they were delivered
	LastError string
}

type consumerRun struct {
	running atomic.Bool
	parts   []consumerPart
}

type consumerPart struct {
	next, batches, records, retries, skipped atomic.Int64

	mu  sync.Mutex
	err error // of the last Write, nil after a success
}

func (c *consumerPart) failed(err error) {
	c.retries.Add(1)
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
}

func (c *consumerPart) delivered(next int64, records int) {
	c.next.Store(next)
	c.batches.Add(1)
	c.records.Add(int64(records))
	c.mu.Lock()
	c.err = nil
	c.mu.Unlock()
}

func (c *consumerPart) lastError() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return ""
	}
	return c.err.Error()
}

// Stats returns the counters of the stream and of its consumers.
func (s *Stream) Stats() StreamStats {
	st := StreamStats{Refused: s.refused.Load()}
	for _, p := range s.parts {
		st.Put += p.puts.Load()
		st.PutBytes += p.bytes.Load()
		st.Groups += p.groups.Load()
		st.Failed += p.failed.Load()
		st.Partitions = append(st.Partitions, PartitionStats{Partition: p.n, End: p.end.Load()})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.consumers)) {
		run := s.consumers[name]
		for i := range run.parts {
			c := &run.parts[i]
			next := c.next.Load()
			st.Consumers = append(st.Consumers, ConsumerStats{
				Consumer: name, Partition: i, Running: run.running.Load(),
				Next: next, Lag: max(0, st.Partitions[i].End-next),
				Batches: c.batches.Load(), Records: c.records.Load(),
				Retries: c.retries.Load(), Skipped: c.skipped.Load(), LastError: c.lastError(),
			})
		}
	}
	return st
}
