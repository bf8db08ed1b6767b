package stream_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/stream"
)

type counter struct{ n atomic.Int64 }

func (c *counter) Put(context.Context, string, time.Time, []byte) error { c.n.Add(1); return nil }

func TestConformance(t *testing.T) {
	actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
		var c counter
		return actionstest.Plugin{
			Spec: stream.Spec(&c, nil), Params: json.RawMessage(`{"key":"${topic(2)}","time":"${timestamp()}"}`),
			Invalid:   []json.RawMessage{json.RawMessage(`{}`)},
			Delivered: func() int { return int(c.n.Load()) },
		}
	})
}
