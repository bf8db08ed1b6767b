package rules

import (
	"errors"
	"fmt"
	"strings"

	"github.com/thingloom/thingloom/internal/sql"
	"github.com/thingloom/thingloom/internal/topic"
)

// Language versions for CompileOptions.Version. "beta" is the same as
// Version2016.
const (
	Version2015 = sql.Version2015
	Version2016 = sql.Version2016
)

// CompileOptions are the optional parts of [Compile]. A nil *CompileOptions is
// all defaults.
type CompileOptions struct {
	// Version of the language. Empty means Version2016; AWS itself takes an
	// absent version for Version2015.
	Version string

	// AccountID is what accountid() returns. Empty makes it Undefined.
	AccountID string

	// DecimalDivision makes Int / Int a Decimal, 7 / 2 = 3.5. The reference
	// of AWS contradicts itself here; the default follows its table, 7 / 2 = 3.
	DecimalDivision bool

	// MaxTextBytes is the longest statement. Zero means 131,072, the AWS limit.
	MaxTextBytes int

	// MaxDepth is how deep expressions nest, MaxQueryDepth how deep queries
	// do. Zero means 100 and 16.
	MaxDepth, MaxQueryDepth int

	// MaxValueBytes is the largest value that a statement may build, and
	// MaxWork bounds its steps for one message: bytes searched and written,
	// elements visited. Zero means 1 MiB and 64 Mi. Beyond them the
	// evaluation fails with [ErrLimit].
	MaxValueBytes, MaxWork int

	// Funcs answer the functions that ask the outside. Nil: none of them.
	Funcs *Funcs
}

var (
	// ErrLimit reports an evaluation that was abandoned at one of the limits
	// of CompileOptions. The same message will fail again.
	ErrLimit = sql.ErrLimit

	// ErrNotJSON reports a payload that is not JSON where it was to become
	// part of a JSON output, as in SELECT *, 1 AS x. Encode it first.
	ErrNotJSON = sql.ErrNotJSON
)

// A SyntaxError is a statement that does not compile, and where.
type SyntaxError struct {
	Offset   int    // in bytes, between 0 and the length of the statement
	Line     int    // from 1
	Column   int    // from 1, in characters
	Msg      string // what is wrong
	Expected string // what would have been right, or empty
	Nearest  string // the known name closest to a misspelt one, or empty

	// Snippet is the line, a newline, and a caret below the column:
	//
	//	SELECT floor(t FROM 'a/b'
	//	               ^
	Snippet string
}

// Error is the message with its place, and the snippet on lines of its own.
func (e *SyntaxError) Error() string {
	s := fmt.Sprintf("rules: line %d, column %d: %s", e.Line, e.Column, e.Msg)
	if e.Expected != "" {
		s += ", expected " + e.Expected
	}
	if e.Nearest != "" {
		s += ", did you mean " + e.Nearest + "?"
	}
	return s + "\n" + e.Snippet
}

// Compile turns rule SQL into a Query. The error is a [*SyntaxError], unless
// the options themselves are wrong.
func Compile(statement string, opts *CompileOptions) (*Query, error) {
	if opts == nil {
		opts = new(CompileOptions)
	}
	o, err := opts.sql()
	if err != nil {
		return nil, err
	}
	st, err := sql.CompileStatement(statement, o)
	if err != nil {
		return nil, asSyntaxError(err)
	}
	filter, pos, ok := st.Filter()
	if ok {
		if err := checkFilter(filter); err != nil {
			return nil, asSyntaxError(sql.ErrorAt(statement, pos, err.Error()))
		}
	}
	return &Query{st: st, filter: filter, hasFilter: ok, account: opts.AccountID, text: statement, opts: opts}, nil
}

// sql is what of the options internal/sql needs.
func (opts *CompileOptions) sql() (*sql.Options, error) {
	funcs, err := opts.Funcs.functions()
	return &sql.Options{
		Version: opts.Version, DecimalDivision: opts.DecimalDivision, Functions: funcs, Answers: answerers,
		MaxTextBytes: opts.MaxTextBytes, MaxDepth: opts.MaxDepth, MaxQueryDepth: opts.MaxQueryDepth,
		MaxValueBytes: opts.MaxValueBytes, MaxWork: opts.MaxWork,
	}, err
}

// answerers are what a program lacks whose statements call a function that
// nobody answers.
var answerers = map[string]string{
	"aws_lambda":              "the program to set CompileOptions.Funcs.Lambda",
	"get_thing_shadow":        "the program to set CompileOptions.Funcs.Shadow",
	"get_registry_data":       "the program to set CompileOptions.Funcs.Registry",
	"get_dynamodb":            "the program to set CompileOptions.Funcs.DynamoDB",
	"get_secret":              "the program to set CompileOptions.Funcs.Secret",
	"machinelearning_predict": "the program to set CompileOptions.Funcs.Predict",
	"decode_proto":            "the program to set CompileOptions.Funcs.Proto, which the module contrib/rulesproto answers",
}

func asSyntaxError(err error) error {
	var e *sql.SyntaxError
	if !errors.As(err, &e) {
		return fmt.Errorf("rules: %w", err)
	}
	return &SyntaxError{Offset: e.Offset, Line: e.Line, Column: e.Column, Msg: e.Msg,
		Expected: e.Expected, Nearest: e.Nearest, Snippet: e.Snippet}
}

// The limits of a topic filter.
const (
	maxLevels      = 8
	maxFilterBytes = 256
)

func checkFilter(filter string) error {
	if err := topic.CheckFilter(filter); err != nil {
		return err
	}
	if strings.Contains(filter, "${") {
		return errors.New("a topic filter has no substitutions")
	}
	if strings.HasPrefix(filter, basicIngest) {
		return errors.New("nobody subscribes to the topics of Basic Ingest: they reach the rule that they name")
	}
	if n := topic.Levels(filter); n > maxLevels {
		return fmt.Errorf("the topic filter has %d levels, at most %d are allowed", n, maxLevels)
	}
	if len(filter) > maxFilterBytes {
		return fmt.Errorf("the topic filter has %d bytes, at most %d are allowed", len(filter), maxFilterBytes)
	}
	return nil
}
