// Command thingloom serves the broker package alone, for measuring it beside others: everybody may do everything, and
// nothing is kept.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"

	"github.com/thingloom/thingloom/broker"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	addr := flag.String("addr", "127.0.0.1:1883", "listen here")
	cert := flag.String("cert", "", "with TLS, by the certificate in this file")
	key := flag.String("key", "", "file of its key")
	filters := flag.Int("filters", 0, "this many subscriptions that match nothing")
	profile := flag.String("pprof", "", "serve profiles here")
	flag.Parse()

	b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
	if err != nil {
		return err
	}
	for i := range *filters {
		_, err := b.Subscribe(fmt.Sprintf("other/%d/+/x", i), func(context.Context, string, []byte) error { return nil })
		if err != nil {
			return err
		}
	}
	if *profile != "" {
		go func() { log.Print(http.ListenAndServe(*profile, nil)) }()
	}
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			return err
		}
		l = tls.NewListener(broker.ForTLS(l), &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.Serve(ctx, l); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
