package shadowdevice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowdevice"
	"github.com/thingloom/thingloom/shadow/shadowmqtt"
)

// A lamp is the state of the devices here. A member that is nil is unknown.
type lamp struct {
	On    *bool          `json:"on,omitempty"`
	Level int            `json:"level,omitempty"`
	Modes map[string]int `json:"modes,omitempty"`
}

// A place is a broker that can be cut from its clients and be restarted, with
// the shadows behind it, which stay.
type place struct {
	t      *testing.T
	svc    *shadow.Service
	mu     sync.Mutex
	broker *broker.Broker
	addr   string
	conns  []net.Conn
	gate   chan struct{} // closed when clients may connect; nil is always
	stop   func()
}

func newPlace(t *testing.T) *place {
	t.Helper()
	svc, err := shadow.New(shadow.NewMemStore(), &shadow.Options{MaxInFlight: -1})
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, svc: svc}
	p.start()
	t.Cleanup(func() { p.stop() })
	return p
}

// start makes a broker that knows nothing of the one before.
func (p *place) start() {
	b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}, DrainTimeout: 10 * time.Millisecond})
	if err != nil {
		p.t.Fatal(err)
	}
	topics, err := shadowmqtt.New(p.svc, b, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { b.Serve(ctx, l) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broker, p.addr = b, l.Addr().String()
	p.stop = func() { cancel(); serving.Wait(); topics.Close() }
}

func (p *place) restart() {
	p.stop()
	p.start()
}

// cut ends all connections.
func (p *place) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func (p *place) dial(ctx context.Context, _ autopaho.ClientConfig, _ *url.URL) (net.Conn, error) {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	p.mu.Lock()
	addr := p.addr
	p.mu.Unlock()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err == nil {
		p.mu.Lock()
		p.conns = append(p.conns, c)
		p.mu.Unlock()
	}
	return c, err
}

// run connects the devices, over one connection, until the test ends.
func run[T any](p *place, devices ...*shadowdevice.Device[T]) {
	p.t.Helper()
	server, err := url.Parse("mqtt://device")
	if err != nil {
		p.t.Fatal(err)
	}
	config := autopaho.ClientConfig{
		ServerUrls: []*url.URL{server}, KeepAlive: 30, CleanStartOnInitialConnection: true, SessionExpiryInterval: 60,
		AttemptConnection: p.dial, ReconnectBackoff: func(int) time.Duration { return 5 * time.Millisecond },
		ClientConfig: paho.ClientConfig{ClientID: "device-" + fmt.Sprint(rand.Uint64()), PacketTimeout: 5 * time.Second},
	}
	for _, d := range devices {
		d.Attach(&config)
	}
	ctx, cancel := context.WithCancel(context.Background())
	connection, err := autopaho.NewConnection(ctx, config)
	if err != nil {
		p.t.Fatal(err)
	}
	var running sync.WaitGroup
	for _, d := range devices {
		running.Go(func() {
			if err := d.Run(ctx, connection); err != nil {
				p.t.Error(err)
			}
		})
	}
	p.t.Cleanup(func() { cancel(); running.Wait(); <-connection.Done() })
}

var quick = &shadowdevice.Options{RetryPause: 5 * time.Millisecond, MaxRetryPause: 50 * time.Millisecond, AnswerTimeout: 2 * time.Second}

// obedient does what is desired.
func obedient(_ context.Context, want lamp, _ json.RawMessage) (lamp, error) { return want, nil }

func newDevice(t *testing.T, ref shadow.Ref, apply shadowdevice.Apply[lamp]) *shadowdevice.Device[lamp] {
	t.Helper()
	d, err := shadowdevice.New(ref, apply, quick)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (p *place) update(ref shadow.Ref, patch string) shadow.Change {
	p.t.Helper()
	c, err := p.svc.Update(p.t.Context(), ref, []byte(patch))
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// await waits until the shadow is as when says.
func (p *place) await(ref shadow.Ref, when shadow.Condition) shadow.Document {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	for doc, err := range p.svc.Watch(ctx, ref, when) {
		if err != nil {
			break
		}
		return doc
	}
	doc, err := p.svc.Get(p.t.Context(), ref)
	p.t.Fatalf("%s never came to be so: %s %s %v", ref, doc.Desired, doc.Reported, err)
	return doc
}

func TestDeltaBecomesReported(t *testing.T) {
	p := newPlace(t)
	classic, named := shadow.Ref{Thing: "lamp"}, shadow.Ref{Thing: "lamp", Name: "night"}
	p.update(classic, `{"state":{"desired":{"on":true,"modes":{"a":1}},"reported":{"firmware":"1.2","modes":{"b":2}}}}`) // before the device
	one, two := newDevice(t, classic, obedient), newDevice(t, named, obedient)
	run(p, one, two)
	doc := p.await(classic, shadow.InSync)
	if !sameJSON(string(doc.Reported), `{"firmware":"1.2","modes":{"b":2,"a":1},"on":true}`) {
		t.Errorf("reported is %s", doc.Reported)
	}
	p.update(named, `{"state":{"desired":{"level":4}}}`) // while it is connected
	if doc := p.await(named, shadow.InSync); !sameJSON(string(doc.Reported), `{"level":4}`) {
		t.Errorf("reported is %s", doc.Reported)
	}
	p.update(classic, `{"state":{"desired":{"on":false,"modes":null}}}`)
	doc = p.await(classic, shadow.FieldIs("/reported/on", "false"))
	if !sameJSON(string(doc.Reported), `{"firmware":"1.2","modes":{"b":2,"a":1},"on":false}`) {
		t.Errorf("reported is %s", doc.Reported)
	}
	// What the device finds out itself; a member that is gone is removed, one
	// that its type does not know is not.
	if err := one.Report(t.Context(), lamp{Level: 7, Modes: map[string]int{"a": 1}}); err != nil {
		t.Fatal(err)
	}
	if doc = p.await(classic, nil); !sameJSON(string(doc.Reported), `{"firmware":"1.2","modes":{"a":1},"level":7,"on":false}`) && !sameJSON(string(doc.Reported), `{"firmware":"1.2","modes":{"a":1},"level":7}`) {
		t.Errorf("reported is %s", doc.Reported)
	}
	if is, ok := one.Is(); !ok || is.Level != 7 {
		t.Errorf("the device is %+v, %v", is, ok)
	}
}

// Desired changes at random while connections are cut and the broker is
// restarted: the device ends up with all of them.
func TestNoDesiredChangeIsLost(t *testing.T) {
	for seed := range uint64(3) {
		p := newPlace(t)
		r := rand.New(rand.NewPCG(seed, 1))
		ref := shadow.Ref{Thing: "lamp", Name: "n"}
		fails := rand.New(rand.NewPCG(seed, 2))
		d := newDevice(t, ref, func(_ context.Context, want lamp, _ json.RawMessage) (lamp, error) {
			if fails.IntN(10) == 0 {
				return lamp{}, errors.New("stuck")
			}
			return want, nil
		})
		run(p, d)
		for n := range 150 {
			switch r.IntN(12) {
			case 0:
				p.cut()
			case 1:
				if n%4 == 0 {
					p.restart()
				}
			case 2:
				time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond) // lets other interleavings happen, decides nothing
			}
			p.update(ref, fmt.Sprintf(`{"state":{"desired":{"level":%d,"modes":{"m%d":%d}}}}`, n+1, r.IntN(5), n))
		}
		doc := p.await(ref, shadow.InSync)
		if is, _ := d.Is(); is.Level != 150 {
			t.Errorf("seed %d: the device is %+v, reported %s", seed, is, doc.Reported)
		}
		t.Logf("seed %d: %+v", seed, d.Stats())
	}
}

// A device that cannot do what is desired is asked once, not forever.
func TestUnfulfilled(t *testing.T) {
	p := newPlace(t)
	ref := shadow.Ref{Thing: "lamp"}
	level := 0
	d := newDevice(t, ref, func(_ context.Context, want lamp, _ json.RawMessage) (lamp, error) {
		level++
		return lamp{Level: level}, nil // never what was asked for
	})
	run(p, d)
	p.update(ref, `{"state":{"desired":{"level":100}}}`)
	p.await(ref, shadow.FieldIs("/reported/level", "1"))
	p.update(ref, `{"state":{"desired":{"level":200}}}`)
	p.await(ref, shadow.FieldIs("/reported/level", "2"))
	// By a round trip on the same connection all that came before is through.
	if _, err := d.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := d.Stats(); s.Applied != 2 || s.Unfulfilled < 1 {
		t.Errorf("stats are %+v", s)
	}
}

func TestUpdateIsOptimistic(t *testing.T) {
	p := newPlace(t)
	ref := shadow.Ref{Thing: "lamp"}
	d := newDevice(t, ref, obedient)
	run(p, d)
	if _, err := d.Get(t.Context()); !errors.Is(err, shadow.ErrNotFound) {
		t.Errorf("Get of nothing: %v", err)
	}
	p.update(ref, `{"state":{"desired":{"on":true}}}`)
	p.await(ref, shadow.InSync)
	calls := 0
	version, err := d.Update(t.Context(), func(s *shadow.State[lamp]) error {
		if calls++; calls == 1 { // somebody comes between
			p.update(ref, `{"state":{"desired":{"level":1}}}`)
			p.await(ref, shadow.InSync)
		}
		s.Desired.Level += 10
		return nil
	})
	if err != nil || calls != 2 {
		t.Fatalf("version %d after %d calls, %v", version, calls, err)
	}
	p.await(ref, shadow.FieldIs("/reported/level", "11"))
	own := errors.New("no")
	if _, err := d.Update(t.Context(), func(*shadow.State[lamp]) error { return own }); err != own {
		t.Errorf("the caller's error came back as %v", err)
	}
	if v, err := d.Update(t.Context(), func(*shadow.State[lamp]) error { return nil }); v != 0 || err != nil {
		t.Errorf("nothing changed: %d, %v", v, err)
	}
}

func TestDeletedAndMadeAnew(t *testing.T) {
	p := newPlace(t)
	ref := shadow.Ref{Thing: "lamp"}
	d := newDevice(t, ref, obedient)
	run(p, d)
	for range 3 {
		p.update(ref, `{"state":{"desired":{"level":5}}}`)
	}
	p.await(ref, shadow.InSync)
	if _, err := p.svc.Delete(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	p.update(ref, `{"state":{"desired":{"level":6}}}`)
	p.await(ref, shadow.FieldIs("/reported/level", "6"))
}

func TestRefusedReport(t *testing.T) {
	p := newPlace(t)
	d := newDevice(t, shadow.Ref{Thing: "lamp"}, obedient)
	run(p, d)
	big := map[string]int{}
	for i := range 2000 {
		big[fmt.Sprint("mode", i)] = i
	}
	if err := d.Report(t.Context(), lamp{Modes: big}); !errors.Is(err, shadow.ErrTooLarge) {
		t.Errorf("a report above the limit: %v", err)
	}
	if err := d.Report(t.Context(), lamp{Level: 1}); err != nil {
		t.Errorf("one below: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	offline := newDevice(t, shadow.Ref{Thing: "other"}, obedient)
	if err := offline.Report(ctx, lamp{}); !errors.Is(err, context.Canceled) {
		t.Errorf("without a connection: %v", err)
	}
	if _, err := shadowdevice.New[lamp](shadow.Ref{Thing: "a b"}, obedient, nil); !errors.Is(err, shadow.ErrInvalidName) {
		t.Errorf("a bad name: %v", err)
	}
}

// sameJSON compares objects whatever the order of their members.
func sameJSON(a, b string) bool {
	patch, err := shadow.Patch(json.RawMessage(a), json.RawMessage(b))
	return err == nil && patch == nil
}
