package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
)

// Tags by the unmodified SDK: whatever has them keeps those it was made with, over a restart, and takes them along when it
// is deleted.
func TestTagsOfEverything(t *testing.T) {
	p := start(t)
	a := p.sdk()
	const (
		arn  = "arn:aws:iot:us-east-1:123456789012:"
		tags = `"tags":[{"Key":"owner","Value":"ann"}]`
	)
	f := newFactory(t, "maker")
	a.ok(``, "CreateThing", `{"thingName":"t"}`)
	a.ok(``, "UpdateIndexingConfiguration", `{"thingIndexingConfiguration":{"thingIndexingMode":"REGISTRY"}}`)
	resources := []struct{ kind, create, input, remove, named string }{
		{"thinggroup/g", "CreateThingGroup", `{"thingGroupName":"g",TAGS}`, "DeleteThingGroup", `{"thingGroupName":"g"}`},
		{"thinggroup/d", "CreateDynamicThingGroup", `{"thingGroupName":"d","queryString":"thingName:t",TAGS}`, "DeleteDynamicThingGroup", `{"thingGroupName":"d"}`},
		{"thingtype/y", "CreateThingType", `{"thingTypeName":"y",TAGS}`, "", ""}, // is not deleted within five minutes
		{"billinggroup/b", "CreateBillingGroup", `{"billingGroupName":"b",TAGS}`, "DeleteBillingGroup", `{"billingGroupName":"b"}`},
		{"policy/p", "CreatePolicy", `{"policyName":"p","policyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"iot:*\",\"Resource\":\"*\"}}",TAGS}`, "DeletePolicy", `{"policyName":"p"}`},
		{"cacert/CA", "RegisterCACertificate", `{"caCertificate":` + quoted(f.text) + `,"certificateMode":"SNI_ONLY",TAGS}`, "DeleteCACertificate", `{"certificateId":"CA"}`},
		{"authorizer/a", "CreateAuthorizer", `{"authorizerName":"a","authorizerFunctionArn":"arn:f","signingDisabled":true,TAGS}`, "DeleteAuthorizer", `{"authorizerName":"a"}`},
		{"rolealias/r", "CreateRoleAlias", `{"roleAlias":"r","roleArn":"arn:aws:iam::123456789012:role/x",TAGS}`, "DeleteRoleAlias", `{"roleAlias":"r"}`},
		{"provisioningtemplate/pt", "CreateProvisioningTemplate", `{"templateName":"pt","enabled":true,"provisioningRoleArn":"arn:aws:iam::123456789012:role/x","templateBody":"{\"Resources\":{\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":\"y\"}}}}",TAGS}`, "DeleteProvisioningTemplate", `{"templateName":"pt"}`},
		{"rule/ru", "CreateTopicRule", `{"ruleName":"ru","topicRulePayload":{"sql":"SELECT * FROM 'x'","actions":[{"republish":{"topic":"y","roleArn":"arn:aws:iam::123456789012:role/x"}}]},"tags":"owner=ann"}`, "DeleteTopicRule", `{"ruleName":"ru"}`},
		{"job/j", "CreateJob", `{"jobId":"j","document":"{}","targets":["` + arn + `thing/t"],TAGS}`, "DeleteJob", `{"jobId":"j","force":true}`},
		{"jobtemplate/jt", "CreateJobTemplate", `{"jobTemplateId":"jt","description":"x","document":"{}",TAGS}`, "DeleteJobTemplate", `{"jobTemplateId":"jt"}`},
		{"securityprofile/s", "CreateSecurityProfile", `{"securityProfileName":"s",TAGS}`, "DeleteSecurityProfile", `{"securityProfileName":"s"}`},
		{"custommetric/m", "CreateCustomMetric", `{"metricName":"m","metricType":"number","clientRequestToken":"1",TAGS}`, "DeleteCustomMetric", `{"metricName":"m"}`},
		{"dimension/di", "CreateDimension", `{"name":"di","type":"TOPIC_FILTER","stringValues":["a/#"],"clientRequestToken":"1",TAGS}`, "DeleteDimension", `{"name":"di"}`},
		{"scheduledaudit/sa", "CreateScheduledAudit", `{"scheduledAuditName":"sa","frequency":"DAILY","targetCheckNames":["CA_CERTIFICATE_EXPIRING_CHECK"],TAGS}`, "DeleteScheduledAudit", `{"scheduledAuditName":"sa"}`},
	}
	sum := sha256.Sum256(f.cert.Raw)
	id := hex.EncodeToString(sum[:])
	named := func(s string) string { return strings.ReplaceAll(s, `CA"`, id+`"`) }
	with := func(resource, more string) string { return `{"resourceArn":"` + arn + named(resource+`"`) + more + `}` }
	a.ok(``, "UpdateAccountAuditConfiguration", `{"roleArn":"arn:aws:iam::123456789012:role/x","auditCheckConfigurations":{"CA_CERTIFICATE_EXPIRING_CHECK":{"enabled":true}}}`)
	for _, r := range resources {
		a.refused("ResourceNotFoundException", "TagResource", with(r.kind, `,`+tags))
		a.ok(``, r.create, strings.Replace(r.input, "TAGS", tags, 1))
		a.ok(`"tags":[{"Key":"owner","Value":"ann"}]`, "ListTagsForResource", with(r.kind, ""))
		a.ok(``, "TagResource", with(r.kind, `,"tags":[{"Key":"site","Value":"berlin"},{"Key":"gone","Value":""}]`))
		a.ok(``, "UntagResource", with(r.kind, `,"tagKeys":["gone"]`))
		a.refused("InvalidRequestException", "TagResource", with(r.kind, `,"tags":[{"Key":"aws:x","Value":""}]`))
	}
	a.ok(``, "ReplaceTopicRule", `{"ruleName":"ru","topicRulePayload":{"sql":"SELECT 1 AS x FROM 'x'","actions":[]}}`)
	p.kill()
	p.run()
	for _, r := range resources {
		a.ok(`"tags":[{"Key":"owner","Value":"ann"},{"Key":"site","Value":"berlin"}]`, "ListTagsForResource", with(r.kind, ""))
		if r.remove == "" {
			continue
		}
		a.ok(``, r.remove, named(r.named))
		p.eventually("gone: "+r.kind, func() error {
			if out := a.send("ListTagsForResource", with(r.kind, "")); out.Error != "ResourceNotFoundException" {
				return fmt.Errorf("%+v", out)
			}
			return nil
		})
		a.ok(``, r.create, strings.Replace(strings.Replace(r.input, ",TAGS", "", 1), `,"tags":"owner=ann"`, "", 1))
		a.ok(`"tags":[]`, "ListTagsForResource", with(r.kind, ""))
	}
	var many []string
	for i := range 51 {
		many = append(many, fmt.Sprintf(`{"Key":"k%d","Value":""}`, i))
	}
	a.refused("InvalidRequestException", "TagResource", with("policy/p", `,"tags":[`+strings.Join(many, ",")+`]`))
	a.ok(``, "TagResource", with("policy/p", `,"tags":[`+strings.Join(many[:50], ",")+`]`))
	a.refused("LimitExceededException", "TagResource", with("policy/p", `,"tags":[{"Key":"x","Value":""}]`))
	a.refused("InvalidRequestException", "TagResource", with("thing/t", `,`+tags))

	// The same by the CLI.
	c := p.aws()
	c.ok(`{"Key":"k0","Value":""}`, "iot", "list-tags-for-resource", "--resource-arn", arn+"policy/p")
	c.ok(``, "iot", "tag-resource", "--resource-arn", arn+"billinggroup/b", "--tags", "Key=cost centre,Value=7")
	c.ok(`"tags":[{"Key":"costcentre","Value":"7"}]`, "iot", "list-tags-for-resource", "--resource-arn", arn+"billinggroup/b")
}

