package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
)

// A registration task makes the things of a file, also over a crash, and
// reports what it could not make. A billing group labels what it made.
func TestRegistrationTask(t *testing.T) {
	p := start(t)
	a := p.sdk()
	a.ok(`"billingGroupArn":"arn:aws:iot:us-east-1:123456789012:billinggroup/north"`, "CreateBillingGroup", `{"billingGroupName":"north","billingGroupProperties":{"billingGroupDescription":"d"}}`)
	a.refused("ResourceAlreadyExistsException", "CreateBillingGroup", `{"billingGroupName":"north"}`)
	const lines = 300
	file := filepath.Join(p.data, "imports", "lamps", "2026", "things.jsonl")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for i := range lines {
		fmt.Fprintf(&text, "{\"n\":\"lamp-%d\"}\n", i)
	}
	text.WriteString("{\"n\":\"lamp x\"}\n")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	const body = `{\"Parameters\":{\"n\":{\"Type\":\"String\"}},\"Resources\":{\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":{\"Ref\":\"n\"},\"BillingGroup\":\"north\"}}}}`
	begin := func(key string) string {
		t.Helper()
		var made struct{ TaskID string }
		answer := a.ok(`"taskId"`, "StartThingRegistrationTask", `{"templateBody":"`+body+`","inputFileBucket":"lamps","inputFileKey":"`+key+`","roleArn":"arn:aws:iam::123456789012:role/x"}`)
		if err := json.Unmarshal(answer, &made); err != nil {
			t.Fatal(err)
		}
		return made.TaskID
	}
	state := func(id, want string) {
		t.Helper()
		p.eventually("task is "+want, func() error {
			if out := a.send("DescribeThingRegistrationTask", `{"taskId":"`+id+`"}`); !strings.Contains(string(out.Output), want) {
				return errors.New(string(out.Output) + out.Message)
			}
			return nil
		})
	}
	id := begin("2026/things.jsonl")
	p.kill()
	p.run()
	state(id, fmt.Sprintf(`"status":"Completed","successCount":%d,"failureCount":1,"percentageProgress":100`, lines))
	a.ok(`"`+id+`"`, "ListThingRegistrationTasks", `{"status":"Completed"}`)
	var reports struct{ ResourceLinks []string }
	if err := json.Unmarshal(a.ok(`"reportType":"ERRORS"`, "ListThingRegistrationTaskReports", `{"taskId":"`+id+`","reportType":"ERRORS"}`), &reports); err != nil || len(reports.ResourceLinks) != 1 {
		t.Fatalf("%v, %v", reports, err)
	}
	if _, report := p.curl("GET", strings.TrimPrefix(reports.ResourceLinks[0], p.http), ""); !strings.HasPrefix(report, fmt.Sprintf(`{"lineNumber":%d,"errorMessage":"registry: thingName`, lines+1)) || strings.Count(report, "\n") != 1 {
		t.Errorf("the report is %s", report)
	}
	state(begin("../../admin-token"), `"status":"Failed"`)
	a.refused("InvalidRequestException", "StopThingRegistrationTask", `{"taskId":"`+id+`"}`)
	a.refused("ResourceNotFoundException", "DescribeThingRegistrationTask", `{"taskId":"none"}`)

	a.ok(`"billingGroupName":"north"`, "DescribeThing", `{"thingName":"lamp-299"}`)
	a.ok(`"things":["lamp-0","lamp-1"],"nextToken"`, "ListThingsInBillingGroup", `{"billingGroupName":"north","maxResults":2}`)
	a.refused("InvalidRequestException", "DeleteBillingGroup", `{"billingGroupName":"north"}`)
	a.ok(``, "CreateBillingGroup", `{"billingGroupName":"south"}`)
	a.ok(``, "AddThingToBillingGroup", `{"billingGroupName":"south","thingName":"lamp-0"}`)
	a.ok(`["lamp-0"]`, "ListThingsInBillingGroup", `{"billingGroupName":"south"}`)
	a.ok(``, "RemoveThingFromBillingGroup", `{"billingGroupName":"south","thingName":"lamp-0"}`)
	a.ok(`"version":2`, "UpdateBillingGroup", `{"billingGroupName":"south","billingGroupProperties":{"billingGroupDescription":"e"},"expectedVersion":1}`)
	a.ok(`"billingGroupDescription":"e"`, "DescribeBillingGroup", `{"billingGroupName":"south"}`)
	a.ok(`"groupName":"south"`, "ListBillingGroups", `{"namePrefixFilter":"s"}`)
	a.ok(``, "DeleteBillingGroup", `{"billingGroupName":"south","expectedVersion":2}`)
	a.refused("ResourceNotFoundException", "DescribeBillingGroup", `{"billingGroupName":"south"}`)
}

// What a type propagates is on each message of its things, for rules and for
// subscribers of MQTT 5.
func TestPropagatingAttributes(t *testing.T) {
	p := start(t)
	a := p.sdk()
	d := p.device("lamp")
	a.ok(``, "CreateThingType", `{"thingTypeName":"t","thingTypeProperties":{"mqtt5Configuration":{"propagatingAttributes":[
		{"userPropertyKey":"where","thingAttribute":"site"},{"userPropertyKey":"who","connectionAttribute":"iot:Thing.ThingName"}]}}}`)
	a.ok(``, "UpdateThing", `{"thingName":"lamp","thingTypeName":"t","attributePayload":{"attributes":{"site":"berlin"}}}`)
	a.ok(``, "CreateTopicRule", `{"ruleName":"where","topicRulePayload":{"sql":"SELECT get_user_properties('where') AS w, get_user_properties('who') AS v, get_user_properties('own') AS o FROM 'sensors/+/x'",
		"actions":[{"republish":{"topic":"devices/lamp/config","qos":1,"roleArn":"arn:aws:iam::123456789012:role/x"}}]}}`)
	got := d.sub("devices/lamp/config")
	if out, err := d.pub("sensors/lamp/x", "{}", "-V", "5", "-D", "publish", "user-property", "own", "o"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if line := next(t, got); line != `devices/lamp/config {"w":["berlin"],"v":["lamp"],"o":["o"]}` && line != `devices/lamp/config {"w":"berlin","v":"lamp","o":"o"}` {
		t.Errorf("the rule saw %s", line)
	}
	if out, err := d.pub("sensors/lamp/x", "{}", "-r"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), foreign.Need(t, "mosquitto_sub"), append(d.flags(), "-V", "5", "-t", "sensors/lamp/x", "-C", "1", "-F", "%P")...).CombinedOutput()
	if strings.TrimSpace(string(out)) != "where:berlin who:lamp" {
		t.Errorf("the subscriber saw %s, %v", out, err)
	}
}
