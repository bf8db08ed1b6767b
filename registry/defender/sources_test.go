package defender

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/thingloom/thingloom/registry"
)

func TestMisconfigured(t *testing.T) {
	const arn = `arn:aws:iot:r:1:`
	statement := func(effect, action, resource string) string {
		return `{"Effect":"` + effect + `","Action":"iot:` + action + `","Resource":"` + resource + `"}`
	}
	wide := statement("Allow", "Subscribe", arn+"topicfilter/building/*")
	for name, c := range map[string]struct{ statements, want string }{
		"nothing denied":                     {wide, ""},
		"MQTT wildcards denied in a topic":   {statement("Deny", "Publish", arn+"topic/a/#"), "POLICY_CONTAINS_MQTT_WILDCARDS_IN_DENY_STATEMENT"},
		"a single level":                     {statement("Deny", "Subscribe", arn+"topicfilter/+/a"), "POLICY_CONTAINS_MQTT_WILDCARDS_IN_DENY_STATEMENT"},
		"a plus in a name":                   {statement("Deny", "Publish", arn+"topic/a+b"), ""},
		"MQTT wildcards allowed":             {statement("Allow", "Subscribe", arn+"topicfilter/a/#"), ""},
		"everything denied":                  {wide + "," + statement("Deny", "*", "*"), ""},
		"a filter within a wider one":        {wide + "," + statement("Deny", "Subscribe", arn+"topicfilter/building/vault/*"), "TOPIC_FILTERS_INTENDED_TO_DENY_ALLOWED_USING_WILDCARDS"},
		"a filter elsewhere":                 {wide + "," + statement("Deny", "Subscribe", arn+"topicfilter/garden/*"), ""},
		"the messages are denied too":        {wide + "," + statement("Deny", "Subscribe", arn+"topicfilter/building/vault/*") + "," + statement("Deny", "Receive", arn+"topic/building/vault/*"), ""},
		"other messages are denied":          {wide + "," + statement("Deny", "Subscribe", arn+"topicfilter/building/vault/*") + "," + statement("Deny", "Receive", arn+"topic/garden/*"), "TOPIC_FILTERS_INTENDED_TO_DENY_ALLOWED_USING_WILDCARDS"},
		"the denial of what is just allowed": {wide + "," + statement("Deny", "Subscribe", arn+"topicfilter/building/*"), ""},
	} {
		reason, code := misconfigured(`{"Version":"2012-10-17","Statement":[` + c.statements + `]}`)
		if code != c.want || (reason == "") != (code == "") {
			t.Errorf("%s: %q, %q", name, reason, code)
		}
	}
}

// A signer is a certificate that signs others.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (s *signer) issue(t *testing.T, serial int64, isCA bool) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name := pkix.Name{CommonName: map[bool]string{true: "ca ", false: "device "}[isCA] + big.NewInt(serial).String()}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: name, NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature}
	if isCA {
		template.KeyUsage |= x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	by := s
	if by == nil {
		by = &signer{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{cert, key}
}

func (s *signer) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw})
}

