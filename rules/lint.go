package rules

import (
	"encoding/json"
	"fmt"

	"github.com/thingloom/thingloom/internal/sql"
)

// The kinds of findings.
const (
	NeverTrue    = sql.NeverTrue    // a condition that no message meets, or several together
	Unreachable  = sql.Unreachable  // an arm of a CASE that is never taken
	UnknownField = sql.UnknownField // a field that no sample has
	BadPattern   = sql.BadPattern   // a literal pattern of a regular expression or a time that makes a call always Undefined
)

// A Finding is something in a statement that compiles and cannot be meant so.
type Finding struct {
	Kind    string // one of the above
	Offset  int    // in bytes, of the place in the statement
	Line    int    // from 1
	Column  int    // from 1, in characters
	Msg     string
	Snippet string // as that of a SyntaxError
}

// String is the finding with its place, and the snippet on lines of its own.
func (f Finding) String() string {
	return fmt.Sprintf("line %d, column %d: %s\n%s", f.Line, f.Column, f.Msg, f.Snippet)
}

// Lint looks through a statement for what cannot be meant so, in the order of
// their places: comparisons that are never true, each alone and those of an AND
// together; arms of a CASE that are never taken; literal patterns that are none,
// be it for want of lookaround and backreferences; and, given samples of
// payloads, fields that none of them has, with the nearest name that one has.
// All but the last are certain. A sample that is not a JSON
// object or array is an error, and so is a statement that does not compile
// ([*SyntaxError]). For rules that feed one another see [Cycles].
func Lint(statement string, samples [][]byte, opts *CompileOptions) ([]Finding, error) {
	q, err := Compile(statement, opts)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(samples))
	for i, sample := range samples {
		text, ok := sql.Compact(sample)
		if !ok || !json.Valid(sample) {
			return nil, fmt.Errorf("rules: sample %d is not JSON", i)
		}
		texts[i] = text
	}
	found, err := sql.Lint(statement, q.sqlOptions(), texts)
	if err != nil {
		return nil, asSyntaxError(err)
	}
	var all []Finding
	for _, f := range found {
		at := sql.ErrorAt(statement, f.Offset, f.Msg)
		all = append(all, Finding{f.Kind, f.Offset, at.Line, at.Column, f.Msg, at.Snippet})
	}
	return all, nil
}
