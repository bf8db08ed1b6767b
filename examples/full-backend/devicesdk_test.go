package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
)

// fleetTemplate gives a device a thing named after its serial number, and the
// policy of all devices here.
const fleetTemplate = `{
	"Parameters": {"SerialNumber": {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
	"Resources": {
		"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Fn::Sub": "lamp-${SerialNumber}"}, "AttributePayload": {"serial": {"Ref": "SerialNumber"}}}},
		"certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}},
		"policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "device"}}
	},
	"DeviceConfiguration": {"interval": "5"}
}`

// fleet makes the template and a claim for it, whose identity it writes into
// files.
func (p *process) fleet() *device {
	p.t.Helper()
	template, err := json.Marshal(map[string]any{"templateName": "fleet", "templateBody": fleetTemplate, "enabled": true, "provisioningRoleArn": "arn:aws:iam::123456789012:role/x"})
	if err != nil {
		p.t.Fatal(err)
	}
	if status, answer := p.curl("POST", "/provisioning-templates", string(template)); status != 200 {
		p.t.Fatalf("template: %d %s", status, answer)
	}
	status, answer := p.curl("POST", "/provisioning-templates/fleet/provisioning-claim", "")
	var made struct {
		CertificateID, CertificatePem string
		KeyPair                       struct{ PrivateKey string }
	}
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != 200 {
		p.t.Fatalf("claim: %d %s", status, answer)
	}
	dir := p.t.TempDir()
	d := &device{p: p, id: made.CertificateID, ca: filepath.Join(p.data, "ca.pem"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	for file, text := range map[string]string{d.cert: made.CertificatePem, d.key: made.KeyPair.PrivateKey} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	return d
}

// node runs a script of testdata with the packages of npm, and returns what it
// printed, a JSON object a line, by the member "step".
func (d *device) node(script, needs string, env ...string) map[string]json.RawMessage {
	t := d.p.t
	t.Helper()
	dir := foreign.NeedNPM(t, needs)
	text, err := os.ReadFile(filepath.Join("testdata", script))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, foreign.Need(t, "node"), "-")
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(text)
	cmd.Env = append(append(os.Environ(), "PORT="+d.p.mqtt, "CA="+d.ca, "CERT="+d.cert, "KEY="+d.key, "THING="+d.thing), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, out, stderr.String())
	}
	steps := map[string]json.RawMessage{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		var line struct{ Step string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Step != "" {
			steps[line.Step] = json.RawMessage(strings.Replace(lines.Text(), fmt.Sprintf(`"step":%q,`, line.Step), "", 1))
		}
	}
	t.Logf("%s printed\n%s%s", script, out, stderr.String())
	return steps
}

// A device written with the AWS device SDK v2 gets an identity by fleet
// provisioning, reconnects with it and works with its shadow.
func TestDeviceSDK2(t *testing.T) {
	p := start(t)
	steps := p.fleet().node("devicesdk2.js", "aws-iot-device-sdk-v2", "TEMPLATE=fleet")
	for step, want := range map[string]string{
		"refused":    `{"statusCode":400,"errorCode":"InvalidParameters"}`,
		"registered": `{"thingName":"lamp-7","deviceConfiguration":{"interval":"5"}}`,
		"updated":    `{"version":1,"state":{"reported":{"colour":"red"},"desired":{"colour":"green"}}}`,
		"delta":      `{"state":{"colour":"green"}}`,
		"got":        `{"version":1,"state":{"desired":{"colour":"green"},"reported":{"colour":"red"},"delta":{"colour":"green"}}}`,
		"named":      `{"version":1}`,
		"missing":    `{"code":404,"message":"No shadow exists with name: 'none'"}`,
	} {
		if got := string(steps[step]); got != want {
			t.Errorf("%s: got %s, want %s", step, got, want)
		}
	}
	if _, ok := steps["deleted"]; !ok {
		t.Error("the shadow was not deleted")
	}
	if status, answer := p.curl("GET", "/things/lamp-7", ""); status != 200 || !strings.Contains(answer, `"serial":"7"`) {
		t.Errorf("the thing: %d %s", status, answer)
	}
}

// Bulk registration answers each line as it is done, and the counts.
func TestBulkRegistration(t *testing.T) {
	p := start(t)
	p.fleet()
	template, err := json.Marshal(map[string]any{"templateName": "bulk", "enabled": true, "provisioningRoleArn": "arn:aws:iam::123456789012:role/x",
		"templateBody": `{"Parameters":{"ThingName":{"Type":"String"}},"Resources":{"t":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":{"Ref":"ThingName"}}}}}`})
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := p.curl("POST", "/provisioning-templates", string(template)); status != 200 {
		t.Fatalf("template: %d %s", status, answer)
	}
	status, answer := p.curl("POST", "/registrations?template=bulk", "{\"ThingName\":\"b-1\"}\n{\"ThingName\":\"b 2\"}\n{\"ThingName\":\"b-3\"}\n")
	if status != 200 || !strings.Contains(answer, `"thing":"b-1"`) || !strings.Contains(answer, `{"line":2,"error":"registry: thingName`) ||
		!strings.HasSuffix(strings.TrimSpace(answer), `{"registered":2,"failed":1}`) {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := p.curl("POST", "/registrations?template=none", ""); status != 404 {
		t.Errorf("unknown template: %d %s", status, answer)
	}
}
