package broker

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ForTLS returns l for a TLS listener in front of [Broker.Serve]:
//
//	b.Serve(ctx, tls.NewListener(broker.ForTLS(l), config))
//	mux, err := brokernet.NewMux(broker.ForTLS(l), config, nil)
//
// Once hands are shaken, event loops take over what it has accepted, as they do with plain TCP, so that a connection at
// rest has no goroutine and no buffer of the broker. Without it TLS is served by a goroutine for each connection.
// Where there are no event loops (other systems than Linux, other listeners than those of TCP and Unix sockets,
// Options.EventLoops below zero) it changes nothing.
func ForTLS(l net.Listener) net.Listener { return lowerListener{l} }

type lowerListener struct{ net.Listener }

func (l lowerListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return &lower{first: nc}, err
	}
	return nc, err
}

// A lower is what lies below a *tls.Conn: the connection that was accepted while hands are shaken, and then a
// socket of a loop. From then on to read and to write never waits: crypto/tls keeps what it has of a record when a
// read fails for a while, and what it writes waits here.
type lower struct {
	sock atomic.Pointer[socket] // once a loop has it

	mu    sync.Mutex
	first net.Conn // until then
	gone  bool
	out   *buffer // encrypted, and not yet written; nil if nothing

	// Of who writes, one at a time: how many of the bytes that the next write begins with are in out.
	held int

	// Of the reader.
	conn *tls.Conn
	dry  bool // the socket had less than there was room for
}

var _ net.Conn = (*lower)(nil)

// errWait says that nothing is there to be read.
var errWait net.Error = waitError{}

type waitError struct{}

func (waitError) Error() string   { return "broker: nothing to be read for now" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true } // what crypto/tls asks

// moved lets sock take over, unless l is closed.
func (l *lower) moved(conn *tls.Conn, sock *socket) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return false
	}
	_ = l.first.Close() // sock is another descriptor of the same socket
	l.first, l.conn, sock.tls = nil, conn, l
	l.sock.Store(sock)
	return true
}

// adopt moves a TLS connection whose hands are shaken to a loop, and reads what came with that. It reports
// false for one that it does not, or that is ending.
func (s *loops) adopt(c *conn) bool {
	if s == nil {
		return false
	}
	conn, ok := c.nc.(*tls.Conn)
	if !ok {
		return false
	}
	below, ok := conn.NetConn().(*lower)
	if !ok || !s.start() {
		return false
	}
	fd, sa, ok := detach(below.first)
	if !ok {
		return false
	}
	l := s.choose()
	sock := &socket{fd: int32(fd), loop: l, peer: peerOf(sa)}
	c.mu.Lock()
	if ok = !c.stop.set && below.moved(conn, sock); ok {
		c.in.sock = sock
	}
	c.mu.Unlock()
	if !ok {
		_ = syscall.Close(fd)
		return false
	}
	s.open.Add(1)
	c.turn.take() // before the loop can
	if err := l.add(c); err != nil {
		s.b.opts.Logger.Error("event loop", "err", err)
		l.finished(c, err)
		return true
	}
	c.attend(l, false, true) // crypto/tls may have read on, which no event tells
	return true
}

// read is [socket.read]: it takes records apart until there is no whole one, or no room.
func (l *lower) read(b []byte) (n int, full bool, err error) {
	l.dry = false
	for n < len(b) {
		k, err := l.conn.Read(b[n:])
		n += k
		switch {
		case errors.Is(err, errWait):
			return n, false, nil
		case err != nil && n > 0: // met again by the next read
			return n, true, nil
		case err != nil:
			return 0, false, err
		}
	}
	return n, true, nil
}

// mostRecords is how much is encrypted for one write to the socket.
const mostRecords = 32 << 10

// write is [socket.write]. Bytes count as written once they are with the socket, encrypted: until then they are to
// be passed again.
func (l *lower) write(b []byte) (n int, err error) {
	for {
		if all, err := l.flush(); !all || err != nil {
			return n, err
		}
		n += l.held
		b, l.held = b[l.held:], 0
		if len(b) == 0 {
			return n, nil
		}
		k := min(len(b), mostRecords)
		if _, err := l.conn.Write(b[:k]); err != nil {
			return n, err
		}
		l.held = k
	}
}

// flush writes what waits, and reports whether that was all.
func (l *lower) flush() (all bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flushOut()
}

// flushOut is flush with mu held.
func (l *lower) flushOut() (all bool, err error) {
	if l.out == nil {
		return true, nil
	}
	n, err := l.sock.Load().writeRaw(l.out.b)
	if n < len(l.out.b) {
		l.out.b = l.out.b[:copy(l.out.b, l.out.b[n:])]
		return false, err
	}
	l.out.release()
	l.out = nil
	return true, err
}

// goodbye says that nothing more will be written.
func (l *lower) goodbye() {
	_ = l.conn.CloseWrite()
	_, _ = l.flush()
}

// Read is for crypto/tls.
func (l *lower) Read(b []byte) (int, error) {
	s := l.sock.Load()
	if s == nil {
		return l.at().Read(b)
	}
	if l.dry {
		return 0, errWait
	}
	n, err := s.readRaw(b)
	if n == 0 && err == nil {
		return 0, errWait
	}
	l.dry = n < len(b)
	return n, err
}

// Write is for crypto/tls.
func (l *lower) Write(b []byte) (int, error) {
	if l.sock.Load() == nil {
		return l.at().Write(b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return 0, net.ErrClosed
	}
	if l.out == nil {
		l.out = buffers.Get().(*buffer)
	}
	l.out.b = append(l.out.b, b...)
	return len(b), nil
}

// Close is for crypto/tls, which has said its goodbye.
func (l *lower) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return net.ErrClosed // and the descriptor may be somebody else's
	}
	l.gone = true
	if l.first != nil {
		return l.first.Close()
	}
	if all, _ := l.flushOut(); !all {
		l.out.release()
		l.out = nil
	}
	return l.sock.Load().Close()
}

// at is where addresses and deadlines are.
func (l *lower) at() net.Conn {
	if s := l.sock.Load(); s != nil {
		return s
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// LocalAddr is the connection's own.
func (l *lower) LocalAddr() net.Addr { return l.at().LocalAddr() }

// RemoteAddr is the peer's.
func (l *lower) RemoteAddr() net.Addr { return l.at().RemoteAddr() }

// SetDeadline and the others set nothing once a loop reads and writes, which never waits.
func (l *lower) SetDeadline(t time.Time) error      { return l.deadline(net.Conn.SetDeadline, t) }
func (l *lower) SetReadDeadline(t time.Time) error  { return l.deadline(net.Conn.SetReadDeadline, t) }
func (l *lower) SetWriteDeadline(t time.Time) error { return l.deadline(net.Conn.SetWriteDeadline, t) }

func (l *lower) deadline(set func(net.Conn, time.Time) error, t time.Time) error {
	if l.sock.Load() != nil {
		return nil
	}
	return set(l.at(), t)
}
