package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// An admitting authenticator lets everybody in as another thing, with an Authorizer of the connection's own if it has one.
type admitting struct {
	AllowAll
	own Authorizer
}

func (a admitting) Admit(_ context.Context, c Credentials) (Admission, error) {
	return Admission{Principal: c.Username, Thing: "lamp", Authorizer: a.own}, nil
}

// TestWillsAreAuthorizedTwice: what a will needs is asked for at CONNECT and again at publication, also of one that waited
// for its delay, and of one that the next process publishes; the second question is the first one word by word.
func TestWillsAreAuthorizedTwice(t *testing.T) {
	no := fmt.Errorf("policy: %w", ErrNotAuthorized)
	for _, one := range []struct {
		name    string
		delay   uint32
		crash   bool   // the process dies with the client connected
		own     bool   // the connection has an Authorizer of its own
		deny    string // by then
		err     error
		refused bool
	}{
		{name: "at once, allowed"},
		{name: "at once, denied", deny: ActionPublish, err: no, refused: true},
		{name: "at once, retain denied", deny: ActionRetainPublish, err: no, refused: true},
		{name: "delayed, allowed", delay: 10},
		{name: "delayed, denied", delay: 10, deny: ActionPublish, err: no, refused: true},
		{name: "delayed, retain denied", delay: 10, deny: ActionRetainPublish, err: no, refused: true},
		{name: "delayed, it cannot be told", delay: 10, deny: ActionPublish, err: errors.New("database is down"), refused: true},
		{name: "next process, allowed", crash: true},
		{name: "next process, denied", crash: true, deny: ActionPublish, err: no, refused: true},
		{name: "next process, retain denied", crash: true, deny: ActionRetainPublish, err: no, refused: true},
		{name: "next process, delayed, denied", crash: true, delay: 10, deny: ActionPublish, err: no, refused: true},
		{name: "own authorizer, delayed, denied", own: true, delay: 10, deny: ActionPublish, err: no, refused: true},
		{name: "own authorizer, delayed, allowed", own: true, delay: 10},
		{name: "own authorizer, next process: nobody can be asked", own: true, crash: true, deny: ActionPublish, err: no},
	} {
		t.Run(one.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				book := &rulebook{}
				store := &dying{MemStore: NewMemStore()}
				options := func(o *Options) {
					o.Authenticator, o.Authorizer = admitting{}, book
					if one.own {
						o.Authenticator, o.Authorizer = admitting{own: book}, denyAll{}
					}
				}
				b := open(t, store, options)
				dev := join(t, b, connectOpts{id: "dev", user: "cert", expiry: 100, will: &willOpts{topic: "w", payload: "bye", retain: true, delay: one.delay}})
				first := book.asked[1:] // the first one is for the connection
				if one.deny != "" {
					book.set("dev "+one.deny+" topic/w", one.err)
				}
				store.dead.Store(one.crash)
				dev.cut()
				book.asked = nil
				if one.crash {
					if one.own {
						book = &rulebook{deny: book.deny}
					}
					b = open(t, store.MemStore, options)
				}
				ctx, stop := context.WithCancel(t.Context())
				go func() { _ = b.Run(ctx) }()
				time.Sleep(15 * time.Second)
				stop()
				synctest.Wait()
				got := 0
				for m, err := range b.Retained(t.Context(), "w") {
					if err != nil || string(m.Payload) != "bye" || m.Principal != "cert" || m.ClientID != "dev" {
						t.Errorf("retained %+v, %v", m, err)
					}
					got++
				}
				if want := 1; one.refused == (got == want) {
					t.Errorf("%d wills, refused %v", got, one.refused)
				}
				if one.crash || one.delay > 0 {
					asked := fmt.Sprintf("%+v", book.asked)
					if want := fmt.Sprintf("%+v", first[:len(book.asked)]); asked != want || len(book.asked) == 0 && !(one.own && one.crash) {
						t.Errorf("asked at publication\n%s\nand at CONNECT\n%s", asked, want)
					}
				}
			})
		})
	}
}

