package telemetrytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thingloom/thingloom/telemetry"
)

// LogOptions are the optional parts of TestLog.
type LogOptions struct {
	// Reopen closes the log and opens it again with what it had. Nil for a
	// log that does not outlive the process.
	Reopen func(t *testing.T, l telemetry.Log) telemetry.Log
}

type logCase struct {
	name, rule string
	run        func(ctx context.Context, l telemetry.Log, reopen func() telemetry.Log) error
}

// TestLog checks that open returns an empty log, of at least two partitions,
// that keeps the contract of telemetry.Log.
func TestLog(t *testing.T, open func(t *testing.T) telemetry.Log, opts *LogOptions) {
	for _, c := range logCases {
		t.Run(c.name, func(t *testing.T) {
			l := open(t)
			reopen := func() telemetry.Log { return l }
			if opts != nil && opts.Reopen != nil {
				reopen = func() telemetry.Log { l = opts.Reopen(t, l); return l }
			}
			if err := c.run(t.Context(), l, reopen); err != nil {
				t.Errorf("%v\nrule: %s", err, c.rule)
			}
		})
	}
}

func records(n int, tag string) []telemetry.Record {
	out := make([]telemetry.Record, n)
	for i := range out {
		out[i] = telemetry.Record{
			Key:   fmt.Sprintf("k%d", i%3),
			Time:  time.Unix(1_700_000_000, int64(i)).UTC(),
			Value: fmt.Appendf(nil, `{"n":%d,"tag":%q}`, i, tag),
		}
	}
	return out
}

// same compares what a log stores of a record.
func same(got, want telemetry.Record, partition int, offset int64) error {
	if got.Key != want.Key || !got.Time.Equal(want.Time) || !bytes.Equal(got.Value, want.Value) {
		return fmt.Errorf("record is %q %s %s, want %q %s %s", got.Key, got.Time, got.Value, want.Key, want.Time, want.Value)
	}
	if got.Partition != partition || got.Offset != offset {
		return fmt.Errorf("record is at partition %d, offset %d, want %d, %d", got.Partition, got.Offset, partition, offset)
	}
	return nil
}

func readAll(ctx context.Context, l telemetry.Log, partition int, from int64, step int) ([]telemetry.Record, error) {
	var all []telemetry.Record
	for {
		recs, err := l.Read(ctx, partition, from, step)
		if err != nil || len(recs) == 0 {
			return all, err
		}
		if len(recs) > step {
			return nil, fmt.Errorf("read(max %d) returned %d records", step, len(recs))
		}
		all = append(all, recs...)
		from = recs[len(recs)-1].Offset + 1
	}
}

