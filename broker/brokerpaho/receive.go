package brokerpaho

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/thingloom/thingloom/internal/topic"
)

// incoming is a message on its way to its handlers.
type incoming struct {
	client *paho.Client
	packet *paho.Publish
	ids    []int // of the subscriptions that it was sent for; nil if not known
}

var seed = maphash.MakeSeed()

// received runs on paho's read loop: it puts the message into the inbox of a
// worker and returns.
func (c *Client) received(r paho.PublishReceived) (bool, error) {
	c.stats.received.Add(1)
	in := c.inbox[maphash.String(seed, r.Packet.Topic)%uint64(len(c.inbox))]
	m := incoming{r.Client, r.Packet, c.identifiersOf(r.Client)}
	for {
		// Under the lock, so that Run does not close the inbox meanwhile.
		c.mu.Lock()
		if c.ending {
			c.mu.Unlock()
			// Not acknowledged, so the server keeps it for the next time.
			c.stats.leftBehind.Add(1)
			return true, nil
		}
		select {
		case in <- m:
			c.mu.Unlock()
			return true, nil
		default:
			c.mu.Unlock()
		}
		if r.Packet.QoS == 0 {
			c.stats.dropped.Add(1)
			return true, nil
		}
		// Full of what connections before this one brought: the server may
		// send the same again. Reading stops until there is room.
		select {
		case <-r.Client.Done():
			return true, nil // comes again on the next connection
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// work handles messages one after another until in is closed or ctx is done.
func (c *Client) work(ctx context.Context, in <-chan incoming) {
	for m := range in {
		if !c.handle(ctx, m.packet, m.ids) {
			c.stats.leftBehind.Add(1)
			continue // ctx is done: not acknowledged
		}
		c.stats.handled.Add(1)
		select {
		case <-m.client.Done():
			c.stats.lateAcks.Add(1) // the connection is gone: it comes again
		default:
			if err := m.client.Ack(m.packet); err != nil {
				c.opts.Logger.Warn("message not acknowledged", "topic", m.packet.Topic, "err", err)
			}
		}
	}
}

// handle gives p to all handlers whose filters match, and reports whether p
// may be acknowledged.
func (c *Client) handle(ctx context.Context, p *paho.Publish, ids []int) bool {
	matched := false
	for _, h := range c.matching(p.Topic, ids) {
		matched = true
		if !c.attempt(ctx, h, p) {
			return false
		}
	}
	if !matched {
		c.stats.unmatched.Add(1)
	}
	return true
}

// identifiersOf are those of the message that has just come.
func (c *Client) identifiersOf(client *paho.Client) []int {
	r := c.readingOf(client)
	if r == nil {
		return nil
	}
	ids := r.next()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.identified {
		return nil // some subscriptions may have none yet
	}
	return ids
}

// matching are the handlers whose filters match name: of the subscriptions in ids, or of all if none of
// them is known.
func (c *Client) matching(name string, ids []int) []*handler {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all, own []*handler
	for _, sub := range c.subs {
		if !topic.Match(sub.matches, name) {
			continue
		}
		all = append(all, sub.handlers...)
		if slices.Contains(ids, identifier(sub.filter)) {
			own = append(own, sub.handlers...)
		}
	}
	if own != nil {
		return own
	}
	return all
}

// attempt calls h until it succeeds or the attempts are used up. It reports
// false if ctx ended that before.
func (c *Client) attempt(ctx context.Context, h *handler, p *paho.Publish) bool {
	pause := c.opts.RetryPause
	for n := 1; ; n++ {
		if ctx.Err() != nil {
			return false
		}
		err := c.call(ctx, h, p)
		if err == nil {
			return true
		}
		c.stats.handlerErrors.Add(1)
		if n == c.opts.Attempts {
			c.stats.failed.Add(1)
			c.opts.Logger.Error("message given up", "topic", p.Topic, "filter", h.sub.filter, "attempts", n, "err", err)
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
			pause = min(2*pause, time.Minute)
		}
	}
}

// call is h with a panic made an error: one message must not end the program.
func (c *Client) call(ctx context.Context, h *handler, p *paho.Publish) (err error) {
	c.mu.Lock()
	gone := h.gone
	c.mu.Unlock()
	if gone {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("brokerpaho: handler of %q panicked: %v", h.sub.filter, r)
		}
	}()
	return h.f(ctx, p.Topic, p.Payload)
}
