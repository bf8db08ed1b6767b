// Command thingloom serves the broker package alone, for measuring it beside others: everybody may do everything, and
// nothing is kept unless -pebble says where.
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

	"github.com/cockroachdb/pebble/v2"
	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerpebble"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	addr := flag.String("addr", "127.0.0.1:1883", "listen here")
	secure := flag.Bool("tls", false, "with TLS, by a certificate made at the start")
	dir := flag.String("pebble", "", "keep sessions in this folder; default in memory")
	sessions := flag.String("sessions", "", "clean or persistent: rewrite what every CONNECT of version 3.1.1 asks for, for load generators that cannot; such connections are read by goroutines, not by event loops")
	filters := flag.Int("filters", 0, "this many subscriptions that match nothing")
	profile := flag.String("pprof", "", "serve profiles here")
	flag.Parse()

	var store broker.Store = broker.NewMemStore()
	if *dir != "" {
		db, err := pebble.Open(*dir, &pebble.Options{})
		if err != nil {
			return err
		}
		defer db.Close()
		if store, err = brokerpebble.Open(context.Background(), db, "b/", nil); err != nil {
			return err
		}
	}
	b, err := broker.New(store, &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
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
	if *sessions != "" {
		l = rewriting{l, *sessions == "persistent"}
	}
	if *secure {
		cert, err := certificate()
		if err != nil {
			return err
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
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

// rewriting sets the clean session flag of each connection's CONNECT.
type rewriting struct {
	net.Listener
	persistent bool
}

func (l rewriting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &rewritten{Conn: c, persistent: l.persistent}, nil
}

type rewritten struct {
	net.Conn
	persistent, done bool
}

func (c *rewritten) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.done {
		c.done = true
		i := 1
		for i < n && p[i]&0x80 != 0 { // the remaining length
			i++
		}
		if i += 2 + len("\x00\x04MQTT"); i >= n || p[0] != 0x10 || p[i-1] != 4 {
			return 0, errors.New("the first bytes are not a whole CONNECT of version 3.1.1")
		}
		if p[i] &^= 2; !c.persistent {
			p[i] |= 2
		}
	}
	return n, err
}
