package registryhttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/internal/sentinels"
	"github.com/thingloom/thingloom/registry"
)

const arn = "arn:aws:iot:us-east-1:123456789012:"

type client struct {
	t   *testing.T
	url string
	reg *registry.Registry
}

func newClient(t *testing.T, opts *Options) *client {
	t.Helper()
	ca, err := registry.NewCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.New(registry.NewMemStore(), &registry.Options{CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	h, err := Handler(reg, opts)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return &client{t, srv.URL, reg}
}

// do sends one request; header is "name: value" or empty.
func (c *client) do(method, path, body, header string) (status int, kind, answer string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if name, value, ok := strings.Cut(header, ": "); ok {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if !json.Valid(text) || resp.Header.Get("Content-Type") != "application/json" {
		c.t.Errorf("%s %s: %s body %q", method, path, resp.Header.Get("Content-Type"), text)
	}
	return resp.StatusCode, resp.Header.Get("x-amzn-ErrorType"), string(text)
}

// ok sends a request that must succeed, and decodes the answer.
func (c *client) ok(method, path, body, header string) map[string]any {
	c.t.Helper()
	status, kind, text := c.do(method, path, body, header)
	if status != http.StatusOK {
		c.t.Fatalf("%s %s: %d %s %s", method, path, status, kind, text)
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		c.t.Fatal(err)
	}
	return out
}

// fails sends a request that must be refused so.
func (c *client) fails(method, path, body, header string, status int, kind string) string {
	c.t.Helper()
	got, name, text := c.do(method, path, body, header)
	if got != status || name != kind || !strings.Contains(text, `"message":"`) {
		c.t.Errorf("%s %s: got %d %s %s, want %d %s", method, path, got, name, text, status, kind)
	}
	return text
}

func TestEverySentinelHasAnAnswer(t *testing.T) {
	known := map[string]error{}
	want := map[string]string{}
	for _, row := range []struct {
		name string
		err  error
		wire string
	}{
		{"ErrNotFound", registry.ErrNotFound, "404 ResourceNotFoundException"},
		{"ErrExists", registry.ErrExists, "409 ResourceAlreadyExistsException"},
		{"ErrVersionConflict", registry.ErrVersionConflict, "409 VersionConflictException"},
		{"ErrInvalid", registry.ErrInvalid, "400 InvalidRequestException"},
		{"ErrLimit", registry.ErrLimit, "410 LimitExceededException"},
		{"ErrDeleteConflict", registry.ErrDeleteConflict, "409 DeleteConflictException"},
		{"ErrMalformedPolicy", registry.ErrMalformedPolicy, "400 MalformedPolicyException"},
		{"ErrVersionsLimit", registry.ErrVersionsLimit, "409 VersionsLimitExceededException"},
		{"ErrCertificateState", registry.ErrCertificateState, "406 CertificateStateException"},
		{"ErrCertificateValidation", registry.ErrCertificateValidation, "400 CertificateValidationException"},
		{"ErrRegistrationCode", registry.ErrRegistrationCode, "400 RegistrationCodeValidationException"},
		{"ErrNoCA", registry.ErrNoCA, "400 InvalidRequestException"},
		{"ErrNotAuthorized", registry.ErrNotAuthorized, "401 UnauthorizedException"},
		{"ErrUnknownCertificate", registry.ErrUnknownCertificate, "401 UnauthorizedException"},
		{"ErrInactive", registry.ErrInactive, "401 UnauthorizedException"},
		{"ErrRevoked", registry.ErrRevoked, "401 UnauthorizedException"},
		{"ErrExpired", registry.ErrExpired, "401 UnauthorizedException"},
	} {
		known[row.name], want[row.name] = row.err, row.wire
	}
	sentinels.Check(t, "..", known, func(name string, err error) {
		status, kind := awshttp.Classify(errorRows, fmt.Errorf("wrapped: %w", err))
		if got := fmt.Sprint(status, " ", kind); got != want[name] {
			t.Errorf("%s: got %s, want %s", name, got, want[name])
		}
	})
	if status, kind := awshttp.Classify(errorRows, errors.New("other")); status != 500 || kind != "InternalFailureException" {
		t.Errorf("unknown error: %d %s", status, kind)
	}
}

func TestThings(t *testing.T) {
	c := newClient(t, nil)
	c.fails("POST", "/things/a%3Ab_1", `{"billingGroupName":"bg"}`, "", 404, "ResourceNotFoundException")
	c.ok("POST", "/billing-groups/bg", "", "")
	out := c.ok("POST", "/things/a%3Ab_1", `{"attributePayload":{"attributes":{"k":"v"}},"billingGroupName":"bg"}`, "Content-Type: application/json")
	if out["thingName"] != "a:b_1" || out["thingArn"] != arn+"thing/a:b_1" {
		t.Errorf("created %v", out)
	}
	text := c.fails("POST", "/things/a%3Ab_1", "", "", 409, "ResourceAlreadyExistsException")
	if !strings.Contains(text, `"resourceArn":"`+arn+`thing/a:b_1","resourceId":"a:b_1"`) {
		t.Errorf("who is in the way: %s", text)
	}
	out = c.ok("GET", "/things/a%3Ab_1", "", "")
	if out["defaultClientId"] != "a:b_1" || out["version"] != 1.0 || out["billingGroupName"] != "bg" || fmt.Sprint(out["attributes"]) != "map[k:v]" {
		t.Errorf("described %v", out)
	}
	c.ok("PATCH", "/things/a%3Ab_1", `{"attributePayload":{"attributes":{"k":""},"merge":true},"expectedVersion":1}`, "")
	c.fails("PATCH", "/things/a%3Ab_1", `{"expectedVersion":1}`, "", 409, "VersionConflictException")
	c.fails("PATCH", "/things/a%3Ab_1", `{"expectedVersion":"x"}`, "", 400, "InvalidRequestException")
	c.fails("PATCH", "/things/a%3Ab_1", `{`, "", 400, "InvalidRequestException")
	c.fails("PATCH", "/things/a%3Ab_1", `"`+strings.Repeat("x", 2<<20)+`"`, "", 400, "InvalidRequestException")
	c.fails("GET", "/things/nobody", "", "", 404, "ResourceNotFoundException")
	c.fails("DELETE", "/things/a%3Ab_1?expectedVersion=7", "", "", 409, "VersionConflictException")
	for i := range 30 {
		c.ok("POST", fmt.Sprintf("/things/t%02d", i), `{"attributePayload":{"attributes":{"n":"`+fmt.Sprint(i%2)+`"}}}`, "")
	}
	var names []string
	token := ""
	for pages := 1; ; pages++ {
		out := c.ok("GET", "/things?maxResults=7&attributeName=n&attributeValue=1&nextToken="+token, "", "")
		for _, v := range out["things"].([]any) {
			names = append(names, v.(map[string]any)["thingName"].(string))
		}
		var more bool
		if token, more = out["nextToken"].(string); !more {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if len(names) != 15 || names[0] != "t01" || names[14] != "t29" || !slices.IsSorted(names) {
		t.Errorf("listed %q", names)
	}
	if out := c.ok("GET", "/things", "", ""); len(out["things"].([]any)) != 25 || out["nextToken"] == nil {
		t.Errorf("the default page has %d things", len(out["things"].([]any)))
	}
	c.fails("GET", "/things?maxResults=251", "", "", 400, "InvalidRequestException")
	c.fails("GET", "/things?maxResults=0", "", "", 400, "InvalidRequestException")
	c.fails("GET", "/things?nextToken=!", "", "", 400, "InvalidRequestException")
	c.ok("PUT", "/things/t00/principals?thingPrincipalType=EXCLUSIVE_THING", "", "x-amzn-principal: me")
	c.fails("PUT", "/things/t01/principals", "", "x-amzn-principal: me", 400, "InvalidRequestException")
	c.fails("PUT", "/things/t01/principals", "", "", 400, "InvalidRequestException")
	if out := c.ok("GET", "/principals/things-v2", "", "x-amzn-principal: me"); fmt.Sprint(out["principalThingObjects"]) != "[map[thingName:t00 thingPrincipalType:EXCLUSIVE_THING]]" {
		t.Errorf("things of the principal: %v", out)
	}
	if out := c.ok("GET", "/things/t00/principals?thingPrincipalType=NON_EXCLUSIVE_THING", "", ""); fmt.Sprint(out["principals"]) != "[]" {
		t.Errorf("principals: %v", out)
	}
	c.ok("DELETE", "/things/t00/principals", "", "x-amzn-principal: me")
	c.ok("DELETE", "/things/t00", "", "")
	c.ok("DELETE", "/things/t00", "", "")
}

func TestNotImplementedAndRefused(t *testing.T) {
	c := newClient(t, nil)
	for _, path := range []string{"/indices/search", "/", "/things/a/b/c", "/endpoint"} {
		text := c.fails("POST", path, "", "", 501, "NotImplementedException")
		if !strings.Contains(text, path) {
			t.Errorf("the message does not say what: %s", text)
		}
	}
	c.fails("PUT", "/policies/p", "", "", 501, "NotImplementedException")
	var asked []string
	guarded := newClient(t, &Options{
		Authorize: func(r *http.Request, operation string) error {
			asked = append(asked, operation)
			if r.Header.Get("x-user") != "admin" {
				return errors.New("who are you")
			}
			return nil
		},
		Endpoint: func(kind string) (string, error) { return "host." + kind, nil }})
	guarded.fails("GET", "/things", "", "", 401, "UnauthorizedException")
	guarded.ok("GET", "/things", "", "x-user: admin")
	if out := guarded.ok("GET", "/endpoint?endpointType=iot%3AData-ATS", "", "x-user: admin"); out["endpointAddress"] != "host.iot:Data-ATS" {
		t.Errorf("endpoint %v", out)
	}
	if fmt.Sprint(asked) != "[ListThings ListThings DescribeEndpoint]" {
		t.Errorf("asked for %v", asked)
	}
	if _, err := Handler(c.reg, &Options{MaxBodyBytes: -1}); err == nil {
		t.Error("a negative limit was accepted")
	}
}

func TestPoliciesAndCertificates(t *testing.T) {
	c := newClient(t, nil)
	doc := `{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"iot:Publish\",\"Resource\":\"` + arn + `topic/a\"}}`
	c.fails("POST", "/policies/p", `{"policyDocument":"{}"}`, "", 400, "MalformedPolicyException")
	out := c.ok("POST", "/policies/p", `{"policyDocument":"`+doc+`","tags":[{"Key":"a","Value":"b"}]}`, "")
	if out["policyVersionId"] != "1" || out["policyArn"] != arn+"policy/p" {
		t.Errorf("created %v", out)
	}
	out = c.ok("POST", "/policies/p/version?setAsDefault=true", `{"policyDocument":"`+doc+`"}`, "")
	if out["policyVersionId"] != "2" || out["isDefaultVersion"] != true {
		t.Errorf("version %v", out)
	}
	c.ok("PATCH", "/policies/p/version/1", "", "")
	c.fails("DELETE", "/policies/p/version/1", "", "", 400, "InvalidRequestException")
	c.fails("GET", "/policies/p/version/9", "", "", 404, "ResourceNotFoundException")
	if out := c.ok("GET", "/policies/p", "", ""); out["defaultVersionId"] != "1" {
		t.Errorf("policy %v", out)
	}

	cert := c.ok("POST", "/keys-and-certificate?setAsActive=true", "", "")
	id, certARN := cert["certificateId"].(string), cert["certificateArn"].(string)
	if !strings.HasPrefix(cert["keyPair"].(map[string]any)["PrivateKey"].(string), "-----BEGIN RSA PRIVATE KEY-----") {
		t.Errorf("keys %v", cert["keyPair"])
	}
	c.ok("PUT", "/target-policies/p", `{"target":"`+certARN+`"}`, "")
	if out := c.ok("POST", "/attached-policies/"+url.PathEscape(certARN), "", ""); fmt.Sprint(out["policies"]) != "[map[policyArn:"+arn+"policy/p policyName:p]]" {
		t.Errorf("attached %v", out)
	}
	if out := c.ok("POST", "/policy-targets/p", "", ""); fmt.Sprint(out["targets"]) != "["+certARN+"]" {
		t.Errorf("targets %v", out)
	}
	c.fails("DELETE", "/policies/p", "", "", 409, "DeleteConflictException")
	desc := c.ok("GET", "/certificates/"+id, "", "")["certificateDescription"].(map[string]any)
	if desc["status"] != "ACTIVE" || desc["validity"].(map[string]any)["notAfter"] != 2524607999.0 {
		t.Errorf("described %v", desc)
	}

	out = c.ok("POST", "/test-authorization?clientId=c", `{"principal":"`+certARN+`","authInfos":[
		{"actionType":"PUBLISH","resources":["`+arn+`topic/a"]},{"actionType":"PUBLISH","resources":["`+arn+`topic/a","`+arn+`topic/b"]}]}`, "")
	results := out["authResults"].([]any)
	for i, want := range []string{"ALLOWED", "IMPLICIT_DENY"} {
		if got := results[i].(map[string]any)["authDecision"]; got != want {
			t.Errorf("entry %d: %v", i, results[i])
		}
	}
	c.fails("POST", "/test-authorization", `{"authInfos":[{"actionType":"FLY","resources":["x"]}]}`, "", 400, "InvalidRequestException")

	c.fails("DELETE", "/certificates/"+id, "", "", 406, "CertificateStateException")
	c.fails("PUT", "/certificates/"+id+"?newStatus=OPEN", "", "", 400, "InvalidRequestException")
	c.ok("PUT", "/certificates/"+id+"?newStatus=REVOKED", "", "")
	c.fails("DELETE", "/certificates/"+id, "", "", 409, "DeleteConflictException")
	c.ok("DELETE", "/certificates/"+id+"?forceDelete=true", "", "")
	c.fails("POST", "/certificate/register", `{"certificatePem":"x"}`, "", 400, "CertificateValidationException")
	c.ok("DELETE", "/policies/p/version/2", "", "")
	c.ok("DELETE", "/policies/p", "", "")
}

func TestTypesGroupsAndEvents(t *testing.T) {
	c := newClient(t, nil)
	c.ok("POST", "/thing-types/T", `{"thingTypeProperties":{"thingTypeDescription":"d","searchableAttributes":["a"],
		"mqtt5Configuration":{"propagatingAttributes":[{"userPropertyKey":"k","thingAttribute":"a"}]}}}`, "")
	c.ok("POST", "/thing-types/T/deprecate", `{}`, "")
	out := c.ok("GET", "/thing-types/T", "", "")
	if p := out["thingTypeProperties"].(map[string]any); p["thingTypeDescription"] != "d" || p["mqtt5Configuration"] == nil {
		t.Errorf("type %v", out)
	}
	if m := out["thingTypeMetadata"].(map[string]any); m["deprecated"] != true || m["deprecationDate"].(float64) < 1e9 {
		t.Errorf("type %v", out)
	}
	c.fails("DELETE", "/thing-types/T", "", "", 400, "InvalidRequestException")
	c.fails("POST", "/things/x", `{"thingTypeName":"T"}`, "", 400, "InvalidRequestException")
	if out := c.ok("GET", "/thing-types?thingTypeName=U", "", ""); len(out["thingTypes"].([]any)) != 0 {
		t.Errorf("types %v", out)
	}

	c.ok("POST", "/thing-groups/g0", "", "")
	c.ok("POST", "/thing-groups/g1", `{"parentGroupName":"g0","thingGroupProperties":{"attributePayload":{"attributes":{"x":"y"}},"thingGroupDescription":"d"}}`, "")
	if out := c.ok("PATCH", "/thing-groups/g1", `{"thingGroupProperties":{"attributePayload":{"attributes":{"z":"1"},"merge":true}},"expectedVersion":1}`, ""); out["version"] != 2.0 {
		t.Errorf("updated %v", out)
	}
	c.fails("PATCH", "/thing-groups/g1", `{}`, "", 400, "InvalidRequestException")
	out = c.ok("GET", "/thing-groups/g1", "", "")
	if fmt.Sprint(out["thingGroupMetadata"].(map[string]any)["rootToParentThingGroups"]) != "[map[groupArn:"+arn+"thinggroup/g0 groupName:g0]]" ||
		fmt.Sprint(out["thingGroupProperties"]) != "map[attributePayload:map[attributes:map[x:y z:1] merge:false] thingGroupDescription:d]" {
		t.Errorf("group %v", out)
	}
	c.ok("POST", "/things/t", "", "")
	c.ok("PUT", "/thing-groups/addThingToThingGroup", `{"thingGroupName":"g1","thingArn":"`+arn+`thing/t"}`, "")
	c.fails("PUT", "/thing-groups/addThingToThingGroup", `{"thingGroupName":"g1"}`, "", 400, "InvalidRequestException")
	if out := c.ok("GET", "/thing-groups/g0/things?recursive=true", "", ""); fmt.Sprint(out["things"]) != "[t]" {
		t.Errorf("members %v", out)
	}
	if out := c.ok("GET", "/things/t/thing-groups", "", ""); fmt.Sprint(out["thingGroups"]) != "[map[groupArn:"+arn+"thinggroup/g1 groupName:g1]]" {
		t.Errorf("groups %v", out)
	}
	for query, want := range map[string]int{"": 2, "?recursive=false": 1, "?parentGroup=g0": 1, "?namePrefixFilter=g1": 1} {
		if out := c.ok("GET", "/thing-groups"+query, "", ""); len(out["thingGroups"].([]any)) != want {
			t.Errorf("groups %s: %v", query, out)
		}
	}
	c.fails("GET", "/thing-groups?parentGroup=nobody", "", "", 404, "ResourceNotFoundException")
	c.fails("DELETE", "/thing-groups/g0", "", "", 400, "InvalidRequestException")
	c.ok("PUT", "/thing-groups/updateThingGroupsForThing", `{"thingName":"t","thingGroupsToRemove":["g1"],"thingGroupsToAdd":["g0"]}`, "")
	c.ok("DELETE", "/thing-groups/g1", "", "")

	c.ok("PATCH", "/event-configurations", `{"eventConfigurations":{"THING":{"Enabled":true}}}`, "")
	out = c.ok("GET", "/event-configurations", "", "")["eventConfigurations"].(map[string]any)
	if fmt.Sprint(out["THING"], out["JOB"]) != "map[Enabled:true] map[Enabled:false]" {
		t.Errorf("events %v", out)
	}
	c.fails("PATCH", "/event-configurations", `{"eventConfigurations":{"X":{"Enabled":true}}}`, "", 400, "InvalidRequestException")
}
