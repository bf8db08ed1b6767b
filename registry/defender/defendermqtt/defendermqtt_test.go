package defendermqtt_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingloom/thingloom/internal/cbor"
	"github.com/thingloom/thingloom/internal/topic"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/defender"
	"github.com/thingloom/thingloom/registry/defender/defendermqtt"
)

// A bus is a broker in memory.
type bus struct {
	mu       sync.Mutex
	handlers map[string]func(context.Context, string, []byte) error
	topics   []string
	payloads [][]byte
}

func (b *bus) Publish(ctx context.Context, name string, payload []byte) error {
	b.mu.Lock()
	b.topics, b.payloads = append(b.topics, name), append(b.payloads, payload)
	handlers := b.handlers
	b.mu.Unlock()
	for filter, h := range handlers {
		if topic.Match(filter, name) {
			return h(ctx, name, payload)
		}
	}
	return nil
}

func (b *bus) Subscribe(filter string, h func(context.Context, string, []byte) error) (func(), error) {
	if b.handlers == nil {
		b.handlers = map[string]func(context.Context, string, []byte) error{}
	}
	b.handlers[filter] = h
	return func() { delete(b.handlers, filter) }, nil
}

func TestReports(t *testing.T) {
	reg, err := registry.New(registry.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1700000000123)
	svc, err := defender.Open(t.Context(), registry.NewMemStore(), reg, &defender.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	b := &bus{}
	e, err := defendermqtt.New(svc, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	limit := int64(1)
	if _, err := svc.CreateProfile(t.Context(), defender.Profile{Name: "p", Behaviors: []defender.Behavior{{Name: "b", Metric: "aws:num-listening-udp-ports",
		Criteria: &defender.Criteria{Operator: "less-than", Value: &defender.Value{Count: &limit}}}}}); err != nil {
		t.Fatal(err)
	}
	if err := svc.Attach(t.Context(), "p", reg.ARN("all/things")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ thing, report, want string }{
		{"t1", `{"hed":{"rid":7,"v":"1.0"},"met":{"up":{"t":1}}}`, `{"thingName":"t1","reportId":7,"status":"ACCEPTED","timestamp":1700000000123}`},
		{"t1", `{"hed":{"rid":8,"v":"1.0"},"met":{"up":{"t":1}}}`, `"ErrorCode":"Throttled"`},
		{"t2", `{"met":{"up":{"t":1}}}`, `{"thingName":"t2","reportId":0,"status":"REJECTED","statusDetails":{"ErrorCode":"MissingHeader",`},
		{"t2", `{"hed":{"rid":8}}`, `"ErrorCode":"InvalidPayload"`},
	} {
		for _, format := range []string{"json", "cbor"} {
			payload := []byte(step.report)
			thing := step.thing + format
			want := strings.ReplaceAll(step.want, `"`+step.thing+`"`, `"`+thing+`"`)
			if format == "cbor" {
				if payload, err = cbor.FromJSON(payload); err != nil {
					t.Fatal(err)
				}
			}
			name := "$aws/things/" + thing + "/defender/metrics/" + format
			if err := b.Publish(t.Context(), name, payload); err != nil {
				t.Fatal(err)
			}
			answer := b.payloads[len(b.payloads)-1]
			end := "/accepted"
			if !strings.Contains(want, "ACCEPTED") {
				end = "/rejected"
			}
			if format == "cbor" {
				if answer, err = cbor.ToJSON(answer); err != nil {
					t.Fatal(err)
				}
				// Keys come in another order: compared as values.
				var got, wanted any
				if json.Unmarshal(answer, &got) != nil || end == "/accepted" && json.Unmarshal([]byte(want), &wanted) != nil {
					t.Errorf("answer %s", answer)
				}
				want = "" // the JSON form compares the words
			}
			if last := b.topics[len(b.topics)-1]; last != name+end || !strings.Contains(string(answer), want) {
				t.Errorf("%s: answered on %s by %s, want %s", step.report, last, answer, want)
			}
		}
	}
	violations := 0
	for i, name := range b.topics {
		if name == "$aws/events/deviceDefender/t1json/p/b/in-alarm" && strings.Contains(string(b.payloads[i]), `"metricValue":{"count":1},"violationEventTime":1700000000123,"verificationState":"UNKNOWN"}`) {
			violations++
		}
	}
	if violations != 1 {
		t.Errorf("%d events on %q", violations, b.topics)
	}
	e.Close()
	e.Close()
	if len(b.handlers) > 0 || e.Failed() > 0 {
		t.Error("still subscribed")
	}
}
