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
// -explain says why: for each message the value of every sub-expression, where the first Undefined comes from and the
// decision, also for rules that did not fire. -lint holds the statements against the captured payloads: comparisons
// that can never be true, arms never taken, fields that no payload has, rules that feed one another in a circle.
//
//	$ go run ./examples/rule-replay -explain -sql "SELECT t FROM 'sensors/+' WHERE temp > 30" capture.jsonl
//	$ go run ./examples/rule-replay -lint -after rules.json capture.jsonl
//
// -functions lists the functions of the language.
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
// less or differently, 1 if something would, 2 if it cannot be told. With -lint it is 1 if there are findings, with
// -explain it is 0 or 2.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
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
	var j job
	flags.StringVar(&j.before, "before", "", "file of the rules as they are; none if empty")
	flags.StringVar(&j.after, "after", "", "file of the rules as they would be")
	flags.StringVar(&j.sql, "sql", "", "a statement to try, in the place of -after")
	flags.BoolVar(&j.quiet, "quiet", false, "print the summary alone")
	flags.BoolVar(&j.explain, "explain", false, "print why rules fire, or do not, instead of what would be sent")
	flags.BoolVar(&j.functions, "functions", false, "list the functions that statements may call, and do nothing else")
	flags.BoolVar(&j.lint, "lint", false, "print what cannot be meant so in the statements, instead of what would be sent")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitSame
		}
		return exitError
	}
	code, err := j.do(ctx, flags.Args(), stdin, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "rule-replay:", err)
		return exitError
	}
	return code
}

// A job is what the flags say.
type job struct {
	before, after, sql   string
	quiet, explain, lint bool
	functions            bool
}

// do reads the rules and the capture and does the job.
func (j *job) do(ctx context.Context, args []string, stdin io.Reader, out io.Writer) (code int, err error) {
	switch {
	case j.functions:
		return exitSame, functions(out)
	case (j.after == "") == (j.sql == "") || len(args) > 1:
		return exitError, errors.New("want either -after or -sql, and at most one capture; see -help")
	case j.explain && j.lint, (j.explain || j.lint) && (j.before != "" || j.quiet):
		return exitError, errors.New("-explain and -lint stand alone, without -before and -quiet")
	}
	old, err := readRules(j.before)
	if err != nil {
		return exitError, err
	}
	next, err := readRules(j.after)
	if err != nil {
		return exitError, err
	}
	if j.sql != "" {
		next = []rules.Rule{{Name: "sql", SQL: j.sql, Actions: []rules.ActionSpec{{Type: "print"}}}}
	}
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return exitError, err
		}
		defer f.Close()
		stdin = f
	}
	capture := rulestest.ReadCapture(stdin)
	switch {
	case j.explain:
		return exitSame, explain(ctx, next, capture, out)
	case j.lint:
		found, err := lint(next, capture, out)
		return min(found, exitDifferent), err
	}
	return replay(ctx, old, next, j.quiet, capture, out)
}

// functions prints the functions of the language, one a line.
func functions(out io.Writer) error {
	all, err := rules.Functions(nil)
	if err != nil {
		return err
	}
	for _, f := range all {
		if _, err := fmt.Fprintf(out, "%-40s %s (since %s)\n", f.Signature, f.Doc, f.Since); err != nil {
			return err
		}
	}
	return nil
}

// replay prints what would be sent more, less or differently.
func replay(ctx context.Context, old, next []rules.Rule, quiet bool, capture iter.Seq2[rules.Message, error], out io.Writer) (int, error) {
	report := func(d rulestest.Difference) error {
		if quiet {
			return nil
		}
		_, err := fmt.Fprintln(out, d)
		return err
	}
	sum, err := rulestest.Replay(ctx, old, next, capture, report, nil)
	if err != nil {
		return exitError, err
	}
	fmt.Fprintf(out, "%d messages: %d sent before, %d after: %d more, %d less, %d differently\n",
		sum.Messages, sum.Before, sum.After, sum.More, sum.Less, sum.Different)
	if !sum.Same() {
		return exitDifferent, nil
	}
	return exitSame, nil
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
