package brokernet

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// A Peer is the process at the other end of a Unix socket, as it was when it connected.
type Peer struct {
	PID      int // 0 where the system does not tell
	UID, GID uint32
}

// UnixPeer tells who is at the other end of c, which must be a Unix socket, also one that a broker hands to
// its Authenticator. On other systems than Linux the error is errors.ErrUnsupported.
func UnixPeer(c net.Conn) (Peer, error) {
	sc, ok := c.(syscall.Conn)
	if !ok || c.LocalAddr() == nil || c.LocalAddr().Network() != "unix" {
		return Peer{}, fmt.Errorf("brokernet: %T is no Unix socket: %w", c, errors.ErrUnsupported)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	return peerOf(raw)
}
