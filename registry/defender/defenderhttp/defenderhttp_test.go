package defenderhttp

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/internal/foreign"
	"github.com/thingloom/thingloom/internal/sentinels"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/defender"
)

const arns = "arn:aws:iot:us-east-1:123456789012:"

// serve runs the operations, with one violation once the profile is there.
func serve(t *testing.T) (url string, svc *defender.Service) {
	t.Helper()
	reg, err := registry.New(registry.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reg.CreateGroup(t.Context(), registry.Group{Name: "g"}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := reg.CreatePolicy(t.Context(), "wide", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}`); err != nil {
		t.Fatal(err)
	}
	if svc, err = defender.Open(t.Context(), registry.NewMemStore(), reg, &defender.Options{ReportInterval: -1}); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	Mount(mux, svc, nil)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL, svc
}

func violate(t *testing.T, svc *defender.Service, thing string) {
	t.Helper()
	if _, err := svc.Report(t.Context(), thing, []byte(`{"hed":{"rid":1},"met":{"up":{"t":9}}}`), false); err != nil {
		t.Fatal(err)
	}
}

const behavior = `{"name":"b","metric":"aws:num-listening-udp-ports","criteria":{"comparisonOperator":"less-than","value":{"count":9}}}`

func TestOperations(t *testing.T) {
	url, svc := serve(t)
	all := "?securityProfileTargetArn=" + strings.ReplaceAll(arns+"all/things", ":", "%3A")
	now := time.Now().UTC()
	span := "startTime=" + now.Add(-time.Hour).Format(time.RFC3339) + "&endTime=" + now.Add(time.Hour).Format(time.RFC3339)
	for _, step := range []struct {
		request, body string
		status        int
		want          string // part of the answer, or the error's name
	}{
		{"POST /security-profiles/p", `{"securityProfileDescription":"d","behaviors":[` + behavior + `],"additionalMetricsToRetain":["aws:num-disconnects"]}`, 200,
			`{"securityProfileName":"p","securityProfileArn":"` + arns + `securityprofile/p"}`},
		{"POST /security-profiles/p", `{}`, 409, "ResourceAlreadyExistsException"},
		{"POST /security-profiles/q", `{"behaviors":[{"name":"b"}]}`, 400, "InvalidRequestException"},
		{"POST /security-profiles/q", `{"behaviors":5}`, 400, "InvalidRequestException"},
		{"GET /security-profiles/p", "", 200, `"additionalMetricsToRetain":["aws:num-disconnects"],"additionalMetricsToRetainV2":[{"metric":"aws:num-disconnects"}],"version":1`},
		{"GET /security-profiles/q", "", 404, "ResourceNotFoundException"},
		{"PATCH /security-profiles/p?expectedVersion=9", `{}`, 409, "VersionConflictException"},
		{"PATCH /security-profiles/p?expectedVersion=1", `{"deleteAdditionalMetricsToRetain":true}`, 200, `"version":2`},
		{"GET /security-profiles?metricName=aws%3Anum-listening-udp-ports", "", 200, `[{"name":"p","arn":"` + arns + `securityprofile/p"}]`},
		{"GET /security-profiles?maxResults=0", "", 400, "InvalidRequestException"},
		{"PUT /security-profiles/p/targets" + all, "", 200, `{}`},
		{"PUT /security-profiles/p/targets?securityProfileTargetArn=x", "", 400, "InvalidRequestException"},
		{"GET /security-profiles/p/targets", "", 200, `[{"arn":"` + arns + `all/things"}]`},
		{"GET /security-profiles-for-target" + all, "", 200, `"securityProfileIdentifier":{"name":"p"`},
		{"GET /security-profiles-for-target" + all + "&recursive=true", "", 200, `"target":{"arn":"` + arns + `all/things"}`},
		{"GET /security-profiles-for-target" + all + "&recursive=maybe", "", 400, "InvalidRequestException"},
		{"POST /security-profile-behaviors/validate", `{"behaviors":[` + behavior + `]}`, 200, `{"valid":true,"validationErrors":[]}`},
		{"POST /security-profile-behaviors/validate", `{"behaviors":[{"name":"b"}]}`, 200, `{"valid":false,"validationErrors":[{"errorMessage":"`},
		{"violate t1", "", 0, ""},
		{"violate t2", "", 0, ""},
		{"GET /active-violations?thingName=t1", "", 200, `"lastViolationValue":{"count":9},"verificationState":"UNKNOWN"`},
		{"GET /active-violations?listSuppressedAlerts=true", "", 200, `{"activeViolations":[]}`},
		{"GET /violation-events?maxResults=1&" + span, "", 200, `"nextToken":"`},
		{"GET /violation-events?thingName=t2&" + span, "", 200, `"violationEventType":"in-alarm"`},
		{"GET /violation-events?startTime=yesterday&endTime=2", "", 400, "InvalidRequestException"},
		{"POST /violations/verification-state/V1", `{"verificationState":"MAYBE"}`, 400, "InvalidRequestException"},
		{"POST /violations/verification-state/V1", `{"verificationState":"TRUE_POSITIVE"}`, 200, `{}`},
		{"GET /metric-values?metricName=aws%3Anum-disconnects&" + span, "", 400, "InvalidRequestException"},
		{"GET /metric-values?thingName=t1&" + span, "", 400, "InvalidRequestException"},
		{"GET /active-violations?securityProfileName=none", "", 404, "ResourceNotFoundException"},
		{"GET /active-violations?behaviorCriteriaType=X", "", 400, "InvalidRequestException"},
		{"GET /violation-events?verificationState=X&" + span, "", 400, "InvalidRequestException"},
		{"GET /metric-values?thingName=t1&metricName=aws%3Anum-disconnects&" + span, "", 200, `{"metricDatumList":[]}`},
		{"GET /metric-values?thingName=t1&metricName=aws%3Anum-messages-sent&dimensionName=d&dimensionValueOperator=IN&" + span, "", 200, `{"metricDatumList":[]}`},
		{"GET /metric-values?thingName=t1&metricName=aws%3Anum-messages-sent&dimensionValueOperator=IN&" + span, "", 400, "InvalidRequestException"},
		{"POST /custom-metric/heat", `{"metricType":"number","clientRequestToken":"x"}`, 200, `{"metricName":"heat","metricArn":"` + arns + `custommetric/heat"}`},
		{"POST /custom-metric/heat", `{"metricType":"number"}`, 400, "InvalidRequestException"},
		{"POST /custom-metric/heat", `{"metricType":"number","clientRequestToken":"y"}`, 409, "ResourceAlreadyExistsException"},
		{"POST /custom-metric/heat", `{"metricType":"number","clientRequestToken":"x"}`, 200, `"metricName":"heat"`}, // the same request again
		{"GET /custom-metric/heat", "", 200, `"metricArn":"` + arns + `custommetric/heat","metricType":"number","creationDate":`},
		{"GET /custom-metric/none", "", 404, "ResourceNotFoundException"},
		{"PATCH /custom-metric/heat", `{}`, 400, "InvalidRequestException"},
		{"PATCH /custom-metric/heat", `{"displayName":"Heat"}`, 200, `"displayName":"Heat"`},
		{"PATCH /custom-metric/none", `{"displayName":"Heat"}`, 404, "ResourceNotFoundException"},
		{"GET /custom-metrics", "", 200, `{"metricNames":["heat"]}`},
		{"DELETE /custom-metric/heat", "", 200, `{}`},
		{"DELETE /custom-metric/heat", "", 200, `{}`},
		{"GET /custom-metrics", "", 200, `{"metricNames":[]}`},
		{"POST /dimensions/d", `{"type":"TOPIC_FILTER","stringValues":["a/#"]}`, 400, "InvalidRequestException"},
		{"POST /dimensions/d", `{"type":"TOPIC_FILTER","stringValues":["a/#"],"clientRequestToken":"x"}`, 200, `"name":"d"`},
		{"POST /dimensions/e", `{"type":"TOPIC_FILTER","stringValues":["a/#/b"],"clientRequestToken":"x"}`, 400, "InvalidRequestException"},
		{"GET /dimensions/d", "", 200, `"arn":"` + arns + `dimension/d","type":"TOPIC_FILTER","stringValues":["a/#"]`},
		{"PATCH /dimensions/d", `{"stringValues":["b/#"]}`, 200, `"stringValues":["b/#"]`},
		{"PATCH /dimensions/d", `{"stringValues":[]}`, 400, "InvalidRequestException"},
		{"GET /dimensions", "", 200, `{"dimensionNames":["d"]}`},
		{"PATCH /security-profiles/p", `{"additionalMetricsToRetainV2":[{"metric":"aws:num-messages-sent","metricDimension":{"dimensionName":"d"}}]}`, 200, `"dimensionName":"d"`},
		{"DELETE /dimensions/d", "", 400, "InvalidRequestException"},
		{"PATCH /security-profiles/p", `{"deleteAdditionalMetricsToRetain":true}`, 200, `"version":4`},
		{"DELETE /dimensions/d", "", 200, `{}`},
		{"GET /dimensions/d", "", 404, "ResourceNotFoundException"},
		{"PATCH /dimensions/d", `{"stringValues":["b/#"]}`, 404, "ResourceNotFoundException"},
		{"GET /audit/configuration", "", 200, `"IOT_POLICY_OVERLY_PERMISSIVE_CHECK":{"enabled":true}`},
		{"PATCH /audit/configuration", `{"auditCheckConfigurations":{"CA_CERTIFICATE_EXPIRING_CHECK":{"enabled":false}}}`, 200, `{}`},
		{"POST /audit/tasks", `{"targetCheckNames":["CA_CERTIFICATE_EXPIRING_CHECK"]}`, 400, "InvalidRequestException"},
		{"POST /audit/tasks", `{"targetCheckNames":["IOT_POLICY_OVERLY_PERMISSIVE_CHECK"]}`, 200, `{"taskId":"`},
		{"POST /audit/findings", `{"checkName":"IOT_POLICY_OVERLY_PERMISSIVE_CHECK","maxResults":5}`, 200, `"policyVersionIdentifier":{"policyName":"wide","policyVersionId":"1"}`},
		{"POST /audit/findings", `{"resourceIdentifier":{"policyVersionIdentifier":{"policyName":"wide","policyVersionId":"1"}}}`, 200, `"policyName":"wide"`},
		{"POST /audit/findings", `{"resourceIdentifier":{"policyVersionIdentifier":{"policyName":"other","policyVersionId":"1"}}}`, 200, `{"findings":[]}`},
		{"POST /audit/findings", `{"resourceIdentifier":{"cognitoIdentityPoolId":"1"}}`, 400, "InvalidRequestException"},
		{"POST /audit/findings", `{"endTime":1000}`, 200, `{"findings":[]}`},
		{"GET /audit/tasks/none", "", 404, "ResourceNotFoundException"},
		{"POST /audit/scheduledaudits/s", `{"frequency":"DAILY","targetCheckNames":["IOT_POLICY_OVERLY_PERMISSIVE_CHECK"]}`, 200, `scheduledaudit/s`},
		{"POST /audit/scheduledaudits/s", `{"frequency":"DAILY","targetCheckNames":["IOT_POLICY_OVERLY_PERMISSIVE_CHECK"]}`, 409, "ResourceAlreadyExistsException"},
		{"GET /audit/scheduledaudits/s", "", 200, `{"scheduledAuditName":"s","scheduledAuditArn":"` + arns + `scheduledaudit/s","frequency":"DAILY","targetCheckNames":["IOT_POLICY_OVERLY_PERMISSIVE_CHECK"]}`},
		{"PATCH /audit/scheduledaudits/s", `{"frequency":"WEEKLY"}`, 400, "InvalidRequestException"},
		{"PATCH /audit/scheduledaudits/s", `{"frequency":"WEEKLY","dayOfWeek":"TUE"}`, 200, `{"scheduledAuditArn":"` + arns + `scheduledaudit/s"}`},
		{"PATCH /audit/scheduledaudits/none", `{}`, 404, "ResourceNotFoundException"},
		{"GET /audit/scheduledaudits", "", 200, `"frequency":"WEEKLY","dayOfWeek":"TUE"}]}`},
		{"DELETE /audit/scheduledaudits/s", "", 200, `{}`},
		{"DELETE /audit/scheduledaudits/s", "", 404, "ResourceNotFoundException"},
		{"GET /audit/tasks?" + span, "", 200, `"taskStatus":"COMPLETED","taskType":"ON_DEMAND_AUDIT_TASK"}]}`},
		{"GET /audit/tasks?taskType=SCHEDULED_AUDIT_TASK&" + span, "", 200, `{"tasks":[]}`},
		{"GET /audit/tasks?taskStatus=FAILED&" + span, "", 200, `{"tasks":[]}`},
		{"GET /audit/tasks?taskType=X&" + span, "", 400, "InvalidRequestException"},
		{"GET /audit/tasks", "", 400, "InvalidRequestException"},
		{"DELETE /security-profiles/p/targets" + all, "", 200, `{}`},
		{"GET /active-violations", "", 200, `{"activeViolations":[]}`},
		{"DELETE /security-profiles/p", "", 200, `{}`},
	} {
		method, path, _ := strings.Cut(step.request, " ")
		if method == "violate" {
			violate(t, svc, path)
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(step.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		kind := resp.Header.Get("x-amzn-ErrorType")
		if resp.StatusCode != step.status || !json.Valid(text) || step.status == 200 && !strings.Contains(string(text), step.want) || step.status != 200 && kind != step.want {
			t.Errorf("%s %.80s: got %d %s %s, want %d %s", step.request, step.body, resp.StatusCode, kind, text, step.status, step.want)
		}
	}
}

// Every sentinel of the package has a row.
func TestEverySentinelHasAnAnswer(t *testing.T) {
	known := map[string]error{"ErrInvalid": defender.ErrInvalid, "ErrNotFound": defender.ErrNotFound, "ErrExists": defender.ErrExists, "ErrVersion": defender.ErrVersion,
		"ErrLimit": defender.ErrLimit, "ErrThrottled": defender.ErrThrottled, "ErrHeader": defender.ErrHeader}
	sentinels.Check(t, "..", known, func(name string, err error) {
		if status, _ := awshttp.Classify(errorRows, fmt.Errorf("wrapped: %w", err)); status >= 500 {
			t.Errorf("%s has no row", name)
		}
	})
}

// TestAWSCommandLine drives the operations with the unmodified aws cli.
func TestAWSCommandLine(t *testing.T) {
	program := foreign.Need(t, "aws")
	url, svc := serve(t)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append(append([]string{"iot"}, args...), "--endpoint-url", url, "--region", "us-east-1", "--output", "json")...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true",
			"AWS_CONFIG_FILE="+filepath.Join(t.TempDir(), "none"), "AWS_CA_BUNDLE=")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("aws iot %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
		}
		return string(out)
	}
	run("create-security-profile", "--security-profile-name", "p", "--behaviors", "["+behavior+"]")
	run("attach-security-profile", "--security-profile-name", "p", "--security-profile-target-arn", arns+"all/unregistered-things")
	violate(t, svc, "t1")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"describe-security-profile", "--security-profile-name", "p"}, `"comparisonOperator": "less-than"`},
		{[]string{"list-active-violations", "--thing-name", "t1"}, `"securityProfileName": "p"`},
		{[]string{"list-violation-events", "--start-time", "2020-01-01T00:00:00Z", "--end-time", "2100-01-01T00:00:00Z"}, `"violationEventType": "in-alarm"`},
		{[]string{"start-on-demand-audit-task", "--target-check-names", "IOT_POLICY_OVERLY_PERMISSIVE_CHECK"}, `"taskId"`},
		{[]string{"list-audit-findings"}, `"severity": "CRITICAL"`},
	} {
		if out := run(c.args...); !strings.Contains(out, c.want) {
			t.Errorf("aws iot %s: %s", strings.Join(c.args, " "), out)
		}
	}
}

// TestJavaScriptSDK drives the operations with the unmodified AWS SDK.
func TestJavaScriptSDK(t *testing.T) {
	npm := foreign.NeedNPM(t, "@aws-sdk/client-iot")
	url, svc := serve(t)
	script, err := os.ReadFile(filepath.Join("testdata", "sdk.js"))
	if err != nil {
		t.Fatal(err)
	}
	for part := range 2 {
		if part == 1 {
			violate(t, svc, "t1")
		}
		cmd := exec.CommandContext(t.Context(), "node", "-", url, arns, fmt.Sprint(part))
		cmd.Dir, cmd.Stdin = npm, strings.NewReader(string(script))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("part %d: %v\n%s", part, err, out)
		}
	}
}
