package wire

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// A cursor reads the body of a packet. The first error sticks; after it
// everything read is zero.
type cursor struct {
	b   []byte
	at  int
	t   Type
	err *Error
}

func (c *cursor) fail(code Code, reason string) {
	if c.err == nil {
		c.err = &Error{code, c.t, c.at, reason}
		c.at = len(c.b)
	}
}

// left is how many bytes are unread.
func (c *cursor) left() int { return len(c.b) - c.at }

func (c *cursor) take(n int) []byte {
	if n > c.left() {
		c.fail(Malformed, "packet ends early")
		return nil
	}
	p := c.b[c.at : c.at+n : c.at+n]
	c.at += n
	return p
}

func (c *cursor) u8() byte {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if p := c.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if p := c.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (c *cursor) varint() int {
	v, n := varint(c.b[c.at:])
	if n <= 0 {
		c.fail(Malformed, "not a variable byte integer")
		return 0
	}
	c.at += n
	return int(v)
}

// binary reads two bytes of length and as many bytes. It is never nil without an error.
func (c *cursor) binary() []byte {
	n := int(c.u16())
	if c.err != nil {
		return nil
	}
	return c.take(n)
}

// text reads a UTF-8 string [MQTT-1.5.4-1] [MQTT-1.5.4-2]. A byte order mark is a character as any [MQTT-1.5.4-3].
func (c *cursor) text() []byte {
	at := c.at
	s := c.binary()
	if ascii(s) {
		return s
	}
	if bytes.IndexByte(s, 0) >= 0 || !utf8.Valid(s) {
		c.at = at
		c.fail(Malformed, "string is not UTF-8 or has U+0000")
		return nil
	}
	return s
}

// ascii reports whether s has nothing but bytes 1 to 127: most strings.
func ascii(s []byte) bool {
	for _, b := range s {
		if b-1 >= 0x7f {
			return false
		}
	}
	return true
}

// packetID reads a packet identifier, which is not 0 [MQTT-2.2.1-3].
func (c *cursor) packetID() uint16 {
	id := c.u16()
	if id == 0 && c.err == nil {
		c.at -= 2
		c.fail(ProtocolError, "packet identifier 0")
	}
	return id
}

func (c *cursor) end() {
	if c.err == nil && c.left() > 0 {
		c.fail(Malformed, "bytes after the end of the packet")
	}
}

// error is c.err as an error, without a typed nil.
func (c *cursor) error() error {
	if c.err == nil {
		return nil
	}
	return c.err
}

// start is a cursor over f, whose flags must be want.
func (f *Frame) start(want byte) cursor {
	c := cursor{b: f.Body, t: f.Type}
	if f.Flags != want {
		c.fail(Malformed, "reserved flags of the fixed header are set") // [MQTT-2.1.3-1]
	}
	return c
}
