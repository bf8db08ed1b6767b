package broker

import "sync"

// A buffer is bytes on their way to a connection. An idle connection has none.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 2048)} }}

// release gives a buffer back, unless it has grown so far that keeping it
// would hold memory that is seldom needed.
func (b *buffer) release() {
	if cap(b.b) <= 128<<10 {
		b.b = b.b[:0]
		buffers.Put(b)
	}
}

// outbox is the buffer to append to. mu is held. Behind the goodbye nothing is sent.
func (c *conn) outbox() *buffer {
	if c.closing {
		return &buffer{}
	}
	if c.buf == nil {
		c.buf = buffers.Get().(*buffer)
	}
	return c.buf
}

// outstanding is how much waits to be written, in bytes. mu is held.
func (c *conn) outstanding() int {
	n := c.inWrite
	if c.buf != nil {
		n += len(c.buf.b)
	}
	return n
}

// heaped reports whether so much waits to be written that gathering more gains nothing, and
// costs memory. mu is held.
func (c *conn) heaped() bool {
	return c.buf != nil && len(c.buf.b) > 48<<10 && !c.writing
}

// send appends what f appends. It is written by the next flush.
func (c *conn) send(f func([]byte) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		buf := c.outbox()
		buf.b = f(buf.b)
		c.waiting.set(&c.b.memory, c.outstanding())
	}
}

// take takes what waits, for writing. mu is held. It returns nil, and the
// writer is over, if nothing does.
func (c *conn) take() *buffer {
	buf := c.buf
	c.buf, c.inWrite = nil, 0
	if buf != nil && len(buf.b) == 0 {
		buf.release()
		buf = nil
	}
	if buf != nil {
		c.inWrite = len(buf.b)
	}
	c.writing = buf != nil
	c.waiting.set(&c.b.memory, c.inWrite)
	c.wake()
	return buf
}

// flush sees to it that what waits is written. It never blocks: it writes as
// much as the socket takes at once where it can, and else leaves it to a goroutine that
// lives as long as there is something to write, or to the loop that hears when there is room.
func (c *conn) flush() {
	c.mu.Lock()
	if c.writing || c.finished || c.closing && c.in.sock == nil {
		c.mu.Unlock()
		return
	}
	c.drain(c.take())
}

// drain writes buf and what waits behind it. mu is held, and released.
func (c *conn) drain(buf *buffer) {
	for buf != nil {
		if !c.in.direct() || c.closing && c.in.sock == nil {
			c.startWriter(buf)
			break
		}
		c.mu.Unlock()
		n, err := c.in.tryWrite(buf.b)
		c.b.count.bytesOut.Add(int64(n))
		c.mu.Lock()
		if n < len(buf.b) {
			buf.b = buf.b[n:] // not when it is all: its memory is used again
		} else {
			buf.b = buf.b[:0]
		}
		switch {
		case c.finished || err != nil && c.in.sock != nil: // nobody writes any more
			buf.release()
			c.writing, c.inWrite, c.broken = false, 0, c.broken || err != nil
			c.wake()
			c.mu.Unlock()
			if err != nil {
				c.kill() // the reader ends, and with it everything
			}
			return
		case len(buf.b) == 0:
			buf.release()
			buf = c.take()
		case c.in.sock == nil:
			c.startWriter(buf) // it meets the error, too
			c.mu.Unlock()
			return
		case !c.room: // and there was none when the write before this one ended
			c.inWrite, c.stuck = len(buf.b), buf
			c.mu.Unlock()
			return
		default:
			c.room = false
			c.inWrite = len(buf.b)
		}
	}
	over := buf == nil && c.closing && !c.leaves // also where the end came while this was written
	c.mu.Unlock()
	if over {
		c.in.closeWrite(c.nc)
	}
}

// resume goes on with a write: the socket has room again.
func (c *conn) resume() {
	c.mu.Lock()
	buf := c.stuck
	if buf == nil || c.finished {
		c.room = true
		c.mu.Unlock()
		return
	}
	c.stuck = nil
	c.drain(buf)
}

// startWriter starts the goroutine that writes first, and then what waits. mu is held.
func (c *conn) startWriter(first *buffer) {
	c.writing = true
	c.writers.Add(1)
	go c.write(first)
}

func (c *conn) write(buf *buffer) {
	defer c.writers.Done()
	var failed error
	for {
		if buf != nil && len(buf.b) > 0 && failed == nil {
			var n int
			n, failed = c.nc.Write(buf.b)
			c.b.count.bytesOut.Add(int64(n))
			if failed != nil {
				c.kill() // the reader ends, and with it everything
			}
		}
		if buf != nil {
			buf.release()
		}
		c.mu.Lock()
		c.broken = c.broken || failed != nil
		if buf = c.take(); buf == nil {
			closing := c.closing
			c.mu.Unlock()
			if closing {
				c.in.closeWrite(c.nc)
			}
			return
		}
		c.mu.Unlock()
	}
}

// waitRoom makes the reader wait while too much waits to be written to its own
// peer: who does not read is not read.
func (c *conn) waitRoom() { c.waitRoomFor(c.b.opts.MaxOutboxBytes) }

func (c *conn) waitRoomFor(most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outstanding() > most && c.leading != nil {
		c.mu.Unlock()
		c.aside() // which writes, too
		c.mu.Lock()
	}
	for c.outstanding() > most && !c.stop.set {
		c.begun = 0 // it is us who do not read
		c.wait()
	}
}
