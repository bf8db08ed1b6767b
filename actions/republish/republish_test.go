package republish_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

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
		{`{"topic":"$aws/things/x/shadow/update"}`, "", nil, "written with $$"},
		{`{"topic":"${nothing}"}`, "", nil, "empty"},
		{`{"topic":"a"}`, "a", broken, "broken"},
	} {
		p := &publisher{err: tt.err}
		a, err := republish.Spec(p).Open(t.Context(), json.RawMessage(tt.params))
		if err != nil {
			t.Fatalf("%s: %v", tt.params, err)
		}
		err = a.Do(t.Context(), &actions.Request{Topic: "sensors/s1", Payload: []byte(`{"t":1}`), Source: []byte(`{}`)})
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) || tt.want == "" && err != nil {
			t.Errorf("%s: got %v, want %q", tt.params, err, tt.want)
		}
		if p.topic != tt.topic || tt.topic != "" && p.payload != `{"t":1}` {
			t.Errorf("%s: published %q on %q", tt.params, p.payload, p.topic)
		}
		var about interface{ Resource() string }
		if want := map[string]string{"written with $$": "$aws/things/x/shadow/update", "broken": "a"}[tt.want]; err != nil && (!errors.As(err, &about) || about.Resource() != want) {
			t.Errorf("%s: %v is about %v, want %q", tt.params, err, about, want)
		}
		if permanent := tt.err == nil && tt.want != ""; err != nil && actions.IsPermanent(err) != permanent {
			t.Errorf("%s: permanent is %v", tt.params, !permanent)
		}
	}
}

func TestWrongParams(t *testing.T) {
	for _, params := range []string{`{}`, `{"topic":"a","qos":2}`, `{"topic":"a","retain":true}`, `{"topic":"${"}`} {
		if _, err := republish.Spec(&publisher{}).Open(t.Context(), json.RawMessage(params)); !errors.Is(err, actions.ErrParams) {
			t.Errorf("%s: got %v", params, err)
		}
	}
}
