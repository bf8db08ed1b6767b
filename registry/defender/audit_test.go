package defender

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/registry"
)

func TestPermissive(t *testing.T) {
	for document, want := range map[string]bool{
		`{"Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}`:                                                                true,
		`{"Statement":[{"Effect":"Allow","Action":["iot:Publish"],"Resource":["arn:aws:iot:r:1:topic/a","arn:aws:iot:r:1:topic/*"]}]}`:    true,
		`{"Statement":[{"Effect":"Allow","Action":"iot:Subscribe","Resource":"arn:aws:iot:r:1:topicfilter/#"}]}`:                          true,
		`{"Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:r:1:client/*"}]}`:                                 true,
		`{"Statement":[{"Effect":"Allow","Action":"iot:Publish","Resource":"arn:aws:iot:*:*:*"}]}`:                                        true,
		`{"Statement":[{"Effect":"Allow","NotAction":"iot:Connect","Resource":"*"}]}`:                                                     true,
		`{"Statement":[{"Effect":"Deny","Action":"iot:*","Resource":"*"}]}`:                                                               false,
		`{"Statement":[{"Effect":"Allow","Action":"iot:ListThings","Resource":"*"}]}`:                                                     false,
		`{"Statement":[{"Effect":"Allow","Action":"iot:Publish","Resource":"arn:aws:iot:r:1:topic/${iot:ClientId}/*"}]}`:                  false,
		`{"Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}"}]}`: false,
	} {
		if why := permissive(document); (why != "") != want {
			t.Errorf("%s: %q", document, why)
		}
	}
}

func TestAudit(t *testing.T) {
	f := newFixture(t, nil)
	for name, document := range map[string]string{
		"wide":   `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}`,
		"narrow": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:us-east-1:123456789012:client/a"}}`,
	} {
		if _, err := f.reg.CreatePolicy(t.Context(), name, document); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for _, end := range []time.Duration{time.Hour, 100 * 24 * time.Hour} {
		cert, _, err := f.reg.CreateKeysAndCertificate(t.Context(), &registry.KeyOptions{Type: registry.ECP256, Status: registry.StatusActive, NotAfter: time.Now().Add(end)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, cert.ID)
	}
	for i, id := range []string{"c1", "c1", "c2", "c3"} {
		kind := Connected
		if i == 1 {
			kind = TakenOver
		}
		f.svc.Record(Observation{Kind: kind, Thing: id, ClientID: id, Principal: ids[0]})
	}
	a, err := f.svc.Audit(t.Context(), slices.Sorted(maps.Keys(f.svc.Checks())))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for finding, err := range f.svc.Findings(t.Context(), FindingQuery{Task: a.ID}) {
		if err != nil {
			t.Fatal(err)
		}
		got[finding.Check] = append(got[finding.Check], finding.Resource)
		if finding.Severity == "" || finding.Code == "" || finding.Reason == "" {
			t.Errorf("finding %+v", finding)
		}
	}
	want := map[string][]string{PolicyPermissive: {"wide"}, CertificateShared: {ids[0]}, ClientsConflicting: {"c1"}, CertificateExpiring: {ids[0]}}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("found %v, want %v", got, want)
	}
	if r := a.Checks[CertificateExpiring]; r != (CheckResult{2, 1}) || a.Checks[CertificateKey] != (CheckResult{2, 0}) {
		t.Errorf("results %+v", a.Checks)
	}
	if err := f.svc.UpdateAuditConfiguration(t.Context(), AuditConfiguration{Checks: map[string]CheckSwitch{PolicyPermissive: {}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.svc.Audit(t.Context(), []string{PolicyPermissive}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a check that is off: %v", err)
	}
	if _, err := f.svc.Audit(t.Context(), []string{CAExpiring}); err != nil {
		t.Errorf("a check that is on: %v", err)
	}
	if err := f.svc.UpdateAuditConfiguration(t.Context(), AuditConfiguration{Checks: map[string]CheckSwitch{"LOGGING_DISABLED_CHECK": {Enabled: true}}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a check that is not made: %v", err)
	}
}

func TestScheduledAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins on a Saturday
		f := newFixture(t, &Options{Retention: 365 * 24 * time.Hour})
		for _, a := range []ScheduledAudit{
			{Name: "daily", Frequency: "DAILY"}, {Name: "weekly", Frequency: "WEEKLY", DayOfWeek: "MON"},
			{Name: "biweekly", Frequency: "BIWEEKLY", DayOfWeek: "MON"}, {Name: "monthly", Frequency: "MONTHLY", DayOfMonth: "31"},
		} {
			a.Checks = []string{CAExpiring}
			if err := f.svc.CreateScheduledAudit(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.svc.CreateScheduledAudit(t.Context(), ScheduledAudit{Name: "x", Frequency: "MONTHLY", DayOfMonth: "32", Checks: []string{CAExpiring}}); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		f.run(func() { pass(60*24*time.Hour - time.Minute) }) // January and February of 2000
		made := map[string]int{}
		for a, err := range values[Audit](t.Context(), f.svc, keyAudit, "") {
			if err != nil {
				t.Fatal(err)
			}
			made[a.Scheduled]++
		}
		if want := map[string]int{"daily": 60, "weekly": 9, "biweekly": 5, "monthly": 2}; !maps.Equal(made, want) {
			t.Errorf("made %v, want %v", made, want)
		}
	})
}
