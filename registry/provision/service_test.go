package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/internal/cbor"
	"github.com/thingloom/thingloom/registry"
)

// A fixture is a service over a registry with a CA and the group "sensors".
type fixture struct {
	*Service
	t   *testing.T
	now time.Time
}

func setup(t *testing.T, opts Options) *fixture {
	t.Helper()
	f := &fixture{t: t, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return f.now }
	ca, err := registry.NewCA(&registry.CAOptions{Now: now})
	f.ok(err)
	reg, err := registry.New(registry.NewMemStore(), &registry.Options{CA: ca, Now: now})
	f.ok(err)
	_, err = reg.CreateGroup(t.Context(), registry.Group{Name: "sensors"}, "")
	f.ok(err)
	opts.Now = now
	f.Service, err = New(reg, registry.NewMemStore(), &opts)
	f.ok(err)
	return f
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) create(name, hook string) {
	f.t.Helper()
	_, err := f.CreateTemplate(f.t.Context(), StoredTemplate{Name: name, Enabled: true, Hook: hook}, fleetTemplate)
	f.ok(err)
}

var claimant = Session{Principal: "claim", ClientID: "device-1"}

func TestProvision(t *testing.T) {
	f := setup(t, Options{})
	ctx := t.Context()
	f.create("fleet", "")
	made, err := f.CreateKeys(ctx, claimant)
	f.ok(err)
	if made.Certificate.Status != registry.StatusPendingActivation || len(made.Keys.PrivatePEM) == 0 {
		t.Fatalf("made %+v", made)
	}
	params := map[string]string{"SerialNumber": "7"}
	for name, tt := range map[string]struct {
		by              Session
		template, token string
		params          map[string]string
		want            error
	}{
		"another client":      {Session{"claim", "device-2"}, "fleet", made.Token, params, ErrToken},
		"another claim":       {Session{"other", "device-1"}, "fleet", made.Token, params, ErrToken},
		"no token":            {claimant, "fleet", "", params, ErrToken},
		"made up token":       {claimant, "fleet", "9999999999.x", params, ErrToken},
		"unknown template":    {claimant, "nope", made.Token, params, ErrNotFound},
		"missing parameter":   {claimant, "fleet", made.Token, nil, ErrTemplate},
		"too many":            {claimant, "fleet", made.Token, map[string]string{"SerialNumber": "7", "x": "y"}, ErrTemplate},
		"a parameter of ours": {claimant, "fleet", made.Token, map[string]string{"SerialNumber": "7", "AWS::IoT::Certificate::Id": "x"}, ErrTemplate},
	} {
		if _, err := f.Provision(ctx, tt.by, tt.template, tt.token, tt.params); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	for range 2 { // again, as a device does that did not get the answer
		r, err := f.Provision(ctx, claimant, "fleet", made.Token, params)
		f.ok(err)
		if r.Thing != "sensor-7" || r.Device["url"] != "https://berlin.example/${x}" || r.CertificateID != made.Certificate.ID {
			t.Errorf("result %+v", r)
		}
	}
	thing, err := f.reg.Thing(ctx, "sensor-7")
	f.ok(err)
	if !maps.Equal(thing.Attributes, map[string]string{"site": "berlin", "zone": "eu"}) || !slices.Equal(thing.Groups, []string{"sensors"}) {
		t.Errorf("thing %+v", thing)
	}
	cert, err := f.reg.Certificate(ctx, made.Certificate.ID)
	f.ok(err)
	if cert.Status != registry.StatusActive {
		t.Errorf("certificate is %s", cert.Status)
	}
	if name, err := f.reg.ThingOf(ctx, cert.ID, "sensor-7"); err != nil || name != "sensor-7" {
		t.Errorf("thing of the certificate: %s, %v", name, err)
	}
	if err := f.reg.Allowed(ctx, registry.Access{Principal: cert.ID, Action: "iot:Publish", Resource: "topic/x"}); err != nil {
		t.Error(err)
	}
	f.now = f.now.Add(2 * time.Hour)
	f.ok(f.Sweep(ctx))
	if _, err := f.reg.Certificate(ctx, cert.ID); err != nil {
		t.Errorf("a provisioned certificate was swept: %v", err)
	}
}

// What is never provisioned goes when its token does.
func TestSweep(t *testing.T) {
	f := setup(t, Options{})
	ctx := t.Context()
	f.create("fleet", "")
	old, err := f.CreateKeys(ctx, claimant)
	f.ok(err)
	claim, err := f.CreateClaim(ctx, "fleet")
	f.ok(err)
	if claim.Certificate.Status != registry.StatusActive || !claim.Certificate.NotAfter.Equal(f.now.Add(5*time.Minute)) {
		t.Errorf("claim %+v", claim.Certificate)
	}
	for resource, want := range map[string]bool{"topic/$aws/certificates/create/json": true,
		"topic/$aws/provisioning-templates/fleet/provision/cbor": true, "topic/$aws/provisioning-templates/other/provision/json": false, "topic/x": false} {
		if err := f.reg.Allowed(ctx, registry.Access{Principal: claim.Certificate.ID, Action: "iot:Publish", Resource: resource}); (err == nil) != want {
			t.Errorf("%s: %v", resource, err)
		}
	}
	f.now = f.now.Add(30 * time.Minute)
	young, err := f.CreateKeys(ctx, claimant)
	f.ok(err)
	f.ok(f.Sweep(ctx))
	exists := func(id string) bool {
		_, err := f.reg.Certificate(ctx, id)
		return err == nil
	}
	if exists(claim.Certificate.ID) || !exists(old.Certificate.ID) || !exists(young.Certificate.ID) {
		t.Errorf("after half an hour: claim %v, old %v, young %v", exists(claim.Certificate.ID), exists(old.Certificate.ID), exists(young.Certificate.ID))
	}
	f.now = f.now.Add(31 * time.Minute)
	if _, err := f.Provision(ctx, claimant, "fleet", old.Token, map[string]string{"SerialNumber": "1"}); !errors.Is(err, ErrToken) {
		t.Errorf("expired token: %v", err)
	}
	f.ok(f.Sweep(ctx))
	if exists(old.Certificate.ID) || !exists(young.Certificate.ID) {
		t.Errorf("after an hour: old %v, young %v", exists(old.Certificate.ID), exists(young.Certificate.ID))
	}
	left := 0
	for _, err := range f.store.Scan(ctx, keyOwner, "") {
		f.ok(err)
		left++
	}
	if left != 1 {
		t.Errorf("%d tokens are left", left)
	}
}

func TestHook(t *testing.T) {
	var got HookRequest
	decide := func(context.Context) (HookResponse, error) {
		return HookResponse{Allow: true, Overrides: map[string]string{"Site": "oslo"}}, nil
	}
	f := setup(t, Options{Hook: func(ctx context.Context, r HookRequest) (HookResponse, error) {
		got = r
		return decide(ctx)
	}})
	f.create("fleet", "arn:hook")
	provision := func() (Result, error) {
		made, err := f.CreateKeys(t.Context(), claimant)
		f.ok(err)
		r, err := f.Provision(t.Context(), claimant, "fleet", made.Token, map[string]string{"SerialNumber": "7"})
		if got.CertificateID != made.Certificate.ID || got.Target != "arn:hook" || got.ClientID != "device-1" || got.ClaimCertificateID != "claim" ||
			got.Parameters["SerialNumber"] != "7" || !strings.HasSuffix(got.TemplateARN, ":provisioningtemplate/fleet") {
			t.Errorf("the hook got %+v", got)
		}
		return r, err
	}
	if r, err := provision(); err != nil || r.Device["url"] != "https://oslo.example/${x}" {
		t.Errorf("allowed: %+v, %v", r, err)
	}
	for name, d := range map[string]func(context.Context) (HookResponse, error){
		"says no": func(context.Context) (HookResponse, error) { return HookResponse{}, nil },
		"fails":   func(context.Context) (HookResponse, error) { return HookResponse{Allow: true}, errors.New("down") },
		"panics":  func(context.Context) (HookResponse, error) { panic("hook") },
	} {
		decide = d
		if _, err := provision(); !errors.Is(err, ErrDenied) {
			t.Errorf("a hook that %s: %v", name, err)
		}
	}
}

// A hook that gives no answer, and does not look at its context, is given up.
func TestHookTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		f := setup(t, Options{Hook: func(context.Context, HookRequest) (HookResponse, error) {
			<-release
			return HookResponse{Allow: true}, nil
		}})
		f.create("fleet", "arn:hook")
		made, err := f.CreateKeys(t.Context(), claimant)
		f.ok(err)
		if _, err := f.Provision(t.Context(), claimant, "fleet", made.Token, map[string]string{"SerialNumber": "7"}); !errors.Is(err, ErrDenied) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOverrides(t *testing.T) {
	ctx := context.Background()
	body := func(override string) string {
		return `{"Parameters":{"v":{"Type":"String"}},"Resources":{"t":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":"a",
			"AttributePayload":{"k":{"Ref":"v"},"new":"n"},"ThingTypeName":"y","ThingGroups":["sensors"]},"OverrideSettings":` + override + `}}}`
	}
	for _, tt := range []struct {
		override, want string
		err            error
	}{
		{`{}`, "x map[k:old keep:1] [other]", nil},
		{`{"AttributePayload":"DO_NOTHING"}`, "x map[k:old keep:1] [other]", nil},
		{`{"AttributePayload":"MERGE","ThingGroups":"MERGE"}`, "x map[k:v keep:1 new:n] [other sensors]", nil},
		{`{"AttributePayload":"REPLACE","ThingGroups":"REPLACE","ThingTypeName":"REPLACE"}`, "y map[k:v new:n] [sensors]", nil},
		{`{"AttributePayload":"FAIL"}`, "x map[k:old keep:1] [other]", ErrConflict},
		{`{"ThingTypeName":"FAIL"}`, "x map[k:old keep:1] [other]", ErrConflict},
		{`{"ThingGroups":"FAIL"}`, "x map[k:old keep:1] [other]", ErrConflict},
	} {
		f := setup(t, Options{})
		for _, name := range []string{"x", "y"} {
			_, err := f.reg.CreateThingType(ctx, registry.ThingType{Name: name})
			f.ok(err)
		}
		_, err := f.reg.CreateGroup(ctx, registry.Group{Name: "other"}, "")
		f.ok(err)
		_, err = f.reg.CreateThing(ctx, registry.Thing{Name: "a", Type: "x", Attributes: map[string]string{"k": "old", "keep": "1"}})
		f.ok(err)
		f.ok(f.reg.AddThingToGroup(ctx, "a", "other"))
		if _, err := f.RegisterThing(ctx, body(tt.override), map[string]string{"v": "v"}); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", tt.override, err)
		}
		thing, err := f.reg.Thing(ctx, "a")
		f.ok(err)
		if got := fmt.Sprint(thing.Type, " ", thing.Attributes, " ", thing.Groups); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.override, got, tt.want)
		}
	}
}

