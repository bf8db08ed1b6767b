package broker

import (
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// A loop serves many sockets on one goroutine at a time: it learns by epoll which have something
// to be read, deals with one after the other, and then writes to each connection once what all
// of them gave it. Gathering writes like this is what makes it cheaper than a goroutine for each
// connection; that a connection at rest has no stack makes it smaller.
//
// What may wait (the application, a disk) must not hold the others up. Before it, the
// goroutine hands the lead of the loop to another one and goes on for its connection alone: see
// conn.aside. So all of MQTT is written as for a goroutine that may block. Once it is through with
// that it waits to be handed a lead in turn: the stack of a new one would have to grow first.
type loop struct {
	b     *Broker
	addr  net.Addr        // of the listener
	open  *sync.WaitGroup // connections
	epoll int             // waiting for it blocks a thread: Go's poller in between, which would not, costs up to half the speed
	alarm *os.File        // closed to wake who waits
	heard *os.File        // the other end of that pipe, which epoll watches
	over  atomic.Bool     // look at it when awake
	done  chan struct{}   // closed with over
	leads sync.WaitGroup  // goroutines that lead or have led

	leadership chan struct{} // taken by one of those who wait for it
	followers  atomic.Int32  // how many do

	mu    sync.Mutex
	conns []*conn // by descriptor

	// Of the goroutine that leads.
	events [128]syscall.EpollEvent
	ready  []readiness // ready[next:] are still to be dealt with
	next   int
	again  []readiness // in the next round, since they have more than one read took
	dirty  []*conn     // to be flushed at the end of the round
}

type readiness struct {
	c      *conn
	events uint32
}

const (
	watched = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | 1<<31 // edge-triggered: no call to ask again
	ended   = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
)

func newLoop(b *Broker, addr net.Addr, open *sync.WaitGroup) (*loop, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("broker: epoll: %w", err)
	}
	l := &loop{b: b, addr: addr, open: open, epoll: fd, done: make(chan struct{}), leadership: make(chan struct{})}
	if l.heard, l.alarm, err = os.Pipe(); err == nil {
		if err = l.watch(int(l.heard.Fd())); err != nil {
			l.heard.Close()
			l.alarm.Close()
		}
	}
	if err != nil {
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("broker: epoll: %w", err)
	}
	l.leads.Add(1)
	go l.lead()
	return l, nil
}

// close ends the loop, which has no sockets any more.
func (l *loop) close() {
	l.over.Store(true)
	close(l.done)
	_ = l.alarm.Close()
	l.leads.Wait()
	_ = l.heard.Close()
	_ = syscall.Close(l.epoll)
}

// watch asks for the events of a descriptor.
func (l *loop) watch(fd int) error {
	return syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: watched, Fd: int32(fd)})
}

// add takes a socket on.
func (l *loop) add(c *conn) error {
	fd := int(c.in.sock.fd)
	l.mu.Lock()
	if fd >= len(l.conns) {
		l.conns = append(l.conns, make([]*conn, max(64, fd+1-len(l.conns)))...)
	}
	l.conns[fd] = c
	l.mu.Unlock()
	return l.watch(fd)
}

// forget is for a socket that is about to be closed.
func (l *loop) forget(fd int) {
	l.mu.Lock()
	l.conns[fd] = nil
	l.mu.Unlock()
}

// finished ends a connection that reads no more.
func (l *loop) finished(c *conn, err error) {
	err = c.finish(err) // which logs and counts it
	if f := l.b.ended; f != nil {
		f(c.nc, err)
	}
	l.open.Done()
}

