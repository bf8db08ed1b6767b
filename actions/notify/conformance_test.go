package notify_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/notify"
)

func TestConformance(t *testing.T) {
	actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
		var n atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { n.Add(1) }))
		t.Cleanup(server.Close)
		return actionstest.Plugin{
			Spec: notify.Spec(&notify.Options{URL: server.URL + "/alerts"}), Params: json.RawMessage(`{"message":"n is ${n}"}`),
			Invalid:   []json.RawMessage{json.RawMessage(`{}`), json.RawMessage(`{"message":"m","priority":9}`)},
			Delivered: func() int { return int(n.Load()) },
		}
	})
}
