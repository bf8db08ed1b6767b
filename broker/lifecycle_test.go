package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// events collects what a broker publishes of its clients, and their wills.
type events struct {
	presence []presenceEvent
	wills    int
}

func (e *events) watch(t *testing.T, b *Broker) {
	t.Helper()
	for filter, h := range map[string]func(payload []byte) error{
		"$aws/events/presence/#": func(payload []byte) error {
			var one presenceEvent
			if err := json.Unmarshal(payload, &one); err != nil {
				return err
			}
			e.presence = append(e.presence, one)
			return nil
		},
		"w": func([]byte) error { e.wills++; return nil },
	} {
		if _, err := b.Subscribe(filter, func(_ context.Context, _ string, payload []byte) error { return h(payload) }); err != nil {
			t.Fatal(err)
		}
	}
}

// A lasting connection has a lifetime, and one that is closed by a frame, as that of a WebSocket is.
type lasting struct {
	net.Conn
	lifetime time.Duration
	framed   bool
}

func (l *lasting) Lifetime() time.Duration { return l.lifetime }
func (l *lasting) PeerClosed() bool        { return l.framed }

func dialLasting(t *testing.T, b *Broker, l *lasting) *peer {
	ours, theirs := net.Pipe()
	l.Conn = theirs
	p := &peer{t: t, nc: ours, v: 5, done: make(chan error, 1)}
	go func() { p.done <- b.ServeConn(context.Background(), l) }()
	return p
}