// A client without a certificate is let in by a custom authorizer of the control plane, over the port and with the ALPN
// name that AWS has for it, and may do what the authorizer's policies say.
func TestCustomAuthorizers(t *testing.T) {
	p := start(t)
	a := p.sdk()
	const function = `"authorizerFunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:check-user"`
	a.ok(`"authorizerName":"users"`, "CreateAuthorizer", `{"authorizerName":"users",`+function+`,"signingDisabled":true,"status":"ACTIVE"}`)
	a.ok(``, "CreateAuthorizer", `{"authorizerName":"nobody","authorizerFunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:none","signingDisabled":true,"status":"ACTIVE"}`)
	sum := sha256.Sum256([]byte("secret"))
	if status, answer := p.curl("PUT", "/tables/users/ann", `{"password":"`+hex.EncodeToString(sum[:])+`"}`); status/100 != 2 {
		t.Fatalf("%d %s", status, answer)
	}
	a.ok(`"isAuthenticated":true,"principalId":"ann"`, "TestInvokeAuthorizer", `{"authorizerName":"users","mqttContext":{"username":"ann","clientId":"c","password":"secret"}}`)
	a.ok(`"isAuthenticated":false`, "TestInvokeAuthorizer", `{"authorizerName":"users","mqttContext":{"username":"ann","clientId":"c","password":"other"}}`)
	a.refused("InvalidResponseException", "TestInvokeAuthorizer", `{"authorizerName":"nobody","mqttContext":{"username":"ann","clientId":"c"}}`)

	d := p.device("watch") // for the CA
	pub := func(user, password, topic string) error {
		cmd := exec.CommandContext(t.Context(), foreign.Need(t, "mosquitto_pub"), "-h", "localhost", "-p", p.https, "--cafile", d.ca, "--tls-alpn", "mqtt",
			"-V", "mqttv5", "-i", "c-"+user[:3], "-u", user, "-P", password, "-q", "1", "-t", topic, "-m", "{}")
		out, err := cmd.CombinedOutput()
		if err == nil && strings.Contains(string(out), "Warning") {
			err = errors.New(string(out))
		}
		return err
	}
	const chosen = "?x-amz-customauthorizer-name=users"
	seen := p.sub(p.local(), "users/#")
	if err := pub("ann"+chosen, "secret", "users/ann/x"); err != nil {
		t.Fatal(err)
	}
	if got := next(t, seen); got != "users/ann/x {}" {
		t.Errorf("got %q", got)
	}
	refused := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("let through: %s", what)
		}
	}
	refused("a wrong password", pub("ann"+chosen, "other", "users/ann/x"))
	refused("another user's topic", pub("ann"+chosen, "secret", "users/bob/x"))
	refused("an unknown authorizer", pub("ann?x-amz-customauthorizer-name=none", "secret", "users/ann/x"))
	refused("an authorizer without a function", pub("ann?x-amz-customauthorizer-name=nobody", "secret", "users/ann/x"))
	refused("no authorizer and no certificate", pub("ann", "secret", "users/ann/x"))
	a.ok(``, "SetDefaultAuthorizer", `{"authorizerName":"users"}`)
	if err := pub("ann", "secret", "users/ann/y"); err != nil {
		t.Errorf("by the default: %v", err)
	}
	if got := next(t, seen); got != "users/ann/y {}" {
		t.Errorf("got %q", got)
	}
	d.mustPub("sensors/watch/climate", "{}") // who has a certificate is not asked
	a.ok(``, "ClearDefaultAuthorizer", "")
	a.ok(``, "UpdateAuthorizer", `{"authorizerName":"users","status":"INACTIVE"}`)
	refused("an inactive authorizer", pub("ann"+chosen, "secret", "users/ann/x"))
	a.ok(``, "DeleteAuthorizer", `{"authorizerName":"users"}`)
}
