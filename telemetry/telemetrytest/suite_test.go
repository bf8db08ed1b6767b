package telemetrytest

import (
	"context"
	"slices"
	"testing"

	"github.com/thingloom/thingloom/telemetry"
)

// broken is a MemLog with one fault.
type broken struct {
	*telemetry.MemLog
	append func(l *telemetry.MemLog, ctx context.Context, p int, recs []telemetry.Record) (int64, error)
	read   func(l *telemetry.MemLog, ctx context.Context, p int, from int64, max int) ([]telemetry.Record, error)
	bounds func(l *telemetry.MemLog, ctx context.Context, p int) (int64, int64, error)
	load   func(l *telemetry.MemLog, ctx context.Context, c string, p int) (telemetry.Checkpoint, error)
	save   func(l *telemetry.MemLog, ctx context.Context, c string, p int, cp telemetry.Checkpoint) error
}

func (b broken) Append(ctx context.Context, p int, recs []telemetry.Record) (int64, error) {
	if b.append != nil {
		return b.append(b.MemLog, ctx, p, recs)
	}
	return b.MemLog.Append(ctx, p, recs)
}

func (b broken) Read(ctx context.Context, p int, from int64, max int) ([]telemetry.Record, error) {
	if b.read != nil {
		return b.read(b.MemLog, ctx, p, from, max)
	}
	return b.MemLog.Read(ctx, p, from, max)
}

func (b broken) Bounds(ctx context.Context, p int) (int64, int64, error) {
	if b.bounds != nil {
		return b.bounds(b.MemLog, ctx, p)
	}
	return b.MemLog.Bounds(ctx, p)
}

func (b broken) LoadCheckpoint(ctx context.Context, c string, p int) (telemetry.Checkpoint, error) {
	if b.load != nil {
		return b.load(b.MemLog, ctx, c, p)
	}
	return b.MemLog.LoadCheckpoint(ctx, c, p)
}

func (b broken) SaveCheckpoint(ctx context.Context, c string, p int, cp telemetry.Checkpoint) error {
	if b.save != nil {
		return b.save(b.MemLog, ctx, c, p, cp)
	}
	return b.MemLog.SaveCheckpoint(ctx, c, p, cp)
}

// Each case fails for a log that is broken in just that way.
func TestLogSuiteFindsFaults(t *testing.T) {
	var kept []telemetry.Record
	faults := map[string]broken{
		"empty": {bounds: func(l *telemetry.MemLog, ctx context.Context, p int) (int64, int64, error) {
			f, n, err := l.Bounds(ctx, p)
			return f, n + 1, err
		}},
		"offsets": {append: func(l *telemetry.MemLog, ctx context.Context, _ int, recs []telemetry.Record) (int64, error) {
			return l.Append(ctx, 0, recs) // one sequence for all partitions
		}},
		"round trip": {read: func(l *telemetry.MemLog, ctx context.Context, p int, from int64, max int) ([]telemetry.Record, error) {
			return l.Read(ctx, p, from+1, max) // after from, not at it
		}},
		"odd records": {append: func(l *telemetry.MemLog, ctx context.Context, p int, recs []telemetry.Record) (int64, error) {
			recs = slices.Clone(recs)
			for i := range recs {
				recs[i].Time = recs[i].Time.Truncate(1000) // microseconds
			}
			return l.Append(ctx, p, recs)
		}},
		"memory": {
			append: func(l *telemetry.MemLog, ctx context.Context, p int, recs []telemetry.Record) (int64, error) {
				kept = recs
				return l.Append(ctx, p, recs)
			},
			read: func(l *telemetry.MemLog, ctx context.Context, p int, from int64, max int) ([]telemetry.Record, error) {
				return kept, nil
			},
		},
		"no such partition": {read: func(l *telemetry.MemLog, ctx context.Context, p int, from int64, max int) ([]telemetry.Record, error) {
			return l.Read(ctx, min(p, 0)*0, from, max)
		}},
		"cancelled": {append: func(l *telemetry.MemLog, ctx context.Context, p int, recs []telemetry.Record) (int64, error) {
			return l.Append(context.WithoutCancel(ctx), p, recs)
		}},
		"concurrent": {append: func(l *telemetry.MemLog, ctx context.Context, p int, recs []telemetry.Record) (int64, error) {
			var first int64
			for i := range recs { // not in one
				n, err := l.Append(ctx, p, recs[i:i+1])
				if err != nil {
					return 0, err
				}
				first = n
			}
			return first, nil
		}},
		"reopen": {},
	}
	for _, c := range logCases {
		fault, ok := faults[c.name]
		if !ok {
			t.Errorf("no fault for the case %s", c.name)
			continue
		}
		fault.MemLog = telemetry.NewMemLog(2, 0)
		reopen := func() telemetry.Log { return telemetry.NewMemLog(2, 0) } // forgets
		if err := c.run(t.Context(), fault, reopen); err == nil {
			t.Errorf("%s: the fault is not found", c.name)
		}
		good := telemetry.NewMemLog(2, 0)
		if err := c.run(t.Context(), good, func() telemetry.Log { return good }); err != nil {
			t.Errorf("%s: a good log fails: %v", c.name, err)
		}
	}
}

func TestCheckpointSuiteFindsFaults(t *testing.T) {
	var state []byte
	faults := map[string]broken{
		"absent": {load: func(l *telemetry.MemLog, ctx context.Context, c string, p int) (telemetry.Checkpoint, error) {
			return telemetry.Checkpoint{}, telemetry.ErrNotFound
		}},
		"round trip": {save: func(l *telemetry.MemLog, ctx context.Context, c string, p int, cp telemetry.Checkpoint) error {
			cp.Cut = cp.Cut.Truncate(1000)
			return l.SaveCheckpoint(ctx, c, p, cp)
		}},
		"memory": {
			save: func(l *telemetry.MemLog, ctx context.Context, c string, p int, cp telemetry.Checkpoint) error {
				state = cp.State
				return nil
			},
			load: func(l *telemetry.MemLog, ctx context.Context, c string, p int) (telemetry.Checkpoint, error) {
				return telemetry.Checkpoint{State: state}, nil
			},
		},
		"cancelled": {save: func(l *telemetry.MemLog, ctx context.Context, c string, p int, cp telemetry.Checkpoint) error {
			return l.SaveCheckpoint(context.WithoutCancel(ctx), c, p, cp)
		}},
	}
	for _, c := range checkpointCases {
		fault, ok := faults[c.name]
		if !ok {
			t.Errorf("no fault for the case %s", c.name)
			continue
		}
		fault.MemLog = telemetry.NewMemLog(2, 0)
		if err := c.run(t.Context(), fault, func() telemetry.Checkpoints { return fault }); err == nil {
			t.Errorf("%s: the fault is not found", c.name)
		}
	}
}
