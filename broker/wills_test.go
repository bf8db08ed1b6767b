package broker

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A dying store writes nothing any more once its process is dead, and counts who reads queues.
type dying struct {
	*MemStore
	dead  atomic.Bool
	reads atomic.Int64
}

var errDead = errors.New("the process is dead")

func (d *dying) SaveSession(ctx context.Context, s Session) error {
	if d.dead.Load() {
		return errDead
	}
	return d.MemStore.SaveSession(ctx, s)
}

func (d *dying) DeleteSession(ctx context.Context, id string) error {
	if d.dead.Load() {
		return errDead
	}
	return d.MemStore.DeleteSession(ctx, id)
}

func (d *dying) Enqueue(ctx context.Context, batch []Entry, marks ...Mark) (uint64, error) {
	if d.dead.Load() {
		return 0, errDead
	}
	return d.MemStore.Enqueue(ctx, batch, marks...)
}

func (d *dying) Queue(ctx context.Context, id string, after uint64) iter.Seq2[Queued, error] {
	d.reads.Add(1)
	return d.MemStore.Queue(ctx, id, after)
}

// sessionsOf counts the records there are.
func sessionsOf(t *testing.T, s Store) (n int) {
	t.Helper()
	for _, err := range s.Sessions(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// TestWillOfAConnectedClientAfterCrash: whoever was connected with a will when the process died is
// gone for its peers, and they hear of it from the next process, once.
func TestWillOfAConnectedClientAfterCrash(t *testing.T) {
	will := func(delay uint32) *willOpts { return &willOpts{topic: "w", payload: "bye", qos: 1, delay: delay} }
	for _, one := range []struct {
		name  string
		o     connectOpts
		after time.Duration // of the restart
		back  bool          // the client is, before that
		left  bool          // it said goodbye before the crash
	}{
		{name: "3.1.1, clean session", o: connectOpts{v: 4, id: "a", will: will(0)}},
		{name: "3.1.1, session", o: connectOpts{v: 4, id: "a", resume: true, will: will(0)}},
		{name: "5, no session, delay", o: connectOpts{id: "a", will: will(10)}},
		{name: "5, session, delay", o: connectOpts{id: "a", expiry: 100, will: will(10)}, after: 10 * time.Second},
		{name: "5, session shorter than the delay", o: connectOpts{id: "a", expiry: 5, will: will(10)}, after: 5 * time.Second},
		{name: "5, back in time", o: connectOpts{id: "a", expiry: 100, will: will(10)}, after: 10 * time.Second, back: true},
		{name: "said goodbye", o: connectOpts{v: 4, id: "a", will: will(0)}, left: true},
		{name: "said goodbye, session", o: connectOpts{id: "a", expiry: 100, will: will(0)}, left: true},
	} {
		t.Run(one.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := NewMemStore()
				store := &dying{MemStore: disk}
				b := open(t, store, nil)
				watching := connectOpts{id: "watch", expiry: 3600}
				watch := join(t, b, watching)
				watch.subscribe(1, "w")
				a := join(t, b, one.o)
				if one.left {
					a.leave()
					synctest.Wait()
				}
				watch.none()
				store.dead.Store(true)
				watch.cut()
				if !one.left {
					a.cut()
				}
				synctest.Wait()

				second := &dying{MemStore: disk}
				b = open(t, second, nil)
				watch = dial(t, b)
				watch.resumes(watching)
				if one.after > 0 {
					time.Sleep(one.after - 2*time.Second)
					watch.none()
					if one.back {
						one.o.resume = true
						join(t, b, one.o).leave()
					}
				}
				time.Sleep(5 * time.Second)
				if one.left || one.back {
					watch.none()
				} else {
					watch.puback(watch.gets(1, "w", "bye").id)
				}
				synctest.Wait()
				records := 1                                          // watch
				if one.o.expiry > 5 || one.o.v == 4 && one.o.resume { // a's session goes on
					records = 2
				}
				if n := sessionsOf(t, disk); n != records {
					t.Errorf("%d records are left, not %d", n, records)
				}
				second.dead.Store(true)
				watch.cut()
				synctest.Wait()

				b = open(t, disk, nil)
				watch = dial(t, b)
				watch.resumes(watching)
				time.Sleep(20 * time.Second)
				watch.none() // not a second time
				watch.leave()
			})
		})
	}
}

