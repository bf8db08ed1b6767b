package telemetryhttp

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/telemetry"
)

func TestRecords(t *testing.T) {
	log := telemetry.NewMemLog(2, 0)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, value := range []string{`{"t": 20.5}`, "\xff\x00", "", `1`} {
		if _, err := log.Append(t.Context(), 1, []telemetry.Record{{Key: "s1", Time: at, Value: []byte(value)}}); err != nil {
			t.Fatal(err)
		}
	}
	h := Records(log, &Options{MaxList: 3})
	const head = `"partition":1,"offset":%d,"key":"s1","time":"2026-03-01T12:00:00Z",`
	for _, tt := range []struct {
		method, query string
		status        int
		want          string
	}{
		{"GET", "?partition=1", 200, fmt.Sprintf(`{"records":[{`+head+`"value":{"t":20.5}},{`+head+`"base64":"/wA="},{`+head+`"base64":""}],"partitions":2,"first":0,"next":3,"end":4}`, 0, 1, 2)},
		{"GET", "?partition=1&from=3", 200, fmt.Sprintf(`{"records":[{`+head+`"value":1}],"partitions":2,"first":0,"next":4,"end":4}`, 3)},
		{"GET", "?partition=1&from=1&limit=1", 200, fmt.Sprintf(`{"records":[{`+head+`"base64":"/wA="}],"partitions":2,"first":0,"next":2,"end":4}`, 1)},
		{"GET", "", 200, `{"records":[],"partitions":2,"first":0,"next":0,"end":0}`},
		{"GET", "?partition=2", 400, `{"message":"partition is \"2\", not a number of the range 0 to 1"}`},
		{"GET", "?from=-1", 400, `from is`},
		{"GET", "?limit=4", 400, `limit is`},
		{"GET", "?limit=x", 400, `limit is`},
		{"POST", "", 405, `only GET`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tt.method, "/"+tt.query, nil))
		if body := w.Body.String(); w.Code != tt.status || !strings.Contains(body, tt.want) || !json.Valid([]byte(body)) {
			t.Errorf("%s %s: %d %s\nwant %d %s", tt.method, tt.query, w.Code, body, tt.status, tt.want)
		}
	}
}

// A page is bounded by bytes as well.
func TestRecordsOfManyBytes(t *testing.T) {
	log := telemetry.NewMemLog(1, 0)
	value := []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	for range 6 {
		if _, err := log.Append(t.Context(), 0, []telemetry.Record{{Key: "k", Value: value}}); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	Records(log, nil).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	var page recordPage
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Records) != 4 || page.Next != 4 || page.End != 6 {
		t.Errorf("%d records, next %d, end %d, %v", len(page.Records), page.Next, page.End, err)
	}
}
