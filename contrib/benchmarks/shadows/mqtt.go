package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// The few packets of MQTT 3.1.1 that the load needs, so that the load generator is not what is measured.

func packet(kind byte, body []byte) []byte {
	b := []byte{kind}
	n := len(body)
	for ; n >= 128; n >>= 7 {
		b = append(b, byte(n)|128)
	}
	return append(append(b, byte(n)), body...)
}

func text(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func read(r *bufio.Reader) (kind byte, body []byte, err error) {
	if kind, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return kind, body, err
}

func connect(addr, id string) (net.Conn, *bufio.Reader, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	if _, err := c.Write(packet(0x10, text([]byte("\x00\x04MQTT\x04\x02\x00\x00"), id))); err != nil {
		return nil, nil, err
	}
	r := bufio.NewReader(c)
	kind, body, err := read(r)
	if err == nil && (kind != 0x20 || body[1] != 0) {
		err = fmt.Errorf("CONNECT of %s was answered by %x %x", id, kind, body)
	}
	return c, r, err
}

// A publisher sends updates of one shadow, and takes what has been acknowledged when it sends the next.
type publisher struct {
	net.Conn
	raw   syscall.RawConn
	topic []byte
	id    uint16
	acked int // bytes of acknowledgements
	in    [256]byte
	body  []byte
}

func newPublisher(addr, thing string) (*publisher, error) {
	c, _, err := connect(addr, thing)
	if err != nil {
		return nil, err
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	return &publisher{Conn: c, raw: raw, topic: text(nil, "$aws/things/"+thing+"/shadow/update")}, err
}

// publish sends an update at QoS 1 that says when it was due.
func (p *publisher) publish(due time.Time) error {
	if err := p.hear(); err != nil {
		return err
	}
	if p.id++; p.id == 0 {
		p.id = 1
	}
	p.body = binary.BigEndian.AppendUint16(append(p.body[:0], p.topic...), p.id)
	p.body = fmt.Appendf(p.body, `{"state":{"desired":{"at":%d,"level":%d},"reported":{"level":%d}}}`, due.UnixNano(), p.id%9, p.id%7)
	_, err := p.Write(packet(0x32, p.body))
	return err
}

// hear takes what has come, without waiting.
func (p *publisher) hear() (failed error) {
	err := p.raw.Read(func(fd uintptr) bool {
		n, err := syscall.Read(int(fd), p.in[:])
		switch {
		case n > 0:
			p.acked += n
		case err == nil:
			failed = io.EOF
		case err != syscall.EAGAIN:
			failed = err
		}
		return true
	})
	return errors.Join(err, failed)
}

// acknowledged is how many of its updates were.
func (p *publisher) acknowledged() int { return p.acked / len(packet(0x40, []byte{0, 0})) }

// A subscriber hears of all deltas.
type subscriber struct {
	net.Conn
	mu   sync.Mutex
	took []latency
}

type latency struct {
	due  int64
	took time.Duration
}

func newSubscriber(addr string, updates int) (*subscriber, error) {
	c, r, err := connect(addr, "subscriber")
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(packet(0x82, append(text([]byte{0, 1}, "$aws/things/+/shadow/update/delta"), 0))); err != nil {
		return nil, err
	}
	if kind, body, err := read(r); err != nil || kind != 0x90 || body[2] != 0 {
		return nil, fmt.Errorf("SUBSCRIBE was answered by %x %x, %v", kind, body, err)
	}
	s := &subscriber{Conn: c, took: make([]latency, 0, updates)}
	go s.read(r)
	return s, nil
}

func (s *subscriber) read(r *bufio.Reader) {
	for {
		_, body, err := read(r)
		if err != nil {
			return
		}
		now := time.Now()
		_, rest, _ := bytes.Cut(body, []byte(`"at":`))
		end := bytes.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' })
		due, err := strconv.ParseInt(string(rest[:max(end, 0)]), 10, 64)
		if err != nil {
			continue
		}
		s.mu.Lock()
		s.took = append(s.took, latency{due, now.Sub(time.Unix(0, due))})
		s.mu.Unlock()
	}
}

func (s *subscriber) deltas() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.took)
}

// latencies are those of the deltas that were due once the load had been on for warm.
func (s *subscriber) latencies(warm time.Duration) (took []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := int64(0)
	for _, l := range s.took {
		if first == 0 || l.due < first {
			first = l.due
		}
	}
	for _, l := range s.took {
		if l.due >= first+int64(warm) {
			took = append(took, l.took)
		}
	}
	return took
}
