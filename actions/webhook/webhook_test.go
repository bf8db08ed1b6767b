package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/webhook"
)

// A got is one request as the server saw it.
type got struct {
	method, path, body string
	header             http.Header
}

type server struct {
	*httptest.Server
	mu  sync.Mutex
	all []got
}

func serve(t *testing.T, answer http.HandlerFunc) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.all = append(s.all, got{r.Method, r.URL.Path, string(body), r.Header.Clone()})
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) requests() []got {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]got(nil), s.all...)
}

func open(t *testing.T, opts *webhook.Options, params string) actions.Action {
	t.Helper()
	a, err := webhook.Spec(opts).Open(t.Context(), json.RawMessage(params))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestConformance(t *testing.T) {
	actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
		s := serve(t, nil)
		return actionstest.Plugin{
			Spec: webhook.Spec(nil), Params: json.RawMessage(`{"url":"` + s.URL + `/hook"}`),
			Invalid:   []json.RawMessage{json.RawMessage(`{}`), json.RawMessage(`{"url":"ftp://x"}`)},
			Delivered: func() int { return len(s.requests()) },
		}
	})
}

func TestPosts(t *testing.T) {
	s := serve(t, nil)
	a := open(t, nil, `{"url":"`+s.URL+`/sensors/${topic(2)}","confirmationUrl":"`+s.URL+`/sensors/",
		"headers":[{"key":"X-Thing","value":"${topic(2)}"},{"key":"X-Thing","value":"b"}]}`)
	r := &actions.Request{ID: "7", Topic: "sensors/s1", Payload: []byte(`{"t":31}`), Source: []byte(`{"t":31,"x":1}`)}
	if err := a.Do(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.Payload = []byte{0xff, 0}
	if err := a.Do(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	all := s.requests()
	if len(all) != 2 {
		t.Fatalf("%d requests", len(all))
	}
	g := all[0]
	if g.method != "POST" || g.path != "/sensors/s1" || g.body != `{"t":31}` || g.header.Get("Content-Type") != "application/json" ||
		g.header.Get("X-Request-Id") != "7" || strings.Join(g.header["X-Thing"], ",") != "s1,b" {
		t.Errorf("got %+v", g)
	}
	if all[1].header.Get("Content-Type") != "application/octet-stream" || all[1].body != "\xff\x00" {
		t.Errorf("bytes: got %+v", all[1])
	}
}

func TestContentTypeOfTheRule(t *testing.T) {
	s := serve(t, nil)
	a := open(t, nil, `{"url":"`+s.URL+`","headers":[{"key":"content-type","value":"text/csv"}]}`)
	if err := a.Do(t.Context(), &actions.Request{Payload: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if ct := s.requests()[0].header["Content-Type"]; len(ct) != 1 || ct[0] != "text/csv" {
		t.Errorf("got %q", ct)
	}
}

func TestAnswers(t *testing.T) {
	for status, permanent := range map[int]bool{301: true, 400: true, 401: true, 404: true, 429: false, 500: false, 503: false} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "because", status) })
			err := open(t, nil, `{"url":"`+s.URL+`"}`).Do(t.Context(), &actions.Request{})
			if err == nil || actions.IsPermanent(err) != permanent || !strings.Contains(err.Error(), "because") {
				t.Errorf("got %v, permanent %v", err, actions.IsPermanent(err))
			}
		})
	}
}

func TestLongAnswerIsFinal(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		w.Write(make([]byte, 101))
	})
	err := open(t, &webhook.Options{MaxResponseBytes: 100}, `{"url":"`+s.URL+`"}`).Do(t.Context(), &actions.Request{})
	if !actions.IsPermanent(err) || !strings.Contains(err.Error(), "longer than 100") {
		t.Errorf("got %v", err)
	}
}

func TestNoConnectionIsTriedAgain(t *testing.T) {
	s := serve(t, nil)
	a := open(t, nil, `{"url":"`+s.URL+`"}`)
	s.Close()
	if err := a.Do(t.Context(), &actions.Request{}); err == nil || actions.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestRedirects(t *testing.T) {
	elsewhere := serve(t, nil)
	for _, tt := range []struct {
		name    string
		status  int
		to      string
		reaches bool
	}{
		{"within the origin, keeping the method", 307, "/end", true},
		{"within the origin, as a GET", 302, "/end", false},
		{"elsewhere", 307, elsewhere.URL + "/end", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/start" {
					w.Header().Set("Location", tt.to)
					w.WriteHeader(tt.status)
				}
			})
			err := open(t, nil, `{"url":"`+s.URL+`/start"}`).Do(t.Context(), &actions.Request{Payload: []byte("x")})
			if tt.reaches != (err == nil) || !tt.reaches && !actions.IsPermanent(err) {
				t.Errorf("got %v", err)
			}
			if all := s.requests(); tt.reaches && (len(all) != 2 || all[1].body != "x") || !tt.reaches && len(all) != 1 {
				t.Errorf("requests %+v", all)
			}
		})
	}
	if n := len(elsewhere.requests()); n > 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// No message may choose where a request goes, beyond what the rule says.
