package registry

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
	"fmt"
	"sync"
	"testing"
	"time"
)

const arn = "arn:aws:iot:us-east-1:123456789012:"

func allow(action, resource string) string {
	return fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "%s", "Resource": "%s"}]}`, action, resource)
}

func deny(action, resource string) string {
	return fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "%s", "Resource": "%s"}]}`, action, resource)
}

func (f *fixture) policy(name, document string, targets ...string) {
	f.t.Helper()
	_, err := f.CreatePolicy(f.t.Context(), name, document)
	f.ok(err)
	for _, to := range targets {
		f.ok(f.AttachPolicy(f.t.Context(), name, to))
	}
}

func TestPrincipalOf(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	c, x := f.cert(StatusActive)
	got, err := f.PrincipalOf(ctx, x)
	f.ok(err, f.CheckCertificate(ctx, x))
	if got != c.ID || CertificateID(x) != c.ID {
		t.Errorf("principal %s, certificate %s", got, c.ID)
	}
	f.ok(f.UpdateCertificate(ctx, c.ID, StatusInactive))
	_, err = f.PrincipalOf(ctx, x)
	f.want(err, ErrInactive)
	f.want(f.CheckCertificate(ctx, x), ErrInactive)
	f.ok(f.UpdateCertificate(ctx, c.ID, StatusRevoked))
	_, err = f.PrincipalOf(ctx, x)
	f.want(err, ErrRevoked)
	f.want(f.CheckCertificate(ctx, x), ErrRevoked)
	last := f.events[len(f.events)-1]
	if last.Kind != CertificateEvents || last.Principal != c.ID || last.Status != StatusRevoked || !last.Access {
		t.Errorf("the event of the revocation: %+v", last)
	}
	f.want(f.Allowed(ctx, Access{Principal: c.ID, Action: "iot:Connect", Resource: "client/x"}), ErrRevoked)
	f.ok(f.UpdateCertificate(ctx, c.ID, StatusActive))
	now := f.clock.t
	f.clock.t = x.NotAfter.Add(time.Second)
	_, err = f.PrincipalOf(ctx, x)
	f.want(err, ErrExpired)
	f.want(f.CheckCertificate(ctx, x), ErrExpired)
	f.clock.t = x.NotBefore.Add(-time.Second)
	_, err = f.PrincipalOf(ctx, x)
	f.want(err, ErrExpired)
	f.want(f.CheckCertificate(ctx, x), ErrExpired)
	f.clock.t = now
	other, err := NewCA(nil)
	f.ok(err)
	foreign, err := x509.ParseCertificate(other.cert.Raw)
	f.ok(err)
	_, err = f.PrincipalOf(ctx, foreign)
	f.want(err, ErrUnknownCertificate)
	f.want(f.CheckCertificate(ctx, foreign), ErrUnknownCertificate)
	_, err = f.PrincipalOf(ctx, nil)
	f.want(err, ErrUnknownCertificate)
	f.want(f.CheckCertificate(ctx, nil), ErrUnknownCertificate)
}

