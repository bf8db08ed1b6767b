package broker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// A socket is a TCP or Unix connection that a loop watches instead of Go's own poller. As a
// net.Conn it tells addresses and can be closed; only the loop reads and writes.
type socket struct {
	fd     int32
	closed bool // fd may be somebody else's; guarded by mu
	mu     sync.Mutex
	loop   *loop
	tls    *lower         // what it is of, if it is of a TLS connection
	peer   netip.AddrPort // zero for a Unix socket
}

var (
	_ net.Conn     = (*socket)(nil)
	_ syscall.Conn = (*socket)(nil)
)

// read reads what is there: n of 0 without an error is nothing. full says that there may be more.
func (s *socket) read(b []byte) (n int, full bool, err error) {
	if s.tls != nil {
		return s.tls.read(b)
	}
	n, err = s.readRaw(b)
	return n, n == len(b), err
}

// write writes what the socket takes at once.
func (s *socket) write(b []byte) (int, error) {
	if s.tls != nil {
		return s.tls.write(b)
	}
	return s.writeRaw(b)
}

// readRaw is read below TLS.
func (s *socket) readRaw(b []byte) (n int, err error) {
	for {
		n, err := rawCall(syscall.SYS_READ, int(s.fd), b)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, nil
		}
		return 0, s.failed("read", err)
	}
}

// writeRaw is write below TLS.
func (s *socket) writeRaw(b []byte) (int, error) {
	for {
		n, err := rawCall(syscall.SYS_WRITE, int(s.fd), b)
		switch {
		case n >= 0 && err == nil:
			return n, nil
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, nil
		}
		return 0, s.failed("write", err)
	}
}

// rawCall reads or writes without telling Go's scheduler, which would have another thread take
// over what this one leaves for a few microseconds: the socket never makes it wait.
func rawCall(call uintptr, fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if raced { // the detector learns from these who comes after whom
		if call == syscall.SYS_READ {
			return syscall.Read(fd, b)
		}
		return syscall.Write(fd, b)
	}
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func (s *socket) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: s.LocalAddr().Network(), Addr: s.RemoteAddr(), Err: err}
}

// secure reports whether it is of a TLS connection.
func (s *socket) secure() bool { return s.tls != nil }

// closeWrite ends what the peer reads.
func (s *socket) closeWrite() {
	if s.tls != nil {
		s.tls.goodbye()
	}
	s.shutdown(syscall.SHUT_WR)
}

// Close cuts the connection. Its loop sees that, and then the rest is over, too.
func (s *socket) Close() error {
	s.shutdown(syscall.SHUT_RDWR)
	return nil
}

func (s *socket) shutdown(how int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		_ = syscall.Shutdown(int(s.fd), how) // fails where the peer has done so
	}
}

// close gives the descriptor back. Nobody reads or writes any more.
func (s *socket) close() {
	s.loop.forget(int(s.fd))
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		_ = syscall.Close(int(s.fd))
	}
}

// LocalAddr asks the system.
func (s *socket) LocalAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		if sa, err := syscall.Getsockname(int(s.fd)); err == nil {
			return addrOfSocket(sa)
		}
	}
	return s.loop.addr
}

// RemoteAddr is the peer's.
func (s *socket) RemoteAddr() net.Addr {
	if !s.peer.IsValid() {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(s.peer)
}

var errLoops = errors.New("broker: a socket of an event loop is not read or written by others")

// Read and Write are the loop's business.
func (s *socket) Read([]byte) (int, error)         { return 0, errLoops }
func (s *socket) Write([]byte) (int, error)        { return 0, errLoops }
func (s *socket) SetDeadline(time.Time) error      { return errLoops }
func (s *socket) SetReadDeadline(time.Time) error  { return errLoops }
func (s *socket) SetWriteDeadline(time.Time) error { return errLoops }

// SyscallConn gives the descriptor to those who ask for options of the socket.
func (s *socket) SyscallConn() (syscall.RawConn, error) { return control{s}, nil }

type control struct{ s *socket }

func (c control) Control(f func(fd uintptr)) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.closed {
		return net.ErrClosed
	}
	f(uintptr(c.s.fd))
	return nil
}
func (control) Read(func(uintptr) bool) error  { return errLoops }
func (control) Write(func(uintptr) bool) error { return errLoops }

// peerOf is the address of a socket's peer, zero if it is no internet address.
func peerOf(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		a := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 && a.Is6() {
			a = a.WithZone(fmt.Sprint(sa.ZoneId))
		}
		return netip.AddrPortFrom(a, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func addrOfSocket(sa syscall.Sockaddr) net.Addr {
	if u, ok := sa.(*syscall.SockaddrUnix); ok {
		return &net.UnixAddr{Name: u.Name, Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(peerOf(sa))
}