func TestTemplateVersions(t *testing.T) {
	f := setup(t, Options{})
	ctx := t.Context()
	f.create("fleet", "")
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := f.CreateTemplate(ctx, StoredTemplate{Name: "fleet"}, fleetTemplate)
	check("twice", err, ErrExists)
	_, err = f.CreateTemplate(ctx, StoredTemplate{Name: "a b"}, fleetTemplate)
	check("bad name", err, ErrInvalid)
	_, err = f.CreateTemplate(ctx, StoredTemplate{Name: "a"}, `{}`)
	check("bad body", err, ErrTemplate)
	for i := 2; i <= 5; i++ {
		v, err := f.CreateVersion(ctx, "fleet", fleetTemplate, i == 3)
		if err != nil || v.ID != i {
			t.Fatalf("version %d: %+v, %v", i, v, err)
		}
	}
	_, err = f.CreateVersion(ctx, "fleet", fleetTemplate, false)
	check("sixth version", err, ErrVersions)
	check("delete the default", f.DeleteVersion(ctx, "fleet", 3), ErrInUse)
	check("delete what is not there", f.DeleteVersion(ctx, "fleet", 9), ErrNotFound)
	check("delete", f.DeleteVersion(ctx, "fleet", 5), nil)
	if v, err := f.CreateVersion(ctx, "fleet", fleetTemplate, false); err != nil || v.ID != 6 {
		t.Errorf("an ID came back: %+v, %v", v, err)
	}
	five := 5
	check("unknown default", f.UpdateTemplate(ctx, "fleet", TemplateUpdate{Default: &five}), ErrNotFound)
	off, text := false, "text"
	check("update", f.UpdateTemplate(ctx, "fleet", TemplateUpdate{Enabled: &off, Description: &text}), nil)
	stored, err := f.Template(ctx, "fleet")
	if err != nil || stored.Enabled || stored.Description != "text" || stored.Default != 3 || len(stored.Versions) != 5 {
		t.Errorf("stored %+v, %v", stored, err)
	}
	made, err := f.CreateKeys(ctx, claimant)
	f.ok(err)
	_, err = f.Provision(ctx, claimant, "fleet", made.Token, map[string]string{"SerialNumber": "7"})
	check("disabled", err, ErrDisabled)
	check("delete", f.DeleteTemplate(ctx, "fleet"), nil)
	check("delete again", f.DeleteTemplate(ctx, "fleet"), ErrNotFound)
}

