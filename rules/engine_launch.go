package rules

import (
	"context"
	"unsafe"

	"github.com/thingloom/thingloom/internal/uuid"
)

// A launch is what the flights of one message share. A message that fires a
// rule allocates one thing: either a launch, in which the flight and, as far as
// there is room, trace and output lie too; or, where the launch of an earlier
// message can be used again, the output alone.
type launch struct {
	ctx   hopContext // what actions are given; its cancellation is the caller's
	e     *Engine
	trace string
	id    [36]byte // trace, if it was made up
	first flight
}

// newLaunch is a launch with room for an output of n bytes, which is nil if n
// is 0 or larger than 8,000. The sizes fill up those that the allocator has.
func newLaunch(n int) (*launch, []byte) {
	const small = unsafe.Sizeof(launch{})
	switch {
	case n == 0 || n > 8192-int(small):
		return new(launch), nil
	case n <= 256-int(small):
		x := new(struct {
			launch
			room [256 - small]byte
		})
		return &x.launch, x.room[:0]
	case n <= 512-int(small):
		x := new(struct {
			launch
			room [512 - small]byte
		})
		return &x.launch, x.room[:0]
	case n <= 1024-int(small):
		x := new(struct {
			launch
			room [1024 - small]byte
		})
		return &x.launch, x.room[:0]
	case n <= 2048-int(small):
		x := new(struct {
			launch
			room [2048 - small]byte
		})
		return &x.launch, x.room[:0]
	}
	x := new(struct {
		launch
		room [8192 - small]byte
	})
	return &x.launch, x.room[:0]
}

// name gives the launch the trace of its message, or a random UUID.
func (l *launch) name(trace string) {
	if trace != "" {
		l.trace = trace
		return
	}
	uuid.New().Append(l.id[:0])
	l.trace = unsafe.String(&l.id[0], len(l.id)) // nobody writes id again
}

// serves reports whether l, which no flight needs any more, can be the launch
// of a message. Actions may keep their context, so that one is never changed:
// it serves as long as messages come with the same, as those of one connection
// do.
func (l *launch) serves(ctx context.Context, hops int, trace string) bool {
	return l != nil && trace != "" && l.ctx.hops == hops && same(l.ctx.Context, ctx)
}

// same reports whether a and b are one context. It compares what the interfaces
// consist of, since == would panic for types that do not compare.
func same(a, b context.Context) bool {
	return *(*[2]unsafe.Pointer)(unsafe.Pointer(&a)) == *(*[2]unsafe.Pointer)(unsafe.Pointer(&b))
}
