package model

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// Types of packets, with the flags that they must have.
const (
	connack    = 0x20
	puback     = 0x40
	pubrec     = 0x50
	pubrel     = 0x62
	pubcomp    = 0x70
	suback     = 0x90
	unsuback   = 0xB0
	disconnect = 0xE0
)

type packet struct {
	first byte
	body  []byte
}

func readPacket(r *bufio.Reader) (packet, error) {
	first, err := r.ReadByte()
	if err != nil {
		return packet{}, err
	}
	n, shift := 0, 0
	for {
		b, err := r.ReadByte()
		if err != nil {
			return packet{}, err
		}
		n |= int(b&127) << shift
		if shift += 7; b < 128 {
			break
		}
		if shift > 21 {
			return packet{}, errors.New("remaining length of five bytes")
		}
	}
	p := packet{first, make([]byte, n)}
	_, err = io.ReadFull(r, p.body)
	return p, err
}

func number(n int) []byte {
	var b []byte
	for {
		d := byte(n % 128)
		if n /= 128; n == 0 {
			return append(b, d)
		}
		b = append(b, d|128)
	}
}

func frame(first byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(append([]byte{first}, number(len(body))...), body...)
}

func u16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
func str(s string) []byte { return append(u16(uint16(len(s))), s...) }

// props is the section of properties, which 3.1.1 does not have.
func props(v byte, each ...[]byte) []byte {
	if v != 5 {
		return nil
	}
	b := bytes.Join(each, nil)
	return append(number(len(b)), b...)
}

func connectFrame(v byte, id string, clean bool, expiry uint32, window uint16, will *lastWill) []byte {
	flags := byte(0)
	if clean {
		flags = 2
	}
	var each [][]byte
	if expiry > 0 {
		each = append(each, append([]byte{0x11}, u32(expiry)...))
	}
	if window > 0 {
		each = append(each, append([]byte{0x21}, u16(window)...))
	}
	var last []byte
	if will != nil {
		if flags |= 4 | will.m.qos<<3; will.retain {
			flags |= 32
		}
		delay := append([]byte{0x18}, u32(uint32(will.delay/time.Second))...)
		last = bytes.Join([][]byte{props(v, delay), str(will.m.topic), str(will.m.payload())}, nil)
	}
	return frame(0x10, str("MQTT"), []byte{v, flags}, u16(0), props(v, each...), str(id), last)
}

func publishFrame(v, qos byte, dup bool, id uint16, topic, payload string, expiry uint32) []byte {
	first := 0x30 | qos<<1
	parts := [][]byte{str(topic)}
	if qos > 0 {
		parts = append(parts, u16(id))
		if dup {
			first |= 8
		}
	}
	var each [][]byte
	if expiry > 0 {
		each = append(each, append([]byte{2}, u32(expiry)...))
	}
	return frame(first, append(parts, props(v, each...), []byte(payload))...)
}

// A delivery is a PUBLISH of the broker.
type delivery struct {
	qos            byte
	dup, retain    bool
	id             uint16
	topic, payload string
}

func decodePublish(v byte, p packet) (d delivery, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("PUBLISH that ends too early")
		}
	}()
	d.qos, d.dup, d.retain = p.first>>1&3, p.first&8 != 0, p.first&1 != 0
	b := p.body
	n := int(binary.BigEndian.Uint16(b))
	d.topic, b = string(b[2:2+n]), b[2+n:]
	if d.qos > 0 {
		d.id, b = binary.BigEndian.Uint16(b), b[2:]
	}
	if v == 5 {
		b = b[1+int(b[0]):] // they are short
	}
	d.payload = string(b)
	return d, nil
}
