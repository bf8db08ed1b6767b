package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A factory is the CA of a maker of devices.
type factory struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	text string // PEM
}

func newFactory(t *testing.T, name string) *factory {
	t.Helper()
	f := &factory{t: t}
	f.cert, f.key, f.text = f.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return f
}

// sign makes a certificate; the first is its own.
func (f *factory) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, string) {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := f.cert, f.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		f.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	return made, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// device is one that the factory has made.
func (f *factory) device(p *process, thing string) *device {
	f.t.Helper()
	_, key, text := f.sign(&x509.Certificate{Subject: pkix.Name{CommonName: thing}})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.t.Fatal(err)
	}
	dir := folder(f.t, map[string][]byte{"cert.pem": []byte(text), "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})})
	return &device{p: p, thing: thing, ca: filepath.Join(p.data, "ca.pem"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
}

func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

// A device of a registered CA is registered when it first connects, told of,
// and let in once somebody has activated it.
func TestJustInTimeRegistration(t *testing.T) {
	p := start(t)
	a := p.sdk()
	watch := p.device("watch")
	a.ok(``, "CreateTopicRule", `{"ruleName":"newcomers","topicRulePayload":{"sql":"SELECT * FROM '$aws/events/certificates/registered/#'",
		"actions":[{"republish":{"topic":"devices/watch/config","qos":1,"roleArn":"arn:aws:iam::123456789012:role/x"}}]}}`)
	got := watch.sub("devices/watch/config")

	f := newFactory(t, "maker")
	var code struct{ RegistrationCode string }
	if err := json.Unmarshal(a.ok(`"registrationCode"`, "GetRegistrationCode", ""), &code); err != nil {
		t.Fatal(err)
	}
	_, _, wrong := f.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "guess"}})
	_, _, proof := f.sign(&x509.Certificate{Subject: pkix.Name{CommonName: code.RegistrationCode}})
	register := func(proof string) string {
		return `{"caCertificate":` + quoted(f.text) + `,"verificationCertificate":` + quoted(proof) + `,"setAsActive":true,"allowAutoRegistration":true}`
	}
	a.refused("RegistrationCodeValidationException", "RegisterCACertificate", register(wrong))
	var ca struct{ CertificateID string }
	if err := json.Unmarshal(a.ok(`"certificateArn":"arn:aws:iot:us-east-1:123456789012:cacert/`, "RegisterCACertificate", register(proof)), &ca); err != nil {
		t.Fatal(err)
	}

	d := f.device(p, "lamp-1")
	if out, err := d.pub("sensors/lamp-1/climate", "{}"); err == nil {
		t.Errorf("let in before it is known: %s", out)
	}
	var event struct{ CertificateID, CACertificateID, CertificateStatus string }
	line := next(t, got)
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "devices/watch/config ")), &event); err != nil || event.CACertificateID != ca.CertificateID || event.CertificateStatus != "PENDING_ACTIVATION" {
		t.Fatalf("told %s, %v", line, err)
	}
	a.ok(`"certificateId":"`+event.CertificateID+`","status":"PENDING_ACTIVATION"`, "ListCertificatesByCA", `{"caCertificateId":"`+ca.CertificateID+`"}`)
	if out, err := d.pub("sensors/lamp-1/climate", "{}"); err == nil {
		t.Errorf("let in before it is activated: %s", out)
	}
	arn := "arn:aws:iot:us-east-1:123456789012:cert/" + event.CertificateID
	a.ok(``, "CreateThing", `{"thingName":"lamp-1"}`)
	a.ok(``, "AttachThingPrincipal", `{"thingName":"lamp-1","principal":"`+arn+`","thingPrincipalType":"EXCLUSIVE_THING"}`)
	a.ok(``, "AttachPolicy", `{"policyName":"device","target":"`+arn+`"}`)
	a.ok(``, "UpdateCertificate", `{"certificateId":"`+event.CertificateID+`","newStatus":"ACTIVE"}`)
	d.mustPub("sensors/lamp-1/climate", "{}")

	// The CA is closed to newcomers.
	a.ok(``, "UpdateCACertificate", `{"certificateId":"`+ca.CertificateID+`","newAutoRegistrationStatus":"DISABLE"}`)
	if out, err := f.device(p, "lamp-2").pub("sensors/lamp-2/climate", "{}"); err == nil {
		t.Errorf("let in without registration: %s", out)
	}
	if out := a.ok(``, "ListCertificatesByCA", `{"caCertificateId":"`+ca.CertificateID+`"}`); strings.Count(string(out), `"certificateId"`) != 1 {
		t.Errorf("registered are %s", out)
	}
}

