// Command rules-only is package rules without the rest: it reads one JSON
// message a line, runs a handful of rules over it, and prints what they send.
//
//	$ printf '%s\n' '{"topic":"sensors/s1","payload":{"t":31}}' | go run ./examples/rules-only
//	notify   s1 is hot: {"thing":"s1","t":31}
//
// Rules are kept in memory and made at each start; a program that keeps them
// opens rules/rulespebble instead of NewMemStore. At the end it prints what
// became of every message.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/thingloom/thingloom/rules"
)

func main() {
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Rules are the rules of this program, as they would be pasted from AWS.
const ruleFile = `[
{"ruleName": "hot",
 "sql": "SELECT topic(2) AS thing, t FROM 'sensors/+' WHERE t > 30",
 "actions": [{"notify": {"text": "is hot"}}]},
{"ruleName": "battery",
 "sql": "SELECT topic(2) AS thing, CASE battery < 5 WHEN true THEN 'critical' ELSE 'low' END AS level FROM 'sensors/+' WHERE battery < 20",
 "actions": [{"notify": {"text": "needs a battery"}}, {"ticket": {}}],
 "errorAction": {"notify": {"text": "has a rule that failed"}}}
]`

// binder makes this program's two actions.
type binder struct{ out io.Writer }

func (b binder) Bind(_ context.Context, s rules.ActionSpec) (rules.Action, error) {
	switch s.Type {
	case "notify":
		var params struct{ Text string }
		if err := json.Unmarshal(s.Params, &params); err != nil {
			return nil, err
		}
		return rules.ActionFunc(func(_ context.Context, f rules.Firing) error {
			var selected struct{ Thing string }
			if err := json.Unmarshal(f.Output, &selected); err != nil {
				return err
			}
			_, err := fmt.Fprintf(b.out, "notify   %s %s: %s\n", selected.Thing, params.Text, f.Output)
			return err
		}), nil
	case "ticket":
		// An action that fails for some: the rule's error action hears of it.
		return rules.ActionFunc(func(_ context.Context, f rules.Firing) error {
			if f.Message.ClientID == "" {
				return fmt.Errorf("no ticket for an unknown client")
			}
			_, err := fmt.Fprintf(b.out, "ticket   %s: %s\n", f.Message.ClientID, f.Output)
			return err
		}), nil
	}
	return nil, fmt.Errorf("unknown action %q", s.Type)
}

func run(ctx context.Context, in io.Reader, out io.Writer) error {
	engine, err := rules.Open(ctx, rules.NewMemStore(), binder{out}, nil)
	if err != nil {
		return err
	}
	defer engine.Close()
	var all []rules.Rule
	if err := json.Unmarshal([]byte(ruleFile), &all); err != nil {
		return err
	}
	for _, r := range all {
		if err := engine.Put(ctx, r); err != nil {
			return err
		}
	}

	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		var line struct {
			Topic, Client string
			Payload       json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		m := rules.Message{Topic: line.Topic, ClientID: line.Client, Payload: line.Payload, Time: time.Now()}
		// An error would mean: do not acknowledge this message, a delivery of
		// it was lost. Here all that is left is to say so.
		if err := engine.Handle(ctx, &m); err != nil {
			fmt.Fprintln(out, "lost    ", err)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	for r := range engine.Rules() {
		l := r.Ledger
		fmt.Fprintf(out, "%-8s %d matched = %d delivered + %d filtered + %d to the error action + %d failed + %d pending\n",
			r.Name, l.Matched, l.Delivered, l.Filtered, l.DeadLettered, l.Failed, l.Pending)
	}
	return nil
}
