package brokerhttp_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerhttp"
)

// fake is a Broker that keeps what is published.
type fake struct {
	published []broker.Message
	retained  []broker.Message // ordered by topic
	err       error
}

func (f *fake) PublishMessage(_ context.Context, m broker.Message) error {
	if f.err != nil {
		return f.err
	}
	f.published = append(f.published, m)
	return nil
}

func (f *fake) Retained(_ context.Context, filter string) iter.Seq2[broker.Message, error] {
	return func(yield func(broker.Message, error) bool) {
		if f.err != nil {
			yield(broker.Message{}, f.err)
			return
		}
		for _, m := range f.retained {
			if (filter == "#" || filter == m.Topic) && !yield(m, nil) {
				return
			}
		}
	}
}

func allow(*http.Request, brokerhttp.Access) (string, error) { return "principal", nil }

func newHandler(t testing.TB, b brokerhttp.Broker, opts *brokerhttp.Options) *brokerhttp.Handler {
	t.Helper()
	if opts == nil {
		opts = &brokerhttp.Options{Authorize: allow}
	}
	h, err := brokerhttp.New(b, opts)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func do(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestTopicsInPaths(t *testing.T) {
	for path, want := range map[string]string{
		"/topics/a":                         "a",
		"/topics/a/b":                       "a/b",
		"/topics/a%2Fb":                     "a/b",
		"/topics/a//b":                      "a//b",
		"/topics//b":                        "/b",
		"/topics/%2F":                       "/",
		"/topics/a/":                        "a/",
		"/topics/a/../b":                    "a/../b",
		"/topics/a%2Fb%20c%2F%24x%2B%C3%A9": "", // the plus is a wildcard
		"/topics/a%2Fb%20c%2F%24x%C3%A9":    "a/b c/$xé",
		"/topics/$aws/rules/r/a":            "$aws/rules/r/a",
		"/topics/a%23":                      "",
		"/topics/":                          "",
		"/topics/a%00":                      "",
		"/topics/%ff":                       "",
	} {
		f := &fake{}
		w := do(newHandler(t, f, nil), "POST", path, "x")
		switch {
		case want == "":
			if w.Code != 400 || w.Header().Get("X-Amzn-Errortype") != "InvalidRequestException" || len(f.published) > 0 {
				t.Errorf("%s: status %d, %s, want 400", path, w.Code, w.Body)
			}
		case w.Code != 200 || f.published[0].Topic != want:
			t.Errorf("%s: status %d, published %+v, want topic %q", path, w.Code, f.published, want)
		}
	}
}

func TestPublish(t *testing.T) {
	zero, one := byte(0), byte(1)
	tests := []struct {
		name, query, body string
		header            []string
		want              broker.Message // but for topic and principal
	}{
		{"bare", "", "\x00\xff", nil, broker.Message{Payload: []byte("\x00\xff")}},
		{"empty", "?qos=0&retain=true", "", nil, broker.Message{Retain: true, Payload: []byte{}}},
		{"all", "?qos=1&retain=true&contentType=text%2Fplain&responseTopic=r%2Ft&messageExpiry=60&other=1", "é", []string{
			"X-Amz-Mqtt5-Payload-Format-Indicator", "UTF8_DATA",
			"X-Amz-Mqtt5-Correlation-Data", b64("\x00c"),
			"X-Amz-Mqtt5-User-Properties", b64(`[{"k":"v"},{"k":"w"},{"":""}]`),
		}, broker.Message{QoS: 1, Retain: true, Payload: []byte("é"), Properties: broker.Properties{
			ContentType: "text/plain", ResponseTopic: "r/t", Expiry: time.Minute, PayloadFormat: &one, CorrelationData: []byte("\x00c"),
			User: []broker.UserProperty{{Name: "k", Value: "v"}, {Name: "k", Value: "w"}, {}},
		}}},
		{"properties that boto3 quotes", "", "x", []string{
			"X-Amz-Mqtt5-User-Properties", b64(`"[{\"k\":\"v\"}]"`),
			"X-Amz-Mqtt5-Payload-Format-Indicator", "UNSPECIFIED_BYTES",
		}, broker.Message{Payload: []byte("x"), Properties: broker.Properties{PayloadFormat: &zero, User: []broker.UserProperty{{Name: "k", Value: "v"}}}}},
		{"expiry raised", "?messageExpiry=0", "x", nil, broker.Message{Payload: []byte("x"), Properties: broker.Properties{Expiry: time.Second}}},
		{"expiry lowered", "?messageExpiry=4294967295", "x", nil, broker.Message{Payload: []byte("x"), Properties: broker.Properties{Expiry: 7 * 24 * time.Hour}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := &fake{}
			w := do(newHandler(t, f, nil), "POST", "/topics/a/b"+test.query, test.body, test.header...)
			var body struct{ Message, TraceID string }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 200 || body.Message != "OK" || len(body.TraceID) != 36 {
				t.Fatalf("status %d, %s, %v", w.Code, w.Body, err)
			}
			test.want.Topic, test.want.Principal = "a/b", "principal"
			if !reflect.DeepEqual(f.published, []broker.Message{test.want}) {
				t.Errorf("published\n got %+v\nwant %+v", f.published, test.want)
			}
		})
	}
}

func TestBadRequests(t *testing.T) {
	tests := []struct {
		name, method, target, body string
		header                     []string
		status                     int
		says                       string
	}{
		{"QoS 2", "POST", "/topics/a?qos=2", "", nil, 400, "qos"},
		{"retain", "POST", "/topics/a?retain=yes", "", nil, 400, "retain"},
		{"expiry", "POST", "/topics/a?messageExpiry=-1", "", nil, 400, "messageExpiry"},
		{"empty expiry", "POST", "/topics/a?messageExpiry=", "", nil, 400, "messageExpiry"},
		{"response topic", "POST", "/topics/a?responseTopic=a%2F%23", "", nil, 400, "responseTopic"},
		{"content type", "POST", "/topics/a?contentType=%ff", "", nil, 400, "contentType"},
		{"query", "POST", "/topics/a?qos=%zz", "", nil, 400, "query"},
		{"format", "POST", "/topics/a", "", []string{"X-Amz-Mqtt5-Payload-Format-Indicator", "1"}, 400, "Format-Indicator"},
		{"format and body", "POST", "/topics/a", "\xff", []string{"X-Amz-Mqtt5-Payload-Format-Indicator", "UTF8_DATA"}, 400, "UTF-8"},
		{"correlation", "POST", "/topics/a", "", []string{"X-Amz-Mqtt5-Correlation-Data", "!"}, 400, "Correlation-Data"},
		{"properties not base64", "POST", "/topics/a", "", []string{"X-Amz-Mqtt5-User-Properties", "!"}, 400, "byte 0"},
		{"properties not an array", "POST", "/topics/a", "", []string{"X-Amz-Mqtt5-User-Properties", b64(`{"k":"v"}`)}, 400, "not a JSON array"},
		{"properties with two members", "POST", "/topics/a", "", []string{"X-Amz-Mqtt5-User-Properties", b64(`[{"k":"v"},{"a":"b","a":"c"}]`)}, 400, "element 1"},
		{"properties with a number", "POST", "/topics/a", "", []string{"X-Amz-Mqtt5-User-Properties", b64(`[{"k":1}]`)}, 400, "element 0"},
		{"payload", "POST", "/topics/a", strings.Repeat("x", 131_073), nil, 413, "too large"},
		{"method", "PUT", "/topics/a", "", nil, 405, "not allowed"},
		{"method of retained", "POST", "/retainedMessage/a", "", nil, 405, "not allowed"},
		{"path", "GET", "/retainedMessages", "", nil, 404, "Not found"},
		{"wildcard of retained", "GET", "/retainedMessage/a%2F%2B", "", nil, 400, "wildcard at byte 2"},
		{"no retained", "GET", "/retainedMessage/a", "", nil, 404, "Not found"},
		{"maxResults", "GET", "/retainedMessage?maxResults=201", "", nil, 400, "maxResults"},
		{"token", "GET", "/retainedMessage?nextToken=!", "", nil, 400, "nextToken"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := &fake{}
			w := do(newHandler(t, f, nil), test.method, test.target, test.body, test.header...)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) || !strings.HasSuffix(w.Header().Get("X-Amzn-Errortype"), "Exception") {
				t.Errorf("status %d, %q, %s; want %d and %q", w.Code, w.Header().Get("X-Amzn-Errortype"), w.Body, test.status, test.says)
			}
			if len(f.published) > 0 {
				t.Errorf("published %+v", f.published)
			}
			if w.Code == 405 && w.Header().Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

func TestAuthorize(t *testing.T) {
	var asked []string
	h := newHandler(t, &fake{retained: []broker.Message{{Topic: "a/b", Payload: []byte("x")}}}, &brokerhttp.Options{
		Authorize: func(r *http.Request, a brokerhttp.Access) (string, error) {
			asked = append(asked, a.Action+" "+a.Topic)
			switch r.Header.Get("Authorization") {
			case "":
				return "", brokerhttp.ErrUnauthenticated
			case a.Action:
				return "", fmt.Errorf("no: %w", broker.ErrNotAuthorized)
			}
			return "p", nil
		},
	})
	tests := []struct {
		method, target, token string
		status                int
		asked                 []string
	}{
		{"POST", "/topics/a/b", "", 401, []string{"iot:Publish a/b"}},
		{"POST", "/topics/a/b", "iot:Publish", 403, []string{"iot:Publish a/b"}},
		{"POST", "/topics/a/b", "x", 200, []string{"iot:Publish a/b"}},
		{"POST", "/topics/a/b?retain=true", "iot:RetainPublish", 403, []string{"iot:Publish a/b", "iot:RetainPublish a/b"}},
		{"POST", "/topics/a/b?retain=true", "x", 200, []string{"iot:Publish a/b", "iot:RetainPublish a/b"}},
		{"GET", "/retainedMessage/a/b", "iot:GetRetainedMessage", 403, []string{"iot:GetRetainedMessage a/b"}},
		{"GET", "/retainedMessage/a/b", "x", 200, []string{"iot:GetRetainedMessage a/b"}},
		{"GET", "/retainedMessage", "iot:ListRetainedMessages", 403, []string{"iot:ListRetainedMessages "}},
		{"GET", "/retainedMessage", "x", 200, []string{"iot:ListRetainedMessages "}},
	}
	for _, test := range tests {
		asked = nil
		w := do(h, test.method, test.target, "x", "Authorization", test.token)
		if w.Code != test.status || !slices.Equal(asked, test.asked) {
			t.Errorf("%s %s with %q: status %d, asked %q; want %d, %q", test.method, test.target, test.token, w.Code, asked, test.status, test.asked)
		}
	}
	if w := do(newHandler(t, &fake{}, &brokerhttp.Options{}), "POST", "/topics/a", "x"); w.Code != 403 {
		t.Errorf("without Authorize a publish gets %d, want 403", w.Code)
	}
}

func TestRetained(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)
	f := &fake{}
	for _, topic := range []string{"a", "a/b", "b", "c", "d"} {
		f.retained = append(f.retained, broker.Message{Topic: topic, Payload: []byte("x-" + topic), QoS: 1, Time: now.Add(-time.Minute)})
	}
	f.retained[1].Properties.User = []broker.UserProperty{{Name: "k", Value: "v"}}
	f.retained[2].Properties.Expiry = time.Minute // expired now
	f.retained[3].Properties.Expiry = time.Minute + time.Second
	h := newHandler(t, f, &brokerhttp.Options{Authorize: allow, Now: func() time.Time { return now }})

	for target, want := range map[string]string{
		"/retainedMessage/a%2Fb": `{"topic":"a/b","payload":"` + b64("x-a/b") + `","qos":1,"lastModifiedTime":1770091446789,"userProperties":"` + b64(`[{"k":"v"}]`) + `"}`,
		"/retainedMessage/c":     `{"topic":"c","payload":"` + b64("x-c") + `","qos":1,"lastModifiedTime":1770091446789}`,
	} {
		if w := do(h, "GET", target, ""); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: status %d\n got %s\nwant %s", target, w.Code, w.Body, want)
		}
	}
	if w := do(h, "GET", "/retainedMessage/b", ""); w.Code != 404 {
		t.Errorf("an expired message gets %d, want 404", w.Code)
	}

	var pages [][]string
	token := ""
	for len(pages) < 5 {
		w := do(h, "GET", "/retainedMessage?maxResults=2&nextToken="+url.QueryEscape(token), "")
		var page struct {
			RetainedTopics []struct {
				Topic            string
				PayloadSize, QoS int
				LastModifiedTime int64
			}
			NextToken string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != 200 {
			t.Fatalf("status %d, %s, %v", w.Code, w.Body, err)
		}
		var topics []string
		for _, r := range page.RetainedTopics {
			if r.PayloadSize != len("x-"+r.Topic) || r.QoS != 1 || r.LastModifiedTime != 1770091446789 {
				t.Errorf("listed %+v", r)
			}
			topics = append(topics, r.Topic)
		}
		pages = append(pages, topics)
		if token = page.NextToken; token == "" {
			break
		}
	}
	if want := [][]string{{"a", "a/b"}, {"c", "d"}}; !reflect.DeepEqual(pages, want) {
		t.Errorf("pages %q, want %q", pages, want)
	}
	if w := do(newHandler(t, &fake{}, nil), "GET", "/retainedMessage", ""); w.Body.String() != `{"retainedTopics":[]}` {
		t.Errorf("an empty list is %s", w.Body)
	}
}

func TestServes(t *testing.T) {
	for target, want := range map[string]bool{
		"/topics/a//b": true, "/topics": false, "/retainedMessage": true, "/retainedMessage/a": true, "/retainedMessages": false, "/things/t/shadow": false,
	} {
		if got := brokerhttp.Serves(httptest.NewRequest("GET", target, nil)); got != want {
			t.Errorf("Serves(%s) is %v", target, got)
		}
	}
}

func TestOptions(t *testing.T) {
	if _, err := brokerhttp.New(nil, nil); err == nil {
		t.Error("New without a broker gives no error")
	}
	_, err := brokerhttp.New(&fake{}, &brokerhttp.Options{MaxPayloadBytes: -1, MaxExpiry: -1})
	if err == nil || !strings.Contains(err.Error(), "MaxPayloadBytes") || !strings.Contains(err.Error(), "MaxExpiry") {
		t.Errorf("New gives %v, want an error that names both options", err)
	}
}

// FuzzPublish looks for panics, and for answers outside the table.
func FuzzPublish(f *testing.F) {
	f.Add("/topics/a%2Fb", "qos=1&messageExpiry=3", b64(`[{"k":"v"}]`))
	f.Add("/retainedMessage", "maxResults=1&nextToken=YQ", b64(`"[]"`))
	f.Add("/topics//", "retain=true", b64(`[{"k":{}}]`))
	f.Fuzz(func(t *testing.T, path, query, user string) {
		if !strings.HasPrefix(path, "/") {
			return
		}
		r := &http.Request{Method: "POST", URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{"X-Amz-Mqtt5-User-Properties": {user}}, Body: http.NoBody}
		w := httptest.NewRecorder()
		b := &fake{}
		newHandler(t, b, nil).ServeHTTP(w, r.WithContext(t.Context()))
		if w.Code >= 500 || (w.Code == 200) != (len(b.published) == 1) || !json.Valid(w.Body.Bytes()) {
			t.Errorf("status %d, %d published, %s", w.Code, len(b.published), w.Body)
		}
	})
}

var errUnknown = errors.New("the disk is on fire")

func TestInternalErrorsAreNotTold(t *testing.T) {
	for _, target := range []string{"POST /topics/a", "GET /retainedMessage/a", "GET /retainedMessage"} {
		method, path, _ := strings.Cut(target, " ")
		w := do(newHandler(t, &fake{err: errUnknown}, nil), method, path, "x")
		if w.Code != 500 || strings.Contains(w.Body.String(), "fire") || w.Header().Get("X-Amzn-Errortype") != "InternalFailureException" {
			t.Errorf("%s: status %d, %s", target, w.Code, w.Body)
		}
	}
}
