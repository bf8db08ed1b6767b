package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/stream"
)

// A kept keeps what is put into it.
type kept struct {
	mu     sync.Mutex
	keys   []string
	times  []time.Time
	values []string
	err    error
}

func (k *kept) Put(ctx context.Context, key string, t time.Time, value []byte) error {
	return k.PutAll(ctx, key, t, [][]byte{value})
}

func (k *kept) PutAll(_ context.Context, key string, t time.Time, values [][]byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return k.err
	}
	for _, value := range values {
		k.keys, k.times, k.values = append(k.keys, key), append(k.times, t), append(k.values, string(value))
	}
	return nil
}

func (k *kept) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.values)
}

const role = `,"roleArn":"arn:aws:iam::1:role/r"}`

func TestAWSConformance(t *testing.T) {
	for _, tt := range []struct {
		params  string
		invalid []string
		spec    func(k *kept) actions.Spec
	}{
		{`{"streamName":"s","partitionKey":"${topic(2)}"` + role, []string{`{"streamName":"s"}`, `{"partitionKey":"k"` + role, `{"streamName":"s","stream":"s"` + role, `{"streamName":"other"` + role},
			func(k *kept) actions.Spec { return stream.KinesisSpec(map[string]stream.Putter{"s": k}, nil) }},
		{`{"deliveryStreamName":"s","separator":"\n"` + role, []string{`{"deliveryStreamName":"s"}`, `{"deliveryStreamName":"s","separator":";"` + role, `{"deliveryStreamName":"t"` + role},
			func(k *kept) actions.Spec { return stream.FirehoseSpec(map[string]stream.AllPutter{"s": k}, nil) }},
		{`{"metricName":"t","metricNamespace":"n","metricUnit":"None","metricValue":"${n}"` + role, []string{`{"metricName":"t","metricNamespace":"n","metricUnit":"None","metricValue":"1"}`,
			`{"metricName":"","metricNamespace":"n","metricUnit":"None","metricValue":"1"` + role, `{"metricName":"t","metricNamespace":"AWS/x","metricUnit":"None","metricValue":"1"` + role,
			`{"metricName":"t","metricNamespace":"n","metricUnit":"Kelvin","metricValue":"1"` + role, `{"metricName":"t","metricNamespace":"n","metricUnit":"None","metricValue":"warm"` + role},
			func(k *kept) actions.Spec { return stream.CloudWatchMetricSpec(k, nil) }},
	} {
		t.Run(tt.spec(nil).Name, func(t *testing.T) {
			actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
				k := new(kept)
				p := actionstest.Plugin{Spec: tt.spec(k), Params: json.RawMessage(tt.params), Delivered: k.count}
				for _, params := range tt.invalid {
					p.Invalid = append(p.Invalid, json.RawMessage(params))
				}
				return p
			})
		})
	}
}

func do(t *testing.T, s actions.Spec, params string, r *actions.Request) error {
	t.Helper()
	a, err := s.Open(t.Context(), json.RawMessage(params))
	if err != nil {
		t.Fatalf("%s: %v", params, err)
	}
	return a.Do(t.Context(), r)
}

func resource(err error) string {
	var about interface{ Resource() string }
	if errors.As(err, &about) {
		return about.Resource()
	}
	return ""
}

func TestKinesis(t *testing.T) {
	one, two := new(kept), new(kept)
	s := stream.KinesisSpec(map[string]stream.Putter{"one": one, "two": two}, nil)
	at := time.UnixMilli(1_700_000_000_123)
	for _, tt := range []struct{ params, payload, want string }{
		{`{"streamName":"one","partitionKey":"${topic(2)}"` + role, "\xff\x00 raw", ""},
		{`{"stream":"one","partitionKey":"k"` + role, `{"t":31}`, ""},
		{`{"streamName":"${topic(3)}","partitionKey":"k"` + role, ``, ""},
		{`{"streamName":"one"` + role, `1`, ""},
		{`{"streamName":"one","partitionKey":"${nothing}"` + role, `1`, "partitionKey is empty"},
		{`{"streamName":"${topic(1)}","partitionKey":"k"` + role, `1`, `no such stream: "sensors"; there are ["one" "two"]`},
	} {
		err := do(t, s, tt.params, &actions.Request{ID: "id", Topic: "sensors/s1/two", Time: at, Payload: []byte(tt.payload), Source: []byte(`{}`)})
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.params, err, tt.want)
		case err != nil && (!actions.IsPermanent(err) || resource(err) == ""):
			t.Errorf("%s: not permanent, or about nothing: %v", tt.params, err)
		}
	}
	if got := fmt.Sprintf("%q %q", one.keys, one.values); got != `["s1" "k" "id"] ["\xff\x00 raw" "{\"t\":31}" "1"]` {
		t.Errorf("stream one has %s", got)
	}
	if got := fmt.Sprintf("%q %q", two.keys, two.values); got != `["k"] [""]` || !two.times[0].Equal(at) {
		t.Errorf("stream two has %s, %v", got, two.times)
	}
	var param *actions.ParamError
	if _, err := s.Open(t.Context(), json.RawMessage(`{"streamName":"three"`+role)); !errors.As(err, &param) || param.Path != "streamName" || !errors.Is(err, stream.ErrNotFound) {
		t.Errorf("a stream that is not there: %v", err)
	}
}

