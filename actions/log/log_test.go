package log_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/log"
)

func open(t *testing.T, w *bytes.Buffer, opts *log.Options, params string) (actions.Action, error) {
	t.Helper()
	spec := log.Spec(slog.New(slog.NewTextHandler(w, nil)), opts)
	return spec.Open(t.Context(), json.RawMessage(params))
}

func TestLine(t *testing.T) {
	var out bytes.Buffer
	a, err := open(t, &out, &log.Options{MaxBytes: 8}, `{"level":"warn","message":"hot: ${topic(2)}"}`)
	if err != nil {
		t.Fatal(err)
	}
	r := &actions.Request{Rule: "r", Topic: "sensors/s1", Payload: []byte(`{"a":123456}`), Source: []byte(`{}`)}
	if err := a.Do(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"level=WARN", `msg="hot: s1"`, "rule=r", "topic=sensors/s1", `payload="{\"a\":123"`, "payload_bytes=12"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %s", want, &out)
		}
	}
}

func TestLevelBelowTheLoggers(t *testing.T) {
	var out bytes.Buffer
	a, err := open(t, &out, nil, `{"level":"debug"}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Do(t.Context(), &actions.Request{Payload: []byte(`{}`)}); err != nil || out.Len() > 0 {
		t.Errorf("got %v and %q", err, &out)
	}
}

func TestWrongParams(t *testing.T) {
	for _, params := range []string{`{"level":"loud"}`, `{"message":"${topic("}`, `{"mesage":"x"}`} {
		if _, err := open(t, new(bytes.Buffer), nil, params); !errors.Is(err, actions.ErrParams) {
			t.Errorf("%s: got %v", params, err)
		}
	}
}
