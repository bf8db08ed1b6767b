package provision

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

const fleetTemplate = `{
	"Parameters": {
		"SerialNumber": {"Type": "String"},
		"Site": {"Type": "String", "Default": "berlin"},
		"AWS::IoT::Certificate::Id": {"Type": "String"}
	},
	"Mappings": {"Sites": {"berlin": {"zone": "eu"}, "oslo": {"zone": "no"}}},
	"Resources": {
		"thing": {
			"Type": "AWS::IoT::Thing",
			"Properties": {
				"ThingName": {"Fn::Join": ["-", ["sensor", {"Ref": "SerialNumber"}]]},
				"AttributePayload": {"site": {"Ref": "Site"}, "zone": {"Fn::FindInMap": ["Sites", {"Ref": "Site"}, "zone"]}},
				"ThingGroups": [{"Fn::Select": ["1", {"Fn::Split": ["/", "fleet/sensors"]}]}]
			},
			"OverrideSettings": {"AttributePayload": "MERGE", "ThingGroups": "REPLACE"}
		},
		"certificate": {
			"Type": "AWS::IoT::Certificate",
			"Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}
		},
		"policy": {
			"Type": "AWS::IoT::Policy",
			"Properties": {"PolicyDocument": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}}
		}
	},
	"DeviceConfiguration": {"url": {"Fn::Sub": ["https://${Site}.${zone}/${!x}", {"zone": "example"}]}, "n": 5}
}`

