package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/thingloom/thingloom/internal/sql"
)

// An Outcome is what became of a message at a rule.
type Outcome string

// The outcomes.
const (
	Fired      Outcome = "fired"       // SELECT was evaluated and the actions invoked
	OtherTopic Outcome = "other topic" // FROM does not match
	Filtered   Outcome = "filtered"    // WHERE is false or Undefined, or not a Boolean
	Failed     Outcome = "failed"      // the evaluation was abandoned
)

// An Explanation says why a rule fires for a message, or does not, down to the
// last sub-expression. No action is invoked.
type Explanation struct {
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"` // one sentence

	// Steps are the expressions in the order of evaluation, parts before the
	// whole. Literals and the branches of a CASE that were not taken have none.
	// Eval does not look at what AND joins in WHERE behind the first that is
	// not true, and neither does Explain: such a Step has Skipped set and no
	// value, and the AND has the value of its left side.
	Steps []Step `json:"steps"`

	// Undefined is the index in Steps of the first that is Undefined, where
	// the others come from; -1 if none is.
	Undefined int `json:"undefined"`

	Output    json.RawMessage            `json:"output,omitempty"`    // what actions would get; text that is not JSON as a JSON string
	Variables map[string]json.RawMessage `json:"variables,omitempty"` // of SET, without those that are Undefined
	Err       error                      `json:"-"`                   // if Outcome is Failed
}

// A Step is one expression and its value.
type Step struct {
	Clause string `json:"clause"` // "SET @x", "WHERE" or "SELECT"
	Text   string `json:"text"`   // the expression, in canonical spelling
	Offset int    `json:"offset"` // in bytes, of the expression's place in the statement
	Depth  int    `json:"depth"`  // of nesting; 0 is a whole clause or item

	Type  string          `json:"type"`            // "Undefined", "Null", "Boolean", "Int", "Decimal", "String", "Array", "Object"
	Value json.RawMessage `json:"value,omitempty"` // nil for Undefined; the first of several
	Times int             `json:"times"`           // more than 1 within nested queries, 0 if Skipped
	Why   string          `json:"why,omitempty"`   // the cause, if Undefined

	Skipped bool `json:"skipped,omitempty"` // not evaluated, so it has neither Type nor Value
}

// Explain evaluates the query on m step by step, FROM included. Functions that
// ask the outside are called, those that Eval would call and no others. It compiles the statement anew, which makes it
// thousands of times slower than Eval.
func (q *Query) Explain(ctx context.Context, m *Message) *Explanation {
	ex := &Explanation{Undefined: -1, Steps: []Step{}}
	if rule, _, ok := basicIngestRule(m.Topic); !ok && !q.MatchTopic(m.Topic) {
		ex.Outcome = OtherTopic
		ex.Reason = fmt.Sprintf("the topic %q does not match FROM '%s'", m.Topic, q.filter)
		if !q.hasFilter {
			ex.Reason = "the statement has no FROM: it is reached by $aws/rules/<its name> alone"
		}
		return ex
	} else if ok {
		ex.Reason = "the topic names the rule " + rule + ", and "
	}
	var in sql.Input
	m.put(&in, q.account)
	got, err := sql.Explain(ctx, q.text, q.sqlOptions(), &in)
	if got != nil {
		ex.steps(got)
	}
	switch {
	case err != nil:
		ex.Outcome, ex.Err = Failed, evalError(err)
		ex.Reason += "the evaluation was abandoned: " + ex.Err.Error()
	case !got.Result.Matched:
		ex.Outcome = Filtered
		ex.Reason += "WHERE is not true"
		if w := got.Where; w != nil {
			ex.Reason += ": " + sql.Print(w.Node) + " is " + shown(w)
		}
		if ex.Undefined >= 0 && got.Where != nil && ex.Steps[ex.Undefined].Clause == "WHERE" {
			u := ex.Steps[ex.Undefined]
			ex.Reason += fmt.Sprintf(", since %s is Undefined: %s", u.Text, u.Why)
		}
	default:
		ex.Outcome = Fired
		if got.Where == nil {
			ex.Reason += "there is no WHERE"
		} else {
			ex.Reason += "WHERE is true"
		}
		ex.Output = asJSON(got.Result.Out)
	}
	return ex
}

func shown(s *sql.Step) string {
	if v := s.Value.JSON(); v != nil {
		return string(v)
	}
	return "Undefined"
}

// asJSON is the output as it is, or in a JSON string.
func asJSON(out []byte) json.RawMessage {
	if len(out) == 0 {
		return nil
	}
	if json.Valid(out) {
		return out
	}
	text, _ := json.Marshal(string(out)) // a string cannot fail
	return text
}

func (ex *Explanation) steps(got *sql.Explained) {
	for i := range got.Steps {
		s := &got.Steps[i]
		if s.Why != "" && ex.Undefined < 0 {
			ex.Undefined = i
		}
		step := Step{Clause: s.Clause, Text: sql.Print(s.Node), Offset: sql.Start(s.Node), Depth: s.Depth, Times: s.Times}
		if step.Skipped = s.Times == 0; !step.Skipped {
			step.Type, step.Value, step.Why = s.Value.Kind().String(), s.Value.JSON(), s.Why
		}
		ex.Steps = append(ex.Steps, step)
	}
	for _, v := range got.Variables {
		if value := v.Value.JSON(); value != nil {
			if ex.Variables == nil {
				ex.Variables = map[string]json.RawMessage{}
			}
			ex.Variables[v.Name] = value
		}
	}
}

// String is the explanation for a terminal: the outcome, then a line a step.
func (ex *Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", ex.Outcome, ex.Reason)
	clause := ""
	for _, s := range ex.Steps {
		if s.Clause != clause {
			clause = s.Clause
			b.WriteString(clause + "\n")
		}
		value := "= " + string(s.Value)
		switch {
		case s.Skipped:
			value = "is not evaluated"
		case s.Value == nil:
			value = "= Undefined: " + s.Why
		}
		fmt.Fprintf(&b, "%s%s %s", strings.Repeat("  ", s.Depth+1), s.Text, value)
		if s.Times > 1 {
			fmt.Fprintf(&b, " (the first of %d)", s.Times)
		}
		b.WriteByte('\n')
	}
	if ex.Output != nil {
		fmt.Fprintf(&b, "output %s\n", ex.Output)
	}
	return b.String()
}

// Explain is [Query.Explain] of a rule, or [ErrNotFound]. A disabled rule is
// explained as if it were not; of a broken one the error says why it is broken.
func (e *Engine) Explain(ctx context.Context, rule string, m *Message) (*Explanation, error) {
	ix := e.pin()
	defer e.unpin(ix)
	en, ok := ix.rules.Get(rule)
	switch {
	case !ok:
		return nil, fmt.Errorf("rules: rule %q: %w", rule, ErrNotFound)
	case en.broken != nil:
		return nil, fmt.Errorf("rules: rule %q: %w", rule, en.broken)
	}
	ex := en.query.Explain(ctx, m)
	if name, _, ok := basicIngestRule(m.Topic); ok && name != rule {
		ex.Outcome, ex.Reason = OtherTopic, fmt.Sprintf("the topic names the rule %s", name)
	}
	return ex, nil
}
