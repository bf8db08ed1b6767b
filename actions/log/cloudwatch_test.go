package log_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/log"
)

func TestCloudWatchConformance(t *testing.T) {
	actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
		var l lines
		return actionstest.Plugin{
			Spec: log.CloudWatchSpec(slog.New(slog.NewTextHandler(&l, nil)), nil), Params: json.RawMessage(`{"logGroupName":"fleet","roleArn":"arn:x"}`),
			Invalid:   []json.RawMessage{json.RawMessage(`{"logGroupName":"fleet"}`), json.RawMessage(`{"logGroupName":"","roleArn":"arn:x"}`)},
			Delivered: l.count,
		}
	})
}

func TestCloudWatch(t *testing.T) {
	for _, tt := range []struct{ name, batch, payload, want, fails string }{
		{"a line", "false", `{"t":31}`, `{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"{\"t\":31}","log_group":"fleet/s","rule":"r","topic":"s/1","client_id":"c"}` + "\n", ""},
		{"a long line", "false", strings.Repeat("x", 40), `{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"` + strings.Repeat("x", 32) + `","log_group":"fleet/s","rule":"r","topic":"s/1","client_id":"c","message_bytes":40}` + "\n", ""},
		{"a batch", "true", `[{"timestamp":1000,"message":"a","more":1},{"timestamp":2000,"message":"b"}]`,
			`{"time":"1970-01-01T00:00:01Z","level":"INFO","msg":"a","log_group":"fleet/s","rule":"r","topic":"s/1","client_id":"c"}` + "\n" +
				`{"time":"1970-01-01T00:00:02Z","level":"INFO","msg":"b","log_group":"fleet/s","rule":"r","topic":"s/1","client_id":"c"}` + "\n", ""},
		{"an empty batch", "true", `[]`, ``, ""},
		{"an object", "true", `{"timestamp":1000,"message":"a"}`, ``, "no array"},
		{"null", "true", `null`, ``, "no array"},
		{"no JSON", "true", `[`, ``, "no array of objects"},
		{"no message", "true", `[{"timestamp":1000,"message":"a"},{"timestamp":1000}]`, ``, "element 1 has no timestamp or no message"},
		{"no timestamp", "true", `[{"message":"a"}]`, ``, "element 0"},
		{"a fraction", "true", `[{"timestamp":1.5,"message":"a"}]`, ``, "no whole number"},
		{"a message that is no text", "true", `[{"timestamp":1,"message":{}}]`, ``, "no array of objects"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			utc := func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					a.Value = slog.TimeValue(a.Value.Time().UTC())
				}
				return a
			}
			s := log.CloudWatchSpec(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: utc})), &log.Options{MaxBytes: 32})
			a, err := s.Open(t.Context(), json.RawMessage(`{"logGroupName":"fleet/${topic(1)}","batchMode":`+tt.batch+`,"roleArn":"arn:x"}`))
			if err != nil {
				t.Fatal(err)
			}
			err = a.Do(t.Context(), &actions.Request{Rule: "r", Topic: "s/1", ClientID: "c", Payload: []byte(tt.payload), Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
			var about interface{ Resource() string }
			if tt.fails == "" && err != nil || tt.fails != "" && (!actions.IsPermanent(err) || !strings.Contains(err.Error(), tt.fails) || !errors.As(err, &about) || about.Resource() != "fleet/s") {
				t.Errorf("%v, want %q", err, tt.fails)
			}
			if out.String() != tt.want {
				t.Errorf("got  %s\nwant %s", out.String(), tt.want)
			}
		})
	}
}

func TestCloudWatchBelowTheLogger(t *testing.T) {
	var out bytes.Buffer
	s := log.CloudWatchSpec(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn})), nil)
	a, err := s.Open(t.Context(), json.RawMessage(`{"logGroupName":"${g}","roleArn":"arn:x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Do(t.Context(), &actions.Request{Source: []byte(`{"g":"x"}`), Payload: []byte("x")}); err != nil || out.Len() > 0 {
		t.Errorf("%v, %s", err, &out)
	}
	if err := a.Do(t.Context(), &actions.Request{Source: []byte(`{}`), Payload: []byte("x")}); !actions.IsPermanent(err) {
		t.Errorf("no group: %v", err)
	}
}
