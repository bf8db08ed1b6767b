package provision

import (
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/registry"
)

// Each function, alone and within others.
func TestFunctions(t *testing.T) {
	const head = `{"Parameters":{"A":{"Type":"String"},"N":{"Type":"String","Default":"1"},"L":{"Type":"String","Default":"x,y,,z"}},"Mappings":{"m":{"k":{"v":"mapped"},"a":{"1":"one"}}},` +
		`"Resources":{"t":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":`
	for in, want := range map[string]string{
		`"plain"`:                      `plain`,
		`"${A}"`:                       `${A}`, // only Fn::Sub replaces
		`{"Ref":"A"}`:                  `a`,
		`{"Ref":"N"}`:                  `1`,
		`{"Fn::Join":["-",["x","y"]]}`: `x-y`,
		`{"Fn::Join":["",[]]}`:         ``,
		`{"Fn::Join":["/",[{"Ref":"A"},{"Fn::Join":["+",["b","c"]]}]]}`: `a/b+c`,
		`{"Fn::Join":[".",{"Fn::Split":[",",{"Ref":"L"}]}]}`:            `x.y..z`,
		`{"Fn::Select":[0,["x","y"]]}`:                                  `x`,
		`{"Fn::Select":["1",["x","y"]]}`:                                `y`,
		`{"Fn::Select":[{"Ref":"N"},["x",{"Ref":"A"}]]}`:                `a`,
		`{"Fn::Select":[2,{"Fn::Split":[",","x,y,,z"]}]}`:               ``,
		`{"Fn::Select":[3,{"Fn::Split":[",","x,y,,z"]}]}`:               `z`,
		`{"Fn::FindInMap":["m","k","v"]}`:                               `mapped`,
		`{"Fn::FindInMap":["m",{"Ref":"A"},{"Ref":"N"}]}`:               `one`,
		`{"Fn::Sub":"${A}-${N}-${!A}-$A"}`:                              `a-1-${A}-$A`,
		`{"Fn::Sub":["${A}-${v}",{"v":{"Fn::Select":[0,["w"]]}}]}`:      `a-w`,
		`{"Fn::Sub":["${A}",{"A":"local"}]}`:                            `local`,
		`{"Fn::Sub":["${v}",{"v":{"Fn::Sub":"${A}!"}}]}`:                `a!`,
		`{"Fn::Sub":"no variable"}`:                                     `no variable`,
		`{"Fn::Select":["-1",["x"]]}`:                                   `error: index`,
		`{"Fn::Select":["1",["x"]]}`:                                    `error: index`,
		`{"Fn::Select":["1.0",["x","y"]]}`:                              `error: index`,
		`{"Fn::Select":[0,[]]}`:                                         `error: index`,
		`{"Fn::Select":[0,{"Ref":"A"}]}`:                                `error: not a list`,
		`{"Fn::Split":[",","x,y"]}`:                                     `error: is a list`,
		`{"Fn::Split":[",",["x"]]}`:                                     `error: is a list`,
		`{"Fn::Join":[",","x"]}`:                                        `error: not a list`,
		`{"Fn::FindInMap":["m","k","x"]}`:                               `error: no mapping`,
		`{"Fn::FindInMap":["x","k","v"]}`:                               `error: no mapping`,
		`{"Ref":"B"}`:                                                   `error: not declared`,
		`{"Fn::Sub":"${B}"}`:                                            `error: not declared`,
		`{"Fn::Sub":["${v}",{"w":"x"}]}`:                                `error: not declared`,
		`{"Fn::Sub":["${v}",["x"]]}`:                                    `error: object of variables`,
		`{"Fn::GetAtt":["t","Arn"]}`:                                    `error: no function`,
		`{"Fn::If":["c","x","y"]}`:                                      `error: no function`,
		`{"Fn::FindInMap":["m","k"]}`:                                   `error: list of 3`,
		`{"Fn::Select":[0]}`:                                            `error: list of 2`,
		`{}`:                                                            `error: one member`,
		`true`:                                                          `true`,
	} {
		tmpl, err := Parse([]byte(head + in + `}}}}`))
		got := ""
		if err == nil {
			var p *Plan
			if p, err = tmpl.Resolve(map[string]string{"A": "a"}); err == nil {
				got = p.Thing.Name
			}
		}
		if reason, ok := strings.CutPrefix(want, "error: "); ok {
			if !errors.Is(err, ErrTemplate) || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: %q, %v, want %s", in, got, err, want)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", in, got, err, want)
		}
	}
}