// each calls f for all connections.
func (l *loop) each(f func(*conn)) {
	l.mu.Lock()
	var all []*conn
	for _, c := range l.conns {
		if c != nil {
			all = append(all, c)
		}
	}
	l.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

// lead leads and follows by turns until the loop is closed, or there are others enough to do so.
func (l *loop) lead() {
	defer l.leads.Done()
	for l.work() && l.follow() {
	}
}

// mostFollowers is how many goroutines wait for the lead: as many as are likely to be handed it before one that
// has led is back, which with handlers that wait for a disk are dozens. To make one anew, and to grow its stack, costs a
// sixth of what a shadow update does; a stack that waits takes 16 KiB until it is shrunk.
const mostFollowers = 64

// follow waits for the lead, and reports whether it got it.
func (l *loop) follow() bool {
	defer l.followers.Add(-1)
	if l.followers.Add(1) > mostFollowers {
		return false
	}
	select {
	case <-l.leadership:
		return true
	case <-l.done:
		return false
	}
}

// work works until the goroutine has handed the lead over, which it reports, or the loop is closed.
func (l *loop) work() (handedOver bool) {
	for {
		for l.next < len(l.ready) {
			r := l.ready[l.next]
			l.next++
			if r.events&syscall.EPOLLOUT != 0 {
				r.c.resume()
			}
			if r.events&^syscall.EPOLLOUT != 0 && r.c.turn.take() && !r.c.attend(l, true, r.events&ended != 0) {
				return true
			}
		}
		if !l.round() {
			return false
		}
	}
}

// handOver lets another goroutine lead from here on.
func (l *loop) handOver() {
	l.flush()
	select {
	case l.leadership <- struct{}{}:
	default:
		l.leads.Add(1)
		go l.lead()
	}
}

// round ends one round and waits for the next. It returns false when the loop is closed.
func (l *loop) round() bool {
	l.flush()
	clear(l.ready)
	l.ready, l.again, l.next = l.again, l.ready[:0], 0
	wait := -1
	if len(l.ready) > 0 {
		wait = 0
	}
	n, err := syscall.EpollWait(l.epoll, l.events[:], wait)
	switch {
	case l.over.Load():
		return false
	case err == syscall.EINTR:
		n = 0
	case err != nil:
		l.b.opts.Logger.Error("event loop", "err", err)
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events[:n] {
		if c := l.conns[e.Fd]; c != nil {
			l.ready = append(l.ready, readiness{c, e.Events})
		}
	}
	return true
}

// flushLater is for connections that were given something in this round.
func (l *loop) flushLater(c *conn) {
	if d := l.dirty; len(d) == 0 || d[len(d)-1] != c {
		l.dirty = append(d, c)
	}
}

func (l *loop) flush() {
	flush(l.dirty)
	clear(l.dirty)
	l.dirty = l.dirty[:0]
}

// A turn is who may work for a connection: one goroutine at a time.
type turn struct{ state atomic.Uint32 }

const (
	free = iota
	taken
	takenAndMore // something has come since
)

// take reports whether it is the caller's turn. If not, whose it is will see that more has come.
func (t *turn) take() bool {
	if t.state.CompareAndSwap(free, taken) {
		return true
	}
	for {
		switch s := t.state.Load(); {
		case s == takenAndMore, s == taken && t.state.CompareAndSwap(taken, takenAndMore):
			return false
		case s == free && t.state.CompareAndSwap(free, taken):
			return true
		}
	}
}

// release ends the turn, unless more has come.
func (t *turn) release() bool {
	if t.state.CompareAndSwap(taken, free) {
		return true
	}
	t.state.Store(taken)
	return false
}

// attend reads what has come on c, whose turn it is, and reports whether this goroutine leads l, still, if it
// did. all says that it must read until there is no more, since nobody will say so again.
func (c *conn) attend(l *loop, leads, all bool) (still bool) {
	if leads {
		c.leading = l
	}
	for {
		n, full, err := c.in.poll()
		if err == nil && n > 0 {
			err = c.received(n)
		}
		if err != nil {
			l.finished(c, err)
			return false
		}
		leads = c.leading != nil
		if full && leads { // after the others
			c.leading = nil
			if !c.turn.release() || all {
				l.again = append(l.again, readiness{c, syscall.EPOLLIN | syscall.EPOLLRDHUP})
			} else {
				l.again = append(l.again, readiness{c, syscall.EPOLLIN})
			}
			c.turn.state.Store(free)
			return true
		}
		if full || all && n > 0 {
			continue
		}
		c.leading = nil
		if c.turn.release() {
			return leads
		}
		if leads {
			c.leading = l
		}
		all = true
	}
}
