package webhook_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/webhook"
)

// The confirmationUrl of AWS is a prefix of the text, on the server that the rule names.
func TestConfirmationURLIsAPrefix(t *testing.T) {
	for _, tt := range []struct{ base, u, source string }{
		{"http://h/pre", "http://h/prefix-${v}", `{"v":"a"}`},
		{"http://h", "http://h/${v}", `{"v":"a"}`},
		{"http://h/x?key=1", "http://h/x?key=1&t=${v}", `{"v":"a"}`},
		{"http://h/${v}/in", "http://h/${v}/in/7", `{"v":"a"}`},
		{"http://h/${v}", "http://h/fixed", `{"v":"fix"}`},
		{"http://h/x%20y", "http://h/x%20y${v}", `{"v":"z"}`},
		{"!http://h/pre", "http://h/${v}", `{"v":"post"}`},
		{"!http://h", "http://h${v}", `{"v":".evil/"}`},
		{"!http://h/", "http://h${v}", `{"v":"@evil/"}`},
		{"!http://h/a/", "http://h/a/${v}", `{"v":"../b"}`},
		{"!http://h/a/", "http://h/a/${v}", `{"v":"%2e%2e/b"}`},
		{"!http://h/x?key=1", "http://h/x?key=${v}", `{"v":"2"}`},
		{"!http://h/${v}/in", "http://h/b/in", `{"v":"a"}`},
		{"!https://h/", "${v}", `{"v":"http://h/"}`},
	} {
		base, refused := strings.CutPrefix(tt.base, "!")
		tr := &transport{}
		params, err := json.Marshal(map[string]string{"url": tt.u, "confirmationUrl": base})
		if err != nil {
			t.Fatal(err)
		}
		a, err := webhook.HTTPSpec(&webhook.Options{Client: &http.Client{Transport: tr}}).Open(t.Context(), params)
		if err != nil {
			t.Errorf("%s: %v", params, err)
			continue
		}
		err = a.Do(t.Context(), &actions.Request{Source: []byte(tt.source)})
		if refused != (err != nil) || refused != (len(tr.all) == 0) || refused && !actions.IsPermanent(err) {
			t.Errorf("%s with %s: %v, %d requests", params, tt.source, err, len(tr.all))
		}
	}
	for _, params := range []string{`{"url":"http://h/a","confirmationUrl":"http://h/b"}`, `{"url":"http://h.evil/a","confirmationUrl":"http://h"}`} {
		var param *actions.ParamError
		if _, err := webhook.HTTPSpec(nil).Open(t.Context(), json.RawMessage(params)); !errors.As(err, &param) || param.Path != "url" {
			t.Errorf("%s: %v", params, err)
		}
	}
}

// Where requests go at all is not for a message to say.
func TestConfirmationURLOfMessages(t *testing.T) {
	for _, base := range []string{"${v}", "http://${v}", "http://h${v}", "http:${v}//h/", "ftp://h/${v}"} {
		var param *actions.ParamError
		params := `{"url":"${u}","confirmationUrl":"` + base + `"}`
		if _, err := webhook.HTTPSpec(nil).Open(t.Context(), json.RawMessage(params)); !errors.As(err, &param) || param.Path != "confirmationUrl" {
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestSigned(t *testing.T) {
	tr := &transport{}
	no := errors.New("no credentials of that role")
	opts := &webhook.Options{Client: &http.Client{Transport: tr}, Sign: func(a webhook.SigV4) (func(*http.Request, []byte) error, error) {
		if a.RoleARN != "arn:x" {
			return nil, no
		}
		return func(q *http.Request, body []byte) error {
			if string(body) == "2" {
				return no
			}
			q.Header.Set("Authorization", strings.Join([]string{a.ServiceName, a.SigningRegion, q.Header.Get("Content-Type"), string(body)}, " "))
			return nil
		}, nil
	}}
	const params = `{"url":"http://h/in","auth":{"sigv4":{"roleArn":"arn:x","serviceName":"execute-api","signingRegion":"eu-west-1"}}`
	a, err := webhook.HTTPSpec(opts).Open(t.Context(), json.RawMessage(params+`}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Do(t.Context(), &actions.Request{Payload: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	if err := a.Do(t.Context(), &actions.Request{Payload: []byte("2")}); !errors.Is(err, no) {
		t.Errorf("%v", err)
	}
	a, err = webhook.HTTPSpec(opts).Open(t.Context(), json.RawMessage(params+`,"enableBatching":true}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Do(t.Context(), &actions.Request{Payload: []byte("3")}); err != nil {
		t.Fatal(err)
	}
	var signed []string
	for _, s := range tr.all {
		signed = append(signed, s.header.Get("Authorization"))
	}
	if !slices.Equal(signed, []string{"execute-api eu-west-1 application/json 1", "execute-api eu-west-1 application/json [3]"}) {
		t.Errorf("got %q", signed)
	}
	for _, tt := range []struct {
		opts         *webhook.Options
		params, path string
	}{
		{nil, params + `}`, "auth"},
		{opts, strings.Replace(params, "arn:x", "arn:y", 1) + `}`, "auth.sigv4"},
		{opts, `{"url":"http://h","auth":{}}`, "auth.sigv4"},
		{opts, `{"url":"http://h","auth":{"sigv4":{"roleArn":"arn:x","serviceName":"s"}}}`, "auth.sigv4.signingRegion"},
		{opts, `{"url":"http://h","auth":{"sigv4":{"roleArn":"arn:${topic()}","serviceName":"s","signingRegion":"r"}}}`, "auth.sigv4.roleArn"},
	} {
		var param *actions.ParamError
		if _, err := webhook.HTTPSpec(tt.opts).Open(t.Context(), json.RawMessage(tt.params)); !errors.As(err, &param) || param.Path != tt.path {
			t.Errorf("%s: %v, want %s", tt.params, err, tt.path)
		}
	}
}
