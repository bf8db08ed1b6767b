package brokerbridge

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// principal is who the bridge acts as in our broker.
const principal = "bridge"

// workers is how many messages go out at a time. Those of one topic go one after another.
const workers = 8

// ackInterval is how often paho sends acknowledgements.
const ackInterval = 5 * time.Millisecond

func (b *Bridge) localID() string { return "bridge-" + b.opts.Name }

// serveOut keeps a connection to our broker until ctx is done.
func (b *Bridge) serveOut(ctx context.Context) {
	for n := 1; ; n++ {
		began := time.Now()
		if err := b.outOnce(ctx); err != nil && ctx.Err() == nil {
			b.opts.Logger.Error("bridge's connection to its own broker", "bridge", b.opts.Name, "err", err)
		}
		if time.Since(began) > time.Minute {
			n = 1
		}
		if !b.pause(ctx, n) {
			return
		}
	}
}

var seed = maphash.MakeSeed()

// outOnce takes messages from one connection to our broker to the other broker.
func (b *Bridge) outOnce(ctx context.Context) error {
	ours, theirs := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- b.local.ServeTrusted(context.WithoutCancel(ctx), theirs, principal) }()
	defer func() { _ = ours.Close(); <-served }()

	work, stop := context.WithCancel(ctx)
	defer stop()
	lanes := make([]chan *paho.Publish, workers)
	for i := range lanes {
		lanes[i] = make(chan *paho.Publish, b.opts.Inflight)
	}
	// Inflight holds for what is to be acknowledged; more QoS 0 than the lanes have room for makes the reader wait, and our
	// broker drop it under its own rule for slow clients.
	client := paho.NewClient(paho.ClientConfig{
		Conn: packets.NewThreadSafeConn(ours), EnableManualAcknowledgment: true, SendAcksInterval: ackInterval,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			select {
			case lanes[maphash.String(seed, r.Packet.Topic)%workers] <- r.Packet:
			case <-work.Done():
			}
			return true, nil
		}},
	})
	expiry, receive := uint32(b.opts.SessionExpiry/time.Second), uint16(b.opts.Inflight)
	if _, err := client.Connect(ctx, &paho.Connect{ClientID: b.localID(), KeepAlive: uint16(b.opts.KeepAlive / time.Second),
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry, ReceiveMaximum: &receive}}); err != nil {
		return err
	}
	var group sync.WaitGroup
	for _, lane := range lanes {
		group.Go(func() {
			for {
				select {
				case <-work.Done():
					return
				case p := <-lane:
					if b.forward(work, p) && p.QoS > 0 {
						_ = client.Ack(p) // if it fails, the connection is gone and the message comes again
					}
				}
			}
		})
	}
	err := b.subscribeLocal(ctx, client)
	b.stats.localConnected.Store(1)
	if err == nil {
		select {
		case <-ctx.Done():
			time.Sleep(3 * ackInterval) // paho sends the last acknowledgements
		case <-client.Done():
			err = errors.New("connection lost")
		}
	}
	b.stats.localConnected.Store(0)
	stop()
	group.Wait()
	_ = client.Disconnect(&paho.Disconnect{}) // the session stays; what fails here ends with the pipe
	return err
}

// subscribeLocal makes the subscriptions of the session those of the routes.
func (b *Bridge) subscribeLocal(ctx context.Context, client *paho.Client) error {
	wanted := map[string]bool{}
	for i := range b.opts.Out {
		r := &b.opts.Out[i]
		wanted[r.local()] = true
		// RetainHandling 1: retained messages once, when the route is new.
		ack, err := client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
			{Topic: r.local(), QoS: r.qos(), NoLocal: true, RetainAsPublished: true, RetainHandling: 1}}})
		if ack != nil && len(ack.Reasons) == 1 && ack.Reasons[0] >= 0x80 {
			return fmt.Errorf("subscribe %q: reason 0x%02x", r.local(), ack.Reasons[0])
		}
		if err != nil {
			return fmt.Errorf("subscribe %q: %w", r.local(), err)
		}
	}
	subs, err := b.local.Subscriptions(b.localID())
	if err != nil {
		return err
	}
	for _, s := range subs {
		if wanted[s.Filter] {
			continue
		}
		if _, err := client.Unsubscribe(ctx, &paho.Unsubscribe{Topics: []string{s.Filter}}); err != nil {
			return fmt.Errorf("unsubscribe %q: %w", s.Filter, err)
		}
	}
	return nil
}

// forward takes p to the other broker and reports whether it is dealt with: there, or dropped.
func (b *Bridge) forward(ctx context.Context, p *paho.Publish) bool {
	route, name := rename(b.opts.Out, p.Topic, true)
	if route == nil {
		b.stats.unrouted.Add(1)
		return true
	}
	if p.Properties != nil && b.looped(p.Properties.User) {
		b.stats.looped.Add(1)
		return true
	}
	q := b.outward(p, route, name)
	for n := 1; ; n++ {
		if err := b.remote.AwaitConnection(ctx); err != nil {
			return false // ctx is done
		}
		limited, cancel := context.WithTimeout(ctx, b.opts.PublishTimeout)
		ack, err := b.remote.Publish(limited, q)
		cancel()
		switch {
		case err == nil:
			b.stats.out.Add(1)
			return true
		case ctx.Err() != nil:
			return false
		case ack != nil && ack.ReasonCode >= 0x80 && !passing(ack.ReasonCode), errors.Is(err, paho.ErrInvalidArguments):
			b.stats.refused.Add(1)
			b.opts.Logger.Error("message dropped: the other broker refuses it", "bridge", b.opts.Name, "topic", name, "err", err)
			return true
		}
		if p.QoS == 0 {
			b.stats.lost.Add(1) // at most once
			return true
		}
		b.stats.retries.Add(1)
		if !b.pause(ctx, n) {
			return false
		}
	}
}

// passing reports whether a refusal may pass.
func passing(code byte) bool {
	switch code {
	case 0x80, 0x89, 0x97: // unspecified, server busy, quota exceeded
		return true
	}
	return false
}
