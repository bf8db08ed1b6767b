package broker

import "sync/atomic"

// Stats are the counters of a broker. They only grow, except those that are
// said to be gauges.
type Stats struct {
	Connections   int64 // gauge: connected clients
	Sessions      int64 // gauge: sessions, connected or not
	Subscriptions int64 // gauge
	MemoryBytes   int64 // gauge: what is counted against Options.MaxMemoryBytes, what waits in steps
	KeptBytes     int64 // gauge: the part of it that sessions, subscriptions and retained messages take, about

	Connects, Refused, Disconnects map[string]int64 // Refused by reason code in hex, Disconnects by DisconnectReason; Connects by "3.1.1" and "5.0"

	PublishedQoS0, PublishedQoS1, PublishedQoS2 int64 // messages accepted, in-process ones included
	DeliveredQoS0, DeliveredQoS1, DeliveredQoS2 int64 // messages handed to connections
	Acknowledged                                int64 // deliveries acknowledged by clients
	Stored                                      int64 // messages put into the Store's queues, once per message
	Dropped                                     map[DropReason]int64
	HandlerErrors                               int64 // in-process handlers that refused
	PublishRefused                              int64 // messages answered with a failure
	StoreErrors                                 int64
	BytesIn, BytesOut                           int64
	Panics                                      int64 // see ErrPanic
}

// counters is Stats where it is counted.
type counters struct {
	connects      [2]atomic.Int64 // 3.1.1, 5.0
	published     [3]atomic.Int64
	delivered     [3]atomic.Int64
	acknowledged  atomic.Int64
	stored        atomic.Int64
	handlerErrors atomic.Int64
	refused       atomic.Int64
	storeErrors   atomic.Int64
	bytesIn       atomic.Int64
	bytesOut      atomic.Int64
	panics        atomic.Int64
	subscriptions atomic.Int64

	dropped     labelled[DropReason]
	disconnects labelled[DisconnectReason]
	refusals    labelled[string]
}

// Stats returns the counters as they are now.
func (b *Broker) Stats() Stats {
	c := &b.count
	s := Stats{
		Subscriptions: c.subscriptions.Load(),
		Connects:      map[string]int64{"3.1.1": c.connects[0].Load(), "5.0": c.connects[1].Load()},
		Refused:       c.refusals.snapshot(),
		Dropped:       c.dropped.snapshot(),
		Disconnects:   map[string]int64{},
		PublishedQoS0: c.published[0].Load(), PublishedQoS1: c.published[1].Load(), PublishedQoS2: c.published[2].Load(),
		DeliveredQoS0: c.delivered[0].Load(), DeliveredQoS1: c.delivered[1].Load(), DeliveredQoS2: c.delivered[2].Load(),
		Acknowledged:   c.acknowledged.Load(),
		Stored:         c.stored.Load(),
		HandlerErrors:  c.handlerErrors.Load(),
		PublishRefused: c.refused.Load(),
		StoreErrors:    c.storeErrors.Load(),
		BytesIn:        c.bytesIn.Load(),
		BytesOut:       c.bytesOut.Load(),
		Panics:         c.panics.Load(),
		KeptBytes:      b.kept(),
	}
	s.MemoryBytes = b.memory.Load() + s.KeptBytes
	for reason, n := range c.disconnects.snapshot() {
		s.Disconnects[string(reason)] = n
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Connections = int64(len(b.conns))
	s.Sessions = int64(len(b.sessions))
	return s
}
