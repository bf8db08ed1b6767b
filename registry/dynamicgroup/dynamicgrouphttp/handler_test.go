package dynamicgrouphttp_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/dynamicgroup"
	"github.com/thingloom/thingloom/registry/dynamicgroup/dynamicgrouphttp"
	"github.com/thingloom/thingloom/registry/fleetindex"
)

// TestOperations walks through the operations and each error they may have.
func TestOperations(t *testing.T) {
	ctx := t.Context()
	reg, err := registry.New(registry.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reg.CreateGroup(ctx, registry.Group{Name: "static"}, ""); err != nil {
		t.Fatal(err)
	}
	ix, err := fleetindex.Open(ctx, registry.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := dynamicgroup.New(ctx, reg, ix, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused := ""
	mux := http.NewServeMux()
	dynamicgrouphttp.Mount(mux, groups, reg, &dynamicgrouphttp.Options{Authorize: func(_ *http.Request, operation string) error {
		if operation == refused {
			return registry.ErrNotAuthorized
		}
		return nil
	}})
	const properties = `"thingGroupProperties":{"thingGroupDescription":"d","attributePayload":{"attributes":{"k":"v"}}}`
	do := func(method, path, body string, status int, name, want string) {
		t.Helper()
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, "/dynamic-thing-groups/"+path, strings.NewReader(body)))
		text, err := io.ReadAll(w.Result().Body)
		if err != nil || w.Code != status || w.Header().Get("x-amzn-ErrorType") != name || !regexp.MustCompile(want).Match(text) {
			t.Errorf("%s %s %s: %d %s %s, want %d %s %s (%v)", method, path, body, w.Code, w.Header().Get("x-amzn-ErrorType"), text, status, name, want, err)
		}
	}
	do("POST", "g", `{"queryString":"*"}`, 400, "InvalidRequestException", "switched off")
	if err := ix.SetConfig(ctx, fleetindex.Everything); err != nil {
		t.Fatal(err)
	}
	do("POST", "g", `{"queryString":"attributes.a:1",`+properties+`}`, 200, "",
		`^{"thingGroupName":"g","thingGroupArn":"arn:aws:iot:us-east-1:123456789012:thinggroup/g","thingGroupId":"[0-9a-f-]{36}","indexName":"AWS_Things","queryString":"attributes.a:1","queryVersion":"2017-09-30"}$`)
	do("POST", "g", `{"queryString":"attributes.a:2"}`, 409, "ResourceAlreadyExistsException", `"resourceId":"g"|already`)
	do("POST", "x", `{}`, 400, "InvalidRequestException", "queryString")
	do("POST", "x", `{"queryString":7}`, 400, "InvalidRequestException", "(?i)queryString")
	do("POST", "x", `{`, 400, "InvalidRequestException", "JSON")
	do("POST", "x", `{"queryString":"a:b:c"}`, 400, "InvalidQueryException", "column")
	do("POST", "x", `{"queryString":"*","queryVersion":"2016"}`, 400, "InvalidQueryException", "2016")
	do("POST", "x", `{"queryString":"*","indexName":"AWS_ThingGroups"}`, 404, "ResourceNotFoundException", "AWS_ThingGroups")
	do("POST", "x%20y", `{"queryString":"*"}`, 400, "InvalidRequestException", "thingGroupName")
	do("PATCH", "g", `{"queryString":"*"}`, 400, "InvalidRequestException", "thingGroupProperties")
	do("PATCH", "g", `{"queryString":"*",`+properties+`}`, 200, "", `^{"version":2}$`)
	do("PATCH", "g", `{"expectedVersion":1,`+properties+`}`, 409, "VersionConflictException", "")
	do("PATCH", "static", `{`+properties+`}`, 400, "InvalidRequestException", "static")
	do("PATCH", "nobody", `{`+properties+`}`, 404, "ResourceNotFoundException", "nobody")
	if g, err := reg.Group(ctx, "g"); err != nil || g.Dynamic.Query != "*" || g.Description != "d" || g.Attributes["k"] != "v" {
		t.Errorf("%+v %+v %v", g, g.Dynamic, err)
	}
	do("DELETE", "g?expectedVersion=x", "", 400, "InvalidRequestException", "expectedVersion")
	do("DELETE", "g?expectedVersion=1", "", 409, "VersionConflictException", "")
	do("DELETE", "static", "", 400, "InvalidRequestException", "")
	refused = "DeleteDynamicThingGroup"
	do("DELETE", "g", "", 401, "UnauthorizedException", "")
	refused = ""
	do("DELETE", "g?expectedVersion=2", "", 200, "", "^{}$")
	do("DELETE", "g", "", 200, "", "^{}$")
	if _, err := reg.Group(ctx, "g"); !errors.Is(err, registry.ErrNotFound) {
		t.Error(err)
	}
	for i := range 101 {
		status, name := 200, ""
		if i == 100 {
			status, name = 410, "LimitExceededException"
		}
		do("POST", "many-"+string(rune('a'+i/26))+string(rune('a'+i%26)), `{"queryString":"*"}`, status, name, "")
	}
	if got := strings.Join(dynamicgrouphttp.Operations(), " "); got != "CreateDynamicThingGroup UpdateDynamicThingGroup DeleteDynamicThingGroup" {
		t.Error(got)
	}
}
