package main

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/broker"
)

func TestMedian(t *testing.T) {
	results := []*result{{PerCPU: 9000, Lost: 2}, {PerCPU: 1000, Disconnects: 1}, {PerCPU: 5000, Failures: 3, Lost: 1}}
	r := &row{figure: perCPU, format: inThousands}
	if text, figure := median(r, results); figure != 5 || text != "5 k (3 lost) (3 not connected) (1 disconnected)" {
		t.Errorf("%q, %v", text, figure)
	}
	if text, _ := median(r, results[:1]); text != "1 k (1 disconnected)" {
		t.Errorf("a run without losses gives %q", text)
	}
}

// TestConfigurations: every target is told its address on loopback and, if it has TLS, both files, and no file names an
// address of all interfaces.
func TestConfigurations(t *testing.T) {
	for i := range known {
		k := &known[i]
		for _, secure := range []bool{false, !k.plain} {
			s := &site{dir: t.TempDir(), port: 40123}
			if secure {
				s.cert, s.key = "cert.pem", "key.pem"
			}
			command, err := k.command("program", s)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Join(command, " ")
			if conf, err := os.ReadFile(filepath.Join(s.dir, "broker.conf")); err == nil {
				text += " " + string(conf)
			}
			for _, want := range []string{"40123", s.cert, s.key} {
				if !strings.Contains(text, want) {
					t.Errorf("%s, TLS %v: no %q in %s", k.name, secure, want, text)
				}
			}
			if k.name != "eventloop" && !strings.Contains(text, "127.0.0.1") || strings.Contains(text, "0.0.0.0") || strings.Contains(text, `":`) {
				t.Errorf("%s, TLS %v: not on loopback alone: %s", k.name, secure, text)
			}
		}
	}
}

// TestSecureClient: a connection counts if the broker accepts it and its subscription, and only then.
func TestSecureClient(t *testing.T) {
	cert, key, err := certificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, authorizer := range []broker.Authorizer{broker.AllowAll{}, refusing{}} {
		b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: authorizer})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		go func() { served <- b.Serve(ctx, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}})) }()
		c, err := secureClient(l.Addr().String(), 7, true)
		if _, refused := authorizer.(refusing); (err != nil) != refused {
			t.Errorf("%T: %v", authorizer, err)
		}
		if c != nil {
			c.Close()
		}
		stop()
		<-served
	}
}

// refusing lets everybody connect and subscribe to nothing.
type refusing struct{}

func (refusing) Authorize(_ context.Context, a broker.Access) error {
	if a.Action == broker.ActionSubscribe {
		return broker.ErrNotAuthorized
	}
	return nil
}
