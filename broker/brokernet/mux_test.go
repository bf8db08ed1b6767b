package brokernet_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokernet"
)

// write makes a self-signed certificate and writes it to dir.
func write(t *testing.T, dir, name string, serial int64) brokernet.CertificateFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	f := brokernet.CertificateFiles{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	for file, block := range map[string]*pem.Block{f.Cert: {Type: "CERTIFICATE", Bytes: der}, f.Key: {Type: "EC PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// TestMux: one port behind a proxy, MQTT and HTTP by ALPN, on TLS 1.2 and 1.3 with a client certificate.
func TestMux(t *testing.T) {
	dir := t.TempDir()
	certs, err := brokernet.NewCertificates([]brokernet.CertificateFiles{write(t, dir, "iot.example.com", 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	device, err := tls.LoadX509KeyPair(filepath.Join(dir, "iot.example.com.pem"), filepath.Join(dir, "iot.example.com.key"))
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxied, err := brokernet.NewProxyListener(inner, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})
	if err != nil {
		t.Fatal(err)
	}
	mux, err := brokernet.NewMux(proxied, &tls.Config{GetCertificate: certs.GetCertificate, ClientAuth: tls.RequestClientCert}, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan broker.Credentials, 1)
	b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: remember{seen: seen}, Authorizer: broker.AllowAll{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 2)
	go func() { ran <- mux.Run(ctx) }()
	go func() { ran <- b.Serve(ctx, mux.MQTT()) }()
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.NegotiatedProtocol+" from "+r.RemoteAddr)
	})}
	brokernet.Prepare(srv)
	go srv.Serve(mux.HTTP())
	defer srv.Close()

	dial := func(version uint16, protocols ...string) (*tls.Conn, error) {
		nc, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		io.WriteString(nc, "PROXY TCP4 192.0.2.9 198.51.100.2 4711 443\r\n")
		c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, ServerName: "iot.example.com", NextProtos: protocols,
			Certificates: []tls.Certificate{device}, MinVersion: version, MaxVersion: version})
		return c, c.HandshakeContext(t.Context())
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, protocol := range []string{"x-amzn-mqtt-ca", "mqtt"} {
			c, err := dial(version, protocol)
			if err != nil {
				t.Fatal(err)
			}
			c.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c"))
			var ack [4]byte
			if _, err := io.ReadFull(c, ack[:]); err != nil || ack != [4]byte{0x20, 2, 0, 0} {
				t.Fatalf("%s: CONNACK %x, %v", protocol, ack, err)
			}
			cred := <-seen
			if cred.TLS.NegotiatedProtocol != protocol || cred.TLS.Version != version || len(cred.TLS.PeerCertificates) != 1 || cred.RemoteAddr.String() != "192.0.2.9:4711" {
				t.Errorf("the broker sees %q, version %x, %d certificates, %v", cred.TLS.NegotiatedProtocol, cred.TLS.Version, len(cred.TLS.PeerCertificates), cred.RemoteAddr)
			}
			c.Close()
		}
		for _, protocols := range [][]string{{"x-amzn-http-ca"}, {"http/1.1"}, nil} {
			c, err := dial(version, protocols...)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			got, err := io.ReadAll(c)
			want := " from 192.0.2.9:4711"
			if len(protocols) > 0 {
				want = protocols[0] + want
			}
			if s := string(got); err != nil || len(s) < len(want) || s[len(s)-len(want):] != want {
				t.Errorf("%q: %q, %v", protocols, s, err)
			}
		}
		if _, err := dial(version, "smtp"); err == nil {
			t.Error("a client of a foreign protocol alone was let in")
		}
	}
	stop()
	for range 2 {
		if err := <-ran; err != nil {
			t.Errorf("after its context: %v", err)
		}
	}
	if s := mux.Stats(); s != (brokernet.MuxStats{MQTT: 4, HTTP: 6, Failed: 2}) {
		t.Errorf("stats are %+v", s)
	}
	if _, err := mux.MQTT().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after the end: %v", err)
	}
}

type remember struct {
	broker.AllowAll
	seen chan broker.Credentials
}

func (r remember) Authenticate(_ context.Context, c broker.Credentials) (string, error) {
	r.seen <- c
	return "p", nil
}

