package brokerpaho

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"github.com/thingloom/thingloom/internal/topic"
)

// A subscription is what is subscribed to at the server, once for all handlers
// of one filter.
type subscription struct {
	filter   string
	matches  string // filter without $share/{group}/
	handlers []*handler
}

type handler struct {
	f    Handler
	sub  *subscription
	gone bool // guarded by Client.mu
}

// Subscribe calls h with each message that matches filter, which may be
// "$share/{group}/{filter}". With a connection it returns when the server has
// acknowledged; a refusal is an ErrRefused in a *ReasonError, and nothing stays
// subscribed. Without one, before Run or while the connection is lost, it returns at
// once, and a refusal that comes later is logged and counted.
//
// cancel ends the calls: at the server in the background, here at once, but
// for a call that runs.
func (c *Client) Subscribe(filter string, h func(ctx context.Context, topic string, payload []byte) error) (cancel func(), err error) {
	_, matches, err := topic.ParseShare(filter)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTopic, err)
	}
	select {
	case <-c.closed:
		return nil, ErrClosed
	default:
	}
	c.mu.Lock()
	sub := c.subs[filter]
	isNew := sub == nil
	if isNew {
		sub = &subscription{filter: filter, matches: matches}
		c.subs[filter] = sub
	}
	own := &handler{f: h, sub: sub}
	// Copied, because received reads the slice without the lock.
	sub.handlers = append(slices.Clone(sub.handlers), own)
	c.mu.Unlock()

	if isNew {
		if err := c.subscribeNow(filter); errors.Is(err, ErrRefused) {
			c.remove(own)
			return nil, err
		}
	}
	return func() { c.unsubscribe(own) }, nil
}

// remove takes h away and tells whether it was the last of its filter.
func (c *Client) remove(h *handler) (last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.gone {
		return false
	}
	h.gone = true
	h.sub.handlers = slices.DeleteFunc(slices.Clone(h.sub.handlers), func(o *handler) bool { return o == h })
	if len(h.sub.handlers) > 0 {
		return false
	}
	delete(c.subs, h.sub.filter)
	return true
}

func (c *Client) unsubscribe(h *handler) {
	if !c.remove(h) {
		return
	}
	c.mu.Lock()
	c.stale[h.sub.filter] = true
	c.mu.Unlock()
	select {
	case <-c.ready:
		c.inBackground(func() { c.dropStale(c.life, c.manager) })
	default: // the session of an earlier run may have it: at the first connection
	}
}

// withTurn runs f while it alone changes subscriptions at the server.
func (c *Client) withTurn(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	return f(ctx)
}

// subscribeNow subscribes if there is a connection. An error that is no
// ErrRefused means that resubscribe will see to it.
func (c *Client) subscribeNow(filter string) error {
	select {
	case <-c.ready:
	default:
		return ErrNotConnected
	}
	return c.withTurn(c.life, func(ctx context.Context) error {
		return c.subscribeAt(ctx, c.manager, filter, 0)
	})
}

// subscribeAt subscribes to filter if it is still wanted. handling 1 asks for
// retained messages only if the server did not have the subscription.
func (c *Client) subscribeAt(ctx context.Context, m *autopaho.ConnectionManager, filter string, handling byte) error {
	c.mu.Lock()
	wanted := c.subs[filter] != nil
	delete(c.stale, filter)
	c.mu.Unlock()
	if !wanted {
		return nil
	}
	packet := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1, RetainHandling: handling}}}
	c.mu.Lock()
	if c.withIdentifiers {
		id := identifier(filter)
		packet.Properties = &paho.SubscribeProperties{SubscriptionIdentifier: &id}
	}
	c.mu.Unlock()
	ack, err := m.Subscribe(ctx, packet)
	switch {
	case ack != nil && len(ack.Reasons) == 1 && ack.Reasons[0] >= 0x80:
		c.stats.refused.Add(1)
		text := ""
		if ack.Properties != nil {
			text = ack.Properties.ReasonString
		}
		return &ReasonError{"subscribe", filter, ack.Reasons[0], text}
	case errors.Is(err, paho.ErrInvalidArguments):
		c.stats.refused.Add(1)
		return fmt.Errorf("%w: subscribe %q: %w", ErrRefused, filter, err)
	}
	return err
}

// resubscribe tells a new connection all filters. A session that the server
// kept has them already, and is told again since it may have been another
// program's.
func (c *Client) resubscribe(ctx context.Context, m *autopaho.ConnectionManager, restored chan struct{}) {
	c.mu.Lock()
	filters := make([]string, 0, len(c.subs))
	for f := range c.subs {
		filters = append(filters, f)
	}
	c.mu.Unlock()
	slices.Sort(filters)
	for _, f := range filters {
		err := c.withTurn(ctx, func(ctx context.Context) error { return c.subscribeAt(ctx, m, f, 1) })
		switch {
		case err == nil:
		case errors.Is(err, ErrRefused):
			c.opts.Logger.Error("subscription refused", "filter", f, "err", err)
		case errors.Is(err, autopaho.ConnectionDownError), ctx.Err() != nil:
			return // the next connection is told
		default:
			// No answer: without the subscription this connection is of no use.
			c.opts.Logger.Error("subscription not acknowledged", "filter", f, "err", err)
			c.retrySubscribe(ctx, m, f)
		}
	}
	c.mu.Lock()
	c.identified = c.withIdentifiers
	c.mu.Unlock()
	close(restored)
	c.dropStale(ctx, m)
}

// retrySubscribe tries until there is an answer or the connection is gone.
func (c *Client) retrySubscribe(ctx context.Context, m *autopaho.ConnectionManager, filter string) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		err := c.withTurn(ctx, func(ctx context.Context) error { return c.subscribeAt(ctx, m, filter, 1) })
		if err == nil || errors.Is(err, ErrRefused) || errors.Is(err, autopaho.ConnectionDownError) {
			return
		}
	}
}

// dropStale unsubscribes from what nobody wants any more. What fails stays
// for the next connection.
func (c *Client) dropStale(ctx context.Context, m *autopaho.ConnectionManager) {
	_ = c.withTurn(ctx, func(ctx context.Context) error {
		c.mu.Lock()
		var filters []string
		for f := range c.stale {
			if c.subs[f] == nil {
				filters = append(filters, f)
			} else {
				delete(c.stale, f)
			}
		}
		c.mu.Unlock()
		for _, f := range filters {
			if _, err := m.Unsubscribe(ctx, &paho.Unsubscribe{Topics: []string{f}}); err != nil {
				return err
			}
			c.mu.Lock()
			delete(c.stale, f)
			c.mu.Unlock()
		}
		return nil
	})
}
