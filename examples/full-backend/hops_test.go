package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/function"
	"github.com/thingloom/thingloom/actions/republish"
	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/rules"
)

// A rule whose message comes back to it is cut after MaxHops, whoever publishes it: an action within Handle, one that a
// queue delivers later on a goroutine of its own, a function that an action calls, or one that the statement calls.
func TestHopsThroughQueues(t *testing.T) {
	const maxHops, enough = 3, 50
	for name, c := range map[string]struct {
		sql     string
		actions []rules.ActionSpec
	}{
		"inline republish":   {"SELECT * FROM 'a'", []rules.ActionSpec{{Type: "republish", Params: json.RawMessage(`{"topic":"a"}`)}}},
		"queued republish":   {"SELECT * FROM 'a'", []rules.ActionSpec{{Type: "later", Params: json.RawMessage(`{"topic":"a"}`)}}},
		"queued function":    {"SELECT * FROM 'a'", []rules.ActionSpec{{Type: "function", Params: json.RawMessage(`{"name":"again"}`)}}},
		"queued lambda":      {"SELECT * FROM 'a'", []rules.ActionSpec{{Type: "lambda", Params: json.RawMessage(`{"functionArn":"again"}`)}}},
		"aws_lambda":         {"SELECT aws_lambda('again', *) AS x FROM 'a'", nil},
		"function of ours":   {"SELECT again() AS x FROM 'a'", nil},
		"quick one of ours":  {"SELECT again_inline() AS x FROM 'a'", nil},
		"a function's topic": {"SELECT get_or_default(again(), 1) AS x FROM 'a' WHERE again() = 1 OR TRUE", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
				if err != nil {
					t.Fatal(err)
				}
				refused, published := 0, 0
				publish := func(ctx context.Context) error {
					if published++; published > enough {
						return nil
					}
					err := b.Publish(ctx, "a", []byte("{}"))
					if errors.Is(err, rules.ErrHopLimit) || errors.Is(err, broker.ErrTooDeep) {
						refused++
						return nil
					}
					return err
				}
				fns, err := function.New(map[string]function.Func{"again": func(ctx context.Context, _ []byte) ([]byte, error) {
					return []byte("1"), publish(ctx)
				}}, nil)
				if err != nil {
					t.Fatal(err)
				}
				later := republish.Spec(b)
				later.Name, later.Inline = "later", false
				catalog, err := actions.NewCatalog(republish.Spec(b), later, function.Spec(fns), function.LambdaSpec(fns))
				if err != nil {
					t.Fatal(err)
				}
				d, err := actions.NewDispatcher(catalog, &actions.Options{Middleware: []actions.Middleware{atDepth}})
				if err != nil {
					t.Fatal(err)
				}
				ran := make(chan error)
				go func() { ran <- d.Run(ctx) }()
				ours := func(ctx context.Context) (int64, error) { return 1, publish(ctx) }
				e, err := rules.Open(ctx, rules.NewMemStore(), binder{d, newBatches()}, &rules.Options{MaxHops: maxHops, AllowCycles: true,
					Compile: &rules.CompileOptions{Funcs: &rules.Funcs{
						Lambda: func(ctx context.Context, arn string, input json.RawMessage) (json.RawMessage, error) {
							return fns.Invoke(ctx, arn, input)
						},
						User: []rules.Function{{Name: "again", Fn: ours}, {Name: "again_inline", Fn: ours, Inline: true}},
					}}})
				if err != nil {
					t.Fatal(err)
				}
				if err := e.Put(ctx, rules.Rule{Name: "circle", SQL: c.sql, Actions: c.actions}); err != nil {
					t.Fatal(err)
				}
				handled := 0
				if _, err := b.SubscribeMessages("a", func(ctx context.Context, m broker.Message) error {
					if handled++; handled > enough {
						return fmt.Errorf("message %d of one", handled)
					}
					return toRules(e)(ctx, m)
				}); err != nil {
					t.Fatal(err)
				}
				_ = b.Publish(ctx, "a", []byte("{}")) // an inline circle says so
				synctest.Wait()
				if handled < maxHops+1 || handled >= enough || e.Stats().HopLimit == 0 {
					t.Errorf("%d messages of one, %d published by functions, %d refused; engine %+v", handled, published, refused, e.Stats())
				}
				stop()
				if err := <-ran; err != nil {
					t.Error(err)
				}
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
