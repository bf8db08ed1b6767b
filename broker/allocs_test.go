package broker

import (
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// A stream is a client that writes and reads frames made before, so that it allocates nothing while allocations are counted.
type stream struct {
	nc  net.Conn
	out []byte // one round of it
	in  int    // bytes that come in a round
	buf []byte
}

// round writes all that is out and reads all that is to come.
func (s *stream) write(t *testing.T) {
	if _, err := s.nc.Write(s.out); err != nil {
		t.Fatal(err)
	}
}

func (s *stream) read(t *testing.T) {
	for left := s.in; left > 0; {
		n, err := s.nc.Read(s.buf[:min(left, len(s.buf))])
		if err != nil {
			t.Fatalf("%v, %d bytes of %d are missing", err, left, s.in)
		}
		left -= n
	}
}

// TestNoAllocationPerMessage counts what the whole process allocates while messages go from sockets to sockets: read,
// decoded, routed, encoded and written, and acknowledged on both sides. One for 200 messages is
// what the runtime itself, a queue that grows and an emptied pool may take.
func TestNoAllocationPerMessage(t *testing.T) {
	if raced {
		t.Skip("pools are none under the race detector")
	}
	for _, c := range []struct {
		pubs, subs, burst int // messages of each publisher in a round
		qos               byte
		loops             int
	}{
		{20, 1, 20, 0, 0}, {20, 1, 20, 1, 0}, {1, 50, 20, 0, 0}, {1, 50, 20, 1, 0}, {20, 1, 20, 2, 0},
		{20, 1, 20, 0, -1}, {20, 1, 20, 1, -1}, {1, 50, 20, 0, -1}, {1, 50, 20, 1, -1}, {20, 1, 20, 2, -1},
	} {
		t.Run(fmt.Sprintf("pubs=%d/subs=%d/qos=%d/loops=%d", c.pubs, c.subs, c.qos, c.loops), func(t *testing.T) {
			b := serving(t, func(o *Options) { o.EventLoops, o.MaxInflight = c.loops, 16384 })
			var pubs, subs []*stream
			for i := range c.subs {
				p := b.connect(connectOpts{v: byte(4 + i%2), id: fmt.Sprint("sub", i)})
				p.subscribe(c.qos, "fleet/#")
				subs = append(subs, newStream(p))
			}
			payload := strings.Repeat("x", 64)
			for i := range c.pubs {
				p := b.connect(connectOpts{v: byte(5 - i%2), id: fmt.Sprint("pub", i)})
				s := newStream(p)
				topic := fmt.Sprintf("fleet/%02d", i)
				for k := range c.burst {
					s.out = append(s.out, p.publishFrame(c.qos<<1, uint16(k+1), topic, payload)...)
				}
				s.in = 4 * c.burst * min(1, int(c.qos))
				pubs = append(pubs, s)
			}
			each := c.pubs * c.burst // to each subscriber in a round
			for i, s := range subs {
				s.in = each * (len(frame(0x30, str("fleet/00"), []byte(payload))) + i%2 + 2*min(1, int(c.qos)))
			}
			id := uint16(0) // of the last delivery
			round := func() {
				for _, s := range pubs {
					s.write(t)
				}
				acks := subs[0].out[:0]
				for range each * int(min(c.qos, 1)) {
					if id = id%32767 + 1; c.qos == 1 {
						acks = append(acks, 0x40, 2, byte(id>>8), byte(id))
					} else {
						acks = append(acks, 0x50, 2, byte(id>>8), byte(id))
					}
				}
				for _, s := range subs {
					s.read(t)
					s.out = append(s.out[:0], acks...)
				}
				for _, s := range subs {
					s.write(t)
				}
				for _, s := range pubs {
					s.read(t) // PUBACK or PUBREC
				}
				if c.qos == 2 {
					round2(t, pubs, subs, c.burst)
				}
			}
			const rounds = 150
			for range rounds { // until pools, queues and caches have their size
				round()
			}
			runtime.GC()
			defer debug.SetGCPercent(debug.SetGCPercent(-1))
			for range 3 {
				round() // the collection has emptied pools
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range rounds {
				round()
			}
			runtime.ReadMemStats(&after)
			n := uint64(rounds * each * c.subs)
			t.Logf("%d allocations, %d bytes, %d messages", after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc, n)
			if got := after.Mallocs - before.Mallocs; got > n/200 {
				t.Errorf("%d allocations for %d messages", got, n)
			}
			if s := b.Stats(); len(s.Dropped) > 0 {
				t.Errorf("dropped: %v", s.Dropped)
			}
		})
	}
}

// round2 is the second half of the exchanges: PUBREL, PUBCOMP.
func round2(t *testing.T, pubs, subs []*stream, burst int) {
	turn := func(s *stream, of int, first byte) {
		for i := 0; i < of; i += 4 {
			s.out[i] = first
		}
	}
	for _, s := range subs {
		all, in := s.out, s.in
		s.in = len(all) // PUBREL
		s.read(t)
		turn(s, len(all), 0x70)
		s.write(t)
		s.in = in
	}
	for _, s := range pubs {
		out := s.out
		s.out = s.buf[:0]
		for k := range burst {
			s.out = append(s.out, 0x62, 2, byte((k+1)>>8), byte(k+1))
		}
		s.write(t)
		s.read(t)
		s.out = out
	}
}

func newStream(p *peer) *stream {
	_ = p.nc.SetDeadline(time.Now().Add(time.Minute))
	return &stream{nc: p.nc, buf: make([]byte, 64<<10)}
}
