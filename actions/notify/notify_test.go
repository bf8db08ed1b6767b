package notify_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/notify"
)

func TestNotification(t *testing.T) {
	var path, auth, id, body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		path, auth, id, body = r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("X-Request-Id"), string(b)
	}))
	defer server.Close()
	spec := notify.Spec(&notify.Options{URL: server.URL + "/push/alerts", Token: "secret"})
	a, err := spec.Open(t.Context(), json.RawMessage(`{"title":"${topic(2)} is hot","message":"${temperature} degrees","priority":4,"tags":["warning"]}`))
	if err != nil {
		t.Fatal(err)
	}
	r := &actions.Request{ID: "7", Topic: "sensors/s1", Payload: []byte(`{}`), Source: []byte(`{"temperature":31.5}`)}
	if err := a.Do(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if path != "/push/" || auth != "Bearer secret" || id != "7" {
		t.Errorf("path %q, authorization %q, id %q", path, auth, id)
	}
	if want := `{"topic":"alerts","title":"s1 is hot","message":"31.5 degrees","priority":4,"tags":["warning"]}`; body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}

func TestAnswers(t *testing.T) {
	for status, permanent := range map[int]bool{302: true, 400: true, 403: true, 429: false, 500: false, 503: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(status)
		}))
		a, err := notify.Spec(nil).Open(t.Context(), json.RawMessage(`{"url":"`+server.URL+`/t","message":"m"}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Do(t.Context(), &actions.Request{Source: []byte(`{}`)}); err == nil || actions.IsPermanent(err) != permanent {
			t.Errorf("%d: got %v", status, err)
		}
		server.Close()
	}
}

func TestEmptyMessage(t *testing.T) {
	a, err := notify.Spec(nil).Open(t.Context(), json.RawMessage(`{"url":"http://127.0.0.1:1/t","message":"${nothing}"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Do(t.Context(), &actions.Request{Source: []byte(`{}`)}); !actions.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestWrongParams(t *testing.T) {
	for params, path := range map[string]string{
		`{"url":"ftp://x/t","message":"m"}`:               "url",
		`{"url":"http://x","message":"m"}`:                "url",
		`{"message":"m"}`:                                 "url",
		`{"url":"http://x/t","message":"m","priority":6}`: "priority",
	} {
		var param *actions.ParamError
		if _, err := notify.Spec(nil).Open(t.Context(), json.RawMessage(params)); !errors.As(err, &param) || param.Path != path {
			t.Errorf("%s: got %v", params, err)
		}
	}
}
