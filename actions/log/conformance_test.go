package log_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"

	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/log"
)

type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.buf.Bytes(), []byte("\n"))
}

func TestConformance(t *testing.T) {
	actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
		var l lines
		return actionstest.Plugin{
			Spec: log.Spec(slog.New(slog.NewTextHandler(&l, nil)), nil), Params: json.RawMessage(`{"level":"warn","message":"from ${topic(2)}"}`),
			Invalid:   []json.RawMessage{json.RawMessage(`{"level":"loud"}`)},
			Delivered: l.count,
		}
	})
}
