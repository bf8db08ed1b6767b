package defender

import (
	"math"
	"net/netip"
	"slices"
	"time"
)

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
	plain     [plainMetrics]int64 // what is counted of messages, without dimension: of each message, so not in a map
	counts    map[series]int64    // the rest
	addresses []netip.Addr        // each once; few, mostly one
}

// A plainMetric is a metric that is counted of each message.
type plainMetric uint8

const (
	messagesSent plainMetric = iota
	messagesReceived
	messageBytes // the largest
	plainMetrics
)

var plainNames = [plainMetrics]string{"aws:num-messages-sent", "aws:num-messages-received", "aws:message-byte-size"}

// A series is a metric with its dimension.
type series struct {
	metric    string
	dimension Dimension
}

func slotOf(t time.Time) int64 { return t.UnixNano() / int64(slotLength) }

// tally returns that of a slot.
func (t *watched) tally(slot int64) *tally {
	x := t.tallies[slot%slots]
	if x == nil {
		x = &tally{slot: slot}
		t.tallies[slot%slots] = x
	} else if x.slot != slot {
		*x = tally{slot: slot}
	}
	return x
}

// between yields the tallies of n slots up to last, as far as something was counted.
func (t *watched) between(last, n int64) func(yield func(*tally) bool) {
	return func(yield func(*tally) bool) {
		for slot := last - n + 1; slot <= last; slot++ {
			if x := t.tallies[slot%slots]; x != nil && x.slot == slot && !yield(x) {
				return
			}
		}
	}
}

// count is that of a series.
func (x *tally) count(s series) int64 {
	if i := slices.Index(plainNames[:], s.metric); i >= 0 && s.dimension == (Dimension{}) {
		return x.plain[i]
	}
	return x.counts[s]
}

// add adds to a series that is not of plainNames, unless it has a dimension.
func (x *tally) add(s series, n int64) {
	if x.counts == nil {
		x.counts = map[series]int64{}
	}
	x.counts[s] = plus(x.counts[s], n)
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
	for x := range t.between(last, n) {
		total = plus(total, x.count(s))
	}
	return total
}

// largest is the largest count of a series over n slots up to last.
func (t *watched) largest(s series, last, n int64) (most int64) {
	for x := range t.between(last, n) {
		most = max(most, x.count(s))
	}
	return most
}

// addresses are those of n slots up to last, in order.
func (t *watched) addresses(last, n int64) (out []string) {
	for x := range t.between(last, n) {
		for _, a := range x.addresses {
			out = append(out, a.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// observe counts one observation from an address, which may be none. dims are the dimensions that behaviors use.
func (t *watched) observe(o *Observation, from netip.Addr, now time.Time, dims []usedDimension) {
	x := t.tally(slotOf(now))
	if from.IsValid() && len(x.addresses) < maxAddresses && !slices.Contains(x.addresses, from) {
		x.addresses = append(x.addresses, from)
	}
	switch o.Kind {
	case Sent:
		x.plain[messagesSent]++
		x.plain[messageBytes] = max(x.plain[messageBytes], int64(o.Bytes))
		for i := range dims {
			if d := &dims[i]; d.matches(o.Topic) {
				x.add(series{plainNames[messagesSent], d.Dimension}, 1)
				size := series{plainNames[messageBytes], d.Dimension}
				x.counts[size] = max(x.counts[size], int64(o.Bytes))
			}
		}
	case Received:
		x.plain[messagesReceived]++
		for i := range dims {
			if d := &dims[i]; d.matches(o.Topic) {
				x.add(series{plainNames[messagesReceived], d.Dimension}, 1)
			}
		}
	case Unauthorized:
		const metric = "aws:num-authorization-failures"
		x.add(series{metric: metric}, 1)
		for i := range dims {
			if d := &dims[i]; d.matches(o.Topic) {
				x.add(series{metric, d.Dimension}, 1)
			}
		}
	case Attempted:
		x.add(series{metric: "aws:num-connection-attempts"}, 1)
	case Connected:
		t.away = time.Time{}
	case Disconnected, TakenOver:
		x.add(series{metric: "aws:num-disconnects"}, 1)
		if o.Kind == Disconnected {
			t.away = now
		}
	}
}
