package rulestest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/thingloom/thingloom/internal/sql"
	"github.com/thingloom/thingloom/rules"
)

// A Send is what one action of a rule would be given.
type Send struct {
	Rule   string
	Action int // index in Rule.Actions; -1 where the statement failed
	Type   string

	// Params are the parameters as JSON, with every ${...} in a text replaced
	// by its value.
	Params string

	// Output is what SELECT made, or the error where the statement failed.
	Output string
}

// failed is the Type of a Send that stands for a statement that failed.
const failed = "(statement failed)"

func (s Send) String() string {
	if s.Action < 0 {
		return fmt.Sprintf("%s: the statement fails: %s", s.Rule, s.Output)
	}
	return fmt.Sprintf("%s: %s %s <- %s", s.Rule, s.Type, s.Params, s.Output)
}

// A Difference is what two sets of rules do differently for one message: Before
// is nil for something sent more, After for something sent less.
type Difference struct {
	Number        int // of the message in the capture, from 1
	Message       *rules.Message
	Before, After *Send
}

// String is a line for each side, as in a diff.
func (d Difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "@ message %d on %s", d.Number, d.Message.Topic)
	if d.Before != nil {
		fmt.Fprintf(&b, "\n- %v", d.Before)
	}
	if d.After != nil {
		fmt.Fprintf(&b, "\n+ %v", d.After)
	}
	return b.String()
}

// A Summary counts.
type Summary struct {
	Messages        int
	Before, After   int // sends
	More, Less      int
	Different       int
	UnmatchedBefore int // messages that no filter matched
	UnmatchedAfter  int
}

// Same reports whether nothing would be sent more, less or differently.
func (s Summary) Same() bool { return s.More == 0 && s.Less == 0 && s.Different == 0 }

// Replay offers every message of a capture to two sets of rules and tells
// report, in order, what would be sent more, less or differently. Nothing is
// sent: actions are only described, so whatever they are called they are taken,
// and what they would publish does not come back to the rules. Actions of the
// same rule are compared by their place.
//
// A message without a time has that of the Unix epoch. What newuuid() and
// rand() make differs from set to set. Templates that cannot be compiled here,
// as with a function that opts does not answer, are compared by their text.
//
// The error is the first of the rules (one that does not compile), of the
// capture, of report, or of ctx. A nil opts is all defaults.
func Replay(ctx context.Context, before, after []rules.Rule, capture iter.Seq2[rules.Message, error], report func(Difference) error, opts *rules.CompileOptions) (Summary, error) {
	var sum Summary
	old, err := newSide(ctx, "before", before, opts)
	if err != nil {
		return sum, err
	}
	next, err := newSide(ctx, "after", after, opts)
	if err != nil {
		return sum, err
	}
	for m, err := range capture {
		if err != nil {
			return sum, err
		}
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		sum.Messages++
		if m.Time.IsZero() {
			m.Time = time.Unix(0, 0).UTC()
		}
		b, a := old.send(ctx, &m), next.send(ctx, &m)
		sum.Before += len(b)
		sum.After += len(a)
		for _, d := range compare(b, a) {
			d.Number, d.Message = sum.Messages, &m
			switch {
			case d.Before == nil:
				sum.More++
			case d.After == nil:
				sum.Less++
			default:
				sum.Different++
			}
			if err := report(d); err != nil {
				return sum, err
			}
		}
	}
	sum.UnmatchedBefore = int(old.engine.Stats().Unmatched)
	sum.UnmatchedAfter = int(next.engine.Stats().Unmatched)
	return sum, nil
}

// compare pairs what two sides send by rule and action.
func compare(before, after []Send) (all []Difference) {
	order := func(x, y Send) int {
		if c := strings.Compare(x.Rule, y.Rule); c != 0 {
			return c
		}
		return x.Action - y.Action
	}
	for len(before) > 0 || len(after) > 0 {
		c := 0
		switch {
		case len(after) == 0:
			c = -1
		case len(before) == 0:
			c = 1
		default:
			c = order(before[0], after[0])
		}
		var d Difference
		if c <= 0 {
			d.Before, before = &before[0], before[1:]
		}
		if c >= 0 {
			d.After, after = &after[0], after[1:]
		}
		if c != 0 || !sameSend(*d.Before, *d.After) {
			all = append(all, d)
		}
	}
	return all
}

func sameSend(a, b Send) bool {
	return a.Type == b.Type && equal(a.Params, b.Params) && equal(a.Output, b.Output)
}

// A side is one set of rules in an engine whose actions write down what they
// are given. It is used by one goroutine.
type side struct {
	engine *rules.Engine
	sent   []Send
}

func newSide(ctx context.Context, name string, set []rules.Rule, opts *rules.CompileOptions) (*side, error) {
	s := new(side)
	engine, err := rules.Open(ctx, rules.NewMemStore(), s, &rules.Options{Compile: opts, Patience: -1,
		Trace: &rules.Trace{Failed: func(rule string, _ rules.Reason, err error) {
			s.sent = append(s.sent, Send{Rule: rule, Action: -1, Type: failed, Output: err.Error()})
		}}})
	if err != nil {
		return nil, fmt.Errorf("rulestest: %s: %w", name, err)
	}
	s.engine = engine
	for _, r := range set {
		r.Version = 0
		if _, err := engine.Create(ctx, r); err != nil {
			return nil, fmt.Errorf("rulestest: %s: %w", name, err)
		}
	}
	return s, nil
}

// send is what the side sends for m, in the order of rules and actions.
func (s *side) send(ctx context.Context, m *rules.Message) []Send {
	s.sent = nil
	_ = s.engine.Handle(ctx, m) // the actions here never fail
	slices.SortStableFunc(s.sent, func(a, b Send) int {
		if c := strings.Compare(a.Rule, b.Rule); c != 0 {
			return c
		}
		return a.Action - b.Action
	})
	return s.sent
}

// Bind implements rules.Binder for any action.
func (s *side) Bind(ctx context.Context, spec rules.ActionSpec) (rules.Action, error) {
	params := compileParams(spec.Params, sql.BindingOf(ctx))
	return rules.ActionFunc(func(ctx context.Context, f rules.Firing) error {
		s.sent = append(s.sent, Send{f.Rule, f.Action, spec.Type, params.expand(ctx, f), string(f.Output)})
		return nil
	}), nil
}
