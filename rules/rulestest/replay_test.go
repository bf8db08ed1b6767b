package rulestest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/rules"
)

const rulesBefore = `
[{"ruleName": "alert", "sql": "SET @limit = 30 SELECT t FROM 'sensors/+' WHERE t > 30",
  "actions": [{"republish": {"topic":"alerts/${topic(2)}/${@limit}","qos":1,"\"${x}":"${"}}, {"log": {}}]},
 {"ruleName": "all", "sql": "SELECT * FROM 'sensors/#'", "actions": [{"stream": {}}]}]
{"ruleName": "off", "sql": "SELECT * FROM '#'", "ruleDisabled": true, "actions": [{"log": {}}]}`

const rulesAfter = `
{"ruleName": "alert", "sql": "SET @limit = 20 SELECT t FROM 'sensors/+' WHERE t > 20",
 "actions": [{"republish": {"qos":1,"topic":"alerts/${topic(2)}/${@limit}","\"${x}":"${"}}]}
{"ruleName": "all", "sql": "SELECT *, 1 AS v FROM 'sensors/#'", "actions": [{"stream": {}}]}`

const captured = `{"topic": "sensors/a", "payload": {"t": 31}}
{"topic": "sensors/b", "payload": {"t": 25}}

{"topic": "sensors/c", "payloadBase64": "AAE="}
{"topic": "elsewhere", "payload": {"t": 31}}`