func TestCertificateRules(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	c, _ := f.cert("")
	if c.Status != StatusInactive || !c.NotAfter.Equal(endOfTime) {
		t.Errorf("issued %+v", c)
	}
	f.thing("t")
	f.policy("p", allow("iot:*", "*"), arn+"cert/"+c.ID)
	f.ok(f.AttachPrincipal(ctx, "t", arn+"cert/"+c.ID), f.UpdateCertificate(ctx, c.ID, StatusActive))
	f.want(f.DeleteCertificate(ctx, c.ID, true), ErrCertificateState)
	f.ok(f.UpdateCertificate(ctx, c.ID, StatusInactive))
	f.want(f.DeleteCertificate(ctx, c.ID, false), ErrDeleteConflict)
	f.ok(f.DetachPolicy(ctx, "p", c.ID))
	f.want(f.DeleteCertificate(ctx, c.ID, false), ErrDeleteConflict)
	f.ok(f.AttachPolicy(ctx, "p", c.ID))
	f.want(f.DeletePolicy(ctx, "p"), ErrDeleteConflict)
	f.ok(f.DeleteCertificate(ctx, c.ID, true), f.DeletePolicy(ctx, "p"), f.DeleteThing(ctx, "t", 0))
	f.want(f.DeleteCertificate(ctx, c.ID, true), ErrNotFound)
	f.want(f.UpdateCertificate(ctx, c.ID, StatusActive), ErrNotFound)
	f.want(f.UpdateCertificate(ctx, c.ID, StatusPendingTransfer), ErrCertificateState)
	f.want(f.UpdateCertificate(ctx, c.ID, "OPEN"), ErrInvalid)
	noCA, err := New(NewMemStore(), nil)
	f.ok(err)
	_, _, err = noCA.CreateKeysAndCertificate(ctx, nil)
	f.want(err, ErrNoCA)

	rsa, keys, err := f.CreateKeysAndCertificate(ctx, nil)
	f.ok(err)
	if _, err := tls.X509KeyPair([]byte(rsa.PEM), keys.PrivatePEM); err != nil {
		t.Errorf("key and certificate do not fit: %v", err)
	}
	if _, err := parsePEM(t, rsa.PEM).Verify(x509.VerifyOptions{Roots: f.opts.CA.Pool(), CurrentTime: f.clock.t,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("not signed by the CA: %v", err)
	}
}

func TestCSR(t *testing.T) {
	f := newFixture(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.ok(err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "lamp"}}, key)
	f.ok(err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	c, err := f.CreateCertificateFromCSR(t.Context(), text, StatusActive)
	f.ok(err)
	if x := parsePEM(t, c.PEM); x.Subject.CommonName != "lamp" || !key.PublicKey.Equal(x.PublicKey) {
		t.Errorf("issued for %s", x.Subject)
	}
	der[len(der)-1] ^= 1 // the signature
	_, err = f.CreateCertificateFromCSR(t.Context(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), "")
	f.want(err, ErrInvalid)
	_, err = f.CreateCertificateFromCSR(t.Context(), []byte("no"), "")
	f.want(err, ErrInvalid)
}

// device makes a certificate that ca signed.
func device(t *testing.T, ca *CA, cn string) (*x509.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := ca.sign(&x509.Certificate{Subject: pkix.Name{CommonName: cn, Organization: []string{"B", "Acme, Inc"}},
		DNSNames: []string{"dev.example"}, NotAfter: ca.cert.NotAfter}, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, encodeCert(der)
}

func TestForeignCA(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	ca, err := NewCA(&CAOptions{CommonName: "Acme", Now: f.clock.now})
	f.ok(err)
	x, text := device(t, ca, "dev1")
	_, err = f.RegisterCertificate(ctx, text, nil, StatusActive)
	f.want(err, ErrCertificateValidation)
	_, err = f.RegisterCACertificate(ctx, CARegistration{PEM: ca.CertificatePEM()})
	f.want(err, ErrInvalid)
	_, wrong := device(t, ca, "wrong code")
	_, err = f.RegisterCACertificate(ctx, CARegistration{PEM: ca.CertificatePEM(), VerificationPEM: wrong})
	f.want(err, ErrRegistrationCode)
	code, err := f.RegistrationCode(ctx)
	f.ok(err)
	_, proof := device(t, ca, code)
	_, err = f.RegisterCACertificate(ctx, CARegistration{PEM: text, VerificationPEM: proof})
	f.want(err, ErrCertificateValidation)
	reg, err := f.RegisterCACertificate(ctx, CARegistration{PEM: ca.CertificatePEM(), VerificationPEM: proof})
	f.ok(err)
	_, err = f.RegisterCertificate(ctx, text, nil, StatusActive)
	f.want(err, ErrCertificateValidation) // the CA is inactive
	f.ok(f.UpdateCACertificate(ctx, reg.ID, CAUpdate{Status: StatusActive}))
	c, err := f.RegisterCertificate(ctx, text, ca.CertificatePEM(), StatusActive)
	f.ok(err)
	if c.CA != reg.ID {
		t.Errorf("registered under %q", c.CA)
	}
	_, err = f.RegisterCertificateWithoutCA(ctx, text, "")
	f.want(err, ErrExists)
	if got, err := f.PrincipalOf(ctx, x); err != nil || got != c.ID {
		t.Errorf("%s, %v", got, err)
	}
	if got := list(t, f.Certificates(ctx, CertificateQuery{CA: reg.ID})); len(got) != 1 || got[0].ID != c.ID {
		t.Errorf("certificates of the CA: %+v", got)
	}

	// Just-in-time registration: refused twice, then activated.
	auto := true
	f.ok(f.UpdateCACertificate(ctx, reg.ID, CAUpdate{AutoRegister: &auto}))
	y, _ := device(t, ca, "dev2")
	f.ok(f.CheckCertificate(ctx, y)) // has not proved anything: registers nothing
	if _, err := f.Certificate(ctx, CertificateID(y)); !errors.Is(err, ErrNotFound) {
		t.Errorf("registered when shown: %v", err)
	}
	for range 2 {
		_, err = f.PrincipalOf(ctx, y)
		f.want(err, ErrInactive)
		f.want(f.CheckCertificate(ctx, y), ErrInactive)
	}
	seen := 0
	for _, e := range f.events {
		if e.Topic == "$aws/events/certificates/registered/"+reg.ID {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("%d events of the registration", seen)
	}
	f.ok(f.UpdateCertificate(ctx, CertificateID(y), StatusActive))
	_, err = f.PrincipalOf(ctx, y)
	f.ok(err)

	f.want(f.DeleteCACertificate(ctx, reg.ID), ErrCertificateState)
	f.ok(f.UpdateCACertificate(ctx, reg.ID, CAUpdate{Status: StatusInactive}), f.DeleteCACertificate(ctx, reg.ID))
	_, alone := device(t, ca, "dev3")
	w, err := f.RegisterCertificateWithoutCA(ctx, alone, StatusActive)
	f.ok(err)
	if w.Mode != "SNI_ONLY" {
		t.Errorf("mode %q", w.Mode)
	}
}

func TestCALoadsAgain(t *testing.T) {
	f := newFixture(t)
	ca := f.opts.CA
	key, err := ca.KeyPEM()
	f.ok(err)
	again, err := LoadCA(ca.CertificatePEM(), key)
	f.ok(err)
	cert, err := again.ServerCertificate("localhost", "127.0.0.1")
	f.ok(err)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool(), DNSName: host}); err != nil {
			t.Error(err)
		}
	}
	other, err := NewCA(nil)
	f.ok(err)
	otherKey, err := other.KeyPEM()
	f.ok(err)
	_, err = LoadCA(ca.CertificatePEM(), otherKey)
	f.want(err, ErrInvalid)
	_, err = LoadCA([]byte("x"), key)
	f.want(err, ErrInvalid)
	_, _, err = ca.IssueServerCertificate()
	f.want(err, ErrInvalid)
}

