package telemetry

import "time"

// WindowOptions are the optional parts of a Windower and of Aggregate. Nil is
// all defaults.
type WindowOptions struct {
	// Lateness is how far records may be behind the latest event time seen
	// in their partition and still find their window open. Zero means 10
	// seconds, negative none at all.
	Lateness time.Duration

	// MaxWindows bounds the open windows, of all keys together. Zero means
	// 100,000. A record that needs one more is dropped with ErrTooManyWindows.
	MaxWindows int

	// The rest is for Aggregate.

	// IdleAfter is how long a partition must be silent before time passes
	// for its open windows without records. Zero means 10 seconds, negative
	// never.
	IdleAfter time.Duration

	// MaxAhead is how far a record's event time may be beyond the clock.
	// Zero means one hour, negative any time. Records beyond it are dropped
	// with ErrAhead: one device with a wrong clock would else close the
	// windows of all others.
	MaxAhead time.Duration

	// Name is part of the IDs of the batches of windows: a letter, then up
	// to 40 letters, digits and '_'. Empty means a hash of the query.
	Name string

	// AnyPartitions admits a query that does not group by key over a stream
	// of several partitions. Each partition then has windows of its own.
	AnyPartitions bool

	// OnDrop, if set, is told of every record that is dropped, with an error
	// that wraps ErrLate, ErrAhead or ErrTooManyWindows, or is that of the
	// query. It must not block.
	OnDrop func(r *Record, err error)
}

func (o *WindowOptions) withDefaults() WindowOptions {
	var c WindowOptions
	if o != nil {
		c = *o
	}
	def := func(d *time.Duration, v time.Duration) {
		switch {
		case *d == 0:
			*d = v
		case *d < 0:
			*d = 0
		}
	}
	def(&c.Lateness, 10*time.Second)
	def(&c.IdleAfter, 10*time.Second)
	def(&c.MaxAhead, time.Hour)
	if c.MaxWindows <= 0 {
		c.MaxWindows = 100_000
	}
	return c
}

// WindowStats are counters of a Windower, but for Open.
type WindowStats struct {
	Records    int64 // that are in at least one window
	Filtered   int64 // that WHERE left out
	Late       int64 // dropped: ErrLate
	PartlyLate int64 // in some of their hopping windows, too late for others
	Ahead      int64 // dropped: ErrAhead
	NoRoom     int64 // dropped: ErrTooManyWindows
	Failed     int64 // dropped: the query failed on them
	NotNumbers int64 // values of the wrong type for their aggregate
	Closed     int64 // windows that became results
	Rejected   int64 // windows that HAVING left out
	Broken     int64 // windows whose result could not be computed
	Open       int   // windows, now
}
