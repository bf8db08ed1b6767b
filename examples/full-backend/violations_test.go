package main

import (
	"errors"
	"strings"
	"testing"
)

// What a device does that is not normal is found by the next search, also after
// the index was built anew and after a crash, until it is over.
func TestViolationsAreIndexed(t *testing.T) {
	p := start(t)
	a := p.sdk()
	d := p.device("noisy")
	const all, defender = `{"thingIndexingMode":"REGISTRY","deviceDefenderIndexingMode":"VIOLATIONS"}`, "arn:aws:iot:us-east-1:123456789012:all/registered-things"
	a.indexing(p, all)
	behavior := func(name string) string {
		return `{"name":"` + name + `","metric":"aws:num-listening-udp-ports","criteria":{"comparisonOperator":"less-than","value":{"count":2}}}`
	}
	a.ok(`"quiet"`, "CreateSecurityProfile", `{"securityProfileName":"quiet","behaviors":[`+behavior("few")+`,`+behavior("also")+`]}`)
	a.ok(``, "AttachSecurityProfile", `{"securityProfileName":"quiet","securityProfileTargetArn":"`+defender+`"}`)
	found := func(want, query string) {
		t.Helper()
		a.ok(want, "SearchIndex", `{"queryString":"`+query+`"}`)
	}
	found(`"things":[]`, "deviceDefender.violationCount>0")

	got := d.sub("$aws/things/noisy/defender/metrics/json/accepted")
	d.mustPub("$aws/things/noisy/defender/metrics/json", `{"header":{"report_id":1,"version":"1.0"},"metrics":{"listening_udp_ports":{"total":7}}}`)
	if line := next(t, got); !strings.Contains(line, `"status":"ACCEPTED"`) {
		t.Fatalf("the device got %s", line)
	}
	found(`"thingName":"noisy"`, "deviceDefender.quiet.few.inViolation:true AND deviceDefender.violationCount:2")
	found(`\"lastViolationValue\":{\"count\":7}`, "deviceDefender.quiet.also.lastViolationValue.count>6")

	a.indexing(p, `{"thingIndexingMode":"REGISTRY"}`)
	found(`"things":[]`, "deviceDefender.quiet.few.inViolation:true")
	a.indexing(p, all)
	found(`"thingName":"noisy"`, "deviceDefender.quiet.few.inViolation:true")

	p.kill()
	p.run()
	p.eventually("found after a crash", func() error {
		if out := a.send("SearchIndex", `{"queryString":"deviceDefender.quiet.few.inViolation:true"}`); !strings.Contains(string(out.Output), `"noisy"`) {
			return errors.New(string(out.Output) + out.Message)
		}
		return nil
	})
	a.ok(``, "UpdateSecurityProfile", `{"securityProfileName":"quiet","behaviors":[`+behavior("few")+`]}`)
	found(`"thingName":"noisy"`, "deviceDefender.violationCount:1")
	a.ok(``, "DeleteSecurityProfile", `{"securityProfileName":"quiet"}`)
	found(`"things":[]`, "deviceDefender.violationCount>0")
}
