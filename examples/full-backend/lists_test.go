package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Every list operation refuses sizes that no page has and tokens that nobody
// gave out, as the service does.
func TestEveryListRefusesOddPages(t *testing.T) {
	all := operations(t)
	p := start(t)
	a := p.sdk()
	for _, create := range [][2]string{
		{"CreateThing", `{"thingName":"x"}`}, {"CreateThingGroup", `{"thingGroupName":"x"}`}, {"CreateBillingGroup", `{"billingGroupName":"x"}`},
		{"CreatePolicy", `{"policyName":"x","policyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"iot:*\",\"Resource\":\"*\"}}"}`},
		{"CreateJob", `{"jobId":"x","document":"{}","targets":["arn:aws:iot:us-east-1:123456789012:thing/x"]}`},
		{"CreateProvisioningTemplate", `{"templateName":"x","enabled":true,"provisioningRoleArn":"arn:aws:iam::123456789012:role/x","templateBody":"{\"Resources\":{\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":\"y\"}}}}"}`},
		{"CreateSecurityProfile", `{"securityProfileName":"x"}`},
	} {
		a.ok(``, create[0], create[1])
	}
	// What is to be named beside the page.
	more := map[string]url.Values{
		"ListPrincipalThings": {}, "ListSecurityProfilesForTarget": {"securityProfileTargetArn": {"arn:aws:iot:us-east-1:123456789012:all/things"}},
		"ListAuditTasks":                   {"startTime": {"2026-01-01T00:00:00Z"}, "endTime": {"2026-01-02T00:00:00Z"}},
		"ListViolationEvents":              {"startTime": {"2026-01-01T00:00:00Z"}, "endTime": {"2026-01-02T00:00:00Z"}},
		"ListMetricValues":                 {"thingName": {"x"}, "metricName": {"aws:num-messages-sent"}, "startTime": {"2026-01-01T00:00:00Z"}, "endTime": {"2026-01-02T00:00:00Z"}},
		"ListTagsForResource":              {"resourceArn": {"arn:aws:iot:us-east-1:123456789012:policy/x"}},
		"ListThingRegistrationTaskReports": {"reportType": {"ERRORS"}},
	}
	skipped := map[string]string{
		"ListCertificatesByCA":             "x is no CA: its pages are those of ListCertificates",
		"ListThingRegistrationTaskReports": "x is no task, and its one link has no pages",
		"ListSubscriptions":                "x is no client: tested in brokerhttp",
	}
	answered, asked := served(), 0
	for _, op := range all {
		if !strings.HasPrefix(op.Name, "List") || answered[op.Service][op.Name] == "" || skipped[op.Name] != "" {
			continue
		}
		for _, name := range op.Query {
			odd := []string{"0", "-1", "many", "1000000", "9223372036854775808"}
			switch name {
			case "nextToken", "marker":
				odd = []string{"!", "AAAA", "YWJjZGVmZ2hpamtsbW5v", strings.Repeat("A", 4000)}
			case "maxResults", "pageSize":
			case "status", "targetSelection", "thingPrincipalType", "ruleDisabled", "isAscendingOrder", "recursive", "usePrefixAttributeValue":
				odd = []string{"FINE"}
			default:
				continue
			}
			for _, value := range odd {
				query := url.Values{name: {value}}
				for k, v := range more[op.Name] {
					query[k] = v
				}
				r, err := http.NewRequestWithContext(t.Context(), op.Method, p.http+op.URI+"?"+query.Encode(), nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+p.token())
				for _, h := range []string{"x-amzn-principal", "x-amzn-iot-principal", "x-amzn-iot-policy"} {
					r.Header.Set(h, "x")
				}
				w, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(w.Body)
				w.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				asked++
				if w.Header.Get("x-amzn-RequestId") == "" {
					t.Errorf("%s: the answer names no request", op.Name)
				}
				if got := w.Header.Get("x-amzn-ErrorType"); w.StatusCode != http.StatusBadRequest || got != "InvalidRequestException" || !strings.Contains(string(text), name) {
					t.Errorf("%s with %s=%.20s: %d %s %s", op.Name, name, value, w.StatusCode, got, text)
				}
			}
		}
	}
	if asked < 300 {
		t.Errorf("asked %d times only", asked)
	}
}
