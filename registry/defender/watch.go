package defender

import (
	"hash/maphash"
	"math"
	"net/netip"
	"slices"
	"sync"
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

// slotLength is the shortest duration of a behavior: observations are counted
// by the slots that they fall into.
const slotLength = 5 * time.Minute

// slots is how many of them are kept: the longest duration.
const slots = 12

// maxAddresses bounds the addresses remembered of one thing in one slot.
const maxAddresses = 32

// A tally is what was counted of a thing in one slot.
type tally struct {
	slot      int64
	counts    map[series]int64
	addresses map[netip.Addr]bool
}

// A series is a metric with its dimension.
type series struct {
	metric    string
	dimension Dimension
}

// A watched is what is remembered of a thing.
type watched struct {
	tallies [slots]tally // by slot modulo slots
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
	mu     sync.Mutex
	things map[string]*watched
}

func (w *watch) shard(thing string) *watchShard {
	return &w.shards[maphash.String(w.seed, thing)%uint64(len(w.shards))]
}

// with calls fn with what is remembered of thing, under its lock. It reports
// whether there was room for it.
func (w *watch) with(thing string, now time.Time, fn func(*watched)) bool {
	s := w.shard(thing)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.things[thing]
	if t == nil {
		if len(s.things) >= w.limit {
			return false
		}
		if s.things == nil {
			s.things = map[string]*watched{}
		}
		t = &watched{}
		s.things[thing] = t
	}
	t.seen = now
	fn(t)
	return true
}

// names returns the things that are remembered, and forgets those not seen for a day.
func (w *watch) names(now time.Time) (names []string) {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		for name, t := range s.things {
			if now.Sub(t.seen) > 24*time.Hour {
				delete(s.things, name)
				continue
			}
			names = append(names, name)
		}
		s.mu.Unlock()
	}
	return names
}

func slotOf(t time.Time) int64 { return t.UnixNano() / int64(slotLength) }

// tally returns that of the slot of now.
func (t *watched) tally(slot int64) *tally {
	x := &t.tallies[slot%slots]
	if x.slot != slot || x.counts == nil {
		*x = tally{slot: slot, counts: map[series]int64{}}
	}
	return x
}

// plus adds counts. What devices report may be as large as they like, and two
// such must not make a small one.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// sum adds a series over n slots up to last.
func (t *watched) sum(s series, last, n int64) (total int64) {
	for slot := last - n + 1; slot <= last; slot++ {
		if x := &t.tallies[slot%slots]; x.slot == slot {
			total = plus(total, x.counts[s])
		}
	}
	return total
}

// largest is the largest count of a series over n slots up to last.
func (t *watched) largest(s series, last, n int64) (most int64) {
	for slot := last - n + 1; slot <= last; slot++ {
		if x := &t.tallies[slot%slots]; x.slot == slot {
			most = max(most, x.counts[s])
		}
	}
	return most
}

// addresses are those of n slots up to last, in order.
func (t *watched) addresses(last, n int64) (out []string) {
	all := map[netip.Addr]bool{}
	for slot := last - n + 1; slot <= last; slot++ {
		if x := &t.tallies[slot%slots]; x.slot == slot {
			for a := range x.addresses {
				if !all[a] {
					all[a] = true
					out = append(out, a.String())
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// observe counts one observation. dims are the dimensions that behaviors use.
func (t *watched) observe(o *Observation, now time.Time, dims []usedDimension) {
	x := t.tally(slotOf(now))
	if addr, ok := parseAddress(o.IP); ok && len(x.addresses) < maxAddresses {
		if x.addresses == nil {
			x.addresses = map[netip.Addr]bool{}
		}
		x.addresses[addr] = true
	}
	add := func(metric string) {
		x.counts[series{metric: metric}]++
		for _, d := range dims {
			if d.matches(o.Topic) {
				x.counts[series{metric, d.Dimension}]++
			}
		}
	}
	switch o.Kind {
	case Sent:
		add("aws:num-messages-sent")
		size := func(s series) { x.counts[s] = max(x.counts[s], int64(o.Bytes)) }
		size(series{metric: "aws:message-byte-size"})
		for _, d := range dims {
			if d.matches(o.Topic) {
				size(series{"aws:message-byte-size", d.Dimension})
			}
		}
	case Received:
		add("aws:num-messages-received")
	case Unauthorized:
		add("aws:num-authorization-failures")
	case Attempted:
		x.counts[series{metric: "aws:num-connection-attempts"}]++
	case Connected:
		t.away = time.Time{}
	case Disconnected, TakenOver:
		x.counts[series{metric: "aws:num-disconnects"}]++
		if o.Kind == Disconnected {
			t.away = now
		}
	}
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
