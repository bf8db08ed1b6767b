package shadowhttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
	"github.com/thingloom/thingloom/shadow"
)

func serve(t *testing.T, opts *Options) (*shadow.Service, *httptest.Server) {
	t.Helper()
	svc, err := shadow.New(shadow.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(Handler(svc, opts))
	t.Cleanup(server.Close)
	return svc, server
}

// Who changed what is who Authorize says that it was.
func TestPrincipal(t *testing.T) {
	svc, server := serve(t, &Options{Authorize: func(r *http.Request, _, _ string) (string, error) { return r.Header.Get("Who"), nil }})
	want := []string{}
	for i, who := range []string{"anna", "", "ben"} {
		r, err := http.NewRequest([]string{"POST", "POST", "DELETE"}[i], server.URL+"/things/t/shadow", strings.NewReader(fmt.Sprintf(`{"state":{"desired":{"n":%d}}}`, i)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Who", who)
		answer, err := http.DefaultClient.Do(r)
		if err != nil || answer.StatusCode != 200 {
			t.Fatal(answer, err)
		}
		answer.Body.Close()
		want = append(want, who)
	}
	for r, err := range svc.Revisions(t.Context(), shadow.Ref{Thing: "t"}) {
		if err != nil || r.By != want[r.Version-1] {
			t.Errorf("version %d: by %q, %v, want %q", r.Version, r.By, err, want[r.Version-1])
		}
		want = want[:r.Version-1]
	}
	if len(want) > 0 {
		t.Errorf("no revisions by %q", want)
	}
}

func TestRequests(t *testing.T) {
	_, server := serve(t, &Options{Authorize: AllowAll})
	for _, tt := range []struct {
		method, path, body string
		code               int
		exception, want    string
	}{
		{"GET", "/things/t/shadow", "", 404, "ResourceNotFoundException", "No shadow exists with name: 't'"},
		{"POST", "/things/t/shadow", `{"state":{"desired":{"on":true}},"clientToken":"k"}`, 200, "", `"clientToken":"k"`},
		{"GET", "/things/t/shadow", "", 200, "", `"delta":{"on":true}`},
		{"POST", "/things/t/shadow?name=n", `{"state":{"reported":{"x":1}}}`, 200, "", `"version":1`},
		{"POST", "/things/a%3Ab/shadow?name=c%3Ad", `{"state":{}}`, 200, "", `"version":1`},
		{"POST", "/things/t/shadow", `{"state":{},"version":7}`, 409, "ConflictException", "Version conflict"},
		{"POST", "/things/t/shadow", `{`, 400, "InvalidRequestException", "Invalid JSON"},
		{"POST", "/things/t/shadow", "{\"state\":{\"desired\":{\"a\":\"\xff\"}}}", 415, "UnsupportedDocumentEncodingException", "UTF-8"},
		{"POST", "/things/t/shadow", `{"state":{"desired":{"a":"` + strings.Repeat("x", 9000) + `"}}}`, 413, "RequestEntityTooLargeException", "maximum size"},
		{"POST", "/things/t/shadow", strings.Repeat(" ", 200_000), 413, "RequestEntityTooLargeException", "maximum size"},
		{"POST", "/things/t%2Fu/shadow", `{"state":{}}`, 400, "InvalidRequestException", "thing name"},
		{"PUT", "/things/t/shadow", `{}`, 405, "MethodNotAllowedException", "Method"},
		{"GET", "/api/things/shadow/ListNamedShadowsForThing/t", "", 200, "", `"results":["n"]`},
		{"GET", "/api/things/shadow/ListNamedShadowsForThing/u", "", 200, "", `"results":[]`},
		{"GET", "/api/things/shadow/ListNamedShadowsForThing/t?pageSize=0", "", 400, "InvalidRequestException", "pageSize"},
		{"GET", "/api/things/shadow/ListNamedShadowsForThing/t?nextToken=*", "", 400, "InvalidRequestException", "nextToken"},
		{"DELETE", "/things/t/shadow", "", 200, "", `"version":1`},
		{"DELETE", "/things/t/shadow", "", 404, "ResourceNotFoundException", "No shadow"},
	} {
		code, exception, body := do(t, tt.method, server.URL+tt.path, tt.body)
		if code != tt.code || exception != tt.exception || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s: got %d %s %s, want %d %s with %q", tt.method, tt.path, code, exception, body, tt.code, tt.exception, tt.want)
		}
	}
}

func do(t *testing.T, method, url, body string) (code int, exception, answer string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	var text strings.Builder
	if _, err := fmt.Fprint(&text, readAll(t, a)); err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, a.Header.Get("x-amzn-ErrorType"), text.String()
}

func readAll(t *testing.T, a *http.Response) string {
	t.Helper()
	var raw json.RawMessage
	if err := json.NewDecoder(a.Body).Decode(&raw); err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestPages(t *testing.T) {
	svc, server := serve(t, &Options{Authorize: AllowAll})
	for i := range 30 {
		if _, err := svc.Update(t.Context(), shadow.Ref{Thing: "t", Name: fmt.Sprintf("n%02d", i)}, []byte(`{"state":{}}`)); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	token := ""
	for pages := 0; pages == 0 || token != ""; pages++ {
		_, _, body := do(t, "GET", server.URL+"/api/things/shadow/ListNamedShadowsForThing/t?pageSize=7&nextToken="+token, "")
		var page struct {
			Results   []string
			NextToken string
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Results) > 7 {
			t.Fatalf("%v in %s", err, body)
		}
		all, token = append(all, page.Results...), page.NextToken
	}
	if len(all) != 30 || all[0] != "n00" || all[29] != "n29" {
		t.Errorf("got %v", all)
	}
	for query, want := range map[string]int{"": 25, "?pageSize=1": 1, "?pageSize=30": 30, "?pageSize=100": 30, "?pageSize=101": -1, "?pageSize=-1": -1, "?pageSize=x": -1} {
		code, exception, body := do(t, "GET", server.URL+"/api/things/shadow/ListNamedShadowsForThing/t"+query, "")
		var page struct {
			Results   []string
			NextToken string
			Timestamp int64
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		if want < 0 && (code != 400 || exception != "InvalidRequestException") ||
			want > 0 && (len(page.Results) != want || (page.NextToken == "") != (want == 30) || page.Timestamp == 0) {
			t.Errorf("%q: %d %s %s", query, code, exception, body)
		}
	}
}

// Every sentinel of the package has an exception.
func TestErrorTable(t *testing.T) {
	for _, err := range []error{shadow.ErrInvalidRequest, shadow.ErrInvalidName, shadow.ErrUnauthorized, shadow.ErrForbidden, shadow.ErrNotFound,
		shadow.ErrVersionConflict, shadow.ErrTooLarge, shadow.ErrEncoding, shadow.ErrTooManyRequests, shadow.ErrCorrupt, shadow.ErrNoHistory, errors.New("other")} {
		code, _ := shadow.Code(err)
		if exceptions[code] == "" {
			t.Errorf("%v is code %d, which has no exception", err, code)
		}
	}
}

func TestAuthorize(t *testing.T) {
	_, closed := serve(t, nil)
	if code, exception, _ := do(t, "GET", closed.URL+"/things/t/shadow", ""); code != 401 || exception != "UnauthorizedException" {
		t.Errorf("without options: %d %s", code, exception)
	}
	var asked []string
	_, server := serve(t, &Options{Authorize: func(_ *http.Request, action, resource string) (string, error) {
		asked = append(asked, action+" "+resource)
		return "", shadow.ErrForbidden
	}})
	for method, want := range map[string]string{"GET": ActionGet, "POST": ActionUpdate, "DELETE": ActionDelete} {
		asked = nil
		if code, _, _ := do(t, method, server.URL+"/things/t/shadow?name=n", ""); code != 403 || len(asked) != 1 || asked[0] != want+" thing/t/n" {
			t.Errorf("%s: %d, asked %q", method, code, asked)
		}
	}
}

// The command line of AWS, unmodified.
func TestAWSCommandLine(t *testing.T) {
	program := foreign.Need(t, "/usr/bin/aws")
	_, server := serve(t, &Options{Authorize: AllowAll})
	out := filepath.Join(t.TempDir(), "out.json")
	run := func(args ...string) (string, error) {
		cmd := exec.Command(program, append([]string{"--endpoint-url", server.URL, "--region", "us-east-1", "iot-data"}, args...)...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=")
		b, err := cmd.CombinedOutput()
		return string(b), err
	}
	if text, err := run("update-thing-shadow", "--thing-name", "a:b", "--shadow-name", "n", "--cli-binary-format", "raw-in-base64-out", "--payload", `{"state":{"desired":{"on":true}}}`, out); err != nil {
		t.Fatalf("update: %v\n%s", err, text)
	}
	if text, err := run("get-thing-shadow", "--thing-name", "a:b", "--shadow-name", "n", out); err != nil {
		t.Fatalf("get: %v\n%s", err, text)
	}
	if b, err := os.ReadFile(out); err != nil || !strings.Contains(string(b), `"delta":{"on":true}`) {
		t.Errorf("get: %s, %v", b, err)
	}
	if text, err := run("list-named-shadows-for-thing", "--thing-name", "a:b"); err != nil || !strings.Contains(text, `"n"`) {
		t.Errorf("list: %v\n%s", err, text)
	}
	if text, err := run("get-thing-shadow", "--thing-name", "nobody", out); err == nil || !strings.Contains(text, "ResourceNotFoundException") {
		t.Errorf("absent: %v\n%s", err, text)
	}
}
