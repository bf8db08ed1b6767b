package broker

import (
	"container/heap"
	"context"
	"time"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// timers are the sessions for which something falls due while they are not
// connected, the soonest first: at most one entry a session.
type timers []*session

// A timer is a session's place among the timers.
type timer struct {
	due   int64 // the first millisecond, since 1970, by which it is certain
	index int   // in timers, plus one; 0 is none
}

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].timer.due < t[j].timer.due }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].timer.index, t[j].timer.index = i+1, j+1
}
func (t *timers) Push(x any) {
	s := x.(*session)
	*t = append(*t, s)
	s.timer.index = len(*t)
}
func (t *timers) Pop() any {
	last := len(*t) - 1
	s := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	s.timer.index = 0
	return s
}

// schedule sets when a session that is not connected is looked at again. Broker.mu and
// no lock of the session is held.
func (b *Broker) schedule(s *session) {
	s.mu.Lock()
	due := s.disconnectedAt.Add(s.expiry)
	if s.will != nil && s.will.Due.Before(due) {
		due = s.will.Due
	}
	s.timer.due = due.UnixMilli() + 1
	s.mu.Unlock()
	if s.timer.index > 0 {
		heap.Fix(&b.timers, s.timer.index-1)
	} else {
		heap.Push(&b.timers, s)
	}
}

// unschedule takes it off. Broker.mu is held.
func (b *Broker) unschedule(s *session) {
	if s.timer.index > 0 {
		heap.Remove(&b.timers, s.timer.index-1)
	}
}

// tick is how coarse keep alive, session expiry and delayed wills are.
const tick = time.Second

// keepHouse sees to it that timers run as long as somebody serves. The function it
// returns says that this one no longer does.
func (b *Broker) keepHouse() (leave func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keepers++
	if b.keepers == 1 {
		stop, done := make(chan struct{}), make(chan struct{})
		b.stopKeep, b.keepDone = stop, done
		go b.housekeeping(stop, done)
	}
	return func() {
		b.mu.Lock()
		b.keepers--
		last := b.keepers == 0
		stop, done := b.stopKeep, b.keepDone
		b.mu.Unlock()
		if last {
			close(stop)
			<-done
		}
	}
}

func (b *Broker) housekeeping(stop, done chan struct{}) {
	defer close(done)
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			b.chore("keep alive", func() { b.silent(time.Now().UnixNano()) })
			b.chore("expiry", func() { b.overdue(b.now()) })
			b.chore("resend", b.resend)
			b.chore("statistics", func() { b.publishSys(b.now()) })
			b.chore("version numbers", func() { b.forgetVersions(b.now()) })
		}
	}
}

// chore does one thing of the housekeeping, whose panic is not to end the others.
func (b *Broker) chore(what string, f func()) {
	defer b.caught(what)
	f()
}

// Run runs timers until ctx is done: delayed wills, session expiry, keep alive. Serve
// and ServeConn do so themselves; a program that only has
// ServeConn and wants sessions to expire while nobody is connected calls Run.
func (b *Broker) Run(ctx context.Context) error {
	defer b.keepHouse()()
	<-ctx.Done()
	return nil
}

// silent ends connections from which nothing has come for too long, or half of something.
func (b *Broker) silent(now int64) {
	var late, slow []*conn
	longest := int64(b.opts.PacketTimeout)
	b.mu.Lock()
	for c := range b.conns {
		if c.silence > 0 && now-c.alive.Load() > int64(c.silence) {
			late = append(late, c)
		}
		if began := c.partial.Load(); longest > 0 && began > 0 && now-began > longest {
			slow = append(slow, c)
		}
	}
	b.mu.Unlock()
	for _, c := range slow {
		c.end(unspecified, ClientError, errSlowPacket)
	}
	for _, c := range late {
		c.end(byte(wire.KeepAliveTimeout), KeepAliveTimeout, errSilent) // [MQTT-3.1.2-22]
	}
}

// overdue publishes delayed wills and ends sessions whose time has come.
func (b *Broker) overdue(now time.Time) {
	for {
		b.mu.Lock()
		if len(b.timers) == 0 || now.UnixMilli() < b.timers[0].timer.due {
			b.mu.Unlock()
			return
		}
		s := heap.Pop(&b.timers).(*session)
		b.mu.Unlock()
		b.chore("timers of "+s.id, func() { _ = b.due(s, now) }) // counted and logged; a session left in the store expires
	}
}
