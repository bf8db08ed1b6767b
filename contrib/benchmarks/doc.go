// Command benchmarks compares the rules of Thingloom with expr-lang/expr,
// google/cel-go and Benthos bloblang in one run: the same rule, the same
// payload, and each with the JSON decoding and encoding that it needs.
//
//	go run .                                   # the table
//	go run . -svg ../../docs/rules-speed.svg   # and the curves
//	go test .                                  # everybody makes the same of a message
//
// Figures are messages per second of CPU time, that of the garbage collector
// included, on one goroutine. It is a module of its own so that nobody who uses
// Thingloom requires its peers. "Fields known" is a program written for this one
// payload: no rule can be put into it at run time; it says what decoding costs at
// least. eKuiper is not among the peers: its module could not be fetched.
package main
