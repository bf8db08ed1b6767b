// Package sql holds the language that rule statements, ${...} templates and
// window SQL share: lexer, parser, values, compiled expressions, functions.
// It is the AWS IoT SQL language, version 2016-03-23 and, where asked for,
// 2015-10-08.
//
// # Entries
//
// A rule compiles a whole statement:
//
//	st, err := sql.CompileStatement("SELECT t FROM 'a/+' WHERE t > 30", nil)
//	out, matched, err := st.Eval(ctx, &sql.Input{Topic: "a/b", Payload: payload})
//
// An action compiles a text with substitutions:
//
//	tmpl, err := sql.CompileTemplate("alerts/${topic(2)}", nil)
//	s, err := tmpl.Expand(ctx, &sql.Input{Topic: "a/b"})
//
// A host with clauses of its own around the expressions, as window SQL, reads
// them with a [Parser], and compiles what Expr returned with [CompileExpr].
// ExprOptions.Host lets it claim nodes, names as key or calls as avg(t), whose
// values it then hands in with Input.Host.
//
// All that is compiled is immutable and safe for concurrent use. A text that
// does not compile is a [*SyntaxError] with its place.
//
// # Values
//
// A [Value] that was read from a payload keeps the text of its number, so
// that 9007199254740993 stays itself on its way through. Arithmetic is decimal
// with 34 digits, rounded half-even, between 1E-999 and 9.99E999; below it is
// zero, above it Undefined. Only the functions that are trigonometric,
// logarithmic and so on compute in float64. Arrays and objects are their JSON
// text.
//
// # Payloads
//
// A payload is read in one pass: its syntax is checked and the values at all
// paths of the program are found. It is not JSON, and every path of it
// Undefined, if its top is a scalar, if it is not UTF-8, if it nests more than
// 512 deep, or if anything in it violates RFC 8259. Of several members with
// one name the last counts. A number beyond the limits passes through as its
// text, equals only the same text, and is Undefined in arithmetic and order.
// A lone surrogate (\ud800) is U+FFFD once a string is looked at.
//
// # Limits
//
// Time and memory of one evaluation are bounded by Options.MaxWork and
// MaxValueBytes, whatever the payload: nested queries, replacements that
// multiply, comparisons of large objects count their steps. Regular
// expressions are RE2, linear in the text; a pattern with lookaround or
// backreferences is Undefined, and so is one of more than 4 KiB or whose
// repetitions multiply to more than 4096 instructions. Statements nest 100
// deep and queries in them 16, unless Options say otherwise.
//
// # Tests
//
// testdata/language.txt says what expressions come to, testdata/wrong.txt what
// is no statement, each from the specification. A naive interpreter (naive_*.go)
// walks the tree with big.Rat and agrees on random statements of both versions,
// every function included; hostile_test.go has the payloads and statements that
// are made to hurt. How much of a change all this notices is told in
// docs/architecture.md.
package sql