func TestBulk(t *testing.T) {
	f := setup(t, Options{})
	const body = `{"Parameters":{"ThingName":{"Type":"String"},"CSR":{"Type":"String","Default":""}},"Resources":{
		"thing":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":{"Ref":"ThingName"},"ThingGroups":["sensors"]}}}}`
	var lines strings.Builder
	for i := range 200 {
		switch i {
		case 50:
			lines.WriteString("not JSON\n")
		case 60:
			lines.WriteString(`{"Other":"x"}` + "\n")
		case 70:
			lines.WriteString(`{"ThingName":"a b"}` + "\n\n")
		default:
			fmt.Fprintf(&lines, "{\"ThingName\":\"bulk-%d\"}\n", i)
		}
	}
	failed := map[int]error{}
	report, err := f.Bulk(t.Context(), body, strings.NewReader(lines.String()), 4, func(r BulkResult) {
		if r.Err != nil {
			failed[r.Line] = r.Err
		}
	})
	f.ok(err)
	if report != (BulkReport{197, 3}) || !errors.Is(failed[51], ErrInvalid) || !errors.Is(failed[61], ErrTemplate) || !errors.Is(failed[71], registry.ErrInvalid) {
		t.Errorf("report %+v, failures %v", report, failed)
	}
	members := 0
	for _, err := range f.reg.ThingsInGroup(t.Context(), "sensors", false, "") {
		f.ok(err)
		members++
	}
	if members != 197 {
		t.Errorf("%d things", members)
	}
	longest := `{"ThingName":"longest"` + strings.Repeat(" ", maxLine-23) + "}"
	if report, err := f.Bulk(t.Context(), body, strings.NewReader(longest+" \n"+longest), 1, nil); err != nil || report != (BulkReport{1, 1}) {
		t.Errorf("a line that is too long, and one that is just not: %+v, %v", report, err)
	}
	if _, err := f.Bulk(t.Context(), `{}`, strings.NewReader(""), 1, nil); !errors.Is(err, ErrTemplate) {
		t.Errorf("a bad template: %v", err)
	}
}

