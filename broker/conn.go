package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thingloom/thingloom/broker/internal/engine"
	"github.com/thingloom/thingloom/broker/internal/wire"
)

// A conn is one network connection. Its reader goroutine, which is that of
// ServeConn, owns everything that stands above mu.
type conn struct {
	b       *Broker
	nc      net.Conn
	in      input
	turn    turn        // of the loop's goroutines to work for this connection
	noWill  bool        // it said goodbye
	late    *time.Timer // ends a connection that does not get to its CONNECT
	leading *loop       // whose other sockets wait until this one is dealt with, or nil: see aside

	engine engine.Inbound
	base   context.Context // with the values of Serve's, never done; depth 1

	sess          *session                   // once CONNECT was accepted
	info          identity                   // written with mu held
	auth          *authentication            // with an authentication method
	trusted       *Admission                 // of ServeTrusted
	own           atomic.Pointer[Authorizer] // of this connection, from its Admission
	stopAdmission func()
	cuts          uint64 // of the broker, before it was asked who this is
	will          *lastWill

	*work                       // nil while nothing is worked on
	routes    map[string]*route // by topic of this client's publishes
	routed    int               // receivers in them
	remembers account           // of both
	open2     map[uint16]bool   // packet ids of QoS 2 publishes that count against the client's quota
	backlog   []*retainedScan
	parting   *wire.Disconnect // the client's own

	receive struct {
		sync.Mutex
		auth  uint64
		known map[string]bool
	}

	*rates // the broker's own, which limits nothing, if there are no limits

	silence time.Duration // after which the connection is given up; 0 is never
	alive   atomic.Int64  // when the last whole packet came, in Unix nanoseconds
	partial atomic.Int64  // since when the next one is under way; 0 if it is not, or while the reader is at work
	begun   int64         // the same, for the reader
	reading account       // of what has come of it

	suppress, forget atomic.Bool // asked for from outside: no will; no session

	mu      sync.Mutex
	waiting account      // of what waits to be written
	limits  clientLimits // what its CONNECT said
	cond    *sync.Cond   // room in the outbox, or the end: for who waits, if anybody does
	buf     *buffer      // what waits to be written; nil if nothing
	inWrite int          // bytes that the goroutine which writes has taken out of buf
	stuck   *buffer      // the rest of a write that a loop goes on with once there is room
	cut     *time.Timer
	cancel  context.CancelFunc // of work.ctx, if there is one
	stop    stop

	writing bool // a goroutine writes what it has taken out of buf: there is never more than one
	room    bool // in the socket, since that write began
	broken  bool // a write has failed
	hurry   bool // the draining is over: contexts are done from the beginning
	busy    bool // the reader works on a batch
	closing bool // the socket is closed once buf is written
	leaves  bool // by the reader, who looks at it next: see gone
	// finished says that no writer may begin any more: finish waits for those
	// that have.
	finished bool
	detached sync.Once
	writers  sync.WaitGroup
}

// clientLimits are what a client takes.
type clientLimits struct {
	MaxPacket       uint32 // 0 is no limit
	NoProblemString bool
}

// A stop is why a connection ends.
type stop struct {
	set    bool
	code   byte
	reason DisconnectReason
	err    error
}

const (
	// closeTimeout bounds saying goodbye to a peer that does not read.
	closeTimeout = time.Second
	// maxRoutes bounds the topics remembered for one publisher, maxRouted their receivers, unless it is one topic
	// that has more: each takes 48 bytes, and publishers are many.
	maxRoutes, maxRouted = 256, 4096
	// maxBatch bounds what is stored in one go for one publisher.
	maxBatch = 256 << 10
)

// ServeConn serves one client on nc, whatever it is: TCP, TLS (*tls.Conn, or
// anything with its ConnectionState method), a WebSocket's net.Conn, one end of a net.Pipe. It blocks until
// the connection is over and closes nc. An nc with a method Lifetime() time.Duration may last that long, and one with
// PeerClosed() bool may say that its client has closed it in order; a WebSocket has both. When ctx is done the client is told 0x8B and
// disconnected. It returns nil for an orderly end and a [*ConnError] otherwise.
func (b *Broker) ServeConn(ctx context.Context, nc net.Conn) error {
	defer b.keepHouse()()
	c := newConn(b, nc)
	defer context.AfterFunc(ctx, func() {
		c.end(byte(wire.ServerShuttingDown), ServerInitiatedDisconnect, errDraining)
	})()
	return c.serve(baseContext(ctx), nil)
}

// ServeTrusted serves one client of this very program on nc, one end of a net.Pipe: it acts as principal,
// nobody is asked who it is or what it may do, and no rate holds for it. A bridge keeps its
// queue in the session of such a client. Otherwise it is as [Broker.ServeConn].
func (b *Broker) ServeTrusted(ctx context.Context, nc net.Conn, principal string) error {
	defer b.keepHouse()()
	c := newConn(b, nc)
	c.trusted = &Admission{Principal: principal, Authorizer: AllowAll{}}
	c.rates = &b.unlimited
	defer context.AfterFunc(ctx, func() {
		c.end(byte(wire.ServerShuttingDown), ServerInitiatedDisconnect, errDraining)
	})()
	return c.serve(baseContext(ctx), nil)
}