var logCases = []logCase{
	{"empty", "a new partition has the bounds 0, 0 and nothing to read",
		func(ctx context.Context, l telemetry.Log, _ func() telemetry.Log) error {
			if n := l.Partitions(); n < 2 {
				return fmt.Errorf("log has %d partitions, the suite needs 2", n)
			}
			first, next, err := l.Bounds(ctx, 0)
			if err != nil || first != 0 || next != 0 {
				return fmt.Errorf("bounds is %d, %d, %v", first, next, err)
			}
			recs, err := l.Read(ctx, 0, 0, 10)
			if err != nil || len(recs) != 0 {
				return fmt.Errorf("read is %d records, %v", len(recs), err)
			}
			return nil
		}},
	{"offsets", "offsets are consecutive from 0 in each partition, and first is that of the first record",
		func(ctx context.Context, l telemetry.Log, _ func() telemetry.Log) error {
			for _, step := range []struct {
				partition, n int
				want         int64
			}{{0, 3, 0}, {1, 2, 0}, {0, 1, 3}, {0, 0, 4}, {0, 2, 4}} {
				first, err := l.Append(ctx, step.partition, records(step.n, "x"))
				if err != nil || step.n > 0 && first != step.want {
					return fmt.Errorf("append of %d to partition %d is %d, %v, want %d", step.n, step.partition, first, err, step.want)
				}
			}
			for p, want := range []int64{6, 2} {
				if _, next, err := l.Bounds(ctx, p); err != nil || next != want {
					return fmt.Errorf("next of partition %d is %d, %v, want %d", p, next, err, want)
				}
			}
			return nil
		}},
	{"round trip", "Read returns what was appended, in order, from any offset and in any step",
		func(ctx context.Context, l telemetry.Log, _ func() telemetry.Log) error {
			want := records(25, "y")
			for c := range slices.Chunk(want, 7) {
				if _, err := l.Append(ctx, 1, c); err != nil {
					return err
				}
			}
			for _, from := range []int64{0, 1, 24, 25, 1000} {
				for _, step := range []int{1, 4, 100} {
					got, err := readAll(ctx, l, 1, from, step)
					if err != nil {
						return err
					}
					if len(got) != max(0, 25-int(from)) {
						return fmt.Errorf("from %d in steps of %d: %d records", from, step, len(got))
					}
					for i, r := range got {
						if err := same(r, want[int(from)+i], 1, from+int64(i)); err != nil {
							return err
						}
					}
				}
			}
			return nil
		}},
	{"odd records", "keys and values are any bytes, times any in 64 bits of nanoseconds",
		func(ctx context.Context, l telemetry.Log, _ func() telemetry.Log) error {
			want := []telemetry.Record{
				{Key: "a\x00b/+#", Time: time.Unix(0, -1), Value: []byte("\x00\xff")},
				{Key: "ключ", Time: time.Unix(0, 1<<63-1), Value: []byte(`"v"`)},
				{Key: "", Time: time.Unix(0, -1<<63), Value: []byte{}},
				{Key: string(bytes.Repeat([]byte("k"), telemetry.MaxKeyBytes)), Time: time.Unix(0, 0), Value: bytes.Repeat([]byte("v"), 1<<20)},
			}
			if _, err := l.Append(ctx, 0, want); err != nil {
				return err
			}
			got, err := readAll(ctx, l, 0, 0, 10)
			if err != nil || len(got) != len(want) {
				return fmt.Errorf("%d records, %v", len(got), err)
			}
			for i := range got {
				if err := same(got[i], want[i], 0, int64(i)); err != nil {
					return err
				}
			}
			return nil
		}},
	{"memory", "what goes in and out shares no memory with the log",
		func(ctx context.Context, l telemetry.Log, _ func() telemetry.Log) error {
			in := records(1, "z")
			want := records(1, "z")[0]
			if _, err := l.Append(ctx, 0, in); err != nil {
				return err
			}
			for range 2 {
				clear(in[0].Value)
				got, err := l.Read(ctx, 0, 0, 1)
				if err != nil || len(got) != 1 {
					return fmt.Errorf("%d records, %v", len(got), err)
				}
				if err := same(got[0], want, 0, 0); err != nil {
					return err
				}
				in = got
			}
			return nil
		}},
	{"no such partition", "a partition the log does not have is ErrPartition",
		func(ctx context.Context, l telemetry.Log, _ func() telemetry.Log) error {
			for _, p := range []int{-1, l.Partitions()} {
				_, err1 := l.Append(ctx, p, records(1, "x"))
				_, err2 := l.Read(ctx, p, 0, 1)
				_, _, err3 := l.Bounds(ctx, p)
				for _, err := range []error{err1, err2, err3} {
					if !errors.Is(err, telemetry.ErrPartition) {
						return fmt.Errorf("partition %d: %v", p, err)
					}
				}
			}
			return nil
		}},
	{"cancelled", "a context that is done before the call refuses it",
		func(ctx context.Context, l telemetry.Log, _ func() telemetry.Log) error {
			done, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := l.Append(done, 0, records(1, "x")); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("append: %v", err)
			}
			if _, err := l.Read(done, 0, 0, 1); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("read: %v", err)
			}
			if _, next, err := l.Bounds(ctx, 0); err != nil || next != 0 {
				return fmt.Errorf("the refused Append left next at %d, %v", next, err)
			}
			return nil
		}},
	{"concurrent", "concurrent appends are each whole, at consecutive offsets, and no reader sees a gap",
		func(ctx context.Context, l telemetry.Log, _ func() telemetry.Log) error {
			const writers, each, size = 8, 10, 3
			var wg sync.WaitGroup
			errs := make([]error, writers+1)
			var stopped atomic.Bool // the writers; then an empty Read is the end
			var ws sync.WaitGroup
			for w := range writers {
				ws.Go(func() {
					for range each {
						first, err := l.Append(ctx, 0, records(size, fmt.Sprint(w)))
						if err != nil {
							errs[w] = err
							return
						}
						got, err := l.Read(ctx, 0, first, size)
						if err != nil || len(got) == 0 {
							errs[w] = fmt.Errorf("read own write: %d records, %v", len(got), err)
							return
						}
						if err := same(got[0], records(size, fmt.Sprint(w))[0], 0, first); err != nil {
							errs[w] = err
							return
						}
					}
				})
			}
			wg.Go(func() {
				for next := int64(0); next < writers*each*size; {
					last := stopped.Load()
					got, err := l.Read(ctx, 0, next, 100)
					if err != nil {
						errs[writers] = err
						return
					}
					for _, r := range got {
						if r.Offset != next {
							errs[writers] = fmt.Errorf("offset %d follows %d", r.Offset, next-1)
							return
						}
						next++
					}
					if len(got) == 0 && last {
						errs[writers] = fmt.Errorf("the log ends at %d", next)
						return
					}
				}
			})
			ws.Wait()
			stopped.Store(true)
			wg.Wait()
			return errors.Join(errs...)
		}},
	{"reopen", "records, offsets and bounds are the same after the log was closed and opened",
		func(ctx context.Context, l telemetry.Log, reopen func() telemetry.Log) error {
			want := records(5, "r")
			for _, p := range []int{0, 1} {
				if _, err := l.Append(ctx, p, want[:3+p]); err != nil {
					return err
				}
			}
			l = reopen()
			first, err := l.Append(ctx, 0, want[3:])
			if err != nil || first != 3 {
				return fmt.Errorf("append is %d, %v, want 3", first, err)
			}
			got, err := readAll(ctx, l, 0, 0, 10)
			if err != nil || len(got) != 5 {
				return fmt.Errorf("%d records, %v", len(got), err)
			}
			for i := range got {
				if err := same(got[i], want[i], 0, int64(i)); err != nil {
					return err
				}
			}
			return nil
		}},
}

