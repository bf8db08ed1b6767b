package registryhttp

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/registry"
)

func TestAuthorizersOverHTTP(t *testing.T) {
	var asked AuthorizerTest
	c := newClient(t, &Options{TestAuthorizer: func(_ context.Context, a registry.Authorizer, in AuthorizerTest) (AuthorizerResult, error) {
		asked = in
		if a.Function == "arn:broken" {
			return AuthorizerResult{}, fmt.Errorf("%w: it is broken", ErrAuthorizerResponse)
		}
		return AuthorizerResult{Authenticated: true, Principal: "ann", Policies: []string{"{}"}, RefreshAfter: 300, DisconnectAfter: 3600}, nil
	}})
	made := c.ok("POST", "/authorizer/a", `{"authorizerFunctionArn":"arn:f","signingDisabled":true,"tags":[{"Key":"k","Value":"v"}]}`, "")
	if made["authorizerArn"] != arn+"authorizer/a" || made["authorizerName"] != "a" {
		t.Errorf("made %v", made)
	}
	c.fails("POST", "/authorizer/a", `{"authorizerFunctionArn":"arn:f","signingDisabled":true}`, "", 409, "ResourceAlreadyExistsException")
	c.fails("POST", "/authorizer/b", `{"authorizerFunctionArn":"arn:f"}`, "", 400, "InvalidRequestException")
	c.fails("POST", "/authorizer/b", `{"authorizerFunctionArn":"arn:f","signingDisabled":true,"status":"ON"}`, "", 400, "InvalidRequestException")
	d := c.ok("GET", "/authorizer/a", "", "")["authorizerDescription"].(map[string]any)
	if d["status"] != "INACTIVE" || d["signingDisabled"] != true || d["authorizerFunctionArn"] != "arn:f" || d["creationDate"].(float64) < 1e9 {
		t.Errorf("described as %v", d)
	}
	c.fails("POST", "/default-authorizer", `{"authorizerName":"a"}`, "", 400, "InvalidRequestException")
	c.ok("PUT", "/authorizer/a", `{"status":"ACTIVE","tokenKeyName":"t"}`, "")
	if out := c.ok("POST", "/default-authorizer", `{"authorizerName":"a"}`, ""); out["authorizerArn"] != arn+"authorizer/a" {
		t.Errorf("the default is %v", out)
	}
	if d := c.ok("GET", "/default-authorizer", "", "")["authorizerDescription"].(map[string]any); d["authorizerName"] != "a" || d["tokenKeyName"] != "t" {
		t.Errorf("the default is %v", d)
	}
	c.fails("DELETE", "/authorizer/a", "", "", 409, "DeleteConflictException")
	c.ok("DELETE", "/default-authorizer", "", "")
	c.fails("GET", "/default-authorizer", "", "", 404, "ResourceNotFoundException")

	c.ok("POST", "/authorizer/b", `{"authorizerFunctionArn":"arn:broken","signingDisabled":true}`, "")
	if got := c.ok("GET", "/authorizers?status=INACTIVE", "", "")["authorizers"].([]any); len(got) != 1 || got[0].(map[string]any)["authorizerName"] != "b" {
		t.Errorf("inactive are %v", got)
	}
	if got := c.ok("GET", "/authorizers?isAscendingOrder=false&pageSize=1", "", ""); got["authorizers"].([]any)[0].(map[string]any)["authorizerName"] != "b" || got["nextMarker"] == nil {
		t.Errorf("the youngest is %v", got)
	}
	out := c.ok("POST", "/authorizer/a/test", `{"token":"t","tokenSignature":"c2ln","mqttContext":{"username":"u","password":"cHc=","clientId":"c"},"tlsContext":{"serverName":"s"}}`, "")
	if out["isAuthenticated"] != true || out["principalId"] != "ann" || out["refreshAfterInSeconds"] != 300.0 || len(out["policyDocuments"].([]any)) != 1 {
		t.Errorf("answered %v", out)
	}
	if asked.Token != "t" || string(asked.MQTT.Password) != "pw" || asked.TLS.ServerName != "s" || asked.HTTP != nil {
		t.Errorf("asked %+v", asked)
	}
	c.fails("POST", "/authorizer/b/test", `{}`, "", 400, "InvalidResponseException")
	c.fails("POST", "/authorizer/a/test", `{"token":"t"}`, "", 400, "InvalidRequestException")
	c.fails("POST", "/authorizer/none/test", `{}`, "", 404, "ResourceNotFoundException")
	c.ok("DELETE", "/authorizer/b", "", "")
	c.fails("GET", "/authorizer/b", "", "", 404, "ResourceNotFoundException")
	without := newClient(t, nil)
	without.fails("POST", "/authorizer/a/test", `{}`, "", 501, "NotImplementedException")
}

