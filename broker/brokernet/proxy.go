package brokernet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A ProxyListener takes the header of the PROXY protocol off the connections of trusted peers.
type ProxyListener struct {
	net.Listener
	trusted         []netip.Prefix
	headers, failed atomic.Int64
}

// ProxyStats are counts since NewProxyListener.
type ProxyStats struct {
	Headers int64 // read
	Failed  int64 // trusted peers without a right one
}

// NewProxyListener returns a listener on l that believes peers whose address is in trusted, and
// those of Unix sockets, which the file's permissions have let in. They must begin with a header;
// Connections of all others are passed on as they are. No prefix at all is an error on TCP.
//
// The header is read by the first Read, HandshakeContext or ReadHeader of the connection and not by Accept, which a
// slow peer would hold up. From then on RemoteAddr is the address it names.
func NewProxyListener(l net.Listener, trusted []netip.Prefix) (*ProxyListener, error) {
	if l == nil {
		return nil, errors.New("brokernet: no listener")
	}
	if len(trusted) == 0 && l.Addr().Network() != "unix" {
		return nil, errors.New("brokernet: a ProxyListener that trusts nobody")
	}
	for _, p := range trusted {
		if !p.IsValid() {
			return nil, fmt.Errorf("brokernet: trusted network %v is not valid", p)
		}
	}
	return &ProxyListener{Listener: l, trusted: trusted}, nil
}

// Accept waits for a connection: a *ProxyConn of a trusted peer, any other of others.
func (l *ProxyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || !l.trusts(c.RemoteAddr()) {
		return c, err
	}
	return &ProxyConn{Conn: c, l: l}, nil
}

// Stats returns the counts so far.
func (l *ProxyListener) Stats() ProxyStats {
	return ProxyStats{Headers: l.headers.Load(), Failed: l.failed.Load()}
}

func (l *ProxyListener) trusts(a net.Addr) bool {
	if a != nil && a.Network() == "unix" {
		return true
	}
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, p := range l.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// A ProxyConn is a connection that a proxy forwards.
type ProxyConn struct {
	net.Conn
	l *ProxyListener

	once   sync.Once
	err    error
	rest   []byte // read behind the header
	header atomic.Pointer[ProxyHeader]
}

// ReadHeader reads the header, if that was not done, and returns it. It is safe for concurrent use.
func (c *ProxyConn) ReadHeader() (*ProxyHeader, error) {
	c.once.Do(func() {
		if c.err = c.read(); c.err != nil {
			c.l.failed.Add(1)
		} else {
			c.l.headers.Add(1)
		}
	})
	return c.header.Load(), c.err
}

func (c *ProxyConn) read() error {
	var buf [proxyV2Max]byte
	for n := 0; ; {
		k, err := c.Conn.Read(buf[n:])
		n += k
		h, size, perr := ParseProxyHeader(buf[:n])
		switch {
		case perr != nil:
			return perr
		case size > 0:
			c.rest = append([]byte(nil), buf[size:n]...)
			c.header.Store(&h)
			return nil
		case err == io.EOF:
			return fmt.Errorf("%w: the connection ended after %d bytes", ErrProxyHeader, n)
		case err != nil:
			return err
		}
	}
}

// HandshakeContext reads the header, or ends when ctx is done. A broker calls it
// before anything else.
func (c *ProxyConn) HandshakeContext(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	_, err := c.ReadHeader()
	if !stop() && ctx.Err() != nil {
		return errors.Join(ctx.Err(), err)
	}
	return err
}

// Read reads what comes behind the header. It is for one goroutine at a time.
func (c *ProxyConn) Read(b []byte) (int, error) {
	if _, err := c.ReadHeader(); err != nil {
		return 0, err
	}
	if len(c.rest) > 0 {
		n := copy(b, c.rest)
		if c.rest = c.rest[n:]; len(c.rest) == 0 {
			c.rest = nil
		}
		return n, nil
	}
	return c.Conn.Read(b)
}

// RemoteAddr is the address that the header names, and that of the proxy before it was read
// or if it names none.
func (c *ProxyConn) RemoteAddr() net.Addr {
	if h := c.header.Load(); h != nil && h.Source.IsValid() {
		return net.TCPAddrFromAddrPort(h.Source)
	}
	return c.Conn.RemoteAddr()
}

// NetConn is the connection to the proxy.
func (c *ProxyConn) NetConn() net.Conn { return c.Conn }
