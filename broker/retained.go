package broker

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/thingloom/thingloom/broker/internal/engine"
)

// Retained yields the retained messages whose topics match filter, ordered by
// topic, expired ones left out. What the Store cannot read is logged and left out, too; any other error is the last thing yielded. A filter of $SYS/ yields the statistics, with Options.SysInterval.
func (b *Broker) Retained(ctx context.Context, filter string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for _, m := range b.sysRetained(filter) {
			if !yield(m, nil) {
				return
			}
		}
		for m, err := range b.store.Retained(ctx, filter) {
			switch {
			case errors.Is(err, ErrCorrupt):
				b.storeFailed("retained", err)
				continue
			case err == nil && expired(&m, b.now()):
				continue
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

func expired(m *Message, now time.Time) bool {
	return m.Properties.Expiry > 0 && !now.Before(m.Time.Add(m.Properties.Expiry))
}

// A retainedScan sends a new subscription the retained messages it matches, as
// fast as the client takes them.
type retainedScan struct {
	sub  Subscription
	next func() (Message, error, bool) // nil before it has begun
	stop func()
}

// newScan is nil if the subscription gets no retained messages [MQTT-3.3.1-9]
// [MQTT-3.3.1-10] [MQTT-3.3.1-11].
func (b *Broker) newScan(sub *Subscription, group string, existed bool) *retainedScan {
	if b.opts.RetainedExactOnly && strings.ContainsAny(sub.Filter, "+#") {
		return nil
	}
	if group != "" || sub.RetainHandling == 2 || sub.RetainHandling == 1 && existed {
		return nil
	}
	return &retainedScan{sub: *sub}
}

func (r *retainedScan) close() {
	if r.stop != nil {
		r.stop()
	}
}

// pumpRetained goes on with the scans. Messages that must be stored go to the
// session's queue until that is full, the others are sent as long as the client keeps up; the next
// acknowledgement leads here again.
func (c *conn) pumpRetained() error {
	for len(c.backlog) > 0 {
		c.aside()
		if c.over() {
			return nil // nobody is there for them any more
		}
		scan := c.backlog[0]
		if all := c.b.Retained(c.base, scan.sub.Filter); scan.next != nil || !empty(all) {
			if scan.next == nil {
				scan.next, scan.stop = iter.Pull2(all)
			}
			done, err := c.pumpScan(scan)
			if err != nil {
				return &ConnError{Reason: ServerError, Code: unspecified, Err: err}
			}
			if !done {
				return nil
			}
			scan.close()
		}
		c.backlog[0] = nil
		c.backlog = c.backlog[1:]
	}
	c.backlog = nil
	return nil
}

// empty reports whether there is nothing in all, as mostly with what is retained: to pull takes a coroutine.
func empty(all iter.Seq2[Message, error]) bool {
	for range all {
		return false
	}
	return true
}

// pumpScan reports whether the scan is over.
func (c *conn) pumpScan(scan *retainedScan) (done bool, err error) {
	b, s := c.b, c.sess
	durable := s.durable && scan.sub.QoS > 0
	var ids []uint32
	if scan.sub.Identifier > 0 {
		ids = []uint32{scan.sub.Identifier}
	}
	for {
		if !c.hasRoom() || durable && b.full(s) || !durable && c.holding() {
			return c.over(), c.storeScan()
		}
		m, err, ok := scan.next()
		if err != nil {
			b.count.storeErrors.Add(1)
			return false, err
		}
		if !ok {
			return true, c.storeScan()
		}
		if !c.mayReceive(m.Topic) {
			b.dropped(s.id, m.Topic, DropNotAuthorized)
			continue
		}
		qos := min(m.QoS, scan.sub.QoS)
		msg := fromMessage(&m)
		if durable && qos > 0 {
			t := target{s: s, qos: qos, retain: true, ids: ids, durable: true}
			m.Retain, m.QoS = true, qos // [MQTT-3.3.1-8]
			c.batch.add(m, msg, []target{t}, []string{s.id})
			if len(c.batch.entries) >= 64 || c.batch.bytes > maxBatch {
				if err := c.storeScan(); err != nil {
					return false, err
				}
			}
			continue
		}
		d := engine.Delivery{Msg: msg, QoS: qos, Retain: true, SubIDs: ids}
		b.deliver(s, b.now().UnixNano(), &d)
	}
}

func (c *conn) storeScan() error {
	err := c.b.commit(&c.batch)
	c.batch.reset()
	if err == nil {
		err = c.refill(c.aside)
	}
	return err
}

// hasRoom waits until there is room in the outbox. It reports false if the connection is over.
func (c *conn) hasRoom() bool {
	c.mu.Lock()
	half := c.outstanding() > c.b.opts.MaxOutboxBytes/2
	c.mu.Unlock()
	if half {
		c.flush()
		c.waitRoomFor(c.b.opts.MaxOutboxBytes / 2)
	}
	return !c.over()
}

// holding reports whether deliveries wait for acknowledgements.
func (c *conn) holding() bool {
	c.sess.mu.Lock()
	defer c.sess.mu.Unlock()
	return c.sess.out.Holding()
}

// over reports whether the connection is ending, or broken.
func (c *conn) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stop.set || c.broken
}
