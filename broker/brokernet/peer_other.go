//go:build !linux

package brokernet

import (
	"errors"
	"syscall"
)

func peerOf(syscall.RawConn) (Peer, error) { return Peer{}, errors.ErrUnsupported }
