package rulestest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/rules"
)

// A Case is a message and what a rule makes of it.
type Case struct {
	Name    string // a sentence, best
	Topic   string
	Payload string

	// Message has the other fields of the message. Its Topic and Payload are
	// taken where those above are empty.
	Message rules.Message

	// Want is what SELECT makes: JSON, compared by value, numbers by their
	// text, members in any order; or any other bytes, compared as they are.
	// Empty says that the rule does not fire.
	Want string

	// FiresEmpty says that the rule fires with nothing, as SELECT VALUE of
	// something Undefined does. Want is empty then.
	FiresEmpty bool

	// Err is a part of the error that abandons the evaluation, if that is
	// wanted.
	Err string
}

// Run checks r against each case in a subtest of its own: whether the topic
// reaches the rule, by its filter or by Basic Ingest, whether WHERE lets the
// message through, and what SELECT makes of it. Actions do not run. A zero
// Message.Time is 2026-01-01T00:00:00Z. A nil opts is all defaults; r's own
// SQLVersion takes precedence over its Version.
func Run(t *testing.T, r rules.Rule, cases []Case, opts *rules.CompileOptions) {
	t.Helper()
	q, err := compile(r, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Helper()
			if err := c.check(t.Context(), &r, q); err != nil {
				t.Errorf("%s\non %s %s\n%v", r.SQL, c.message().Topic, c.message().Payload, err)
			}
		})
	}
}

func compile(r rules.Rule, opts *rules.CompileOptions) (*rules.Query, error) {
	var o rules.CompileOptions
	if opts != nil {
		o = *opts
	}
	if r.SQLVersion != "" {
		o.Version = r.SQLVersion
	}
	if err := rules.CheckName(r.Name); err != nil {
		return nil, err
	}
	return rules.Compile(r.SQL, &o)
}

func (c *Case) message() *rules.Message {
	m := c.Message
	if c.Topic != "" {
		m.Topic = c.Topic
	}
	if c.Payload != "" {
		m.Payload = []byte(c.Payload)
	}
	if m.Time.IsZero() {
		m.Time = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return &m
}

func (c *Case) check(ctx context.Context, r *rules.Rule, q *rules.Query) error {
	m := c.message()
	reached := q.MatchTopic(m.Topic)
	if after, ok := strings.CutPrefix(m.Topic, "$aws/rules/"); ok {
		name, _, _ := strings.Cut(after, "/")
		reached = name == r.Name
	}
	var out []byte
	var fired bool
	if reached && !r.Disabled {
		var err error
		if out, fired, err = q.Eval(ctx, m); err != nil {
			if c.Err != "" && strings.Contains(err.Error(), c.Err) {
				return nil
			}
			return fmt.Errorf("failed: %w", err)
		}
	}
	wanted := c.Want != "" || c.FiresEmpty
	switch {
	case c.Err != "":
		return fmt.Errorf("did not fail, want an error with %q", c.Err)
	case fired && !wanted:
		return fmt.Errorf("fired with %s, want that it does not", out)
	case !fired && wanted && !reached:
		return errors.New("did not fire: the topic does not reach the rule")
	case !fired && wanted && r.Disabled:
		return errors.New("did not fire: the rule is disabled")
	case !fired && wanted:
		return errors.New("did not fire: WHERE is not true")
	case !equal(string(out), c.Want):
		return fmt.Errorf("got  %s\nwant %s", out, c.Want)
	}
	return nil
}

// equal compares JSON by value and anything else by bytes.
func equal(a, b string) bool {
	if a == b {
		return true
	}
	x, okX := parse(a)
	y, okY := parse(b)
	return okX && okY && reflect.DeepEqual(x, y)
}

func parse(text string) (v any, ok bool) {
	if !json.Valid([]byte(text)) {
		return nil, false
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	return v, dec.Decode(&v) == nil
}
