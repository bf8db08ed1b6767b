package shadow

import "sync/atomic"

// Stats are the counters of a Service since New. They only grow.
type Stats struct {
	Gets, Updates, Deletes uint64 // refused ones included
	Refused                uint64 // requests that the caller can mend: codes 400 to 499
	Failed                 uint64 // requests that failed in the store: code 500
	Retries                uint64 // merges repeated because another writer won
	Panics                 uint64 // of observers
	Purged                 uint64 // versions of deleted shadows forgotten
	Trimmed                uint64 // documents forgotten that were replaced too long ago
	WatchDropped           uint64 // documents that slow watchers did not get
}

type counters struct {
	gets, updates, deletes, refused, failed, retries, panics, purged, trimmed, watchDropped atomic.Uint64
}

// count counts one request, and its error if there is one.
func (c *counters) count(requests *atomic.Uint64, err error) {
	requests.Add(1)
	if err == nil {
		return
	}
	if code, _ := Code(err); code < 500 {
		c.refused.Add(1)
	} else {
		c.failed.Add(1)
	}
}

// Stats returns the counters.
func (s *Service) Stats() Stats {
	c := &s.stats
	return Stats{
		Gets: c.gets.Load(), Updates: c.updates.Load(), Deletes: c.deletes.Load(),
		Refused: c.refused.Load(), Failed: c.failed.Load(), Retries: c.retries.Load(), Panics: c.panics.Load(),
		Purged: c.purged.Load(), Trimmed: c.trimmed.Load(), WatchDropped: c.watchDropped.Load(),
	}
}
