package main

import (
	"io"
	"net/http"
	"os"
	"time"
)

// leastRate is how many bytes a second a client has to send or take, once patience is used up.
const leastRate = 16 << 10

// A wait bounds how long one direction of a request waits for the client: patience, and then as long as the client keeps
// leastRate. What the handler does meanwhile does not count.
type wait struct {
	left time.Duration
}

// begin returns until when a read or write may wait.
func (w *wait) begin() (began, until time.Time) {
	began = time.Now()
	return began, began.Add(max(w.left, 0))
}

func (w *wait) end(began time.Time, n int) {
	w.left += time.Duration(n)*time.Second/leastRate - time.Since(began)
}

// hurry ends requests whose clients do not send their body, or do not take the answer.
func hurry(next http.Handler, patience time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctl := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			// Also for a handler that leaves the body alone: the server reads some of it then. Without deadlines, as in
			// tests of the handler, clients are waited for.
			_ = ctl.SetReadDeadline(time.Now().Add(patience))
			r.Body = &hurriedBody{ReadCloser: r.Body, ctl: ctl, wait: wait{patience}}
		}
		next.ServeHTTP(&hurriedAnswer{ResponseWriter: w, ctl: ctl, wait: wait{patience}}, r)
	})
}

type hurriedBody struct {
	io.ReadCloser
	ctl  *http.ResponseController
	wait wait
}

func (b *hurriedBody) Read(p []byte) (int, error) {
	if b.wait.left <= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	began, until := b.wait.begin()
	_ = b.ctl.SetReadDeadline(until)
	n, err := b.ReadCloser.Read(p)
	b.wait.end(began, n)
	if err == io.EOF { // the server now listens for the end of the connection, which may take any time
		_ = b.ctl.SetReadDeadline(time.Time{})
	}
	return n, err
}

type hurriedAnswer struct {
	http.ResponseWriter
	ctl  *http.ResponseController
	wait wait
}

func (a *hurriedAnswer) Write(p []byte) (int, error) {
	if a.wait.left <= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	began, until := a.wait.begin()
	_ = a.ctl.SetWriteDeadline(until)
	n, err := a.ResponseWriter.Write(p)
	a.wait.end(began, n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *hurriedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
