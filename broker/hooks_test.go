package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHooks(t *testing.T) {
	var told []string
	hooks := &Hooks{
		OnConnect: func(_ context.Context, c ClientInfo) error {
			if c.ClientID == "bad" {
				return &Refusal{Code: 0x8A, Text: "no"}
			}
			return nil
		},
		OnSubscribe: func(_ context.Context, _ ClientInfo, s *Subscription) error {
			if strings.HasPrefix(s.Filter, "secret") {
				return errors.New("no")
			}
			s.QoS, s.Filter = 0, "cannot be changed"
			return nil
		},
		OnPublish: func(_ context.Context, m *Message) error {
			if m.Topic == "no" {
				return fmt.Errorf("hook: %w", ErrNotAuthorized)
			}
			m.Payload = append([]byte("changed "), m.Payload...)
			m.Properties.ContentType = "text"
			m.Topic = "cannot be changed"
			return nil
		},
		OnDeliver: func(clientID string, m *Message) bool {
			return string(m.Payload) != "changed hidden" || clientID != "a"
		},
		OnDrop: func(clientID, topic string, reason DropReason) {
			told = append(told, fmt.Sprint("drop ", clientID, topic, reason))
		},
		OnClose: func(c ClientInfo, reason DisconnectReason) {
			told = append(told, fmt.Sprint("close ", c.ClientID, reason))
		},
	}
	bubblePipes(t, func(t *testing.T, b *Broker) {
		p := dial(t, b)
		p.connect(connectOpts{id: "bad"})
		p.want(0x20, []byte{0, 0x8A}, section([]byte{0x1F}, str("no")))
		p.closed(0)
		p = join(t, b, connectOpts{id: "a"})
		p.write(frame(0x82, u16(5), []byte{0}, str("secret/x"), []byte{1}, str("t"), []byte{1}))
		p.want(0x90, u16(5), []byte{0, 0x87, 0})
		p.write(p.publishFrame(2, 1, "no", "x"))
		p.want(0x40, u16(1), []byte{0x87})
		p.write(p.publishFrame(2, 1, "t", "hidden"))
		p.want(0x40, u16(1))
		p.write(p.publishFrame(2, 1, "t", "x"))
		if d := p.gets(0, "t", "changed x"); string(d.props) != "\x03\x00\x04text" {
			t.Errorf("properties %x", d.props)
		}
		p.want(0x40, u16(1))
		if err := b.Publish(t.Context(), "t", []byte("in process")); err != nil {
			t.Fatal(err)
		}
		p.gets(0, "t", "in process") // is the program's own
		p.leave()
	}, func(o *Options) { o.Hooks = hooks })
	if want := []string{"drop athook", "close aCLIENT_INITIATED_DISCONNECT"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// TestHookChangesReachEverybody changes one thing each, in place too, before a
// subscriber who is there and one whose queue has it.
func TestHookChangesReachEverybody(t *testing.T) {
	const sent, props = "x", "\x26\x00\x01k\x00\x01v" // the user property k is v
	for _, c := range []struct {
		name          string
		change        func(m *Message)
		payload, want string // properties
		props         string // as sent
	}{
		{"nothing", func(*Message) {}, sent, "", ""},
		{"nothing of properties", func(*Message) {}, sent, props, props},
		{"payload", func(m *Message) { m.Payload = []byte("y") }, "y", "", ""},
		{"no payload", func(m *Message) { m.Payload = nil }, "", "", ""},
		{"less payload", func(m *Message) { m.Payload = m.Payload[:0] }, "", "", ""},
		{"content type", func(m *Message) { m.Properties.ContentType = "t" }, sent, "\x03\x00\x01t", ""},
		{"response topic", func(m *Message) { m.Properties.ResponseTopic = "r" }, sent, "\x08\x00\x01r", ""},
		{"correlation data", func(m *Message) { m.Properties.CorrelationData = []byte("c") }, sent, "\x09\x00\x01c", ""},
		{"payload format", func(m *Message) { m.Properties.PayloadFormat = new(byte) }, sent, "\x01\x00", ""},
		{"payload format in place", func(m *Message) { *m.Properties.PayloadFormat = 0 }, sent, "\x01\x00", "\x01\x01"},
		{"user property", func(m *Message) { m.Properties.User = []UserProperty{{"k", "v"}} }, sent, props, ""},
		{"user property in place", func(m *Message) { m.Properties.User[0].Value = "v" }, sent, props, "\x26\x00\x01k\x00\x01w"},
		{"no user property", func(m *Message) { m.Properties.User = nil }, sent, "", props},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubblePipes(t, func(t *testing.T, b *Broker) {
				away := join(t, b, connectOpts{id: "away", expiry: 60})
				away.subscribe(1, "t")
				away.leave()
				there := join(t, b, connectOpts{id: "there"})
				there.subscribe(1, "t")
				p := join(t, b, connectOpts{id: "p"})
				p.write(frame(0x32, str("t"), u16(1), section([]byte(c.props)), []byte(sent)))
				p.want(0x40, u16(1))
				away = join(t, b, connectOpts{id: "away", expiry: 60, resume: true})
				for _, one := range []*peer{there, away} {
					if d := one.gets(1, "t", c.payload); string(d.props) != c.want {
						t.Errorf("properties %x, want %x", d.props, c.want)
					}
				}
				away.leave()
				there.leave()
				p.leave()
			}, func(o *Options) {
				o.Hooks = &Hooks{OnPublish: func(_ context.Context, m *Message) error { c.change(m); return nil }}
			})
		})
	}
}

