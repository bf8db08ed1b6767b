package brokernet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MuxOptions are the optional parts of a [Mux]. Nil is all defaults.
type MuxOptions struct {
	// MQTTProtocols and HTTPProtocols are the ALPN names of each side. Nil means AWS IoT's:
	// x-amzn-mqtt-ca and mqtt; x-amzn-http-ca and http/1.1.
	MQTTProtocols, HTTPProtocols []string
	// PlainIsMQTT gives MQTT the clients that name no protocol, as on port 8883. Else HTTP has them, as on port 443.
	PlainIsMQTT bool
	// HandshakeTimeout is how long a peer may take, and then wait for its side to accept it. Zero means 10 s.
	HandshakeTimeout time.Duration
	// MaxHandshakes is how many are under way at once; further peers wait to be accepted. Zero means 1024.
	MaxHandshakes int
	// Logger hears of handshakes that failed, at debug level. Nil is silence.
	Logger *slog.Logger
}

func (o *MuxOptions) filled() (f MuxOptions, err error) {
	if o != nil {
		f = *o
	}
	if f.MQTTProtocols == nil {
		f.MQTTProtocols = []string{"x-amzn-mqtt-ca", "mqtt"}
	}
	if f.HTTPProtocols == nil {
		f.HTTPProtocols = []string{"x-amzn-http-ca", "http/1.1"}
	}
	for _, p := range f.HTTPProtocols {
		if slices.Contains(f.MQTTProtocols, p) {
			err = fmt.Errorf("brokernet: options: protocol %q is of both sides", p)
		}
	}
	if f.HandshakeTimeout < 0 || f.MaxHandshakes < 0 {
		err = errors.Join(err, errors.New("brokernet: options: HandshakeTimeout and MaxHandshakes cannot be negative"))
	}
	if f.HandshakeTimeout == 0 {
		f.HandshakeTimeout = 10 * time.Second
	}
	if f.MaxHandshakes == 0 {
		f.MaxHandshakes = 1024
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	return f, err
}

// A Mux is one TLS port for MQTT and HTTP, which ALPN tells apart. It shakes hands itself: what
// its listeners accept is ready.
type Mux struct {
	l          net.Listener
	config     *tls.Config
	opts       MuxOptions
	mqtt, http *side

	failed atomic.Int64
}

// MuxStats are counts since NewMux.
type MuxStats struct{ MQTT, HTTP, Failed int64 }

// NewMux returns a Mux on l, whose connections may be anything below TLS. NextProtos of config is
// replaced in a copy of it.
func NewMux(l net.Listener, config *tls.Config, opts *MuxOptions) (*Mux, error) {
	if l == nil || config == nil {
		return nil, errors.New("brokernet: NewMux needs a listener and a tls.Config")
	}
	o, err := opts.filled()
	if err != nil {
		return nil, err
	}
	m := &Mux{l: l, config: config.Clone(), opts: o, mqtt: newSide(l.Addr()), http: newSide(l.Addr())}
	m.config.NextProtos = slices.Concat(o.MQTTProtocols, o.HTTPProtocols)
	return m, nil
}

// MQTT is for a broker's Serve. Its connections are *tls.Conn.
func (m *Mux) MQTT() net.Listener { return m.mqtt }

// HTTP is for the Serve of an http.Server that went through [Prepare]. Its connections are *HTTPConn.
func (m *Mux) HTTP() net.Listener { return m.http }

// Stats returns the counts so far.
func (m *Mux) Stats() MuxStats {
	return MuxStats{MQTT: m.mqtt.given.Load(), HTTP: m.http.given.Load(), Failed: m.failed.Load()}
}

// Run accepts and shakes hands until ctx is done or the listener fails. Then it closes the listener,
// and those of both sides, and returns when the handshakes under way are over. It returns nil
// if ctx was done.
func (m *Mux) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer m.http.Close()
	defer m.mqtt.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = m.l.Close() })()
	defer m.l.Close()
	places := make(chan struct{}, m.opts.MaxHandshakes)
	for pause := time.Duration(0); ; {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c, err := m.l.Accept()
		var ne net.Error
		switch {
		case err == nil:
			pause = 0
			wg.Go(func() { m.shake(ctx, c, func() { <-places }) })
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed) || !errors.As(err, &ne):
			return fmt.Errorf("brokernet: accept: %w", err)
		}
		// Out of file descriptors, or the like: it passes.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		m.opts.Logger.Warn("accept", "err", err, "retry_in", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		<-places
	}
}

// shake gives c to the side that its client asks for.
func (m *Mux) shake(ctx context.Context, c net.Conn, done func()) {
	tc := tls.Server(c, m.config)
	short, cancel := context.WithTimeout(ctx, m.opts.HandshakeTimeout)
	defer cancel()
	defer done()
	if err := tc.HandshakeContext(short); err != nil {
		m.failed.Add(1)
		m.opts.Logger.Debug("TLS handshake", "remote", c.RemoteAddr().String(), "err", err)
		_ = c.Close()
		return
	}
	to, conn := m.http, net.Conn(&HTTPConn{tc, tc})
	if p := tc.ConnectionState().NegotiatedProtocol; slices.Contains(m.opts.MQTTProtocols, p) || p == "" && m.opts.PlainIsMQTT {
		to, conn = m.mqtt, tc
	}
	if !to.give(short, conn) { // nobody serves that side
		m.failed.Add(1)
		_ = tc.Close()
	}
}

// A side is the listener of one protocol.
type side struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	given  atomic.Int64
}

func newSide(addr net.Addr) *side {
	return &side{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give waits until c is accepted.
func (s *side) give(ctx context.Context, c net.Conn) bool {
	select {
	case s.conns <- c:
		s.given.Add(1)
		return true
	case <-s.closed:
	case <-ctx.Done():
	}
	return false
}

// Accept waits for the next connection. After Close the error is net.ErrClosed.
func (s *side) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.closed:
		return nil, &net.OpError{Op: "accept", Net: s.addr.Network(), Addr: s.addr, Err: net.ErrClosed}
	}
}

func (s *side) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *side) Addr() net.Addr { return s.addr }
