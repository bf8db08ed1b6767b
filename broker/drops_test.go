package broker

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDropReasons: a message that does not reach a client is counted once, under the reason for it and no other. Other
// reasons: TestStalledSubscriberStallsNobody, TestQueueLimits, TestExpiryAndAge, TestMaximumPacketSizeOfAClient and those of limits and authorisation.
func TestDropReasons(t *testing.T) {
	absent := func(t *testing.T, b *Broker, filter string) {
		p := join(t, b, connectOpts{id: "dev", expiry: 60})
		p.subscribe(1, filter)
		p.leave()
		synctest.Wait()
	}
	publish := func(t *testing.T, b *Broker, qos byte, n int) {
		t.Helper()
		for range n {
			if err := b.PublishMessage(t.Context(), Message{Topic: "t", QoS: qos, Payload: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name string
		want map[DropReason]int64
		opt  func(*Options)
		play func(t *testing.T, b *Broker)
	}{
		{name: "a hook says no", want: map[DropReason]int64{DropByHook: 3},
			opt: func(o *Options) {
				o.Hooks = &Hooks{OnDeliver: func(id string, _ *Message) bool { return id != "dev" }}
			},
			play: func(t *testing.T, b *Broker) {
				p := join(t, b, connectOpts{id: "dev"})
				p.subscribe(1, "t")
				publish(t, b, 1, 2)
				publish(t, b, 0, 1)
				p.none()
				p.leave()
			}},
		{name: "QoS 0, nobody of the group is there", want: map[DropReason]int64{DropOffline: 2},
			play: func(t *testing.T, b *Broker) {
				absent(t, b, "$share/g/t")
				publish(t, b, 0, 2)
			}},
		{name: "QoS 0 is not for the absent", want: map[DropReason]int64{}, // nothing was due
			play: func(t *testing.T, b *Broker) {
				absent(t, b, "t")
				publish(t, b, 0, 2)
			}},
		{name: "a clean session ends", want: map[DropReason]int64{DropSessionEnded: 2},
			play: func(t *testing.T, b *Broker) {
				p := join(t, b, connectOpts{id: "dev"})
				p.subscribe(1, "t")
				publish(t, b, 1, 3)
				p.puback(p.gets(1, "t", "x").id)
				p.gets(1, "t", "x")
				p.gets(1, "t", "x")
				p.cut()
			}},
		{name: "a clean start ends the stored session", want: map[DropReason]int64{DropSessionEnded: 3},
			play: func(t *testing.T, b *Broker) {
				absent(t, b, "t")
				publish(t, b, 1, 3)
				join(t, b, connectOpts{id: "dev"}).leave()
			}},
		{name: "a stored session expires", want: map[DropReason]int64{DropSessionEnded: 3},
			play: func(t *testing.T, b *Broker) {
				absent(t, b, "t")
				publish(t, b, 1, 3)
				time.Sleep(70 * time.Second)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.opt == nil {
				c.opt = func(*Options) {}
			}
			bubblePipes(t, func(t *testing.T, b *Broker) {
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- b.Run(ctx) }() // what expires does
				c.play(t, b)
				synctest.Wait()
				if got := b.Stats().Dropped; !maps.Equal(got, c.want) {
					t.Errorf("dropped %v, want %v", got, c.want)
				}
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}, c.opt)
		})
	}
}

// TestQueueBytes is TestQueueLimits for MaxQueueBytes. DropOldest takes no more than it needs.
func TestQueueBytes(t *testing.T) {
	payload := func(i int) string { return fmt.Sprintf("%02d", i) + strings.Repeat("x", 5000) }
	size := int64(queuedSize(&Message{Topic: "t", QoS: 1, Payload: []byte(payload(0))}))
	for _, c := range []struct {
		overflow    Overflow
		first, last int // of the messages that come, of 0..34
		dropped     int64
	}{{DropNewest, 0, 9, 25}, {DropOldest, 25, 34, 25}, {RefusePublish, 0, 9, 0}} {
		bubblePipes(t, func(t *testing.T, b *Broker) {
			o := connectOpts{id: "dev", expiry: 3600}
			p := join(t, b, o)
			p.subscribe(1, "t")
			p.leave()
			synctest.Wait()
			for i := range 35 {
				err := b.PublishMessage(t.Context(), Message{Topic: "t", QoS: 1, Payload: []byte(payload(i))})
				if refused := c.overflow == RefusePublish && i > 9; (err != nil) != refused {
					t.Errorf("overflow %d: message %d: %v", c.overflow, i, err)
				}
			}
			if info, err := b.Client("dev"); err != nil || info.Queued != 10 || info.QueuedBytes > 10*size {
				t.Errorf("overflow %d: %d are queued, %d bytes, %v", c.overflow, info.Queued, info.QueuedBytes, err)
			}
			p = dial(t, b)
			p.resumes(o)
			for i := c.first; i <= c.last; i++ {
				p.puback(p.gets(1, "t", payload(i)).id)
			}
			p.none()
			p.leave()
			want := map[DropReason]int64{}
			if c.dropped > 0 {
				want[DropQueueFull] = c.dropped
			}
			if got := b.Stats().Dropped; !maps.Equal(got, want) {
				t.Errorf("overflow %d: dropped %v, want %v", c.overflow, got, want)
			}
		}, func(o *Options) { o.MaxQueueBytes, o.QueueOverflow = 10*size, c.overflow })
	}
}
