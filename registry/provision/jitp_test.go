package provision

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/thingloom/thingloom/registry"
)

const jitpTemplate = `{
	"Parameters": {"AWS::IoT::Certificate::CommonName": {"Type": "String"}, "AWS::IoT::Certificate::SerialNumber": {"Type": "String"},
		"AWS::IoT::Certificate::Country": {"Type": "String", "Default": "none"}, "AWS::IoT::Certificate::DistinguishedNameQualifier": {"Type": "String"},
		"AWS::IoT::Certificate::Id": {"Type": "String"}},
	"Resources": {
		"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"},
			"AttributePayload": {"serial": {"Ref": "AWS::IoT::Certificate::SerialNumber"}, "country": {"Ref": "AWS::IoT::Certificate::Country"},
				"dn": {"Ref": "AWS::IoT::Certificate::DistinguishedNameQualifier"}}}},
		"certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}},
		"policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"iot:Connect\",\"Resource\":\"*\"}]}"}}
	}
}`

// An authority is a CA of somebody else.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	n    int64
	now  time.Time
}

func newAuthority(t *testing.T, now time.Time) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, now: now}
	a.cert = a.sign(pkix.Name{CommonName: "factory"}, &key.PublicKey, true)
	return a
}

func (a *authority) sign(subject pkix.Name, public *ecdsa.PublicKey, ca bool) *x509.Certificate {
	a.n++
	template := &x509.Certificate{SerialNumber: big.NewInt(a.n), Subject: subject, NotBefore: a.now.Add(-time.Hour), NotAfter: a.now.Add(1000 * time.Hour),
		IsCA: ca, BasicConstraintsValid: true}
	parent := a.cert
	if ca {
		template.KeyUsage, parent = x509.KeyUsageCertSign, template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func (a *authority) device(subject pkix.Name) *x509.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.sign(subject, &key.PublicKey, false)
}

func (f *fixture) registerCA(a *authority, config registry.RegistrationConfig) {
	f.t.Helper()
	_, err := f.reg.RegisterCACertificate(f.t.Context(), registry.CARegistration{
		PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), Mode: "SNI_ONLY", Active: true, AutoRegister: true, Registration: config})
	f.ok(err)
}

var qualified = pkix.Name{CommonName: "lamp-1", SerialNumber: "s1", ExtraNames: []pkix.AttributeTypeAndValue{{Type: dnQualifier, Value: "q"}}}

// The first connection is refused and provisions; the second gets in.
func TestJustInTime(t *testing.T) {
	for name, config := range map[string]registry.RegistrationConfig{"body": {Body: jitpTemplate}, "name": {Template: "jitp"}} {
		t.Run(name, func(t *testing.T) {
			f := setup(t, Options{})
			ctx := t.Context()
			_, err := f.CreateTemplate(ctx, StoredTemplate{Name: "jitp", Type: JITP, Enabled: true}, jitpTemplate)
			f.ok(err)
			defer f.JustInTime()()
			a := newAuthority(t, f.now)
			f.registerCA(a, config)
			cert := a.device(qualified)
			if _, err := f.reg.PrincipalOf(ctx, cert); !errors.Is(err, registry.ErrInactive) {
				t.Fatalf("first connection: %v", err)
			}
			id, err := f.reg.PrincipalOf(ctx, cert)
			if err != nil || id != registry.CertificateID(cert) {
				t.Fatalf("second connection: %s, %v", id, err)
			}
			thing, err := f.reg.Thing(ctx, "lamp-1")
			f.ok(err)
			if thing.Attributes["serial"] != "s1" || thing.Attributes["country"] != "none" || thing.Attributes["dn"] != "q" {
				t.Errorf("%+v", thing)
			}
			if err := f.reg.Allowed(ctx, registry.Access{Principal: id, Action: "iot:Connect", Resource: "client/x"}); err != nil {
				t.Error(err)
			}
			// A subject without serial number fails, and stays outside.
			bad := a.device(pkix.Name{CommonName: "lamp-2"})
			for range 2 {
				if _, err := f.reg.PrincipalOf(ctx, bad); !errors.Is(err, registry.ErrInactive) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

// What a crash interrupted is taken up again.
func TestResume(t *testing.T) {
	f := setup(t, Options{})
	ctx := t.Context()
	a := newAuthority(t, f.now)
	f.registerCA(a, registry.RegistrationConfig{Body: jitpTemplate})
	good, bad := a.device(qualified), a.device(pkix.Name{CommonName: "lamp-2"})
	for _, cert := range []*x509.Certificate{good, bad} {
		if _, err := f.reg.PrincipalOf(ctx, cert); !errors.Is(err, registry.ErrInactive) {
			t.Fatal(err)
		}
	}
	if tried, err := f.Resume(ctx); tried != 2 || !errors.Is(err, ErrTemplate) {
		t.Errorf("%d, %v", tried, err)
	}
	if _, err := f.reg.PrincipalOf(ctx, good); err != nil {
		t.Error(err)
	}
	if tried, _ := f.Resume(ctx); tried != 1 {
		t.Errorf("%d are pending", tried)
	}
}
