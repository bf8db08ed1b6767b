package clienttest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerpebble"
	"github.com/thingloom/thingloom/broker/brokerws"
)

// A server is a broker with all its listeners, on ports of its own.
type server struct {
	*broker.Broker
	tcp, tls string // host:port
	ws       string // URL
	pki      *pki
	stop     func()
	drivers  map[string]*driver

	mu         sync.Mutex
	principals map[string]string // by client ID
	subscribed map[string]chan struct{}
}

// Authenticate takes the certificate's name for the principal, or the user
// name; the password "wrong" is.
func (s *server) Authenticate(_ context.Context, c broker.Credentials) (string, error) {
	if string(c.Password) == "wrong" {
		return "", broker.ErrBadCredentials
	}
	principal := c.Username
	if c.TLS != nil && len(c.TLS.PeerCertificates) > 0 {
		principal = c.TLS.PeerCertificates[0].Subject.CommonName
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.principals[c.ClientID] = principal
	return principal, nil
}

// Authorize forbids what is below "forbidden/".
func (s *server) Authorize(_ context.Context, a broker.Access) error {
	for _, kind := range []string{"topic/", "topicfilter/"} {
		if rest := kind + "forbidden/"; len(a.Resource) > len(rest) && a.Resource[:len(rest)] == rest {
			return broker.ErrNotAuthorized
		}
	}
	return nil
}

// whenSubscribed is closed when client has subscribed.
func (s *server) whenSubscribed(client string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.subscribed[client]
	if c == nil {
		c = make(chan struct{})
		s.subscribed[client] = c
	}
	return c
}

// nextSubscribed is closed when client has subscribed after this.
func (s *server) nextSubscribed(client string) chan struct{} {
	s.mu.Lock()
	delete(s.subscribed, client)
	s.mu.Unlock()
	return s.whenSubscribed(client)
}

// start runs a broker on a store in fs, until the test ends or stop is called.
func start(t *testing.T, fs vfs.FS) *server {
	t.Helper()
	return startWith(t, fs, &broker.Options{LifecycleEvents: true})
}

// startAWS runs one with AWS IoT's limits, but for how soon a client may be back.
func startAWS(t *testing.T) *server {
	t.Helper()
	o := broker.AWSProfile()
	o.ConnectInterval = 0
	return startWith(t, vfs.NewMem(), o)
}

func startWith(t *testing.T, fs vfs.FS, o *broker.Options) *server {
	t.Helper()
	s := &server{pki: newPKI(t), principals: map[string]string{}, subscribed: map[string]chan struct{}{}, drivers: map[string]*driver{}}
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}})
	check(t, err)
	store, err := brokerpebble.Open(t.Context(), db, "broker/", nil)
	check(t, err)
	o.Authenticator, o.Authorizer = s, s
	o.Trace = &broker.Trace{Subscribed: func(c broker.ClientInfo, _ []broker.Subscription) {
		ch := s.whenSubscribed(c.ClientID)
		s.mu.Lock()
		defer s.mu.Unlock()
		select {
		case <-ch:
		default:
			close(ch)
		}
	}}
	s.Broker, err = broker.New(store, o)
	check(t, err)
	ws, err := brokerws.New(s.Broker, nil)
	check(t, err)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/mqtt" {
			http.NotFound(w, r)
			return
		}
		ws.ServeHTTP(w, r)
	}))
	s.ws = "ws" + web.URL[len("http"):] + "/mqtt"

	plain, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s.tcp, s.tls = plain.Addr().String(), secure.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, serve := range []func() error{
		func() error { return s.Serve(ctx, plain) },
		func() error { return s.Serve(ctx, tls.NewListener(secure, s.pki.server)) },
		func() error { return ws.Run(ctx) },
	} {
		wg.Go(func() {
			if err := serve(); err != nil {
				t.Errorf("serve: %v", err)
			}
		})
	}
	s.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		web.Close()
		if err := db.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A pki is a CA with certificates for the server and a device, on disk as
// programs want them, and a device of another CA.
type pki struct {
	server                  *tls.Config
	ca, cert, key           string
	foreignCert, foreignKey string
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	p := &pki{}
	own, foreign := newCA(t), newCA(t)
	serverCert, serverKey := own.issue(t, "localhost")
	pair, err := tls.X509KeyPair(serverCert, serverKey)
	check(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(own.cert)
	p.server = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, text, 0o600))
		return path
	}
	p.ca = file("ca.pem", own.pem)
	cert, key := own.issue(t, "device-1")
	p.cert, p.key = file("cert.pem", cert), file("key.pem", key)
	cert, key = foreign.issue(t, "device-1")
	p.foreignCert, p.foreignKey = file("foreign-cert.pem", cert), file("foreign-key.pem", key)
	return p
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newCA(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) issue(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	check(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	check(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