func TestResolve(t *testing.T) {
	tmpl, err := Parse([]byte(fleetTemplate))
	if err != nil {
		t.Fatal(err)
	}
	p, err := tmpl.Resolve(map[string]string{"SerialNumber": "7", "Site": "oslo", "AWS::IoT::Certificate::Id": "abc"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Thing":{"Name":"sensor-7","Type":"","Attributes":{"site":"oslo","zone":"no"},"Groups":["sensors"],` +
		`"BillingGroup":"","OverrideAttributes":"MERGE","OverrideType":"","OverrideGroups":"REPLACE"},` +
		`"Certificate":{"CSR":"","ID":"abc","PEM":"","CAPEM":"","Status":"ACTIVE","OverrideStatus":""},` +
		`"Policies":[{"Name":"` + p.Policies[0].Name + `","Document":"{\"Version\": \"2012-10-17\", \"Statement\": [{\"Effect\": \"Allow\", \"Action\": \"iot:*\", \"Resource\": \"*\"}]}"}],` +
		`"Device":{"n":"5","url":"https://oslo.example/${x}"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if def, err := tmpl.Resolve(map[string]string{"SerialNumber": "7", "AWS::IoT::Certificate::Id": "abc"}); err != nil || def.Thing.Attributes["zone"] != "eu" {
		t.Errorf("default: %+v, %v", def, err)
	}
	if needed := tmpl.Parameters(); !needed["SerialNumber"] || needed["Site"] || len(needed) != 3 {
		t.Errorf("parameters %v", needed)
	}
}

func TestResolveErrors(t *testing.T) {
	thing := func(name string) string {
		return `{"Parameters":{"A":{"Type":"String"}},"Mappings":{"m":{"k":{"v":"x"}}},"Resources":{"t":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":` + name + `}}}}`
	}
	for _, tt := range []struct{ body, path, reason string }{
		{thing(`{"Fn::Select":["2",["a","b"]]}`), "Fn::Select", "index"},
		{thing(`{"Fn::Select":["x",["a"]]}`), "Fn::Select", "index"},
		{thing(`{"Fn::FindInMap":["m","k","w"]}`), "Fn::FindInMap", "no mapping"},
		{thing(`{"Fn::Join":["",{"Ref":"A"}]}`), "Fn::Join", "not a list"},
		{thing(`["a"]`), "ThingName", "is a list"},
		{thing(`{"Ref":"AWS::IoT::Certificate::Country"}`), "Ref", "has no value"},
		{thing(`{"Fn::Sub":"${AWS::IoT::Certificate::Id}"}`), "Fn::Sub", "has no value"},
		{thing(`{"Fn::Sub":"${A"}`), "Fn::Sub", "without }"},
	} {
		tmpl, err := Parse([]byte(tt.body))
		if err != nil {
			t.Errorf("%s: %v", tt.body, err)
			continue
		}
		_, err = tmpl.Resolve(map[string]string{"A": "a"})
		var te *TemplateError
		if !errors.As(err, &te) || !strings.Contains(te.Path, tt.path) || !strings.Contains(te.Reason, tt.reason) {
			t.Errorf("%s: got %v, want %s: %s", tt.body, err, tt.path, tt.reason)
		}
	}
	tmpl, err := Parse([]byte(thing(`{"Ref":"A"}`)))
	if err != nil {
		t.Fatal(err)
	}
	for _, params := range []map[string]string{{}, {"A": "a", "B": "b"}} {
		if _, err := tmpl.Resolve(params); !errors.Is(err, ErrTemplate) {
			t.Errorf("%v: %v", params, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	resource := func(typ, properties, more string) string {
		return `{"Resources":{"r":{"Type":"AWS::IoT::` + typ + `","Properties":` + properties + more + `}}}`
	}
	for _, tt := range []struct{ body, path, reason string }{
		{``, "", "EOF"},
		{`{}`, "Resources", "empty"},
		{`{} {}`, "", "more after"},
		{`{"Conditions":{}}`, "", "Conditions"},
		{`{"Parameters":{"A":{"Type":"Number"}}}`, "Parameters.A.Type", "not String"},
		{`{"Resources":{"r":{"Type":"AWS::S3::Bucket","Properties":{}}}}`, "Resources.r.Type", "AWS::S3::Bucket"},
		{`{"Resources":{"r":{"Type":"AWS::IoT::Thing"}}}`, "Resources.r.Properties", "missing"},
		{resource("Thing", `{}`, ``), "ThingName", "missing"},
		{resource("Thing", `{"ThingName":"a","Size":1}`, ``), "Properties", "Size"},
		{resource("Thing", `{"ThingName":null}`, ``), "ThingName", "null"},
		{resource("Thing", `{"ThingName":{"Ref":"Nope"}}`, ``), "Ref", "not declared"},
		{resource("Thing", `{"ThingName":{"Fn::Sub":"${Nope}"}}`, ``), "Fn::Sub", "not declared"},
		{resource("Thing", `{"ThingName":{"Fn::GetAtt":["a"]}}`, ``), "ThingName", "no function"},
		{resource("Thing", `{"ThingName":{"Ref":"a","Fn::Sub":"b"}}`, ``), "ThingName", "one member"},
		{resource("Thing", `{"ThingName":{"Ref":5}}`, ``), "Ref", "not a text"},
		{resource("Thing", `{"ThingName":{"Fn::Join":["-"]}}`, ``), "Fn::Join", "list of 2"},
		{resource("Thing", `{"ThingName":{"Fn::Join":[{"Ref":"x"},[]]}}`, ``), "Fn::Join[0]", "not a text"},
		{resource("Thing", `{"ThingName":{"Fn::Split":["","x"]}}`, ``), "Fn::Split[0]", "empty"},
		{resource("Thing", `{"ThingName":"a"}`, `,"OverrideSettings":{"ThingTypeName":"MERGE"}`), "OverrideSettings.ThingTypeName", "MERGE"},
		{resource("Thing", `{"ThingName":"a"}`, `,"OverrideSettings":{"Status":"FAIL"}`), "OverrideSettings", "Status"},
		{resource("Certificate", `{}`, ``), "Properties", "0 of"},
		{resource("Certificate", `{"CertificateId":"a","CertificatePem":"b"}`, ``), "Properties", "2 of"},
		{resource("Certificate", `{"CertificateId":"a","CACertificatePem":"b"}`, ``), "CACertificatePem", "together"},
		{resource("Policy", `{"PolicyName":"a","PolicyDocument":"b"}`, ``), "Properties", "one of"},
		{resource("Policy", `{"PolicyName":"a"}`, `,"OverrideSettings":{}`), "OverrideSettings", "none"},
		{resource("Thing", strings.Repeat(`{"ThingName":{"Fn::Join":["",[`, 1)+strings.Repeat(`{"Fn::Join":["",[`, 20)+`"a"`+strings.Repeat(`]]}`, 20)+`]]}}`, ``), "ThingName", "deeper"},
		{`{"Resources":{"a":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":"a"}},"b":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":"a"}}}}`, "Resources.b", "second"},
		{`{"Resources":{"a":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":"a"}}},"DeviceConfiguration":{"a":["b"]}}`, "DeviceConfiguration.a", "flat"},
		{`{"Resources":{"a":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":"a"}}},"DeviceConfiguration":{"a":{"b":"c"}}}`, "DeviceConfiguration.a", "no function"},
		{strings.Repeat(" ", MaxTemplateLength+1), "", "at most"},
	} {
		_, err := Parse([]byte(tt.body))
		var te *TemplateError
		if !errors.As(err, &te) || !strings.Contains(te.Path, tt.path) || !strings.Contains(te.Reason, tt.reason) {
			t.Errorf("%.200s\ngot  %v\nwant %s: %s", tt.body, err, tt.path, tt.reason)
		}
	}
	_, err := Parse([]byte("{\n \"Resources\": }"))
	var te *TemplateError
	if !errors.As(err, &te) || te.Line != 2 || te.Column != 15 {
		t.Errorf("position: %v", err)
	}
}

// A template that was parsed resolves or says why, and never panics.
func FuzzTemplate(f *testing.F) {
	f.Add([]byte(fleetTemplate), "7")
	f.Add([]byte(`{"Resources":{"t":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":{"Fn::Sub":["${a}",{"a":{"Fn::Select":[0,["x"]]}}]}}}}}`), "")
	f.Fuzz(func(t *testing.T, body []byte, text string) {
		tmpl, err := Parse(body)
		if err != nil {
			return
		}
		params := map[string]string{"AWS::IoT::Certificate::Id": text}
		for name := range tmpl.Parameters() {
			params[name] = text
		}
		if _, err := tmpl.Resolve(params); err != nil && !errors.Is(err, ErrTemplate) {
			t.Fatalf("untyped error: %v", err)
		}
	})
}