func TestStaysBelowConfirmationURL(t *testing.T) {
	s := serve(t, nil)
	a := open(t, nil, `{"url":"${u}","confirmationUrl":"`+s.URL+`/hooks"}`)
	for path, ok := range map[string]bool{
		"/hooks": true, "/hooks/a": true, "/hooks?x=1": true,
		"/hooksx": false, "/": false, "/hooks/../admin": false, "/hooks/%2e%2e/admin": false, "": false,
	} {
		source, err := json.Marshal(map[string]string{"u": s.URL + path})
		if err != nil {
			t.Fatal(err)
		}
		err = a.Do(t.Context(), &actions.Request{Source: source})
		if ok != (err == nil) || !ok && !actions.IsPermanent(err) {
			t.Errorf("%q: got %v", path, err)
		}
	}
	for _, u := range []string{strings.Replace(s.URL, "http:", "https:", 1) + "/hooks", s.URL + ".evil.example/hooks", "file:///etc/passwd", "http://u:p@" + s.URL[7:] + "/hooks"} {
		if err := a.Do(t.Context(), &actions.Request{Source: []byte(`{"u":"` + u + `"}`)}); !actions.IsPermanent(err) {
			t.Errorf("%q: got %v", u, err)
		}
	}
	if n := len(s.requests()); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

func TestHeaderInjection(t *testing.T) {
	s := serve(t, nil)
	a := open(t, nil, `{"url":"`+s.URL+`","headers":[{"key":"X","value":"${v}"}]}`)
	if err := a.Do(t.Context(), &actions.Request{Source: []byte(`{"v":"a\r\nX-Admin: 1"}`)}); !actions.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	if len(s.requests()) != 0 {
		t.Error("the request was sent")
	}
}

func TestWrongParams(t *testing.T) {
	for params, path := range map[string]string{
		`{}`:                            "url",
		`{"url":"x"}`:                   "url",
		`{"url":"http://u:p@h/"}`:       "url",
		`{"url":"${"}`:                  "url",
		`{"url":"http://h/${topic()}"}`: "confirmationUrl",
		`{"url":"http://h/${topic()}","confirmationUrl":"h"}`:                                                         "confirmationUrl",
		`{"url":"http://h/a","confirmationUrl":"http://h/b"}`:                                                         "url",
		`{"url":"http://h","headers":[{"key":"a b","value":""}]}`:                                                     "headers[0].key",
		`{"url":"http://h","headers":[{"key":"Host","value":"x"}]}`:                                                   "headers[0].key",
		`{"url":"http://h","headers":[{"key":"X"}]}`:                                                                  "headers[0].value",
		`{"url":"http://h","headers":[{"key":"X","value":"","x":0}]}`:                                                 "headers[0].x",
		`{"url":"http://h/` + strings.Repeat("a", 2048) + `"}`:                                                        "url",
		`{"url":"http://h","headers":[` + strings.Repeat(`{"key":"X","value":""},`, 100) + `{"key":"X","value":""}]}`: "headers",
	} {
		var param *actions.ParamError
		if _, err := webhook.Spec(nil).Open(t.Context(), json.RawMessage(params)); !errors.As(err, &param) || param.Path != path {
			t.Errorf("%.80s: got %v, want a fault of %s", params, err, path)
		}
	}
}

// Behind a dispatcher: two refusals, then success, and no further attempt.
func TestBehindDispatcher(t *testing.T) {
	var n atomic.Int32
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) < 3 {
			w.WriteHeader(503)
		}
	})
	cat, err := actions.NewCatalog(webhook.Spec(&webhook.Options{Name: "http", Retry: &actions.RetryPolicy{Min: time.Millisecond}}))
	if err != nil {
		t.Fatal(err)
	}
	d, err := actions.NewDispatcher(cat, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	a, err := d.Open(ctx, "http", json.RawMessage(`{"url":"`+s.URL+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	outcome := make(chan error, 1)
	if err := a.Do(ctx, &actions.Request{Payload: []byte("x"), Done: func(err error) { outcome <- err }}); err != nil {
		t.Fatal(err)
	}
	if err := <-outcome; err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	ids := map[string]bool{}
	for _, g := range s.requests() {
		ids[g.header.Get("X-Request-Id")] = true
	}
	if st := d.Stats()[0]; st.Attempts != 3 || st.Delivered != 1 || len(ids) != 1 {
		t.Errorf("%+v, ids %v", st, ids)
	}
}
