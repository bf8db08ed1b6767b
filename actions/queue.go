package actions

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"time"
)

// An Identity says whose queue it is: which plugin with which parameters, for
// which owner. It is content, not a number, so that the same rule finds its
// queue again after a restart, and a changed rule gets a new queue while the
// old one is delivered with the parameters its requests were taken under.
type Identity struct {
	Owner  string          `json:"owner,omitempty"` // as the name of a rule; may be empty
	Action string          `json:"action"`          // name of the Spec
	Params json.RawMessage `json:"params,omitempty"`

	// Language is that of the templates in Params; empty is the default.
	Language string `json:"language,omitempty"`
}

// ID is 32 hexadecimal digits made of all fields. Space in Params does not count.
func (id Identity) ID() string {
	var params bytes.Buffer
	if json.Compact(&params, id.Params) != nil {
		params.Reset()
		params.Write(id.Params)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s%d:%s", len(id.Owner), id.Owner, len(id.Action), id.Action)
	h.Write(params.Bytes())
	if id.Language != "" { // queues of earlier versions keep their ID
		fmt.Fprintf(h, "\x00%s", id.Language)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Limits bound one queue. A request is in the queue until it is settled.
type Limits struct {
	// MaxCount is the most requests. Zero means 10,000 in memory and 10 million
	// in actionspebble; negative means no limit.
	MaxCount int
	// MaxBytes is the most bytes of requests, stored size. Zero means 16 MiB in
	// memory and 4 GiB in actionspebble; negative means no limit.
	MaxBytes int64
	// MaxAge drops requests that waited longer, as ErrExpired. Zero and
	// negative mean no limit.
	MaxAge time.Duration
}

// Queues keep the queue of each action. Memory and actionspebble.Queues are the
// implementations; actionstest.TestQueues says what they have in common.
type Queues interface {
	// OpenQueue opens the queue of id, with what an earlier process left in it.
	// It is not opened twice without a Close between.
	OpenQueue(ctx context.Context, id Identity, l Limits) (Queue, error)

	// Stored yields the identities whose queues hold requests, open or not.
	Stored(ctx context.Context) iter.Seq2[Identity, error]
}

// A Queue holds the requests of one action between its callers and its
// workers. All methods may be called from many goroutines.
type Queue interface {
	// Push takes a copy of *r, slices shared, and returns once it is as safe as
	// this queue makes it. ErrQueueFull, at once, when a limit is reached.
	Push(ctx context.Context, r *Request) error

	// Pop moves up to len(into) of the oldest requests that no Pop has given
	// yet into into, and returns how many: at least one, waiting for it, or an
	// error when ctx is done or the queue is closed. What is popped and never
	// acknowledged is given again by a durable queue once it is opened again.
	Pop(ctx context.Context, into []Entry) (int, error)

	// Ack settles entries that Pop gave, in any order.
	Ack(entries []Entry) error

	// Size is how many requests are in the queue, popped ones included, and their bytes.
	Size() (count int, bytes int64)

	// Durable reports whether what Push took survives the process.
	Durable() bool

	// Close ends waiting Pops with ErrClosed. It does not wait for them.
	Close() error
}

// An Entry is one request as a Queue gives it.
type Entry struct {
	Seq     uint64 // the queue's number for it, growing
	Request Request
	// Err is set when the request is not to be delivered: ErrExpired, or
	// ErrCorrupt, whose Request is empty. It still has to be acknowledged.
	Err error
	// Lost is set when the Done of the request could not be kept.
	Lost bool
}
