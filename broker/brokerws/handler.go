package brokerws

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/coder/websocket"
)

// A Server serves one client over a connection until it ends;
// [*github.com/thingloom/thingloom/broker.Broker] does.
type Server interface {
	ServeConn(ctx context.Context, c net.Conn) error
}

var subprotocols = []string{"mqtt", "mqttv3.1"}

// A Handler turns WebSocket requests into connections of a Server.
type Handler struct {
	server Server
	opts   Options

	// ctx is that of all connections; it ends with Run's.
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	conns  sync.WaitGroup // added to under mu, while not closed

	accepted, refused atomic.Int64
	open              atomic.Int64
}

var _ http.Handler = (*Handler)(nil)

// Stats are counts since New, but for the gauge Open.
type Stats struct {
	Open     int64 // connections now
	Accepted int64
	Refused  int64 // requests that were no MQTT over WebSocket, or of a foreign origin
}

// New returns a Handler that hands connections to s.
func New(s Server, opts *Options) (*Handler, error) {
	if s == nil {
		return nil, errors.New("brokerws: no server")
	}
	o, err := opts.filled()
	if err != nil {
		return nil, err
	}
	h := &Handler{server: s, opts: o}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h, nil
}

// Run waits until ctx is done, then ends the connections by ending the context
// that ServeConn was given, refuses new ones, and returns once all are gone.
// An HTTP server that shuts down does not do that: it forgets hijacked
// connections. A Handler without Run works until the process ends.
func (h *Handler) Run(ctx context.Context) error {
	<-ctx.Done()
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	h.conns.Wait()
	return nil
}

// Stats returns the counts so far.
func (h *Handler) Stats() Stats {
	return Stats{Open: h.open.Load(), Accepted: h.accepted.Load(), Refused: h.refused.Load()}
}

// begin takes part in conns, unless Run is over.
func (h *Handler) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.conns.Add(1)
	return true
}

// ServeHTTP answers a WebSocket handshake and returns when the connection has
// ended. Requests that are none get 400 or 426, those of a foreign origin 403.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.begin() {
		h.refused.Add(1)
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	defer h.conns.Done()
	upgrade := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	if upgrade && !slices.ContainsFunc(offered(r), known) {
		h.refused.Add(1)
		http.Error(w, "the subprotocol must be mqtt", http.StatusBadRequest)
		return
	}
	hw := &hijacker{ResponseWriter: w}
	ws, err := websocket.Accept(hw, r, &websocket.AcceptOptions{
		Subprotocols:       subprotocols,
		OriginPatterns:     h.opts.Origins,
		InsecureSkipVerify: slices.Contains(h.opts.Origins, "*"),
	})
	if err != nil { // Accept has answered
		h.refused.Add(1)
		h.opts.Logger.Debug("websocket refused", "remote", r.RemoteAddr, "err", err)
		return
	}
	h.accepted.Add(1)
	h.open.Add(1)
	defer h.open.Add(-1)

	c := newConn(h.ctx, ws, hw.raw, r, &h.opts)
	if err := h.server.ServeConn(h.ctx, c); err != nil {
		h.opts.Logger.Debug("websocket connection ended", "remote", r.RemoteAddr, "err", err)
	}
	c.finish()
}

// offered are the subprotocols that the client offers.
func offered(r *http.Request) []string {
	var all []string
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for _, p := range strings.Split(line, ",") {
			all = append(all, strings.TrimSpace(p))
		}
	}
	return all
}

func known(subprotocol string) bool {
	return slices.ContainsFunc(subprotocols, func(s string) bool { return strings.EqualFold(s, subprotocol) })
}
