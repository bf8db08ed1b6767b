package provisionhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/provision"
	"github.com/thingloom/thingloom/registry/provision/provisionhttp"
)

const body = `{\"Parameters\":{\"n\":{\"Type\":\"String\"}},\"Resources\":{\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":{\"Ref\":\"n\"}}}}}`

func serve(t *testing.T, opts *provisionhttp.Options) *httptest.Server {
	ca, err := registry.NewCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.New(registry.NewMemStore(), &registry.Options{CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	s, err := provision.New(reg, registry.NewMemStore(), &provision.Options{Input: func(_ context.Context, bucket, key string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("{\"n\":\"" + bucket + "\"}\n{\"n\":\"<" + key + ">\"}\n")), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	mux := http.NewServeMux()
	provisionhttp.Mount(mux, s, opts)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func call(t *testing.T, server *httptest.Server, method, path, body string) (status int, name, answer string) {
	t.Helper()
	r, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, w.Header.Get("x-amzn-ErrorType"), string(text)
}

func TestOperations(t *testing.T) {
	server := serve(t, nil)
	for _, step := range []struct {
		method, path, body string
		status             int
		name, want         string // want is a regular expression
	}{
		{"POST", "/provisioning-templates", `{"templateName":"a","templateBody":"` + body + `","enabled":true,"provisioningRoleArn":"arn:r","preProvisioningHook":{"targetArn":"arn:h"}}`, 200, "",
			`^{"templateArn":"arn:aws:iot:us-east-1:123456789012:provisioningtemplate/a","templateName":"a","defaultVersionId":1}$`},
		{"POST", "/provisioning-templates", `{"templateName":"a","provisioningRoleArn":"arn:r","templateBody":"` + body + `"}`, 409, "ResourceAlreadyExistsException", ""},
		{"POST", "/provisioning-templates", `{"templateName":"b"}`, 400, "InvalidRequestException", "templateBody is required"},
		{"POST", "/provisioning-templates", `{"templateName":"b","provisioningRoleArn":"arn:r","templateBody":"{\"Resources\":{}}"}`, 400, "InvalidRequestException", "Resources: is empty"},
		{"POST", "/provisioning-templates", `{"templateName":"b","templateBody":"` + body + `"}`, 400, "InvalidRequestException", "provisioningRoleArn is required"},
		{"POST", "/provisioning-templates", `{"templateName":7}`, 400, "InvalidRequestException", "cannot be a JSON number"},
		{"POST", "/provisioning-templates", `{`, 400, "InvalidRequestException", "not JSON"},
		{"GET", "/provisioning-templates/a", "", 200, "", `"creationDate":[0-9.]+,"lastModifiedDate":[0-9.]+,"defaultVersionId":1,"templateBody":".*","enabled":true,"provisioningRoleArn":"arn:r","preProvisioningHook":{"targetArn":"arn:h"},"type":"FLEET_PROVISIONING"`},
		{"GET", "/provisioning-templates/none", "", 404, "ResourceNotFoundException", ""},
		{"POST", "/provisioning-templates/a/versions?setAsDefault=true", `{"templateBody":"` + body + `"}`, 200, "", `"versionId":2,"isDefaultVersion":true`},
		{"GET", "/provisioning-templates/a/versions", "", 200, "", `"versionId":1,.*"isDefaultVersion":false.*"versionId":2,.*"isDefaultVersion":true`},
		{"GET", "/provisioning-templates/a/versions/1", "", 200, "", `"versionId":1,.*"isDefaultVersion":false`},
		{"GET", "/provisioning-templates/a/versions/x", "", 400, "InvalidRequestException", "versionId"},
		{"DELETE", "/provisioning-templates/a/versions/2", "", 409, "DeleteConflictException", ""},
		{"DELETE", "/provisioning-templates/a/versions/1", "", 200, "", "^{}$"},
		{"PATCH", "/provisioning-templates/a", `{"description":"d","enabled":false,"removePreProvisioningHook":true}`, 200, "", "^{}$"},
		{"GET", "/provisioning-templates/a", "", 200, "", `"description":"d".*"enabled":false,"provisioningRoleArn":"arn:r","type"`},
		{"PATCH", "/provisioning-templates/a", `{"defaultVersionId":9}`, 404, "ResourceNotFoundException", ""},
		{"GET", "/provisioning-templates?maxResults=1", "", 200, "", `^{"templates":\[{"templateArn".*"templateName":"a",.*}\]}$`},
		{"GET", "/provisioning-templates?maxResults=0", "", 400, "InvalidRequestException", "maxResults"},
		{"POST", "/provisioning-templates/a/provisioning-claim", "", 200, "", `"certificateId":"[0-9a-f]{64}","certificatePem":".*","keyPair":{"PublicKey":".*","PrivateKey":".*"},"expiration":[0-9.]+`},
		{"POST", "/things", `{"templateBody":"` + body + `","parameters":{"n":"lamp"}}`, 200, "", `^{"resourceArns":{"thing":"arn:aws:iot:us-east-1:123456789012:thing/lamp"}}$`},
		{"POST", "/things", `{"templateBody":"` + body + `"}`, 400, "InvalidRequestException", "Parameters.n"},
		{"DELETE", "/provisioning-templates/a", "", 200, "", "^{}$"},
		{"DELETE", "/provisioning-templates/a", "", 404, "ResourceNotFoundException", ""},
	} {
		status, name, answer := call(t, server, step.method, step.path, step.body)
		if status != step.status || name != step.name || !regexp.MustCompile(step.want).MatchString(answer) {
			t.Errorf("%s %s: %d %s %s, want %d %s %s", step.method, step.path, status, name, answer, step.status, step.name, step.want)
		}
	}
}

func TestTasks(t *testing.T) {
	server := serve(t, nil)
	do := func(method, path, body string, status int, name, want string) []string {
		t.Helper()
		gotStatus, gotName, answer := call(t, server, method, path, body)
		found := regexp.MustCompile(want).FindStringSubmatch(answer)
		if gotStatus != status || gotName != name || found == nil {
			t.Fatalf("%s %s: %d %s %s, want %d %s %s", method, path, gotStatus, gotName, answer, status, name, want)
		}
		return found
	}
	const tasks = "/thing-registration-tasks"
	do("POST", tasks, `{"templateBody":"`+body+`","inputFileBucket":"b"}`, 400, "InvalidRequestException", "inputFileKey")
	do("POST", tasks, `{"templateBody":"{}","inputFileBucket":"b","inputFileKey":"k"}`, 400, "InvalidRequestException", "Resources")
	id := do("POST", tasks, `{"templateBody":"`+body+`","inputFileBucket":"b","inputFileKey":"k","roleArn":"arn:r"}`, 200, "", `^{"taskId":"([0-9a-f-]{36})"}$`)[1]
	for ended := false; !ended; {
		_, _, answer := call(t, server, "GET", tasks+"/"+id, "")
		ended = !strings.Contains(answer, `"InProgress"`)
	}
	do("GET", tasks+"/"+id, "", 200, "", `^{"taskId":"`+id+`","creationDate":[0-9.]+,"lastModifiedDate":[0-9.]+,"templateBody":".*","inputFileBucket":"b","inputFileKey":"k",`+
		`"roleArn":"arn:r","status":"Completed","successCount":1,"failureCount":1,"percentageProgress":100}$`)
	do("GET", tasks+"/none", "", 404, "ResourceNotFoundException", "")
	do("PUT", tasks+"/none/cancel", "", 404, "ResourceNotFoundException", "")
	do("PUT", tasks+"/"+id+"/cancel", "", 400, "InvalidRequestException", "is Completed")
	do("GET", tasks, "", 200, "", `^{"taskIds":\["`+id+`"\]}$`)
	do("GET", tasks+"?status=Completed", "", 200, "", id)
	do("GET", tasks+"?status=Failed", "", 200, "", `^{"taskIds":\[\]}$`)
	do("GET", tasks+"?status=Done", "", 400, "InvalidRequestException", "status")
	do("GET", tasks+"/"+id+"/reports", "", 400, "InvalidRequestException", "reportType")
	do("GET", tasks+"/none/reports?reportType=ERRORS", "", 404, "ResourceNotFoundException", "")
	link := do("GET", tasks+"/"+id+"/reports?reportType=ERRORS", "", 200, "", `^{"resourceLinks":\["(.*)"\],"reportType":"ERRORS"}$`)[1]
	path, ok := strings.CutPrefix(link, server.URL)
	if !ok {
		t.Fatalf("the link is %s", link)
	}
	do("GET", path, "", 200, "", `^{"lineNumber":2,"errorMessage":"registry: thingName \\"<k>\\" .*"}\n$`)
	do("GET", strings.Replace(path, "ERRORS", "RESULTS", 1), "", 200, "", `^{"lineNumber":1,"resourceArns":{"thing":"arn:aws:iot:us-east-1:123456789012:thing/b"}}\n$`)
	do("GET", strings.Replace(path, "ERRORS", "OTHER", 1), "", 400, "InvalidRequestException", "reportType")
	do("GET", tasks+"/none/reports/ERRORS", "", 404, "ResourceNotFoundException", "")
}

func TestAuthorize(t *testing.T) {
	refusal := errors.New("no")
	server := serve(t, &provisionhttp.Options{Authorize: func(_ *http.Request, operation string) error {
		if operation == "ListProvisioningTemplates" {
			return nil
		}
		return refusal
	}})
	for _, err := range []error{refusal, fmt.Errorf("x: %w", registry.ErrNotAuthorized)} {
		refusal = err
		if status, name, _ := call(t, server, "POST", "/things", `{}`); status != 401 || name != "UnauthorizedException" {
			t.Errorf("%d %s", status, name)
		}
	}
	if status, _, _ := call(t, server, "GET", "/provisioning-templates", ""); status != 200 {
		t.Errorf("%d", status)
	}
	if len(provisionhttp.Operations()) != 16 {
		t.Errorf("%q", provisionhttp.Operations())
	}
}
