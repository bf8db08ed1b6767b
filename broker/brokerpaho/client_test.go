package brokerpaho_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingloom/thingloom/broker/brokerpaho"
)

// A peer is a broker under test.
type peer struct {
	name string
	dial func(ctx context.Context) (net.Conn, error)
}

// eachPeer runs test against our broker and against Mosquitto.
func eachPeer(t *testing.T, test func(t *testing.T, p *peer)) {
	for name, start := range map[string]func(*testing.T) *peer{"thingloom": startOurs, "mosquitto": startMosquitto} {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
}

// A wire is a client's way to its peer, which can be cut.
type wire struct {
	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func (w *wire) cut(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

var errDown = errors.New("the wire is cut")

// client is a running Client of p. It ends with the test, or when stop is called.
func client(t *testing.T, p *peer, opts brokerpaho.Options) (c *brokerpaho.Client, w *wire, stop func()) {
	t.Helper()
	w = &wire{}
	opts.Dial = func(ctx context.Context, _ *url.URL) (net.Conn, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.down {
			return nil, errDown
		}
		conn, err := p.dial(ctx)
		if err == nil {
			w.conns = append(w.conns, conn)
		}
		return conn, err
	}
	if opts.ReconnectPause == nil {
		opts.ReconnectPause = func(attempt int) time.Duration { return min(time.Duration(attempt), 1) * 10 * time.Millisecond }
	}
	c, err := brokerpaho.New([]string{"mqtt://peer:1883"}, &opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return c, w, stop
}

// A log is what handlers saw.
type log struct {
	mu   sync.Mutex
	seen []string
	more chan struct{}
}

func newLog() *log { return &log{more: make(chan struct{}, 1)} }

func (l *log) add(_ context.Context, topic string, payload []byte) error {
	l.mu.Lock()
	l.seen = append(l.seen, topic+"="+string(payload))
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return nil
}

// wait returns what was seen once ok says that it is enough.
func (l *log) wait(t *testing.T, ok func(seen []string) bool) []string {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		l.mu.Lock()
		seen := slices.Clone(l.seen)
		l.mu.Unlock()
		if ok(seen) {
			return seen
		}
		select {
		case <-l.more:
		case <-limit:
			t.Fatalf("not enough was seen: %q", seen)
		}
	}
}

func (l *log) waitN(t *testing.T, n int) []string {
	t.Helper()
	return l.wait(t, func(seen []string) bool { return len(seen) >= n })
}

func endsWith(want []string) func([]string) bool {
	return func(seen []string) bool { return slices.Contains(seen, want[len(want)-1]) }
}

func publish(t *testing.T, c *brokerpaho.Client, topic, payload string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Publish(ctx, topic, []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

func TestPublishSubscribe(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer) {
		c, _, _ := client(t, p, brokerpaho.Options{})
		publish(t, c, "first/x", "waits for the connection")
		all, some := newLog(), newLog()
		for filter, l := range map[string]*log{"a/#": all, "a/+/c": some} {
			if _, err := c.Subscribe(filter, l.add); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		for i := range 300 { // above ReceiveMaximum
			topic := "a/b/c"
			if i%3 == 0 {
				topic = "a/d"
			}
			publish(t, c, topic, fmt.Sprint(i))
			want = append(want, fmt.Sprint(topic, "=", i))
		}
		// Mosquitto sends a copy for each subscription.
		if got := all.wait(t, endsWith(want)); !slices.Equal(slices.Compact(got), want) {
			t.Errorf("a/# saw %d messages: %.200q, want %d", len(got), got, len(want))
		}
		want = slices.DeleteFunc(want, func(s string) bool { return strings.HasPrefix(s, "a/d") })
		if got := some.wait(t, endsWith(want)); !slices.Equal(slices.Compact(got), want) {
			t.Errorf("a/+/c saw %d messages: %.200q, want %d", len(got), got, len(want))
		}
		s := c.Stats()
		if !s.Connected || s.Connects != 1 || s.Published != 301 || s.Dropped != 0 || s.Failed != 0 {
			t.Errorf("stats are %+v", s)
		}
	})
}

func TestCancel(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer) {
		c, _, _ := client(t, p, brokerpaho.Options{})
		one, other := newLog(), newLog()
		cancelOne, err := c.Subscribe("t", one.add)
		if err != nil {
			t.Fatal(err)
		}
		cancelOther, err := c.Subscribe("t", other.add)
		if err != nil {
			t.Fatal(err)
		}
		publish(t, c, "t", "1")
		one.waitN(t, 1)
		other.waitN(t, 1)
		cancelOne()
		cancelOne()
		publish(t, c, "t", "2")
		other.waitN(t, 2)
		cancelOther()
		again := newLog() // an UNSUBSCRIBE may be under way
		if _, err := c.Subscribe("t", again.add); err != nil {
			t.Fatal(err)
		}
		publish(t, c, "t", "3")
		if got := again.waitN(t, 1); got[0] != "t=3" {
			t.Errorf("the new handler saw %q", got)
		}
		if got := one.waitN(t, 1); len(got) != 1 {
			t.Errorf("the cancelled handler saw %q", got)
		}
	})
}

func TestReconnect(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer) {
		c, w, _ := client(t, p, brokerpaho.Options{ClientID: "c"})
		l := newLog()
		if _, err := c.Subscribe("t/#", l.add); err != nil {
			t.Fatal(err)
		}
		publish(t, c, "t/1", "before")
		l.waitN(t, 1)
		other, _, _ := client(t, p, brokerpaho.Options{})
		w.cut(true)
		publish(t, other, "t/2", "away") // the server keeps it
		w.cut(false)
		publish(t, c, "t/3", "after")
		l.wait(t, func(seen []string) bool {
			return slices.Contains(seen, "t/2=away") && slices.Contains(seen, "t/3=after")
		})
		if s := c.Stats(); s.Connects < 2 {
			t.Errorf("stats are %+v, want two connects", s)
		}
	})
}

