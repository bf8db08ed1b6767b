package defender

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thingloom/thingloom/internal/topic"
)

// A Kind is what was observed of a client.
type Kind uint8

// The kinds of observations.
const (
	Sent         Kind = iota // a message of the client was accepted
	Received                 // a message was handed to it
	Unauthorized             // something it asked for was not allowed
	Attempted                // it tried to connect
	Connected                // it did
	Disconnected             // the connection ended
	TakenOver                // so, because another one took its client ID
)

// An Observation is one thing that a broker saw.
type Observation struct {
	Kind Kind
	// Thing is the thing the client acts as; its client ID if it is none.
	Thing     string
	ClientID  string
	Principal string
	Topic     string // of Sent, Received, Unauthorized
	Bytes     int    // of the payload, of Sent
	IP        string // address of the client, with or without port; may be empty
}

// A watched is what is remembered of a thing.
type watched struct {
	mu      sync.Mutex
	gone    bool          // it is not in its shard any more
	tallies [slots]*tally // by slot modulo slots, nil until there is something to count
	// away is when it disconnected; zero while it is connected.
	away     time.Time
	seen     time.Time
	report   time.Time // when the last report came
	reportID int64
	latest   map[string]Value // of the last report
	streaks  map[streakKey]streak
}

type streakKey struct{ profile, behavior string }

// A streak is how many data points in a row were not normal, or were.
type streak struct{ bad, good int }

type watch struct {
	seed   maphash.Seed
	shards [64]watchShard
	limit  int // things in one shard
}

type watchShard struct {
	mu       sync.Mutex // taken before that of a thing
	things   map[string]*watched
	observed atomic.Uint64 // here, as all processors would share one counter
	_        [40]byte      // so that shards share no cache line
}

func (w *watch) shard(thing string) *watchShard {
	return &w.shards[maphash.String(w.seed, thing)%uint64(len(w.shards))]
}

// with calls fn with what is remembered of thing, under its lock. It reports
// whether there was room for it.
func (w *watch) with(thing string, now time.Time, fn func(*watched)) bool {
	for s := w.shard(thing); ; {
		t := s.thing(thing, w.limit)
		if t == nil || t.use(now, fn) {
			return t != nil
		}
	}
}

// thing returns what is remembered of a thing, which begins here, or nil without room for it.
func (s *watchShard) thing(name string, limit int) *watched {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.things[name]
	if t == nil && len(s.things) < limit {
		if s.things == nil {
			s.things = map[string]*watched{}
		}
		t = &watched{}
		s.things[name] = t
	}
	return t
}

// use calls fn under the lock of t, unless t is gone.
func (t *watched) use(now time.Time, fn func(*watched)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return false
	}
	t.seen = now
	fn(t)
	return true
}

// look calls fn with what is remembered of thing, if anything is, under its lock.
func (w *watch) look(thing string, fn func(*watched)) {
	s := w.shard(thing)
	s.mu.Lock()
	t := s.things[thing]
	s.mu.Unlock()
	if t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		fn(t)
	}
}

// observed is how many observations there were.
func (w *watch) observed() (n uint64) {
	for i := range w.shards {
		n += w.shards[i].observed.Load()
	}
	return n
}

// names returns the things that are remembered, and forgets those not seen for a day.
func (w *watch) names(now time.Time) (names []string) {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		for name, t := range s.things {
			t.mu.Lock()
			t.gone = now.Sub(t.seen) > 24*time.Hour
			if t.gone {
				delete(s.things, name)
			} else {
				names = append(names, name)
			}
			t.mu.Unlock()
		}
		s.mu.Unlock()
	}
	return names
}

// A usedDimension is a dimension that some behavior has, with its filters.
type usedDimension struct {
	Dimension
	filters []string
}

func (d *usedDimension) matches(name string) bool {
	for _, f := range d.filters {
		if topic.Match(f, name) {
			return d.Operator != "NOT_IN"
		}
	}
	return d.Operator == "NOT_IN"
}

// parseAddress reads an address, with or without port.
func parseAddress(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), true
	}
	addr, err := netip.ParseAddr(s)
	return addr.Unmap(), err == nil
}
