// Command durable serves the broker package with its sessions on disk, for measuring what that costs. It is a program of
// its own so that the one without a disk is no larger than it must be.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"

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
	dir := flag.String("pebble", "", "keep sessions in this folder")
	sessions := flag.String("sessions", "persistent", "clean or persistent: rewrite what every CONNECT of version 3.1.1 asks for, for load generators that cannot; such connections are read by goroutines, not by event loops")
	flag.Parse()

	db, err := pebble.Open(*dir, &pebble.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	store, err := brokerpebble.Open(context.Background(), db, "b/", nil)
	if err != nil {
		return err
	}
	b, err := broker.New(store, &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	l = rewriting{l, *sessions == "persistent"}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.Serve(ctx, l); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
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
