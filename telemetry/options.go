package telemetry

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// StreamOptions are the optional parts of a Stream. Nil is all defaults.
type StreamOptions struct {
	// MaxRecordBytes is the largest value accepted by Put. Zero means 1 MiB,
	// the limit of Kinesis.
	MaxRecordBytes int

	// AnyBytes takes values that are not JSON, as streams of Kinesis do. For
	// window SQL such a value is a payload without members, Files writes it
	// as FilesOptions says.
	AnyBytes bool

	// MaxGroupRecords and MaxGroupBytes bound what waits in memory for the
	// next write of a partition; a Put beyond them blocks. Zero means 4096
	// records and 8 MiB.
	MaxGroupRecords int
	MaxGroupBytes   int

	// RetryMin and RetryMax are the first and the longest pause before a
	// failed Write of a sink is tried again; it doubles and is jittered in
	// between. Zero means 100 ms and 30 s.
	RetryMin, RetryMax time.Duration

	// PollInterval is how often a consumer that has read everything looks for
	// records which did not come through this Stream. Zero means one second.
	PollInterval time.Duration

	// DrainTimeout is how long a write in flight may go on after the context
	// of Run or Consume is done. Zero means 10 seconds.
	DrainTimeout time.Duration

	// Now is the clock for batches, and for records put without a time. Nil
	// means time.Now.
	Now func() time.Time

	// Logger gets failures of sinks and skipped records. Nil is silence.
	Logger *slog.Logger
}

func (o *StreamOptions) withDefaults() (StreamOptions, error) {
	var c StreamOptions
	if o != nil {
		c = *o
	}
	var errs []error
	for _, f := range []struct {
		name string
		v    *int
		def  int
	}{
		{"MaxRecordBytes", &c.MaxRecordBytes, 1 << 20},
		{"MaxGroupRecords", &c.MaxGroupRecords, 4096},
		{"MaxGroupBytes", &c.MaxGroupBytes, 8 << 20},
	} {
		if *f.v < 0 {
			errs = append(errs, fmt.Errorf("telemetry: StreamOptions.%s is negative", f.name))
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	for _, f := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"RetryMin", &c.RetryMin, 100 * time.Millisecond},
		{"RetryMax", &c.RetryMax, 30 * time.Second},
		{"PollInterval", &c.PollInterval, time.Second},
		{"DrainTimeout", &c.DrainTimeout, 10 * time.Second},
	} {
		if *f.v < 0 {
			errs = append(errs, fmt.Errorf("telemetry: StreamOptions.%s is negative", f.name))
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(errs...)
}
