package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/thingloom/thingloom/rules"
)

// A named query is a rule's statement, compiled.
type named struct {
	name  string
	query *rules.Query
}

func compile(all []rules.Rule) ([]named, error) {
	queries := make([]named, len(all))
	for i := range all {
		q, err := rules.Compile(all[i].SQL, &rules.CompileOptions{Version: all[i].SQLVersion})
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", all[i].Name, err)
		}
		queries[i] = named{all[i].Name, q}
	}
	return queries, nil
}

// explain prints why each rule fires for each message of its topic, or does not.
func explain(ctx context.Context, all []rules.Rule, capture iter.Seq2[rules.Message, error], out io.Writer) error {
	queries, err := compile(all)
	if err != nil {
		return err
	}
	n := 0
	for m, err := range capture {
		if err != nil {
			return err
		}
		n++
		for _, q := range queries {
			ex := q.query.Explain(ctx, &m)
			if ex.Outcome == rules.OtherTopic && len(queries) > 1 {
				continue // of many rules those that the message meets are of interest
			}
			if _, err := fmt.Fprintf(out, "@ message %d on %s\n%s", n, m.Topic, explained(q.name, ex)); err != nil {
				return err
			}
		}
	}
	return nil
}

// explained is one line of decision, one for each expression and what came out.
func explained(name string, ex *rules.Explanation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: %s\n", name, ex.Outcome, ex.Reason)
	for i, s := range ex.Steps {
		fmt.Fprintf(&b, "  %-8s %s%s", s.Clause, strings.Repeat("  ", s.Depth), s.Text)
		switch {
		case s.Skipped:
			b.WriteString(" is not looked at")
		case s.Value == nil:
			fmt.Fprintf(&b, " is %s", s.Type)
		default:
			fmt.Fprintf(&b, " = %s", s.Value)
		}
		if s.Times > 1 {
			fmt.Fprintf(&b, " (the first of %d)", s.Times)
		}
		if s.Why != "" {
			fmt.Fprintf(&b, ": %s", s.Why)
		}
		if i == ex.Undefined {
			b.WriteString(" <- here it begins")
		}
		b.WriteByte('\n')
	}
	if ex.Output != nil {
		fmt.Fprintf(&b, "  -> %s\n", ex.Output)
	}
	return b.String()
}
