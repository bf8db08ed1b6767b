package republish_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/republish"
)

type publisher struct {
	topic, payload string
	err            error
}

func (p *publisher) Publish(_ context.Context, topic string, payload []byte) error {
	p.topic, p.payload = topic, string(payload)
	return p.err
}

func TestPublish(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		params, topic string
		err           error
		want          string // in the error
	}{
		{`{"topic":"alerts/${topic(2)}"}`, "alerts/s1", nil, ""},
		{`{"topic":"$$aws/things/${topic(2)}/shadow/update","qos":1,"roleArn":"arn:aws:iam::1:role/r"}`, "$aws/things/s1/shadow/update", nil, ""},
		{`{"topic":"${d}aws/things/x/shadow/update"}`, "", nil, "written with $$"},
		{`{"topic":"${j}"}`, "", nil, "topics of jobs"},
		{`{"topic":"$$aws/things/jobs/shadow/update"}`, "$aws/things/jobs/shadow/update", nil, ""},
		{`{"topic":"${nothing}"}`, "", nil, "empty"},
		{`{"topic":"a"}`, "a", broken, "broken"},
	} {
		p := &publisher{err: tt.err}
		a, err := republish.Spec(p).Open(t.Context(), json.RawMessage(tt.params))
		if err != nil {
			t.Fatalf("%s: %v", tt.params, err)
		}
		err = a.Do(t.Context(), &actions.Request{Topic: "sensors/s1", Payload: []byte(`{"t":1}`), Source: []byte(`{"d":"$","j":"$$aws/things/x/jobs/get"}`)})
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) || tt.want == "" && err != nil {
			t.Errorf("%s: got %v, want %q", tt.params, err, tt.want)
		}
		if p.topic != tt.topic || tt.topic != "" && p.payload != `{"t":1}` {
			t.Errorf("%s: published %q on %q", tt.params, p.payload, p.topic)
		}
		var about interface{ Resource() string }
		if want := map[string]string{"written with $$": "$aws/things/x/shadow/update", "topics of jobs": "$$aws/things/x/jobs/get", "broken": "a"}[tt.want]; err != nil && (!errors.As(err, &about) || about.Resource() != want) {
			t.Errorf("%s: %v is about %v, want %q", tt.params, err, about, want)
		}
		if permanent := tt.err == nil && tt.want != ""; err != nil && actions.IsPermanent(err) != permanent {
			t.Errorf("%s: permanent is %v", tt.params, !permanent)
		}
	}
}

func TestWrongParams(t *testing.T) {
	for _, params := range []string{`{}`, `{"topic":"a","qos":2}`, `{"topic":"a","retain":true}`, `{"topic":"a","roleArn":"${topic()}"}`, `{"topic":"${"}`,
		`{"topic":"$aws/things/x/shadow/update"}`, `{"topic":"$$aws/things/x/jobs"}`, `{"topic":"$$aws/things/x/jobs/1/update"}`, `{"topic":""}`,
		`{"topic":"a","headers":{"userProperties":[]}}`, `{"topic":"a","headers":{"userProperties":[{"key":"k"}]}}`, `{"topic":"a","headers":{"contentType":5}}`,
		`{"topic":"a","headers":{"payloadFormatIndicator":"utf8"}}`, `{"topic":"a","headers":{"correlationData":"?"}}`, `{"topic":"a","headers":{"messageExpiry":"-1"}}`,
		`{"topic":"a","headers":{"messageExpiry":"0"}}`, `{"topic":"a","headers":{"messageExpiry":"4294967296"}}`, `{"topic":"a","headers":{"other":"x"}}`,
		`{"topic":"a","headers":{"userProperties":[` + strings.Repeat(`{"key":"k","value":"v"},`, 100) + `{"key":"k","value":"v"}]}}`} {
		if _, err := republish.Spec(&properties{}).Open(t.Context(), json.RawMessage(params)); !errors.Is(err, actions.ErrParams) {
			t.Errorf("%s: got %v", params, err)
		}
	}
}

