package brokerws_test

import (
	"context"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerws"
)

// TestHowAClientGoes: a close frame is the client's own goodbye, whatever status it has; a connection that is cut is lost;
// one that has lasted as long as it may is ended by the broker.
func TestHowAClientGoes(t *testing.T) {
	for _, one := range []struct {
		name   string
		opts   brokerws.Options
		goes   func(c *websocket.Conn)
		reason broker.DisconnectReason
	}{
		{"close frame", brokerws.Options{}, func(c *websocket.Conn) { _ = c.Close(websocket.StatusNormalClosure, "") }, broker.ClientInitiatedDisconnect},
		{"page that is left", brokerws.Options{}, func(c *websocket.Conn) { _ = c.Close(websocket.StatusGoingAway, "") }, broker.ClientInitiatedDisconnect},
		{"close frame with another status", brokerws.Options{}, func(c *websocket.Conn) { _ = c.Close(4000, "enough") }, broker.ClientInitiatedDisconnect},
		{"DISCONNECT", brokerws.Options{}, func(c *websocket.Conn) { _ = c.Write(context.Background(), websocket.MessageBinary, []byte{0xE0, 0}) }, broker.ClientInitiatedDisconnect},
		{"cut", brokerws.Options{}, func(c *websocket.Conn) { _ = c.CloseNow() }, broker.ConnectionLost},
		{"lifetime", brokerws.Options{Lifetime: 10 * time.Millisecond}, func(*websocket.Conn) {}, broker.WebSocketTTLExpiration},
	} {
		t.Run(one.name, func(t *testing.T) {
			ended := make(chan broker.DisconnectReason, 1)
			b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{},
				Trace: &broker.Trace{Disconnected: func(_ broker.ClientInfo, reason broker.DisconnectReason) { ended <- reason }}})
			if err != nil {
				t.Fatal(err)
			}
			_, srv := newServer(t, b, &one.opts)
			c := dial(t, srv, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
			connect := []byte("\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03dev")
			if err := c.Write(t.Context(), websocket.MessageBinary, connect); err != nil {
				t.Fatal(err)
			}
			if _, got, err := c.Read(t.Context()); err != nil || got[0] != 0x20 || got[3] != 0 {
				t.Fatalf("CONNACK %x, %v", got, err)
			}
			one.goes(c)
			if got := <-ended; got != one.reason {
				t.Errorf("ended for %s, want %s", got, one.reason)
			}
		})
	}
	if _, err := brokerws.New(serve(echo), &brokerws.Options{Lifetime: -1}); err == nil {
		t.Error("a negative lifetime is taken")
	}
}