func TestPolicyVersions(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	_, err := f.CreatePolicy(ctx, "p", "{\n \"Statement\": {\"Effect\": \"Maybe\"}}")
	f.want(err, ErrMalformedPolicy)
	if pe, ok := errors.AsType[*PolicyError](err); !ok || pe.Line != 2 || pe.Path != "Statement.Effect" {
		t.Errorf("position: %+v", pe)
	}
	_, err = f.CreatePolicy(ctx, "a b", allow("iot:*", "*"))
	f.want(err, ErrInvalid)
	f.policy("p", allow("iot:Connect", "*"), "user")
	_, err = f.CreatePolicy(ctx, "p", allow("iot:*", "*"))
	f.want(err, ErrExists)
	connect := Access{Principal: "user", Action: "iot:Connect", Resource: "client/a"}
	publish := Access{Principal: "user", Action: "iot:Publish", Resource: "topic/a"}
	f.ok(f.Allowed(ctx, connect))
	f.want(f.Allowed(ctx, publish), ErrNotAuthorized)
	gen := f.Generation()
	v2, err := f.CreatePolicyVersion(ctx, "p", allow("iot:Publish", "*"), false)
	f.ok(err, f.Allowed(ctx, connect))
	if f.Generation() != gen {
		t.Error("a version that is not in force changed the generation")
	}
	f.ok(f.SetDefaultPolicyVersion(ctx, "p", v2.ID), f.Allowed(ctx, publish))
	f.want(f.Allowed(ctx, connect), ErrNotAuthorized)
	if f.Generation() == gen {
		t.Error("a new default version did not change the generation")
	}
	f.want(f.DeletePolicyVersion(ctx, "p", v2.ID), ErrInvalid)
	f.ok(f.DeletePolicyVersion(ctx, "p", "1"))
	f.want(f.SetDefaultPolicyVersion(ctx, "p", "1"), ErrNotFound)
	for range 4 {
		_, err := f.CreatePolicyVersion(ctx, "p", allow("iot:Publish", "*"), true)
		f.ok(err)
	}
	_, err = f.CreatePolicyVersion(ctx, "p", allow("iot:Publish", "*"), true)
	f.want(err, ErrVersionsLimit)
	p, err := f.Policy(ctx, "p")
	f.ok(err)
	if p.Default != "6" || len(p.Versions) != 5 {
		t.Errorf("policy %+v", p)
	}
}

