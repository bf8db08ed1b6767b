package rules

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An ErrorDocument is the Output of a Firing for an error action, as JSON: one
// for each rule and message, whatever the number of failures.
//
//	{"ruleName": "hot", "topic": "sensors/s1", "cloudwatchTraceId": "0b1c...", "clientId": "s1",
//	 "base64OriginalPayload": "eyJ0IjozMX0=",
//	 "failures": [{"failedAction": "HttpAction", "failedResource": "https://example.com/",
//	               "errorMessage": "503 Service Unavailable"}]}
type ErrorDocument struct {
	RuleName string `json:"ruleName"`
	Topic    string `json:"topic"` // of the message, as it was published

	TraceID  string `json:"cloudwatchTraceId"`  // Firing.Trace
	ClientID string `json:"clientId"`           // "n/a" if the message did not come over MQTT
	SourceIP string `json:"sourceIp,omitempty"` // absent if unknown

	// OriginalPayload is the payload of the message, byte for byte.
	OriginalPayload []byte `json:"base64OriginalPayload"`

	Failures []ErrorFailure `json:"failures"` // in the order of the rule's actions
}

// An ErrorFailure is one failed action in an [ErrorDocument].
type ErrorFailure struct {
	// Action is the name of the action in CamelCase and "Action": S3Action,
	// HttpAction, and DynamoAction for dynamoDB, as AWS has it.
	Action   string `json:"failedAction"`
	Resource string `json:"failedResource"` // as Action explains; may be empty
	Message  string `json:"errorMessage"`
}

// document is the error document about f.
func (f *flight) document(m *Message) []byte {
	d := ErrorDocument{RuleName: f.en.rule.Name, Topic: m.Topic, TraceID: f.l.trace, ClientID: m.ClientID,
		SourceIP: m.SourceIP, OriginalPayload: m.Payload}
	d.ClientID = cmp.Or(d.ClientID, "n/a")
	if d.OriginalPayload == nil {
		d.OriginalPayload = []byte{} // "", not null
	}
	for _, failed := range f.failures() {
		d.Failures = append(d.Failures, ErrorFailure{Action: failedAction(f.en.actionType(failed.action)),
			Resource: failed.resource, Message: failed.err.Error()})
	}
	out, err := encode(d)
	if err != nil { // strings and bytes always encode
		panic("rules: " + err.Error())
	}
	return out
}

// failedAction is the name of an action as error documents have it.
func failedAction(name string) string {
	if name == "dynamoDB" {
		return "DynamoAction"
	}
	first, size := utf8.DecodeRuneInString(name)
	if size == 0 {
		return "Action"
	}
	return strings.TrimSuffix(string(unicode.ToUpper(first))+name[size:], "Action") + "Action"
}