func newConn(b *Broker, nc net.Conn) *conn {
	c := &conn{b: b, nc: nc, stopAdmission: func() {}}
	c.rates = b.newRates()
	c.in.init(nc)
	c.engine.Limits = &b.limits
	return c
}

// open begins the connection's time.
func (c *conn) open(base context.Context) {
	c.base = base
	c.late = time.AfterFunc(c.b.opts.ConnectTimeout, func() {
		c.end(byte(wire.Unspecified), ClientError, errNoConnect)
	})
}

// baseContext has the values of ctx and not its end.
func baseContext(ctx context.Context) context.Context {
	return WithDepth(context.WithoutCancel(ctx), 1)
}

// serve reads on a goroutine of the connection's own until it is over, or one of loops goes on with it.
func (c *conn) serve(base context.Context, loops *loops) error {
	c.open(base)
	err := c.handshake()
	if err == nil && loops.adopt(c) {
		return nil
	}
	for err == nil {
		var n int
		if n, err = c.in.fill(c.nc); err == nil {
			err = c.received(n)
		}
	}
	return c.finish(err)
}

// context is for functions of the application that this goroutine calls, for as long as it works
// on a batch. A drain lets them finish: they see its end only when its time is up.
func (c *conn) context() context.Context {
	if c.ctx == nil {
		ctx, cancel := context.WithCancel(c.base)
		c.mu.Lock()
		c.ctx, c.cancel = ctx, cancel
		if c.hurry {
			cancel()
		}
		c.mu.Unlock()
	}
	return c.ctx
}

// leaveContext ends it.
func (c *conn) leaveContext() {
	if c.work == nil || c.ctx == nil {
		return
	}
	c.mu.Lock()
	c.cancel()
	c.ctx, c.cancel = nil, nil
	c.mu.Unlock()
}

// abandon ends the connection at once, and the patience with functions it called.
func (c *conn) abandon() {
	c.mu.Lock()
	c.hurry = true
	if c.cancel != nil {
		c.cancel()
	}
	c.mu.Unlock()
	c.kill()
}

// handshake is that of TLS, or of whatever else the listener has put before MQTT.
func (c *conn) handshake() error {
	if tc, ok := c.nc.(interface{ HandshakeContext(context.Context) error }); ok {
		done := make(chan error, 1)
		go func() { // whose large stack this goroutine would keep
			var err error
			defer func() { done <- err }()
			defer c.b.caughtAs(&err, "TLS handshake") // which calls functions of the tls.Config
			err = tc.HandshakeContext(c.base)
		}()
		if err := <-done; err != nil {
			return &ConnError{Reason: AuthError, Err: fmt.Errorf("broker: handshake: %w", err)}
		}
	}
	return nil
}

// received deals with what has come, n bytes more, and answers. An error is the end.
func (c *conn) received(n int) error {
	c.b.count.bytesIn.Add(int64(n))
	pause := c.bytes.use(n)
	if !c.begin() {
		c.in.consume(len(c.in.data), 0) // on the way out: what comes is not looked at
		return nil
	}
	if c.begun != 0 {
		c.partial.Store(0) // what takes its time from here on is not the peer's fault
	}
	c.borrow()
	if l := c.leading; l != nil {
		// It is written to at the end of the round, with all that the others of the round give it, but before those
		// that it gives something: a publisher that hears of its acknowledgements first has the next batch ready
		// by the time its subscribers are written to.
		l.flushLater(c)
	}
	c.rest(c.dealWith())
	if c.leading == nil {
		c.flush()
		c.flushDirty()
	}
	if c.whole {
		c.begun = 0
	}
	c.giveBack()
	if c.gone() {
		return errClosed
	}
	c.waitRoom()
	c.waitRate(pause)
	c.underWay()
	return nil
}

// underWay notes that a packet has begun to come, if one has, and what it takes.
func (c *conn) underWay() {
	c.reading.set(&c.b.memory, cap(c.in.data))
	switch {
	case len(c.in.data) == 0:
		c.begun = 0
		return
	case c.begun == 0:
		c.begun = time.Now().UnixNano()
	}
	c.partial.Store(c.begun)
	if c.reading.entered > 0 && c.b.tight() {
		c.end(quotaExceeded, Throttled, ErrMemory)
	}
}

// dealWith works on what has come and acknowledges it.
func (c *conn) dealWith() (err error) {
	defer func() {
		if v := recover(); v != nil { // a bug of ours ends this connection and no other
			err = c.giveUp(c.b.panicked("connection of "+c.info.ClientID, v))
		}
	}()
	err = c.process()
	if c.sess == nil {
		return err
	}
	if c.late != nil {
		c.late.Stop()
		c.late = nil
	}
	err = errors.Join(c.endBatch(), err)
	if err == nil {
		err = c.refill(c.aside)
	}
	if err == nil {
		err = c.pumpRetained()
	}
	return err
}

