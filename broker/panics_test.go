package broker

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// A bomb panics in the one place that is armed.
type bomb struct{ at atomic.Pointer[string] }

func (m *bomb) arm(where string) { m.at.Store(&where) }
func (m *bomb) here(where string) {
	if at := m.at.Load(); at != nil && *at == where {
		panic("bomb")
	}
}

// options has a function of every kind that an application can give.
func (m *bomb) options(o *Options) {
	o.Authenticator, o.Authorizer = bombAuth{m}, bombAuth{m}
	o.Logger = slog.New(bombLog{slog.DiscardHandler, m})
	o.Hooks = &Hooks{
		OnConnect:   func(context.Context, ClientInfo) error { m.here("OnConnect"); return nil },
		OnSubscribe: func(context.Context, ClientInfo, *Subscription) error { m.here("OnSubscribe"); return nil },
		OnPublish:   func(context.Context, *Message) error { m.here("OnPublish"); return nil },
		OnDeliver:   func(_ string, msg *Message) bool { m.here("OnDeliver"); return msg.Topic != "nobody" },
		OnDrop:      func(string, string, DropReason) { m.here("OnDrop") },
		OnClose:     func(ClientInfo, DisconnectReason) { m.here("OnClose") },
	}
	o.Trace = &Trace{
		Connected:    func(ClientInfo) { m.here("Trace.Connected") },
		Disconnected: func(ClientInfo, DisconnectReason) { m.here("Trace.Disconnected") },
		Refused:      func(string, error) { m.here("Trace.Refused") },
		Subscribed:   func(ClientInfo, []Subscription) { m.here("Trace.Subscribed") },
		Unsubscribed: func(ClientInfo, []string) { m.here("Trace.Unsubscribed") },
		Published:    func(Message) { m.here("Trace.Published") },
		Delivered:    func(string, string) { m.here("Trace.Delivered") },
		Dropped:      func(string, string, DropReason) { m.here("Trace.Dropped") },
	}
}

type bombAuth struct{ *bomb }

func (m bombAuth) Authenticate(_ context.Context, c Credentials) (string, error) {
	m.here("Authenticator")
	return c.Username, nil
}

func (m bombAuth) Authorize(_ context.Context, a Access) error {
	m.here("Authorizer " + a.Action)
	return nil
}

type bombLog struct {
	slog.Handler
	*bomb
}

func (l bombLog) Enabled(context.Context, slog.Level) bool  { return true }
func (l bombLog) Handle(context.Context, slog.Record) error { l.here("Logger"); return nil }
func (l bombLog) WithAttrs([]slog.Attr) slog.Handler        { return l }

type bombStore struct {
	Store
	*bomb
}

func (s bombStore) SaveSession(ctx context.Context, one Session) error {
	s.here("SaveSession")
	return s.Store.SaveSession(ctx, one)
}

func (s bombStore) DeleteSession(ctx context.Context, id string) error {
	s.here("DeleteSession")
	return s.Store.DeleteSession(ctx, id)
}

func (s bombStore) Enqueue(ctx context.Context, batch []Entry, marks ...Mark) (uint64, error) {
	s.here("Enqueue")
	return s.Store.Enqueue(ctx, batch, marks...)
}

func (s bombStore) Dequeue(ctx context.Context, id string, upTo uint64) error {
	s.here("Dequeue")
	return s.Store.Dequeue(ctx, id, upTo)
}

func (s bombStore) SetRetained(ctx context.Context, m Message) error {
	s.here("SetRetained")
	return s.Store.SetRetained(ctx, m)
}

func (s bombStore) Sessions(ctx context.Context) iter.Seq2[Session, error] {
	s.here("Sessions")
	return s.Store.Sessions(ctx)
}

func (s bombStore) Queue(ctx context.Context, id string, after uint64) iter.Seq2[Queued, error] {
	return func(yield func(Queued, error) bool) {
		s.here("Queue")
		s.Store.Queue(ctx, id, after)(yield)
	}
}

func (s bombStore) Retained(ctx context.Context, filter string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		s.here("Retained")
		s.Store.Retained(ctx, filter)(yield)
	}
}

