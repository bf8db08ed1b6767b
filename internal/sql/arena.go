package sql

import "unsafe"

// An arena keeps the texts that one evaluation builds. Reset makes them
// invalid all at once.
type arena struct {
	chunk []byte // its length is what is taken
}

const (
	firstChunk = 1 << 10
	maxKept    = 64 << 10 // larger chunks are left to the collector
)

// grow is an empty slice with room for n bytes or more. string makes what was
// appended to it permanent; without that call it is simply used again.
func (a *arena) grow(n int) []byte {
	if cap(a.chunk)-len(a.chunk) < n {
		// The old chunk stays alive as long as values point into it.
		a.chunk = make([]byte, 0, max(n, 2*cap(a.chunk), firstChunk))
	}
	return a.chunk[len(a.chunk):]
}

// string takes b, which grew from grow, as a text that lives until reset.
func (a *arena) string(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	free := a.chunk[len(a.chunk):cap(a.chunk)]
	if len(free) >= len(b) && unsafe.SliceData(free) == unsafe.SliceData(b) {
		a.chunk = a.chunk[:len(a.chunk)+len(b)]
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (a *arena) reset() {
	if cap(a.chunk) > maxKept {
		a.chunk = nil
	}
	a.chunk = a.chunk[:0]
}

// view is b as a string, sharing its memory: b must not change as long as the
// string is used.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}