// TestRedelivery ends a client whose handler has not succeeded: the message
// must come again to the next one.
func TestRedelivery(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer) {
		opts := brokerpaho.Options{ClientID: "c", DrainTimeout: time.Millisecond}
		c, w, _ := client(t, p, opts)
		entered, leave := make(chan struct{}), make(chan struct{})
		if _, err := c.Subscribe("t", func(ctx context.Context, _ string, _ []byte) error {
			close(entered)
			<-leave
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		publish(t, c, "t", "once")
		<-entered
		w.cut(true) // as a crash would
		l := newLog()
		next, _, _ := client(t, p, opts)
		if _, err := next.Subscribe("t", l.add); err != nil {
			t.Fatal(err)
		}
		if got := l.waitN(t, 1); got[0] != "t=once" {
			t.Errorf("the next client saw %q", got)
		}
		close(leave)
	})
}

func TestFailingHandler(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer) {
		c, _, _ := client(t, p, brokerpaho.Options{Attempts: 3, RetryPause: time.Millisecond})
		l := newLog()
		if _, err := c.Subscribe("t", func(ctx context.Context, topic string, payload []byte) error {
			l.add(ctx, topic, payload)
			if string(payload) == "panic" {
				panic("no")
			}
			return errors.New("no")
		}); err != nil {
			t.Fatal(err)
		}
		publish(t, c, "t", "bad")
		publish(t, c, "t", "panic")
		publish(t, c, "t", "bad")
		want := []string{"t=bad", "t=bad", "t=bad", "t=panic", "t=panic", "t=panic", "t=bad", "t=bad", "t=bad"}
		if got := l.waitN(t, 9); !slices.Equal(got, want) {
			t.Errorf("the handler saw %q, want %q", got, want)
		}
	})
}

func TestDrain(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer) {
		c, _, stop := client(t, p, brokerpaho.Options{ClientID: "c"})
		l := newLog()
		gate := make(chan struct{})
		if _, err := c.Subscribe("t", func(ctx context.Context, topic string, payload []byte) error {
			<-gate
			return l.add(ctx, topic, payload)
		}); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			publish(t, c, "t", fmt.Sprint(i))
		}
		close(gate)
		stop()
		s := c.Stats()
		if s.Handled+s.LeftBehind != s.Received || int(s.Handled) != len(l.seen) {
			t.Errorf("stats are %+v, and the handler saw %d", s, len(l.seen))
		}
		// The rest is with the server.
		next, _, _ := client(t, p, brokerpaho.Options{ClientID: "c"})
		if _, err := next.Subscribe("t", l.add); err != nil {
			t.Fatal(err)
		}
		l.wait(t, func(seen []string) bool {
			for i := range 20 {
				if !slices.Contains(seen, fmt.Sprint("t=", i)) {
					return false
				}
			}
			return true
		})
		if err := c.Publish(t.Context(), "t", nil); !errors.Is(err, brokerpaho.ErrClosed) {
			t.Errorf("Publish after Run gives %v, want ErrClosed", err)
		}
		if _, err := c.Subscribe("t", l.add); !errors.Is(err, brokerpaho.ErrClosed) {
			t.Errorf("Subscribe after Run gives %v, want ErrClosed", err)
		}
		if err := c.Run(t.Context()); err == nil {
			t.Error("a second Run gives no error")
		}
	})
}

