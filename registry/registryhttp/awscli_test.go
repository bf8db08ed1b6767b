package registryhttp

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
)

// TestAWSCommandLine drives the control plane with the unmodified aws cli.
func TestAWSCommandLine(t *testing.T) {
	program := foreign.Need(t, "aws")
	c := newClient(t, nil)
	dir := t.TempDir()
	run := func(wantErr string, args ...string) map[string]any {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append([]string{"iot", "--endpoint-url", c.url, "--region", "us-east-1", "--output", "json"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true",
			"AWS_CONFIG_FILE="+filepath.Join(dir, "none"), "AWS_CA_BUNDLE=")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if wantErr != "" {
			if err == nil || !strings.Contains(stderr.String(), "("+wantErr+")") {
				t.Errorf("aws iot %s: got %v %s, want %s", strings.Join(args, " "), err, stderr.String(), wantErr)
			}
			return nil
		}
		if err != nil {
			t.Fatalf("aws iot %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
		}
		var out map[string]any
		if stdout.Len() > 0 {
			if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
				t.Fatalf("aws iot %s: %v in %s", args[0], err, stdout.String())
			}
		}
		return out
	}
	run("", "create-thing-type", "--thing-type-name", "Lamp", "--thing-type-properties", "thingTypeDescription=a lamp,searchableAttributes=room")
	run("", "create-thing", "--thing-name", "lamp:7", "--thing-type-name", "Lamp", "--attribute-payload", `{"attributes":{"room":"kitchen"}}`)
	if out := run("", "describe-thing", "--thing-name", "lamp:7"); out["thingTypeName"] != "Lamp" || out["version"] != 1.0 {
		t.Errorf("described %v", out)
	}
	run("VersionConflictException", "update-thing", "--thing-name", "lamp:7", "--expected-version", "5")
	if out := run("", "list-things", "--attribute-name", "room", "--attribute-value", "kitchen"); len(out["things"].([]any)) != 1 {
		t.Errorf("listed %v", out)
	}
	cert := run("", "create-keys-and-certificate", "--set-as-active", "--certificate-pem-outfile", "cert.pem", "--private-key-outfile", "key.pem")
	if _, err := os.Stat(filepath.Join(dir, "key.pem")); err != nil {
		t.Error(err)
	}
	certARN, id := cert["certificateArn"].(string), cert["certificateId"].(string)
	run("MalformedPolicyException", "create-policy", "--policy-name", "p", "--policy-document", `{"Version":"2012-10-17"}`)
	run("", "create-policy", "--policy-name", "p", "--policy-document",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:Connect","Resource":"`+arn+`client/${iot:Connection.Thing.ThingName}"}}`)
	run("", "attach-policy", "--policy-name", "p", "--target", certARN)
	run("", "attach-thing-principal", "--thing-name", "lamp:7", "--principal", certARN)
	if out := run("", "list-thing-principals", "--thing-name", "lamp:7"); out["principals"].([]any)[0] != certARN {
		t.Errorf("principals %v", out)
	}
	out := run("", "test-authorization", "--principal", certARN, "--client-id", "lamp:7", "--auth-infos",
		"actionType=CONNECT,resources="+arn+"client/lamp:7")
	if got := out["authResults"].([]any)[0].(map[string]any)["authDecision"]; got != "ALLOWED" {
		t.Errorf("decision %v", out)
	}
	if out := run("", "list-attached-policies", "--target", certARN); len(out["policies"].([]any)) != 1 {
		t.Errorf("attached %v", out)
	}
	run("", "create-thing-group", "--thing-group-name", "home")
	run("", "add-thing-to-thing-group", "--thing-group-name", "home", "--thing-name", "lamp:7")
	if out := run("", "list-things-in-thing-group", "--thing-group-name", "home"); len(out["things"].([]any)) != 1 {
		t.Errorf("members %v", out)
	}
	run("CertificateStateException", "delete-certificate", "--certificate-id", id)
	run("", "update-certificate", "--certificate-id", id, "--new-status", "REVOKED")
	if out := run("", "describe-certificate", "--certificate-id", id); out["certificateDescription"].(map[string]any)["status"] != "REVOKED" {
		t.Errorf("certificate %v", out)
	}
	run("NotImplementedException", "list-jobs")
}
