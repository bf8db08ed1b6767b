package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	const in = `{"topic": "sensors/s1", "client": "c1", "payload": {"t": 31, "battery": 80}}
{"topic": "sensors/s2", "client": "c2", "payload": {"t": 12, "battery": 4}}
{"topic": "sensors/s3", "payload": {"t": 12, "battery": 10}}
{"topic": "doors/d1", "payload": {"open": true}}
`
	var out strings.Builder
	if err := run(t.Context(), strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{
		`notify   s1 is hot: {"thing":"s1","t":31}`,
		`notify   s2 needs a battery: {"thing":"s2","level":"critical"}`,
		`ticket   c2: {"thing":"s2","level":"critical"}`,
		`notify   s3 needs a battery: {"thing":"s3","level":"low"}`,
		`notify    has a rule that failed: {"ruleName":"battery","topic":"sensors/s3",`,
		`battery  3 matched = 1 delivered + 1 filtered + 1 to the error action + 0 failed + 0 pending`,
		`hot      3 matched = 1 delivered + 2 filtered + 0 to the error action + 0 failed + 0 pending`,
	} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("line %d of\n%s\nwant %s", i, out.String(), want)
		}
	}
	if err := run(t.Context(), strings.NewReader("{"), &out); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a line that is not JSON: %v", err)
	}
}
