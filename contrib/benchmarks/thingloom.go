package main

import (
	"context"
	"fmt"

	"github.com/thingloom/thingloom/rules"
)

// sink is the action of every rule here; it keeps the latest output.
type sink struct{ out []byte }

func (s *sink) Invoke(_ context.Context, f rules.Firing) error {
	s.out = f.Output
	return nil
}

// Bind makes sink the action of a rule, whatever the rule calls it.
func (s *sink) Bind(context.Context, rules.ActionSpec) (rules.Action, error) { return s, nil }

// engine is one with n rules, the statement of each made by rule.
func engine(s *sink, n int, rule func(i int) string) (*rules.Engine, error) {
	e, err := rules.Open(context.Background(), rules.NewMemStore(), s, nil)
	if err != nil {
		return nil, err
	}
	for i := range n {
		r := rules.Rule{Name: fmt.Sprint("rule", i), SQL: rule(i), Actions: []rules.ActionSpec{{Type: "sink"}}}
		if err := e.Put(context.Background(), r); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// thingloom is the statement by itself, and a whole engine with it: finding
// the rule by topic, its action called, its ledger kept.
func thingloom() ([]contender, error) {
	q, err := rules.Compile(everyday, nil)
	if err != nil {
		return nil, err
	}
	var s sink
	e, err := engine(&s, 1, func(int) string { return everyday })
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	var m rules.Message
	return []contender{
		{name: "Thingloom, statement", do: func(payload []byte) ([]byte, error) {
			m := rules.Message{Topic: "sensors/42/climate", Payload: payload}
			out, matched, err := q.Eval(ctx, &m)
			if err != nil || !matched {
				return nil, err
			}
			return out, nil
		}},
		{name: "Thingloom, engine", do: func(payload []byte) ([]byte, error) {
			m = rules.Message{Topic: "sensors/42/climate", TraceID: "t", Payload: payload}
			s.out = nil
			err := e.Handle(ctx, &m)
			return s.out, err
		}},
	}, nil
}
