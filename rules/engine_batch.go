package rules

import (
	"cmp"
	"errors"
	"slices"
)

// A BatchErrorDocument is the Output of a Firing for an error action about
// several messages of one rule whose deliveries failed together, see [DoneAll].
//
//	{"ruleName": "hot", "topic": "sensors/s1",
//	 "payloadsWithMetadata": [{"id": 1, "cloudwatchTraceId": "0b1c...", "clientId": "s1",
//	                           "base64OriginalPayload": "eyJ0IjozMX0="}],
//	 "failures": [{"affectedIds": [1], "failedAction": "HttpAction",
//	               "failedResource": "https://example.com/", "errorMessage": "503 Service Unavailable"}]}
type BatchErrorDocument struct {
	RuleName string         `json:"ruleName"`
	Topic    string         `json:"topic,omitempty"` // absent if the messages have several
	Payloads []BatchPayload `json:"payloadsWithMetadata"`
	Failures []BatchFailure `json:"failures"`
}

// A BatchPayload is one message in a [BatchErrorDocument].
type BatchPayload struct {
	ID       int    `json:"id"`              // from 1
	Topic    string `json:"topic,omitempty"` // if the messages have several
	TraceID  string `json:"cloudwatchTraceId"`
	ClientID string `json:"clientId"`
	SourceIP string `json:"sourceIp,omitempty"`

	OriginalPayload []byte `json:"base64OriginalPayload"`
}

// A BatchFailure is a failure in a [BatchErrorDocument], and the BatchPayloads
// that it concerns.
type BatchFailure struct {
	AffectedIDs []int `json:"affectedIds"`
	ErrorFailure
}

// DoneAll reports one outcome for deliveries that an action has made as one
// batch and for each of which Invoke returned, or is about to return,
// [ErrPending]. It does what Firing.Done does for each, but where several
// messages of one rule come to their end by it and have failed, the error
// action runs once for all, with a [BatchErrorDocument]. Each message counts
// for itself in the [Ledger].
func DoneAll(all []Firing, err error) {
	if err == nil {
		for _, f := range all {
			f.Done(nil)
		}
		return
	}
	var order []*entry
	failed := map[*entry][]batched{}
	for _, f := range all {
		if f.flight == nil || f.Action == ErrorAction {
			f.Done(err)
			continue
		}
		en := f.flight.entry(f.gen)
		if en == nil || !f.flight.note(f.gen, f.Action, &failure{action: f.Action, err: err, resource: resource(err, en.action(f.Action))}) {
			continue
		}
		if en.onError == nil {
			_ = f.flight.end(f.flight.l.later(), f.Message)
			continue
		}
		if failed[en] == nil {
			order = append(order, en)
		}
		failed[en] = append(failed[en], batched{f.flight, f.Message})
	}
	for _, en := range order {
		escalateAll(failed[en])
	}
}

// batched is one message of a batch that failed.
type batched struct {
	f *flight
	m *Message
}

func escalateAll(all []batched) {
	lead := all[0]
	if len(all) == 1 {
		_ = lead.f.end(lead.f.l.later(), lead.m)
		return
	}
	var causes []error
	x := lead.f.extra()
	for _, b := range all {
		slices.SortFunc(b.f.failures(), func(a, b *failure) int { return a.action - b.action })
		causes = append(causes, b.f.err())
		if b.f != lead.f {
			x.batch = append(x.batch, b.f)
		}
	}
	_ = lead.f.escalate(lead.f.l.later(), lead.m, batchDocument(all), errors.Join(causes...))
}

func batchDocument(all []batched) []byte {
	first := all[0]
	d := BatchErrorDocument{RuleName: first.f.en.name, Topic: first.m.Topic}
	for _, b := range all {
		if b.m.Topic != d.Topic {
			d.Topic = ""
		}
	}
	for i, b := range all {
		p := BatchPayload{ID: i + 1, TraceID: b.f.l.trace, ClientID: cmp.Or(b.m.ClientID, "n/a"),
			SourceIP: b.m.SourceIP, OriginalPayload: b.m.Payload}
		if p.OriginalPayload == nil {
			p.OriginalPayload = []byte{}
		}
		if d.Topic == "" {
			p.Topic = b.m.Topic
		}
		d.Payloads = append(d.Payloads, p)
		for _, f := range b.f.failures() {
			d.add(p.ID, ErrorFailure{failedAction(first.f.en.actionType(f.action)), f.resource, f.err.Error()})
		}
	}
	out, err := encode(d)
	if err != nil { // strings, numbers and bytes always encode
		panic("rules: " + err.Error())
	}
	return out
}

// add notes a failure of one message. Equal ones are one.
func (d *BatchErrorDocument) add(id int, f ErrorFailure) {
	for i := range d.Failures {
		if d.Failures[i].ErrorFailure == f {
			d.Failures[i].AffectedIDs = append(d.Failures[i].AffectedIDs, id)
			return
		}
	}
	d.Failures = append(d.Failures, BatchFailure{[]int{id}, f})
}
