package brokerpaho

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session"

	"github.com/thingloom/thingloom/internal/topic"
)

// A Handler gets one message; see [Client.Subscribe].
type Handler = func(ctx context.Context, topic string, payload []byte) error

// A Client is one MQTT 5 client of a foreign broker. Its methods may be called
// from many goroutines, before, during and after Run.
type Client struct {
	servers []*url.URL
	opts    Options
	stats   counters

	started atomic.Bool
	ready   chan struct{} // closed once the two below are set
	closed  chan struct{} // closed when Run ends
	manager *autopaho.ConnectionManager
	life    context.Context // of the connection: longer than Run's by the draining

	// turn is held while subscriptions are changed at the server, so that an
	// UNSUBSCRIBE cannot overtake the SUBSCRIBE that came after it.
	turn chan struct{}

	mu     sync.Mutex
	subs   map[string]*subscription // by filter
	stale  map[string]bool          // filters to unsubscribe from when the server can be reached
	reader struct {                 // see readingOf
		last, conn *reading
		client     *paho.Client
	}
	withIdentifiers bool // the server takes subscription identifiers
	identified      bool // and has one for every subscription
	ending          bool // Run is draining: background is not added to any more
	// restored is closed when the connection has its subscriptions, and made
	// anew when it is lost.
	restored chan struct{}

	background sync.WaitGroup // goroutines that Run waits for
	inbox      []chan incoming
}

// New returns a Client of the first of servers that can be reached. A server is
// a URL with the scheme mqtt, mqtts, ws or wss. It does not connect; Run does.
func New(servers []string, opts *Options) (*Client, error) {
	o, err := opts.filled()
	if err != nil {
		return nil, err
	}
	c := &Client{
		opts: o, ready: make(chan struct{}), closed: make(chan struct{}), turn: make(chan struct{}, 1),
		subs: map[string]*subscription{}, stale: map[string]bool{}, restored: make(chan struct{}),
	}
	for _, s := range servers {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("brokerpaho: server: %w", err)
		}
		switch u.Scheme {
		case "mqtt", "mqtts", "ws", "wss":
		default:
			return nil, fmt.Errorf("brokerpaho: server %q: scheme %q is none of mqtt, mqtts, ws, wss", s, u.Scheme)
		}
		if u.Host == "" {
			return nil, fmt.Errorf("brokerpaho: server %q: no host", s)
		}
		c.servers = append(c.servers, u)
	}
	if len(c.servers) == 0 {
		return nil, errors.New("brokerpaho: no server")
	}
	if c.opts.ClientID == "" {
		c.opts.ClientID = "thingloom-" + rand.Text()
		c.opts.SessionExpiry = min(c.opts.SessionExpiry, time.Minute) // nobody comes back for it
	}
	for range o.Workers {
		c.inbox = append(c.inbox, make(chan incoming, 2*o.ReceiveMaximum))
	}
	return c, nil
}

// Run connects and stays connected until ctx is done, then handles what has
// arrived, acknowledges it and disconnects. It may be called once. That a
// server cannot be reached or refuses is logged and tried again, since it may
// change; Stats tells.
func (c *Client) Run(ctx context.Context) error {
	if !c.started.CompareAndSwap(false, true) {
		return errors.New("brokerpaho: Run called twice")
	}
	defer close(c.closed)
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	manager, err := autopaho.NewConnection(inner, c.config(inner))
	if err != nil {
		return fmt.Errorf("brokerpaho: run: %w", err)
	}
	c.manager, c.life = manager, inner
	close(c.ready)

	work, abort := context.WithCancel(inner)
	defer abort()
	var workers sync.WaitGroup
	for _, in := range c.inbox {
		workers.Go(func() { c.work(work, in) })
	}

	<-ctx.Done()
	c.mu.Lock()
	c.ending = true // from here on nothing is put into the inbox
	c.mu.Unlock()
	for _, in := range c.inbox {
		close(in)
	}
	late := time.AfterFunc(c.opts.DrainTimeout, abort)
	defer late.Stop()
	workers.Wait()
	var drained error
	if work.Err() != nil {
		drained = fmt.Errorf("brokerpaho: run: messages were left unhandled after %v", c.opts.DrainTimeout)
	}
	c.flushAcks()
	stop()
	<-manager.Done()
	c.background.Wait()
	return drained
}

// ackInterval is how often paho sends the acknowledgements of handled messages.
const ackInterval = 5 * time.Millisecond

// flushAcks gives paho the time to send the last acknowledgements. What it does
// not send comes again.
func (c *Client) flushAcks() {
	if c.stats.handled.Load() > 0 {
		time.Sleep(3 * ackInterval)
	}
}

