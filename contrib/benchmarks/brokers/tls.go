package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// certificate writes one for a broker, with its key, and returns the names of the two files.
func certificate(dir string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	public, err := x509.CreateCertificate(rand.Reader, t, t, private.Public(), private)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public}), 0o600); err != nil {
		return "", "", err
	}
	return cert, key, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}

// loadTLS opens as many connections with TLS as flags say, 16 at a time, each with a whole handshake, and, if they say so
// too, a subscription for each. It returns the connections per second of the broker's CPU time and, after they were idle
// for a while, what one of them costs in memory.
func (s *serving) loadTLS(flags string, settle time.Duration) (*result, error) {
	var options flag.FlagSet
	n := options.Int("conns", 0, "")
	subscribe := options.Bool("subscribe", false, "")
	if err := options.Parse(strings.Fields(flags)); err != nil {
		return nil, err
	}
	before, err := s.ResidentKiB()
	if err != nil {
		return nil, err
	}
	begin, err := s.CPU()
	if err != nil {
		return nil, err
	}
	conns := make([]*tls.Conn, *n)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	errs := make([]error, 16)
	var all sync.WaitGroup
	for w := range errs {
		all.Go(func() {
			for i := w; i < *n && errs[w] == nil; i += len(errs) {
				conns[i], errs[w] = secureClient(s.addr(), i, *subscribe)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	end, err := s.CPU()
	if err != nil {
		return nil, err
	}
	r := &result{PerCPU: float64(*n) / (end - begin).Seconds()}
	if !*subscribe {
		return r, nil
	}
	time.Sleep(settle)
	r.RSS, err = s.ResidentKiB()
	r.Each = (r.RSS - before) / float64(*n)
	return r, err
}

// secureClient is a connection with TLS and MQTT whose client may have a subscription of its own.
func secureClient(addr string, i int, subscribe bool) (*tls.Conn, error) {
	c, err := tls.Dial("tcp", addr, &tls.Config{
		InsecureSkipVerify: true,                      // the certificate is made for the run
		CurvePreferences:   []tls.CurveID{tls.X25519}, // so that all do the same: brokers in Go would take the costlier X25519MLKEM768, which others may not have
	})
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return c, err
	}
	id := fmt.Sprintf("idle-%06d", i)
	filter := "idle/" + id
	packets := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0x0e, 0x10, 0, byte(len(id))}, id...)
	accepted := []byte{0x20, 2, 0, 0} // CONNACK
	if subscribe {
		packets = append(packets, 0x82, byte(5+len(filter)), 0, 1, 0, byte(len(filter)))
		packets = append(append(packets, filter...), 0)
		accepted = append(accepted, 0x90, 3, 0, 1, 0) // SUBACK
	}
	if _, err := c.Write(packets); err != nil {
		return c, err
	}
	answer := make([]byte, len(accepted))
	if _, err := io.ReadFull(c, answer); err != nil {
		return c, err
	}
	if !bytes.Equal(answer, accepted) {
		return c, fmt.Errorf("the broker answers % x", answer)
	}
	return c, nil
}
