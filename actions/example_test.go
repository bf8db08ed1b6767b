package actions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/function"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func Example() {
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

// A plugin of one's own: parameters, constructor, delivery.
func ExampleNewSpec() {
	type params struct {
		To actions.Template `json:"to" required:"true" doc:"who is told"`
	}
	spec := actions.NewSpec("shout", "tell somebody on standard output", func(_ context.Context, p *params) (actions.Action, error) {
		return actions.Func(func(ctx context.Context, r *actions.Request) error {
			to, err := p.To.Expand(ctx, r)
			if err != nil {
				return err
			}
			fmt.Printf("%s: %s\n", to, r.Payload)
			return nil
		}), nil
	})
	ctx := context.Background()
	a, err := spec.Open(ctx, json.RawMessage(`{"to":"owner of ${topic(2)}"}`))
	must(err)
	must(a.Do(ctx, &actions.Request{Topic: "sensors/s1", Payload: []byte("hot")}))
	_, err = spec.Open(ctx, json.RawMessage(`{"too":"me"}`))
	fmt.Println(err)
	// Output:
	// owner of s1: hot
	// actions: invalid parameter too: unknown field; did you mean to?
}

// What no attempt mends goes to the dead letter, and the caller hears of it.
func ExampleOptions_deadLetter() {
	broken := actions.NewSpec("broken", "fail", func(context.Context, *struct{}) (actions.Action, error) {
		return actions.Func(func(context.Context, *actions.Request) error {
			return actions.Permanent(errors.New("no such address"))
		}), nil
	})
	catalog, err := actions.NewCatalog(broken)
	must(err)
	d, err := actions.NewDispatcher(catalog, &actions.Options{
		DeadLetter: actions.Func(func(_ context.Context, r *actions.Request) error {
			var record actions.DeadLetterRecord
			must(json.Unmarshal(r.Payload, &record))
			fmt.Printf("kept: %s of rule %s: %s\n", record.Payload, record.Rule, record.Error)
			return nil
		}),
	})
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	a, err := d.OpenFor(ctx, "hot", "broken", nil)
	must(err)
	must(a.Do(ctx, &actions.Request{Rule: "hot", Payload: []byte("31"), Done: func(err error) { fmt.Println(err) }}))
	cancel()
	must(d.Run(ctx))
	s := d.Stats()[0]
	fmt.Println(s.HandedOver, "=", s.Delivered, "+", s.DeadLettered, "+", s.Pending)
	// Output:
	// kept: 31 of rule hot: no such address
	// actions: broken: dead-lettered after 1 attempts: no such address
	// 1 = 0 + 1 + 0
}

func ExampleCatalog_WriteDoc() {
	fns, err := function.New(nil, nil)
	must(err)
	catalog, err := actions.NewCatalog(function.Spec(fns))
	must(err)
	must(catalog.WriteDoc(os.Stdout))
	// Output:
	// ## function
	//
	// call a Go function of this program with the payload
	//
	// | parameter | type | default | |
	// |---|---|---|---|
	// | `name` | string | required | name of the function |
}
