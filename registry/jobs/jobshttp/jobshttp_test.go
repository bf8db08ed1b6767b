package jobshttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/internal/foreign"
	"github.com/thingloom/thingloom/internal/sentinels"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/jobs"
)

const arns = "arn:aws:iot:us-east-1:123456789012:"

// serve runs both planes on one port, as ForDevice divides them; device is one
// that has the data plane alone.
func serve(t *testing.T, opts *Options) (both, device string, svc *jobs.Service, reg *registry.Registry) {
	t.Helper()
	reg, err := registry.New(registry.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, thing := range []string{"t1", "t:2"} {
		if _, err := reg.CreateThing(t.Context(), registry.Thing{Name: thing}); err != nil {
			t.Fatal(err)
		}
	}
	if svc, err = jobs.New(registry.NewMemStore(), reg, nil); err != nil {
		t.Fatal(err)
	}
	control := http.NewServeMux()
	Mount(control, svc, opts)
	data := Device(svc, opts)
	one := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ForDevice(r) {
			data.ServeHTTP(w, r)
		} else {
			control.ServeHTTP(w, r)
		}
	}))
	other := httptest.NewServer(data)
	t.Cleanup(one.Close)
	t.Cleanup(other.Close)
	return one.URL, other.URL, svc, reg
}

func do(t *testing.T, method, url, body string) (status int, kind, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b) || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s: body %q", method, url, b)
	}
	return resp.StatusCode, resp.Header.Get("x-amzn-ErrorType"), string(b)
}