// TestPanicsOfTheApplication: wherever a function of the application panics, the broker goes on, it is counted, others do
// not notice, and the client whose business it was can come back, with what waited for it.
func TestPanicsOfTheApplication(t *testing.T) {
	for _, where := range []string{
		"OnConnect", "OnSubscribe", "OnPublish", "OnDeliver", "OnDrop", "OnClose",
		"Trace.Connected", "Trace.Disconnected", "Trace.Refused", "Trace.Subscribed", "Trace.Unsubscribed", "Trace.Published", "Trace.Delivered", "Trace.Dropped",
		"Authenticator", "Authorizer iot:Connect", "Authorizer iot:Publish", "Authorizer iot:RetainPublish", "Authorizer iot:Subscribe", "Authorizer iot:Receive",
		"Logger", "handler",
		"SaveSession", "DeleteSession", "Enqueue", "Dequeue", "SetRetained", "Queue", "Retained",
	} {
		t.Run(where, func(t *testing.T) {
			var m bomb
			bubble(t, func(t *testing.T, b *Broker) {
				b.store.(*guardedStore).s = bombStore{b.store.(*guardedStore).s, &m}
				if _, err := b.Subscribe("handled", func(context.Context, string, []byte) error { m.here("handler"); return nil }); err != nil {
					t.Fatal(err)
				}
				durable := connectOpts{id: "p", resume: true, expiry: 3600}
				p := join(t, b, durable)
				p.subscribe(1, "kept")
				p.cut()
				if err := b.Publish(t.Context(), "kept", []byte("1")); err != nil {
					t.Fatal(err)
				}
				other, reader := join(t, b, connectOpts{id: "other"}), join(t, b, connectOpts{id: "reader"})
				other.subscribe(1, "end")
				reader.subscribe(0, "#")
				read := make(chan struct{})
				go func() { _, _ = io.Copy(io.Discard, reader.nc); close(read) }()

				before := b.Stats().Panics
				m.arm(where)
				busy(t, b, durable)
				busy(t, b, connectOpts{id: "busy"})
				if b.Stats().Panics == before {
					t.Error("nothing panicked")
				}
				m.arm("")

				pub := join(t, b, connectOpts{id: "pub"})
				pub.publish(1, 1, "end", "x")
				other.gets(1, "end", "x")
				p = join(t, b, durable)
				if err := b.Publish(t.Context(), "kept", []byte("2")); err != nil {
					t.Fatal(err)
				}
				var got []string
				for len(got) == 0 || got[len(got)-1] != "2" {
					d := p.receive()
					p.puback(d.id)
					if d.payload == "1" || d.payload == "2" { // and not what busy published
						got = append(got, d.payload)
					}
				}
				// busy may have acknowledged the first.
				if !slices.Equal(got, []string{"1", "2"}) && !slices.Equal(got, []string{"2"}) {
					t.Errorf("got %q", got)
				}
				for _, one := range []*peer{p, other, pub} {
					one.leave()
				}
				_ = reader.nc.Close()
				<-read
				reader.ended()
			}, m.options)
		})
	}
}

// busy does a little of everything on one connection, whatever the broker says to it.
func busy(t *testing.T, b *Broker, o connectOpts) {
	refused := dial(t, b)
	refused.converse(connectFrame(connectOpts{v: 4, resume: true})) // no client id

	o.will = &willOpts{topic: "handled", qos: 1}
	p := dial(t, b)
	p.converse(connectFrame(o),
		p.publishFrame(0, 0, "a", ""), p.publishFrame(2, 1, "handled", ""), p.publishFrame(4, 2, "kept", ""), frame(0x62, u16(2)),
		p.publishFrame(3, 3, "retained", "r"), p.publishFrame(0, 0, "nobody", ""),
		frame(0x82, u16(77), p.props(), str("retained"), []byte{1}),
		frame(0x40, u16(1)), frame(0x40, u16(2)),
		frame(0xA2, u16(78), p.props(), str("retained")),
		frame(0xE0, []byte{4}))

	if o.id == "p" {
		return
	}
	o.expiry = 1 // a session that ends with its connection
	dial(t, b).converse(connectFrame(o), frame(0xE0, []byte{0, 5, 0x11}, u32(0)))
}

// converse writes frames, the last of which is to end the connection, and reads what comes for each before the next.
func (p *peer) converse(frames ...[]byte) {
	for i, f := range frames {
		last := i == len(frames)-1
		if !last {
			f = append(slices.Clone(f), 0xC0, 0)
		}
		if _, err := p.nc.Write(f); err != nil {
			break
		}
		k, err := p.readErr()
		for err == nil && (last || k.first != 0xD0) {
			k, err = p.readErr()
		}
		if err != nil {
			break
		}
	}
	_ = p.nc.Close()
	p.ended()
}

func TestPanicOfTheAuthorizerRefusesOneMessage(t *testing.T) {
	var m bomb
	bubble(t, func(t *testing.T, b *Broker) {
		m.arm("Authorizer iot:Publish")
		p := join(t, b, connectOpts{id: "p"})
		p.write(p.publishFrame(2, 1, "p", ""))
		p.want(0x40, u16(1), []byte{0x80})
		m.arm("")
		p.publish(1, 1, "p", "") // it was not remembered
		old := join(t, b, connectOpts{v: 4, id: "old"})
		m.arm("Authorizer iot:Publish")
		old.write(old.publishFrame(2, 1, "q", ""))
		old.closed(0)
		p.leave()
		if s := b.Stats(); s.Panics != 2 || s.Disconnects["SERVER_ERROR"] != 1 {
			t.Errorf("%+v", s)
		}
		m.arm("")
	}, m.options)
}

