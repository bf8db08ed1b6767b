package telemetry

import (
	"encoding/binary"
	"fmt"
)

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// A stateReader reads a checkpoint's state. The first failure sticks; what is
// read after it is zero.
type stateReader struct {
	b   []byte
	err error
}

func (r *stateReader) fail(reason string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrState, reason)
		r.b = nil
	}
}

func (r *stateReader) byte() byte {
	if len(r.b) == 0 {
		r.fail("ends early")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *stateReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("ends early")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *stateReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("ends early")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// bytes shares memory with the state.
func (r *stateReader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail("ends early")
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// count reads how many entries follow, each of at least one byte.
func (r *stateReader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail("ends early")
		return 0
	}
	return int(n)
}

func (r *stateReader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("has more than it should")
	}
	return r.err
}