func TestPlanes(t *testing.T) {
	control, device, _, _ := serve(t, &Options{MaxBodyBytes: 70 << 10})
	target := `"targets":["` + arns + `thing/t1"]`
	for _, step := range []struct {
		base, request, body string
		status              int
		want                string // part of the answer, or the error's name
	}{
		{control, "PUT /jobs/j1", `{` + target + `,"document":"{\"op\":1}","timeoutConfig":{"inProgressTimeoutInMinutes":5},"description":"d"}`, 200,
			`{"jobArn":"` + arns + `job/j1","jobId":"j1","description":"d"}`},
		{control, "PUT /jobs/j1", `{` + target + `,"document":"{}"}`, 409, "ResourceAlreadyExistsException"},
		{control, "PUT /jobs/j2", `{` + target + `}`, 400, "InvalidRequestException"},
		{control, "PUT /jobs/j2", `{` + target, 400, "InvalidRequestException"},
		{control, "PUT /jobs/j2", `{"targets":5}`, 400, "InvalidRequestException"},
		{control, "PUT /jobs/j2", strings.Repeat(" ", 80<<10), 400, "InvalidRequestException"},
		{control, "PUT /jobs/j2", `{` + target + `,"document":"{}","namespaceId":"a b"}`, 400, "InvalidRequestException"},
		{control, "PUT /jobs/n1", `{` + target + `,"document":"{}","namespaceId":"n"}`, 200, `"jobId":"n1"`},
		{control, "GET /jobs/n1", "", 200, `"namespaceId":"n"`},
		{control, "GET /jobs?namespaceId=n", "", 200, `{"jobs":[{"jobArn":"` + arns + `job/n1"`},
		{control, "GET /jobs?namespaceId=m", "", 200, `{"jobs":[]}`},
		{control, "GET /things/t1/jobs?namespaceId=n", "", 200, `{"executionSummaries":[{"jobId":"n1"`},
		{control, "GET /things/t1/jobs?namespaceId=m", "", 200, `{"executionSummaries":[]}`},
		{device, "GET /things/t1/jobs?namespaceId=n", "", 200, `"queuedJobs":[{"jobId":"n1"`},
		{device, "GET /things/t1/jobs?namespaceId=m", "", 200, `"queuedJobs":[]`},
		{control, "PATCH /jobs/n1?namespaceId=m", `{"description":"e"}`, 404, "ResourceNotFoundException"},
		{control, "DELETE /jobs/n1?namespaceId=m&force=true", "", 404, "ResourceNotFoundException"},
		{control, "DELETE /jobs/n1?namespaceId=n&force=true", "", 200, `{}`},
		{control, "PUT /jobs/j2", `{"targets":["` + arns + `thing/t9"],"document":"{}"}`, 404, "ResourceNotFoundException"},
		{control, "PUT /jobs/j2", `{` + target + `,"document":"{}","timeoutConfig":{"inProgressTimeoutInMinutes":0}}`, 400, "InvalidRequestException"},
		{control, "PUT /jobs/j2", `{` + target + `,"document":"{}","abortConfig":{"criteriaList":[{"failureType":"ALL","action":"CANCEL","thresholdPercentage":1.005,"minNumberOfExecutedThings":1}]}}`, 400, "InvalidRequestException"},
		{control, "PUT /jobs/j2", `{` + target + `,"document":"{}","documentParameters":{"a b":"c"}}`, 400, "InvalidRequestException"},
		{control, "GET /jobs?thingGroupId=none", "", 404, "ResourceNotFoundException"},
		{control, "GET /jobs?thingGroupName=none", "", 404, "ResourceNotFoundException"},
		{control, "GET /jobs?status=DONE", "", 400, "InvalidRequestException"},
		{control, "GET /jobs/j1", "", 200, `"timeoutConfig":{"inProgressTimeoutInMinutes":5}`},
		{control, "GET /jobs/j9", "", 404, "ResourceNotFoundException"},
		{control, "GET /jobs/j1/job-document", "", 200, `{"document":"{\"op\":1}"}`},
		{control, "GET /jobs?status=IN_PROGRESS&maxResults=1", "", 200, `"jobId":"j1","targetSelection":"SNAPSHOT","status":"IN_PROGRESS"`},
		{control, "GET /jobs?maxResults=251", "", 400, "InvalidRequestException"},
		{control, "GET /jobs?nextToken=%21", "", 400, "InvalidRequestException"},
		{control, "PATCH /jobs/j1", `{"description":"e"}`, 200, `{}`},
		{control, "GET /jobs/j1/things?status=QUEUED", "", 200, `"jobExecutionSummary":{"status":"QUEUED"`},
		{control, "GET /things/t1/jobs", "", 200, `{"executionSummaries":[{"jobId":"j1"`},
		{control, "GET /things/t9/jobs", "", 404, "ResourceNotFoundException"},
		{device, "GET /things/t1/jobs", "", 200, `"queuedJobs":[{"jobId":"j1"`},
		{device, "GET /things/t1/jobs/%24next?includeJobDocument=false", "", 200, `"versionNumber":1,"executionNumber":1}}`},
		{device, "PUT /things/t1/jobs/$next", `{"statusDetails":{"a":"b"}}`, 200, `"jobDocument":"{\"op\":1}"`},
		{device, "PUT /things/t1/jobs/j1", `{}`, 400, "InvalidRequestException"},
		{device, "GET /things/t1/jobs/j1?executionNumber=x", "", 400, "InvalidRequestException"},
		{device, "POST /things/t1/jobs/j1", `{"status":"IN_PROGRESS","expectedVersion":1}`, 409, "InvalidStateTransitionException"},
		{control, "PUT /things/t1/jobs/j1/cancel", ``, 409, "InvalidStateTransitionException"},
		{control, "PUT /things/t1/jobs/j1/cancel?force=true", `{"expectedVersion":1}`, 409, "VersionConflictException"},
		{control, "GET /things/t1/jobs/j1", "", 200, `"statusDetails":{"detailsMap":{"a":"b"}}`},
		{control, "DELETE /jobs/j1", "", 409, "InvalidStateTransitionException"},
		{device, "POST /things/t1/jobs/j1", `{"status":"SUCCEEDED","includeJobExecutionState":true,"includeJobDocument":true}`, 200,
			`{"executionState":{"status":"SUCCEEDED","statusDetails":{"a":"b"},"versionNumber":3},"jobDocument":"{\"op\":1}"}`},
		{device, "POST /things/t1/jobs/j1", `{"status":"FAILED"}`, 409, "InvalidStateTransitionException"},
		{device, "GET /things/t1/jobs/j1", "", 410, "TerminalStateException"},
		{control, "GET /jobs/j1", "", 200, `"numberOfSucceededThings":1`},
		{control, "PUT /jobs/j1/cancel", "", 400, "InvalidRequestException"},
		{control, "DELETE /things/t1/jobs/j1/executionNumber/2", "", 404, "ResourceNotFoundException"},
		{control, "DELETE /things/t1/jobs/j1/executionNumber/1", "", 200, `{}`},
		{control, "DELETE /jobs/j1?force=maybe", "", 400, "InvalidRequestException"},
		{control, "DELETE /jobs/j1", "", 200, `{}`},
		{control, "PUT /job-templates/t", `{"description":"d","document":"{}","abortConfig":{"criteriaList":[{"failureType":"ALL","action":"CANCEL","thresholdPercentage":10,"minNumberOfExecutedThings":3}]}}`, 200, `"jobTemplateId":"t"`},
		{control, "PUT /job-templates/t", `{"description":"d","document":"{}"}`, 409, "ConflictException"},
		{control, "GET /job-templates/t", "", 200, `"thresholdPercentage":10`},
		{control, "GET /job-templates", "", 200, `"jobTemplates":[{`},
		{control, "PUT /jobs/j3", `{` + target + `,"jobTemplateArn":"` + arns + `jobtemplate/t","targetSelection":"CONTINUOUS"}`, 200, `"description":"d"`},
		{control, "POST /jobs/j3/targets", `{"targets":["` + arns + `thing/t:2"]}`, 200, `"jobId":"j3"`},
		{control, "GET /things/t%3A2/jobs/j3", "", 200, `"status":"QUEUED"`},
		{control, "DELETE /job-templates/t", "", 200, `{}`},
		{device, "GET /jobs/j1", "", 501, "NotImplementedException"},
	} {
		method, path, _ := strings.Cut(step.request, " ")
		status, kind, text := do(t, method, step.base+path, step.body)
		if status != step.status || status == 200 && !strings.Contains(text, step.want) || status != 200 && (kind != step.want || !strings.Contains(text, `"message":"`)) {
			t.Errorf("%s %.80s: got %d %s %s, want %d %s", step.request, step.body, status, kind, text, step.status, step.want)
		}
	}
}