func TestAccessFollowsEveryChange(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	c, _ := f.cert(StatusActive)
	_, err := f.CreateThingType(ctx, ThingType{Name: "Lamp"})
	f.ok(err)
	_, err = f.CreateGroup(ctx, Group{Name: "home"}, "")
	f.ok(err)
	_, err = f.CreateGroup(ctx, Group{Name: "kitchen"}, "home")
	f.ok(err)
	a := Access{Principal: c.ID, ClientID: "t", Action: "iot:Publish", Resource: "topic/red"}
	f.policy("attr", allow("iot:Publish", arn+"topic/${iot:Connection.Thing.Attributes[c]}"), c.ID)
	f.policy("up", allow("iot:Publish", arn+"topic/red"))
	f.policy("no", deny("iot:Publish", arn+"topic/red"))

	no := func(what string) {
		t.Helper()
		if err := f.Allowed(ctx, a); !errors.Is(err, ErrNotAuthorized) {
			t.Errorf("%s: got %v, want ErrNotAuthorized", what, err)
		}
	}
	yes := func(what string) {
		t.Helper()
		if err := f.Allowed(ctx, a); err != nil {
			t.Errorf("%s: got %v", what, err)
		}
	}
	no("no thing")
	f.thing("t")
	no("thing without attribute")
	_, err = f.UpdateThing(ctx, ThingUpdate{Name: "t", Attributes: map[string]string{"c": "red"}})
	f.ok(err)
	no("thing not attached")
	f.ok(f.AttachPrincipal(ctx, "t", c.ID))
	yes("attached")
	_, err = f.UpdateThing(ctx, ThingUpdate{Name: "t", Attributes: map[string]string{"c": "blue"}})
	f.ok(err)
	if last := f.events[len(f.events)-1]; !last.Access || last.Principal != c.ID {
		t.Errorf("event of the changed thing: %+v", last)
	}
	no("other attribute")
	f.ok(f.AddThingToGroup(ctx, "t", "kitchen"))
	no("in a group without policy")
	f.ok(f.AttachPolicy(ctx, "up", arn+"thinggroup/home"))
	yes("policy of the group above")
	f.ok(f.AttachPolicy(ctx, "no", arn+"thinggroup/kitchen"))
	err = f.Allowed(ctx, a)
	if de, ok := errors.AsType[*DeniedError](err); !ok || !de.Explicit || de.Policy != "no" || de.Version != "1" || de.Statement != 0 {
		t.Errorf("denied by %+v", err)
	}
	f.ok(f.DetachPolicy(ctx, "no", arn+"thinggroup/kitchen"))
	yes("detached")
	f.ok(f.RemoveThingFromGroup(ctx, "t", "kitchen"))
	no("left the group")
	f.ok(f.AddThingToGroup(ctx, "t", "kitchen"))
	yes("back in the group")
	f.ok(f.DeleteGroup(ctx, "kitchen", 0))
	no("group deleted")
	_, err = f.CreatePolicyVersion(ctx, "attr", allow("iot:Publish", arn+"topic/*"), true)
	f.ok(err)
	yes("new version")
	f.ok(f.UpdateCertificate(ctx, c.ID, StatusInactive))
	no("inactive")
	f.ok(f.UpdateCertificate(ctx, c.ID, StatusActive))
	yes("active again")
	f.ok(f.DetachPrincipal(ctx, "t", c.ID))
	yes("detached, but the policy asks for no thing")
	f.ok(f.UpdateCertificate(ctx, c.ID, StatusRevoked), f.DeleteCertificate(ctx, c.ID, true))
	no("deleted")
}

