package shadowdevice

import "sync/atomic"

// Stats are the counters of a Device. They only grow.
type Stats struct {
	Syncs       uint64 // times that the document was asked for and came
	Deltas      uint64 // deltas that were newer than what was known
	Stale       uint64 // deltas dropped because they were not
	Superseded  uint64 // deltas replaced by a newer one before Apply saw them
	Unreadable  uint64 // deltas dropped because they are none, or do not fit T
	Unfulfilled uint64 // deltas that remained after Apply, and were not given to it again
	Applied     uint64 // calls of Apply that succeeded
	ApplyErrors uint64 // and that failed
	Reports     uint64 // writes of reported that were accepted
	Retries     uint64 // requests that failed and were, or will be, sent again
	Refused     uint64 // reports given up since the service refuses them
	Foreign     uint64 // answers to requests of others
}

type counters struct {
	syncs, deltas, stale, superseded, unreadable, unfulfilled, applied, applyErrors, reports, retries, refused, foreign atomic.Uint64
}

// Stats returns the counters.
func (d *Device[T]) Stats() Stats {
	c := &d.stats
	return Stats{
		Syncs: c.syncs.Load(), Deltas: c.deltas.Load(), Stale: c.stale.Load(), Superseded: c.superseded.Load(), Unreadable: c.unreadable.Load(),
		Unfulfilled: c.unfulfilled.Load(), Applied: c.applied.Load(), ApplyErrors: c.applyErrors.Load(), Reports: c.reports.Load(), Retries: c.retries.Load(),
		Refused: c.refused.Load(), Foreign: c.foreign.Load(),
	}
}
