package broker

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// listen serves b on a new listener and returns how to dial it and how to end it.
func listen(t *testing.T, b *Broker, l net.Listener, dial func() (net.Conn, error)) (connect func(connectOpts) *peer, stop func() error) {
	t.Helper()
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx, l) }()
	connect = func(o connectOpts) *peer {
		t.Helper()
		nc, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{t: t, nc: nc, v: 5, done: make(chan error, 1)}
		p.done <- nil // Serve has it
		p.connect(o)
		p.connack(0)
		return p
	}
	return connect, func() error {
		cancel()
		err := <-served
		deadline := time.Now().Add(5 * time.Second)
		for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
			runtime.Gosched()
		}
		if n := runtime.NumGoroutine(); n > before {
			buf := make([]byte, 1<<16)
			t.Errorf("%d goroutines, %d before:\n%s", n, before, buf[:runtime.Stack(buf, true)])
		}
		return err
	}
}

func listenOn(t *testing.T, network, addr string) (net.Listener, func() (net.Conn, error)) {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return l, func() (net.Conn, error) { return net.Dial(network, l.Addr().String()) }
}

func TestServeSockets(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			addr := "127.0.0.1:0"
			if network == "unix" {
				addr = filepath.Join(t.TempDir(), "mqtt")
			}
			b := open(t, NewMemStore(), nil)
			l, dial := listenOn(t, network, addr)
			connect, stop := listen(t, b, l, dial)
			sub := connect(connectOpts{id: "sub", expiry: 60})
			sub.subscribe(1, "#")
			pub := connect(connectOpts{v: 4, id: "pub"})
			big := strings.Repeat("x", 300_000) // more than any buffer
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := range 50 {
					pub.write(pub.publishFrame(2, uint16(i+1), "t", fmt.Sprint(i, big)))
				}
			})
			wg.Go(func() {
				for i := range 50 {
					pub.want(0x40, u16(uint16(i+1)))
				}
			})
			for i := range 50 {
				d := sub.receive()
				if d.payload != fmt.Sprint(i, big) {
					t.Errorf("message %d: %.20s, %d bytes", i, d.payload, len(d.payload))
				}
				sub.puback(d.id)
			}
			wg.Wait()
			if err := stop(); err != nil {
				t.Errorf("Serve: %v", err)
			}
			sub.want(0xE0, []byte{0x8B})
			if _, err := pub.readErr(); !errors.Is(err, io.EOF) {
				t.Errorf("3.1.1 client got %v", err)
			}
			sub.nc.Close()
			pub.nc.Close()
		})
	}
}

