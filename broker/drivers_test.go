package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// sockets are where brokers of tests listen, if they do: dial uses it. By *Broker.
var sockets sync.Map

// A socketServer serves a broker on TCP and sorts the ends of connections.
type socketServer struct {
	addr   string
	secure *tls.Config // of the clients, nil without TLS

	mu    sync.Mutex
	conns []net.Conn
	done  map[string]chan error // by the client's address
}

func (s *socketServer) end(client string) chan error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done[client] == nil {
		s.done[client] = make(chan error, 1)
	}
	return s.done[client]
}

// onSockets opens a broker to which dial connects by TCP, and thus, on Linux, by its event loops.
func onSockets(t *testing.T, opts ...func(*Options)) *Broker {
	t.Helper()
	return listening(t, nil, opts...)
}

// onTLS is onSockets with TLS.
func onTLS(t *testing.T, opts ...func(*Options)) *Broker {
	t.Helper()
	return listening(t, serverTLS(), opts...)
}

func listening(t *testing.T, secure *tls.Config, opts ...func(*Options)) *Broker {
	t.Helper()
	b := open(t, NewMemStore(), all(opts))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if loops := newLoops(t.Context(), b, l); loops == nil {
		l.Close()
		t.Skip("no event loops on this system")
	} else {
		loops.close()
	}
	s := &socketServer{addr: l.Addr().String(), done: map[string]chan error{}}
	if secure != nil {
		l = tls.NewListener(ForTLS(l), secure)
		s.secure = &tls.Config{InsecureSkipVerify: true}
	}
	b.ended = func(c net.Conn, err error) { s.end(c.RemoteAddr().String()) <- err }
	sockets.Store(b, s)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- b.Serve(ctx, l) }()
	t.Cleanup(func() {
		s.mu.Lock()
		for _, c := range s.conns {
			_ = c.Close() // else the broker waits for them a while
		}
		s.mu.Unlock()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		sockets.Delete(b)
	})
	return b
}

// dialSocket connects a peer to b by TCP, if it listens.
func dialSocket(t testing.TB, b *Broker) *peer {
	v, ok := sockets.Load(b)
	if !ok {
		return nil
	}
	s := v.(*socketServer)
	nc, err := net.Dial("tcp", s.addr)
	if err == nil && s.secure != nil {
		secure := tls.Client(nc, s.secure)
		nc, err = secure, secure.Handshake()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.conns = append(s.conns, nc)
	s.mu.Unlock()
	return &peer{t: t, nc: nc, v: 5, done: s.end(nc.LocalAddr().String())}
}

// serverTLS has a certificate of its own, made once.
var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	one := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, one, one, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})
