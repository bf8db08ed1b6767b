package brokerpaho

import "sync/atomic"

// Stats are the counters of a Client since New. They only grow, except
// Connected.
type Stats struct {
	Connected     bool
	Connects      int64 // connections made
	ConnectErrors int64 // attempts that failed
	Refused       int64 // subscriptions that the server refused

	Published     int64 // acknowledged by the server
	PublishErrors int64

	Received      int64 // messages that came in, copies after a reconnect included
	Handled       int64 // messages done with: handled, given up, or nobody's
	Unmatched     int64 // of those, messages that no filter matched
	HandlerErrors int64 // attempts of handlers that failed
	Failed        int64 // messages given up after Options.Attempts, counted for each handler
	Dropped       int64 // QoS 0 messages that found no room
	LeftBehind    int64 // not handled because Run ended; the server keeps those of QoS 1
	LateAcks      int64 // handled when their connection was gone; the server sends them again
}

// counters is Stats where it is counted.
type counters struct {
	connected, connects, connectErrors, refused atomic.Int64
	published, publishErrors                    atomic.Int64
	received, handled, unmatched                atomic.Int64
	handlerErrors, failed                       atomic.Int64
	dropped, leftBehind, lateAcks               atomic.Int64
}

// Stats returns the counters as they are now.
func (c *Client) Stats() Stats {
	s := &c.stats
	return Stats{
		Connected: s.connected.Load() == 1, Connects: s.connects.Load(), ConnectErrors: s.connectErrors.Load(), Refused: s.refused.Load(),
		Published: s.published.Load(), PublishErrors: s.publishErrors.Load(),
		Received: s.received.Load(), Handled: s.handled.Load(), Unmatched: s.unmatched.Load(),
		HandlerErrors: s.handlerErrors.Load(), Failed: s.failed.Load(),
		Dropped: s.dropped.Load(), LeftBehind: s.leftBehind.Load(), LateAcks: s.lateAcks.Load(),
	}
}
