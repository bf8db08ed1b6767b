package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

// holder is an action that keeps its firings for DoneAll.
type holder struct{ all []Firing }

func (h *holder) Invoke(_ context.Context, f Firing) error {
	h.all = append(h.all, f)
	return ErrPending
}

func (*holder) Resource() string { return "https://example.com/in" }

func TestDoneAll(t *testing.T) {
	for _, c := range []struct {
		name   string
		topics []string
		onErr  error // of the error action
		async  bool  // the error action is pending first
		want   string
		reason Reason
	}{
		{"one topic", []string{"s/1", "s/1"}, nil, false, `{"ruleName":"r","topic":"s/1","payloadsWithMetadata":[` +
			`{"id":1,"cloudwatchTraceId":"t0","clientId":"n/a","base64OriginalPayload":"eyJpIjowfQ=="},` +
			`{"id":2,"cloudwatchTraceId":"t1","clientId":"c","sourceIp":"192.0.2.1","base64OriginalPayload":"eyJpIjoxfQ=="}],` +
			`"failures":[{"affectedIds":[1,2],"failedAction":"HttpAction","failedResource":"https://example.com/in","errorMessage":"503"}]}`, ReasonErrorAction},
		{"several topics", []string{"s/1", "s/2"}, nil, true, `{"ruleName":"r","payloadsWithMetadata":[` +
			`{"id":1,"topic":"s/1","cloudwatchTraceId":"t0","clientId":"n/a","base64OriginalPayload":"eyJpIjowfQ=="},` +
			`{"id":2,"topic":"s/2","cloudwatchTraceId":"t1","clientId":"c","sourceIp":"192.0.2.1","base64OriginalPayload":"eyJpIjoxfQ=="}],` +
			`"failures":[{"affectedIds":[1,2],"failedAction":"HttpAction","failedResource":"https://example.com/in","errorMessage":"503"}]}`, ReasonErrorAction},
		{"the error action fails too", []string{"s/1", "s/1"}, errors.New("full"), false, "", ReasonErrorActionFailed},
		{"a batch of one is no batch", []string{"s/1"}, nil, false, `{"ruleName":"r","topic":"s/1","cloudwatchTraceId":"t0","clientId":"n/a",` +
			`"base64OriginalPayload":"eyJpIjowfQ==","failures":[{"failedAction":"HttpAction","failedResource":"https://example.com/in","errorMessage":"503"}]}`, ReasonErrorAction},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := new(holder)
			var documents []Firing
			onError := ActionFunc(func(_ context.Context, f Firing) error {
				documents = append(documents, f)
				if c.async {
					return ErrPending
				}
				return c.onErr
			})
			e := open(t, NewMemStore(), binder{"http": h, "tell": onError}, nil)
			r := Rule{Name: "r", SQL: "SELECT * FROM 's/+'", Actions: []ActionSpec{{Type: "http"}}, ErrorAction: &ActionSpec{Type: "tell"}}
			if err := e.Put(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			for i, topic := range c.topics {
				m := &Message{Topic: topic, TraceID: fmt.Sprint("t", i), Payload: fmt.Appendf(nil, `{"i":%d}`, i)}
				if i == 1 {
					m.ClientID, m.SourceIP = "c", "192.0.2.1"
				}
				if err := e.Handle(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			DoneAll(h.all, errors.New("503"))
			DoneAll(h.all, nil) // only the first counts
			if len(documents) != 1 {
				t.Fatalf("the error action ran %d times", len(documents))
			}
			if got := string(documents[0].Output); c.want != "" && got != c.want {
				t.Errorf("document\n got %s\nwant %s", got, c.want)
			}
			if c.async {
				if info, _ := e.Rule("r"); info.Ledger.Pending != uint64(len(c.topics)) {
					t.Errorf("ledger while the error action is pending: %+v", info.Ledger)
				}
				documents[0].Done(c.onErr)
			}
			info, err := e.Rule("r")
			n := uint64(len(c.topics))
			want := Ledger{Matched: n, Reasons: map[Reason]uint64{c.reason: n}, LastFailure: info.Ledger.LastFailure}
			if c.reason == ReasonErrorAction {
				want.DeadLettered = n
			} else {
				want.Failed = n
			}
			if err != nil || !reflect.DeepEqual(info.Ledger, want) {
				t.Errorf("ledger is %+v, want %+v", info.Ledger, want)
			}
			if err := e.Delete(t.Context(), "r"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestDoneAllMixed: rules without an error action, a delivery made already,
// another action that is still pending, and a whole batch that went well.
func TestDoneAllMixed(t *testing.T) {
	h, slow := new(holder), new(holder)
	var documents []string
	tell := ActionFunc(func(_ context.Context, f Firing) error {
		documents = append(documents, string(f.Output))
		return nil
	})
	e := open(t, NewMemStore(), binder{"http": h, "slow": slow, "tell": tell}, nil)
	for _, r := range []Rule{
		{Name: "bare", SQL: "SELECT * FROM 'a'", Actions: []ActionSpec{{Type: "http"}}},
		{Name: "both", SQL: "SELECT * FROM 'b'", Actions: []ActionSpec{{Type: "slow"}, {Type: "http"}}, ErrorAction: &ActionSpec{Type: "tell"}},
		{Name: "fine", SQL: "SELECT * FROM 'c'", Actions: []ActionSpec{{Type: "http"}}, ErrorAction: &ActionSpec{Type: "tell"}},
	} {
		if err := e.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, topic := range []string{"a", "b", "b", "c"} {
		if err := e.Handle(t.Context(), &Message{Topic: topic, TraceID: topic, Payload: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	DoneAll(h.all[3:], nil)
	DoneAll(h.all, errors.New("503"))
	if len(documents) != 0 {
		t.Errorf("documents before the last action has reported: %q", documents)
	}
	DoneAll(slow.all, errors.New("late"))
	if len(documents) != 1 {
		t.Fatalf("documents %q, want one for both messages", documents)
	}
	var d BatchErrorDocument
	if err := json.Unmarshal([]byte(documents[0]), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Payloads) != 2 || len(d.Failures) != 2 || d.Failures[0].Action != "SlowAction" || !reflect.DeepEqual(d.Failures[1].AffectedIDs, []int{1, 2}) {
		t.Errorf("document %s", documents[0])
	}
	for name, want := range map[string]func(Ledger) bool{
		"bare": func(l Ledger) bool { return l.Failed == 1 && l.Reasons[ReasonNoErrorAction] == 1 },
		"both": func(l Ledger) bool { return l.DeadLettered == 2 && l.Pending == 0 },
		"fine": func(l Ledger) bool { return l.Delivered == 1 && l.Matched == 1 },
	} {
		if info, err := e.Rule(name); err != nil || !want(info.Ledger) {
			t.Errorf("ledger of %s: %+v, %v", name, info.Ledger, err)
		}
	}
}
