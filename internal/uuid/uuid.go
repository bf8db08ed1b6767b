// Package uuid makes random UUIDs, version 4 of RFC 9562: names of things,
// events and messages. They are unique, and no secrets: they come from
// math/rand/v2, which costs a tenth of what crypto/rand does.
package uuid

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// A UUID is one in its binary form.
type UUID [16]byte

// New makes one up.
func New() (u UUID) {
	binary.NativeEndian.PutUint64(u[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(u[8:], rand.Uint64())
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return u
}

// Append appends the text of u, 36 bytes in lower case.
func (u UUID) Append(b []byte) []byte {
	b = hex.AppendEncode(b, u[:4])
	for _, part := range [...][]byte{u[4:6], u[6:8], u[8:10], u[10:]} {
		b = hex.AppendEncode(append(b, '-'), part)
	}
	return b
}

// String is the text of u.
func (u UUID) String() string {
	var text [36]byte
	return string(u.Append(text[:0]))
}