func (c *Client) config(ctx context.Context) autopaho.ClientConfig {
	receive, packet := uint16(c.opts.ReceiveMaximum), uint32(c.opts.MaxPacketBytes)
	cfg := autopaho.ClientConfig{
		ServerUrls:       c.servers,
		TlsCfg:           c.tlsConfig(),
		KeepAlive:        uint16(c.opts.KeepAlive / time.Second),
		ReconnectBackoff: c.opts.ReconnectPause,
		ConnectTimeout:   c.opts.ConnectTimeout,
		ConnectUsername:  c.opts.Username,
		ConnectPassword:  c.opts.Password,
		ConnectPacketBuilder: func(p *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			if p.Properties == nil {
				p.Properties = &paho.ConnectProperties{}
			}
			p.Properties.ReceiveMaximum, p.Properties.MaximumPacketSize = &receive, &packet
			return p, nil
		},
		OnConnectionUp: func(m *autopaho.ConnectionManager, ack *paho.Connack) {
			c.stats.connects.Add(1)
			c.stats.connected.Store(1)
			c.opts.Logger.Info("connected", "client_id", c.opts.ClientID, "session_present", ack.SessionPresent)
			restored := c.restoring()
			c.mu.Lock()
			c.withIdentifiers = ack.Properties == nil || ack.Properties.SubIDAvailable
			c.mu.Unlock()
			c.inBackground(func() { c.resubscribe(ctx, m, restored) })
		},
		OnConnectionDown: func() bool {
			c.stats.connected.Store(0)
			c.mu.Lock()
			c.restored = make(chan struct{})
			c.identified = false
			c.mu.Unlock()
			c.opts.Logger.Warn("connection lost", "client_id", c.opts.ClientID)
			return true
		},
		OnConnectError: func(err error) {
			c.stats.connectErrors.Add(1)
			c.opts.Logger.Warn("not connected", "client_id", c.opts.ClientID, "err", err)
		},
		ClientConfig: paho.ClientConfig{
			ClientID:                   c.opts.ClientID,
			OnPublishReceived:          []func(paho.PublishReceived) (bool, error){c.received},
			EnableManualAcknowledgment: true,
			SendAcksInterval:           ackInterval,
			PacketTimeout:              c.opts.PublishTimeout,
		},
	}
	if c.opts.SessionExpiry > 0 {
		cfg.SessionExpiryInterval = uint32((c.opts.SessionExpiry + time.Second - 1) / time.Second)
	}
	cfg.AttemptConnection = c.attemptConnection()
	return cfg
}

func (c *Client) tlsConfig() *tls.Config {
	if c.opts.TLS == nil {
		return nil
	}
	return c.opts.TLS.Clone()
}

// inBackground runs f on a goroutine that Run waits for, unless Run is ending.
func (c *Client) inBackground(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending {
		c.background.Go(f)
	}
}

func (c *Client) restoring() chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.restored
}

// Publish sends payload to a topic with QoS 1 and returns when the server has
// acknowledged it. Without a connection it waits for one until ctx is done; a
// new connection gets its subscriptions first, so that no answer is missed.
// Errors are ErrTopic, ErrNotConnected, ErrRefused in a *ReasonError,
// ErrUnconfirmed and ErrClosed.
func (c *Client) Publish(ctx context.Context, name string, payload []byte) error {
	if err := topic.CheckName(name); err != nil {
		return fmt.Errorf("%w: %w", ErrTopic, err)
	}
	if err := c.publish(ctx, name, payload); err != nil {
		c.stats.publishErrors.Add(1)
		return err
	}
	c.stats.published.Add(1)
	return nil
}

func (c *Client) publish(ctx context.Context, name string, payload []byte) error {
	failed := func(err, cause error) error {
		return fmt.Errorf("%w: publish %q: %w", err, name, cause)
	}
	select {
	case <-c.closed:
	case <-ctx.Done():
		return failed(ErrNotConnected, ctx.Err())
	case <-c.ready:
	}
	// Looked at by itself: of several that are ready, select takes any.
	select {
	case <-c.closed:
		return ErrClosed
	default:
	}
	for {
		if err := c.manager.AwaitConnection(ctx); err != nil {
			if ctx.Err() == nil {
				return ErrClosed
			}
			return failed(ErrNotConnected, err)
		}
		c.awaitRestored(ctx)
		r, err := c.manager.Publish(ctx, &paho.Publish{QoS: 1, Topic: name, Payload: payload})
		switch {
		case err == nil:
			return nil
		case errors.Is(err, autopaho.ConnectionDownError), errors.Is(err, session.ErrNoConnection):
			// It was lost in between, which autopaho may not know yet.
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
			continue
		case r != nil && r.ReasonCode >= 0x80:
			text := ""
			if r.Properties != nil {
				text = r.Properties.ReasonString
			}
			return &ReasonError{"publish", name, r.ReasonCode, text}
		case errors.Is(err, paho.ErrInvalidArguments):
			return failed(ErrRefused, err)
		default:
			return failed(ErrUnconfirmed, err)
		}
	}
}

// awaitRestored waits until the connection has its subscriptions, but not for
// long: a handler that publishes must not wait for what waits for handlers.
func (c *Client) awaitRestored(ctx context.Context) {
	restored := c.restoring()
	select {
	case <-restored:
		return
	default:
	}
	limit := time.NewTimer(c.opts.ConnectTimeout)
	defer limit.Stop()
	select {
	case <-restored:
	case <-limit.C:
	case <-c.closed:
	case <-ctx.Done():
	}
}