// revokes is the list in which s takes back certificates.
func (s *signer) revokes(t *testing.T, entries ...x509.RevocationListEntry) *x509.RevocationList {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: entries}, s.cert, s.key)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The checks whose sources the application has: what issuers revoked, logging,
// role aliases; and those that days are configured for.
func TestChecksBySources(t *testing.T) {
	root := (*signer)(nil).issue(t, 1, true)
	middle, other := root.issue(t, 2, true), (*signer)(nil).issue(t, 3, true)
	devices := map[string]*signer{"revoked": other.issue(t, 10, false), "taken back": other.issue(t, 11, false), "inactive": other.issue(t, 12, false),
		"same serial": middle.issue(t, 10, false), "fine": other.issue(t, 13, false)}
	entry := func(serial int64, reason int) x509.RevocationListEntry {
		return x509.RevocationListEntry{SerialNumber: big.NewInt(serial), RevocationTime: time.Now(), ReasonCode: reason}
	}
	lists := []*x509.RevocationList{root.revokes(t, entry(2, 1)), other.revokes(t, entry(10, 1), entry(11, removeFromCRL), entry(12, 1))}
	down := errors.New("down")
	var fail error
	logging := false
	now := time.Now()
	f := newFixture(t, &Options{Now: func() time.Time { return now },
		Revocations: func(context.Context) ([]*x509.RevocationList, error) { return lists, fail },
		Logging:     func(context.Context) (bool, error) { return logging, fail },
		RoleAliases: func(context.Context) ([]RoleAlias, error) {
			return []RoleAlias{{ARN: "wide", Policy: `{"Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}`},
				{ARN: "lazy", Policy: `{"Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`, Unused: []string{"s3"}}}, fail
		}})
	ids := map[string]string{}
	for name, ca := range map[string]*signer{"middle": middle, "other": other} {
		registered, err := f.reg.RegisterCACertificate(t.Context(), registry.CARegistration{PEM: ca.pem(), Mode: "SNI_ONLY", Active: true})
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = registered.ID
	}
	for name, d := range devices {
		status := registry.StatusActive
		if name == "inactive" {
			status = registry.StatusInactive
		}
		ca := other
		if name == "same serial" {
			ca = middle
		}
		c, err := f.reg.RegisterCertificate(t.Context(), d.pem(), ca.pem(), status)
		if err != nil {
			t.Fatal(name, err)
		}
		ids[name] = c.ID
	}
	find := func(check string) (names []string) {
		t.Helper()
		a, err := f.svc.Audit(t.Context(), []string{check})
		if err != nil {
			t.Fatal(err)
		}
		for found, err := range f.svc.Findings(t.Context(), FindingQuery{Task: a.ID}) {
			if err != nil || found.Severity == "" || found.Code == "" || found.Reason == "" {
				t.Fatal(found, err)
			}
			name := found.Resource
			for n, id := range ids {
				if id == name {
					name = n
				}
			}
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	for check, want := range map[string][]string{CertificateRevoked: {"revoked"}, CARevoked: {"middle"}, IntermediateRevoked: {"same serial"},
		LoggingDisabled: {"123456789012"}, RolePermissive: {"wide"}, RoleUnused: {"lazy"}, CertificateAge: nil, CertificateExpiring: nil} {
		if got := find(check); !slices.Equal(got, want) {
			t.Errorf("%s found %q, want %q", check, got, want)
		}
	}
	// What does not answer fails the audit: it does not pass it.
	fail = down
	for _, check := range []string{CertificateRevoked, CARevoked, IntermediateRevoked, LoggingDisabled, RolePermissive} {
		if _, err := f.svc.Audit(t.Context(), []string{check}); !errors.Is(err, down) {
			t.Errorf("%s without its source: %v", check, err)
		}
	}
	fail, logging = nil, true
	if got := find(LoggingDisabled); len(got) > 0 {
		t.Errorf("logging is on, and found %q", got)
	}

	now = now.AddDate(0, 0, 40)
	for days, want := range map[string]int{"30": 4, "39": 4, "41": 0} {
		if err := f.svc.UpdateAuditConfiguration(t.Context(), AuditConfiguration{Checks: map[string]CheckSwitch{
			CertificateAge: {Enabled: true, Configuration: map[string]string{"CERT_AGE_THRESHOLD_IN_DAYS": days}}}}); err != nil {
			t.Fatal(err)
		}
		if got := find(CertificateAge); len(got) != want {
			t.Errorf("older than %s days: %q", days, got)
		}
	}
	if err := f.svc.UpdateAuditConfiguration(t.Context(), AuditConfiguration{Checks: map[string]CheckSwitch{
		CertificateExpiring: {Enabled: true, Configuration: map[string]string{"CERT_EXPIRATION_THRESHOLD_IN_DAYS": "3652"}}}}); err != nil {
		t.Fatal(err)
	}
	if got := find(CertificateExpiring); len(got) != 4 {
		t.Errorf("expiring within ten years: %q", got)
	}
	for _, configuration := range []map[string]string{{"CERT_AGE_THRESHOLD_IN_DAYS": "29"}, {"CERT_AGE_THRESHOLD_IN_DAYS": "x"}, {"CERT_EXPIRATION_THRESHOLD_IN_DAYS": "30"}} {
		if err := f.svc.UpdateAuditConfiguration(t.Context(), AuditConfiguration{Checks: map[string]CheckSwitch{CertificateAge: {true, configuration}}}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: %v", configuration, err)
		}
	}
	// Without sources their checks are none.
	bare := newFixture(t, nil)
	if got, want := len(bare.svc.Checks()), len(severities)-6; got != want {
		t.Errorf("%d checks without sources, want %d", got, want)
	}
	for check := range maps.Keys(severities) {
		if _, err := bare.svc.Audit(t.Context(), []string{check}); (err == nil) != (bare.svc.Checks()[check] != "") {
			t.Errorf("%s without its source: %v", check, err)
		}
	}
}

// What was wrong with connections is found for a month.
func TestSharingIsForgotten(t *testing.T) {
	now := time.Now()
	f := newFixture(t, &Options{Now: func() time.Time { return now }})
	cert, _, err := f.reg.CreateKeysAndCertificate(t.Context(), &registry.KeyOptions{Type: registry.ECP256, Status: registry.StatusActive})
	if err != nil {
		t.Fatal(err)
	}
	for _, principal := range []string{cert.ID, "somebody"} { // a user with two clients shares no certificate
		for _, id := range []string{"c1", "c2"} {
			f.svc.Record(Observation{Kind: Connected, Thing: id, ClientID: id, Principal: principal})
		}
		f.svc.Record(Observation{Kind: TakenOver, Thing: "c1", ClientID: "c1", Principal: principal})
	}
	for _, want := range []int{1, 0} {
		a, err := f.svc.Audit(t.Context(), []string{CertificateShared, ClientsConflicting})
		if err != nil || a.Checks[CertificateShared].NonCompliant != want || a.Checks[ClientsConflicting].NonCompliant != want {
			t.Errorf("found %+v, %v, want %d", a.Checks, err, want)
		}
		now = now.Add(remembered + time.Hour)
	}
}
