//go:build !linux

package broker

import (
	"context"
	"net"
)

// Event loops are for Linux. Elsewhere none of these exists.
type (
	loops  struct{}
	loop   struct{ dirty []*conn }
	socket struct{ net.Conn }
	turn   struct{}
)

func newLoops(context.Context, *Broker, net.Listener) *loops { return nil }

// ForTLS has a meaning where there are event loops.
func ForTLS(l net.Listener) net.Listener { return l }

func (*loops) take(net.Conn) bool { return false }
func (*loops) adopt(*conn) bool   { return false }
func (*loops) each(func(*conn))   {}
func (*loops) wait()              {}
func (*loops) close()             {}

func (*loop) handOver()        {}
func (*loop) flushLater(*conn) {}

func (*socket) read([]byte) (int, bool, error) { return 0, false, net.ErrClosed }
func (*socket) write([]byte) (int, error)      { return 0, net.ErrClosed }
func (*socket) secure() bool                   { return false }
func (*socket) closeWrite()                    {}
func (*socket) close()                         {}