func TestMuxOptions(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, o := range []brokernet.MuxOptions{{HTTPProtocols: []string{"mqtt"}}, {HandshakeTimeout: -1}, {MaxHandshakes: -1}} {
		if _, err := brokernet.NewMux(l, &tls.Config{}, &o); err == nil {
			t.Errorf("%+v gives no error", o)
		}
	}
	if _, err := brokernet.NewMux(l, nil, nil); err == nil {
		t.Error("no tls.Config gives no error")
	}
}

// TestSlowHandshake: who does not shake hands is cut, and others are served meanwhile.
func TestSlowHandshake(t *testing.T) {
	certs, err := brokernet.NewCertificates([]brokernet.CertificateFiles{write(t, t.TempDir(), "a", 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux, err := brokernet.NewMux(l, &tls.Config{GetCertificate: certs.GetCertificate}, &brokernet.MuxOptions{HandshakeTimeout: 200 * time.Millisecond, PlainIsMQTT: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- mux.Run(ctx) }()
	slow, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	slow.Write([]byte{0x16, 3, 1})
	go func() {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			c.Write([]byte("x"))
			c.Close()
		}
	}()
	c, err := mux.MQTT().Accept()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	c.Close()
	if _, err := io.ReadAll(slow); err != nil {
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			t.Errorf("the slow peer: %v", err)
		}
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	files := []brokernet.CertificateFiles{write(t, dir, "a.example.com", 1), write(t, dir, "b.example.com", 2)}
	certs, err := brokernet.NewCertificates(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	strict, err := brokernet.NewCertificates(files, &brokernet.CertificateOptions{NameRequired: true})
	if err != nil {
		t.Fatal(err)
	}
	serial := func(c *brokernet.Certificates, name string) int64 {
		t.Helper()
		ours, theirs := net.Pipe()
		defer ours.Close()
		go func() {
			s := tls.Server(theirs, &tls.Config{GetCertificate: c.GetCertificate})
			_ = s.Handshake()
			s.Close()
		}()
		client := tls.Client(ours, &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if err := client.Handshake(); err != nil {
			return -1
		}
		return client.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	for name, want := range map[string]int64{"a.example.com": 1, "b.example.com": 2, "c.example.com": 1, "": 1} {
		if got := serial(certs, name); got != want {
			t.Errorf("%q gets certificate %d, want %d", name, got, want)
		}
	}
	if got := serial(strict, "c.example.com"); got != -1 {
		t.Errorf("with NameRequired an unknown name gets certificate %d", got)
	}

	write(t, dir, "b.example.com", 3)
	if err := certs.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := serial(certs, "b.example.com"); got != 3 {
		t.Errorf("after a reload: certificate %d, want 3", got)
	}
	if err := os.WriteFile(files[0].Cert, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := certs.Reload(); err == nil {
		t.Error("a broken file gives no error")
	}
	if got := serial(certs, "a.example.com"); got != 1 {
		t.Errorf("after a failed reload: certificate %d, want 1", got)
	}
	if _, err := brokernet.NewCertificates(nil, nil); err == nil {
		t.Error("no files give no error")
	}
}

// TestCertificatesRun: a file that changes is noticed without anybody's call.
func TestCertificatesRun(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "a", 1)
	certs, err := brokernet.NewCertificates([]brokernet.CertificateFiles{file}, &brokernet.CertificateOptions{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- certs.Run(ctx) }()
	write(t, dir, "a", 2)
	later := time.Now().Add(time.Minute) // a clock of one second's grain would not see it
	if err := os.Chtimes(file.Cert, later, later); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := certs.GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		if c.Leaf.SerialNumber.Int64() == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new certificate was not read")
		}
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// byPeer admits the processes of one user.
type byPeer struct {
	broker.AllowAll
	seen chan brokernet.Peer
}

func (a byPeer) Authenticate(_ context.Context, c broker.Credentials) (string, error) {
	p, err := brokernet.UnixPeer(c.Conn)
	if err != nil {
		return "", err
	}
	a.seen <- p
	return "local", nil
}

func TestUnixPeer(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "mqtt"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan brokernet.Peer, 1)
	b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: byPeer{seen: seen}, Authorizer: broker.AllowAll{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- b.Serve(ctx, l) }()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c"))
	var ack [4]byte
	if _, err := io.ReadFull(c, ack[:]); err != nil {
		t.Fatal(err)
	}
	if ack[3] == 0 {
		if p := <-seen; int(p.UID) != os.Getuid() || p.PID != os.Getpid() {
			t.Errorf("the peer is %+v", p)
		}
	} else if _, err := brokernet.UnixPeer(c); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("CONNACK %x, and UnixPeer says %v", ack, err)
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
