package broker

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/thingloom/thingloom/internal/topic"
)

// A WatchEvent is one thing that happened.
type WatchEvent struct {
	Time time.Time
	// Kind is connected, disconnected, subscribed, published, delivered or dropped.
	Kind     string
	ClientID string // of the publisher where Kind is published; empty for in-process publishes
	Topic    string // or filter, where Kind is subscribed
	QoS      byte   // of subscribed and published
	Size     int    // of the payload of published, in bytes
	Detail   string // of disconnected and dropped the reason, of connected the address
}

// WatchOptions choose what is watched. The zero value is everything.
type WatchOptions struct {
	// ClientID is the one client to watch, as publisher and as receiver. Empty is all.
	ClientID string
	// Filter is a topic filter: of topics only those that match are told, of subscriptions
	// only those to this very filter. Empty is all.
	Filter string
	// Buffer is how many events may wait. Zero means 256.
	Buffer int
}

// A Watch tells what happens while the broker runs: a trace by client and by topic.
type Watch struct {
	// C gets the events. Those that find it full are lost and counted.
	C    <-chan WatchEvent
	c    chan WatchEvent
	o    WatchOptions
	now  func() time.Time
	lost atomic.Int64
	b    *Broker
}

// Watch begins to tell what o chooses, until Stop. While nobody watches it costs nothing. The error
// is ErrTopic.
func (b *Broker) Watch(o WatchOptions) (*Watch, error) {
	if o.Filter != "" {
		if err := topic.CheckFilter(o.Filter); err != nil {
			return nil, errorTopic(err)
		}
	}
	if o.Buffer <= 0 {
		o.Buffer = 256
	}
	w := &Watch{c: make(chan WatchEvent, o.Buffer), o: o, now: b.now, b: b}
	w.C = w.c
	b.changeWatches(func(all []*Watch) []*Watch { return append(all, w) })
	return w, nil
}

// Stop ends the watch. C is not closed: an event may be on its way.
func (w *Watch) Stop() {
	w.b.changeWatches(func(all []*Watch) []*Watch {
		return slices.DeleteFunc(all, func(o *Watch) bool { return o == w })
	})
}

// Lost is how many events found C full.
func (w *Watch) Lost() int64 { return w.lost.Load() }

// changeWatches replaces the list of watches by a changed copy.
func (b *Broker) changeWatches(f func([]*Watch) []*Watch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []*Watch
	if old := b.watches.Load(); old != nil {
		all = slices.Clone(*old)
	}
	if all = f(all); len(all) == 0 {
		b.watches.Store(nil)
		return
	}
	b.watches.Store(&all)
}

// watched calls f for each watch.
func (b *Broker) watched(f func(*Watch)) {
	all := b.watches.Load()
	if all == nil {
		return
	}
	for _, w := range *all {
		f(w)
	}
}

func (w *Watch) published(p *publication) {
	clientID := ""
	if p.complete {
		clientID = p.whole.ClientID
	} else if p.client != nil {
		clientID = p.client.info.ClientID
	}
	w.event(WatchEvent{Kind: "published", ClientID: clientID, Topic: p.r.topic, QoS: p.qos, Size: len(p.msg.Payload)})
}

func (w *Watch) dropped(clientID, topic string, reason DropReason) {
	w.event(WatchEvent{Kind: "dropped", ClientID: clientID, Topic: topic, Detail: string(reason)})
}

// event tells e if it was chosen. It never blocks.
func (w *Watch) event(e WatchEvent) {
	if w.o.ClientID != "" && w.o.ClientID != e.ClientID || w.o.Filter != "" && !w.o.matches(&e) {
		return
	}
	e.Time = w.now()
	select {
	case w.c <- e:
	default:
		w.lost.Add(1)
	}
}

func (o *WatchOptions) matches(e *WatchEvent) bool {
	if e.Kind == "subscribed" {
		return e.Topic == o.Filter
	}
	return e.Topic != "" && topic.Match(o.Filter, e.Topic)
}
