package telemetryhttp

import (
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/thingloom/thingloom/telemetry"
)

type object struct {
	Key   string    `json:"key"`
	Bytes int64     `json:"bytes"`
	Time  time.Time `json:"time"`
}

type listing struct {
	Objects   []object `json:"objects"`
	Truncated bool     `json:"truncated,omitempty"`
}

// Files serves the objects of b and their list. The request's path is the
// key: mount it behind http.StripPrefix.
func Files(b telemetry.Lister, opts *Options) http.Handler {
	o := opts.withDefaults()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !readOnly(w, r) {
			return
		}
		key := strings.TrimPrefix(r.URL.Path, "/")
		if key == "" {
			list(w, r, b, o.MaxList)
			return
		}
		f, obj, err := b.Open(r.Context(), key)
		if err != nil {
			fail(w, err)
			return
		}
		defer f.Close()
		h := w.Header()
		switch {
		case strings.HasSuffix(key, ".gz"):
			h.Set("Content-Type", "application/gzip")
		case strings.HasSuffix(key, ".jsonl"):
			h.Set("Content-Type", "application/x-ndjson")
		default:
			h.Set("Content-Type", "application/octet-stream")
		}
		// What devices sent must not become a page of this host.
		h.Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, path.Base(key), obj.Time, f)
	})
}

func list(w http.ResponseWriter, r *http.Request, b telemetry.Lister, most int) {
	q := r.URL.Query()
	limit := most
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			fail(w, errLimit)
			return
		}
		limit = min(n, most)
	}
	out := listing{Objects: []object{}}
	for obj, err := range b.List(r.Context(), q.Get("prefix"), q.Get("after")) {
		if err != nil {
			fail(w, err)
			return
		}
		if len(out.Objects) == limit {
			out.Truncated = true
			break
		}
		out.Objects = append(out.Objects, object{obj.Key, obj.Bytes, obj.Time.UTC()})
	}
	writeJSON(w, http.StatusOK, out)
}

var errLimit = errors.New("limit is not a number of at least 1")

func readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	writeJSON(w, http.StatusMethodNotAllowed, message{"only GET"})
	return false
}

type message struct {
	Message string `json:"message"`
}

// statusOf is the one table from error to status.
func statusOf(err error) int {
	switch {
	case errors.Is(err, telemetry.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, telemetry.ErrInvalidName), errors.Is(err, errLimit), errors.Is(err, errNumber):
		return http.StatusBadRequest
	case errors.Is(err, telemetry.ErrTooManySubscribers):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func fail(w http.ResponseWriter, err error) {
	status := statusOf(err)
	text := err.Error()
	if status == http.StatusInternalServerError {
		text = "internal error" // paths of the server are not for clients
	}
	writeJSON(w, status, message{text})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
