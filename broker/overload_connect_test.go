package broker

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestConnectionStorm has thousands connect at once, twice as many as may. Exactly as many as may are let in, the
// others are told why, and what they took is given back.
func TestConnectionStorm(t *testing.T) {
	n := max(200, some(2000))
	overloaded(t, func(t *testing.T, s *site) {
		before := heapInUse()
		for turn := range 2 {
			var (
				mu    sync.Mutex
				in    []net.Conn
				codes = map[byte]int{}
				wg    sync.WaitGroup
			)
			for i := range n {
				wg.Go(func() {
					nc, err := s.dial()
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = nc.Write(connectFrame(connectOpts{v: byte(4 + i%2), id: fmt.Sprint(turn, "-", i)}))
					first, code, err := said(nc)
					if err != nil || first != 0x20 {
						t.Errorf("got %x, %v, want CONNACK", first, err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					if codes[code]++; code == 0 {
						in = append(in, nc)
						return
					}
					if _, _, err := said(nc); !isEnd(err) {
						t.Errorf("refused and not closed: %v", err)
					}
					_ = nc.Close()
				})
			}
			wg.Wait()
			if codes[0] != n/2 || codes[3]+codes[0x97] != n/2 || codes[3] == 0 || codes[0x97] == 0 {
				t.Errorf("turn %d: answers %v, want %d times 0 and as many of 3 and 0x97", turn, codes, n/2)
			}
			holds(t, "let in", before, int64(n)*32<<10)
			for _, nc := range in {
				_ = nc.Close()
			}
			until(t, "all are gone", func() bool { return s.Stats().Connections == 2 && s.Stats().Sessions == 2 })
			if got := s.Stats().Refused; got["0x97"] != int64((turn+1)*n/2) || len(got) != 1 {
				t.Errorf("turn %d: refused %v", turn, got)
			}
		}
		until(t, "memory is given back", func() bool { st := s.Stats(); return st.MemoryBytes-st.KeptBytes < 8*memoryStep })
		holds(t, "after it", before, 8<<20)
	}, func(o *Options) { o.MaxConnections = n/2 + 2 })
}

// TestTakeoverWhenFull lets a client have its own connection's place: where that one is dead it could not come back else.
func TestTakeoverWhenFull(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		first := join(t, b, connectOpts{id: "a"})
		other := dial(t, b)
		other.connect(connectOpts{id: "b"})
		other.connack(0x97)
		other.closed(0)
		again := join(t, b, connectOpts{id: "a"})
		first.closed(0x8E)
		again.leave()
		join(t, b, connectOpts{id: "b"}).leave()
	}, func(o *Options) { o.MaxConnections = 1 })
}

// TestHalfOpen has clients that do not get to their CONNECT, and ones that are never heard of again after it.
func TestHalfOpen(t *testing.T) {
	n := max(20, some(300))
	whole := connectFrame(connectOpts{id: "half", will: &willOpts{topic: "w", payload: "x"}})
	kinds := map[string]struct {
		sent  func(i int) []byte
		end   []byte // what comes
		cause string
	}{
		"nothing":        {func(int) []byte { return nil }, nil, ""},
		"half a CONNECT": {func(i int) []byte { return whole[:1+i%(len(whole)-1)] }, nil, ""},
		"vanished, 5": {func(i int) []byte { return connectFrame(connectOpts{id: fmt.Sprint("v5-", i), keepAlive: 1}) },
			[]byte{0x20, 0xE0}, "MQTT_KEEP_ALIVE_TIMEOUT"},
		"vanished, 3.1.1": {func(i int) []byte { return connectFrame(connectOpts{v: 4, id: fmt.Sprint("v4-", i), keepAlive: 1}) },
			[]byte{0x20}, "MQTT_KEEP_ALIVE_TIMEOUT"},
		"vanished within a packet": {func(i int) []byte {
			return append(connectFrame(connectOpts{id: fmt.Sprint("p-", i), keepAlive: 1}), 0x30, 200, 1, 0, 1)
		}, []byte{0x20, 0xE0}, "MQTT_KEEP_ALIVE_TIMEOUT"},
	}
	overloaded(t, func(t *testing.T, s *site) {
		before := heapInUse()
		type one struct {
			nc   net.Conn
			kind string
		}
		var open []one
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			for i := range n {
				nc, err := s.dial()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := nc.Write(kinds[kind].sent(i)); err != nil {
					t.Fatal(err)
				}
				open = append(open, one{nc, kind})
			}
		}
		holds(t, "all are open", before, int64(len(open))*16<<10)
		for _, o := range open {
			var got []byte
			for {
				first, code, err := said(o.nc)
				if err != nil {
					if !isEnd(err) {
						t.Fatalf("%s: not closed", o.kind)
					}
					break
				}
				if got = append(got, first); first == 0xE0 && code != 0x8D {
					t.Errorf("%s: reason %x", o.kind, code)
				}
			}
			if !slices.Equal(got, kinds[o.kind].end) {
				t.Errorf("%s: got packets %x, want %x", o.kind, got, kinds[o.kind].end)
			}
			_ = o.nc.Close()
		}
		until(t, "all are gone", func() bool { return s.Stats().Connections == 2 && s.Stats().Sessions == 2 })
		until(t, "those who were silent are counted", func() bool { return s.Stats().Disconnects[string(KeepAliveTimeout)] == int64(3*n) })
		holds(t, "all are gone", before, 8<<20)
	}, func(o *Options) { o.ConnectTimeout = time.Second })
}

