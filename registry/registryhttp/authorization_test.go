package registryhttp

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/registry"
)

func statement(effect, action, resource string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":%q,"Action":%q,"Resource":%q}]}`, effect, action, resource)
}

// TestAuthorization and GetEffectivePolicies as the contract has them (AWS IoT
// API): one answer for each entry, with the policies that decided.
func TestAuthorizationAnswers(t *testing.T) {
	c := newClient(t, nil)
	ctx := t.Context()
	must := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	cert, _, err := c.reg.CreateKeysAndCertificate(ctx, nil)
	must(err)
	for name, text := range map[string]string{
		"own":     statement("Allow", "iot:Publish", arn+"topic/${iot:ClientId}/*"),
		"thing":   statement("Allow", "iot:Subscribe", arn+"topicfilter/${iot:Connection.Thing.ThingName}/*"),
		"connect": statement("Allow", "iot:Connect", arn+"client/${iot:ClientId}"),
		"root":    statement("Deny", "iot:Publish", arn+"topic/*/secret"),
		"more":    statement("Allow", "iot:Receive", "*"),
		"loose":   statement("Allow", "iot:*", "*"),
	} {
		_, err := c.reg.CreatePolicy(ctx, name, text)
		must(err)
	}
	_, err = c.reg.CreateThing(ctx, registry.Thing{Name: "lamp"})
	must(err)
	for _, g := range [][2]string{{"top", ""}, {"below", "top"}} {
		_, err = c.reg.CreateGroup(ctx, registry.Group{Name: g[0]}, g[1])
		must(err)
	}
	must(c.reg.AddThingToGroup(ctx, "lamp", "below"), c.reg.AttachPrincipal(ctx, "lamp", cert.ID), c.reg.AttachPolicy(ctx, "root", arn+"thinggroup/top"))
	for _, name := range []string{"own", "thing", "connect"} {
		must(c.reg.AttachPolicy(ctx, name, cert.ID))
	}
	principal := arn + "cert/" + cert.ID
	for _, row := range []struct {
		about, client, principal string
		info                     string // action and the ends of ARNs
		more                     string
		decision                 string
		allowed, explicit        []string
		implicit, missing        []string
	}{
		{about: "allowed by a variable of the client ID", client: "lamp", info: "PUBLISH topic/lamp/t", decision: "ALLOWED", allowed: []string{"own"}},
		{about: "all of several resources", client: "lamp", info: "PUBLISH topic/lamp/t topic/lamp/u", decision: "ALLOWED", allowed: []string{"own"}},
		{about: "one of several is not allowed", client: "lamp", info: "PUBLISH topic/lamp/t topic/other", decision: "IMPLICIT_DENY", allowed: []string{"own"}, implicit: []string{"connect", "own", "root", "thing"}},
		{about: "one of several is denied", client: "lamp", info: "PUBLISH topic/other topic/lamp/secret topic/lamp/t", decision: "EXPLICIT_DENY", allowed: []string{"own"}, explicit: []string{"root"}, implicit: []string{"connect", "own", "root", "thing"}},
		{about: "the deny of a group above wins", client: "lamp", info: "PUBLISH topic/lamp/secret", decision: "EXPLICIT_DENY", allowed: []string{"own"}, explicit: []string{"root"}},
		{about: "without it", client: "lamp", info: "PUBLISH topic/lamp/secret", more: `,"policyNamesToSkip":["root","none"]`, decision: "ALLOWED", allowed: []string{"own"}},
		{about: "a thing variable", client: "lamp", info: "SUBSCRIBE topicfilter/lamp/#", decision: "ALLOWED", allowed: []string{"thing"}},
		{about: "a client that is no thing", client: "other", info: "SUBSCRIBE topicfilter/lamp/#", decision: "IMPLICIT_DENY", implicit: []string{"connect", "own", "thing"}, missing: []string{"iot:Connection.Thing.ThingName"}},
		{about: "no client ID", info: "CONNECT client/lamp", decision: "IMPLICIT_DENY", implicit: []string{"connect", "own", "thing"}, missing: []string{"iot:ClientId"}},
		{about: "connect", client: "lamp", info: "CONNECT client/lamp", decision: "ALLOWED", allowed: []string{"connect"}},
		{about: "connect as another", client: "lamp", info: "CONNECT client/other", decision: "IMPLICIT_DENY", implicit: []string{"connect", "own", "root", "thing"}},
		{about: "receive", client: "lamp", info: "RECEIVE topic/x", decision: "IMPLICIT_DENY", implicit: []string{"connect", "own", "root", "thing"}},
		{about: "receive with a policy that is not attached", client: "lamp", info: "RECEIVE topic/x", more: `,"policyNamesToAdd":["more"]`, decision: "ALLOWED", allowed: []string{"more"}},
		{about: "a policy that is attached anyway", client: "lamp", info: "CONNECT client/lamp", more: `,"policyNamesToAdd":["connect"]`, decision: "ALLOWED", allowed: []string{"connect"}},
		{about: "subscribing is not publishing", client: "lamp", info: "SUBSCRIBE topic/lamp/t", decision: "IMPLICIT_DENY", implicit: []string{"connect", "own", "root", "thing"}},
		{about: "the ID in the place of the ARN", principal: cert.ID, client: "lamp", info: "PUBLISH topic/lamp/t", decision: "ALLOWED", allowed: []string{"own"}},
		{about: "a thing group", principal: arn + "thinggroup/below", info: "PUBLISH topic/x/secret", decision: "EXPLICIT_DENY", explicit: []string{"root"}},
		{about: "somebody without policies", principal: "user", info: "PUBLISH topic/x", decision: "IMPLICIT_DENY"},
		{about: "nobody, with a policy", principal: "-", info: "PUBLISH topic/x", more: `,"policyNamesToAdd":["loose"]`, decision: "ALLOWED", allowed: []string{"loose"}},
	} {
		if row.principal == "" {
			row.principal = principal
		}
		parts := strings.Fields(row.info)
		var resources []string
		for _, r := range parts[1:] {
			resources = append(resources, arn+r)
		}
		info, _ := json.Marshal(map[string]any{"actionType": parts[0], "resources": resources})
		body := `{"principal":"` + strings.TrimPrefix(row.principal, "-") + `","authInfos":[` + string(info) + `]` + row.more + `}`
		_, _, text := c.do("POST", "/test-authorization?clientId="+url.QueryEscape(row.client), body, "")
		var out struct {
			AuthResults []struct {
				AuthInfo struct {
					ActionType string
					Resources  []string
				}
				Allowed policyNames
				Denied  struct{ ImplicitDeny, ExplicitDeny policyNames }

				AuthDecision         string
				MissingContextValues []string
			}
		}
		if err := json.Unmarshal([]byte(text), &out); err != nil || len(out.AuthResults) != 1 {
			t.Errorf("%s: %s, %v", row.about, text, err)
			continue
		}
		got := out.AuthResults[0]
		if got.AuthDecision != row.decision || !slices.Equal(got.Allowed.names(), row.allowed) || !slices.Equal(got.Denied.ExplicitDeny.names(), row.explicit) ||
			!slices.Equal(got.Denied.ImplicitDeny.names(), row.implicit) || !slices.Equal(got.MissingContextValues, row.missing) && len(got.MissingContextValues)+len(row.missing) > 0 ||
			got.AuthInfo.ActionType != parts[0] || !slices.Equal(got.AuthInfo.Resources, resources) {
			t.Errorf("%s: %s", row.about, text)
		}
	}
	for about, body := range map[string]string{
		"400 no entries":                `{"principal":"` + principal + `","authInfos":[]}`,
		"400 eleven entries":            `{"principal":"` + principal + `","authInfos":[` + strings.Repeat(`{"actionType":"CONNECT","resources":["`+arn+`client/x"]},`, 10) + `{"actionType":"CONNECT","resources":["` + arn + `client/x"]}]}`,
		"400 no resources":              `{"principal":"` + principal + `","authInfos":[{"actionType":"CONNECT","resources":[]}]}`,
		"400 an unknown action":         `{"principal":"` + principal + `","authInfos":[{"actionType":"FLY","resources":["` + arn + `client/x"]}]}`,
		"400 a resource of another":     `{"principal":"` + principal + `","authInfos":[{"actionType":"CONNECT","resources":["arn:aws:iot:us-east-1:1:client/x"]}]}`,
		"400 a Cognito identity":        `{"cognitoIdentityPoolId":"us-east-1:x","authInfos":[{"actionType":"CONNECT","resources":["` + arn + `client/x"]}]}`,
		"404 an unknown certificate":    `{"principal":"` + arn + `cert/` + strings.Repeat("0", 64) + `","authInfos":[{"actionType":"CONNECT","resources":["` + arn + `client/x"]}]}`,
		"404 an unknown group":          `{"principal":"` + arn + `thinggroup/none","authInfos":[{"actionType":"CONNECT","resources":["` + arn + `client/x"]}]}`,
		"404 an unknown policy to add":  `{"principal":"` + principal + `","policyNamesToAdd":["none"],"authInfos":[{"actionType":"CONNECT","resources":["` + arn + `client/x"]}]}`,
		"400 entries that are no list":  `{"authInfos":{}}`,
		"400 resources that are a text": `{"authInfos":[{"actionType":"CONNECT","resources":"x"}]}`,
	} {
		status, name := 400, "InvalidRequestException"
		if strings.HasPrefix(about, "404") {
			status, name = 404, "ResourceNotFoundException"
		}
		if text := c.fails("POST", "/test-authorization", body, "", status, name); t.Failed() {
			t.Log(about, text)
		}
	}

	effective := func(query, body string) string {
		var names []string
		for _, p := range c.ok("POST", "/effective-policies"+query, body, "")["effectivePolicies"].([]any) {
			p := p.(map[string]any)
			if p["policyArn"] != arn+"policy/"+p["policyName"].(string) || !strings.Contains(p["policyDocument"].(string), "2012-10-17") {
				t.Errorf("%v", p)
			}
			names = append(names, p["policyName"].(string))
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	for _, row := range [][3]string{
		{"", `{"principal":"` + principal + `"}`, "connect own thing"},
		{"?thingName=lamp", `{"principal":"` + principal + `"}`, "connect own root thing"},
		{"?thingName=lamp", `{}`, "root"},
		{"", `{"principal":"` + arn + `thinggroup/below"}`, "root"},
		{"", `{"principal":"` + arn + `thinggroup/top"}`, "root"},
		{"", `{"principal":"user"}`, ""},
	} {
		if got := effective(row[0], row[1]); got != row[2] {
			t.Errorf("effective for %s %s: %s, want %s", row[0], row[1], got, row[2])
		}
	}
	c.fails("POST", "/effective-policies", `{"cognitoIdentityPoolId":"x"}`, "", 400, "InvalidRequestException")
	c.fails("POST", "/effective-policies?thingName=none", `{}`, "", 404, "ResourceNotFoundException")
	c.fails("POST", "/effective-policies", `{"principal":"`+arn+`thinggroup/none"}`, "", 404, "ResourceNotFoundException")
}

// What operations need, and what the configuration of events tells.
func TestRequiredMembers(t *testing.T) {
	c := newClient(t, nil)
	c.fails("PUT", "/thing-groups/updateThingGroupsForThing", `{}`, "", 400, "InvalidRequestException")
	c.fails("GET", "/policy-principals", "", "", 400, "InvalidRequestException")
	c.fails("POST", "/default-authorizer", `{}`, "", 400, "InvalidRequestException")
	c.fails("POST", "/attached-policies/"+strings.Repeat("b", 64), "", "", 404, "ResourceNotFoundException")
	c.fails("POST", "/attached-policies/"+url.PathEscape(arn+"thinggroup/none")+"?recursive=true", "", "", 404, "ResourceNotFoundException")
	if out := c.ok("GET", "/event-configurations", "", ""); out["creationDate"] != nil {
		t.Errorf("never configured: %v", out)
	}
	c.ok("PATCH", "/event-configurations", `{"eventConfigurations":{"THING":{"Enabled":true}}}`, "")
	if out := c.ok("GET", "/event-configurations", "", ""); out["creationDate"].(float64) < 1e9 || out["lastModifiedDate"].(float64) < out["creationDate"].(float64) {
		t.Errorf("configured: %v", out)
	}
}

type policyNames struct {
	Policies []struct{ PolicyName, PolicyArn string }
}

func (p policyNames) names() []string {
	var out []string
	for _, one := range p.Policies {
		if one.PolicyArn != arn+"policy/"+one.PolicyName {
			return []string{"not " + one.PolicyArn}
		}
		out = append(out, one.PolicyName)
	}
	slices.Sort(out)
	return out
}
