// Command rule-replay shows what a change of rules would do to messages that
// were captured, before it is made:
//
//	$ go run ./examples/rule-replay -before rules.json -after changed.json capture.jsonl
//	@ message 17 on sensors/s1
//	- hot: republish {"topic":"alerts/s1"} <- {"t":31}
//	+ hot: republish {"topic":"alarms/s1"} <- {"t":31}
//	1000 messages: 52 sent before, 52 after: 0 more, 0 less, 52 differently
//
// Without -before everything that would be sent is more: a way to try a
// statement on a sample. -sql does it without a file of rules:
//
//	$ go run ./examples/rule-replay -sql "SELECT t FROM 'sensors/+' WHERE t > 30" capture.jsonl
//
// Rules are JSON objects as AWS has them, with a member ruleName beside sql and
// actions. A capture is one JSON object a line, as
//
//	{"topic": "sensors/s1", "time": "2026-01-02T03:04:05Z", "principal": "p", "payload": {"t": 31}}
//
// with payloadBase64 in the place of payload where that is not JSON. Without
// the name of a capture, or with -, it is read from standard input.
//
// The exit code is for continuous integration: 0 if nothing would be sent more,
// less or differently, 1 if something would, 2 if it cannot be told.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/thingloom/thingloom/rules"
	"github.com/thingloom/thingloom/rules/rulestest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes.
const (
	exitSame      = 0
	exitDifferent = 1
	exitError     = 2
)

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("rule-replay", flag.ContinueOnError)
	flags.SetOutput(stderr)
	before := flags.String("before", "", "file of the rules as they are; none if empty")
	after := flags.String("after", "", "file of the rules as they would be")
	sql := flags.String("sql", "", "a statement to try, in the place of -after")
	quiet := flags.Bool("quiet", false, "print the summary alone")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitSame
		}
		return exitError
	}
	sum, err := replay(ctx, *before, *after, *sql, *quiet, flags.Args(), stdin, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "rule-replay:", err)
		return exitError
	}
	fmt.Fprintf(stdout, "%d messages: %d sent before, %d after: %d more, %d less, %d differently\n",
		sum.Messages, sum.Before, sum.After, sum.More, sum.Less, sum.Different)
	if !sum.Same() {
		return exitDifferent
	}
	return exitSame
}

func replay(ctx context.Context, before, after, sql string, quiet bool, args []string, stdin io.Reader, out io.Writer) (rulestest.Summary, error) {
	var none rulestest.Summary
	if (after == "") == (sql == "") || len(args) > 1 {
		return none, errors.New("want either -after or -sql, and at most one capture; see -help")
	}
	old, err := readRules(before)
	if err != nil {
		return none, err
	}
	next, err := readRules(after)
	if err != nil {
		return none, err
	}
	if sql != "" {
		next = []rules.Rule{{Name: "sql", SQL: sql, Actions: []rules.ActionSpec{{Type: "print"}}}}
	}
	capture := stdin
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return none, err
		}
		defer f.Close()
		capture = f
	}
	report := func(d rulestest.Difference) error {
		if quiet {
			return nil
		}
		_, err := fmt.Fprintln(out, d)
		return err
	}
	return rulestest.Replay(ctx, old, next, rulestest.ReadCapture(capture), report, nil)
}

// readRules reads a file of rules; no name is no rules.
func readRules(name string) ([]rules.Rule, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := rulestest.ReadRules(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return all, nil
}
