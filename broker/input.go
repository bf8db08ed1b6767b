package broker

import (
	"net"
	"sync"
	"time"
)

// readSize is what is read at once from a connection that can wait without a
// buffer, ownSize what any other keeps.
const (
	readSize = 16 << 10
	ownSize  = 2 << 10
)

var readBuffers = sync.Pool{New: func() any { b := make([]byte, readSize); return &b }}

// An input is the reading side of a connection: data are the bytes that came
// and are not consumed. Where the system allows, a connection from which nothing comes holds
// no buffer.
type input struct {
	data   []byte
	pooled *[]byte  // what data lies in, if it is borrowed
	raw    *rawConn // one of raw and sock, or none
	sock   *socket
}

func (in *input) init(nc net.Conn) {
	if in.sock, _ = nc.(*socket); in.sock == nil {
		in.raw = newRawConn(nc)
	}
}

// direct reports whether tryWrite may be used.
func (in *input) direct() bool { return in.raw != nil || in.sock != nil }

// fill waits for bytes of nc and appends them to data.
func (in *input) fill(nc net.Conn) (int, error) {
	if in.raw != nil && len(in.data) == 0 {
		buf, n, err := in.raw.readBorrowed()
		if err != nil {
			return 0, err
		}
		in.pooled, in.data = buf, (*buf)[:n]
		return n, nil
	}
	if in.data == nil {
		in.data = make([]byte, 0, ownSize)
	}
	if len(in.data) == cap(in.data) {
		in.grow(2 * cap(in.data))
	}
	n, err := nc.Read(in.data[len(in.data):cap(in.data)])
	in.data = in.data[:len(in.data)+n]
	if n > 0 {
		err = nil // met again by the next read
	}
	return n, err
}

// poll appends to data what has come, without waiting. full says that there may be more;
// without an error and without bytes there is nothing.
func (in *input) poll() (n int, full bool, err error) {
	if len(in.data) < readSize/2 {
		buf := readBuffers.Get().(*[]byte)
		copy(*buf, in.data)
		in.pooled, in.data = buf, (*buf)[:len(in.data)]
	} else if len(in.data) == cap(in.data) {
		in.grow(2 * cap(in.data))
	}
	room := in.data[len(in.data):cap(in.data)]
	n, full, err = in.sock.read(room)
	in.data = in.data[:len(in.data)+n]
	if n == 0 && in.pooled != nil {
		in.consume(0, 0)
	}
	return n, full, err
}

// consume drops the first n bytes. need is how long the packet is that begins behind them,
// if known. Memory grows with what has come and not with what a peer claims
// will come: at most to twice of it.
func (in *input) consume(n, need int) {
	rest := in.data[n:]
	switch {
	case len(rest) == 0 && in.direct():
		in.give()
		in.data = nil
	case len(rest) == 0 && cap(in.data) > 64<<10:
		in.data = nil
	case len(rest) == 0:
		in.data = in.data[:0]
	case in.pooled != nil:
		in.data = rest
		in.grow(max(ownSize, min(need, 2*len(rest))))
	default:
		k := copy(in.data[:cap(in.data)], rest)
		in.data = in.data[:k]
	}
}

// grow moves data into memory of its own of that capacity.
func (in *input) grow(size int) {
	own := make([]byte, len(in.data), max(size, len(in.data)))
	copy(own, in.data)
	in.data = own
	in.give()
}

func (in *input) give() {
	if in.pooled != nil {
		readBuffers.Put(in.pooled)
		in.pooled = nil
	}
}

// tryWrite writes what the socket takes at once.
func (in *input) tryWrite(b []byte) (int, error) {
	if in.sock != nil {
		return in.sock.write(b)
	}
	return in.raw.tryWrite(b)
}

// closeWrite ends the connection behind what was written. With TCP the peer
// still gets it: closing at once with unread bytes would reset the connection.
func (in *input) closeWrite(nc net.Conn) {
	if in.sock != nil {
		in.sock.closeWrite()
		return
	}
	if tcp, ok := nc.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		_ = tcp.SetReadDeadline(time.Now().Add(closeTimeout)) // the reader goes on until then, or the peer's end
		return
	}
	_ = nc.Close()
}
