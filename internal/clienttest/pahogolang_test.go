package clienttest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// A pahoClient is paho.golang's plain client, with what it received.
type pahoClient struct {
	*paho.Client
	ack *paho.Connack

	mu   sync.Mutex
	got  []*paho.Publish
	more chan struct{}
}

// connect connects over conn, or over a pipe if conn is nil.
func (s *server) connect(t *testing.T, conn net.Conn, cp *paho.Connect) *pahoClient {
	t.Helper()
	if conn == nil {
		ours, theirs := net.Pipe()
		conn = ours
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = s.ServeConn(context.Background(), theirs) // how it ends is the client's to see
		}()
		t.Cleanup(func() { ours.Close(); <-served })
	}
	c := &pahoClient{more: make(chan struct{}, 1)}
	c.Client = paho.NewClient(paho.ClientConfig{
		Conn: packets.NewThreadSafeConn(conn),
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			c.mu.Lock()
			c.got = append(c.got, r.Packet)
			c.mu.Unlock()
			select {
			case c.more <- struct{}{}:
			default:
			}
			return true, nil
		}},
	})
	var err error
	c.ack, err = c.Connect(t.Context(), cp)
	check(t, err)
	return c
}

// next waits for n messages and takes them.
func (c *pahoClient) next(t *testing.T, n int) []*paho.Publish {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		if len(c.got) >= n {
			got := c.got[:n:n]
			c.got = c.got[n:]
			c.mu.Unlock()
			return got
		}
		have := len(c.got)
		c.mu.Unlock()
		select {
		case <-c.more:
		case <-limit:
			t.Fatalf("%d messages, want %d", have, n)
		}
	}
}

func (c *pahoClient) subscribe(t *testing.T, o paho.SubscribeOptions, id int) {
	t.Helper()
	s := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{o}}
	if id > 0 {
		s.Properties = &paho.SubscribeProperties{SubscriptionIdentifier: &id}
	}
	_, err := c.Subscribe(t.Context(), s)
	check(t, err)
}

func (c *pahoClient) publish(t *testing.T, p *paho.Publish) {
	t.Helper()
	_, err := c.Publish(t.Context(), p)
	check(t, err)
}

func texts(ps []*paho.Publish) (all []string) {
	for _, p := range ps {
		all = append(all, string(p.Payload))
	}
	return all
}

func TestPahoGolangReceiveMaximum(t *testing.T) {
	s := start(t, vfs.NewMem())
	sub := s.connect(t, nil, &paho.Connect{ClientID: "sub", CleanStart: true, Properties: &paho.ConnectProperties{
		ReceiveMaximum: pointer(uint16(10)), SessionExpiryInterval: pointer(uint32(3600)),
	}})
	sub.subscribe(t, paho.SubscribeOptions{Topic: "t", QoS: 1}, 0)
	pub := s.connect(t, nil, &paho.Connect{ClientID: "pub", CleanStart: true})
	var want []string
	send := func(n int) {
		for range n {
			want = append(want, fmt.Sprint(len(want)))
			pub.publish(t, &paho.Publish{Topic: "t", QoS: 1, Payload: []byte(want[len(want)-1])})
		}
	}
	send(1000)
	if got := texts(sub.next(t, 1000)); !slices.Equal(got, want) {
		t.Errorf("online: got %d messages, want %d in order", len(got), len(want))
	}
	check(t, sub.Disconnect(&paho.Disconnect{}))
	want = nil
	send(200)
	sub = s.connect(t, nil, &paho.Connect{ClientID: "sub", Properties: &paho.ConnectProperties{
		ReceiveMaximum: pointer(uint16(5)), SessionExpiryInterval: pointer(uint32(3600)),
	}})
	if !sub.ack.SessionPresent {
		t.Error("the session is not present")
	}
	if got := texts(sub.next(t, 200)); !slices.Equal(got, want) {
		t.Errorf("resumed: got %q, want %d in order", got, len(want))
	}
}

func TestPahoGolangSubscriptionOptions(t *testing.T) {
	s := start(t, vfs.NewMem())
	c := s.connect(t, nil, &paho.Connect{CleanStart: true})
	if c.ack.Properties.AssignedClientID == "" {
		t.Error("no client ID was assigned [MQTT-3.1.3-6]")
	}
	c.publish(t, &paho.Publish{Topic: "r", QoS: 1, Retain: true, Payload: []byte("kept")})
	c.subscribe(t, paho.SubscribeOptions{Topic: "r", QoS: 1, RetainHandling: 2}, 0)
	c.subscribe(t, paho.SubscribeOptions{Topic: "own", QoS: 1, NoLocal: true}, 0)
	c.subscribe(t, paho.SubscribeOptions{Topic: "plain", QoS: 1}, 7)
	c.subscribe(t, paho.SubscribeOptions{Topic: "as/#", QoS: 1, RetainAsPublished: true}, 0)
	c.publish(t, &paho.Publish{Topic: "own", QoS: 1, Payload: []byte("not for me")})
	c.publish(t, &paho.Publish{Topic: "plain", QoS: 1, Retain: true, Payload: []byte("plain")})
	c.publish(t, &paho.Publish{Topic: "as/x", QoS: 0, Retain: true, Payload: []byte("as")})
	got := c.next(t, 2)
	if fmt.Sprint(texts(got)) != "[plain as]" {
		t.Errorf("received %q", texts(got))
	}
	if id := got[0].Properties.SubscriptionIdentifier; got[0].Retain || id == nil || *id != 7 {
		t.Errorf("plain has retain %v and identifier %v", got[0].Retain, id)
	}
	if !got[1].Retain || got[1].QoS != 0 {
		t.Errorf("as published has retain %v and QoS %d", got[1].Retain, got[1].QoS)
	}
	c.subscribe(t, paho.SubscribeOptions{Topic: "r", QoS: 1, RetainHandling: 1}, 0) // it exists
	c.subscribe(t, paho.SubscribeOptions{Topic: "r", QoS: 1}, 0)
	if got := c.next(t, 1); string(got[0].Payload) != "kept" || !got[0].Retain {
		t.Errorf("received %+v", got[0])
	}
}

// TestPahoGolangTLS shows the certificate's principal over mutual TLS, and takes
// the client over by a second one of its ID.
func TestPahoGolangTLS(t *testing.T) {
	s := start(t, vfs.NewMem())
	pair, err := tls.LoadX509KeyPair(s.pki.cert, s.pki.key)
	check(t, err)
	text, err := os.ReadFile(s.pki.ca)
	check(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	dial := func() net.Conn {
		conn, err := tls.Dial("tcp", s.tls, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}})
		check(t, err)
		return conn
	}
	one := s.connect(t, dial(), &paho.Connect{ClientID: "c", CleanStart: true})
	s.mu.Lock()
	if s.principals["c"] != "device-1" {
		t.Errorf("the principal is %q", s.principals["c"])
	}
	s.mu.Unlock()
	two := s.connect(t, dial(), &paho.Connect{ClientID: "c", CleanStart: true})
	select {
	case <-one.Done():
	case <-time.After(20 * time.Second):
		t.Error("the first client was not ended [MQTT-3.1.4-3]")
	}
	check(t, two.Disconnect(&paho.Disconnect{}))
}
