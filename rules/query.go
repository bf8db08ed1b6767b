package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/thingloom/thingloom/internal/sql"
	"github.com/thingloom/thingloom/internal/topic"
)

// A Query is a compiled statement. It is immutable and safe for concurrent
// use.
type Query struct {
	st        *sql.Statement
	filter    string
	hasFilter bool
	account   string

	// For Explain, which compiles anew. opts is not to change.
	text string
	opts *CompileOptions
}

// sqlOptions are those the query was compiled with, and so without error.
func (q *Query) sqlOptions() *sql.Options {
	o, _ := q.opts.sql()
	o.Version = q.st.Version()
	return o
}

// binding is what the templates of the rule's actions are compiled with: the
// version and the functions of its statement, and the variables of that.
func (q *Query) binding(rule string) *sql.Binding {
	b := &sql.Binding{Rule: rule}
	b.Options = *q.sqlOptions()
	b.Variables, b.AccountID = q.Variables(), q.account
	return b
}

// BoundRule is the name of the rule that a [Binder] is called for, and empty
// in other contexts.
func BoundRule(ctx context.Context) string {
	if b := sql.BindingOf(ctx); b != nil {
		return b.Rule
	}
	return ""
}

// Filter is the topic filter after FROM, or empty if the statement has none:
// such a rule is reached by Basic Ingest alone.
func (q *Query) Filter() string { return q.filter }

// Version is the language version in force, what sql_version() returns.
func (q *Query) Version() string { return q.st.Version() }

// MatchTopic reports whether FROM matches a topic. As with AWS, and unlike
// MQTT, sensor/# does not match sensor itself. A topic of Basic Ingest matches
// no FROM: it goes to the rule that it names.
func (q *Query) MatchTopic(name string) bool {
	return q.hasFilter && !strings.HasPrefix(name, basicIngest) && topic.MatchBelow(q.filter, name)
}

// basicIngest is how topics begin that name the rule they are for.
const basicIngest = "$aws/rules/"

// Eval evaluates the statement on m. FROM is not consulted: finding the rules
// for a topic is the caller's affair, see MatchTopic. matched says that WHERE
// is true or absent; out is then what SELECT made: JSON, the payload's own
// bytes for SELECT *, or nothing for a SELECT VALUE that is Undefined.
//
// A payload counts as JSON if it is an object or an array, valid by RFC 8259,
// in UTF-8, and at most 512 levels deep; of duplicate keys the last counts. Of
// any other payload every attribute is Undefined. A number beyond 9.99E999
// passes through as it is written; in arithmetic and order it is Undefined.
//
// No payload makes an evaluation long: what it searches, builds, compares and
// calls for is counted and ends in [ErrLimit], and patterns, which are
// written as in Java, are searched for by RE2, linear in the text: lookaround,
// backreferences, possessive quantifiers and intersections of classes are
// invalid. A pattern of more than 4 KiB, or whose
// repetitions multiply to more than 4096 instructions, is as good as invalid:
// Undefined.
//
// Bad data is no error, it is Undefined. An error abandons the rule for this
// message: it wraps what a function that asks the outside returned, a
// [*PanicError], [ErrLimit] or [ErrNotJSON].
func (q *Query) Eval(ctx context.Context, m *Message) (out []byte, matched bool, err error) {
	r, err := q.run(ctx, m, &sql.RunOptions{})
	if err != nil {
		return nil, false, evalError(err)
	}
	return r.Out, r.Matched, nil
}

func (q *Query) run(ctx context.Context, m *Message, opts *sql.RunOptions) (sql.Result, error) {
	ev := sql.Borrow()
	defer ev.Free()
	m.put(&ev.Input, q.account)
	return ev.Run(ctx, q.st, opts)
}

// A Variable is a variable of a SET clause and its value as JSON, nil for
// Undefined.
type Variable struct {
	Name  string // without the @
	Value json.RawMessage
}

// EvalVariables is Eval, and returns the values of the SET clause, which
// templates of the rule's actions may use.
func (q *Query) EvalVariables(ctx context.Context, m *Message) (out []byte, vars []Variable, matched bool, err error) {
	r, err := q.run(ctx, m, &sql.RunOptions{Variables: true})
	if err != nil {
		return nil, nil, false, evalError(err)
	}
	return r.Out, variables(r.Variables), r.Matched, nil
}

func variables(set []sql.Variable) []Variable {
	var vars []Variable
	for _, v := range set {
		vars = append(vars, Variable{v.Name, v.Value.JSON()})
	}
	return vars
}

// evalError is what becomes of an error of internal/sql.
func evalError(err error) error { return fmt.Errorf("rules: %w", asPanic(err)) }

// Variables are the names of the SET clause, in order.
func (q *Query) Variables() []string { return q.st.Variables() }

// basicIngestRule is the rule that a topic names, if it is one of Basic
// Ingest: $aws/rules/<rule>/<rest>.
func basicIngestRule(name string) (rule, rest string, ok bool) {
	after, ok := strings.CutPrefix(name, basicIngest)
	if !ok {
		return "", "", false
	}
	rule, rest, _ = strings.Cut(after, "/")
	return rule, rest, true
}