func TestAuthorize(t *testing.T) {
	var asked []string
	control, device, _, _ := serve(t, &Options{Authorize: func(r *http.Request, operation string) error {
		asked = append(asked, operation+" "+r.PathValue("thingName"))
		return errors.New("no")
	}})
	for _, url := range []string{control + "/jobs", device + "/things/t1/jobs"} {
		if status, kind, _ := do(t, "GET", url, ""); status != 401 || kind != "UnauthorizedException" {
			t.Errorf("%s: %d %s", url, status, kind)
		}
	}
	if want := []string{"ListJobs ", "GetPendingJobExecutions t1"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
}

// Every sentinel of the package has a row in both tables.
func TestEverySentinelHasAnAnswer(t *testing.T) {
	known := map[string]error{"ErrInvalid": jobs.ErrInvalid, "ErrNotFound": jobs.ErrNotFound, "ErrExists": jobs.ErrExists, "ErrTransition": jobs.ErrTransition,
		"ErrVersion": jobs.ErrVersion, "ErrTerminal": jobs.ErrTerminal, "ErrLimit": jobs.ErrLimit, "ErrThrottled": jobs.ErrThrottled, "ErrJSON": jobs.ErrJSON}
	sentinels.Check(t, "..", known, func(name string, err error) {
		for _, table := range [][]awshttp.ErrorRow{controlErrors, deviceErrors} {
			if status, _ := awshttp.Classify(table, fmt.Errorf("wrapped: %w", err)); status >= 500 {
				t.Errorf("%s has no row", name)
			}
		}
	})
}

// TestAWSCommandLine drives both planes with the unmodified aws cli.
func TestAWSCommandLine(t *testing.T) {
	program := foreign.Need(t, "aws")
	url, _, svc, reg := serve(t, nil)
	if _, err := reg.CreateGroup(t.Context(), registry.Group{Name: "g"}, ""); err != nil {
		t.Fatal(err)
	}
	if err := reg.AddThingToGroup(t.Context(), "t1", "g"); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (out map[string]any, stderr string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append(args, "--endpoint-url", url, "--region", "us-east-1", "--output", "json")...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true",
			"AWS_CONFIG_FILE="+filepath.Join(t.TempDir(), "none"), "AWS_CA_BUNDLE=")
		var errText strings.Builder
		cmd.Stderr = &errText
		text, err := cmd.Output()
		if err == nil && len(text) > 0 {
			err = json.Unmarshal(text, &out)
		}
		if err != nil && errText.Len() == 0 {
			t.Fatalf("aws %s: %v", strings.Join(args, " "), err)
		}
		return out, errText.String()
	}
	ok := func(args ...string) map[string]any {
		t.Helper()
		out, stderr := run(args...)
		if stderr != "" {
			t.Fatalf("aws %s: %s", strings.Join(args, " "), stderr)
		}
		return out
	}
	ok("iot", "create-job", "--job-id", "j1", "--targets", arns+"thinggroup/g", "--document", `{"op":"x"}`, "--target-selection", "CONTINUOUS",
		"--job-executions-rollout-config", "maximumPerMinute=10", "--timeout-config", "inProgressTimeoutInMinutes=5",
		"--presigned-url-config", "expiresInSec=60", "--tags", "Key=a,Value=b")
	if out := ok("iot-jobs-data", "get-pending-job-executions", "--thing-name", "t1"); len(out["queuedJobs"].([]any)) != 1 {
		t.Errorf("pending %v", out)
	}
	if out := ok("iot-jobs-data", "start-next-pending-job-execution", "--thing-name", "t1", "--status-details", "a=b", "--step-timeout-in-minutes", "3"); out["execution"].(map[string]any)["jobDocument"] != `{"op":"x"}` {
		t.Errorf("started %v", out)
	}
	if out := ok("iot-jobs-data", "describe-job-execution", "--thing-name", "t1", "--job-id", "$next"); out["execution"].(map[string]any)["status"] != "IN_PROGRESS" {
		t.Errorf("described %v", out)
	}
	if _, stderr := run("iot-jobs-data", "update-job-execution", "--thing-name", "t1", "--job-id", "j1", "--status", "QUEUED"); !strings.Contains(stderr, "(InvalidStateTransitionException)") {
		t.Errorf("refused by %s", stderr)
	}
	ok("iot-jobs-data", "update-job-execution", "--thing-name", "t1", "--job-id", "j1", "--status", "SUCCEEDED")
	if out := ok("iot", "describe-job", "--job-id", "j1"); out["job"].(map[string]any)["jobProcessDetails"].(map[string]any)["numberOfSucceededThings"] != 1.0 {
		t.Errorf("job %v", out)
	}
	if out := ok("iot", "list-job-executions-for-job", "--job-id", "j1", "--status", "SUCCEEDED"); len(out["executionSummaries"].([]any)) != 1 {
		t.Errorf("executions %v", out)
	}
	if out := ok("iot", "list-job-executions-for-thing", "--thing-name", "t1"); len(out["executionSummaries"].([]any)) != 1 {
		t.Errorf("executions %v", out)
	}
	if out := ok("iot", "list-jobs", "--thing-group-name", "g"); len(out["jobs"].([]any)) != 1 {
		t.Errorf("jobs %v", out)
	}
	ok("iot", "cancel-job", "--job-id", "j1", "--force", "--comment", "enough")
	if _, stderr := run("iot", "delete-job", "--job-id", "j2"); !strings.Contains(stderr, "(ResourceNotFoundException)") {
		t.Errorf("refused by %s", stderr)
	}
	ok("iot", "delete-job", "--job-id", "j1")
	if _, err := svc.Job(t.Context(), "j1"); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("after all: %v", err)
	}
}

// TestJavaScriptSDK drives both planes with the unmodified AWS SDK.
func TestJavaScriptSDK(t *testing.T) {
	npm := foreign.NeedNPM(t, "@aws-sdk/client-iot-jobs-data-plane")
	foreign.NeedNPM(t, "@aws-sdk/client-iot")
	url, _, _, _ := serve(t, nil)
	script, err := os.Open(filepath.Join("testdata", "sdk.js"))
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	cmd := exec.CommandContext(t.Context(), "node", "-", url, arns)
	cmd.Dir, cmd.Stdin = npm, script
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