// properties is a publisher that keeps the properties too.
type properties struct {
	publisher
	qos  byte
	p    actions.Properties
	life time.Duration
}

func (p *properties) PublishQoS(ctx context.Context, topic string, payload []byte, qos byte) error {
	p.qos = qos
	return p.Publish(ctx, topic, payload)
}

func (p *properties) PublishProperties(ctx context.Context, topic string, payload []byte, qos byte, all actions.Properties, life time.Duration) error {
	p.qos, p.p, p.life = qos, all, life
	return p.Publish(ctx, topic, payload)
}

func TestQoS(t *testing.T) {
	for params, want := range map[string]byte{
		`{"topic":"a"}`: 0, `{"topic":"a","qos":0}`: 0, `{"topic":"a","qos":1}`: 1,
		`{"topic":"a","headers":{"contentType":"x"}}`: 0, `{"topic":"a","qos":1,"headers":{"contentType":"x"}}`: 1,
	} {
		p := &properties{qos: 9}
		a, err := republish.Spec(p).Open(t.Context(), json.RawMessage(params))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Do(t.Context(), &actions.Request{}); err != nil || p.qos != want || p.topic != "a" {
			t.Errorf("%s: QoS %d, %v", params, p.qos, err)
		}
	}
}

func TestHeaders(t *testing.T) {
	const all = `{"topic":"a/${id}","headers":{"payloadFormatIndicator":"${format}","contentType":"x/${id}","responseTopic":"r/${id}","correlationData":"${encode(id, 'base64')}",
		"messageExpiry":"${life}","userProperties":[{"key":"k${id}","value":"v"},{"key":"k","value":"${id}"}]}}`
	for _, c := range []struct{ source, want, err string }{
		{`{"id":"7","format":"UTF8_DATA","life":60}`, `a/7 {true x/7 r/7 [55] [{k7 v} {k 7}]} 1m0s`, ""},
		{`{"id":"7","format":"UNSPECIFIED_BYTES"}`, `a/7 {false x/7 r/7 [55] [{k7 v} {k 7}]} 0s`, ""},
		{`{"id":"7","format":"other"}`, "", "payloadFormatIndicator"},
		{`{"id":"7","life":"soon"}`, "", "messageExpiry"},
		{`{"id":"` + strings.Repeat("é", 1024) + `"}`, "", "1026 characters"},
	} {
		p := &properties{}
		a, err := republish.Spec(p).Open(t.Context(), json.RawMessage(all))
		if err != nil {
			t.Fatal(err)
		}
		err = a.Do(t.Context(), &actions.Request{Payload: []byte("{}"), Source: []byte(c.source)})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || !actions.IsPermanent(err) || p.topic != "" {
				t.Errorf("%s: %v", c.source, err)
			}
			continue
		}
		if got := fmt.Sprint(p.topic, " ", p.p, " ", p.life); err != nil || got != c.want {
			t.Errorf("%s: published %s, %v", c.source, got, err)
		}
	}
	p := &properties{}
	a, err := republish.Spec(p).Open(t.Context(), json.RawMessage(`{"topic":"a","headers":{"correlationData":"${x}"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Do(t.Context(), &actions.Request{Source: []byte(`{"x":"no base64"}`)}); !actions.IsPermanent(err) {
		t.Errorf("correlation data that are not base64: %v", err)
	}
	if err := a.Do(t.Context(), &actions.Request{Source: []byte(`{}`)}); err != nil || len(p.p.CorrelationData) != 0 {
		t.Errorf("nothing to be sent: %v, %v", err, p.p)
	}
	if _, err := republish.Spec(&publisher{}).Open(t.Context(), json.RawMessage(all)); !errors.Is(err, actions.ErrParams) {
		t.Errorf("a publisher without properties: %v", err)
	}
}
