package brokernet

import "syscall"

func peerOf(raw syscall.RawConn) (p Peer, err error) {
	cerr := raw.Control(func(fd uintptr) {
		var u *syscall.Ucred
		if u, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			p = Peer{PID: int(u.Pid), UID: u.Uid, GID: u.Gid}
		}
	})
	if err == nil {
		err = cerr
	}
	return p, err
}
