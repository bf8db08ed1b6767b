package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
)

// TestRefusedNotDropped: with RefusePublish a message is refused or stored, and never acknowledged and dropped: not for a
// shared subscription, and not where the queue fills up while handlers look at the message.
func TestRefusedNotDropped(t *testing.T) {
	limit := func(o *Options) { o.MaxQueueMessages, o.QueueOverflow = 10, RefusePublish }
	publish := func(t *testing.T, b *Broker, topic string, n int) (taken int) {
		t.Helper()
		for i := range n {
			switch err := b.Publish(t.Context(), topic, []byte(fmt.Sprint(i))); {
			case err == nil:
				taken++
			case !errors.Is(err, ErrQueueFull):
				t.Fatal(err)
			}
		}
		return taken
	}
	queued := func(t *testing.T, b *Broker, want ...int) {
		t.Helper()
		for i, n := range want {
			if c, err := b.Client(fmt.Sprint("dev", i)); err != nil || c.Queued != n {
				t.Errorf("%d are queued for dev%d, want %d, %v", c.Queued, i, n, err)
			}
		}
		if st := b.Stats(); len(st.Dropped) > 0 {
			t.Errorf("dropped %v", st.Dropped)
		}
	}
	absent := func(t *testing.T, b *Broker, n int, filter string) {
		t.Helper()
		for i := range n {
			p := join(t, b, connectOpts{id: fmt.Sprint("dev", i), expiry: 60})
			p.subscribe(1, filter)
			p.leave()
		}
		synctest.Wait()
	}
	t.Run("shared, all away", func(t *testing.T) {
		bubblePipes(t, func(t *testing.T, b *Broker) {
			absent(t, b, 2, "$share/g/t")
			if n := publish(t, b, "t", 25); n != 20 {
				t.Errorf("%d were taken, 20 have room", n)
			}
			queued(t, b, 10, 10)
		}, limit)
	})
	t.Run("shared, one has room", func(t *testing.T) {
		bubblePipes(t, func(t *testing.T, b *Broker) {
			absent(t, b, 2, "$share/g/t")
			p := join(t, b, connectOpts{id: "dev1", expiry: 60, resume: true})
			publish(t, b, "t", 9) // to dev1, who is there
			p.leave()
			synctest.Wait()
			if n := publish(t, b, "t", 25); n != 11 {
				t.Errorf("%d were taken, 11 have room", n)
			}
			queued(t, b, 10, 10)
		}, limit)
	})
	t.Run("after a restart", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := NewMemStore()
			b := open(t, store, limit)
			absent(t, b, 2, "$share/g/t")
			publish(t, b, "t", 15)
			b = open(t, store, limit)
			if n := publish(t, b, "t", 25); n != 5 {
				t.Errorf("%d were taken, 5 have room", n)
			}
			queued(t, b, 10, 10)
		})
	})
	t.Run("full while a handler looks at it", func(t *testing.T) {
		bubblePipes(t, func(t *testing.T, b *Broker) {
			absent(t, b, 1, "#")
			if _, err := b.Subscribe("slow", func(context.Context, string, []byte) error { publish(t, b, "t", 20); return nil }); err != nil {
				t.Fatal(err)
			}
			if n := publish(t, b, "slow", 1); n != 1 {
				t.Errorf("%d were taken: there was room when it came", n)
			}
			queued(t, b, 11) // one above the limit, and none lost
		}, limit)
	})
}
