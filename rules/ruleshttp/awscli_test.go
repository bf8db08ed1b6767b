package ruleshttp_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
	"github.com/thingloom/thingloom/rules"
	"github.com/thingloom/thingloom/rules/ruleshttp"
)

type bindAll struct{}

func (bindAll) Bind(context.Context, rules.ActionSpec) (rules.Action, error) {
	return rules.ActionFunc(func(context.Context, rules.Firing) error { return nil }), nil
}

// TestAWSCommandLine drives every operation with the distribution's aws.
func TestAWSCommandLine(t *testing.T) {
	aws := foreign.Need(t, "aws")
	e, err := rules.Open(t.Context(), rules.NewMemStore(), bindAll{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ruleshttp.Handler(e, nil))
	defer server.Close()
	home := t.TempDir()
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), aws, append([]string{"--endpoint-url", server.URL, "--output", "json", "iot"}, args...)...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_DEFAULT_REGION=us-east-1",
			"AWS_EC2_METADATA_DISABLED=true", "HOME="+home, "AWS_PAGER=")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := run(args...)
		if err != nil {
			t.Fatalf("aws %q: %v\n%s", args, err, out)
		}
		return out
	}
	fails := func(name string, args ...string) {
		t.Helper()
		if out, err := run(args...); err == nil || !strings.Contains(out, "("+name+")") {
			t.Errorf("aws %q: %v\n%s\nwant %s", args, err, out, name)
		}
	}
	const payload = `{"sql": "SELECT t FROM 'sensors/+' WHERE t > 30", "awsIotSqlVersion": "2016-03-23",
		"actions": [{"republish": {"topic": "hot", "roleArn": "arn:aws:iam::1:role/r"}}]}`

	must("create-topic-rule", "--rule-name", "hot", "--topic-rule-payload", payload)
	fails("ResourceAlreadyExistsException", "create-topic-rule", "--rule-name", "hot", "--topic-rule-payload", payload)
	fails("SqlParseException", "create-topic-rule", "--rule-name", "bad", "--topic-rule-payload", `{"sql": "SELECT", "actions": []}`)
	var got struct {
		RuleArn string
		Rule    struct {
			RuleName, SQL string
			CreatedAt     any // text or number, as aws is configured
			Actions       []struct{ Republish struct{ Topic string } }
		}
	}
	if err := json.Unmarshal([]byte(must("get-topic-rule", "--rule-name", "hot")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Rule.RuleName != "hot" || !strings.Contains(got.Rule.SQL, "t > 30") || got.Rule.CreatedAt == nil ||
		len(got.Rule.Actions) != 1 || got.Rule.Actions[0].Republish.Topic != "hot" {
		t.Errorf("get-topic-rule gives %+v", got)
	}
	must("disable-topic-rule", "--rule-name", "hot")
	if out := must("list-topic-rules", "--topic", "sensors/s1", "--rule-disabled"); !strings.Contains(out, `"hot"`) {
		t.Errorf("list-topic-rules gives %s", out)
	}
	must("enable-topic-rule", "--rule-name", "hot")
	must("replace-topic-rule", "--rule-name", "hot", "--topic-rule-payload", `{"sql": "SELECT * FROM 'a/b'", "actions": []}`)
	if info, err := e.Rule("hot"); err != nil || info.Disabled || info.Filter != "a/b" || info.Rule.Version != 4 {
		t.Errorf("the engine has %+v, %v", info, err)
	}
	must("delete-topic-rule", "--rule-name", "hot")
	fails("UnauthorizedException", "get-topic-rule", "--rule-name", "hot")
}
