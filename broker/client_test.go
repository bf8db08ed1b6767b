package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// A peer is the client of these tests: it writes what it is told, byte by
// byte, and shares no code with the broker. It reads when asked to, so one
// that is not asked is a slow one.
type peer struct {
	t    testing.TB
	nc   net.Conn
	v    byte
	done chan error // what ServeConn returned
}

// dial connects a peer to b by a pipe.
func dial(t testing.TB, b *Broker) *peer {
	return dialCtx(t, b, context.Background())
}

func dialCtx(t testing.TB, b *Broker, ctx context.Context) *peer {
	if p := dialSocket(t, b); p != nil {
		return p
	}
	ours, theirs := net.Pipe()
	p := &peer{t: t, nc: ours, v: 5, done: make(chan error, 1)}
	go func() { p.done <- b.ServeConn(ctx, theirs) }()
	return p
}

// join dials and connects.
func join(t testing.TB, b *Broker, o connectOpts) *peer {
	t.Helper()
	p := dial(t, b)
	p.connect(o)
	p.connack(0)
	return p
}

type connectOpts struct {
	v         byte // 5 unless set
	id        string
	resume    bool   // clean start 0
	expiry    uint32 // v5
	keepAlive uint16
	props     []byte // v5, further ones
	user      string
	will      *willOpts
}

type willOpts struct {
	topic, payload string
	qos            byte
	retain         bool
	delay          uint32
}

func str(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }

func vbi(n int) []byte {
	var b []byte
	for {
		d := byte(n % 128)
		if n /= 128; n > 0 {
			d |= 128
		}
		b = append(b, d)
		if n == 0 {
			return b
		}
	}
}

func frame(first byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return slices.Concat([]byte{first}, vbi(len(body)), body)
}

func u16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func section(props ...[]byte) []byte {
	b := bytes.Join(props, nil)
	return append(vbi(len(b)), b...)
}

func connectFrame(o connectOpts) []byte {
	if o.v == 0 {
		o.v = 5
	}
	flags := byte(0)
	if !o.resume {
		flags |= 2
	}
	if o.will != nil {
		flags |= 4 | o.will.qos<<3
		if o.will.retain {
			flags |= 0x20
		}
	}
	if o.user != "" {
		flags |= 0x80
	}
	parts := [][]byte{str("MQTT"), {o.v, flags}, u16(o.keepAlive)}
	if o.v == 5 {
		props := o.props
		if o.expiry > 0 {
			props = slices.Concat(props, []byte{0x11}, u32(o.expiry))
		}
		parts = append(parts, section(props))
	}
	parts = append(parts, str(o.id))
	if w := o.will; w != nil {
		if o.v == 5 {
			parts = append(parts, section([]byte{0x18}, u32(w.delay)))
		}
		parts = append(parts, str(w.topic), str(w.payload))
	}
	if o.user != "" {
		parts = append(parts, str(o.user))
	}
	return frame(0x10, parts...)
}

func (p *peer) connect(o connectOpts) {
	p.t.Helper()
	if o.v != 0 {
		p.v = o.v
	}
	p.write(connectFrame(o))
}