// gone reports whether the client has said goodbye and has been sent all that it was owed. Its
// socket can be closed without waiting for its end of it.
func (c *conn) gone() bool {
	if c.parting == nil || c.in.sock == nil {
		return false
	}
	c.aside() // to end takes a while, and what is owed is written now
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outstanding() == 0 {
		return true
	}
	if c.leaves {
		c.leaves = false
		c.cut = time.AfterFunc(closeTimeout, c.kill)
	}
	return false
}

// aside is called before anything that may wait for a disk, a lock held over one, or the
// application: if this goroutine leads a loop, another one leads it from now on.
func (c *conn) aside() {
	if l := c.leading; l != nil {
		c.leading = nil
		l.handOver()
	}
}

// given remembers that to has something to be written.
func (c *conn) given(to *conn) {
	list := &c.dirty
	if c.leading != nil {
		list = &c.leading.dirty
	}
	if d := *list; len(d) == 0 || d[len(d)-1] != to {
		*list = append(d, to)
	}
}

// process works through the whole packets that are there.
func (c *conn) process() error {
	done, need := 0, 0
	defer func() {
		c.in.consume(done, need)
		if c.whole = done > 0; c.whole {
			c.alive.Store(time.Now().UnixNano()) // whole packets keep a connection alive, bytes do not
		}
	}()
	c.now = c.b.now()
	for done < len(c.in.data) {
		t, size, err := c.engine.Next(c.in.data[done:])
		if err != nil {
			return c.protocol(err)
		}
		if t == 0 {
			need = size
			return nil
		}
		done += size
		if err := c.packet(t); err != nil {
			return err
		}
		if c.batch.bytes > maxBatch {
			if err := c.endBatch(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *conn) packet(t wire.Type) error {
	if c.sess == nil && t != wire.CONNECT && t != wire.AUTH && t != wire.DISCONNECT {
		return c.refuse(wire.ProtocolError, ClientError, fmt.Errorf("%w: %v before the authentication is over", ErrProtocol, t))
	}
	switch t {
	case wire.CONNECT:
		return c.connect(&c.engine.Connect)
	case wire.PUBLISH:
		return c.publish(&c.engine.Publish)
	case wire.PUBACK:
		return c.acknowledged(&c.engine.Ack)
	case wire.PUBREC:
		return c.recorded(&c.engine.Ack)
	case wire.PUBCOMP:
		return c.completed(&c.engine.Ack)
	case wire.PUBREL:
		c.release(&c.engine.Ack)
	case wire.SUBSCRIBE:
		return c.subscribe(&c.engine.Subscribe)
	case wire.UNSUBSCRIBE:
		return c.unsubscribe(&c.engine.Unsubscribe)
	case wire.AUTH:
		return c.authPacket(&c.engine.Auth)
	case wire.PINGREQ:
		c.send(wire.AppendPingresp) // [MQTT-3.12.4-1]
	case wire.DISCONNECT:
		d := c.engine.Disconnect
		c.parting = &d
		if d.Code != wire.Success {
			return &ConnError{Reason: ClientInitiatedDisconnect, Code: 0, Err: errClosed}
		}
		c.noWill = true // [MQTT-3.14.4-3]
		return &ConnError{Reason: ClientInitiatedDisconnect, Err: errClosed}
	}
	return nil
}

// protocol turns an error of the codec into the end of the connection.
func (c *conn) protocol(err error) error {
	var we *wire.Error
	code := byte(wire.Malformed)
	if errors.As(err, &we) {
		code = byte(we.Code)
	}
	return &ConnError{Reason: ClientError, Code: code, Err: fmt.Errorf("%w: %w", ErrProtocol, err)}
}

// flushDirty lets those write that this batch has given something.
func (c *conn) flushDirty() {
	flush(c.dirty)
	clear(c.dirty)
	c.dirty = c.dirty[:0]
	c.flushed = time.Now()
}

// begin marks the reader as at work, unless the connection is ending.
func (c *conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = !c.stop.set
	return c.busy
}

// rest marks it as idle, and begins the end if there is a reason: err, or what somebody
// else asked for meanwhile.
func (c *conn) rest(err error) {
	c.mu.Lock()
	c.busy = false
	if !c.info.Connected { // from then on it does not change
		c.info.Version = c.engine.Version
	}
	if err != nil && !c.stop.set {
		c.stop = reasonFor(err)
	}
	if c.stop.set {
		c.part(true)
	}
	c.mu.Unlock()
}

// wait waits for a wake. mu is held.
func (c *conn) wait() {
	if c.cond == nil {
		c.cond = sync.NewCond(&c.mu)
	}
	c.cond.Wait()
}

// wake tells those who wait to look again. mu is held.
func (c *conn) wake() {
	if c.cond != nil {
		c.cond.Broadcast()
	}
}

// kill closes the socket at once.
func (c *conn) kill() { _ = c.nc.Close() }
