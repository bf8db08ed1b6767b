// Command thingloom serves the broker package alone, for measuring it beside others: everybody may do everything, and
// nothing is kept.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"time"

	"github.com/thingloom/thingloom/broker"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	addr := flag.String("addr", "127.0.0.1:1883", "listen here")
	secure := flag.Bool("tls", false, "with TLS, by a certificate made at the start")
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
	if *secure {
		cert, err := certificate()
		if err != nil {
			return err
		}
		l = tls.NewListener(broker.ForTLS(l), &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.Serve(ctx, l); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