func (p *peer) write(b ...[]byte) {
	p.t.Helper()
	if _, err := p.nc.Write(bytes.Join(b, nil)); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

// A packet is one packet from the broker.
type packet struct {
	first byte
	body  []byte
}

func (k packet) String() string { return fmt.Sprintf("%02x %x", k.first, k.body) }

func (p *peer) readErr() (packet, error) {
	_ = p.nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	var one [1]byte
	if _, err := io.ReadFull(p.nc, one[:]); err != nil {
		return packet{}, err
	}
	k := packet{first: one[0]}
	n, shift := 0, 0
	for {
		if _, err := io.ReadFull(p.nc, one[:]); err != nil {
			return k, err
		}
		n |= int(one[0]&127) << shift
		shift += 7
		if one[0] < 128 {
			break
		}
	}
	k.body = make([]byte, n)
	_, err := io.ReadFull(p.nc, k.body)
	return k, err
}

func (p *peer) read() packet {
	p.t.Helper()
	k, err := p.readErr()
	if err != nil {
		p.t.Fatalf("read: %v", err)
	}
	return k
}

// want reads one packet and compares it whole.
func (p *peer) want(first byte, parts ...[]byte) {
	p.t.Helper()
	k := p.read()
	if body := bytes.Join(parts, nil); k.first != first || !bytes.Equal(k.body, body) {
		p.t.Fatalf("got packet %v, want %v", k, packet{first, body})
	}
}

// connack reads a CONNACK with a code and returns session present and properties.
func (p *peer) connack(code byte) (present bool, props []byte) {
	p.t.Helper()
	k := p.read()
	if k.first != 0x20 || len(k.body) < 2 || k.body[1] != code {
		p.t.Fatalf("got %v, want CONNACK with code %#x", k, code)
	}
	return k.body[0] == 1, k.body[2:]
}

// none checks that nothing comes for a while. In a synctest bubble it takes no time.
func (p *peer) none() {
	p.t.Helper()
	_ = p.nc.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	var one [1]byte
	if n, err := p.nc.Read(one[:]); n > 0 || !errors.Is(err, errTimeout{}) && !isTimeout(err) {
		p.t.Fatalf("got %x, %v, want silence", one[:n], err)
	}
}

type errTimeout struct{}

func (errTimeout) Error() string { return "timeout" }

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// closed reads DISCONNECT with the code (0: none of it) and then the end, and returns
// what ServeConn did.
func (p *peer) closed(code byte) error {
	p.t.Helper()
	if code != 0 {
		p.want(0xE0, []byte{code})
	}
	if k, err := p.readErr(); err == nil {
		p.t.Fatalf("got %v, want the end of the connection", k)
	} else if isTimeout(err) {
		p.t.Fatal("the connection was not closed")
	}
	_ = p.nc.Close() // on a socket the broker waits for it, for a while
	return p.ended()
}

func (p *peer) ended() error {
	p.t.Helper()
	select {
	case err := <-p.done:
		return err
	case <-time.After(20 * time.Second):
		p.t.Fatal("ServeConn did not return")
		return nil
	}
}

// leave disconnects in order.
func (p *peer) leave() {
	p.t.Helper()
	p.write([]byte{0xE0, 0})
	_ = p.nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.Copy(io.Discard, p.nc)
	_ = p.nc.Close()
	p.ended()
}

// cut ends the connection without a word.
func (p *peer) cut() {
	p.t.Helper()
	_ = p.nc.Close()
	p.ended()
}

func (p *peer) props(b ...[]byte) []byte {
	if p.v != 5 {
		return nil
	}
	return section(b...)
}

// subscribe subscribes with one packet and checks the codes.
func (p *peer) subscribe(opts byte, filters ...string) {
	p.t.Helper()
	parts := [][]byte{u16(77), p.props()}
	for _, f := range filters {
		parts = append(parts, str(f), []byte{opts})
	}
	p.write(frame(0x82, parts...))
	p.want(0x90, u16(77), p.props(), bytes.Repeat([]byte{opts & 3}, len(filters)))
}

func (p *peer) publishFrame(flags byte, id uint16, topic, payload string, props ...[]byte) []byte {
	parts := [][]byte{str(topic)}
	if flags&6 != 0 {
		parts = append(parts, u16(id))
	}
	parts = append(parts, p.props(props...), []byte(payload))
	return frame(0x30|flags, parts...)
}

// publish publishes, and waits for the PUBACK at QoS 1.
func (p *peer) publish(qos byte, id uint16, topic, payload string) {
	p.t.Helper()
	p.write(p.publishFrame(qos<<1, id, topic, payload))
	if qos > 0 {
		p.want(0x40, u16(id))
	}
}

// A delivery is a PUBLISH from the broker.
type delivered struct {
	dup, retain    bool
	qos            byte
	id             uint16
	topic, payload string
	props          []byte
}

func (p *peer) receive() delivered {
	p.t.Helper()
	return p.parse(p.read())
}

func (p *peer) parse(k packet) delivered {
	p.t.Helper()
	if k.first>>4 != 3 {
		p.t.Fatalf("got %v, want PUBLISH", k)
	}
	d := delivered{dup: k.first&8 != 0, retain: k.first&1 != 0, qos: k.first >> 1 & 3}
	b := k.body
	n := int(binary.BigEndian.Uint16(b))
	d.topic, b = string(b[2:2+n]), b[2+n:]
	if d.qos > 0 {
		d.id, b = binary.BigEndian.Uint16(b), b[2:]
	}
	if p.v == 5 {
		n := int(b[0])
		if n >= 128 {
			p.t.Fatal("more properties than this test reads")
		}
		d.props, b = b[1:1+n], b[1+n:]
	}
	d.payload = string(b)
	return d
}

// gets receives one message and checks what most tests look at.
func (p *peer) gets(qos byte, topic, payload string) delivered {
	p.t.Helper()
	d := p.receive()
	if d.qos != qos || d.topic != topic || d.payload != payload {
		p.t.Fatalf("got %+v, want QoS %d, %s %q", d, qos, topic, payload)
	}
	return d
}

func (p *peer) puback(id uint16) {
	p.t.Helper()
	p.write([]byte{0x40, 2}, u16(id))
}

// open makes a broker that allows everything, changed by f.
func open(t testing.TB, store Store, f func(*Options)) *Broker {
	t.Helper()
	o := &Options{Authenticator: AllowAll{}, Authorizer: AllowAll{}}
	if f != nil {
		f(o)
	}
	b, err := New(store, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// poll reads one packet if one comes soon.
func (p *peer) poll() (packet, bool) {
	p.t.Helper()
	_ = p.nc.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
	var one [1]byte
	if _, err := io.ReadFull(p.nc, one[:]); err != nil {
		if !isTimeout(err) {
			p.t.Fatalf("read: %v", err)
		}
		return packet{}, false
	}
	_ = p.nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	k := packet{first: one[0]}
	if _, err := io.ReadFull(p.nc, one[:]); err != nil || one[0] > 127 {
		p.t.Fatalf("read: %v, length %d", err, one[0])
	}
	k.body = make([]byte, one[0])
	if _, err := io.ReadFull(p.nc, k.body); err != nil {
		p.t.Fatalf("read: %v", err)
	}
	return k, true
}