// TestWritesOfASession counts what is stored for a connection that begins and ends: a persistent session costs two writes,
// and its will none besides; a will alone costs two; a SUBSCRIBE that changes nothing costs none.
func TestWritesOfASession(t *testing.T) {
	will := func(delay uint32) *willOpts { return &willOpts{topic: "w", payload: "bye", qos: 1, delay: delay} }
	leave := func(p *peer) { p.leave() }
	cut := func(p *peer) { p.cut() }
	again := func(p *peer) {
		p.subscribe(1, "a", "b")
		p.leave()
	}
	for _, one := range []struct {
		name   string
		o      connectOpts
		end    func(*peer)
		writes int64
	}{
		{"nothing", connectOpts{}, leave, 0},
		{"a session", connectOpts{expiry: 100}, leave, 2},
		{"a session that subscribes again", connectOpts{expiry: 100}, again, 2},
		{"a session, 3.1.1", connectOpts{v: 4}, cut, 2},
		{"a session and a will", connectOpts{expiry: 100, will: will(0)}, leave, 2},
		{"a session and a will that is published", connectOpts{expiry: 100, will: will(0)}, cut, 2},
		{"a session and a will that waits", connectOpts{expiry: 100, will: will(50)}, cut, 2},
		{"a will", connectOpts{will: will(0)}, leave, 2},
		{"a will that is published", connectOpts{will: will(0)}, cut, 2},
	} {
		t.Run(one.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &counting{MemStore: NewMemStore()}
				b := open(t, store, nil)
				one.o.id, one.o.resume = "dev", one.o.expiry > 0 || one.o.v == 4
				p := join(t, b, one.o) // what the second connection finds
				p.subscribe(1, "a", "b")
				p.leave()
				synctest.Wait()
				store.writes.Store(0)
				one.end(join(t, b, one.o))
				synctest.Wait()
				if n := store.writes.Load(); n != one.writes {
					t.Errorf("%d writes, want %d", n, one.writes)
				}
			})
		})
	}
}

// TestWillOfASessionThatIsEnded: the will that waits is published when the session ends, unless it is suppressed; then a
// later process does not publish it either.
func TestWillOfASessionThatIsEnded(t *testing.T) {
	for _, one := range []struct {
		name  string
		o     DisconnectOptions
		err   error
		wills int
	}{
		{"the session ends", DisconnectOptions{EndSession: true}, nil, 1},
		{"without its will", DisconnectOptions{EndSession: true, NoWill: true}, nil, 0},
		{"the will alone", DisconnectOptions{NoWill: true}, ErrNotFound, 0},
		{"nothing", DisconnectOptions{}, ErrNotFound, 1},
	} {
		t.Run(one.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, wills := NewMemStore(), 0
				start := func() (*Broker, func()) {
					b := open(t, store, nil)
					if _, err := b.Subscribe("w", func(context.Context, string, []byte) error { wills++; return nil }); err != nil {
						t.Fatal(err)
					}
					ctx, stop := context.WithCancel(t.Context())
					go func() { _ = b.Run(ctx) }()
					return b, func() { stop(); synctest.Wait() }
				}
				b, stop := start()
				join(t, b, connectOpts{id: "dev", expiry: 100, will: &willOpts{topic: "w", payload: "bye", delay: 10}}).cut()
				if err := b.Disconnect("dev", one.o); !errors.Is(err, one.err) {
					t.Errorf("Disconnect: %v", err)
				}
				if one.o.EndSession && wills != one.wills {
					t.Errorf("%d wills at once", wills)
				}
				stop()
				b, stop = start()
				time.Sleep(20 * time.Second)
				stop()
				if _, err := b.Client("dev"); wills != one.wills || (err == nil) == one.o.EndSession {
					t.Errorf("%d wills, want %d; the session: %v", wills, one.wills, err)
				}
			})
		})
	}
}

// TestSessionThatCannotBeDeleted: its client gets no other one as long as the old queue is there.
func TestSessionThatCannotBeDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &failing{Store: NewMemStore()}
		b := open(t, store, nil)
		o := connectOpts{id: "dev", expiry: 100}
		p := join(t, b, o)
		p.subscribe(1, "d")
		p.leave()
		if err := b.Publish(t.Context(), "d", []byte("old")); err != nil {
			t.Fatal(err)
		}
		store.set("delete")
		for range 2 {
			p = dial(t, b)
			p.connect(o) // with a clean start
			p.connack(0x88)
			_ = p.closed(0)
		}
		store.set("")
		p = join(t, b, o)
		p.subscribe(1, "d")
		p.none()
		p.leave()
		b = open(t, store, nil) // reads what there is
		p = dial(t, b)
		p.resumes(o)
		p.none()
		p.leave()
		if n := b.Stats().Dropped[DropSessionEnded]; n != 0 {
			t.Errorf("%d dropped by the second broker", n)
		}
	})
}