func TestExclusiveThing(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	c, _ := f.cert(StatusActive)
	f.thing("t")
	f.thing("u")
	f.policy("p", allow("iot:Connect", arn+"client/${iot:Connection.Thing.ThingName}-*"), c.ID)
	a := Access{Principal: c.ID, ClientID: "t-1", Action: "iot:Connect", Resource: "client/t-1"}
	f.want(f.Allowed(ctx, a), ErrNotAuthorized)
	f.ok(f.AttachPrincipal(ctx, "t", c.ID))
	f.want(f.AttachPrincipalExclusively(ctx, "u", c.ID), ErrInvalid)
	f.ok(f.DetachPrincipal(ctx, "t", c.ID), f.AttachPrincipalExclusively(ctx, "t", c.ID), f.AttachPrincipalExclusively(ctx, "t", c.ID))
	f.want(f.AttachPrincipal(ctx, "u", c.ID), ErrInvalid)
	f.ok(f.Allowed(ctx, a))
	if name, err := f.ExclusiveThing(ctx, c.ID); err != nil || name != "t" {
		t.Errorf("tied to %q, %v", name, err)
	}
	if name, err := f.ThingOf(ctx, c.ID, "whatever"); err != nil || name != "t" {
		t.Errorf("acts as %q, %v", name, err)
	}
	if got := list(t, f.ThingPrincipals(ctx, "t", "")); len(got) != 1 || !got[0].Exclusive || got[0].Principal != c.ID {
		t.Errorf("principals %+v", got)
	}
	f.ok(f.DetachPrincipal(ctx, "t", c.ID))
	f.want(f.Allowed(ctx, a), ErrNotAuthorized)
	f.ok(f.AttachPrincipal(ctx, "u", c.ID))
	if got := list(t, f.PrincipalThings(ctx, c.ID, "")); len(got) != 1 || got[0].Thing != "u" {
		t.Errorf("things %+v", got)
	}
}

func TestAttachmentLimits(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	_, err := f.CreateGroup(ctx, Group{Name: "g"}, "")
	f.ok(err)
	for i := range 11 {
		f.policy(fmt.Sprintf("p%02d", i), allow("iot:*", "*"))
	}
	for i := range 10 {
		f.ok(f.AttachPolicy(ctx, fmt.Sprintf("p%02d", i), "someone/with%odd name"))
	}
	f.ok(f.AttachPolicy(ctx, "p00", "someone/with%odd name"))
	f.want(f.AttachPolicy(ctx, "p10", "someone/with%odd name"), ErrLimit)
	f.ok(f.AttachPolicy(ctx, "p00", arn+"thinggroup/g"), f.AttachPolicy(ctx, "p01", arn+"thinggroup/g"))
	f.want(f.AttachPolicy(ctx, "p02", arn+"thinggroup/g"), ErrLimit)
	f.want(f.AttachPolicy(ctx, "p00", arn+"thinggroup/nobody"), ErrNotFound)
	f.want(f.AttachPolicy(ctx, "nobody", "x"), ErrNotFound)
	if got := list(t, f.PolicyTargets(ctx, "p00", "")); fmt.Sprint(got) != "["+arn+"thinggroup/g someone/with%odd name]" {
		t.Errorf("targets %q", got)
	}
	if got := list(t, f.PolicyTargets(ctx, "p00", arn+"thinggroup/g")); len(got) != 1 {
		t.Errorf("targets after the first: %q", got)
	}
}

func TestDryRun(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.thing("t")
	_, err := f.CreateGroup(ctx, Group{Name: "g"}, "")
	f.ok(err, f.AddThingToGroup(ctx, "t", "g"), f.AttachPrincipal(ctx, "t", "user"))
	f.policy("own", `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
		{"Sid": "pub", "Effect": "Allow", "Action": "iot:Publish", "Resource": "`+arn+`topic/${iot:Connection.Thing.ThingTypeName}"},
		{"Sid": "all", "Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}]}`, "user")
	f.policy("group", deny("iot:Publish", arn+"topic/secret"), arn+"thinggroup/g")
	f.policy("more", deny("iot:Publish", "*"))
	a := Access{Principal: "user", ClientID: "t", Action: "iot:Publish", Resource: "topic/a"}
	d, err := f.TestAuthorization(ctx, a, nil, nil)
	f.ok(err)
	if d.Decision != "ALLOWED" || d.By == nil || *d.By != (StatementRef{"own", "1", 2, "all"}) {
		t.Errorf("%+v by %+v", d, d.By)
	}
	if fmt.Sprint(d.Missing) != "[iot:Connection.Thing.ThingTypeName]" || fmt.Sprint(d.Policies) != "[own group]" {
		t.Errorf("missing %q, policies %q", d.Missing, d.Policies)
	}
	a.Resource = "topic/secret"
	d, err = f.TestAuthorization(ctx, a, nil, nil)
	f.ok(err)
	if d.Decision != "EXPLICIT_DENY" || d.By.Policy != "group" || len(d.Allow) != 1 || len(d.Deny) != 1 {
		t.Errorf("%+v by %+v", d, d.By)
	}
	d, err = f.TestAuthorization(ctx, a, []string{"more"}, []string{"group"})
	f.ok(err)
	if d.Decision != "EXPLICIT_DENY" || d.By.Policy != "more" {
		t.Errorf("%+v by %+v", d, d.By)
	}
	d, err = f.TestAuthorization(ctx, a, nil, []string{"own", "group"})
	f.ok(err)
	if d.Decision != "IMPLICIT_DENY" || d.By != nil {
		t.Errorf("%+v", d)
	}
	eff, err := f.EffectivePolicies(ctx, "user", "t")
	f.ok(err)
	if len(eff) != 2 || eff[0].Name != "own" || eff[1].Name != "group" {
		t.Errorf("effective: %+v", eff)
	}
}

