package awsauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// Listener is l for an http.Server, with what the server refuses before any
// handler sees it (no HTTP, a header that is too large) answered in the shape of
// AWS, which the server itself writes as plain text and lets nobody change.
//
// A connection that has a method Wrap(func(net.Conn) net.Conn), as those of
// brokernet's Mux, is kept and asked to wrap what it writes to.
func Listener(l net.Listener) net.Listener { return refusing{l} }

type refusing struct{ net.Listener }

func (l refusing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return c, err
	}
	if own, ok := c.(interface{ Wrap(func(net.Conn) net.Conn) }); ok {
		own.Wrap(func(below net.Conn) net.Conn { return &refusingConn{below} })
		return c, nil
	}
	return &refusingConn{c}, nil
}

type refusingConn struct{ net.Conn }

// Write translates a refusal of the server, which is one write of its own.
func (c *refusingConn) Write(b []byte) (int, error) {
	status, text, ok := refusalOf(b)
	if !ok {
		return c.Conn.Write(b)
	}
	name := "InvalidRequestException"
	if status == http.StatusNotImplemented {
		name = "NotImplementedException"
	}
	body, err := json.Marshal(struct {
		Message string `json:"message"`
	}{text})
	if err != nil {
		return c.Conn.Write(b)
	}
	answer := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nx-amzn-ErrorType: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), name, len(body), body)
	if _, err := c.Conn.Write(answer); err != nil {
		return 0, err
	}
	return len(b), nil
}

// What net/http writes between the first line of a refusal and its text. The
// answers of handlers have other headers there, the date at least.
var refusalHead = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

func refusalOf(b []byte) (status int, text string, ok bool) {
	line, rest, found := bytes.Cut(b, refusalHead)
	if !found || len(b) > 1024 || len(line) < len("HTTP/1.1 400") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, "", false
	}
	status, err := strconv.Atoi(string(line[9:12]))
	return status, string(rest), err == nil && status >= 400
}

// ReadFrom leaves a file to the connection below, which has a way of its own.
func (c *refusingConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// CloseWrite is what the server calls so that a client can read the refusal
// while it still sends.
func (c *refusingConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
