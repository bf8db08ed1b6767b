package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/thingloom/thingloom/rules"
)

// Every message that matched a rule is accounted for, each way it can go with
// its reason, and the error action hears of what failed.
func TestLedgerOfRules(t *testing.T) {
	stay := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/hangs" {
			<-stay
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(stay) })
	p := start(t)
	d := p.device("s1")
	const republish = `{"republish":{"topic":"devices/s1/config","qos":1,` + roleARN + `}}`
	webhook := func(path string) string { return fmt.Sprintf(`{"webhook":{"url":"%s/%s"}}`, server.URL, path) }
	for _, r := range []struct{ name, where, actions, onError string }{
		{"delivers", "v > 1", republish, ""},
		{"document", "v = 1", republish + "," + webhook("refused"), `{"republish":{"topic":"devices/s1/errors/${v}","qos":1,` + roleARN + `}}`},
		{"letter", "v = 1", webhook("refused"), ""},
		{"asks", "get_thing_shadow('nobody', 'arn:aws:iam::123456789012:role/x').a = 1", republish, ""},
		{"nobody", "v >= 0", `{"republish":{"topic":"${concat('$', topic(1))}/x",` + roleARN + `}}`, ""},
		{"hangs", "v = 1", webhook("hangs"), ""},
	} {
		rule := fmt.Sprintf(`{"sql":"SELECT v FROM 'sensors/+/x' WHERE %s","actions":[%s]`, r.where, r.actions)
		if r.onError != "" {
			rule += `,"errorAction":` + r.onError
		}
		if status, answer := p.curl("POST", "/rules/"+r.name, rule+"}"); status != 200 {
			t.Fatalf("%s: %d %s", r.name, status, answer)
		}
	}
	failures := d.sub("devices/s1/errors/#")
	d.publishAll("sensors/s1/x", []string{`{"v":0}`, `{"v":1}`, `{"v":2}`, `{"v":3}`, `{"v":4}`})

	want := map[string]string{
		"delivers": "5 = 2 + 3 + 0 + 0 + 0 map[]",
		"document": "5 = 4 + 0 + 0 + 1 + 0 map[error_action:1]",
		"letter":   "5 = 4 + 0 + 0 + 1 + 0 map[dead_letter:1]",
		"asks":     "5 = 0 + 0 + 0 + 0 + 5 map[statement:5]",
		"nobody":   "5 = 0 + 0 + 0 + 0 + 5 map[no_error_action:5]",
		"hangs":    "5 = 4 + 0 + 1 + 0 + 0 map[]",
	}
	p.eventually("every message has come to its end", func() error {
		_, answer := p.curl("GET", "/api/rules", "")
		var views []ruleView
		if err := json.Unmarshal([]byte(answer), &views); err != nil {
			return err
		}
		seen := 0
		for _, v := range views {
			if v.Matched != v.Filtered+v.Delivered+v.Pending+v.DeadLettered+v.Failed {
				t.Fatalf("%s: not every message is accounted for: %+v", v.Rule, v)
			}
			var reasons uint64
			for _, n := range v.Reasons {
				reasons += n
			}
			if reasons != v.DeadLettered+v.Failed || (reasons > 0) != (v.LastFailure != "") {
				t.Fatalf("%s: not every failure has a reason: %+v", v.Rule, v)
			}
			w, ok := want[v.Rule]
			if !ok {
				continue
			}
			seen++
			if got := fmt.Sprintf("%d = %d + %d + %d + %d + %d %v", v.Matched, v.Filtered, v.Delivered, v.Pending, v.DeadLettered, v.Failed, v.Reasons); got != w {
				return fmt.Errorf("%s: %s, want %s", v.Rule, got, w)
			}
		}
		if seen != len(want) {
			return fmt.Errorf("%d rules, want %d: %s", seen, len(want), answer)
		}
		return nil
	})

	// The document, field by field; the template of its topic saw the original message.
	line := next(t, failures)
	var topic, text string
	if _, err := fmt.Sscanf(line, "%s %s", &topic, &text); err != nil {
		t.Fatal(line, err)
	}
	text = line[len(topic)+1:]
	var doc rules.ErrorDocument
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(text, err)
	}
	if topic != "devices/s1/errors/1" || doc.RuleName != "document" || doc.Topic != "sensors/s1/x" || doc.SourceIP != "127.0.0.1" ||
		!regexp.MustCompile(`^s1-\d+$`).MatchString(doc.ClientID) || !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(doc.TraceID) ||
		string(doc.OriginalPayload) != `{"v":1}` || len(doc.Failures) != 1 {
		t.Fatalf("the document on %s is %s", topic, text)
	}
	f := doc.Failures[0]
	if f.Action != "WebhookAction" || f.Resource != server.URL+"/refused" || !regexp.MustCompile("404").MatchString(f.Message) {
		t.Errorf("the failure is %+v", f)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil || len(members) != 7 {
		t.Errorf("the document has other members: %s", text)
	}
}
