// Command shadow-only uses one package of the six: shadows over HTTP, kept in
// memory, for anybody on this machine.
//
//	go run ./examples/shadow-only
//	curl -d '{"state":{"desired":{"on":true}}}' localhost:8081/things/lamp-7/shadow
//	curl localhost:8081/things/lamp-7/shadow
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowhttp"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8081", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, l, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run serves on l until ctx is done, and prints every change to out.
func run(ctx context.Context, l net.Listener, out io.Writer) error {
	print := log.New(out, "", 0) // changes of different shadows are told at the same time
	svc, err := shadow.New(shadow.NewMemStore(), nil)
	if err != nil {
		return err
	}
	defer svc.Observe(func(_ context.Context, c shadow.Change) {
		print.Printf("%s version %d delta %s", c.Ref, c.After.Version, c.Delta)
	})()
	server := &http.Server{
		Handler:           shadowhttp.Handler(svc, &shadowhttp.Options{Authorize: shadowhttp.AllowAll}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	print.Printf("serving shadows on http://%s/things/{thing}/shadow", l.Addr())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = server.Shutdown(drain)
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
