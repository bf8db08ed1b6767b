package thingloom_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/function"
	"github.com/thingloom/thingloom/actions/republish"
	"github.com/thingloom/thingloom/actions/stream"
	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/rules"
	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowmqtt"
	"github.com/thingloom/thingloom/telemetry"
)

// A whole backend in memory: the broker's messages go through rules, whose
// actions publish alerts and fill a stream; shadows are served on the reserved
// topics. With the stores of the *pebble packages instead of the memory ones it
// survives the process; examples/full-backend is that.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()

	// Devices: a broker, and shadows on its reserved topics.
	b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
	must(err)
	shadows, err := shadow.New(shadow.NewMemStore(), &shadow.Options{Now: func() time.Time { return time.Unix(1700000000, 0) }})
	must(err)
	topics, err := shadowmqtt.New(shadows, b, nil)
	must(err)
	defer topics.Close()

	// Telemetry: a stream whose consumer sees every reading.
	log := telemetry.NewMemLog(1, 1000)
	readings, err := telemetry.NewStream(log, log, nil)
	must(err)
	seen := make(chan string, 10)
	workers.Go(func() { must(readings.Run(ctx)) })
	workers.Go(func() {
		must(readings.Consume(ctx, "print", telemetry.Func(func(_ context.Context, batch telemetry.Batch) error {
			for _, r := range batch.Records {
				seen <- r.Key + " " + string(r.Value)
			}
			return nil
		})))
	})

	// Rules and what they can do.
	catalog, err := actions.NewCatalog(republish.Spec(b), stream.Spec(readings, nil))
	must(err)
	dispatcher, err := actions.NewDispatcher(catalog, nil)
	must(err)
	workers.Go(func() { must(dispatcher.Run(ctx)) })
	engine, err := rules.Open(ctx, rules.NewMemStore(), binder{dispatcher}, nil)
	must(err)
	must(engine.Put(ctx, rules.Rule{
		Name: "hot",
		SQL:  "SELECT topic(2) AS thing, temperature FROM 'sensors/+/climate' WHERE temperature > 30",
		Actions: []rules.ActionSpec{
			{Type: "republish", Params: json.RawMessage(`{"topic":"alerts/${topic(2)}"}`)},
			{Type: "stream", Params: json.RawMessage(`{"key":"${topic(2)}"}`)},
		},
	}))
	_, err = b.SubscribeMessages("#", func(ctx context.Context, m broker.Message) error {
		return engine.Handle(ctx, &rules.Message{Topic: m.Topic, ClientID: m.ClientID, Payload: m.Payload, Time: m.Time})
	})
	must(err)

	// What an app sees, and what a device would.
	show := func(_ context.Context, topic string, payload []byte) error {
		fmt.Println(topic, string(payload))
		return nil
	}
	for _, filter := range []string{"alerts/#", "$aws/things/+/shadow/update/delta"} {
		_, err := b.Subscribe(filter, show)
		must(err)
	}
	must(b.Publish(ctx, "sensors/s1/climate", []byte(`{"temperature":21.5}`)))
	must(b.Publish(ctx, "sensors/s1/climate", []byte(`{"temperature":31.5}`)))
	must(b.Publish(ctx, "$aws/things/s1/shadow/update", []byte(`{"state":{"desired":{"fan":true}}}`)))
	fmt.Println("stream:", <-seen)
	// Output:
	// alerts/s1 {"thing":"s1","temperature":31.5}
	// $aws/things/s1/shadow/update/delta {"version":1,"timestamp":1700000000,"state":{"fan":true},"metadata":{"fan":{"timestamp":1700000000}}}
	// stream: s1 {"thing":"s1","temperature":31.5}
}

// binder lets rules fire actions.
type binder struct{ *actions.Dispatcher }

