package rules_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/rules"
)

// printer is a Binder with one action, "print", which prints what it is given.
type printer struct{}

func (printer) Bind(_ context.Context, s rules.ActionSpec) (rules.Action, error) {
	var params struct{ Prefix string }
	if s.Type != "print" {
		return nil, fmt.Errorf("unknown action %q", s.Type)
	}
	if err := json.Unmarshal(s.Params, &params); err != nil {
		return nil, err
	}
	return rules.ActionFunc(func(_ context.Context, f rules.Firing) error {
		fmt.Printf("%s%s: %s\n", params.Prefix, f.Rule, f.Output)
		return nil
	}), nil
}

func ExampleEngine() {
	ctx := context.Background()
	engine, err := rules.Open(ctx, rules.NewMemStore(), printer{}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = engine.Put(ctx, rules.Rule{
		Name:    "hot",
		SQL:     "SELECT t, topic(2) AS thing FROM 'sensors/+/climate' WHERE t > 30",
		Actions: []rules.ActionSpec{{Type: "print", Params: json.RawMessage(`{"prefix": "! "}`)}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, payload := range []string{`{"t": 31.5}`, `{"t": 12}`, `{"t": "warm"}`} {
		m := rules.Message{Topic: "sensors/s1/climate", Payload: []byte(payload)}
		if err := engine.Handle(ctx, &m); err != nil {
			fmt.Println(err)
		}
	}
	hot, err := engine.Rule("hot")
	fmt.Println(hot.Ledger.Matched, hot.Ledger.Delivered, hot.Ledger.Filtered, err)
	// Output:
	// ! hot: {"t":31.5,"thing":"s1"}
	// 3 1 2 <nil>
}

func ExampleEngine_Put() {
	ctx := context.Background()
	engine, _ := rules.Open(ctx, rules.NewMemStore(), printer{}, nil)
	err := engine.Put(ctx, rules.Rule{
		Name:    "r",
		SQL:     "SELECT * FROM 'a/b'",
		Actions: []rules.ActionSpec{{Type: "print"}, {Type: "prnt"}},
	})
	var wrong *rules.RuleError
	fmt.Println(errors.As(err, &wrong), wrong.Field)
	fmt.Println(err)
	// Output:
	// true actions[1]
	// rules: rule "r": actions[1]: unknown action "prnt"
}

func ExampleFiring_Done() {
	ctx := context.Background()
	var queue []rules.Firing
	binder := bindFunc(func(s rules.ActionSpec) rules.Action {
		if s.Type == "print" {
			return rules.ActionFunc(func(_ context.Context, f rules.Firing) error {
				fmt.Println("error action:", f.Err)
				return nil
			})
		}
		return rules.ActionFunc(func(_ context.Context, f rules.Firing) error {
			queue = append(queue, f)
			return rules.ErrPending
		})
	})
	engine, _ := rules.Open(ctx, rules.NewMemStore(), binder, nil)
	_ = engine.Put(ctx, rules.Rule{
		Name:        "r",
		SQL:         "SELECT * FROM 'a'",
		Actions:     []rules.ActionSpec{{Type: "queue"}},
		ErrorAction: &rules.ActionSpec{Type: "print"},
	})
	_ = engine.Handle(ctx, &rules.Message{Topic: "a", Payload: []byte("{}")})
	r, _ := engine.Rule("r")
	fmt.Println("pending:", r.Ledger.Pending)
	for _, f := range queue { // later, on a goroutine of the queue
		f.Done(errors.New("503 Service Unavailable"))
	}
	// Output:
	// pending: 1
	// error action: rules: rule "r": actions[0] (queue): 503 Service Unavailable
}

type bindFunc func(rules.ActionSpec) rules.Action

func (b bindFunc) Bind(_ context.Context, s rules.ActionSpec) (rules.Action, error) { return b(s), nil }
