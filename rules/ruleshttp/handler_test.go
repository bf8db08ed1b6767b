package ruleshttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/rules"
)

// binder knows the action "log" and refuses anything else.
type binder struct{}

func (binder) Bind(_ context.Context, s rules.ActionSpec) (rules.Action, error) {
	if s.Type != "log" && s.Type != "republish" {
		return nil, fmt.Errorf("unknown action %q", s.Type)
	}
	return rules.ActionFunc(func(context.Context, rules.Firing) error { return nil }), nil
}

func newEngine(t *testing.T, opts *rules.Options) *rules.Engine {
	t.Helper()
	if opts == nil {
		opts = &rules.Options{}
	}
	opts.Now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC) }
	e, err := rules.Open(t.Context(), rules.NewMemStore(), binder{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestOperations(t *testing.T) {
	e := newEngine(t, &rules.Options{MaxRules: 3})
	h := Handler(e, &Options{Region: "eu-west-1", Account: "1", MaxBodyBytes: 2000})
	const hot = `{"sql":"SELECT t FROM 'sensors/+' WHERE t > 30","awsIotSqlVersion":"2015-10-08","description":"d","ruleDisabled":false,` +
		`"actions":[{"republish":{"topic":"b","qos":1,"roleArn":"r"}}],"errorAction":{"log":{}}}`
	const denied = `{"message":"Access to topic rule 'none' was denied"}`
	for _, step := range []struct {
		request string // method, path, body
		status  int
		err     string // x-amzn-ErrorType
		want    string // the body, or a part of it
	}{
		{"GET /rules", 200, "", `{"rules":[]}`},
		{"POST /rules/hot " + hot, 200, "", `{}`},
		{"POST /rules/hot " + hot, 409, "ResourceAlreadyExistsException", `{"message":"rules: rule \"hot\": rules: rule exists"}`},
		{"GET /rules/hot", 200, "", `{"ruleArn":"arn:aws:iot:eu-west-1:1:rule/hot","rule":{"ruleName":"hot",` +
			`"sql":"SELECT t FROM 'sensors/+' WHERE t \u003e 30","awsIotSqlVersion":"2015-10-08","description":"d","ruleDisabled":false,` +
			`"createdAt":1767323045.678,"actions":[{"republish":{"topic":"b","qos":1,"roleArn":"r"}}],"errorAction":{"log":{}}}}`},
		{"POST /rules/hot/disable", 200, "", `{}`},
		{"GET /rules", 200, "", `{"rules":[{"ruleArn":"arn:aws:iot:eu-west-1:1:rule/hot","ruleName":"hot","topicPattern":"sensors/+","createdAt":1767323045.678,"ruleDisabled":true}]}`},
		{"POST /rules/hot/enable", 200, "", `{}`},
		{"GET /rules/hot", 200, "", `"ruleDisabled":false`},
		{`PATCH /rules/hot {"sql":"SELECT * FROM 'x'","actions":[]}`, 200, "", `{}`},
		{"GET /rules/hot", 200, "", `"rule":{"ruleName":"hot","sql":"SELECT * FROM 'x'","awsIotSqlVersion":"2016-03-23","ruleDisabled":false,"createdAt":1767323045.678,"actions":[]}}`},
		{`POST /rules/a {"sql":"SELECT * FROM 'a/#'","actions":[]}`, 200, "", `{}`},
		{`POST /rules/b {"sql":"SELECT * FROM 'a/+/c'","actions":[],"ruleDisabled":true}`, 200, "", `{}`},
		{`POST /rules/c {"sql":"SELECT * FROM 'a'","actions":[]}`, 410, "LimitExceededException", `too many rules`},

		{"GET /rules?topic=a%2Fb%2Fc&ruleDisabled=true", 200, "", `"ruleName":"b"`},
		{"GET /rules?topic=a%2F%23", 200, "", `"topicPattern":"a/#"`},
		{"GET /rules?topic=nothing", 200, "", `{"rules":[]}`},
		{"GET /rules?maxResults=0", 400, "InvalidRequestException", `maxResults is \"0\"`},
		{"GET /rules?maxResults=x", 400, "InvalidRequestException", `maxResults is \"x\"`},
		{"GET /rules?ruleDisabled=maybe", 400, "InvalidRequestException", `ruleDisabled`},
		{"GET /rules?nextToken=!!", 400, "InvalidRequestException", `nextToken`},

		{"GET /rules/none", 401, "UnauthorizedException", denied},
		{"DELETE /rules/none", 401, "UnauthorizedException", denied},
		{"POST /rules/none/enable", 401, "UnauthorizedException", denied},
		{"POST /rules/none/disable", 401, "UnauthorizedException", denied},
		{"PATCH /rules/none " + hot, 401, "UnauthorizedException", denied},

		{`POST /rules/bad {"sql":"SELECT floor(t FROM 'a/b'","actions":[]}`, 400, "SqlParseException", `line 1, column 16`},
		{`POST /rules/bad {"sql":"SELECT * FROM 'a'","actions":[{"log":{}},{"nothing":{}}]}`, 400, "InvalidRequestException", `actions[1]: unknown action \"nothing\"; nothing was stored`},
		{`POST /rules/bad {"sql":"SELECT * FROM 'a'","actions":[],"errorAction":{"nothing":{}}}`, 400, "InvalidRequestException", `errorAction: unknown action`},
		{`POST /rules/b%2Fad {"sql":"SELECT * FROM 'a'","actions":[]}`, 400, "InvalidRequestException", `byte 1 is '/'`},
		{`POST /rules/bad {"actions":[]}`, 400, "InvalidRequestException", `no member sql`},
		{`POST /rules/bad {"sql":"SELECT * FROM 'a'"}`, 400, "InvalidRequestException", `no member actions`},
		{`POST /rules/bad {"sql":"SELECT * FROM 'a'","actions":[{}]}`, 400, "InvalidRequestException", `one member`},
		{`POST /rules/bad {"sql":"SELECT * FROM 'a'","actions":[{"log":{},"republish":{}}]}`, 400, "InvalidRequestException", `not 2`},
		{`POST /rules/bad {"sql":"SELECT * FROM 'a'","actions":[],"colour":1}`, 400, "InvalidRequestException", `colour`},
		{`POST /rules/bad {"sql":"SELECT * FROM 'a'","actions":[]} {}`, 400, "InvalidRequestException", `more after`},
		{`POST /rules/bad {`, 400, "InvalidRequestException", `cannot be read`},
		{"POST /rules/bad " + strings.Repeat(" ", 2001), 400, "InvalidRequestException", `too large`},

		{"PUT /rules/hot {}", 501, "NotImplementedException", `operation not implemented`},
		{"POST /rules {}", 501, "NotImplementedException", `operation not implemented`},
		{"POST /rules/hot/explode {}", 501, "NotImplementedException", `operation not implemented`},
		{"GET /rules/hot/enable/x", 501, "NotImplementedException", `operation not implemented`},
		{"GET /things", 501, "NotImplementedException", `operation not implemented`},

		{`PATCH /rules/hot {"sql":"SELECT * FROM 'a'","actions":[{"nothing":{}}]}`, 400, "InvalidRequestException", `actions[0]: unknown action \"nothing\"; the rule is as it was`},
		{"GET /rules/hot", 200, "", `"sql":"SELECT * FROM 'x'"`},
		{"GET /rules/bad", 401, "UnauthorizedException", `'bad' was denied`},

		{"DELETE /rules/hot", 200, "", `{}`},
		{"GET /rules/hot", 401, "UnauthorizedException", `'hot' was denied`},
	} {
		t.Run(step.request[:min(len(step.request), 60)], func(t *testing.T) {
			status, header, body := do(h, step.request)
			if status != step.status || header.Get("x-amzn-ErrorType") != step.err || !strings.Contains(body, step.want) {
				t.Errorf("%s\ngot  %d %s %s\nwant %d %s %s", step.request, status, header.Get("x-amzn-ErrorType"), body, step.status, step.err, step.want)
			}
			if !json.Valid([]byte(body)) || header.Get("Content-Type") != "application/json" {
				t.Errorf("%s answers %q of type %q", step.request, body, header.Get("Content-Type"))
			}
		})
	}
}

func do(h http.Handler, request string) (int, http.Header, string) {
	method, rest, _ := strings.Cut(request, " ")
	target, body, _ := strings.Cut(rest, " ")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	return w.Code, w.Header(), w.Body.String()
}

// TestPages walks through the list while rules come and go.
func TestPages(t *testing.T) {
	e := newEngine(t, nil)
	h := Handler(e, nil)
	for i := range 25 {
		if err := e.Put(t.Context(), rules.Rule{Name: fmt.Sprintf("r%02d", i), SQL: "SELECT * FROM 'a'"}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	token := ""
	for page := range 10 {
		_, _, body := do(h, "GET /rules?maxResults=10&nextToken="+token)
		var out struct {
			Rules     []struct{ RuleName string }
			NextToken string
		}
		if err := json.Unmarshal([]byte(body), &out); err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Rules {
			names = append(names, r.RuleName)
		}
		if page == 0 { // behind and before the token
			_ = e.Delete(t.Context(), "r09")
			_ = e.Delete(t.Context(), "r12")
		}
		if token = out.NextToken; token == "" {
			break
		}
	}
	if len(names) != 24 || names[9] != "r09" || names[12] != "r13" || names[23] != "r24" {
		t.Errorf("pages give %v", names)
	}
}

func TestAuthorize(t *testing.T) {
	var asked []string
	h := Handler(newEngine(t, nil), &Options{Authorize: func(r *http.Request, action, resource string) error {
		asked = append(asked, action+" "+resource)
		if b, err := io.ReadAll(r.Body); err != nil || len(b) == 0 && r.Method == "POST" {
			t.Errorf("the body has been read before Authorize: %q, %v", b, err)
		}
		return errors.New("the secret reason")
	}})
	for _, request := range []string{"GET /rules", "GET /rules/r", "POST /rules/r {}", "PATCH /rules/r {}", "DELETE /rules/r", "POST /rules/r/enable {}", "POST /rules/r/disable {}"} {
		status, header, body := do(h, request)
		if status != 401 || header.Get("x-amzn-ErrorType") != "UnauthorizedException" || strings.Contains(body, "secret") {
			t.Errorf("%s: %d %s", request, status, body)
		}
	}
	const arn = " arn:aws:iot:us-east-1:000000000000:rule/r"
	want := []string{"iot:ListTopicRules *", "iot:GetTopicRule" + arn, "iot:CreateTopicRule" + arn, "iot:ReplaceTopicRule" + arn,
		"iot:DeleteTopicRule" + arn, "iot:EnableTopicRule" + arn, "iot:DisableTopicRule" + arn}
	if strings.Join(asked, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked %q", asked)
	}
}

// elsewhere are sentinels of package rules that no edit returns by themselves.
var elsewhere = map[string]string{
	"ErrPending":      "returned by actions to the engine",
	"ErrDeadLettered": "returned by actions to the engine",
	"ErrPanic":        "a panic while binding is an ErrInvalid",
	"ErrID":           "returned by Settle",
	"ErrHopLimit":     "returned by Handle",
	"ErrLimit":        "returned by Eval",
	"ErrNotJSON":      "returned by Eval",
	"ErrGivenUp":      "of Shutdown, which no request asks for",
}

// TestErrorTable walks every sentinel of package rules: each has an answer of
// its own, or a reason not to have one.
func TestErrorTable(t *testing.T) {
	sentinels := map[string]error{
		"ErrNotFound": rules.ErrNotFound, "ErrExists": rules.ErrExists, "ErrInvalid": rules.ErrInvalid,
		"ErrVersionConflict": rules.ErrVersionConflict, "ErrTooMany": rules.ErrTooMany, "ErrClosed": rules.ErrClosed,
		"ErrCycle": rules.ErrCycle,
	}
	files, err := filepath.Glob("../*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range syntax.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					if !strings.HasPrefix(name.Name, "Err") {
						continue
					}
					found++
					err, known := sentinels[name.Name]
					if _, reason := elsewhere[name.Name]; reason == known {
						t.Errorf("%s must be in the table, or have a reason not to be", name.Name)
					}
					if known {
						if a := answerOf(fmt.Errorf("wrapped: %w", err), "r"); a.status == 500 || a.name == "" || a.message == "" {
							t.Errorf("%s is answered by %+v", name.Name, a)
						}
					}
				}
			}
		}
	}
	if found != len(sentinels)+len(elsewhere) {
		t.Errorf("%d sentinels found, want %d", found, len(sentinels)+len(elsewhere))
	}
	if a := answerOf(errors.New("disk on fire at /dev/sda"), "r"); a.status != 500 || a.name != "InternalException" || strings.Contains(a.message, "disk") {
		t.Errorf("a foreign error is answered by %+v", a)
	}
	if a := answerOf(fmt.Errorf("save: %w", context.DeadlineExceeded), "r"); a.status != 503 {
		t.Errorf("a deadline is answered by %+v", a)
	}
}