func TestCertificateVariables(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	ca, err := NewCA(&CAOptions{CommonName: "Acme Root", Now: f.clock.now})
	f.ok(err)
	_, text := device(t, ca, "dev1")
	c, err := f.RegisterCertificateWithoutCA(ctx, text, StatusActive)
	f.ok(err)
	f.policy("p", `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:Publish",
		"Resource": "`+arn+`topic/${iot:Certificate.Subject.CommonName}/${iot:Certificate.Subject.Organization}/${iot:CertificateId}",
		"Condition": {"StringEquals": {"iot:Certificate.Issuer.CommonName": "Acme Root",
			"iot:Certificate.Subject.AlternativeName.DNSName": "dev.example", "iot:Certificate.Subject.Organization.1": "Acme\\, Inc"},
			"ForAnyValue:StringEquals": {"iot:Certificate.AvailableKeys": "iot:Certificate.Subject.CommonName"}}}}`, c.ID)
	a := Access{Principal: c.ID, Action: "iot:Publish", Resource: "topic/dev1/B/" + c.ID}
	f.ok(f.Allowed(ctx, a))
	a.Resource = "topic/dev2/B/" + c.ID
	f.want(f.Allowed(ctx, a), ErrNotAuthorized)
}

func TestAllowedDoesNotAllocate(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.thing("t")
	f.ok(f.AttachPrincipal(ctx, "t", "user"))
	f.policy("p", `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"],
		"Resource": "`+arn+`topic/${iot:Connection.Thing.ThingName}/*", "Condition": {"StringEquals": {"iot:ClientId": "t"},
		"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}}`, "user")
	a := Access{Principal: "user", ClientID: "t", Action: "iot:Publish", Resource: "topic/t/a/b", SourceIP: "10.1.2.3"}
	f.ok(f.Allowed(ctx, a))
	if n := testing.AllocsPerRun(100, func() {
		if err := f.Allowed(ctx, a); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestCacheIsBounded: more principals than are cached get right answers.
func TestCacheIsBounded(t *testing.T) {
	r, err := New(NewMemStore(), &Options{CachedPrincipals: 8})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := r.CreatePolicy(ctx, "p", allow("iot:Publish", "*")); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		user := fmt.Sprintf("u%d", i)
		if err := r.AttachPolicy(ctx, "p", user); err != nil {
			t.Fatal(err)
		}
		for j := range i + 1 {
			a := Access{Principal: fmt.Sprintf("u%d", j), ClientID: fmt.Sprintf("c%d", i), Action: "iot:Publish", Resource: "topic/a"}
			if err := r.Allowed(ctx, a); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(r.auth.young) + len(r.auth.old); n > 8 {
		t.Errorf("%d principals cached", n)
	}
}

// TestRevocationRace: from the moment UpdateCertificate returns nobody is let in.
func TestRevocationRace(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	c, x := f.cert(StatusActive)
	f.policy("p", allow("iot:*", "*"), c.ID)
	stop, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for stop.Err() == nil {
				_ = f.Allowed(ctx, Access{Principal: c.ID, Action: "iot:Connect", Resource: "client/a"})
				_, _ = f.PrincipalOf(ctx, x)
			}
		})
	}
	for range 200 {
		f.ok(f.UpdateCertificate(ctx, c.ID, StatusRevoked))
		if _, err := f.PrincipalOf(ctx, x); !errors.Is(err, ErrRevoked) {
			t.Fatalf("after the revocation: %v", err)
		}
		f.want(f.Allowed(ctx, Access{Principal: c.ID, Action: "iot:Connect", Resource: "client/a"}), ErrRevoked)
		f.ok(f.UpdateCertificate(ctx, c.ID, StatusActive))
		if err := f.Allowed(ctx, Access{Principal: c.ID, Action: "iot:Connect", Resource: "client/a"}); err != nil {
			t.Fatalf("after the activation: %v", err)
		}
	}
	cancel()
	wg.Wait()
}
