package broker

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"
)

// A site is a broker that serves TCP until the test ends, by event loops or by goroutines, and what dials it.
type site struct {
	*Broker
	t       *testing.T
	dial    func() (net.Conn, error)
	connect func(connectOpts) *peer
}

// serving makes a site. When the test ends all connections are closed, and no goroutine may be left.
func serving(t *testing.T, opts ...func(*Options)) *site {
	t.Helper()
	b := open(t, NewMemStore(), all(opts))
	l, dial := listenOn(t, "tcp", "127.0.0.1:0")
	s := &site{Broker: b, t: t}
	connect, stop := listen(t, b, l, dial)
	s.dial = dial
	s.connect = func(o connectOpts) *peer {
		p := connect(o)
		p.nc = &buffered{p.nc, bufio.NewReader(p.nc)}
		return p
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// A buffered reads many small packets at once.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// overloaded runs f with each driver of sockets. Beside it two clients exchange messages all the time, and must
// neither lose one nor get one out of order.
func overloaded(t *testing.T, f func(t *testing.T, s *site), opts ...func(*Options)) {
	for name, loops := range map[string]int{"loops": 0, "goroutines": -1} {
		t.Run(name, func(t *testing.T) {
			s := serving(t, append(opts, func(o *Options) { o.EventLoops = loops })...)
			w := s.witness()
			f(t, s)
			w.leave()
			if n := s.Stats().Panics; n > 0 {
				t.Errorf("%d panics", n)
			}
		})
	}
}

// A witness is two clients that exchange messages while others misbehave.
type witness struct {
	t        *testing.T
	pub, sub *peer
	stop     chan struct{}
	done     chan error
	rounds   int
}

func (s *site) witness() *witness {
	s.t.Helper()
	w := &witness{t: s.t, pub: s.connect(connectOpts{id: "witness-pub", v: 4}), sub: s.connect(connectOpts{id: "witness-sub"}),
		stop: make(chan struct{}), done: make(chan error, 1)}
	w.sub.subscribe(1, "witness/+")
	go func() { w.done <- w.run() }()
	return w
}

func (w *witness) run() error {
	for {
		select {
		case <-w.stop:
			return nil
		default:
		}
		w.rounds++
		text := fmt.Sprint(w.rounds)
		out := append(w.pub.publishFrame(0, 0, "witness/0", text), w.pub.publishFrame(2, 7, "witness/1", text)...)
		if _, err := w.pub.nc.Write(out); err != nil {
			return err
		}
		if err := is(w.sub, 0x30, slices3(str("witness/0"), []byte{0}, []byte(text))); err != nil {
			return err
		}
		id := u16(uint16((w.rounds-1)%32767 + 1))
		if err := is(w.sub, 0x32, slices3(str("witness/1"), id, append([]byte{0}, text...))); err != nil {
			return err
		}
		if _, err := w.sub.nc.Write(append([]byte{0x40, 2}, id...)); err != nil {
			return err
		}
		if err := is(w.pub, 0x40, u16(7)); err != nil {
			return err
		}
	}
}

func slices3(a, b, c []byte) []byte { return bytes.Join([][]byte{a, b, c}, nil) }

// is reads one packet and compares it whole.
func is(p *peer, first byte, body []byte) error {
	k, err := p.readErr()
	if err == nil && (k.first != first || !bytes.Equal(k.body, body)) {
		err = fmt.Errorf("got %v, want %v", k, packet{first, body})
	}
	return err
}

// leave ends it, and checks that it got something done meanwhile.
func (w *witness) leave() {
	w.t.Helper()
	close(w.stop)
	if err := <-w.done; err != nil || w.rounds == 0 {
		w.t.Errorf("the witness after %d rounds: %v", w.rounds, err)
	}
	_ = w.pub.nc.Close()
	_ = w.sub.nc.Close()
}

// some is how many of what a test is about there are: fewer where that takes its time.
func some(n int) int {
	switch {
	case raced:
		return n / 50
	case testing.Short():
		return n / 10
	}
	return n
}

// heapInUse is what lives on the heap.
func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools let go only now
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

const noise = 4 << 20 // pools, and what the tests before have left

// holds checks that the heap has grown by at most so much since before.
func holds(t *testing.T, what string, before, most int64) {
	t.Helper()
	if d := heapInUse() - before; d > most+noise {
		t.Errorf("%s: the heap has grown by %d KiB, at most %d are expected", what, d>>10, most>>10)
	} else {
		t.Logf("%s: %d KiB", what, d>>10)
	}
}

// counted checks that what is kept is counted: at least four fifths of what the heap has grown by, at most three times that.
func (s *site) counted(t *testing.T, before int64) {
	t.Helper()
	d, kept := heapInUse()-before, s.Stats().KeptBytes
	if kept < (d-noise)*4/5 || kept > 3*(d+noise) {
		t.Errorf("%d KiB are counted, the heap has grown by %d", kept>>10, d>>10)
	}
}

// until waits for the broker to get there.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); runtime.Gosched() {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("still not: %s", what)
		}
	}
}

// said reads one packet from nc without a peer: its type, and its reason code if it is CONNACK or DISCONNECT.
func said(nc net.Conn) (first, code byte, err error) {
	p := &peer{nc: nc}
	k, err := p.readErr()
	switch {
	case err != nil:
		return 0, 0, err
	case k.first == 0x20 && len(k.body) >= 2:
		return k.first, k.body[1], nil
	case k.first == 0xE0 && len(k.body) >= 1:
		return k.first, k.body[0], nil
	case k.first == 0x40 && len(k.body) >= 3:
		return k.first, k.body[2], nil
	}
	return k.first, 0, nil
}

// isEnd reports whether err is the end of a connection, and not the test's patience.
func isEnd(err error) bool { return err != nil && !isTimeout(err) }
