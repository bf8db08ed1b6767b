// Command benchmarks compares the rules of Thingloom with expr-lang/expr,
// google/cel-go, Benthos bloblang and eKuiper in one run: the same rule, the
// same payload, and each with the JSON decoding and encoding that it needs.
//
//	go run .                                   # the table
//	go run . -svg ../../docs/rules-speed.svg   # and the curves
//	go run . -bin DIR                          # with DIR's kuiperd
//	go test .                                  # everybody makes the same of a message
//
// Figures are messages per second of CPU time, that of the garbage collector
// included, on one goroutine. It is a module of its own so that nobody who uses
// Thingloom requires its peers. "Fields known" is a program written for this one
// payload: no rule can be put into it at run time; it says what decoding costs at
// least.
//
// eKuiper's engine is in internal packages, so it is measured as its program,
// kuiperd, that reads the payloads from a file and hands what its rule makes of
// them to a sink that does nothing: all of its stages, on all its goroutines, per
// second of its process's CPU time. It stands beside Thingloom's whole engine, not
// beside a bare statement. Where there is no kuiperd, the table has a dash.
package main
