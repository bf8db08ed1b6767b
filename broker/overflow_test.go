package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
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

// TestSharedMessagesAreHandedOn: what waits in the queue of one member of a shared subscription, at QoS 1, goes to another one when
// its session ends; what came by a subscription of its own does not, nor what it may have had at QoS 2.
func TestSharedMessagesAreHandedOn(t *testing.T) {
	for _, one := range []struct {
		name string
		qos  byte
		own  bool // it has the topic by a plain subscription, too
		end  func(t *testing.T, b *Broker)
		want int
	}{
		{"it begins anew", 1, false, func(t *testing.T, b *Broker) { join(t, b, connectOpts{id: "dev"}).leave() }, 3},
		{"it is ended", 1, false, func(t *testing.T, b *Broker) { _ = b.Disconnect("dev", DisconnectOptions{EndSession: true}) }, 3},
		{"it expires", 1, false, func(t *testing.T, b *Broker) { time.Sleep(2 * time.Minute) }, 3},
		{"QoS 2", 2, false, func(t *testing.T, b *Broker) { join(t, b, connectOpts{id: "dev"}).leave() }, 0},
		{"its own as well", 1, true, func(t *testing.T, b *Broker) { join(t, b, connectOpts{id: "dev"}).leave() }, 0},
	} {
		for _, persistent := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, to one with a session %v", one.name, persistent), func(t *testing.T) {
				bubblePipes(t, func(t *testing.T, b *Broker) {
					ctx, stop := context.WithCancel(t.Context())
					defer func() { stop(); synctest.Wait() }()
					go func() { _ = b.Run(ctx) }()
					p := join(t, b, connectOpts{id: "dev", expiry: 60})
					p.subscribe(one.qos, "$share/g/t/+")
					if one.own {
						p.subscribe(1, "t/#")
					}
					p.leave()
					synctest.Wait()
					for i := range 3 {
						if err := b.PublishMessage(t.Context(), Message{Topic: "t/a", QoS: one.qos, Payload: []byte(fmt.Sprint(i))}); err != nil {
							t.Fatal(err)
						}
					}
					o := connectOpts{id: "heir"}
					if persistent {
						o.expiry = 3600
					}
					heir := join(t, b, o)
					heir.subscribe(one.qos, "$share/g/t/+")
					heir.none()
					one.end(t, b)
					for i := range one.want {
						heir.puback(heir.gets(1, "t/a", fmt.Sprint(i)).id)
					}
					heir.none()
					heir.leave()
					dropped := 3 - one.want
					if one.own {
						dropped = 6
					}
					if n := b.Stats().Dropped[DropSessionEnded]; n != int64(dropped) {
						t.Errorf("%d were dropped, want %d", n, dropped)
					}
				})
			})
		}
	}
}
