// Command mochi serves the mochi broker, for measuring it beside others.
package main

import (
	"crypto/tls"
	"flag"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:1883", "listen here")
	cert := flag.String("cert", "", "with TLS, by the certificate in this file")
	key := flag.String("key", "", "file of its key")
	flag.Parse()
	config := listeners.Config{ID: "t", Address: *addr}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			log.Fatal(err)
		}
		config.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	s := mqtt.New(&mqtt.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	s.Options.Capabilities.MaximumClientWritesPending = 1 << 16
	_ = s.AddHook(new(auth.AllowHook), nil)
	if err := s.AddListener(listeners.NewTCP(config)); err != nil {
		log.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		log.Fatal(err)
	}
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt)
	<-ch
}
