package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRevocationLists(t *testing.T) {
	b := &backend{cfg: Config{Data: t.TempDir()}}
	if lists, err := b.revocationLists(t.Context()); err != nil || len(lists) > 0 {
		t.Errorf("without a folder: %v, %v", lists, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer := &x509.Certificate{KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}, issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(b.cfg.Data, "crls")
	if err := os.MkdirAll(filepath.Join(folder, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.crl", der)
	write("b.pem", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
	if lists, err := b.revocationLists(t.Context()); err != nil || len(lists) != 2 {
		t.Errorf("two lists: %v, %v", lists, err)
	}
	write("c.crl", []byte("no list"))
	if _, err := b.revocationLists(t.Context()); err == nil {
		t.Error("what is no list is left out in silence")
	}
}
