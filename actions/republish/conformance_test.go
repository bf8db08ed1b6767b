package republish_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"

	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/republish"
)

type counter struct{ n atomic.Int64 }

func (c *counter) Publish(context.Context, string, []byte) error { c.n.Add(1); return nil }

func TestConformance(t *testing.T) {
	actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
		var c counter
		return actionstest.Plugin{
			Spec: republish.Spec(&c), Params: json.RawMessage(`{"topic":"alerts/${topic(2)}","qos":1}`),
			Invalid:   []json.RawMessage{json.RawMessage(`{}`), json.RawMessage(`{"topic":"a","qos":2}`)},
			Delivered: func() int { return int(c.n.Load()) },
		}
	})
}