// TestGoodbyeIsNotLostInAReset: a client that is cut off while more of its
// bytes are under way still reads why.
func TestGoodbyeIsNotLostInAReset(t *testing.T) {
	b := open(t, NewMemStore(), nil)
	l, dial := listenOn(t, "tcp", "127.0.0.1:0")
	connect, stop := listen(t, b, l, dial)
	for range 20 {
		p := connect(connectOpts{id: "p"})
		p.write(unhex(t, "36 00"), bytes.Repeat([]byte{0xC0, 0}, 5000))
		p.want(0xE0, []byte{0x81})
		p.nc.Close()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestServeDrainsWhatIsUnderWay(t *testing.T) {
	b := open(t, NewMemStore(), nil)
	entered, leave := make(chan struct{}), make(chan struct{})
	_, _ = b.Subscribe("slow", func(ctx context.Context, _ string, _ []byte) error {
		close(entered)
		<-leave
		return ctx.Err() // is not done yet
	})
	var stop func() error
	begin, done := make(chan struct{}), make(chan error)
	go func() { <-begin; done <- stop() }() // before goroutines are counted
	l, dial := listenOn(t, "tcp", "127.0.0.1:0")
	connect, stopServe := listen(t, b, l, dial)
	stop = stopServe
	p := connect(connectOpts{id: "p"})
	p.write(p.publishFrame(2, 1, "slow", ""))
	<-entered
	close(begin)
	if _, err := l.Accept(); err == nil {
		t.Error("the listener is open")
	}
	close(leave)
	p.want(0x40, u16(1))
	p.want(0xE0, []byte{0x8B})
	p.nc.Close()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeGivesUpOnAHandlerThatHangs(t *testing.T) {
	b := open(t, NewMemStore(), func(o *Options) { o.DrainTimeout = 10 * time.Millisecond })
	entered := make(chan struct{})
	_, _ = b.Subscribe("hang", func(ctx context.Context, _ string, _ []byte) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	l, dial := listenOn(t, "tcp", "127.0.0.1:0")
	connect, stop := listen(t, b, l, dial)
	p := connect(connectOpts{id: "p"})
	p.write(p.publishFrame(2, 1, "hang", ""))
	<-entered
	if err := stop(); err == nil || !strings.Contains(err.Error(), "1 connections") {
		t.Errorf("Serve: %v", err)
	}
	p.nc.Close()
}

type byCertificate struct{}

func (byCertificate) Authenticate(_ context.Context, c Credentials) (string, error) {
	if c.TLS == nil || len(c.TLS.PeerCertificates) == 0 {
		return "", ErrNotAuthorized
	}
	return c.TLS.PeerCertificates[0].Subject.CommonName, nil
}

func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestServeTLSWithClientCertificate(t *testing.T) {
	b := open(t, NewMemStore(), func(o *Options) { o.Authenticator = byCertificate{} })
	inner, _ := listenOn(t, "tcp", "127.0.0.1:0")
	l := tls.NewListener(inner, &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "server")}, ClientAuth: tls.RequireAnyClientCert})
	device := selfSigned(t, "device-7")
	connect, stop := listen(t, b, l, func() (net.Conn, error) {
		return tls.Dial("tcp", inner.Addr().String(), &tls.Config{Certificates: []tls.Certificate{device}, InsecureSkipVerify: true})
	})
	p := connect(connectOpts{id: "p"})
	if c, err := b.Client("p"); err != nil || c.Principal != "device-7" {
		t.Errorf("%+v, %v", c, err)
	}
	p.subscribe(1, "t")
	p.write(p.publishFrame(2, 1, "t", strings.Repeat("x", 100_000)))
	if d := p.receive(); len(d.payload) != 100_000 {
		t.Errorf("%d bytes", len(d.payload))
	}
	p.want(0x40, u16(1))
	// One without TLS is refused before MQTT begins.
	plain, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	plain.Write(connectFrame(connectOpts{id: "q"}))
	io.Copy(io.Discard, plain)
	plain.Close()
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	p.nc.Close()
}

// TestManyClientsAtOnce is for the race detector: clients come, take each other
// over, publish, subscribe and are cut, all at the same time.
func TestManyClientsAtOnce(t *testing.T) {
	b := open(t, NewMemStore(), func(o *Options) { o.LifecycleEvents = true })
	l, dial := listenOn(t, "tcp", "127.0.0.1:0")
	_, stop := listen(t, b, l, dial)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 30 {
				nc, err := dial()
				if err != nil {
					t.Error(err)
					return
				}
				o := connectOpts{v: byte(4 + i%2), id: fmt.Sprintf("c%d", (g+i)%5), resume: i%3 > 0, expiry: uint32(i % 4), will: &willOpts{topic: "w", qos: 1}}
				p := &peer{t: t, nc: nc, v: o.v}
				all := connectFrame(o)
				all = append(all, frame(0x82, u16(1), p.props(), str("#"), []byte{1})...)
				for k := range 20 {
					all = append(all, p.publishFrame(byte(k%2)*2, uint16(k+1), fmt.Sprintf("t/%d", k), "x")...)
				}
				all = append(all, 0xC0, 0)
				if i%2 == 0 {
					all = append(all, 0xE0, 0)
				}
				nc.Write(all) // may be taken over in between
				for {
					k, err := p.readErr()
					if err != nil && isTimeout(err) {
						t.Errorf("client %s: neither answer nor end", o.id)
					}
					if err != nil || k.first == 0xD0 {
						break
					}
				}
				if i%5 == 0 {
					_ = b.Kick(o.id, "")
				}
				b.InvalidateAuth()
				for range b.Clients() {
				}
				nc.Close()
			}
		})
	}
	wg.Wait()
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if s := b.Stats(); s.Connections != 0 || s.Panics != 0 {
		t.Errorf("%+v", s)
	}
}
