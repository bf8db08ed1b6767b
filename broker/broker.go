package broker

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thingloom/thingloom/broker/internal/engine"
	"github.com/thingloom/thingloom/internal/topic"
)

// A Broker is an MQTT server in this process. All its methods may be called
// from many goroutines.
type Broker struct {
	opts  Options
	store Store
	count counters
	// memory is what waits in it for all connections; see account.
	memory atomic.Int64
	// state is what sessions and subscriptions take, retainedBytes what the retained messages of the Store do, if it
	// keeps them in memory.
	state         atomic.Int64
	retainedBytes func() int64

	// admission serialises what changes a client id's session, over the
	// Store's I/O: connecting, subscribing, ending. No publisher waits for it.
	admission [64]sync.Mutex

	limits    engine.Limits         // of what clients send
	unlimited rates                 // never written
	ended     func(net.Conn, error) // of tests: what ServeConn would return for a connection of a loop
	commits   committer
	authGen   atomic.Uint64 // grows with InvalidateAuth

	subs struct {
		sync.RWMutex
		tree topic.Tree[*subscriber]
		last uint64 // order of the last subscriber added
	}
	connecting connectRate
	turn       atomic.Uint64 // rotates shared subscriptions
	subsGen    atomic.Uint64 // grows with every change of subs, and when a session comes back

	watches atomic.Pointer[[]*Watch] // nil while nobody watches
	sys     sysTopics

	mu       sync.Mutex
	conns    map[*conn]struct{}
	cuts     cuts
	seats    int // conns, and those that are being let in
	sessions map[string]*session
	versions map[string]versionNumber
	timers   timers
	keepers  int           // running Serve, ServeConn and Run calls
	stopKeep chan struct{} // closed to end the housekeeping
	keepDone chan struct{}
}

// New returns a broker on store and reads the sessions stored there, but none of what waits for them. Nothing
// runs until [Broker.Serve], [Broker.ServeConn] or [Broker.Run]; in-process publishes and
// subscriptions work at once. The error joins all that is wrong with opts.
func New(store Store, opts *Options) (*Broker, error) {
	o, err := opts.filled()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		opts: o, store: store,
		conns:    map[*conn]struct{}{},
		sessions: map[string]*session{},
		versions: map[string]versionNumber{},
	}
	if r, ok := store.(RetainedMemory); ok {
		b.retainedBytes = r.RetainedBytes
	}
	b.guard()
	b.limits = engine.Limits{MaxPacket: o.MaxPacketBytes, ReceiveMax: o.ReceiveMaximum, AliasMax: o.TopicAliasMaximum, MaxQoS: o.MaxQoS}
	b.subs.tree.HashBelow = o.HashBelow
	b.sys.began = o.Now()
	b.connecting.rate = o.MaxConnectRate
	if err := b.load(context.Background()); err != nil {
		return nil, fmt.Errorf("broker: read sessions: %w", err)
	}
	return b, nil
}

// InvalidateAuth makes the broker ask its [Authorizer] again before what it
// remembers is used once more. Call it when policies change.
func (b *Broker) InvalidateAuth() { b.authGen.Add(1) }

// now is the time for data.
func (b *Broker) now() time.Time { return b.opts.Now() }

// admit locks the admission of a client id.
func (b *Broker) admit(clientID string) *sync.Mutex {
	h := uint32(2166136261)
	for i := range len(clientID) {
		h = (h ^ uint32(clientID[i])) * 16777619
	}
	m := &b.admission[h%uint32(len(b.admission))]
	m.Lock()
	return m
}

func (b *Broker) session(clientID string) *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[clientID]
}

// dropped counts a message that did not reach a client, and tells.
func (b *Broker) dropped(clientID, topic string, reason DropReason) {
	b.count.dropped.add(reason, 1)
	if f := b.opts.Trace.Dropped; f != nil {
		f(clientID, topic, reason)
	}
	if f := b.opts.Hooks.OnDrop; f != nil {
		f(clientID, topic, reason)
	}
	b.watched(func(w *Watch) { w.dropped(clientID, topic, reason) })
}