// A bus hands requests to handlers, and keeps answers by client.
type bus struct {
	handlers map[string]func(context.Context, Request) error
	answers  []string // client topic payload
	refuse   bool
}

func (b *bus) Handle(filter string, h func(context.Context, Request) error) (func(), error) {
	b.handlers[filter] = h
	return func() { delete(b.handlers, filter) }, nil
}

func (b *bus) Answer(_ context.Context, client, topic string, payload []byte) error {
	if b.refuse {
		return errors.New("not subscribed")
	}
	b.answers = append(b.answers, client+" "+topic+" "+string(payload))
	return nil
}

// ask returns the outcome and the answer as JSON.
func (b *bus) ask(t *testing.T, filter, topic, payload string) (outcome, answer string) {
	t.Helper()
	body := []byte(payload)
	if strings.HasSuffix(topic, "cbor") && payload != "" {
		var err error
		if body, err = cbor.FromJSON(body); err != nil {
			t.Fatal(err)
		}
	}
	b.answers = nil
	if err := b.handlers[filter](t.Context(), Request{topic, "device-1", "claim", body}); err != nil || len(b.answers) != 1 {
		t.Fatalf("%v, answers %q", err, b.answers)
	}
	parts := strings.SplitN(b.answers[0], " ", 3)
	if parts[0] != "device-1" || !strings.HasPrefix(parts[1], topic+"/") {
		t.Fatalf("answer %q", b.answers[0])
	}
	if strings.HasSuffix(topic, "cbor") {
		text, err := cbor.ToJSON([]byte(parts[2]))
		if err != nil {
			t.Fatal(err)
		}
		parts[2] = string(text)
	}
	return strings.TrimPrefix(parts[1], topic+"/"), parts[2]
}

