package actions

import (
	"maps"
	"sync"
	"time"
)

// A Reason names why a request was dropped or refused.
type Reason string

const (
	DropFailed     Reason = "failed"             // the last attempt failed and there is no dead letter
	DropDeadLetter Reason = "dead letter failed" // the dead letter failed as well
	DropFull       Reason = "full"               // by Options.Full Drop
	DropExpired    Reason = "expired"            // waited longer than Limits.MaxAge
	DropCorrupt    Reason = "corrupt"            // could not be read back
	DropShutdown   Reason = "shutdown"           // in memory when DrainTimeout had passed

	RefusedFull   Reason = "full"   // ErrQueueFull
	RefusedClosed Reason = "closed" // ErrClosed
	RefusedFailed Reason = "failed" // the error of an inline action, of a queue, or of the context
)

// ActionStats is the ledger of one action since it was opened in this process. At any moment
//
//	HandedOver = Delivered + DeadLettered + Pending + sum of Dropped
//
// Refused requests were never handed over: their Do returned an error.
type ActionStats struct {
	Identity
	ID     string // Identity.ID()
	Inline bool

	HandedOver   uint64 // Recovered included
	Recovered    uint64 // found in the queue when it was opened
	Delivered    uint64
	DeadLettered uint64
	Pending      uint64 // gauge: taken and not settled
	Dropped      map[Reason]uint64
	Refused      map[Reason]uint64

	Attempts uint64 // calls of the plugin
	Retries  uint64 // attempts after the first of each request
	Panics   uint64

	QueueBytes int64     // gauge
	Workers    int       // gauge: goroutines
	LastError  string    // of the last final failure or refusal
	LastFailed time.Time // when; zero if never
}

// A ledger counts for one action. One lock makes its sums true at any moment.
type ledger struct {
	mu sync.Mutex
	s  ActionStats
}

func (l *ledger) take(recovered bool, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s.HandedOver += n
	l.s.Pending += n
	if recovered {
		l.s.Recovered += n
	}
}

// untake takes back a take whose queue then refused.
func (l *ledger) untake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s.HandedOver--
	l.s.Pending--
}

func (l *ledger) refuse(why Reason, err error, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.s.Refused == nil {
		l.s.Refused = map[Reason]uint64{}
	}
	l.s.Refused[why]++
	l.s.LastError, l.s.LastFailed = errorText(err), now
}

// settle moves one pending request to where failed says; nil is delivered. It
// returns how many are pending now.
func (l *ledger) settle(failed *FailedError, now time.Time) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s.Pending--
	switch {
	case failed == nil:
		l.s.Delivered++
		return l.s.Pending
	case failed.DeadLettered:
		l.s.DeadLettered++
	default:
		if l.s.Dropped == nil {
			l.s.Dropped = map[Reason]uint64{}
		}
		l.s.Dropped[failed.Reason]++
	}
	l.s.LastError, l.s.LastFailed = errorText(failed.Err), now
	return l.s.Pending
}

func (l *ledger) attempt(first, panicked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s.Attempts++
	if !first {
		l.s.Retries++
	}
	if panicked {
		l.s.Panics++
	}
}

func (l *ledger) pending() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.s.Pending
}

func (l *ledger) snapshot() ActionStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.s
	s.Dropped, s.Refused = maps.Clone(s.Dropped), maps.Clone(s.Refused)
	return s
}