func TestWatch(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		all, err := b.Watch(WatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		one, err := b.Watch(WatchOptions{Filter: "a/+", Buffer: 2})
		if err != nil {
			t.Fatal(err)
		}
		client, err := b.Watch(WatchOptions{ClientID: "other"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Watch(WatchOptions{Filter: "a/#/b"}); !errors.Is(err, ErrTopic) {
			t.Errorf("a wrong filter: %v", err)
		}
		p := join(t, b, connectOpts{id: "c"})
		p.subscribe(0, "a/+")
		p.write(p.publishFrame(0, 0, "a/b", "12345"))
		p.gets(0, "a/b", "12345")
		p.write(p.publishFrame(0, 0, "b", "x"), p.publishFrame(0, 0, "a/c", "x"))
		p.gets(0, "a/c", "x")
		p.leave()
		read := func(w *Watch) (kinds []string) {
			for len(w.C) > 0 {
				e := <-w.C
				kinds = append(kinds, e.Kind+" "+e.ClientID+" "+e.Topic)
			}
			return kinds
		}
		want := []string{"connected c ", "subscribed c a/+", "published c a/b", "delivered c a/b", "published c b", "published c a/c", "delivered c a/c", "disconnected c "}
		if got := read(all); !slices.Equal(got, want) {
			t.Errorf("all: %q\nwant %q", got, want)
		}
		if got := read(one); !slices.Equal(got, []string{"subscribed c a/+", "published c a/b"}) || one.Lost() != 3 {
			t.Errorf("by filter: %q and %d lost", got, one.Lost())
		}
		if got := read(client); len(got) > 0 {
			t.Errorf("of another client: %q", got)
		}
		all.Stop()
		one.Stop()
		client.Stop()
		if b.watches.Load() != nil {
			t.Error("something is still watched")
		}
	})
}

func TestSysTopics(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		p.subscribe(0, "$SYS/broker/clients/#")
		for _, want := range []string{"connected 1", "disconnected 0", "total 1"} {
			if d := p.receive(); !d.retain || d.topic+" "+d.payload != "$SYS/broker/clients/"+want {
				t.Errorf("at once: %+v, want %s", d, want)
			}
		}
		for got, seen := map[string]string{}, 0; seen < 3; seen++ { // the first round says all
			d := p.receive()
			got[d.topic] = d.payload
			if seen == 2 && (got["$SYS/broker/clients/connected"] != "1" || got["$SYS/broker/clients/total"] != "1") {
				t.Errorf("the statistics are %v", got)
			}
		}
		time.Sleep(time.Minute) // nothing changes
		q := join(t, b, connectOpts{id: "b"})
		p.gets(0, "$SYS/broker/clients/connected", "2")
		p.gets(0, "$SYS/broker/clients/total", "2")
		q.write(q.publishFrame(2, 1, "$SYS/broker/uptime", "x"))
		q.want(0x40, u16(1), []byte{0x87})
		q.leave()
		p.leave()
	}, func(o *Options) { o.SysInterval = 10 * time.Second })
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		p.subscribe(0, "$SYS/#")
		time.Sleep(time.Minute)
		p.none() // without the option
		p.leave()
	})
}