// A device of a CA with a template is provisioned when it first connects, and
// let in the next time.
func TestJustInTimeProvisioning(t *testing.T) {
	p := start(t)
	a := p.sdk()
	f := newFactory(t, "maker")
	const body = `{"Parameters":{"AWS::IoT::Certificate::CommonName":{"Type":"String"},"AWS::IoT::Certificate::Id":{"Type":"String"}},"Resources":{
		"thing":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":{"Ref":"AWS::IoT::Certificate::CommonName"},"AttributePayload":{"made":"here"}}},
		"certificate":{"Type":"AWS::IoT::Certificate","Properties":{"CertificateId":{"Ref":"AWS::IoT::Certificate::Id"},"Status":"ACTIVE"}},
		"policy":{"Type":"AWS::IoT::Policy","Properties":{"PolicyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"iot:*\",\"Resource\":\"*\"}]}"}}}}`
	a.ok(``, "CreateProvisioningTemplate", `{"templateName":"maker","type":"JITP","enabled":true,"provisioningRoleArn":"arn:aws:iam::123456789012:role/x","templateBody":`+quoted(body)+`}`)
	a.refused("InvalidRequestException", "RegisterCACertificate", `{"caCertificate":`+quoted(f.text)+`,"certificateMode":"SNI_ONLY","registrationConfig":{"templateName":"none"}}`)
	a.ok(`"certificateId"`, "RegisterCACertificate", `{"caCertificate":`+quoted(f.text)+`,"certificateMode":"SNI_ONLY","setAsActive":true,"allowAutoRegistration":true,"registrationConfig":{"templateName":"maker"}}`)
	a.ok(`"certificates":[{`, "ListCACertificates", `{"templateName":"maker"}`)
	a.ok(`"certificates":[]`, "ListCACertificates", `{"templateName":"other"}`)
	d := f.device(p, "lamp-7")
	if out, err := d.pub("sensors/lamp-7/climate", "{}"); err == nil {
		t.Errorf("let in at first: %s", out)
	}
	p.eventually("let in once it is provisioned", func() error {
		out, err := d.pub("sensors/lamp-7/climate", "{}")
		if err != nil {
			return errors.New(out)
		}
		return nil
	})
	a.ok(`"attributes":{"made":"here"}`, "DescribeThing", `{"thingName":"lamp-7"}`)
}

// Anybody can show a certificate, which is no secret: only who proves to have
// its key is registered and provisioned, whatever version of TLS it speaks.
func TestJustInTimeNeedsTheKey(t *testing.T) {
	p := start(t)
	a := p.sdk()
	f := newFactory(t, "maker")
	var ca struct{ CertificateID string }
	if err := json.Unmarshal(a.ok(``, "RegisterCACertificate", `{"caCertificate":`+quoted(f.text)+`,"certificateMode":"SNI_ONLY","setAsActive":true,"allowAutoRegistration":true}`), &ca); err != nil {
		t.Fatal(err)
	}
	shown := f.device(p, "lamp-1")
	_, thief, _ := f.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "thief"}})
	for _, port := range []string{p.mqtt, p.https} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			config := shown.tlsConfig()
			config.Certificates[0].PrivateKey = thief
			config.MinVersion, config.MaxVersion = version, version
			c, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", port), config)
			if err == nil { // with TLS 1.3 a client is done before it is judged
				_, err = c.Read(make([]byte, 1))
				c.Close()
			}
			if alert := (*net.OpError)(nil); !errors.As(err, &alert) || alert.Err.Error() != "tls: error decrypting message" {
				t.Errorf("port %s, %s: %v", port, tls.VersionName(version), err)
			}
		}
	}
	a.ok(`"certificates":[]`, "ListCertificatesByCA", `{"caCertificateId":"`+ca.CertificateID+`"}`)
	if out, err := shown.pub("sensors/lamp-1/climate", "{}"); err == nil {
		t.Errorf("let in before it is activated: %s", out)
	}
	a.ok(`"status":"PENDING_ACTIVATION"`, "ListCertificatesByCA", `{"caCertificateId":"`+ca.CertificateID+`"}`)
}
