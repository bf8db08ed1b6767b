package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/notify"
)

type topics struct {
	mu   sync.Mutex
	sent []string
}

func (s *topics) Publish(_ context.Context, topic, message, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, id+" "+topic+" "+message)
	return nil
}

func (s *topics) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent)
}

func TestSNSConformance(t *testing.T) {
	actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
		s := new(topics)
		p := actionstest.Plugin{Spec: notify.SNSSpec(s), Params: json.RawMessage(`{"targetArn":"arn:aws:sns:us-east-1:1:alarms","roleArn":"arn:x"}`), Delivered: s.count}
		for _, invalid := range []string{`{"targetArn":"arn:aws:sns:us-east-1:1:alarms"}`, `{"targetArn":"alarms","roleArn":"arn:x"}`, `{"targetArn":"arn:aws:sns:us-east-1:1:a.fifo","roleArn":"arn:x"}`,
			`{"targetArn":"arn:aws:sns:us-east-1:1:endpoint/GCM/a/b","roleArn":"arn:x"}`, `{"targetArn":"arn:aws:sqs:us-east-1:1:a","roleArn":"arn:x"}`, `{"targetArn":"arn:aws:sns:us-east-1:1:","roleArn":"arn:x"}`,
			`{"targetArn":"arn:aws:sns:us-east-1:1:a","messageFormat":"TEXT","roleArn":"arn:x"}`} {
			p.Invalid = append(p.Invalid, json.RawMessage(invalid))
		}
		return p
	})
}

func TestSNS(t *testing.T) {
	s := new(topics)
	for _, tt := range []struct{ format, payload, want, fails string }{
		{``, `{"t":31}`, `7 hot {"t":31}`, ""},
		{`,"messageFormat":"RAW"`, `plain text`, `7 hot plain text`, ""},
		{`,"messageFormat":"JSON"`, `{"default":"it is hot","email":"Dear all, it is hot"}`, `7 hot it is hot`, ""},
		{`,"messageFormat":"JSON"`, `{"email":"x"}`, ``, "no member default"},
		{`,"messageFormat":"JSON"`, `{"default":7}`, ``, "no object of texts"},
		{`,"messageFormat":"JSON"`, `hot`, ``, "no object of texts"},
		{``, "\xff", ``, "not UTF-8"},
		{``, "", ``, "empty"},
	} {
		s.sent = nil
		a, err := notify.SNSSpec(s).Open(t.Context(), json.RawMessage(`{"targetArn":"arn:aws:sns:eu-west-1:1:${topic(2)}","roleArn":"arn:x"`+tt.format+`}`))
		if err != nil {
			t.Fatal(err)
		}
		err = a.Do(t.Context(), &actions.Request{ID: "7", Topic: "alarms/hot", Payload: []byte(tt.payload)})
		var about interface{ Resource() string }
		switch {
		case tt.fails == "":
			if err != nil || !slices.Equal(s.sent, []string{tt.want}) {
				t.Errorf("%s %s: %q, %v, want %q", tt.format, tt.payload, s.sent, err, tt.want)
			}
		case !actions.IsPermanent(err) || !strings.Contains(err.Error(), tt.fails) || s.sent != nil || !errors.As(err, &about) || about.Resource() != "arn:aws:sns:eu-west-1:1:hot":
			t.Errorf("%s %s: %q, %v, want %q", tt.format, tt.payload, s.sent, err, tt.fails)
		}
		if err := a.Do(t.Context(), &actions.Request{Topic: "alarms/x y", Payload: []byte("m")}); !actions.IsPermanent(err) || !strings.Contains(err.Error(), "no name of a topic") {
			t.Errorf("a topic of a message: %v", err)
		}
	}
}

func TestServer(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = r.URL.Path + " " + r.Header.Get("Authorization") + " " + r.Header.Get("X-Request-Id") + " " + string(b)
		if strings.Contains(got, "refused") {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer server.Close()
	s, err := notify.NewServer(&notify.Options{URL: server.URL + "/push/alerts", Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(t.Context(), "hot", "31", "7"); err != nil || got != `/push/ Bearer secret 7 {"topic":"hot","title":"hot","message":"31"}` {
		t.Errorf("%s, %v", got, err)
	}
	if err := s.Publish(t.Context(), "hot", "refused", "8"); !actions.IsPermanent(err) {
		t.Errorf("%v", err)
	}
	if _, err := notify.NewServer(&notify.Options{URL: "ftp://x"}); err == nil {
		t.Error("a server that is none")
	}
}
