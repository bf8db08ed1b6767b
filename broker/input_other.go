//go:build !unix

package broker

import (
	"errors"
	"net"
)

// A rawConn is for systems with the socket calls of Unix; there is none here.
type rawConn struct{}

func newRawConn(nc net.Conn) *rawConn {
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
	}
	return nil
}

func (*rawConn) readBorrowed() (*[]byte, int, error) { return nil, 0, errors.ErrUnsupported }
func (*rawConn) tryWrite([]byte) (int, error)        { return 0, errors.ErrUnsupported }
