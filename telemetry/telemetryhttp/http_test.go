package telemetryhttp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/telemetry"
	"github.com/thingloom/thingloom/telemetry/telemetryhttp"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func feed(t *testing.T, l *telemetry.Live, keys ...string) {
	t.Helper()
	var b telemetry.Batch
	for i, k := range keys {
		b.Records = append(b.Records, telemetry.Record{Key: k, Time: noon, Value: fmt.Appendf(nil, "{\"i\":\n%d}", i)})
	}
	if err := l.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// pipeWriter is a ResponseWriter whose body is read while it is written.
type pipeWriter struct {
	header http.Header
	status int
	w      *io.PipeWriter
}

func (p *pipeWriter) Header() http.Header         { return p.header }
func (p *pipeWriter) WriteHeader(status int)      { p.status = status }
func (p *pipeWriter) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p *pipeWriter) Flush()                      {}

// get starts a request for events and returns a function that reads the next
// event or comment, and one that ends it.
func get(t *testing.T, h http.Handler, target, last string) (next func() string, end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "GET", target, nil)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(&pipeWriter{header: http.Header{}, w: pw}, r)
		pw.Close()
	}()
	lines := bufio.NewReader(pr)
	next = func() string {
		var b strings.Builder
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return "end"
			}
			if line == "\n" {
				return b.String()
			}
			b.WriteString(line)
		}
	}
	return next, func() {
		cancel()
		pr.Close()
		<-done
	}
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		live := telemetry.NewLive(nil)
		h := telemetryhttp.Events(live, nil)
		feed(t, live, "a", "b", "a")
		next, end := get(t, h, "/", "")
		if got := next(); got != "retry: 2000\n" {
			t.Errorf("first is %q", got)
		}
		if got := next(); !strings.HasPrefix(got, "id: ") || !strings.HasSuffix(got, "-2\ndata: {\"key\":\"b\",\"time\":\"2026-03-01T12:00:00Z\",\"partition\":0,\"value\":{\"i\":1}}\n") {
			t.Errorf("replay is %q", got)
		}
		a := next()
		feed(t, live, "c")
		c := next()
		if !strings.Contains(a, `"i":2`) || !strings.Contains(c, `"key":"c"`) {
			t.Errorf("events are %q and %q", a, c)
		}
		if got := next(); got != ": beat\n" { // 15 seconds of the bubble later
			t.Errorf("heartbeat is %q", got)
		}
		end()
		last := strings.TrimPrefix(strings.SplitN(a, "\n", 2)[0], "id: ")
		feed(t, live, "d")
		next, end = get(t, h, "/", last)
		next()
		if c, d := next(), next(); !strings.Contains(c, `"key":"c"`) || !strings.Contains(d, `"key":"d"`) {
			t.Errorf("missed were %q and %q", c, d)
		}
		end()
		for _, other := range []string{"x-3", "3", "-", last + "x"} {
			next, end = get(t, h, "/?key=c&key=b", other)
			next()
			if b, c := next(), next(); !strings.Contains(b, `"key":"b"`) || !strings.Contains(c, `"key":"c"`) {
				t.Errorf("Last-Event-ID %q: %q and %q", other, b, c)
			}
			end()
		}
		if st := live.Stats(); st.Subscribers != 0 {
			t.Errorf("%d subscribers are left", st.Subscribers)
		}
	})
}

func TestEventsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		live := telemetry.NewLive(&telemetry.LiveOptions{MaxSubscribers: 1, Buffer: 1})
		h := telemetryhttp.Events(live, nil)
		next, end := get(t, h, "/", "")
		next()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "too many subscribers") {
			t.Errorf("second subscriber: %d %s", w.Code, w.Body)
		}
		// Nobody reads: one event is in the pipe, one waits, the third is too many.
		for range 4 {
			feed(t, live, "a")
			synctest.Wait()
		}
		if st := live.Stats(); st.Dropped != 1 {
			t.Errorf("stats are %+v", st)
		}
		for next() != "end" {
		}
		end()
	})
}

func TestValues(t *testing.T) {
	live := telemetry.NewLive(nil)
	h := telemetryhttp.Values(live)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Body.String() != "[]\n" {
		t.Errorf("empty is %s", w.Body)
	}
	feed(t, live, "b", "a")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	var got []struct {
		Key   string
		Value struct{ I int }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || fmt.Sprint(got) != "[{a {1}} {b {0}}]" {
		t.Errorf("values are %s, %v", w.Body, err)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestFiles(t *testing.T) {
	b, err := telemetry.NewDirBucket(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"2026/a.jsonl", "2026/b.jsonl", "x.gz"} {
		if err := b.Put(t.Context(), k, []byte(`{"k":1}`+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	h := http.StripPrefix("/bucket", telemetryhttp.Files(b, &telemetryhttp.Options{MaxList: 2}))
	for _, c := range []struct {
		target, want string
		status       int
	}{
		{"/bucket/2026/a.jsonl", "{\"k\":1}\n", 200},
		{"/bucket/", `"2026/b.jsonl"`, 200},
		{"/bucket/", `"truncated":true`, 200},
		{"/bucket/?after=2026/b.jsonl", `{"objects":[{"key":"x.gz","bytes":8,`, 200},
		{"/bucket/?prefix=y", `{"objects":[]}`, 200},
		{"/bucket/?limit=1", `"truncated":true`, 200},
		{"/bucket/?limit=0", `limit is not`, 400},
		{"/bucket/2026/c.jsonl", `not found`, 404},
		{"/bucket/2026", `not found`, 404},
		{"/bucket/.hidden", `begins with a dot`, 400},
		{"/bucket/a//b", `relative path`, 400},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", c.target, nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s", c.target, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("GET", "/bucket/2026/a.jsonl", nil)
	r.Header.Set("Range", "bytes=1-3")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 206 || w.Body.String() != `"k"` || w.Header().Get("Content-Type") != "application/x-ndjson" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("range: %d %q %v", w.Code, w.Body, w.Header())
	}
}
