package broker

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// moved waits until all that are connected to b are with a loop, which is what these tests are about.
func moved(t *testing.T, b *Broker) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		if c.in.sock == nil || !c.in.sock.secure() {
			t.Errorf("%q has a goroutine of its own", c.info.ClientID)
		}
	}
}

// What does not fit into the socket waits, encrypted or not, and comes in one piece and in order once the client reads.
func TestTLSOfALoopWaitsForRoom(t *testing.T) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			b := listeningTLS(t, version, func(o *Options) { o.MaxOutboxBytes = 64 << 20; o.MaxPendingBytes = 64 << 20 })
			slow := join(t, b, connectOpts{id: "slow"})
			slow.subscribe(0, "big/#")
			pub := join(t, b, connectOpts{id: "pub"})
			moved(t, b)
			rng := rand.New(rand.NewPCG(1, 2))
			var want [][]byte
			for i := range 60 {
				payload := make([]byte, rng.IntN(300_000))
				for k := range payload {
					payload[k] = byte(rng.Uint32())
				}
				want = append(want, payload)
				pub.write(longPublish(fmt.Sprintf("big/%d", i), payload))
			}
			pub.write([]byte{0xC0, 0})
			pub.want(0xD0)
			for i, payload := range want { // only now
				if got := readLong(t, slow.nc); !bytes.Equal(got, longPublish(fmt.Sprintf("big/%d", i), payload)) {
					t.Fatalf("message %d of %d bytes came as %d bytes, or changed", i, len(payload), len(got))
				}
			}
			slow.leave()
			pub.leave()
		})
	}
}

func listeningTLS(t *testing.T, version uint16, opts ...func(*Options)) *Broker {
	config := serverTLS().Clone()
	config.MinVersion, config.MaxVersion = version, version
	return listening(t, config, opts...)
}

// longPublish is a PUBLISH of MQTT 5 at QoS 0, of any length.
func longPublish(topic string, payload []byte) []byte {
	body := append(append(str(topic), 0), payload...)
	return append(append([]byte{0x30}, vbi(len(body))...), body...)
}

// readLong reads one packet of any length.
func readLong(t *testing.T, r io.Reader) []byte {
	t.Helper()
	packet := make([]byte, 1, 5)
	one := make([]byte, 1)
	if _, err := io.ReadFull(r, packet); err != nil {
		t.Fatal(err)
	}
	n, shift := 0, 0
	for more := true; more; shift += 7 {
		if _, err := io.ReadFull(r, one); err != nil {
			t.Fatal(err)
		}
		packet = append(packet, one[0])
		n |= int(one[0]&127) << shift
		more = one[0] > 127
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		t.Fatal(err)
	}
	return append(packet, body...)
}

// Bytes of records that come one by one, and records that come together with the end of the handshake, are taken as
// they come.
func TestTLSOfALoopReadsAnyPieces(t *testing.T) {
	b := onTLS(t)
	v, _ := sockets.Load(b)
	s := v.(*socketServer)
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	pieces := &pieces{Conn: nc}
	conn := tls.Client(pieces, s.secure)
	p := &peer{t: t, nc: conn, v: 5, done: s.end(nc.LocalAddr().String())}
	pieces.gather = true // from the client's Finished on
	p.connect(connectOpts{id: "pieces"})
	pieces.send()
	p.connack(0)
	moved(t, b)
	pieces.gather = false
	pieces.size = 1
	p.subscribe(1, "a/+")
	pieces.size = 3
	for i := range 5 {
		p.publish(0, 0, "a/b", fmt.Sprint("message ", i))
		p.gets(0, "a/b", fmt.Sprint("message ", i))
	}
	pieces.size = 0
	p.leave()
}

// A pieces writes what it is given in pieces of a size, or keeps it.
type pieces struct {
	net.Conn
	size   int // 0 is all at once
	gather bool
	kept   []byte
	hello  bool
}

func (p *pieces) Write(b []byte) (int, error) {
	if p.gather && p.hello { // the hello must go
		p.kept = append(p.kept, b...)
		return len(b), nil
	}
	p.hello = true
	for rest := b; len(rest) > 0; {
		n := len(rest)
		if p.size > 0 {
			n = min(n, p.size)
		}
		if _, err := p.Conn.Write(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(b), nil
}

func (p *pieces) send() {
	_, _ = p.Conn.Write(p.kept)
	p.kept, p.gather = nil, false
}

// The broker ends a connection with TLS's own goodbye, so that the client knows that nothing was cut off.
func TestTLSOfALoopSaysGoodbye(t *testing.T) {
	b := onTLS(t)
	p := join(t, b, connectOpts{id: "one"})
	moved(t, b)
	if err := b.Kick("one", APIInitiatedDisconnect); err != nil {
		t.Fatal(err)
	}
	p.want(0xE0, []byte{0x98})
	if _, err := p.nc.Read(make([]byte, 1)); err != io.EOF { // crypto/tls says io.ErrUnexpectedEOF without it
		t.Fatalf("got %v, want io.EOF", err)
	}
	_ = p.nc.Close()
	if err := p.ended(); err != nil {
		t.Fatal(err)
	}

	p = join(t, b, connectOpts{id: "two"})
	p.write([]byte{0xE0, 0})
	if _, err := p.nc.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("after DISCONNECT: got %v, want io.EOF", err)
	}
	_ = p.nc.Close()
	p.ended()
}

// A record that is none ends the connection, which is lost, and no other.
func TestTLSOfALoopEndsWithABadRecord(t *testing.T) {
	b := onTLS(t)
	other := join(t, b, connectOpts{id: "other"})
	other.subscribe(0, "t")
	bad := join(t, b, connectOpts{id: "bad", will: &willOpts{topic: "t", payload: "gone"}})
	moved(t, b)
	below := bad.nc.(*tls.Conn).NetConn()
	if _, err := below.Write(append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...)); err != nil {
		t.Fatal(err)
	}
	other.gets(0, "t", "gone")
	var ce *ConnError
	if err := bad.ended(); !errors.As(err, &ce) {
		t.Fatalf("got %v, want a ConnError", err)
	}
	_ = bad.nc.Close()
	other.leave()
}

// Who does not shake hands is cut after ConnectTimeout, and a drain waits for nobody else.
func TestTLSHandshakeThatDoesNotEnd(t *testing.T) {
	b := listening(t, serverTLS(), func(o *Options) { o.ConnectTimeout = 100 * time.Millisecond })
	v, _ := sockets.Load(b)
	nc, err := net.Dial("tcp", v.(*socketServer).addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := nc.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Fatalf("got %v, want the end", err)
	}
	p := join(t, b, connectOpts{id: "other"})
	p.leave()
}