func TestRoleAliasesOverHTTP(t *testing.T) {
	c := newClient(t, nil)
	const role = `"roleArn":"arn:aws:iam::123456789012:role/x"`
	if out := c.ok("POST", "/role-aliases/r", `{`+role+`}`, ""); out["roleAliasArn"] != arn+"rolealias/r" {
		t.Errorf("made %v", out)
	}
	c.fails("POST", "/role-aliases/r", `{`+role+`}`, "", 409, "ResourceAlreadyExistsException")
	c.fails("POST", "/role-aliases/s", `{`+role+`,"credentialDurationSeconds":0}`, "", 400, "InvalidRequestException")
	c.fails("POST", "/role-aliases/s", `{`+role+`,"tags":[{"Key":"k","Value":"1"},{"Key":"k","Value":"2"}]}`, "", 400, "InvalidRequestException")
	c.ok("PUT", "/role-aliases/r", `{"credentialDurationSeconds":900}`, "")
	d := c.ok("GET", "/role-aliases/r", "", "")["roleAliasDescription"].(map[string]any)
	if d["credentialDurationSeconds"] != 900.0 || d["roleArn"] != "arn:aws:iam::123456789012:role/x" {
		t.Errorf("described as %v", d)
	}
	if got := c.ok("GET", "/role-aliases", "", "")["roleAliases"].([]any); len(got) != 1 || got[0] != "r" {
		t.Errorf("listed %v", got)
	}
	c.ok("DELETE", "/role-aliases/r", "", "")
	c.fails("DELETE", "/role-aliases/r", "", "", 404, "ResourceNotFoundException")
}

// The others keep the tags of rules.
type others map[string]map[string]string

func (f others) Tags(_ context.Context, resource string) (map[string]string, error) {
	tags, ok := f[resource]
	if !ok {
		return nil, registry.ErrNotFound
	}
	return tags, nil
}

func (f others) ChangeTags(_ context.Context, resource string, change func(map[string]string) error) error {
	if f[resource] == nil {
		return registry.ErrNotFound
	}
	return change(f[resource])
}

func TestTagsOverHTTP(t *testing.T) {
	c := newClient(t, &Options{Taggers: map[string]Tagger{"rule": others{"rule/r": {}}}})
	c.ok("POST", "/policies/p", `{"policyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"iot:*\",\"Resource\":\"*\"}}","tags":[{"Key":"a","Value":"1"}]}`, "")
	list := func(resource string) string {
		out := c.ok("GET", "/tags?resourceArn="+arn+resource, "", "")
		return fmt.Sprint(out["tags"])
	}
	if got := list("policy/p"); got != "[map[Key:a Value:1]]" {
		t.Errorf("at creation %s", got)
	}
	for _, resource := range []string{"policy/p", "rule/r"} {
		c.ok("POST", "/tags", `{"resourceArn":"`+arn+resource+`","tags":[{"Key":"b","Value":"2"},{"Key":"a","Value":"3"}]}`, "")
		if got := list(resource); got != "[map[Key:a Value:3] map[Key:b Value:2]]" {
			t.Errorf("%s has %s", resource, got)
		}
		c.ok("POST", "/untag", `{"resourceArn":"`+arn+resource+`","tagKeys":["a","none"]}`, "")
		if got := list(resource); got != "[map[Key:b Value:2]]" {
			t.Errorf("%s has %s", resource, got)
		}
	}
	var many []string
	for i := range 50 {
		many = append(many, fmt.Sprintf(`{"Key":"k%d","Value":""}`, i))
	}
	c.fails("POST", "/tags", `{"resourceArn":"`+arn+`policy/p","tags":[`+strings.Join(many, ",")+`]}`, "", 410, "LimitExceededException")
	c.ok("POST", "/tags", `{"resourceArn":"`+arn+`policy/p","tags":[`+strings.Join(many[:49], ",")+`]}`, "")
	out := c.ok("GET", "/tags?resourceArn="+arn+"policy/p", "", "")
	if len(out["tags"].([]any)) != 25 || out["nextToken"] == nil {
		t.Errorf("a page of %v", out)
	}
	if out = c.ok("GET", "/tags?resourceArn="+arn+"policy/p&nextToken="+out["nextToken"].(string), "", ""); len(out["tags"].([]any)) != 25 || out["nextToken"] != nil {
		t.Errorf("the last page is %v", out)
	}
	for body, want := range map[string]string{
		`{"resourceArn":"` + arn + `policy/none","tags":[{"Key":"a","Value":""}]}`: "404 ResourceNotFoundException",
		`{"resourceArn":"` + arn + `rule/none","tags":[{"Key":"a","Value":""}]}`:   "404 ResourceNotFoundException",
		`{"resourceArn":"` + arn + `thing/t","tags":[{"Key":"a","Value":""}]}`:     "400 InvalidRequestException",
		`{"resourceArn":"arn:aws:iot:x:1:policy/p","tags":[{"Key":"a"}]}`:          "400 InvalidRequestException",
		`{"resourceArn":"` + arn + `policy/p"}`:                                    "400 InvalidRequestException",
		`{"resourceArn":"` + arn + `policy/p","tags":[{"Value":"x"}]}`:             "400 InvalidRequestException",
		`{"resourceArn":"` + arn + `policy/p","tags":[{"Key":"aws:a"}]}`:           "400 InvalidRequestException",
		`{"tags":[{"Key":"a"}]}`: "400 InvalidRequestException",
	} {
		var status int
		var kind string
		fmt.Sscan(want, &status, &kind)
		c.fails("POST", "/tags", body, "", status, kind)
	}
	c.fails("POST", "/untag", `{"resourceArn":"`+arn+`policy/p"}`, "", 400, "InvalidRequestException")
	c.fails("GET", "/tags", "", "", 400, "InvalidRequestException")
	c.ok("DELETE", "/policies/p", "", "")
	c.fails("GET", "/tags?resourceArn="+arn+"policy/p", "", "", 404, "ResourceNotFoundException")
}
