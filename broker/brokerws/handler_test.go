package brokerws_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/thingloom/thingloom/broker/brokerws"
)

// serve is a Server of one function.
type serve func(ctx context.Context, c net.Conn) error

func (f serve) ServeConn(ctx context.Context, c net.Conn) error { return f(ctx, c) }

// echo sends back what it gets, in frames of its own.
func echo(_ context.Context, c net.Conn) error {
	defer c.Close()
	_, err := io.Copy(c, c)
	return err
}

func newServer(t *testing.T, s brokerws.Server, opts *brokerws.Options) (*brokerws.Handler, *httptest.Server) {
	t.Helper()
	h, err := brokerws.New(s, opts)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return h, srv
}

func dial(t *testing.T, srv *httptest.Server, opts *websocket.DialOptions) *websocket.Conn {
	t.Helper()
	if opts.HTTPClient == nil {
		opts.HTTPClient = srv.Client()
	}
	c, _, err := websocket.Dial(t.Context(), srv.URL, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

func TestFrames(t *testing.T) {
	got := make(chan []byte, 1)
	_, srv := newServer(t, serve(func(_ context.Context, c net.Conn) error {
		defer c.Close()
		buf := make([]byte, 200_003)
		_, err := io.ReadFull(c, buf)
		got <- buf
		return err
	}), nil)
	c := dial(t, srv, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
	want := bytes.Repeat([]byte("0123456789"), 20_001)[:200_003]
	// Frames of all sizes: empty, one byte, above the library's limit of 32 KiB.
	for rest, size := want, 0; len(rest) > 0; size = size*9 + 1 {
		n := min(size, len(rest))
		if err := c.Write(t.Context(), websocket.MessageBinary, rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if b := <-got; !bytes.Equal(b, want) {
		t.Error("the server read other bytes than were sent")
	}
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("after the server closed, the client reads %v, want a normal closure", err)
	}
}

func TestTextFrameEnds(t *testing.T) {
	ended := make(chan error, 1)
	_, srv := newServer(t, serve(func(_ context.Context, c net.Conn) error {
		defer c.Close()
		_, err := c.Read(make([]byte, 10))
		ended <- err
		return err
	}), nil)
	c := dial(t, srv, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
	if err := c.Write(t.Context(), websocket.MessageText, []byte("text")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusUnsupportedData {
		t.Errorf("the client reads %v, want status %d", err, websocket.StatusUnsupportedData)
	}
	if err := <-ended; err == nil {
		t.Error("the server read a text frame without error [MQTT-6.0.0-1]")
	}
}

func TestHandshake(t *testing.T) {
	h, srv := newServer(t, serve(echo), &brokerws.Options{Origins: []string{"*.example.com"}})
	tests := []struct {
		name, protocols, origin string
		status                  int
		subprotocol             string
	}{
		{"mqtt", "mqtt", "", 101, "mqtt"},
		{"mqttv3.1", "mqttv3.1", "", 101, "mqttv3.1"},
		{"one of several", "foo, mqtt", "", 101, "mqtt"},
		{"no subprotocol", "", "", 400, ""},
		{"a foreign subprotocol", "chat", "", 400, ""},
		{"its own origin", "mqtt", srv.URL, 101, "mqtt"},
		{"an origin of the options", "mqtt", "https://app.example.com", 101, "mqtt"},
		{"a foreign origin", "mqtt", "https://example.org", 403, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", srv.URL, nil)
			for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
				"Sec-WebSocket-Key": "AAECAwQFBgcICQoLDA0ODw==", "Sec-WebSocket-Protocol": test.protocols, "Origin": test.origin} {
				if v != "" {
					req.Header.Set(k, v)
				}
			}
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != test.status || res.Header.Get("Sec-WebSocket-Protocol") != test.subprotocol {
				t.Errorf("status %d, subprotocol %q, want %d, %q", res.StatusCode, res.Header.Get("Sec-WebSocket-Protocol"), test.status, test.subprotocol)
			}
		})
	}
	res, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("a plain GET gets %d, want 426", res.StatusCode)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Run(over); err != nil { // which waits for all that was begun
		t.Error(err)
	}
	if s := h.Stats(); s.Accepted != 5 || s.Refused != 4 {
		t.Errorf("stats are %+v, want 5 accepted and 4 refused", s)
	}
}

func TestRequestReachesTheServer(t *testing.T) {
	conns := make(chan net.Conn, 1)
	h, err := brokerws.New(serve(func(_ context.Context, c net.Conn) error {
		conns <- c
		return echo(t.Context(), c)
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	defer srv.Close()
	client := srv.Client()
	client.Transport.(*http.Transport).TLSClientConfig.Certificates = srv.TLS.Certificates
	dial(t, srv, &websocket.DialOptions{Subprotocols: []string{"mqtt"}, HTTPHeader: http.Header{"X-Token": {"secret"}}, HTTPClient: client})
	c := (<-conns).(*brokerws.Conn)
	if got := c.Request().Header.Get("X-Token"); got != "secret" {
		t.Errorf("X-Token is %q", got)
	}
	if n := len(c.ConnectionState().PeerCertificates); n != 1 || !c.ConnectionState().HandshakeComplete {
		t.Errorf("the connection has %d peer certificates, want 1", n)
	}
	if addr, ok := c.RemoteAddr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() {
		t.Errorf("RemoteAddr is %v", c.RemoteAddr())
	}
}

func TestRun(t *testing.T) {
	started := make(chan struct{})
	h, srv := newServer(t, serve(func(ctx context.Context, c net.Conn) error {
		close(started)
		<-ctx.Done()
		_, err := c.Write([]byte("bye")) // as a broker writes its DISCONNECT
		return errors.Join(err, c.Close())
	}), nil)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	c := dial(t, srv, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
	<-started
	cancel()
	if _, b, err := c.Read(t.Context()); err != nil || string(b) != "bye" {
		t.Errorf("the client reads %q, %v", b, err)
	}
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the client reads %v, want a normal closure", err)
	}
	if err := <-ran; err != nil || h.Stats().Open != 0 {
		t.Errorf("Run gives %v with %d connections open", err, h.Stats().Open)
	}
	res, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after Run a request gets %d, want 503", res.StatusCode)
	}
}

// TestSilentPeer closes a connection whose peer never answers the close frame.
func TestSilentPeer(t *testing.T) {
	ended := make(chan error, 1)
	_, srv := newServer(t, serve(func(_ context.Context, c net.Conn) error {
		c.Close()
		_, err := c.Read(make([]byte, 1))
		ended <- err
		return err
	}), &brokerws.Options{CloseTimeout: 10 * time.Millisecond})
	conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")
	if err := <-ended; err == nil {
		t.Error("a read after Close gives no error")
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the peer's connection ends with %v, want EOF", err)
	}
}

func TestOptions(t *testing.T) {
	if _, err := brokerws.New(nil, nil); err == nil {
		t.Error("New without a server gives no error")
	}
	if _, err := brokerws.New(serve(echo), &brokerws.Options{Origins: []string{"[a"}, CloseTimeout: -1}); err == nil ||
		!strings.Contains(err.Error(), "origin") || !strings.Contains(err.Error(), "CloseTimeout") {
		t.Errorf("New gives %v, want an error that names both options", err)
	}
}
