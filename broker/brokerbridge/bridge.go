package brokerbridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"

	"github.com/thingloom/thingloom/broker"
)

// Local is what a bridge needs of our broker; [*broker.Broker] has it.
type Local interface {
	ServeTrusted(ctx context.Context, c net.Conn, principal string) error
	PublishMessage(ctx context.Context, m broker.Message) error
	Subscriptions(clientID string) ([]broker.Subscription, error)
}

var _ Local = (*broker.Broker)(nil)

// A Bridge carries messages between our broker and another. Its methods may be called from many
// goroutines.
type Bridge struct {
	local   Local
	servers []*url.URL
	opts    Options
	stats   counters
	started atomic.Bool

	remote *autopaho.ConnectionManager // set by Run before anything needs it
	in     chan incoming
	inbox  sync.Mutex // guards closing in
	ending bool       // guarded by inbox
}

// Stats are the counts of a Bridge since New; Connected and LocalConnected are gauges, 0 or 1.
type Stats struct {
	Connected, LocalConnected int64
	Connects, ConnectErrors   int64
	Out, In                   int64 // messages that arrived on the other side
	Retries                   int64 // of messages that failed at first
	Looped                    int64 // dropped: had come this way before, or through too many bridges
	Refused                   int64 // dropped: the receiving side will not have them
	Lost                      int64 // QoS 0 that the connection was lost under
	Unrouted                  int64 // dropped: of a session that an earlier configuration left
}

type counters struct {
	connected, localConnected, connects, connectErrors atomic.Int64
	out, in, retries, looped, refused, lost, unrouted  atomic.Int64
}

// Stats returns the counts so far.
func (b *Bridge) Stats() Stats {
	c := &b.stats
	return Stats{Connected: c.connected.Load(), LocalConnected: c.localConnected.Load(), Connects: c.connects.Load(), ConnectErrors: c.connectErrors.Load(),
		Out: c.out.Load(), In: c.in.Load(), Retries: c.retries.Load(), Looped: c.looped.Load(), Refused: c.refused.Load(), Lost: c.lost.Load(), Unrouted: c.unrouted.Load()}
}

// New returns a bridge between local and the first of servers that can be reached: URLs with
// the scheme mqtt, mqtts, ws or wss. The other broker must speak MQTT 5. Run does the work.
func New(local Local, servers []string, opts *Options) (*Bridge, error) {
	o, err := opts.filled()
	if err != nil {
		return nil, err
	}
	if local == nil || len(servers) == 0 {
		return nil, errors.New("brokerbridge: a broker and a server are needed")
	}
	o.Out, o.In = withDefaults(o.Out), withDefaults(o.In)
	b := &Bridge{local: local, opts: o, in: make(chan incoming, o.Inflight)}
	for _, s := range servers {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("brokerbridge: server: %w", err)
		}
		switch u.Scheme {
		case "mqtt", "mqtts", "ws", "wss":
		default:
			return nil, fmt.Errorf("brokerbridge: server %q: scheme %q is none of mqtt, mqtts, ws, wss", s, u.Scheme)
		}
		b.servers = append(b.servers, u)
	}
	return b, nil
}

// Run carries messages until ctx is done, and connects again whenever a connection is lost. What is under way
// at the end is not acknowledged and comes again with the next Run. It may be called once.
func (b *Bridge) Run(ctx context.Context) error {
	if !b.started.CompareAndSwap(false, true) {
		return errors.New("brokerbridge: Run called twice")
	}
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	remote, err := autopaho.NewConnection(inner, b.config(inner))
	if err != nil {
		return fmt.Errorf("brokerbridge: run: %w", err)
	}
	b.remote = remote
	var work sync.WaitGroup
	work.Go(func() { b.takeIn(ctx) })
	if len(b.opts.Out) > 0 {
		work.Go(func() { b.serveOut(ctx) })
	}
	<-ctx.Done()
	b.inbox.Lock()
	b.ending = true
	b.inbox.Unlock()
	work.Wait()
	stop()
	<-remote.Done()
	return nil
}

// pause waits before attempt number n of something, from 1, and reports whether ctx is still alive.
func (b *Bridge) pause(ctx context.Context, n int) bool {
	d := b.opts.RetryPause << min(n-1, 10)
	t := time.NewTimer(min(d, 100*b.opts.RetryPause))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