func (b binder) Bind(ctx context.Context, s rules.ActionSpec) (rules.Action, error) {
	a, err := b.OpenFor(ctx, rules.BoundRule(ctx), s.Type, s.Params)
	if err != nil {
		return nil, err
	}
	return rules.ActionFunc(func(ctx context.Context, f rules.Firing) error {
		if err := a.Do(ctx, &actions.Request{ID: f.ID(), Rule: f.Rule, Topic: f.Message.Topic, Time: f.Message.Time,
			Payload: f.Output, Source: f.Message.Payload, Done: f.Done}); err != nil {
			return err
		}
		return rules.ErrPending // the outcome comes by f.Done
	}), nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func Example_broker() {
	b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
	must(err)
	// go b.Serve(ctx, listener) lets devices in; a program needs no connection.
	cancel, err := b.Subscribe("sensors/+/climate", func(_ context.Context, topic string, payload []byte) error {
		fmt.Println(topic, string(payload))
		return nil
	})
	must(err)
	defer cancel()
	must(b.Publish(context.Background(), "sensors/s1/climate", []byte(`{"temperature":21.5}`)))
	// Output: sensors/s1/climate {"temperature":21.5}
}

func Example_registry() {
	ctx := context.Background()
	ca, err := registry.NewCA(nil)
	must(err)
	reg, err := registry.New(registry.NewMemStore(), &registry.Options{CA: ca})
	must(err)
	_, err = reg.CreatePolicy(ctx, "sensor", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:Publish","Resource":"arn:aws:iot:*:*:topic/sensors/${iot:ClientId}/*"}}`)
	must(err)
	cert, _, err := reg.CreateKeysAndCertificate(ctx, &registry.KeyOptions{Type: registry.ECP256, Status: registry.StatusActive})
	must(err)
	must(reg.AttachPolicy(ctx, "sensor", cert.ID))
	for _, topic := range []string{"sensors/s1/climate", "sensors/s2/climate"} {
		err := reg.Allowed(ctx, registry.Access{Principal: cert.ID, ClientID: "s1", Action: "iot:Publish", Resource: "topic/" + topic})
		fmt.Println(topic, err == nil)
	}
	// Output:
	// sensors/s1/climate true
	// sensors/s2/climate false
}

func Example_shadow() {
	shadows, err := shadow.New(shadow.NewMemStore(), nil)
	must(err)
	lamp := shadow.Ref{Thing: "lamp-7"}
	for _, patch := range []string{`{"state":{"desired":{"on":true}}}`, `{"state":{"reported":{"on":true}}}`} {
		change, err := shadows.Update(context.Background(), lamp, []byte(patch))
		must(err)
		fmt.Printf("version %d, delta %s\n", change.After.Version, change.Delta)
	}
	// Output:
	// version 1, delta {"on":true}
	// version 2, delta
}

func Example_rules() {
	q, err := rules.Compile("SELECT topic(2) AS thing, temperature * 9 / 5 + 32 AS fahrenheit FROM 'sensors/+/climate' WHERE temperature > 30", nil)
	must(err)
	m := &rules.Message{Topic: "sensors/s1/climate", Payload: []byte(`{"temperature":31.5}`)}
	out, matched, err := q.Eval(context.Background(), m)
	must(err)
	fmt.Println(matched, string(out))
	_, err = rules.Compile("SELECT *\nFORM 'sensors/#'", nil)
	fmt.Println(strings.SplitN(err.Error(), "\n", 2)[0])
	// Output:
	// true {"thing":"s1","fahrenheit":88.7}
	// rules: line 2, column 1: unexpected FORM, expected an operator, AS, a comma, FROM or WHERE
}

func Example_actions() {
	fns, err := function.New(map[string]function.Func{"greet": func(_ context.Context, event []byte) ([]byte, error) {
		fmt.Println("hello", string(event))
		return nil, nil
	}}, nil)
	must(err)
	catalog, err := actions.NewCatalog(function.Spec(fns))
	must(err)
	d, err := actions.NewDispatcher(catalog, nil)
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	a, err := d.Open(ctx, "function", json.RawMessage(`{"name":"greet"}`))
	must(err)
	must(a.Do(ctx, &actions.Request{Payload: []byte(`{"thing":"s1"}`)})) // queued
	cancel()
	must(d.Run(ctx)) // delivers what waits, then returns
	// Output: hello {"thing":"s1"}
}

func Example_telemetry() {
	q, err := telemetry.Compile("SELECT key AS thing, avg(t) AS t, count(*) AS n FROM stream GROUP BY key, TUMBLE(INTERVAL '1' MINUTE)")
	must(err)
	w := telemetry.NewWindower(q, nil)
	for i, t := range []string{`{"t":20}`, `{"t":21}`, `{"t":40}`} {
		must(w.Add(&telemetry.Record{Key: "s1", Time: time.Unix(int64(i)*30, 0), Value: []byte(t)}))
	}
	for r := range w.Advance(time.Unix(60, 0)) { // the first minute is over
		fmt.Println(string(r.Value))
	}
	// Output: {"thing":"s1","t":20.5,"n":2,"window_start":0,"window_end":60000}
}