// Functions stand anywhere but in Mappings: in a policy too, whose other text
// stays as it is.
func TestFunctionsInAPolicy(t *testing.T) {
	template := func(document string) string {
		return `{"Parameters":{"Site":{"Type":"String"}},"Resources":{"p":{"Type":"AWS::IoT::Policy","Properties":{"PolicyDocument": ` + document + ` }}}}`
	}
	for in, want := range map[string]string{
		`{ "Statement" : [ ] }`: `{ "Statement" : [ ] }`,
		`{"Version": "2012-10-17",  "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": {"Fn::Sub": "arn:${Site}:${!iot:ClientId}"}}]}`: `{"Version": "2012-10-17",  "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "arn:oslo:${iot:ClientId}"}]}`,
		`{"Statement":[{"Resource":[ {"Fn::Join":["/",["a",{"Ref":"Site"}]]} , "x" ],"Action": {"Fn::Split":[",","a,b"]} }],"Id":{"Ref":"Site"}}`:    `{"Statement":[{"Resource":[ "a/oslo" , "x" ],"Action": ["a","b"] }],"Id":"oslo"}`,
		`{"Statement":{"Condition":{"StringEquals":{"a":{"Ref":"Site"}}}}}`:                                                                          `{"Statement":{"Condition":{"StringEquals":{"a":"oslo"}}}}`,
		`{"Statement":"{\"Ref\":\"Site\"}"}`:                                        `{"Statement":"{\"Ref\":\"Site\"}"}`,
		`{"Statement":{"Fn::Sub":"\"quoted\" ${Site}"}}`:                            `{"Statement":"\"quoted\" oslo"}`,
		`{"Statement":{"Fn::Sub":"${Nope}"}}`:                                       `error: not declared`,
		`{"Statement":[{"Resource":{"Ref":5}}]}`:                                    `error: not a text`,
		`{"Statement":[{"Resource":{"Fn::Select":[9,["a"]]}}]}`:                     `error: index`,
		`{"Statement":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`: `error: deeper`,
	} {
		tmpl, err := Parse([]byte(template(in)))
		got := ""
		if err == nil {
			var p *Plan
			if p, err = tmpl.Resolve(map[string]string{"Site": "oslo"}); err == nil {
				got = p.Policies[0].Document
			}
		}
		if reason, ok := strings.CutPrefix(want, "error: "); ok {
			if !errors.Is(err, ErrTemplate) || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: %q, %v, want %s", in, got, err, want)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s:\n got %s, %v\nwant %s", in, got, err, want)
		}
	}
	// And it is the registry's policy in the end.
	f := setup(t, Options{})
	_, err := f.RegisterThing(t.Context(), template(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Publish","Resource":{"Fn::Sub":"arn:aws:iot:us-east-1:123456789012:topic/${Site}/*"}}]}`), map[string]string{"Site": "oslo"})
	f.ok(err)
	for p, err := range f.reg.Policies(t.Context(), "") {
		if v, ok := p.Version(p.Default); err != nil || !ok || !strings.Contains(v.Document, "topic/oslo/*") {
			t.Errorf("policy %+v, %v", p, err)
		}
	}
}

// A body is counted in characters.
func TestLengthOfATemplate(t *testing.T) {
	body := func(n int) []byte {
		head, tail := `{"Description":"`, `","Resources":{"t":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":"a"}}}}`
		return []byte(head + strings.Repeat("é", n-len(head)-len(tail)) + tail)
	}
	if _, err := Parse(body(MaxTemplateLength)); err != nil {
		t.Error(err)
	}
	if _, err := Parse(body(MaxTemplateLength + 1)); !errors.Is(err, ErrTemplate) {
		t.Error(err)
	}
}

// Just-in-time provisioning fills in all parameters of the specification, and
// fails for each that the subject lacks.
func TestSubjectParameters(t *testing.T) {
	full := map[string]string{"Country": "NO", "Organization": "Acme", "OrganizationalUnit": "Lamps", "DistinguishedNameQualifier": "q", "StateName": "Oslo", "CommonName": "lamp-1", "SerialNumber": "s1"}
	subject := func(without string) pkix.Name {
		have := maps.Clone(full)
		delete(have, without)
		list := func(name string) []string {
			if have[name] == "" {
				return nil
			}
			return []string{have[name]}
		}
		n := pkix.Name{Country: list("Country"), Organization: list("Organization"), OrganizationalUnit: list("OrganizationalUnit"), Province: list("StateName"),
			CommonName: have["CommonName"], SerialNumber: have["SerialNumber"]}
		if q := have["DistinguishedNameQualifier"]; q != "" {
			n.ExtraNames = []pkix.AttributeTypeAndValue{{Type: dnQualifier, Value: q}}
		}
		return n
	}
	parameters, attributes := `"AWS::IoT::Certificate::Id":{"Type":"String"}`, ""
	for name := range full {
		parameters += `,"AWS::IoT::Certificate::` + name + `":{"Type":"String"}`
		attributes += `,"` + name + `":{"Ref":"AWS::IoT::Certificate::` + name + `"}`
	}
	body := `{"Parameters":{` + parameters + `},"Resources":{"thing":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":"t","ThingTypeName":"many","AttributePayload":{` + attributes[1:] + `}}},
		"certificate":{"Type":"AWS::IoT::Certificate","Properties":{"CertificateId":{"Ref":"AWS::IoT::Certificate::Id"}}}}}`
	for without := range full {
		f := setup(t, Options{})
		_, err := f.reg.CreateThingType(t.Context(), registry.ThingType{Name: "many"})
		f.ok(err)
		stop := f.JustInTime()
		a := newAuthority(t, f.now)
		f.registerCA(a, registry.RegistrationConfig{Body: body})
		lacks := a.device(subject(without))
		for range 2 {
			if _, err := f.reg.PrincipalOf(t.Context(), lacks); !errors.Is(err, registry.ErrInactive) {
				t.Errorf("without %s: %v", without, err)
			}
		}
		if _, err := f.reg.Thing(t.Context(), "t"); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("without %s there is a thing: %v", without, err)
		}
		whole := a.device(subject(""))
		if _, err := f.reg.PrincipalOf(t.Context(), whole); !errors.Is(err, registry.ErrInactive) {
			t.Error(err)
		}
		thing, err := f.reg.Thing(t.Context(), "t")
		if err != nil || !maps.Equal(thing.Attributes, full) {
			t.Errorf("%+v, %v", thing, err)
		}
		stop()
	}
}

// Each error that a device can be told, in both formats, with its status and code.
func TestErrorCodes(t *testing.T) {
	var hook func() (HookResponse, error)
	for _, format := range []string{"json", "cbor"} {
		f := setup(t, Options{Hook: func(context.Context, HookRequest) (HookResponse, error) { return hook() }})
		ctx := t.Context()
		const rest = `"Resources":{"thing":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":{"Ref":"n"},"ThingGroups":["none"]},"OverrideSettings":{"AttributePayload":"FAIL"}},
			"certificate":{"Type":"AWS::IoT::Certificate","Properties":{"CertificateId":{"Ref":"AWS::IoT::Certificate::Id"}}}}}`
		const parameters = `{"Parameters":{"n":{"Type":"String"},"AWS::IoT::Certificate::Id":{"Type":"String"}},`
		for name, body := range map[string]string{"fails": parameters + rest, "group": parameters + rest, "off": parameters + rest, "jitp": parameters + rest,
			"other":  parameters + strings.Replace(rest, `{"Ref":"AWS::IoT::Certificate::Id"}`, `"x"`, 1),
			"policy": parameters + `"Resources":{"p":{"Type":"AWS::IoT::Policy","Properties":{"PolicyDocument":{"Fn::Join":["",["nonsense"]]}}}}}`,
			"asks":   parameters + rest} {
			stored := StoredTemplate{Name: name, Enabled: name != "off"}
			if name == "jitp" {
				stored.Type = JITP
			}
			if name == "asks" {
				stored.Hook = "arn:hook"
			}
			_, err := f.CreateTemplate(ctx, stored, body)
			f.ok(err)
		}
		_, err := f.reg.CreateThing(ctx, registry.Thing{Name: "there", Attributes: map[string]string{"a": "b"}})
		f.ok(err)
		b := &bus{handlers: map[string]func(context.Context, Request) error{}}
		e, err := Serve(f.Service, b)
		f.ok(err)
		for name, c := range map[string]struct {
			template, parameters string
			hook                 func() (HookResponse, error)
			status               int
			code                 string
		}{
			"a parameter is missing":      {"fails", `{}`, nil, 400, "InvalidParameters"},
			"a parameter is not declared": {"fails", `{"n":"x","m":"y"}`, nil, 400, "InvalidParameters"},
			"a parameter of the backend":  {"fails", `{"n":"x","AWS::IoT::Certificate::Id":"y"}`, nil, 400, "InvalidParameters"},
			"a parameter is a number":     {"fails", `{"n":1}`, nil, 400, "InvalidRequest"},
			"an odd name of a thing":      {"fails", `{"n":"a b"}`, nil, 400, "InvalidRequest"},
			"the thing is there":          {"fails", `{"n":"there"}`, nil, 409, "ResourceConflict"},
			"the group is not":            {"group", `{"n":"x"}`, nil, 404, "ResourceNotFound"},
			"the template is off":         {"off", `{"n":"x"}`, nil, 400, "TemplateDisabled"},
			"the template is of JITP":     {"jitp", `{"n":"x"}`, nil, 400, "InvalidRequest"},
			"the template is not there":   {"none", `{"n":"x"}`, nil, 404, "ResourceNotFound"},
			"another certificate":         {"other", `{"n":"x"}`, nil, 400, "InvalidParameters"},
			"a policy that is none":       {"policy", `{"n":"x"}`, nil, 400, "InvalidParameters"},
			"the hook says no":            {"asks", `{"n":"x"}`, func() (HookResponse, error) { return HookResponse{}, nil }, 403, "AccessDenied"},
			"the hook fails":              {"asks", `{"n":"x"}`, func() (HookResponse, error) { return HookResponse{Allow: true}, errors.New("down") }, 403, "AccessDenied"},
			"the hook adds what is not declared": {"asks", `{"n":"x"}`, func() (HookResponse, error) {
				return HookResponse{Allow: true, Overrides: map[string]string{"m": "y"}}, nil
			}, 400, "InvalidParameters"},
		} {
			hook = c.hook
			made, err := f.CreateKeys(ctx, claimant)
			f.ok(err)
			topic := "$aws/provisioning-templates/" + c.template + "/provision/" + format
			outcome, answer := b.ask(t, "$aws/provisioning-templates/+/provision/"+format, topic, `{"certificateOwnershipToken":"`+made.Token+`","parameters":`+c.parameters+`}`)
			var got struct {
				StatusCode              int
				ErrorCode, ErrorMessage string
			}
			if err := json.Unmarshal([]byte(answer), &got); err != nil || outcome != "rejected" || got.StatusCode != c.status || got.ErrorCode != c.code || got.ErrorMessage == "" {
				t.Errorf("%s: %s %s", name, outcome, answer)
			}
		}
		for _, c := range []struct{ topic, payload string }{
			{"create", `[]`}, {"create", `7`}, {"create-from-csr", `{}`}, {"create-from-csr", `{"certificateSigningRequest":7}`}, {"create-from-csr", `{"certificateSigningRequest":"-----BEGIN CERTIFICATE REQUEST-----"}`},
		} {
			topic := "$aws/certificates/" + c.topic + "/" + format
			if outcome, answer := b.ask(t, topic, topic, c.payload); outcome != "rejected" || !strings.Contains(answer, `"statusCode":400`) {
				t.Errorf("%s %s: %s %s", c.topic, c.payload, outcome, answer)
			}
		}
		e.Close()
	}
	if len(rejections) != 13 {
		t.Error(fmt.Sprint("the table has ", len(rejections), " rows: what is new belongs here"))
	}
}
