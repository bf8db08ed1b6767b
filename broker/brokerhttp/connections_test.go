package brokerhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerhttp"
)

// device connects an MQTT 5 client of the id, with a session that is kept, a will, and
// three subscriptions, and returns what the broker says at its end.
func device(t *testing.T, b *broker.Broker, id string) (end func() []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = b.ServeConn(context.Background(), s); close(done) }() // how it ends is what the test looks at
	t.Cleanup(func() { c.Close(); <-done })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	text := func(s string) string { return string([]byte{0, byte(len(s))}) + s }
	body := text("MQTT") + "\x05\x06\x00\x3c\x05\x11\x00\x00\x0e\x10" + text(id) + "\x00" + text("will") + text("gone")
	sub := "\x00\x01\x00" + text("a/1") + "\x00" + text("b/#") + "\x01" + text("c") + "\x00"
	if _, err := io.WriteString(c, "\x10"+string(rune(len(body)))+body+"\x82"+string(rune(len(sub)))+sub); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		head := make([]byte, 2)
		if _, err := io.ReadFull(c, head); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, head[1])); err != nil {
			t.Fatal(err)
		}
	}
	return func() []byte {
		all, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		<-done
		return all
	}
}

func TestConnections(t *testing.T) {
	b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
	if err != nil {
		t.Fatal(err)
	}
	wills := make(chan string, 8)
	if _, err := b.Subscribe("will", func(_ context.Context, _ string, p []byte) error { wills <- string(p); return nil }); err != nil {
		t.Fatal(err)
	}
	var asked []string
	h, err := brokerhttp.New(b, &brokerhttp.Options{
		Authorize: func(_ *http.Request, a brokerhttp.Access) (string, error) {
			asked = append(asked, a.Action+" "+a.Resource())
			if a.ClientID == "forbidden" {
				return "", brokerhttp.ErrForbidden
			}
			return "p", nil
		},
		Thing: func(c broker.ClientInfo) string { return "thing of " + c.ClientID },
	})
	if err != nil {
		t.Fatal(err)
	}
	do := func(method, path string) (int, string) {
		t.Helper()
		r := httptest.NewRequest(method, path, nil)
		if !brokerhttp.Serves(r) {
			t.Errorf("%s is not served", path)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	end := device(t, b, "c/1")
	status, body := do("GET", "/connections/c%2F1?includeSocketInformation=true")
	var got struct {
		Connected                                        bool
		ClientID, ThingName, DisconnectReason, SourceIP  string
		CleanSession                                     bool
		SessionExpiry, KeepAliveDuration, ConnectedSince int64
		DisconnectedSince, SourcePort                    int64
	}
	if err := json.Unmarshal([]byte(body), &got); status != 200 || err != nil || !got.Connected || got.ClientID != "c/1" || got.ThingName != "thing of c/1" ||
		!got.CleanSession || got.SessionExpiry != 3600 || got.KeepAliveDuration != 60 || got.ConnectedSince == 0 || got.SourceIP != "127.0.0.1" || got.SourcePort == 0 {
		t.Errorf("GetConnection: %d %s", status, body)
	}
	if _, body := do("GET", "/connections/c%2F1"); strings.Contains(body, "sourceIp") {
		t.Errorf("without being asked: %s", body)
	}
	if status, body := do("GET", "/connections/c%2F1/subscriptions?maxResults=2"); status != 200 ||
		!strings.HasPrefix(body, `{"subscriptions":[{"topicFilter":"a/1","qos":0},{"topicFilter":"b/#","qos":1}],"nextToken":"`) {
		t.Errorf("ListSubscriptions: %d %s", status, body)
	} else {
		var page struct{ NextToken string }
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		if _, body := do("GET", "/connections/c%2F1/subscriptions?nextToken="+page.NextToken); body != `{"subscriptions":[{"topicFilter":"c","qos":0}]}` {
			t.Errorf("the second page: %s", body)
		}
	}
	if status, body := do("DELETE", "/connections/c%2F1?preventWillMessage=true"); status != 200 || body != "{}" {
		t.Errorf("DeleteConnection: %d %s", status, body)
	}
	if all := end(); string(all) != "\xe0\x01\x98" {
		t.Errorf("the client got %x, want DISCONNECT 0x98", all)
	}
	if len(wills) > 0 {
		t.Error("the will was published although it was to be suppressed")
	}
	if _, body := do("GET", "/connections/c%2F1"); !strings.Contains(body, `"connected":false`) || !strings.Contains(body, `"disconnectReason":"API_INITIATED_DISCONNECT"`) || !strings.Contains(body, "disconnectedSince") {
		t.Errorf("after it: %s", body)
	}
	if status, _ := do("DELETE", "/connections/c%2F1?cleanSession=true"); status != 200 {
		t.Errorf("ending the session of a client that is away: %d", status)
	}
	if status, _ := do("GET", "/connections/c%2F1"); status != 404 {
		t.Errorf("after its session has ended: %d", status)
	}
	end = device(t, b, "d")
	if status, _ := do("DELETE", "/connections/d"); status != 200 {
		t.Errorf("DeleteConnection: %d", status)
	}
	end()
	if will := <-wills; will != "gone" {
		t.Errorf("the will is %q", will)
	}
	if want := "iot:GetConnection client/c/1"; asked[0] != want {
		t.Errorf("asked for %q, want %q", asked[0], want)
	}
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/connections/nobody", 404},
		{"POST", "/connections/nobody/messages", 501},
		{"DELETE", "/connections/nobody", 404},
		{"GET", "/connections/nobody/subscriptions", 404},
		{"GET", "/connections/", 400},
		{"GET", "/connections/x/other", 404},
		{"POST", "/connections/x", 405},
		{"DELETE", "/connections/x/subscriptions", 405},
		{"GET", "/connections/forbidden", 403},
		{"DELETE", "/connections/forbidden", 403},
		{"GET", "/connections/forbidden/subscriptions", 403},
		{"DELETE", "/connections/d?cleanSession=yes", 400},
		{"DELETE", "/connections/d?preventWillMessage=1", 400},
		{"GET", "/connections/d?includeSocketInformation=x", 400},
		{"GET", "/connections/d/subscriptions?maxResults=0", 400},
		{"GET", "/connections/d/subscriptions?nextToken=*", 400},
	} {
		if status, body := do(test.method, test.path); status != test.status {
			t.Errorf("%s %s: %d %s, want %d", test.method, test.path, status, body, test.status)
		}
	}
}

// TestConnectionsNeedABroker asks a Broker without them.
func TestConnectionsNeedABroker(t *testing.T) {
	w := httptest.NewRecorder()
	newHandler(t, &fake{err: errors.New("unused")}, nil).ServeHTTP(w, httptest.NewRequest("GET", "/connections/c", nil))
	if w.Code != 404 {
		t.Error(fmt.Sprint(w.Code, w.Body))
	}
}
