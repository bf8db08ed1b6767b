package registryhttp

import (
	"fmt"
	"testing"
)

func TestBillingGroups(t *testing.T) {
	c := newClient(t, nil)
	made := c.ok("POST", "/billing-groups/north", `{"billingGroupProperties":{"billingGroupDescription":"d"}}`, "")
	if made["billingGroupName"] != "north" || made["billingGroupArn"] != arn+"billinggroup/north" || made["billingGroupId"] == "" {
		t.Errorf("made %v", made)
	}
	c.fails("POST", "/billing-groups/north", "", "", 409, "ResourceAlreadyExistsException")
	c.fails("POST", "/billing-groups/a%20b", "", "", 400, "InvalidRequestException")
	c.ok("POST", "/billing-groups/south", "", "")
	out := c.ok("GET", "/billing-groups/north", "", "")
	if fmt.Sprint(out["billingGroupProperties"]) != "map[billingGroupDescription:d]" || out["version"] != 1.0 || out["billingGroupId"] != made["billingGroupId"] {
		t.Errorf("described %v", out)
	}
	if meta, ok := out["billingGroupMetadata"].(map[string]any); !ok || meta["creationDate"].(float64) < 1e9 {
		t.Errorf("metadata %v", out["billingGroupMetadata"])
	}
	c.fails("GET", "/billing-groups/none", "", "", 404, "ResourceNotFoundException")
	c.fails("PATCH", "/billing-groups/north", `{}`, "", 400, "InvalidRequestException")
	c.fails("PATCH", "/billing-groups/north", `{"billingGroupProperties":{},"expectedVersion":2}`, "", 409, "VersionConflictException")
	c.fails("PATCH", "/billing-groups/none", `{"billingGroupProperties":{}}`, "", 404, "ResourceNotFoundException")
	if out := c.ok("PATCH", "/billing-groups/north", `{"billingGroupProperties":{"billingGroupDescription":"e"},"expectedVersion":1}`, ""); out["version"] != 2.0 {
		t.Errorf("updated %v", out)
	}
	page := c.ok("GET", "/billing-groups?maxResults=1", "", "")
	rest := c.ok("GET", "/billing-groups?nextToken="+page["nextToken"].(string), "", "")
	ref := func(name string) string {
		return "[map[groupArn:" + arn + "billinggroup/" + name + " groupName:" + name + "]]"
	}
	if got := fmt.Sprint(page["billingGroups"]) + fmt.Sprint(rest["billingGroups"]); got != ref("north")+ref("south") {
		t.Errorf("listed %s", got)
	}
	if out := c.ok("GET", "/billing-groups?namePrefixFilter=s", "", ""); fmt.Sprint(out["billingGroups"]) != ref("south") {
		t.Errorf("with a prefix %v", out)
	}

	c.ok("POST", "/things/a", "", "")
	c.fails("PUT", "/billing-groups/addThingToBillingGroup", `{"thingName":"a","billingGroupName":"none"}`, "", 404, "ResourceNotFoundException")
	c.fails("PUT", "/billing-groups/addThingToBillingGroup", `{"thingName":"a"}`, "", 400, "InvalidRequestException")
	c.fails("PUT", "/billing-groups/addThingToBillingGroup", `{"thingName":"a","billingGroupArn":"arn:x"}`, "", 400, "InvalidRequestException")
	c.ok("PUT", "/billing-groups/addThingToBillingGroup", `{"thingArn":"`+arn+`thing/a","billingGroupArn":"`+arn+`billinggroup/north"}`, "")
	if out := c.ok("GET", "/billing-groups/north/things", "", ""); fmt.Sprint(out["things"]) != "[a]" {
		t.Errorf("things %v", out)
	}
	if out := c.ok("GET", "/things/a", "", ""); out["billingGroupName"] != "north" {
		t.Errorf("the thing %v", out)
	}
	c.fails("GET", "/billing-groups/none/things", "", "", 404, "ResourceNotFoundException")
	c.fails("DELETE", "/billing-groups/north", "", "", 400, "InvalidRequestException")
	c.ok("PUT", "/billing-groups/removeThingFromBillingGroup", `{"thingName":"a","billingGroupName":"north"}`, "")
	c.fails("DELETE", "/billing-groups/north?expectedVersion=1", "", "", 409, "VersionConflictException")
	c.ok("DELETE", "/billing-groups/north?expectedVersion=2", "", "")
	c.ok("DELETE", "/billing-groups/north", "", "")
}
