package brokerbridge

import (
	"context"
	"errors"
	"net"
	"net/url"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/thingloom/thingloom/broker"
)

// incoming is a message of the other broker.
type incoming struct {
	client *paho.Client
	packet *paho.Publish
}

// config is the connection to the other broker.
func (b *Bridge) config(ctx context.Context) autopaho.ClientConfig {
	receive := uint16(b.opts.Inflight)
	cfg := autopaho.ClientConfig{
		ServerUrls: b.servers, TlsCfg: b.opts.TLS.Clone(), KeepAlive: uint16(b.opts.KeepAlive / time.Second),
		CleanStartOnInitialConnection: false,
		SessionExpiryInterval:         uint32(b.opts.SessionExpiry / time.Second),
		ConnectUsername:               b.opts.Username, ConnectPassword: b.opts.Password, ConnectTimeout: b.opts.ConnectTimeout,
		ReconnectBackoff: func(attempt int) time.Duration {
			if attempt == 0 {
				return 0
			}
			return min(b.opts.RetryPause<<min(attempt-1, 10), 100*b.opts.RetryPause)
		},
		ConnectPacketBuilder: func(p *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			if p.Properties == nil {
				p.Properties = &paho.ConnectProperties{}
			}
			p.Properties.ReceiveMaximum = &receive
			return p, nil
		},
		OnConnectionUp: func(m *autopaho.ConnectionManager, ack *paho.Connack) {
			b.stats.connects.Add(1)
			b.stats.connected.Store(1)
			b.opts.Logger.Info("bridge connected", "bridge", b.opts.Name, "session_present", ack.SessionPresent)
			if err := b.subscribeRemote(ctx, m); err != nil {
				b.opts.Logger.Error("bridge's subscriptions", "bridge", b.opts.Name, "err", err)
			}
		},
		OnConnectionDown: func() bool {
			b.stats.connected.Store(0)
			b.opts.Logger.Warn("bridge's connection lost", "bridge", b.opts.Name)
			return true
		},
		OnConnectError: func(err error) {
			b.stats.connectErrors.Add(1)
			b.opts.Logger.Warn("bridge not connected", "bridge", b.opts.Name, "err", err)
		},
		ClientConfig: paho.ClientConfig{
			ClientID: b.opts.ClientID, EnableManualAcknowledgment: true, SendAcksInterval: ackInterval, PacketTimeout: b.opts.PublishTimeout,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){b.received},
		},
	}
	if dial := b.opts.Dial; dial != nil {
		cfg.AttemptConnection = func(ctx context.Context, _ autopaho.ClientConfig, u *url.URL) (net.Conn, error) {
			conn, err := dial(ctx, u)
			if err != nil {
				return nil, err
			}
			return packets.NewThreadSafeConn(conn), nil
		}
	}
	return cfg
}

// subscribeRemote tells a new connection the routes. A session that the other broker kept has them, and
// is told again; its retained messages come only when a route is new.
func (b *Bridge) subscribeRemote(ctx context.Context, m *autopaho.ConnectionManager) error {
	var errs []error
	for i := range b.opts.In {
		r := &b.opts.In[i]
		limited, cancel := context.WithTimeout(ctx, b.opts.ConnectTimeout)
		_, err := m.Subscribe(limited, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
			{Topic: r.remote(), QoS: r.qos(), NoLocal: true, RetainAsPublished: true, RetainHandling: 1}}})
		cancel()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// received runs on paho's read loop. A full inbox makes it wait, and with it the other broker.
func (b *Bridge) received(r paho.PublishReceived) (bool, error) {
	for {
		b.inbox.Lock()
		if b.ending {
			b.inbox.Unlock()
			return true, nil // not acknowledged: comes again
		}
		select {
		case b.in <- incoming{r.Client, r.Packet}:
			b.inbox.Unlock()
			return true, nil
		default:
			b.inbox.Unlock()
		}
		select {
		case <-r.Client.Done():
			return true, nil
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// takeIn publishes what has come, one after another, until ctx is done.
func (b *Bridge) takeIn(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-b.in:
			if b.accept(ctx, m.packet) && m.packet.QoS > 0 {
				_ = m.client.Ack(m.packet) // if it fails, the connection is gone and the message comes again
			}
		}
	}
}

// accept publishes p in our broker and reports whether it is dealt with: there, or dropped.
func (b *Bridge) accept(ctx context.Context, p *paho.Publish) bool {
	route, name := rename(b.opts.In, p.Topic, false)
	if route == nil {
		b.stats.unrouted.Add(1)
		return true
	}
	if p.Properties != nil && b.looped(p.Properties.User) {
		b.stats.looped.Add(1)
		return true
	}
	m := b.inward(p, route, name)
	for n := 1; ; n++ {
		err := b.local.PublishMessage(ctx, m)
		switch {
		case err == nil:
			b.stats.in.Add(1)
			return true
		case ctx.Err() != nil:
			return false
		case p.QoS == 0, errors.Is(err, broker.ErrTopic), errors.Is(err, broker.ErrTooLarge):
			b.stats.refused.Add(1)
			b.opts.Logger.Error("message dropped: our broker refuses it", "bridge", b.opts.Name, "topic", name, "err", err)
			return true
		}
		b.stats.retries.Add(1)
		if !b.pause(ctx, n) {
			return false
		}
	}
}