// TestNewReadsNoQueue: a start costs the same whatever waits in the queues, and their limits hold nevertheless.
func TestNewReadsNoQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := NewMemStore()
		limit := func(o *Options) { o.MaxQueueMessages, o.QueueOverflow = 100, RefusePublish }
		b := open(t, disk, limit)
		o := connectOpts{id: "dev", expiry: 3600}
		p := join(t, b, o)
		p.subscribe(1, "d")
		p.leave()
		for range 99 {
			if err := b.Publish(t.Context(), "d", []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		store := &dying{MemStore: disk}
		b = open(t, store, limit)
		if n := store.reads.Load(); n != 0 {
			t.Errorf("New read queues %d times", n)
		}
		if err := b.Publish(t.Context(), "d", []byte("x")); err != nil {
			t.Errorf("the last one that fits: %v", err)
		}
		if err := b.Publish(t.Context(), "d", []byte("x")); !errors.Is(err, ErrQueueFull) {
			t.Errorf("one more: %v", err)
		}
		if c, err := b.Client("dev"); err != nil || c.Queued != 100 {
			t.Errorf("%d are queued, %v", c.Queued, err)
		}
		p = dial(t, b)
		p.resumes(o)
		for range 100 {
			p.puback(p.gets(1, "d", "x").id)
		}
		p.none()
		p.leave()
		if c, err := b.Client("dev"); err != nil || c.Queued != 0 || c.QueuedBytes != 0 {
			t.Errorf("%d are queued, %d bytes, %v", c.Queued, c.QueuedBytes, err)
		}
	})
}

// counting counts what is written.
type counting struct {
	*MemStore
	writes atomic.Int64
}

func (c *counting) SaveSession(ctx context.Context, s Session) error {
	c.writes.Add(1)
	return c.MemStore.SaveSession(ctx, s)
}

func (c *counting) DeleteSession(ctx context.Context, id string) error {
	c.writes.Add(1)
	return c.MemStore.DeleteSession(ctx, id)
}

func (c *counting) Enqueue(ctx context.Context, batch []Entry, marks ...Mark) (uint64, error) {
	c.writes.Add(1)
	return c.MemStore.Enqueue(ctx, batch, marks...)
}

func (c *counting) Dequeue(ctx context.Context, id string, upTo uint64) error {
	c.writes.Add(1)
	return c.MemStore.Dequeue(ctx, id, upTo)
}

func (c *counting) Queue(ctx context.Context, id string, after uint64) iter.Seq2[Queued, error] {
	c.writes.Add(1)
	return c.MemStore.Queue(ctx, id, after)
}

// TestNothingTouchesTheDiskWithoutPersistentSubscribers: clients without persistent sessions, retained messages and wills
// never make the broker call its Store, whatever they send.
func TestNothingTouchesTheDiskWithoutPersistentSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{MemStore: NewMemStore()}
		b := open(t, store, nil)
		for _, v := range []byte{4, 5} {
			sub := join(t, b, connectOpts{v: v, id: "sub"})
			sub.subscribe(2, "t/#")
			pub := join(t, b, connectOpts{v: v, id: "pub"})
			for id := range uint16(20) {
				pub.publish(0, 0, "t/0", "x")
				pub.publish(1, id+1, "t/1", "x")
				sub.gets(0, "t/0", "x")
				sub.puback(sub.gets(1, "t/1", "x").id)
			}
			pub.leave()
			sub.leave()
		}
		synctest.Wait()
		if n := store.writes.Load(); n != 0 {
			t.Errorf("the store was called %d times", n)
		}
	})
}