func TestServe(t *testing.T) {
	for _, format := range []string{"json", "cbor"} {
		t.Run(format, func(t *testing.T) {
			f := setup(t, Options{})
			f.create("fleet", "")
			b := &bus{handlers: map[string]func(context.Context, Request) error{}}
			e, err := Serve(f.Service, b)
			f.ok(err)
			outcome, answer := b.ask(t, "$aws/certificates/create/"+format, "$aws/certificates/create/"+format, "")
			var made struct{ CertificateID, CertificatePem, PrivateKey, CertificateOwnershipToken string }
			f.ok(json.Unmarshal([]byte(answer), &made))
			if outcome != "accepted" || made.PrivateKey == "" || made.CertificatePem == "" || made.CertificateOwnershipToken == "" {
				t.Fatalf("%s %s", outcome, answer)
			}
			const filter = "$aws/provisioning-templates/+/provision/"
			topic := "$aws/provisioning-templates/fleet/provision/" + format
			outcome, answer = b.ask(t, filter+format, topic, `{"certificateOwnershipToken":"`+made.CertificateOwnershipToken+`","parameters":{"SerialNumber":"7"}}`)
			if want := `{"deviceConfiguration":{"n":"5","url":"https://berlin.example/${x}"},"thingName":"sensor-7"}`; outcome != "accepted" || answer != want {
				t.Errorf("%s %s", outcome, answer)
			}
			for _, tt := range []struct{ topic, payload, want string }{
				{topic, `{"certificateOwnershipToken":"x"}`, `"statusCode":400,"errorCode":"InvalidCertificateOwnershipToken"`},
				{topic, `{"parameters":{"a":1}}`, `"statusCode":400,"errorCode":"InvalidRequest"`},
				{topic, `[]`, `"errorCode":"InvalidRequest"`},
				{strings.Replace(topic, "fleet", "nope", 1), `{"certificateOwnershipToken":"` + made.CertificateOwnershipToken + `"}`, `"statusCode":404,"errorCode":"ResourceNotFound"`},
			} {
				if outcome, answer := b.ask(t, filter+format, tt.topic, tt.payload); outcome != "rejected" || !strings.Contains(answer, tt.want) {
					t.Errorf("%s: %s %s", tt.payload, outcome, answer)
				}
			}
			if outcome, answer := b.ask(t, "$aws/certificates/create-from-csr/"+format, "$aws/certificates/create-from-csr/"+format, `{"certificateSigningRequest":"x"}`); outcome != "rejected" || !strings.Contains(answer, `"statusCode":400`) {
				t.Errorf("%s %s", outcome, answer)
			}
			b.refuse = true
			f.ok(b.handlers[filter+format](t.Context(), Request{Topic: topic}))
			if got := e.Stats(); got != (Stats{Requests: 8, Rejected: 6, Unanswered: 1}) {
				t.Errorf("%+v", got)
			}
			e.Close()
			if len(b.handlers) != 0 {
				t.Error("Close leaves handlers")
			}
		})
	}
}

// Errors that are not in the table tell devices nothing.
func TestRejections(t *testing.T) {
	if got := rejection(errors.New("disk /dev/sda is broken")); got.Status != 500 || strings.Contains(got.Message, "disk") {
		t.Errorf("%+v", got)
	}
	for _, err := range []error{ErrTemplate, ErrConflict, ErrDenied, ErrToken, ErrDisabled, ErrInvalid, ErrNotFound} {
		if got := rejection(fmt.Errorf("x: %w", err)); got.Status == 500 {
			t.Errorf("%v is not in the table", err)
		}
	}
}

// A thing that is made comes into the billing group that the template names;
// one that exists keeps its own.
func TestBillingGroup(t *testing.T) {
	f := setup(t, Options{})
	const body = `{"Parameters":{"n":{"Type":"String"},"b":{"Type":"String"}},"Resources":{"t":{"Type":"AWS::IoT::Thing","Properties":{
		"ThingName":{"Ref":"n"},"BillingGroup":{"Ref":"b"}}}}}`
	for _, name := range []string{"north", "south"} {
		_, err := f.reg.CreateBillingGroup(t.Context(), registry.BillingGroup{Name: name})
		f.ok(err)
	}
	for _, c := range []struct {
		thing, group, want string
		err                error
	}{
		{"a", "north", "north", nil}, {"a", "south", "north", nil}, {"b", "west", "", registry.ErrNotFound},
	} {
		_, err := f.RegisterThing(t.Context(), body, map[string]string{"n": c.thing, "b": c.group})
		thing, _ := f.reg.Thing(t.Context(), c.thing)
		if !errors.Is(err, c.err) || thing.BillingGroup != c.want {
			t.Errorf("%s to %s: in %q, %v", c.thing, c.group, thing.BillingGroup, err)
		}
	}
}
