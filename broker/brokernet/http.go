package brokernet

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
)

// An HTTPConn is a TLS connection of the HTTP side of a [Mux]. It is no *tls.Conn, since an http.Server drops one
// whose ALPN name it does not know, as x-amzn-http-ca.
type HTTPConn struct {
	net.Conn
	tls *tls.Conn
}

// ConnectionState is that of the TLS connection.
func (c *HTTPConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// Wrap puts another connection before that of TLS: what the server reads and writes goes through it. Call it before the
// server has c.
func (c *HTTPConn) Wrap(wrap func(net.Conn) net.Conn) { c.Conn = wrap(c.Conn) }

type httpConnKey struct{}

// Prepare makes srv fill in Request.TLS for connections of the HTTP side of a [Mux], with the certificates of
// the client. Call it once before srv.Serve; it wraps srv.Handler and srv.ConnContext.
func Prepare(srv *http.Server) {
	handler, connContext := srv.Handler, srv.ConnContext
	if handler == nil {
		handler = http.DefaultServeMux
	}
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		if hc, ok := c.(*HTTPConn); ok {
			state := hc.ConnectionState()
			ctx = context.WithValue(ctx, httpConnKey{}, &state)
		}
		return ctx
	}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if state, ok := r.Context().Value(httpConnKey{}).(*tls.ConnectionState); ok && r.TLS == nil {
			r = r.WithContext(r.Context()) // a copy: r is not the handler's to change
			r.TLS = state
		}
		handler.ServeHTTP(w, r)
	})
}
