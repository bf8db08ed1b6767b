package broker

import "sync"

// A buffer is bytes on their way to a connection. An idle connection has none.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 2048)} }}

// release gives a buffer back, unless it has grown so far that keeping it
// would hold memory that is seldom needed.
func (b *buffer) release() {
	if cap(b.b) <= 64<<10 {
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

// send appends what f appends. It is written by the next flush.
func (c *conn) send(f func([]byte) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		buf := c.outbox()
		buf.b = f(buf.b)
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
	c.cond.Broadcast()
	return buf
}

// flush sees to it that what waits is written. It never blocks: it writes as
// much as the socket takes at once where it can, and else leaves it to a goroutine that
// lives as long as there is something to write.
func (c *conn) flush() {
	c.mu.Lock()
	if c.writing || c.finished || c.closing && c.buf == nil {
		c.mu.Unlock()
		return
	}
	for {
		buf := c.take()
		if buf == nil {
			c.mu.Unlock()
			return
		}
		if c.closing || !c.in.direct() {
			c.startWriter(buf)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		n, err := c.in.tryWrite(buf.b)
		c.b.count.bytesOut.Add(int64(n))
		c.mu.Lock()
		if c.finished { // while this wrote: nobody starts a writer now
			buf.release()
			c.writing, c.inWrite = false, 0
			c.cond.Broadcast()
			c.mu.Unlock()
			return
		}
		if err != nil || n < len(buf.b) || c.closing {
			buf.b = buf.b[n:]
			c.startWriter(buf) // it meets the error, too
			c.mu.Unlock()
			return
		}
		buf.release()
	}
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
		if buf = c.take(); buf == nil {
			closing := c.closing
			c.mu.Unlock()
			if closing {
				c.in.closeWrite()
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
	for c.outstanding() > most && !c.stop.set {
		c.cond.Wait()
	}
}
