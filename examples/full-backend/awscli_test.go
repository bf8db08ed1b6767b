package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
)

// An awsCLI runs Debian's aws with the access key of a backend.
type awsCLI struct {
	p       *process
	program string
	url     string // endpoint
	env     []string
}

func (p *process) aws() *awsCLI {
	program := "/usr/bin/aws" // the distribution's own, whatever else is on the path
	if _, err := os.Stat(program); err != nil {
		program = foreign.Need(p.t, "aws")
	}
	return &awsCLI{p, program, p.http, append(os.Environ(), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(p.data, "aws-credentials"),
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_DEFAULT_REGION=us-east-1", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "PYTHONWARNINGS=ignore")}
}

// run returns what the command printed, and whether it succeeded.
func (a *awsCLI) run(args ...string) (out string, ok bool) {
	a.p.t.Helper()
	cmd := exec.CommandContext(a.p.t.Context(), a.program, append([]string{"--endpoint-url", a.url, "--output", "json"}, args...)...)
	for _, e := range a.env { // an empty variable is not the same as none
		if !strings.HasSuffix(e, "_KEY=") && !strings.HasSuffix(e, "_ID=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	return both.String(), err == nil
}

// ok runs a command that must succeed and have that in its answer.
func (a *awsCLI) ok(want string, args ...string) string {
	a.p.t.Helper()
	out, ok := a.run(args...)
	if compact := strings.Join(strings.Fields(out), ""); !ok || !strings.Contains(compact, want) {
		a.p.t.Errorf("aws %s: %s\nwant %s", strings.Join(args, " "), out, want)
	}
	return out
}

// refused runs a command that must fail with that error.
func (a *awsCLI) refused(name string, args ...string) {
	a.p.t.Helper()
	if out, ok := a.run(args...); ok || !strings.Contains(out, "("+name+")") {
		a.p.t.Errorf("aws %s: %s\nwant the error %s", strings.Join(args, " "), out, name)
	}
}

// The back office of a fleet by the AWS CLI, unmodified, with signatures: only
// endpoint and credentials are set.
func TestAWSCLI(t *testing.T) {
	p := start(t)
	a := p.aws()
	const arn = "arn:aws:iot:us-east-1:123456789012:"

	a.ok(`"thingTypeName":"lamp"`, "iot", "create-thing-type", "--thing-type-name", "lamp")
	a.ok(`"thingName":"lamp-1"`, "iot", "create-thing", "--thing-name", "lamp-1", "--thing-type-name", "lamp", "--attribute-payload", `{"attributes":{"site":"berlin"}}`)
	a.ok(`"attributes":{"site":"berlin"}`, "iot", "describe-thing", "--thing-name", "lamp-1")
	a.refused("ResourceNotFoundException", "iot", "describe-thing", "--thing-name", "none")
	a.ok(`"thingGroupName":"lamps"`, "iot", "create-thing-group", "--thing-group-name", "lamps")
	a.ok(``, "iot", "add-thing-to-thing-group", "--thing-group-name", "lamps", "--thing-name", "lamp-1")
	a.ok(`["lamp-1"]`, "iot", "list-things-in-thing-group", "--thing-group-name", "lamps")

	// A device: certificate, policy, and then the device itself connects.
	const document = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}`
	a.ok(`"policyName":"open"`, "iot", "create-policy", "--policy-name", "open", "--policy-document", document)
	a.refused("MalformedPolicyException", "iot", "create-policy", "--policy-name", "bad", "--policy-document", `{"Version":"2012-10-17"}`)
	var made struct {
		CertificateArn, CertificateID, CertificatePem string
		KeyPair                                       struct{ PrivateKey string }
	}
	if err := json.Unmarshal([]byte(a.ok(`"certificateArn"`, "iot", "create-keys-and-certificate", "--set-as-active")), &made); err != nil {
		t.Fatal(err)
	}
	a.ok(``, "iot", "attach-policy", "--policy-name", "open", "--target", made.CertificateArn)
	a.ok(``, "iot", "attach-thing-principal", "--thing-name", "lamp-1", "--principal", made.CertificateArn)
	a.ok(`["`+made.CertificateArn+`"]`, "iot", "list-thing-principals", "--thing-name", "lamp-1")
	a.ok(`"authDecision":"ALLOWED"`, "iot", "test-authorization", "--principal", made.CertificateArn, "--auth-infos", "actionType=PUBLISH,resources="+arn+"topic/x")
	dir := t.TempDir()
	d := &device{p: p, thing: "lamp-1", id: made.CertificateID, ca: filepath.Join(p.data, "ca.pem"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	for file, text := range map[string]string{d.cert: made.CertificatePem, d.key: made.KeyPair.PrivateKey} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := d.sub("commands/lamp-1", "$aws/things/lamp-1/shadow/update/delta", "alerts/#")

	// The data plane.
	file := filepath.Join(dir, "payload")
	if err := os.WriteFile(file, []byte(`{"on":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	a.ok(``, "iot-data", "publish", "--topic", "commands/lamp-1", "--qos", "1", "--payload", "fileb://"+file)
	if line := next(t, got); line != `commands/lamp-1 {"on":true}` {
		t.Errorf("the device got %s", line)
	}
	if err := os.WriteFile(file, []byte(`{"state":{"desired":{"on":true}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	a.ok(``, "iot-data", "update-thing-shadow", "--thing-name", "lamp-1", "--payload", "fileb://"+file, out)
	if line := next(t, got); !strings.HasPrefix(line, "$aws/things/lamp-1/shadow/update/delta ") || !strings.Contains(line, `"on":true`) {
		t.Errorf("the device got %s", line)
	}
	a.ok(``, "iot-data", "get-thing-shadow", "--thing-name", "lamp-1", out)
	if text, err := os.ReadFile(out); err != nil || !strings.Contains(string(text), `"desired":{"on":true}`) {
		t.Errorf("the shadow is %s, %v", text, err)
	}
	a.refused("ResourceNotFoundException", "iot-data", "get-thing-shadow", "--thing-name", "none", out)

	// Search: what was written before is found, and what is written is found by the next search.
	a.refused("ResourceNotFoundException", "iot", "search-index", "--query-string", "thingName:lamp-1")
	a.ok(``, "iot", "update-indexing-configuration", "--thing-indexing-configuration", "thingIndexingMode=REGISTRY_AND_SHADOW,thingConnectivityIndexingMode=STATUS,customFields=[{name=shadow.reported.battery,type=Number}]")
	p.eventually("the index is built", func() error {
		if out, ok := a.run("iot", "describe-index", "--index-name", "AWS_Things"); !ok || !strings.Contains(out, "ACTIVE") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	a.ok(`"thingName":"lamp-1"`, "iot", "search-index", "--query-string", "attributes.site:berlin AND thingGroupNames:lamps AND shadow.desired.on:true")
	if err := os.WriteFile(file, []byte(`{"state":{"reported":{"battery":7}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	a.ok(``, "iot-data", "update-thing-shadow", "--thing-name", "lamp-1", "--payload", "fileb://"+file, out)
	next(t, got) // the delta is told again
	a.ok(`"thingName":"lamp-1"`, "iot", "search-index", "--query-string", "shadow.reported.battery<10")
	a.ok(`"average":7`, "iot", "get-statistics", "--query-string", "*", "--aggregation-field", "shadow.reported.battery")
	a.refused("InvalidQueryException", "iot", "search-index", "--query-string", "a:b:c")

	// A dynamic group: whoever is low, and it is told of by an event.
	a.ok(`"queryString":"shadow.reported.battery<10"`, "iot", "create-dynamic-thing-group", "--thing-group-name", "low", "--query-string", "shadow.reported.battery<10",
		"--thing-group-properties", "thingGroupDescription=soon empty")
	a.refused("InvalidQueryException", "iot", "create-dynamic-thing-group", "--thing-group-name", "bad", "--query-string", "a:b:c")
	a.refused("InvalidRequestException", "iot", "add-thing-to-thing-group", "--thing-group-name", "low", "--thing-name", "lamp-1")
	members := func(want string) {
		t.Helper()
		p.eventually("members "+want, func() error {
			if out, ok := a.run("iot", "list-things-in-thing-group", "--thing-group-name", "low"); !ok || !strings.Contains(strings.Join(strings.Fields(out), ""), want) {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
	}
	members(`["lamp-1"]`)
	a.ok(`"status":"ACTIVE"`, "iot", "describe-thing-group", "--thing-group-name", "low")
	a.refused("InvalidRequestException", "iot", "update-indexing-configuration", "--thing-indexing-configuration", "thingIndexingMode=OFF")
	a.ok(`"version":2`, "iot", "update-dynamic-thing-group", "--thing-group-name", "low", "--query-string", "shadow.reported.battery>10", "--thing-group-properties", "thingGroupDescription=full")
	members(`"things":[]`)
	a.refused("InvalidRequestException", "iot", "delete-thing-group", "--thing-group-name", "low")
	a.ok(``, "iot", "delete-dynamic-thing-group", "--thing-group-name", "low")
	a.refused("ResourceNotFoundException", "iot", "describe-thing-group", "--thing-group-name", "low")

	// Rules.
	rule := `{"sql":"SELECT temperature FROM 'sensors/+/climate' WHERE temperature > 30","actions":[{"republish":{"topic":"alerts/${topic(2)}","roleArn":"arn:aws:iam::123456789012:role/x"}}]}`
	a.ok(``, "iot", "create-topic-rule", "--rule-name", "hot", "--topic-rule-payload", rule)
	a.refused("ResourceAlreadyExistsException", "iot", "create-topic-rule", "--rule-name", "hot", "--topic-rule-payload", rule)
	a.refused("SqlParseException", "iot", "create-topic-rule", "--rule-name", "bad", "--topic-rule-payload", strings.Replace(rule, "SELECT", "SELCT", 1))
	d.mustPub("sensors/lamp-1/climate", `{"temperature":31}`)
	if line := next(t, got); line != `alerts/lamp-1 {"temperature":31}` {
		t.Errorf("the device got %s", line)
	}
	a.ok(`"ruleName":"hot"`, "iot", "get-topic-rule", "--rule-name", "hot")

	// A job for the group reaches the device, which ends it.
	jobsGot := d.sub("$aws/things/lamp-1/jobs/notify-next", "$aws/things/lamp-1/jobs/start-next/accepted") // of which the answer is not its business
	a.ok(`"jobId":"update-7"`, "iot", "create-job", "--job-id", "update-7", "--targets", arn+"thinggroup/lamps", "--document", `{"version":7}`)
	if line := next(t, jobsGot); !strings.HasPrefix(line, "$aws/things/lamp-1/jobs/notify-next ") || !strings.Contains(line, `"jobDocument":{"version":7}`) {
		t.Errorf("the device got %s", line)
	}
	if answer := p.ask(d.flags(), "$aws/things/lamp-1/jobs/start-next", "accepted", `{}`); !strings.Contains(answer, `"status":"IN_PROGRESS"`) {
		t.Errorf("the device got %s", answer)
	}
	a.ok(`"status":"IN_PROGRESS"`, "iot-jobs-data", "describe-job-execution", "--thing-name", "lamp-1", "--job-id", "update-7")
	d.mustPub("$aws/things/lamp-1/jobs/update-7/update", `{"status":"SUCCEEDED"}`)
	if line := next(t, jobsGot); !strings.HasPrefix(line, "$aws/things/lamp-1/jobs/notify-next {\"timestamp\"") {
		t.Errorf("another client got %s", line)
	}
	a.ok(`"status":"COMPLETED"`, "iot", "describe-job", "--job-id", "update-7")

	a.ok(`"securityProfileName":"quiet"`, "iot", "create-security-profile", "--security-profile-name", "quiet", "--behaviors",
		`[{"name":"few","metric":"aws:num-messages-sent","criteria":{"comparisonOperator":"less-than","value":{"count":100},"durationSeconds":300,"consecutiveDatapointsToAlarm":1,"consecutiveDatapointsToClear":1}}]`)

	// The certificate is revoked: the device is cut off.
	a.ok(``, "iot", "update-certificate", "--certificate-id", made.CertificateID, "--new-status", "REVOKED")
	if out, err := d.pub("commands/x", "{}"); err == nil {
		t.Errorf("a revoked certificate may publish: %s", out)
	}
	a.ok(`"endpointAddress"`, "iot", "describe-endpoint", "--endpoint-type", "iot:Data-ATS")

	a.env = append(a.env, "AWS_ACCESS_KEY_ID=AKIDNOBODY", "AWS_SECRET_ACCESS_KEY=guess")
	a.refused("UnrecognizedClientException", "iot", "list-things")
}