// TestDisconnectReasons makes each cause that there is for the end of a connection, and looks at the event that tells of it,
// at the will, and at what an MQTT 5 client is told.
func TestDisconnectReasons(t *testing.T) {
	book := &rulebook{}
	store := &failing{Store: NewMemStore()}
	goodbye := func(code byte) func(*peer) {
		return func(p *peer) { p.write(frame(0xE0, []byte{code}, section())) }
	}
	for _, one := range []struct {
		cause    string
		o        connectOpts
		opts     func(*Options)
		dial     func(t *testing.T, b *Broker) *peer
		happens  func(*peer)
		asks     func(b *Broker) // the application
		reason   DisconnectReason
		code     byte // told an MQTT 5 client
		noWill   bool
		byClient bool
	}{
		{cause: "DISCONNECT", happens: func(p *peer) { p.write([]byte{0xE0, 0}) }, reason: "CLIENT_INITIATED_DISCONNECT", noWill: true, byClient: true},
		{cause: "DISCONNECT, 3.1.1", o: connectOpts{v: 4}, happens: func(p *peer) { p.write([]byte{0xE0, 0}) }, reason: "CLIENT_INITIATED_DISCONNECT", noWill: true, byClient: true},
		{cause: "DISCONNECT 0x00 with properties", happens: goodbye(0), reason: "CLIENT_INITIATED_DISCONNECT", noWill: true, byClient: true},
		{cause: "DISCONNECT 0x04, with will", happens: goodbye(4), reason: "CLIENT_INITIATED_DISCONNECT", byClient: true},
		{cause: "DISCONNECT 0x80, unspecified error", happens: goodbye(0x80), reason: "CLIENT_INITIATED_DISCONNECT", byClient: true},
		{cause: "DISCONNECT 0x81, malformed packet", happens: goodbye(0x81), reason: "CLIENT_INITIATED_DISCONNECT", byClient: true},
		{cause: "DISCONNECT 0x83, implementation specific", happens: goodbye(0x83), reason: "CLIENT_INITIATED_DISCONNECT", byClient: true},
		{cause: "close frame", dial: func(t *testing.T, b *Broker) *peer { return dialLasting(t, b, &lasting{framed: true}) },
			happens: func(p *peer) { _ = p.nc.Close() }, reason: "CLIENT_INITIATED_DISCONNECT", byClient: true},
		{cause: "close frame, as AWS has it", dial: func(t *testing.T, b *Broker) *peer { return dialLasting(t, b, &lasting{framed: true}) },
			opts:    func(o *Options) { o.CloseFrameDiscardsWill = true },
			happens: func(p *peer) { _ = p.nc.Close() }, reason: "CLIENT_INITIATED_DISCONNECT", noWill: true, byClient: true},
		{cause: "publish that is not allowed, 3.1.1", o: connectOpts{v: 4}, happens: func(p *peer) { p.write(p.publishFrame(2, 1, "forbidden", "")) }, reason: "AUTH_ERROR"},
		{cause: "publish that is not allowed, at QoS 0", happens: func(p *peer) { p.write(p.publishFrame(0, 0, "forbidden", "")) }, reason: "AUTH_ERROR", code: 0x87},
		{cause: "principal that has ended", o: connectOpts{user: "cert"}, asks: func(b *Broker) { b.DisconnectPrincipal("cert") }, reason: "AUTH_ERROR", code: 0x87},
		{cause: "second CONNECT", happens: func(p *peer) { p.write(connectFrame(connectOpts{id: "dev"})) }, reason: "CLIENT_ERROR", code: 0x82},
		{cause: "malformed packet", happens: func(p *peer) { p.write([]byte{0x82, 1, 0}) }, reason: "CLIENT_ERROR", code: 0x81},
		{cause: "payload too large", opts: func(o *Options) { o.MaxPayloadBytes = 4 }, happens: func(p *peer) { p.write(p.publishFrame(0, 0, "a", "12345")) }, reason: "CLIENT_ERROR", code: 0x95},
		{cause: "socket cut", happens: func(p *peer) { _ = p.nc.Close() }, reason: "CONNECTION_LOST"},
		{cause: "socket cut in a packet", happens: func(p *peer) { p.write([]byte{0x30, 9}); _ = p.nc.Close() }, reason: "CONNECTION_LOST"},
		{cause: "address that is denied", asks: func(b *Broker) { _ = b.Kick("dev", ForbiddenAccess) }, reason: "FORBIDDEN_ACCESS", code: 0x87},
		{cause: "silence", o: connectOpts{keepAlive: 10}, happens: func(*peer) { time.Sleep(17 * time.Second) }, reason: "MQTT_KEEP_ALIVE_TIMEOUT", code: 0x8D},
		{cause: "store that fails, 3.1.1", o: connectOpts{v: 4}, happens: func(p *peer) {
			store.set("retain")
			p.write(p.publishFrame(3, 1, "a", "x"))
		}, reason: "SERVER_ERROR"},
		{cause: "API", asks: func(b *Broker) { _ = b.Kick("dev", "") }, reason: "API_INITIATED_DISCONNECT", code: 0x98},
		{cause: "API, without will", asks: func(b *Broker) { _ = b.Disconnect("dev", DisconnectOptions{NoWill: true}) }, reason: "API_INITIATED_DISCONNECT", code: 0x98, noWill: true},
		{cause: "API, with the session", o: connectOpts{expiry: 100}, asks: func(b *Broker) { _ = b.Disconnect("dev", DisconnectOptions{EndSession: true}) }, reason: "API_INITIATED_DISCONNECT", code: 0x98},
		{cause: "client that acknowledges nothing", opts: func(o *Options) { o.MaxPendingBytes = 100; o.MaxInflight = 1 }, happens: func(p *peer) {
			p.write(frame(0x82, u16(1), section(), str("a"), []byte{1}))
			p.write([]byte{0xC0, 0}) // is read once that is dealt with
		}, asks: func(b *Broker) {
			for range 20 {
				_ = b.Publish(context.Background(), "a", []byte("0123456789"))
			}
		}, reason: "THROTTLED", code: 0x97},
		{cause: "WebSocket that has lasted", dial: func(t *testing.T, b *Broker) *peer { return dialLasting(t, b, &lasting{lifetime: 10 * time.Second}) },
			happens: func(*peer) { time.Sleep(15 * time.Second) }, reason: "WEBSOCKET_TTL_EXPIRATION", code: 0xA0},
		{cause: "custom authorization that has lasted", opts: func(o *Options) { o.Authenticator = admitFor(10 * time.Second) },
			happens: func(*peer) { time.Sleep(15 * time.Second) }, reason: "CUSTOMAUTH_TTL_EXPIRATION", code: 0xA0},
		{cause: "the sooner of the two", opts: func(o *Options) { o.Authenticator = admitFor(10 * time.Second) },
			dial:    func(t *testing.T, b *Broker) *peer { return dialLasting(t, b, &lasting{lifetime: time.Hour}) },
			happens: func(*peer) { time.Sleep(15 * time.Second) }, reason: "CUSTOMAUTH_TTL_EXPIRATION", code: 0xA0},
	} {
		t.Run(one.cause, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var e events
				book.set("dev iot:Publish topic/forbidden", fmt.Errorf("policy: %w", ErrNotAuthorized))
				store.set("")
				b := open(t, store, func(o *Options) {
					o.LifecycleEvents, o.Authorizer = true, book
					if one.opts != nil {
						one.opts(o)
					}
				})
				e.watch(t, b)
				var p *peer
				if one.dial != nil {
					p = one.dial(t, b)
				} else {
					p = dial(t, b)
				}
				one.o.id, one.o.will = "dev", &willOpts{topic: "w", payload: "gone"}
				p.connect(one.o)
				p.connack(0)
				told := hears(p)
				if one.happens != nil {
					one.happens(p)
				}
				if one.asks != nil {
					one.asks(b)
				}
				got := <-told
				_ = p.nc.Close()
				_ = p.ended()
				synctest.Wait()
				if got != one.code {
					t.Errorf("the client is told %#x, want %#x", got, one.code)
				}
				e.check(t, one.reason, one.byClient)
				if want := 1; (e.wills == want) == one.noWill || e.wills > 1 {
					t.Errorf("%d wills, discarded %v", e.wills, one.noWill)
				}
				if c, err := b.Client("dev"); err == nil && c.DisconnectReason != one.reason {
					t.Errorf("the session says %s", c.DisconnectReason)
				}
				if n := b.Stats().Disconnects[string(one.reason)]; n != 1 {
					t.Errorf("Stats: %v", b.Stats().Disconnects)
				}
			})
		})
	}
}