func readRules(t *testing.T, text string) []rules.Rule {
	t.Helper()
	all, err := ReadRules(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestReplay(t *testing.T) {
	before, after := readRules(t, rulesBefore), readRules(t, rulesAfter)
	var got []string
	report := func(d Difference) error { got = append(got, d.String()); return nil }
	sum, err := Replay(t.Context(), before, after, ReadCapture(strings.NewReader(captured)), report, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"@ message 1 on sensors/a\n- alert: republish {\"topic\":\"alerts/a/30\",\"qos\":1,\"\\\"${x}\":\"${\"} <- {\"t\":31}\n" +
			"+ alert: republish {\"qos\":1,\"topic\":\"alerts/a/20\",\"\\\"${x}\":\"${\"} <- {\"t\":31}",
		"@ message 1 on sensors/a\n- alert: log {} <- {\"t\":31}",
		"@ message 1 on sensors/a\n- all: stream {} <- {\"t\": 31}\n+ all: stream {} <- {\"t\":31,\"v\":1}",
		"@ message 2 on sensors/b\n+ alert: republish {\"qos\":1,\"topic\":\"alerts/b/20\",\"\\\"${x}\":\"${\"} <- {\"t\":25}",
		"@ message 2 on sensors/b\n- all: stream {} <- {\"t\": 25}\n+ all: stream {} <- {\"t\":25,\"v\":1}",
		"@ message 3 on sensors/c\n+ all: the statement fails: rules: ",
		"@ message 3 on sensors/c\n- all: stream {} <- \x00\x01",
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(got) != len(want) {
		t.Fatalf("%d differences, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range got {
		if got[i] != want[i] && !(strings.HasSuffix(want[i], "rules: ") && strings.HasPrefix(got[i], want[i])) {
			t.Errorf("got\n%s\nwant\n%s", got[i], want[i])
		}
	}
	if want := (Summary{Messages: 4, Before: 5, After: 5, More: 2, Less: 2, Different: 3, UnmatchedBefore: 1, UnmatchedAfter: 1}); sum != want || sum.Same() {
		t.Errorf("summary %+v, want %+v", sum, want)
	}

	sum, err = Replay(t.Context(), before, before, ReadCapture(strings.NewReader(captured)), func(d Difference) error { return fmt.Errorf("%v", d) }, nil)
	if err != nil || !sum.Same() {
		t.Errorf("the same rules differ: %+v, %v", sum, err)
	}
}

func TestReplayErrors(t *testing.T) {
	one := []rules.Rule{{Name: "r", SQL: "SELECT * FROM 'sensors/#'", Actions: []rules.ActionSpec{{Type: "x"}}}}
	stop := errors.New("enough")
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name          string
		ctx           context.Context
		before, after []rules.Rule
		capture       string
		want          string
	}{
		{"a rule before", t.Context(), []rules.Rule{{Name: "r", SQL: "SELEKT"}}, nil, "", "before: rules: rule \"r\": sql"},
		{"a rule after", t.Context(), nil, []rules.Rule{{Name: "r", SQL: "SELEKT"}}, "", "after: rules: rule \"r\": sql"},
		{"a rule twice", t.Context(), append(one, one...), nil, "", "rule exists"},
		{"the capture", t.Context(), one, nil, "\n{\"topic\":1}", "line 2"},
		{"the report", t.Context(), one, nil, captured, "enough"},
		{"the context", done, nil, nil, captured, "canceled"},
	} {
		_, err := Replay(c.ctx, c.before, c.after, ReadCapture(strings.NewReader(c.capture)), func(Difference) error { return stop }, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestReadRules(t *testing.T) {
	for _, text := range []string{`{`, `{"ruleName": 1}`, `{"ruleName": "r", "colour": 1}`, `[{"ruleName": "r", "actions": [{}]}]`, `[1]`, `{} x`} {
		if all, err := ReadRules(strings.NewReader(text)); err == nil {
			t.Errorf("%s is read as %+v", text, all)
		}
	}
	if all, err := ReadRules(strings.NewReader("")); err != nil || all != nil {
		t.Errorf("nothing is read as %v, %v", all, err)
	}
}

// FuzzCapture reads any text, and writes and reads again what it held.
func FuzzCapture(f *testing.F) {
	f.Add(captured)
	f.Add(`{"topic":"a","time":"2026-01-02T03:04:05.678Z","clientId":"c","principal":"p","sourceIp":"::1","traceId":"t","payload": "x" }`)
	f.Add(`{"topic":"a","payload":null}`)
	f.Add(`{"topic":"a","time":"9999-12-31T23:59:59-01:00"}` + "\n" + `{"topic":"a","time":"0000-01-01T00:00:00+01:00"}`)
	f.Add(`{"topic":"a","payload":1,"payloadBase64":"AA=="}`)
	f.Fuzz(func(t *testing.T, text string) {
		var messages []rules.Message
		var out []byte
		for m, err := range ReadCapture(strings.NewReader(text)) {
			if err != nil {
				if !strings.Contains(err.Error(), "line ") {
					t.Fatalf("an error without its line: %v", err)
				}
				break
			}
			var appendErr error
			if out, appendErr = AppendCapture(out, &m); appendErr != nil {
				t.Fatalf("%+v: %v", m, appendErr)
			}
			messages = append(messages, m)
		}
		i := 0
		for m, err := range ReadCapture(bytes.NewReader(out)) {
			if err != nil {
				t.Fatalf("%v\nof %s", err, out)
			}
			want := messages[i]
			i++
			if !bytes.Equal(m.Payload, want.Payload) || m.Topic != want.Topic || !m.Time.Equal(want.Time) || m.ClientID != want.ClientID {
				t.Fatalf("got %+v\nwant %+v\nof %s", m, want, out)
			}
		}
		if i != len(messages) {
			t.Fatalf("%d messages, want %d", i, len(messages))
		}
	})
}

func TestAppendCapture(t *testing.T) {
	m := rules.Message{Topic: "a<b", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Payload: []byte(`{"x": 1.0, "y":"<"}`)}
	line, err := AppendCapture(nil, &m)
	if err != nil || !strings.HasSuffix(string(line), `,"payload":{"x": 1.0, "y":"<"}}`+"\n") || !json.Valid(line) {
		t.Errorf("line is %s, %v", line, err)
	}
	if _, err := AppendCapture(nil, &rules.Message{}); err == nil {
		t.Error("a message without a topic is captured")
	}
}

func FuzzParams(f *testing.F) {
	f.Add(`{"topic":"alerts/${topic(2)}","n":{"${a}":["\"${t}\\","${"]}}`)
	f.Add(`{"a":"${'}'}"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			t.Skip()
		}
		p := compileParams(json.RawMessage(text), nil)
		out := p.expand(t.Context(), rules.Firing{Message: &rules.Message{Topic: "a/b", Payload: []byte(`{"t":"\"x\""}`), Time: time.Unix(0, 0)}})
		if !json.Valid([]byte(out)) {
			t.Fatalf("%s expands to %s", text, out)
		}
		if !strings.Contains(text, "$") && !strings.Contains(text, `\u`) && out != text {
			t.Fatalf("%s expands to %s", text, out)
		}
	})
}
