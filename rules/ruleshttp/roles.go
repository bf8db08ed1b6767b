package ruleshttp

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/thingloom/thingloom/rules"
)

// withRole are the actions of AWS IoT that it wants a roleArn of: all but
// http, kafka, lambda and salesforce.
var withRole = []string{
	"cloudwatchAlarm", "cloudwatchLogs", "cloudwatchMetric", "dynamoDB", "dynamoDBv2", "elasticsearch", "firehose", "influxDB",
	"iotAnalytics", "iotEvents", "iotSiteWise", "kinesis", "location", "openSearch", "republish", "s3", "sns", "sqs",
	"stepFunctions", "timestream",
}

// checkRoles refuses actions that lack the role that AWS IoT wants.
func checkRoles(r rules.Rule) error {
	check := func(field string, s rules.ActionSpec) error {
		if !slices.Contains(withRole, s.Type) {
			return nil
		}
		var params struct{ RoleARN *json.RawMessage }
		// What is no object is the engine's to refuse.
		if err := json.Unmarshal(s.Params, &params); err == nil && params.RoleARN == nil {
			return &rules.RuleError{Rule: r.Name, Field: field, Err: fmt.Errorf("%s: roleArn is required, and missing", s.Type)}
		}
		return nil
	}
	for i, s := range r.Actions {
		if err := check(fmt.Sprintf("actions[%d]", i), s); err != nil {
			return err
		}
	}
	if r.ErrorAction != nil {
		return check("errorAction", *r.ErrorAction)
	}
	return nil
}
