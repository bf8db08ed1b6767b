package jobs

import (
	"context"
	"sync"
)

// keyedLocks is a lock for each name in use.
type keyedLocks struct {
	mu   sync.Mutex
	held map[string]*keyedLock
}

type keyedLock struct {
	sync.Mutex
	users int // who holds it or waits for it
}

// lock waits for the lock of key, unless limit others use it already.
func (k *keyedLocks) lock(key string, limit int) (unlock func(), ok bool) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*keyedLock{}
	}
	l := k.held[key]
	if l == nil {
		l = &keyedLock{}
		k.held[key] = l
	}
	if l.users >= limit {
		k.mu.Unlock()
		return nil, false
	}
	l.users++
	k.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.held, key)
		}
	}, true
}

// An outbox delivers parcels, those of one thing one after another in the order
// they were added. A parcel is added under the lock of its thing and delivered
// without it, so that who receives it may call the Service.
type outbox struct {
	mu    sync.Mutex
	lanes map[string]*lane
}

type lane struct {
	queue []*parcel
	busy  bool // a goroutine delivers
}

type parcel struct {
	send func(context.Context)
	done chan struct{}
}

// deliveringKey marks a context in which a parcel is delivered.
type deliveringKey struct{}

func (o *outbox) add(key string, send func(context.Context)) *parcel {
	p := &parcel{send, make(chan struct{})}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lanes == nil {
		o.lanes = map[string]*lane{}
	}
	l := o.lanes[key]
	if l == nil {
		l = &lane{}
		o.lanes[key] = l
	}
	l.queue = append(l.queue, p)
	return p
}

// flush returns when p is delivered, by whoever's turn it is. Called in the
// course of a delivery it does not wait, since what it would wait for may wait
// for that delivery.
func (o *outbox) flush(ctx context.Context, key string, p *parcel) {
	o.mu.Lock()
	l := o.lanes[key]
	if l == nil || l.busy {
		o.mu.Unlock()
		if ctx.Value(deliveringKey{}) == nil {
			<-p.done
		}
		return
	}
	l.busy = true
	inner := context.WithValue(context.WithoutCancel(ctx), deliveringKey{}, true)
	for len(l.queue) > 0 {
		next := l.queue[0]
		l.queue = l.queue[1:]
		o.mu.Unlock()
		next.send(inner)
		close(next.done)
		o.mu.Lock()
	}
	delete(o.lanes, key)
	o.mu.Unlock()
}