func TestRequireRoles(t *testing.T) {
	const role = `"roleArn":"arn:aws:iam::1:role/r"`
	for _, strict := range []bool{true, false} {
		h := Handler(newEngine(t, nil), &Options{RequireRoles: strict})
		for _, tt := range []struct{ more, want string }{
			{`"actions":[{"log":{}},{"republish":{"topic":"b"}}]`, "actions[1]: republish: roleArn is required, and missing; "},
			{`"actions":[{"republish":{"topic":"b","roleArn":null}}]`, "actions[0]: republish: roleArn"},
			{`"actions":[],"errorAction":{"republish":{"topic":"b"}}`, "errorAction: republish: roleArn"},
			{`"actions":[{"republish":{"topic":"b",` + role + `}},{"log":{}}]`, ""},
		} {
			for i, method := range []string{"POST", "PATCH"} {
				status, header, body := do(h, method+` /rules/r {"sql":"SELECT * FROM 'a'",`+tt.more+`}`)
				if refused := strict && tt.want != ""; refused && (status != 400 || header.Get("x-amzn-ErrorType") != "InvalidRequestException" || !strings.Contains(body, tt.want)) {
					t.Errorf("%s %s: %d %s", method, tt.more, status, body)
				} else if !refused && status != 200 {
					t.Errorf("%s %s, strict %v: %d %s", method, tt.more, strict, status, body)
				}
				if strict && tt.want != "" && i == 0 {
					_, _, _ = do(h, `POST /rules/r {"sql":"SELECT * FROM 'a'","actions":[]}`) // one to replace
				}
			}
			_, _, _ = do(h, "DELETE /rules/r")
		}
	}
}