func TestShared(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer) {
		l := newLog()
		var pub *brokerpaho.Client
		for range 3 {
			c, _, _ := client(t, p, brokerpaho.Options{})
			publish(t, c, "wake", "") // connected
			if _, err := c.Subscribe("$share/g/t/+", l.add); err != nil {
				t.Fatal(err)
			}
			pub = c
		}
		var want []string
		for i := range 30 {
			publish(t, pub, "t/x", fmt.Sprint(i))
			want = append(want, fmt.Sprint("t/x=", i))
		}
		got := slices.Sorted(slices.Values(l.waitN(t, 30)))
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("the group saw %q, want %q", got, want)
		}
	})
}

// TestOverlap has handlers whose filters overlap: each sees each message once, whether the server sends one
// copy or several.
func TestOverlap(t *testing.T) {
	eachPeer(t, func(t *testing.T, p *peer) {
		c, w, _ := client(t, p, brokerpaho.Options{ClientID: "overlap"})
		publish(t, c, "wake", "")
		logs := map[string]*log{}
		for _, filter := range []string{"t/#", "t/+", "t/x", "$share/g/t/+"} {
			logs[filter] = newLog()
			if _, err := c.Subscribe(filter, logs[filter].add); err != nil {
				t.Fatal(err)
			}
		}
		for round, messages := range []int{30, 20} {
			mine := fmt.Sprint("=", round, ":") // what was under way when the connection was cut may come again
			of := func(seen []string) (own []string) {
				for _, m := range seen {
					if strings.Contains(m, mine) {
						own = append(own, m)
					}
				}
				return own
			}
			var want []string
			for i := range messages {
				publish(t, c, "t/x", fmt.Sprint(round, ":", i))
				want = append(want, fmt.Sprint("t/x", mine, i))
			}
			publish(t, c, "t/end", fmt.Sprint(round, ":end"))
			want = append(want, "t/end"+mine+"end")
			for filter, l := range logs {
				expected := want
				if filter == "t/x" {
					expected = want[:messages]
				}
				got := of(l.wait(t, func(seen []string) bool { return len(of(seen)) >= len(expected) }))
				if !slices.Equal(got, expected) {
					t.Errorf("round %d, %s: saw %q\nwant %q", round, filter, got, expected)
				}
			}
			w.cut(false)
			publish(t, c, "wake", "") // after the subscriptions
		}
	})
}

func TestErrors(t *testing.T) {
	c, err := brokerpaho.New([]string{"mqtt://127.0.0.1:1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(t.Context(), "a/+", nil); !errors.Is(err, brokerpaho.ErrTopic) {
		t.Errorf("Publish to a filter gives %v, want ErrTopic", err)
	}
	for _, filter := range []string{"", "a/#/b", "$share/g", "$share//t"} {
		if _, err := c.Subscribe(filter, newLog().add); !errors.Is(err, brokerpaho.ErrTopic) {
			t.Errorf("Subscribe to %q gives %v, want ErrTopic", filter, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Publish(ctx, "a", nil); !errors.Is(err, brokerpaho.ErrNotConnected) || !errors.Is(err, context.Canceled) {
		t.Errorf("Publish before Run gives %v, want ErrNotConnected and context.Canceled", err)
	}
	if s := c.Stats(); s.PublishErrors != 1 {
		t.Errorf("stats are %+v", s)
	}
	for _, servers := range [][]string{nil, {"http://x"}, {"mqtt://"}, {"mqtt://%zz"}} {
		if _, err := brokerpaho.New(servers, nil); err == nil {
			t.Errorf("New(%q) gives no error", servers)
		}
	}
	_, err = brokerpaho.New([]string{"mqtt://x"}, &brokerpaho.Options{ReceiveMaximum: 70000, KeepAlive: time.Millisecond, Workers: -1})
	for _, name := range []string{"ReceiveMaximum", "KeepAlive", "Workers"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("New gives %v, want an error that names %s", err, name)
		}
	}
}
