package broker

import (
	"net"
	"testing"
)

// A site is a broker that serves TCP until the test ends, by event loops or by goroutines, and what dials it.
type site struct {
	*Broker
	dial    func() (net.Conn, error)
	connect func(connectOpts) *peer
}

// serving makes a site. When the test ends all connections are closed, and no goroutine may be left.
func serving(t *testing.T, opts ...func(*Options)) *site {
	t.Helper()
	b := open(t, NewMemStore(), all(opts))
	l, dial := listenOn(t, "tcp", "127.0.0.1:0")
	s := &site{Broker: b}
	s.dial = func() (net.Conn, error) {
		nc, err := dial()
		if err == nil {
			t.Cleanup(func() { _ = nc.Close() })
		}
		return nc, err
	}
	connect, stop := listen(t, b, l, s.dial)
	s.connect = connect
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}