func TestFirehose(t *testing.T) {
	many := "[" + strings.Repeat("1,", 500) + "1]"
	for _, tt := range []struct {
		name, params, payload, want, values string
	}{
		{"as it is", ``, "\xff\n", "", `["\xff\n"]`},
		{"separated", `,"separator":"\r\n"`, "a", "", `["a\r\n"]`},
		{"an array is one record", `,"separator":","`, "[1,2]", "", `["[1,2],"]`},
		{"a batch", `,"batchMode":true`, ` [1, {"a": [2]} ,"x"]`, "", `["1" "{\"a\": [2]}" "\"x\""]`},
		{"a batch, separated", `,"batchMode":true,"separator":"\n"`, `[1,2]`, "", `["1\n" "2\n"]`},
		{"an empty batch", `,"batchMode":true`, `[]`, "", `[]`},
		{"no array", `,"batchMode":true,"separator":"\t"`, `{"a":1}`, "", `["{\"a\":1}\t"]`},
		{"not JSON", `,"batchMode":true`, "raw", "not JSON", `[]`},
		{"too many", `,"batchMode":true`, many, "501 elements", `[]`},
		{"another stream", `,"batchMode":true`, `[1]`, "", `["1"]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := new(kept)
			r := &actions.Request{Topic: "d", Payload: []byte(tt.payload)}
			err := do(t, stream.FirehoseSpec(map[string]stream.AllPutter{"d": k}, nil), `{"deliveryStreamName":"${topic()}"`+tt.params+role, r)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !actions.IsPermanent(err) || resource(err) != "d") {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if got := fmt.Sprintf("%q", k.values); got != tt.values {
				t.Errorf("records %s, want %s", got, tt.values)
			}
			if string(r.Payload) != tt.payload {
				t.Errorf("the payload became %q", r.Payload)
			}
		})
	}
}

func TestCloudWatchMetric(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123)
	for _, tt := range []struct{ name, more, source, want, value string }{
		{"now", ``, `{"v":31.50,"u":"Percent"}`, "", `{"namespace":"fleet","metricName":"load","value":31.5,"unit":"Percent","timestamp":1700000000123}`},
		{"then", `,"metricTimestamp":"${ts}"`, `{"v":-1,"u":"None","ts":1600000000}`, "", `{"namespace":"fleet","metricName":"load","value":-1,"unit":"None","timestamp":1600000000000}`},
		{"then, with a fraction", `,"metricTimestamp":"${ts}"`, `{"v":"1e3","u":"None","ts":1600000000.25}`, "", `{"namespace":"fleet","metricName":"load","value":1e3,"unit":"None","timestamp":1600000000250}`},
		{"no time in the message", `,"metricTimestamp":"${ts}"`, `{"v":1,"u":"None"}`, "", `{"namespace":"fleet","metricName":"load","value":1,"unit":"None","timestamp":1700000000123}`},
		{"no time", `,"metricTimestamp":"${ts}"`, `{"v":1,"u":"None","ts":"noon"}`, `metricTimestamp "noon"`, ``},
		{"no value", ``, `{"u":"None"}`, `"" is no number`, ``},
		{"an object", ``, `{"v":{},"u":"None"}`, `is no number`, ``},
		{"no unit", ``, `{"v":1,"u":"K"}`, `"K" is no unit`, ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := new(kept)
			err := do(t, stream.CloudWatchMetricSpec(k, nil), `{"metricName":"load","metricNamespace":"fleet","metricUnit":"${u}","metricValue":"${v}"`+tt.more+role,
				&actions.Request{Time: at, Source: []byte(tt.source)})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !actions.IsPermanent(err)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if got := strings.Join(k.values, ""); got != tt.value {
				t.Errorf("got  %s\nwant %s", got, tt.value)
			}
		})
	}
}

// What a stream refuses for good is not tried again.
func TestAWSRefused(t *testing.T) {
	bad := errors.New("bad record")
	k := &kept{err: bad}
	opts := &stream.Options{Refused: func(err error) bool { return errors.Is(err, bad) }}
	for _, c := range []struct {
		spec   func(*stream.Options) actions.Spec
		params string
	}{
		{func(o *stream.Options) actions.Spec { return stream.KinesisSpec(map[string]stream.Putter{"s": k}, o) }, `{"streamName":"s"` + role},
		{func(o *stream.Options) actions.Spec {
			return stream.FirehoseSpec(map[string]stream.AllPutter{"s": k}, o)
		}, `{"deliveryStreamName":"s"` + role},
		{func(o *stream.Options) actions.Spec { return stream.CloudWatchMetricSpec(k, o) }, `{"metricName":"t","metricNamespace":"n","metricUnit":"None","metricValue":"1"` + role},
	} {
		for _, o := range []*stream.Options{nil, opts} {
			if err := do(t, c.spec(o), c.params, &actions.Request{}); !errors.Is(err, bad) || actions.IsPermanent(err) != (o != nil) {
				t.Errorf("%s: %v", c.params, err)
			}
		}
	}
}