// CheckpointOptions are the optional parts of TestCheckpoints.
type CheckpointOptions struct {
	// Reopen closes the store and opens it again with what it had. Nil for
	// one that does not outlive the process.
	Reopen func(t *testing.T, c telemetry.Checkpoints) telemetry.Checkpoints
}

type checkpointCase struct {
	name, rule string
	run        func(ctx context.Context, c telemetry.Checkpoints, reopen func() telemetry.Checkpoints) error
}

// TestCheckpoints checks that open returns an empty store that keeps the
// contract of telemetry.Checkpoints, for partitions 0 and 1.
func TestCheckpoints(t *testing.T, open func(t *testing.T) telemetry.Checkpoints, opts *CheckpointOptions) {
	for _, c := range checkpointCases {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			reopen := func() telemetry.Checkpoints { return s }
			if opts != nil && opts.Reopen != nil {
				reopen = func() telemetry.Checkpoints { s = opts.Reopen(t, s); return s }
			}
			if err := c.run(t.Context(), s, reopen); err != nil {
				t.Errorf("%v\nrule: %s", err, c.rule)
			}
		})
	}
}

func sameCheckpoint(got, want telemetry.Checkpoint) error {
	if got.Next != want.Next || got.Seq != want.Seq || got.End != want.End || !got.Cut.Equal(want.Cut) ||
		got.Cut.IsZero() != want.Cut.IsZero() || !bytes.Equal(got.State, want.State) {
		return fmt.Errorf("checkpoint is %+v, want %+v", got, want)
	}
	return nil
}

func load(ctx context.Context, c telemetry.Checkpoints, consumer string, partition int, want telemetry.Checkpoint) error {
	got, err := c.LoadCheckpoint(ctx, consumer, partition)
	if err != nil {
		return err
	}
	if err := sameCheckpoint(got, want); err != nil {
		return fmt.Errorf("%s/%d: %w", consumer, partition, err)
	}
	return nil
}

var checkpointCases = []checkpointCase{
	{"absent", "a consumer without a checkpoint has the zero one",
		func(ctx context.Context, c telemetry.Checkpoints, _ func() telemetry.Checkpoints) error {
			return load(ctx, c, "nobody", 1, telemetry.Checkpoint{})
		}},
	{"round trip", "all fields come back, per consumer and partition, and the last save wins",
		func(ctx context.Context, c telemetry.Checkpoints, reopen func() telemetry.Checkpoints) error {
			cut := time.Unix(1_700_000_000, 123_456_789).UTC()
			all := []struct {
				consumer  string
				partition int
				cp        telemetry.Checkpoint
			}{
				{"a", 0, telemetry.Checkpoint{Next: 1}},
				{"a", 0, telemetry.Checkpoint{Next: 7, Seq: 3, End: 9, Cut: cut, State: []byte("state\x00")}},
				{"a", 1, telemetry.Checkpoint{Next: 1 << 40, Seq: 1 << 41}},
				{"ab", 0, telemetry.Checkpoint{Next: 2, Cut: cut, End: 2}},
				{"b", 0, telemetry.Checkpoint{Next: 5, State: bytes.Repeat([]byte("s"), 1<<20)}},
				{"b", 0, telemetry.Checkpoint{Next: 6}},
			}
			last := map[string]int{}
			for i, s := range all {
				if err := c.SaveCheckpoint(ctx, s.consumer, s.partition, s.cp); err != nil {
					return err
				}
				last[fmt.Sprint(s.consumer, s.partition)] = i
			}
			c = reopen()
			for _, i := range last {
				if err := load(ctx, c, all[i].consumer, all[i].partition, all[i].cp); err != nil {
					return err
				}
			}
			return nil
		}},
	{"memory", "State shares no memory with the store",
		func(ctx context.Context, c telemetry.Checkpoints, _ func() telemetry.Checkpoints) error {
			state := []byte("abc")
			if err := c.SaveCheckpoint(ctx, "m", 0, telemetry.Checkpoint{State: state}); err != nil {
				return err
			}
			clear(state)
			for range 2 {
				got, err := c.LoadCheckpoint(ctx, "m", 0)
				if err != nil || string(got.State) != "abc" {
					return fmt.Errorf("state is %q, %v", got.State, err)
				}
				clear(got.State)
			}
			return nil
		}},
	{"cancelled", "a context that is done before the call refuses it",
		func(ctx context.Context, c telemetry.Checkpoints, _ func() telemetry.Checkpoints) error {
			done, cancel := context.WithCancel(ctx)
			cancel()
			if err := c.SaveCheckpoint(done, "x", 0, telemetry.Checkpoint{Next: 1}); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("save: %v", err)
			}
			if _, err := c.LoadCheckpoint(done, "x", 0); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("load: %v", err)
			}
			return load(ctx, c, "x", 0, telemetry.Checkpoint{})
		}},
}
