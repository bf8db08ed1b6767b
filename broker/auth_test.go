package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// rulebook denies what is in it: "principal action resource".
type rulebook struct {
	mu    sync.Mutex
	deny  map[string]error
	asked []Access
}

func (r *rulebook) Authorize(_ context.Context, a Access) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, a)
	return r.deny[strings.Join([]string{a.ClientID, a.Action, a.Resource}, " ")]
}

func (r *rulebook) set(key string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deny == nil {
		r.deny = map[string]error{}
	}
	r.deny[key] = err
}

func (r *rulebook) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

func TestAuthorizer(t *testing.T) {
	book := &rulebook{}
	bubblePipes(t, func(t *testing.T, b *Broker) {
		no := fmt.Errorf("policy: %w", ErrNotAuthorized)
		book.set("bad iot:Connect client/bad", no)
		book.set("willing iot:RetainPublish topic/w", no)
		book.set("dev iot:Publish topic/forbidden", no)
		book.set("dev iot:RetainPublish topic/t", no)
		book.set("dev iot:Subscribe topicfilter/secret/#", no)
		book.set("four iot:Publish topic/forbidden", no)
		book.set("sub iot:Receive topic/t/hidden", no)
		book.set("dev iot:Publish topic/broken", errors.New("database is down"))

		for v, code := range map[byte]byte{4: 5, 5: 0x87} {
			p := dial(t, b)
			p.connect(connectOpts{v: v, id: "bad"})
			p.connack(code)
			var ce *ConnError
			if err := p.closed(0); !errors.As(err, &ce) || ce.Reason != AuthError || !errors.Is(err, ErrNotAuthorized) {
				t.Errorf("ServeConn: %v", err)
			}
		}
		p := dial(t, b)
		p.connect(connectOpts{id: "willing", will: &willOpts{topic: "w", retain: true}})
		p.connack(0x87)
		p.closed(0)

		dev, sub := join(t, b, connectOpts{id: "dev", user: "u", expiry: 9, will: &willOpts{topic: "w"}}), join(t, b, connectOpts{id: "sub"})
		dev.write(frame(0x82, u16(1), section(), str("secret/#"), []byte{1}, str("t/hidden"), []byte{0}))
		dev.want(0x90, u16(1), []byte{0, 0x87, 0})
		sub.subscribe(1, "#")
		dev.write(dev.publishFrame(2, 1, "forbidden", ""))
		dev.want(0x40, u16(1), []byte{0x87})
		dev.write(dev.publishFrame(3, 2, "t", "retained"))
		dev.want(0x40, u16(2), []byte{0x87})
		dev.write(dev.publishFrame(2, 2, "broken", ""))
		dev.want(0x40, u16(2), []byte{0x80})
		book.set("dev iot:Publish topic/broken", nil) // is asked again
		dev.publish(1, 2, "broken", "works")
		sub.gets(1, "broken", "works")
		dev.write(dev.publishFrame(2, 3, "t/hidden", ""))
		dev.gets(0, "t/hidden", "")
		dev.want(0x40, u16(3))
		sub.none()
		if b.Stats().Dropped[DropNotAuthorized] != 1 {
			t.Errorf("dropped %v", b.Stats().Dropped)
		}
		want := Access{Principal: "u", ClientID: "dev", Action: ActionConnect, Resource: "client/dev",
			ConnectAttributes: []string{"PersistentConnect", "LastWill"}}
		if !slices.ContainsFunc(book.asked, func(a Access) bool { return fmt.Sprint(a) == fmt.Sprint(want) }) {
			t.Errorf("never asked for %+v", want)
		}

		// Decisions are remembered until they are invalidated.
		dev.publish(1, 4, "t/x", "")
		sub.gets(1, "t/x", "")
		before := book.count()
		for i := range 10 {
			dev.publish(1, uint16(5+i), "t/x", "")
			sub.gets(1, "t/x", "")
		}
		if n := book.count() - before; n > 0 {
			t.Errorf("asked %d times for what is known", n)
		}
		book.set("dev iot:Publish topic/t/x", no)
		book.set("sub iot:Receive topic/y", no)
		b.InvalidateAuth()
		for range 11 {
			dev.puback(0xFFF0) // an unknown packet id means nothing
		}
		dev.write(dev.publishFrame(2, 99, "t/x", ""))
		dev.want(0x40, u16(99), []byte{0x87})

		four := join(t, b, connectOpts{v: 4, id: "four"})
		four.write(four.publishFrame(2, 1, "forbidden", ""))
		four.closed(0)
		dev.write(dev.publishFrame(0, 0, "forbidden", ""))
		dev.closed(0x87)
		sub.cut()
		if n := b.Stats().Disconnects["AUTH_ERROR"]; n != 2 {
			t.Errorf("disconnects %v", b.Stats().Disconnects)
		}
	}, func(o *Options) { o.Authorizer = book })
}

type passwords map[string]string

func (p passwords) Authenticate(_ context.Context, c Credentials) (string, error) {
	if want, ok := p[c.Username]; !ok || want != string(c.Password) {
		return "", ErrBadCredentials
	}
	return "principal-" + c.Username, nil
}

func TestAuthenticator(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for v, code := range map[byte]byte{4: 4, 5: 0x86} {
			p := dial(t, b)
			p.connect(connectOpts{v: v, id: "x", user: "mallory"})
			p.connack(code)
			p.closed(0)
		}
		p := join(t, b, connectOpts{id: "x", user: "ann"})
		if c, err := b.Client("x"); err != nil || c.Principal != "principal-ann" {
			t.Errorf("%+v, %v", c, err)
		}
		p.leave()
		if got := b.Stats().Refused; got["0x86"] != 2 {
			t.Errorf("refused %v", got)
		}
	}, func(o *Options) { o.Authenticator = passwords{"ann": ""} })
}

func TestZeroOptionsAdmitNobody(t *testing.T) {
	b, err := New(NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := dial(t, b)
	p.connect(connectOpts{id: "x"})
	p.connack(0x87)
	p.closed(0)
}

func TestReceiveIsCheckedOnResume(t *testing.T) {
	book := &rulebook{}
	bubble(t, func(t *testing.T, b *Broker) {
		o := connectOpts{id: "dev", expiry: 60}
		p := join(t, b, o)
		p.subscribe(1, "#")
		p.leave()
		_ = b.Publish(t.Context(), "a", nil)
		_ = b.Publish(t.Context(), "b", nil)
		book.set("dev iot:Receive topic/a", ErrNotAuthorized)
		p = dial(t, b)
		p.resumes(o)
		p.puback(p.gets(1, "b", "").id)
		_ = b.Publish(t.Context(), "a", nil)
		p.none()
		if c, _ := b.Client("dev"); c.Queued != 0 {
			t.Errorf("%d in the queue", c.Queued)
		}
		p.leave()
	}, func(o *Options) { o.Authorizer = book })
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := New(NewMemStore(), &Options{MaxPacketBytes: -1, MaxInflight: 70000, DrainTimeout: -time.Second, QueueOverflow: 9})
	for _, field := range []string{"MaxPacketBytes", "MaxInflight", "DrainTimeout", "QueueOverflow"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}
