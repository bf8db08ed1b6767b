package broker

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// loops serve the sockets that one listener accepts.
type loops struct {
	b        *Broker
	base     context.Context // of the connections
	addr     net.Addr
	listener syscall.RawConn // nil if what it accepts is no socket
	once     sync.Once
	all      []*loop
	next     atomic.Uint32
	open     sync.WaitGroup
}

// newLoops returns nil if there are to be none.
func newLoops(base context.Context, b *Broker, l net.Listener) *loops {
	if b.opts.EventLoops < 0 {
		return nil
	}
	s := &loops{b: b, base: base, addr: l.Addr()}
	switch l.(type) {
	case *net.TCPListener, *net.UnixListener:
	default:
		return s
	}
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil || !s.start() {
		return s
	}
	s.listener = raw
	if l.Addr().Network() != "unix" {
		_ = raw.Control(inherit)
	}
	return s
}

// start makes the loops, if there are none yet, and reports whether there are some.
func (s *loops) start() bool {
	s.once.Do(func() {
		n := s.b.opts.EventLoops
		if n == 0 {
			n = max(1, runtime.GOMAXPROCS(0)/2)
		}
		for range n {
			one, err := newLoop(s.b, s.addr, &s.open)
			if err != nil {
				s.b.opts.Logger.Warn("no event loops", "err", err)
				s.close()
				s.all = nil
				return
			}
			s.all = append(s.all, one)
		}
	})
	return len(s.all) > 0
}

// choose is the loop of the next connection.
func (s *loops) choose() *loop { return s.all[int(s.next.Add(1))%len(s.all)] }

// inherit sets on a listener what Go sets on each connection: Linux passes it on.
func inherit(fd uintptr) {
	for _, o := range []struct{ level, name, value int }{
		{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1}, // else a QoS 1 round trip takes 40 ms
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9},
	} {
		_ = syscall.SetsockoptInt(int(fd), o.level, o.name, o.value)
	}
}

// take takes nc over, and with it all that waits to be accepted: the listener's Accept has
// waited for the first of them, the others cost one call each. It reports whether it did.
func (s *loops) take(nc net.Conn) bool {
	if s == nil || s.listener == nil {
		return false
	}
	fd, sa, ok := detach(nc)
	if !ok {
		return false
	}
	_ = nc.Close() // fd is another descriptor of the same socket
	s.serve(fd, sa)
	const most = 256
	_ = s.listener.Control(func(l uintptr) {
		for range most {
			fd, sa, err := syscall.Accept4(int(l), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			if err != nil {
				return // none, or Accept will say why
			}
			s.serve(fd, sa)
		}
	})
	return true
}

// detach makes a descriptor of nc that Go's poller does not know.
func detach(nc net.Conn) (fd int, sa syscall.Sockaddr, ok bool) {
	c, ok := nc.(syscall.Conn)
	if !ok {
		return 0, nil, false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, nil, false
	}
	fd = -1
	_ = raw.Control(func(old uintptr) {
		n, _, errno := syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
		if errno != 0 {
			return
		}
		fd = int(n)
		sa, _ = syscall.Getpeername(fd)
	})
	return fd, sa, fd >= 0
}

func (s *loops) serve(fd int, sa syscall.Sockaddr) {
	l := s.choose()
	sock := &socket{fd: int32(fd), loop: l, peer: peerOf(sa)}
	c := newConn(s.b, sock)
	c.open(s.base)
	s.open.Add(1)
	if err := l.add(c); err != nil {
		s.b.opts.Logger.Error("event loop", "err", err)
		l.finished(c, err)
	}
}

func (s *loops) each(f func(*conn)) {
	if s != nil {
		for _, l := range s.all {
			l.each(f)
		}
	}
}

// wait waits for the last connection to end.
func (s *loops) wait() {
	if s != nil {
		s.open.Wait()
	}
}

// close ends the loops, which have no connections any more.
func (s *loops) close() {
	if s != nil {
		for _, l := range s.all {
			l.close()
		}
	}
}
