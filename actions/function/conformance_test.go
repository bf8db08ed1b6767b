package function_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"

	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/function"
)

func TestConformance(t *testing.T) {
	actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
		var n atomic.Int64
		fns, err := function.New(map[string]function.Func{"count": func(context.Context, []byte) ([]byte, error) {
			n.Add(1)
			return nil, nil
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return actionstest.Plugin{
			Spec: function.Spec(fns), Params: json.RawMessage(`{"name":"count"}`),
			Invalid:   []json.RawMessage{json.RawMessage(`{}`), json.RawMessage(`{"name":"other"}`)},
			Delivered: func() int { return int(n.Load()) },
		}
	})
}