// TestBugEndsOneConnection: a panic of the broker itself, in the middle of a batch. What was not acknowledged comes
// once when it is sent again.
func TestBugEndsOneConnection(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		sub := join(t, b, connectOpts{id: "sub", expiry: 3600})
		sub.subscribe(2, "s")
		other := join(t, b, connectOpts{id: "other"})
		o := connectOpts{id: "p", resume: true, expiry: 3600}
		p := join(t, b, o)
		b.opts.Trace.Subscribed = func(ClientInfo, []Subscription) { panic("bug") } // not behind the guard
		p.write(p.publishFrame(4, 5, "s", "x"), frame(0x82, u16(9), p.props(), str("f"), []byte{0}))
		p.want(0x90, u16(9), p.props(), []byte{0})
		if err := p.closed(0x80); !errors.Is(err, ErrPanic) {
			t.Errorf("ServeConn returned %v", err)
		}
		b.opts.Trace.Subscribed = nil
		sub.none()
		p = dial(t, b)
		p.connect(o)
		if present, _ := p.connack(0); !present {
			t.Error("the session is gone")
		}
		p.write(p.publishFrame(0x0C, 5, "s", "x"))
		p.want(0x50, u16(5))
		p.write(frame(0x62, u16(5)))
		p.want(0x70, u16(5))
		sub.gets(2, "s", "x")
		sub.none()
		other.write([]byte{0xC0, 0})
		other.want(0xD0)
		if s := b.Stats(); s.Panics != 1 || s.Disconnects["SERVER_ERROR"] != 1 {
			t.Errorf("%+v", s)
		}
		for _, one := range []*peer{p, sub, other} {
			one.leave()
		}
	})
}

// TestBugInACommit: the others that wait for it hear, and the next one goes its way.
func TestBugInACommit(t *testing.T) {
	b := open(t, NewMemStore(), nil)
	bad := &commit{entries: make([]Entry, 1), routes: []stored{{targets: []target{{s: nil}}}}}
	if err := b.commit(bad); !errors.Is(err, ErrPanic) {
		t.Errorf("got %v", err)
	}
	if err := b.commit(&commit{entries: []Entry{{Message: Message{Topic: "t"}, ClientIDs: []string{"c"}}}, routes: make([]stored, 1)}); err != nil {
		t.Error(err)
	}
}

func TestPanicOfSessionsFailsNew(t *testing.T) {
	var m bomb
	m.arm("Sessions")
	if _, err := New(bombStore{NewMemStore(), &m}, nil); !errors.Is(err, ErrPanic) || !strings.Contains(err.Error(), "Store.Sessions") {
		t.Errorf("got %v", err)
	}
}

// TestGuardSeq: a panic of the loop's body is its own.
func TestGuardSeq(t *testing.T) {
	b := open(t, NewMemStore(), nil)
	two := func() iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			if yield(1, nil) {
				panic("seq")
			}
		}
	}
	var got []int
	var last error
	for n, err := range guardSeq(b, "seq", two) {
		got, last = append(got, n), err
	}
	if !slices.Equal(got, []int{1, 0}) || !errors.Is(last, ErrPanic) {
		t.Errorf("got %v, %v", got, last)
	}
	func() {
		defer func() {
			if v := recover(); v != "body" {
				t.Errorf("recovered %v", v)
			}
		}()
		for range guardSeq(b, "seq", two) {
			panic("body")
		}
	}()
	for range guardSeq(b, "seq", two) {
		break
	}
	late := func() iter.Seq2[int, error] { // panics when it is left
		return func(yield func(int, error) bool) {
			_ = yield(1, nil)
			panic("seq")
		}
	}
	for range guardSeq(b, "seq", late) {
		break
	}
	if n := b.Stats().Panics; n != 2 {
		t.Errorf("%d panics counted", n)
	}
}

// TestFailedBatchOfExactlyOnce: a Store that fails takes none of a batch. A 3.1.1 client hears of it by the end of its
// connection alone, and each of its messages must come when it is sent again, not only the first.
func TestFailedBatchOfExactlyOnce(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		store := &failing{Store: b.store.(*guardedStore).s}
		b.store.(*guardedStore).s = store
		sub := join(t, b, connectOpts{v: 4, id: "sub", resume: true})
		sub.subscribe(2, "s")
		o := connectOpts{v: 4, id: "p", resume: true}
		p := join(t, b, o)
		store.set("enqueue")
		p.write(p.publishFrame(4, 1, "s", "1"), p.publishFrame(4, 2, "s", "2"))
		p.closed(0)
		store.set("")
		p = join311(t, b, o)
		for id := uint16(1); id <= 2; id++ {
			p.write(p.publishFrame(0x0C, id, "s", string('0'+rune(id))))
			p.want(0x50, u16(id))
			p.write(frame(0x62, u16(id)))
			p.want(0x70, u16(id))
		}
		sub.gets(2, "s", "1")
		sub.gets(2, "s", "2")
		p.leave()
		sub.leave()
	})
}

// join311 connects to a session that is there.
func join311(t *testing.T, b *Broker, o connectOpts) *peer {
	t.Helper()
	p := dial(t, b)
	p.connect(o)
	if present, _ := p.connack(0); !present {
		t.Error("the session is gone")
	}
	return p
}
