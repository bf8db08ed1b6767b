package broker

import (
	"context"
	"sync"
	"time"

	"github.com/thingloom/thingloom/broker/internal/engine"
	"github.com/thingloom/thingloom/broker/internal/wire"
)

// A work is what a connection needs while it works on what came, and gives
// back after it: one at rest holds none of this.
type work struct {
	packets engine.Packets
	ctx     context.Context // of the application's functions, while one is needed; see conn.context
	now     time.Time       // of this batch
	whole   bool            // there was a whole packet in it
	batch   commit
	acks    []ack
	dirty   []*conn        // given something in this batch, and not flushed yet
	flushed time.Time      // when they were
	pub     publication    // the one being routed
	scratch engine.Message // of messages that nobody keeps
}

// An ack is owed for a publish or a PUBREL of this batch.
type ack struct {
	packet  wire.Type // PUBACK, PUBREC or PUBCOMP
	id      uint16
	code    byte
	durable bool // only if the batch could be stored
}

var works = sync.Pool{New: func() any { return &work{} }}

// borrow gets a work for a batch.
func (c *conn) borrow() {
	c.work = works.Get().(*work)
	c.engine.Packets = &c.work.packets
}

// giveBack ends the batch. What it routed can go; what lies in packets is a read buffer's, which
// is lent like this.
func (c *conn) giveBack() {
	c.leaveContext()
	w := c.work
	c.work, c.engine.Packets = nil, nil
	w.pub, w.scratch = publication{}, engine.Message{}
	w.batch.wake = nil // a channel made in one synctest bubble cannot be used in another
	works.Put(w)
}
