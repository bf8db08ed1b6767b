//go:build unix

package broker

import (
	"io"
	"net"
	"syscall"
)

// A rawConn reads and writes a TCP or Unix socket without blocking, and waits for
// readability without a buffer.
type rawConn struct {
	sc syscall.RawConn

	read  func(fd uintptr) bool
	buf   *[]byte
	n     int
	err   error
	write func(fd uintptr) bool // one writer at a time: see conn.writing
	out   []byte
	wn    int
	werr  error
}

func newRawConn(nc net.Conn) *rawConn {
	switch nc := nc.(type) {
	case *net.TCPConn:
		_ = nc.SetNoDelay(true)
	case *net.UnixConn:
	default:
		return nil
	}
	sc, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	r := &rawConn{sc: sc}
	r.read, r.write = r.readable, r.writable // once: a method value allocates
	return r
}

// readBorrowed waits for bytes and returns them in a borrowed buffer.
func (r *rawConn) readBorrowed() (*[]byte, int, error) {
	r.buf, r.n, r.err = nil, 0, nil
	err := r.sc.Read(r.read)
	if err == nil {
		err = r.err
	}
	if err == nil && r.n == 0 {
		err = io.EOF
	}
	buf := r.buf
	r.buf = nil
	if err != nil {
		if buf != nil {
			readBuffers.Put(buf)
		}
		return nil, 0, err
	}
	return buf, r.n, nil
}

// readable is called when there may be something, the first time without waiting.
func (r *rawConn) readable(fd uintptr) bool {
	buf := readBuffers.Get().(*[]byte)
	for {
		n, err := syscall.Read(int(fd), *buf)
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			readBuffers.Put(buf)
			return false
		}
		r.buf, r.n, r.err = buf, max(n, 0), err
		return true
	}
}

// tryWrite writes what the socket takes at once.
func (r *rawConn) tryWrite(b []byte) (int, error) {
	r.out, r.wn, r.werr = b, 0, nil
	err := r.sc.Write(r.write)
	r.out = nil
	if err == nil {
		err = r.werr
	}
	return r.wn, err
}

func (r *rawConn) writable(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), r.out)
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return true
		}
		r.wn, r.werr = max(n, 0), err
		return true
	}
}
