package broker

import (
	"sync"
	"time"
)

// A bucket allows so many a second in the mean, and what a second allows at once. The zero
// value with a rate is full. It is not safe for concurrent use.
type bucket struct {
	rate  int // 0 is no limit
	spent float64
	last  time.Time
}

// refill gives back what the time since the last call allows.
func (k *bucket) refill(now time.Time) {
	if d := now.Sub(k.last); d > 0 {
		k.spent = max(0, k.spent-d.Seconds()*float64(k.rate))
		k.last = now
	}
}

// take takes one, if there is one.
func (k *bucket) take() bool {
	if k.rate == 0 {
		return true
	}
	k.refill(time.Now())
	if k.spent+1 > float64(k.rate) {
		return false
	}
	k.spent++
	return true
}

// use takes n whether they are there or not, and returns how long to wait until
// they would have been.
func (k *bucket) use(n int) time.Duration {
	if k.rate == 0 {
		return 0
	}
	k.refill(time.Now())
	k.spent += float64(n)
	over := k.spent - float64(k.rate)
	return time.Duration(max(0, over) / float64(k.rate) * float64(time.Second))
}

// rates are those of one client.
type rates struct {
	published, bytes bucket   // from it
	delivered        bucket   // QoS 0 to it; guarded by conn.mu
	resent           struct { // read from the Store for it
		sync.Mutex
		bucket
	}
}

// newRates are the broker's, unlimited ones, if the options set no limit: they do not change, so that
// connections can share them.
func (b *Broker) newRates() *rates {
	o := &b.opts
	if o.MaxPublishRate == 0 && o.MaxByteRate == 0 && o.MaxDeliverRate == 0 && o.MaxResendRate == 0 {
		return &b.unlimited
	}
	r := &rates{}
	r.published.rate, r.bytes.rate, r.delivered.rate, r.resent.rate = o.MaxPublishRate, o.MaxByteRate, o.MaxDeliverRate, o.MaxResendRate
	return r
}

// connectRate bounds how many clients connect.
type connectRate struct {
	sync.Mutex
	bucket
}

// waitRate makes the reader wait for as long as the client was too fast. It stands beside
// waitRoom.
func (c *conn) waitRate(d time.Duration) {
	if d <= 0 {
		return
	}
	c.aside()
	c.begun = 0 // it is us who do not read
	over := false
	t := time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		over = true
		c.wake()
	})
	defer t.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !over && !c.stop.set {
		c.wait()
	}
}

// mayResend is how many messages may be read from the Store now, 64 at most.
func (c *conn) mayResend() int {
	if c.resent.rate == 0 {
		return 64
	}
	c.resent.Lock()
	defer c.resent.Unlock()
	c.resent.refill(time.Now())
	return min(64, int(float64(c.resent.rate)-c.resent.spent))
}

func (c *conn) resentNow(n int) {
	if c.resent.rate == 0 {
		return
	}
	c.resent.Lock()
	defer c.resent.Unlock()
	c.resent.use(n)
}

// resend goes on with what MaxResendRate has held back.
func (b *Broker) resend() {
	if b.opts.MaxResendRate == 0 {
		return
	}
	b.mu.Lock()
	all := make([]*conn, 0, len(b.conns))
	for c := range b.conns {
		all = append(all, c)
	}
	b.mu.Unlock()
	for _, c := range all {
		if err := c.refill(func() {}); err != nil {
			c.end(unspecified, ServerError, err)
		}
		c.flush()
	}
}
