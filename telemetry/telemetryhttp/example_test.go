package telemetryhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/thingloom/thingloom/telemetry"
	"github.com/thingloom/thingloom/telemetry/telemetryhttp"
)

// A page asks for the current values, and for what comes.
func Example() {
	live := telemetry.NewLive(nil)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics/now", telemetryhttp.Values(live))
	mux.Handle("GET /metrics/live", telemetryhttp.Events(live, nil))

	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	// A consumer of a stream does this.
	err := live.Write(context.Background(), telemetry.Batch{Records: []telemetry.Record{{Key: "s1", Time: noon, Value: []byte(`{"t":20.5}`)}}})
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/metrics/now", nil))
	fmt.Print(w.Body)
	fmt.Println(err)
	// Output:
	// [{"key":"s1","time":"2026-03-01T12:00:00Z","partition":0,"value":{"t":20.5}}]
	// <nil>
}
