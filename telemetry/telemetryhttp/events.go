package telemetryhttp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thingloom/thingloom/telemetry"
)

// Options are the optional parts of the handlers. Nil is all defaults.
type Options struct {
	// Heartbeat is how often an idle stream of events gets a comment. Zero
	// means 15 seconds.
	Heartbeat time.Duration

	// WriteTimeout is how long one write to a client may take. Zero means 10 seconds.
	WriteTimeout time.Duration

	// MaxList is the most objects one list has. Zero means 1000.
	MaxList int
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = 15 * time.Second
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = 10 * time.Second
	}
	if c.MaxList <= 0 {
		c.MaxList = 1000
	}
	return c
}

// event is the data of a server-sent event.
type event struct {
	Key       string          `json:"key"`
	Time      time.Time       `json:"time"`
	Partition int             `json:"partition"`
	Value     json.RawMessage `json:"value"`
}

// data is one line of JSON: encoding/json compacts the value.
func data(e telemetry.Event) ([]byte, error) {
	return json.Marshal(event{e.Key, e.Time.UTC(), e.Partition, e.Value})
}

// Events serves live as server-sent events.
func Events(live *telemetry.Live, opts *Options) http.Handler {
	o := opts.withDefaults()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !readOnly(w, r) {
			return
		}
		sub, err := live.Subscribe(lastEvent(r, live))
		if err != nil {
			w.Header().Set("Retry-After", "5")
			fail(w, err)
			return
		}
		defer sub.Close()
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // proxies would hold events back
		if r.Method == http.MethodHead {
			return
		}
		s := &stream{w: w, ctl: http.NewResponseController(w), opts: o, epoch: live.Epoch(), keys: r.URL.Query()["key"]}
		s.run(r, sub)
	})
}

// lastEvent is the ID of the last event a returning subscriber has seen, 0 if
// it has seen none of this process.
func lastEvent(r *http.Request, live *telemetry.Live) uint64 {
	epoch, id, ok := strings.Cut(r.Header.Get("Last-Event-ID"), "-")
	if !ok || epoch != strconv.FormatInt(live.Epoch(), 36) {
		return 0
	}
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

type stream struct {
	w     http.ResponseWriter
	ctl   *http.ResponseController
	opts  Options
	epoch int64
	keys  []string
	buf   bytes.Buffer
}

func (s *stream) run(r *http.Request, sub *telemetry.Subscription) {
	s.buf.WriteString("retry: 2000\n\n")
	for _, e := range sub.Replay {
		s.add(e)
	}
	if s.flush() != nil {
		return
	}
	beat := time.NewTicker(s.opts.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
			s.buf.WriteString(": beat\n\n")
		case e, ok := <-sub.Events():
			if !ok {
				return // too slow; it comes back with Last-Event-ID
			}
			s.add(e)
			s.more(sub)
		}
		if s.flush() != nil {
			return
		}
	}
}

// more takes what is there already: one write for a burst.
func (s *stream) more(sub *telemetry.Subscription) {
	for s.buf.Len() < 64<<10 {
		select {
		case e, ok := <-sub.Events():
			if !ok {
				return // the next receive sees it again
			}
			s.add(e)
		default:
			return
		}
	}
}

func (s *stream) add(e telemetry.Event) {
	if len(s.keys) > 0 && !slices.Contains(s.keys, e.Key) {
		return
	}
	b, err := data(e)
	if err != nil {
		return // a foreign Log's value that is not JSON
	}
	fmt.Fprintf(&s.buf, "id: %s-%d\ndata: %s\n\n", strconv.FormatInt(s.epoch, 36), e.ID, b)
}

func (s *stream) flush() error {
	if s.buf.Len() == 0 {
		return nil
	}
	err := s.ctl.SetWriteDeadline(time.Now().Add(s.opts.WriteTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write(s.buf.Bytes()); err != nil {
		return err
	}
	s.buf.Reset()
	return s.ctl.Flush()
}

// Values serves the last value of each key as JSON.
func Values(live *telemetry.Live) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !readOnly(w, r) {
			return
		}
		current := live.Current()
		slices.SortFunc(current, func(a, b telemetry.Event) int { return cmp.Compare(a.Key, b.Key) })
		out := []byte{'['}
		for _, e := range current {
			b, err := data(e)
			if err != nil {
				continue
			}
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(out, b...)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Write(append(out, ']', '\n'))
	})
}