// TestLoris has many clients send a byte at a time, all at once: their packets come whole and are answered, and none
// holds more than what it sent.
func TestLoris(t *testing.T) {
	n := max(20, some(500))
	overloaded(t, func(t *testing.T, s *site) {
		before := heapInUse()
		conns, script := make([]net.Conn, n), make([][]byte, n)
		for i := range conns {
			var err error
			if conns[i], err = s.dial(); err != nil {
				t.Fatal(err)
			}
			p := &peer{t: t, v: byte(4 + i%2)}
			script[i] = append(connectFrame(connectOpts{v: p.v, id: fmt.Sprint("loris", i)}), p.publishFrame(2, 5, "loris/topic", "slowly")...)
		}
		for at := range 60 {
			for i, nc := range conns {
				if at < len(script[i]) {
					if _, err := nc.Write(script[i][at : at+1]); err != nil {
						t.Fatal(err)
					}
				}
			}
			if at == 10 || at == 30 {
				holds(t, "under way", before, int64(n)*16<<10)
			}
		}
		for i, nc := range conns {
			for _, want := range []byte{0x20, 0x40} {
				if first, code, err := said(nc); err != nil || first != want || code != 0 {
					t.Fatalf("client %d: got %x %x, %v", i, first, code, err)
				}
			}
			_ = nc.Close()
		}
	})
}

// TestLorisIsCut: bytes now and then do not keep a connection that has no CONNECT or no whole packet.
func TestLorisIsCut(t *testing.T) {
	bubblePipes(t, func(t *testing.T, b *Broker) {
		var drips sync.WaitGroup
		defer drips.Wait()
		drip := func(p *peer, bytes []byte) {
			for _, c := range bytes {
				if _, err := p.nc.Write([]byte{c}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}
		began := time.Now()
		p := dial(t, b)
		drips.Go(func() { drip(p, connectFrame(connectOpts{id: "a client id that takes its time"})) })
		p.closed(0)
		if d := time.Since(began); d > 12*time.Second {
			t.Errorf("without CONNECT for %v", d)
		}
		for v, bye := range map[byte][]byte{4: nil, 5: {0xE0, 1, 0x80}} {
			began = time.Now()
			p := join(t, b, connectOpts{v: v, id: "b", keepAlive: 600})
			drips.Go(func() { drip(p, p.publishFrame(0, 0, "t", string(make([]byte, 120)))) })
			_ = p.nc.SetReadDeadline(time.Time{})
			if got, err := io.ReadAll(p.nc); err != nil || !bytes.Equal(got, bye) {
				t.Errorf("version %d: got %x, %v", v, got, err)
			}
			if d := time.Since(began); d < time.Minute || d > 63*time.Second {
				t.Errorf("version %d: one packet was under way for %v", v, d)
			}
			p.cut()
		}
	})
}

// TestGiantLengths claims what is not to come, before and after CONNECT. Above the maximum it is refused at once, below
// it memory is taken as bytes come.
func TestGiantLengths(t *testing.T) {
	n := max(20, some(500))
	overloaded(t, func(t *testing.T, s *site) {
		before := heapInUse()
		hello := func(i int) []byte { return connectFrame(connectOpts{v: byte(4 + i%2), id: fmt.Sprint("giant", i)}) }
		var held []net.Conn
		for i := range n {
			for what, c := range map[string]struct {
				sent []byte
				in   []byte // answers, and their codes
			}{
				"CONNECT of 256 MiB":           {[]byte{0x10, 0xff, 0xff, 0xff, 0x7f, 0, 4, 'M', 'Q'}, nil},
				"PUBLISH of 256 MiB":           {append(hello(i), 0x32, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a'), []byte{0x20, 0, 0xE0, 0x95}},
				"SUBSCRIBE of 256 MiB":         {append(hello(i), 0x82, 0xff, 0xff, 0xff, 0x7f, 0, 1), []byte{0x20, 0, 0xE0, 0x95}},
				"topic longer than the packet": {append(hello(i), 0x30, 4, 0xff, 0xff, 'a', 'b'), []byte{0x20, 0, 0xE0, 0x81}},
				"properties longer than it":    {append(connectFrame(connectOpts{id: fmt.Sprint("props", i)}), 0x30, 7, 0, 1, 'a', 0xff, 0xff, 0x7f, 0), []byte{0x20, 0, 0xE0, 0x81}},
				"CONNECT below the maximum":    {[]byte{0x10, 0xf0, 0xff, 0x3f, 0, 4, 'M', 'Q'}, nil},
				"PUBLISH below the maximum":    {append(connectFrame(connectOpts{id: fmt.Sprint("below", i)}), 0x32, 0xf0, 0xff, 0x3f, 0, 1, 'a'), []byte{0x20, 0}},
			} {
				nc, err := s.dial()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := nc.Write(c.sent); err != nil {
					t.Fatal(err)
				}
				in := c.in
				if i%2 == 0 && len(in) == 4 && c.sent[8] == 4 { // 3.1.1 is told nothing
					in = in[:2]
				}
				for ; len(in) > 0; in = in[2:] {
					if first, code, err := said(nc); err != nil || first != in[0] || code != in[1] {
						t.Fatalf("%s: got %x %x, %v, want %x", what, first, code, err, in[:2])
					}
				}
				if what == "CONNECT below the maximum" || what == "PUBLISH below the maximum" {
					held = append(held, nc)
					continue
				}
				if _, _, err := said(nc); !isEnd(err) {
					t.Fatalf("%s: not closed: %v", what, err)
				}
				_ = nc.Close()
			}
		}
		holds(t, "claimed and not come", before, int64(len(held))*16<<10)
		if st := s.Stats(); st.MemoryBytes-st.KeptBytes > 8*memoryStep {
			t.Errorf("%d bytes are counted", st.MemoryBytes)
		}
	}, func(o *Options) { o.ConnectTimeout = time.Minute })
}