// hears reads to the end of the connection, acknowledges nothing, and tells the code of the DISCONNECT, 0 if there is none.
func hears(p *peer) <-chan byte {
	told := make(chan byte, 1)
	go func() {
		for {
			k, err := p.readErr()
			if err != nil {
				told <- 0
				return
			}
			if k.first == 0xE0 {
				told <- k.body[0]
				return
			}
		}
	}()
	return told
}

// check wants one connection that came and went.
func (e *events) check(t *testing.T, reason DisconnectReason, byClient bool) {
	t.Helper()
	if len(e.presence) != 2 {
		t.Fatalf("events %+v", e.presence)
	}
	on, off := e.presence[0], e.presence[1]
	if on.EventType != "connected" || off.EventType != "disconnected" || off.DisconnectReason != reason {
		t.Errorf("events %+v, want reason %s", e.presence, reason)
	}
	if off.ClientInitiatedDisconnect == nil || *off.ClientInitiatedDisconnect != byClient {
		t.Errorf("clientInitiatedDisconnect is %v", off.ClientInitiatedDisconnect)
	}
	if on.VersionNumber != off.VersionNumber || on.SessionIdentifier != off.SessionIdentifier || on.SessionIdentifier == "" || on.Timestamp > off.Timestamp {
		t.Errorf("not one connection: %+v", e.presence)
	}
}

// admitFor lets everybody in for a time.
type admitFor time.Duration

func (admitFor) Authenticate(context.Context, Credentials) (string, error) { return "", nil }
func (a admitFor) Admit(context.Context, Credentials) (Admission, error) {
	return Admission{Lifetime: time.Duration(a)}, nil
}

// TestTakeoverEvents: the events of the old connection come before those of the new one, whose number is one more.
func TestTakeoverEvents(t *testing.T) {
	for _, expiry := range []uint32{0, 100} {
		bubblePipes(t, func(t *testing.T, b *Broker) {
			var e events
			e.watch(t, b)
			o := connectOpts{id: "dev", expiry: expiry, resume: true, will: &willOpts{topic: "w", payload: "gone"}}
			old := join(t, b, o)
			next := dial(t, b)
			next.connect(o)
			old.closed(0x8E)
			next.connack(0)
			next.leave()
			var got []string
			for _, one := range e.presence {
				got = append(got, fmt.Sprint(one.EventType, one.VersionNumber, one.DisconnectReason))
			}
			want := []string{"connected0", "disconnected0DUPLICATE_CLIENTID", "connected1", "disconnected1CLIENT_INITIATED_DISCONNECT"}
			if !slices.Equal(got, want) || e.wills != 1 {
				t.Errorf("events %s, %d wills", strings.Join(got, " "), e.wills)
			}
		}, func(o *Options) { o.LifecycleEvents = true })
	}
}

// TestVersionNumbers: the number of a client id grows with each connection, and begins at 0 again when the client was gone for
// an hour, or for as long as its persistent session lasts.
func TestVersionNumbers(t *testing.T) {
	for _, one := range []struct {
		name       string
		expiry     uint32
		stay, away time.Duration
		want       uint64 // of the second connection
	}{
		{"soon", 0, time.Second, time.Second, 1},
		{"within the hour", 0, time.Second, 59 * time.Minute, 1},
		{"after the hour", 0, time.Second, 61 * time.Minute, 0},
		{"after a long connection", 0, 3 * time.Hour, time.Second, 1},
		{"a session that lasts", 3 * 3600, time.Second, 2 * time.Hour, 1},
		{"a session that has ended", 60, time.Second, 2 * time.Minute, 0},
	} {
		t.Run(one.name, func(t *testing.T) {
			bubblePipes(t, func(t *testing.T, b *Broker) {
				var e events
				e.watch(t, b)
				ctx, stop := context.WithCancel(t.Context())
				go func() { _ = b.Run(ctx) }()
				o := connectOpts{id: "dev", expiry: one.expiry, resume: one.expiry > 0}
				p := join(t, b, o)
				time.Sleep(one.stay)
				p.leave()
				time.Sleep(one.away)
				join(t, b, o).leave()
				stop()
				synctest.Wait()
				var got []uint64
				for _, one := range e.presence {
					got = append(got, one.VersionNumber)
				}
				if want := []uint64{0, 0, one.want, one.want}; !slices.Equal(got, want) {
					t.Errorf("numbers %d, want %d", got, want)
				}
			}, func(o *Options) { o.LifecycleEvents = true })
		})
	}
}
