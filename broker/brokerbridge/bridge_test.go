package brokerbridge_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerbridge"
	"github.com/thingloom/thingloom/broker/brokerpaho"
	"github.com/thingloom/thingloom/internal/foreign"
)

func newBroker(t *testing.T, store broker.Store) *broker.Broker {
	t.Helper()
	b, err := broker.New(store, &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serve serves b and returns its address.
func serve(t *testing.T, b *broker.Broker) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// mosquitto is a Mosquitto of its own for the test.
func mosquitto(t *testing.T) string {
	t.Helper()
	run, addr := mosquittoOn(t)
	run()
	return addr
}

// mosquittoOn returns where a Mosquitto is to listen, and what starts it there and returns what kills it.
func mosquittoOn(t *testing.T) (run func() (kill func()), addr string) {
	t.Helper()
	program := foreign.Need(t, "mosquitto")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	addr = l.Addr().String()
	l.Close()
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\n", port)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return func() (kill func()) {
		t.Helper()
		cmd := exec.Command(program, "-c", conf)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := func(s os.Signal) func() {
			return func() { _ = cmd.Process.Signal(s); _ = cmd.Wait() }
		}
		t.Cleanup(end(syscall.SIGTERM))
		until(t, "mosquitto to listen", func() bool {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		return end(syscall.SIGKILL)
	}, addr
}

// eachRemote runs test with a bridge's other side being ours and Mosquitto.
func eachRemote(t *testing.T, test func(t *testing.T, remote string)) {
	t.Run("thingloom", func(t *testing.T) { test(t, serve(t, newBroker(t, broker.NewMemStore()))) })
	t.Run("mosquitto", func(t *testing.T) { test(t, mosquitto(t)) })
}

// until waits for something that happens elsewhere.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(30 * time.Second); !done(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

// A link is the way to the remote, which can be cut.
type link struct {
	mu    sync.Mutex
	down  bool
	conns []net.Conn
	addr  string
}

func (l *link) dial(ctx context.Context, _ *url.URL) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errors.New("the link is cut")
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", l.addr)
	if err == nil {
		l.conns = append(l.conns, c)
	}
	return c, err
}

func (l *link) cut(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// bridge runs a bridge from b to remote until stop, or the end of the test.
func bridge(t *testing.T, b *broker.Broker, l *link, o brokerbridge.Options) (br *brokerbridge.Bridge, stop func()) {
	t.Helper()
	o.Dial, o.RetryPause = l.dial, 5*time.Millisecond
	if o.Name == "" {
		o.Name = "t"
	}
	br, err := brokerbridge.New(b, []string{"mqtt://remote"}, &o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- br.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return br, stop
}

// ready waits until both connections are up.
func ready(t *testing.T, br *brokerbridge.Bridge, out bool) {
	t.Helper()
	until(t, "the bridge", func() bool {
		s := br.Stats()
		return s.Connected == 1 && (!out || s.LocalConnected == 1)
	})
}

// A box collects messages as "topic payload".
type box struct {
	mu  sync.Mutex
	got []string
}

func (x *box) put(_ context.Context, topic string, payload []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.got = append(x.got, topic+" "+string(payload))
	return nil
}

func (x *box) all() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.got)
}

// has waits for what is wanted, in this order, and nothing else.
func (x *box) has(t *testing.T, want ...string) {
	t.Helper()
	until(t, fmt.Sprintf("%d messages", len(want)), func() bool { return len(x.all()) >= len(want) })
	if got := x.all(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// there is a client of the remote.
func there(t *testing.T, addr string, filters ...string) (*brokerpaho.Client, *box) {
	t.Helper()
	c, err := brokerpaho.New([]string{"mqtt://" + addr}, &brokerpaho.Options{ClientID: "there"})
	if err != nil {
		t.Fatal(err)
	}
	x := &box{}
	for _, f := range filters {
		if _, err := c.Subscribe(f, x.put); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	check(t, c.Publish(t.Context(), "connected", nil)) // after its subscriptions
	return c, x
}

func here(t *testing.T, b *broker.Broker, filter string) *box {
	t.Helper()
	x := &box{}
	if _, err := b.Subscribe(filter, x.put); err != nil {
		t.Fatal(err)
	}
	return x
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBothDirections(t *testing.T) {
	eachRemote(t, func(t *testing.T, remote string) {
		b := newBroker(t, broker.NewMemStore())
		client, got := there(t, remote, "site/#")
		br, _ := bridge(t, b, &link{addr: remote}, brokerbridge.Options{
			Out: []brokerbridge.Route{{Filter: "up/#", Local: "local/", Remote: "site/"}, {Filter: "plain"}},
			In:  []brokerbridge.Route{{Filter: "down/+", Local: "from/", Remote: "site/"}},
		})
		ready(t, br, true)
		mine := here(t, b, "#")
		for i := range 20 {
			check(t, b.Publish(t.Context(), "local/up/a", []byte(fmt.Sprint(i))))
		}
		check(t, b.Publish(t.Context(), "local/other", nil))
		var want []string
		for i := range 20 {
			want = append(want, fmt.Sprint("site/up/a ", i))
		}
		got.has(t, want...)
		check(t, client.Publish(t.Context(), "site/down/x", []byte("hello")))
		check(t, client.Publish(t.Context(), "site/down/x/y", []byte("does not match")))
		check(t, client.Publish(t.Context(), "site/down/z", []byte("again")))
		until(t, "two messages", func() bool { return br.Stats().In == 2 })
		if all := mine.all(); !slices.Equal(all[len(all)-2:], []string{"from/down/x hello", "from/down/z again"}) {
			t.Errorf("came in: %q", all)
		}
		if s := br.Stats(); s.Out != 20 || s.Refused+s.Looped+s.Unrouted != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestNoLoop bridges the same topics both ways: nothing comes back.
func TestNoLoop(t *testing.T) {
	eachRemote(t, func(t *testing.T, remote string) {
		b := newBroker(t, broker.NewMemStore())
		client, got := there(t, remote, "a/#", "end")
		both := []brokerbridge.Route{{Filter: "a/#"}}
		br, _ := bridge(t, b, &link{addr: remote}, brokerbridge.Options{Out: append(both, brokerbridge.Route{Filter: "end"}), In: both})
		ready(t, br, true)
		mine := here(t, b, "a/#")
		check(t, b.Publish(t.Context(), "a/1", []byte("ours")))
		until(t, "it to be there", func() bool { return len(got.all()) == 1 })
		check(t, client.Publish(t.Context(), "a/2", []byte("theirs")))
		mine.has(t, "a/1 ours", "a/2 theirs")
		check(t, b.Publish(t.Context(), "end", nil))
		until(t, "the end", func() bool { return slices.Contains(got.all(), "end ") })
		if all := got.all(); !slices.Equal(all, []string{"a/1 ours", "a/2 theirs", "end "}) {
			t.Errorf("there: %q", all)
		}
		if s := br.Stats(); s.Out != 2 || s.In != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestRing sends a message round three brokers, each bridged to the next.
func TestRing(t *testing.T) {
	var brokers []*broker.Broker
	for range 3 {
		brokers = append(brokers, newBroker(t, broker.NewMemStore()))
	}
	var bridges []*brokerbridge.Bridge
	for i, b := range brokers {
		br, _ := bridge(t, b, &link{addr: serve(t, brokers[(i+1)%3])}, brokerbridge.Options{Name: fmt.Sprint("b", i), Out: []brokerbridge.Route{{Filter: "#"}}})
		bridges = append(bridges, br)
		ready(t, br, true)
	}
	check(t, brokers[0].Publish(t.Context(), "x", []byte("round")))
	until(t, "the ring to be closed", func() bool { return bridges[0].Stats().Looped == 1 })
	for i, br := range bridges {
		if s := br.Stats(); s.Out != 1 {
			t.Errorf("bridge %d: %+v", i, s)
		}
	}
}

func TestMaxHops(t *testing.T) {
	b := newBroker(t, broker.NewMemStore())
	remote := newBroker(t, broker.NewMemStore())
	br, _ := bridge(t, b, &link{addr: serve(t, remote)}, brokerbridge.Options{Out: []brokerbridge.Route{{Filter: "x"}}, MaxHops: 2})
	ready(t, br, true)
	for _, path := range []string{"a b", "a"} {
		check(t, b.PublishMessage(t.Context(), broker.Message{Topic: "x", QoS: 1, Properties: broker.Properties{
			User: []broker.UserProperty{{Name: brokerbridge.PathProperty, Value: path}}}}))
	}
	until(t, "both", func() bool { s := br.Stats(); return s.Looped == 1 && s.Out == 1 })
}

// TestQueueSurvives publishes while the link is down, stops bridge and broker, and starts both
// again on the same store.
func TestQueueSurvives(t *testing.T) {
	eachRemote(t, func(t *testing.T, remote string) {
		store := broker.NewMemStore()
		b := newBroker(t, store)
		l := &link{addr: remote}
		o := brokerbridge.Options{Out: []brokerbridge.Route{{Filter: "q/#"}}}
		_, got := there(t, remote, "q/#")
		br, stop := bridge(t, b, l, o)
		ready(t, br, true)
		check(t, b.Publish(t.Context(), "q/t", []byte("0")))
		got.has(t, "q/t 0")
		l.cut(true)
		want := []string{"q/t 0"}
		for i := 1; i <= 300; i++ { // more than is under way at once
			check(t, b.Publish(t.Context(), "q/t", []byte(fmt.Sprint(i))))
			want = append(want, fmt.Sprint("q/t ", i))
		}
		stop()
		check(t, b.Publish(t.Context(), "q/t", []byte("while the bridge was away")))
		want = append(want, "q/t while the bridge was away")
		l.cut(false)
		b = newBroker(t, store)
		br, _ = bridge(t, b, l, o)
		until(t, "the queue", func() bool { return br.Stats().Out == 301 })
		got.has(t, want...)
	})
}

// TestIncomingQueueSurvives has the remote keep messages for the bridge.
func TestIncomingQueueSurvives(t *testing.T) {
	eachRemote(t, func(t *testing.T, remote string) {
		b := newBroker(t, broker.NewMemStore())
		l := &link{addr: remote}
		o := brokerbridge.Options{In: []brokerbridge.Route{{Filter: "q"}}}
		client, _ := there(t, remote)
		mine := here(t, b, "q")
		br, stop := bridge(t, b, l, o)
		ready(t, br, false)
		probe := 0
		until(t, "the subscription", func() bool {
			probe++
			check(t, client.Publish(t.Context(), "q", []byte("probe")))
			return len(mine.all()) > 0
		})
		until(t, "all probes that came", func() bool { return br.Stats().In == int64(len(mine.all())) })
		stop()
		for i := range 10 {
			check(t, client.Publish(t.Context(), "q", []byte(fmt.Sprint(i))))
		}
		bridge(t, b, l, o)
		until(t, "the last one", func() bool { return slices.Contains(mine.all(), "q 9") })
		all := slices.DeleteFunc(mine.all(), func(s string) bool { return s == "q probe" })
		if len(all) != 10 || all[0] != "q 0" {
			t.Errorf("got %q", all)
		}
	})
}

// TestLossesOnTheWay cuts the link again and again: all arrives at least once, and in order of first arrival.
func TestLossesOnTheWay(t *testing.T) {
	eachRemote(t, func(t *testing.T, remote string) {
		b := newBroker(t, broker.NewMemStore())
		l := &link{addr: remote}
		_, got := there(t, remote, "x")
		br, _ := bridge(t, b, l, brokerbridge.Options{Out: []brokerbridge.Route{{Filter: "x"}}, PublishTimeout: 2 * time.Second})
		ready(t, br, true)
		for i := range 200 {
			check(t, b.Publish(t.Context(), "x", []byte(fmt.Sprint(i))))
			if i%50 == 25 {
				l.cut(false)
			}
		}
		until(t, "the last", func() bool { return slices.Contains(got.all(), "x 199") })
		next := 0
		for _, m := range got.all() {
			if m == fmt.Sprint("x ", next) {
				next++
			}
		}
		if next != 200 {
			t.Errorf("%d messages in order, want 200", next)
		}
	})
}

func TestRetainedAndProperties(t *testing.T) {
	b, remote := newBroker(t, broker.NewMemStore()), newBroker(t, broker.NewMemStore())
	format := byte(1)
	props := broker.Properties{PayloadFormat: &format, Expiry: time.Minute, ContentType: "text", ResponseTopic: "r", CorrelationData: []byte("c"),
		User: []broker.UserProperty{{Name: "k", Value: "v"}}}
	check(t, b.PublishMessage(t.Context(), broker.Message{Topic: "out/kept", QoS: 1, Retain: true, Payload: []byte("before"), Properties: props}))
	check(t, remote.PublishMessage(t.Context(), broker.Message{Topic: "in/kept", QoS: 1, Retain: true, Payload: []byte("there before"), Properties: props}))
	br, _ := bridge(t, b, &link{addr: serve(t, remote)}, brokerbridge.Options{Out: []brokerbridge.Route{{Filter: "out/#"}}, In: []brokerbridge.Route{{Filter: "in/#"}}})
	until(t, "both", func() bool { s := br.Stats(); return s.Out == 1 && s.In == 1 })
	for what, side := range map[string]struct {
		b     *broker.Broker
		topic string
		path  string
	}{"out": {remote, "out/kept", "t"}, "in": {b, "in/kept", ""}} {
		n := 0
		for m, err := range side.b.Retained(t.Context(), side.topic) {
			check(t, err)
			n++
			p := m.Properties
			user := []broker.UserProperty{{Name: "k", Value: "v"}}
			if side.path != "" {
				user = append(user, broker.UserProperty{Name: brokerbridge.PathProperty, Value: side.path})
			}
			if !strings.HasSuffix(string(m.Payload), "before") || *p.PayloadFormat != 1 || p.Expiry <= 50*time.Second || p.ContentType != "text" ||
				p.ResponseTopic != "r" || string(p.CorrelationData) != "c" || !slices.Equal(p.User, user) {
				t.Errorf("%s: %+v", what, m)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d retained messages", what, n)
		}
	}
	check(t, b.PublishMessage(t.Context(), broker.Message{Topic: "out/kept", QoS: 1, Retain: true}))
	until(t, "it to be cleared", func() bool {
		for range remote.Retained(t.Context(), "out/kept") {
			return false
		}
		return true
	})
}

// forbidding is an Authorizer of the remote that forbids one topic.
type forbidding struct{}

func (forbidding) Authorize(_ context.Context, a broker.Access) error {
	if a.Resource == "topic/x/forbidden" {
		return broker.ErrNotAuthorized
	}
	return nil
}

// TestRefusedIsDropped shows that what the other side forbids stops nothing behind it.
func TestRefusedIsDropped(t *testing.T) {
	remote, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: forbidding{}})
	check(t, err)
	got := here(t, remote, "x/#")
	b := newBroker(t, broker.NewMemStore())
	br, _ := bridge(t, b, &link{addr: serve(t, remote)}, brokerbridge.Options{Out: []brokerbridge.Route{{Filter: "x/#"}}})
	ready(t, br, true)
	for _, name := range []string{"x/forbidden", "x/fine"} {
		check(t, b.Publish(t.Context(), name, nil))
	}
	got.has(t, "x/fine ")
	until(t, "the count", func() bool { return br.Stats().Refused == 1 })
}

// TestOldRoutesGo changes the configuration of a bridge whose session was kept.
func TestOldRoutesGo(t *testing.T) {
	store := broker.NewMemStore()
	b := newBroker(t, store)
	l := &link{addr: serve(t, newBroker(t, broker.NewMemStore()))}
	br, stop := bridge(t, b, l, brokerbridge.Options{Out: []brokerbridge.Route{{Filter: "old"}, {Filter: "kept"}}})
	ready(t, br, true)
	stop()
	check(t, b.Publish(t.Context(), "old", nil))
	br, _ = bridge(t, b, l, brokerbridge.Options{Out: []brokerbridge.Route{{Filter: "kept"}, {Filter: "new"}}})
	until(t, "the old message to be dropped", func() bool { return br.Stats().Unrouted == 1 })
	ready(t, br, true)
	subs, err := b.Subscriptions("bridge-t")
	check(t, err)
	if len(subs) != 2 || subs[0].Filter != "kept" || subs[1].Filter != "new" {
		t.Errorf("subscriptions %+v", subs)
	}
}

// TestLocalNeedsNoRights has a broker that admits nobody.
func TestLocalNeedsNoRights(t *testing.T) {
	b, err := broker.New(broker.NewMemStore(), nil)
	check(t, err)
	remote := newBroker(t, broker.NewMemStore())
	got := here(t, remote, "x")
	br, _ := bridge(t, b, &link{addr: serve(t, remote)}, brokerbridge.Options{Out: []brokerbridge.Route{{Filter: "x"}}})
	ready(t, br, true)
	check(t, b.Publish(t.Context(), "x", nil))
	got.has(t, "x ")
}

func TestOptionsAreChecked(t *testing.T) {
	b := newBroker(t, broker.NewMemStore())
	ok := []brokerbridge.Route{{Filter: "a"}}
	for what, test := range map[string]struct {
		servers []string
		o       *brokerbridge.Options
		want    string
	}{
		"no options":       {[]string{"mqtt://x"}, nil, "no route"},
		"no name":          {[]string{"mqtt://x"}, &brokerbridge.Options{Out: ok}, "name"},
		"a bad name":       {[]string{"mqtt://x"}, &brokerbridge.Options{Name: "a/b", Out: ok}, "name"},
		"no server":        {nil, &brokerbridge.Options{Name: "n", Out: ok}, "server"},
		"a bad scheme":     {[]string{"http://x"}, &brokerbridge.Options{Name: "n", Out: ok}, "scheme"},
		"a bad filter":     {[]string{"mqtt://x"}, &brokerbridge.Options{Name: "n", In: []brokerbridge.Route{{Filter: "a/#/b"}}}, "In[0]"},
		"shared":           {[]string{"mqtt://x"}, &brokerbridge.Options{Name: "n", In: []brokerbridge.Route{{Filter: "$share/g/a"}}}, "shared"},
		"overlap":          {[]string{"mqtt://x"}, &brokerbridge.Options{Name: "n", In: []brokerbridge.Route{{Filter: "a/+"}, {Filter: "+/b"}}}, "overlap"},
		"overlap of ours":  {[]string{"mqtt://x"}, &brokerbridge.Options{Name: "n", Out: []brokerbridge.Route{{Filter: "a", Remote: "x/"}, {Filter: "a", Remote: "y/"}}}, "overlap"},
		"wildcard prefix":  {[]string{"mqtt://x"}, &brokerbridge.Options{Name: "n", Out: []brokerbridge.Route{{Filter: "a", Local: "+/"}}}, "wildcards"},
		"QoS 3":            {[]string{"mqtt://x"}, &brokerbridge.Options{Name: "n", Out: []brokerbridge.Route{{Filter: "a", QoS: 3}}}, "QoS"},
		"too many":         {[]string{"mqtt://x"}, &brokerbridge.Options{Name: "n", Out: ok, Inflight: 1 << 17}, "Inflight"},
		"a negative pause": {[]string{"mqtt://x"}, &brokerbridge.Options{Name: "n", Out: ok, RetryPause: -1}, "RetryPause"},
	} {
		if _, err := brokerbridge.New(b, test.servers, test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want something about %q", what, err, test.want)
		}
	}
}
