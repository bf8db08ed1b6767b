package brokerws

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// A Conn is a WebSocket connection as a stream of bytes. Each Write is one
// binary frame.
type Conn struct {
	net.Conn // reads and writes the frames
	ws       *websocket.Conn
	raw      net.Conn // below ws
	req      *http.Request
	cancel   context.CancelFunc
	timeout  time.Duration
	lifetime time.Duration
	peer     atomic.Bool // has sent a close frame

	closing sync.Once
	closed  chan struct{} // closed when the closing is over
}

func newConn(ctx context.Context, ws *websocket.Conn, raw net.Conn, r *http.Request, o *Options) *Conn {
	// The context outlives the server's on purpose: with ctx done the broker
	// still has a DISCONNECT to write, and then closes the connection.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	return &Conn{
		Conn: websocket.NetConn(ctx, ws, websocket.MessageBinary),
		ws:   ws, raw: raw, req: r, cancel: cancel, timeout: o.CloseTimeout, lifetime: o.Lifetime,
		closed: make(chan struct{}),
	}
}

// Read reads what the frames of the client have in them, one after another.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == io.EOF || websocket.CloseStatus(err) != -1 {
		c.peer.Store(true)
	}
	return n, err
}

// PeerClosed reports whether the client has closed the connection by a close frame, and Read has come to that.
func (c *Conn) PeerClosed() bool { return c.peer.Load() }

// Lifetime is that of the Options: how long the connection may last, zero without a limit.
func (c *Conn) Lifetime() time.Duration { return c.lifetime }

// Request is the request that opened the connection: its headers, query and
// path. Do not read its body, and do not change it.
func (c *Conn) Request() *http.Request { return c.req }

// Upgrade is what the request that opened the connection said beside its path: what a
// broker shows to custom authorizers.
func (c *Conn) Upgrade() (query string, header map[string][]string) {
	return c.req.URL.RawQuery, c.req.Header
}

// ConnectionState is the state of the TLS connection below, with the
// certificates of the client. Without TLS it is the zero value, in which
// HandshakeComplete is false.
func (c *Conn) ConnectionState() tls.ConnectionState {
	if c.req.TLS == nil {
		return tls.ConnectionState{}
	}
	return *c.req.TLS
}

// Subprotocol is "mqtt" or "mqttv3.1".
func (c *Conn) Subprotocol() string { return c.ws.Subprotocol() }

// RemoteAddr is the address of the HTTP peer.
func (c *Conn) RemoteAddr() net.Addr {
	if ap, err := netip.ParseAddrPort(c.req.RemoteAddr); err == nil {
		return net.TCPAddrFromAddrPort(ap)
	}
	return c.Conn.RemoteAddr()
}

// Close begins to close the connection and returns at once, so that whoever
// closes does not wait for a peer that is gone: it sends a close frame, waits
// a moment for the answer and cuts. Blocked reads and writes end with that.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		go func() { // the handler waits for it, in finish
			defer close(c.closed)
			defer c.cancel()
			// ws.CloseNow does nothing while ws.Close waits, for up to 5 s.
			cut := time.AfterFunc(c.timeout, func() { _ = c.raw.Close() })
			defer cut.Stop()
			// The peer may be gone already, and then there is nothing to tell.
			_ = c.ws.Close(websocket.StatusNormalClosure, "")
		}()
	})
	return nil
}

// finish closes the connection and waits until it is.
func (c *Conn) finish() {
	_ = c.Close()
	<-c.closed
}

// A hijacker is a ResponseWriter that keeps the connection when it is taken over.
type hijacker struct {
	http.ResponseWriter
	raw net.Conn
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.raw = c
	return c, rw, err
}
