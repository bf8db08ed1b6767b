package rules

import (
	"fmt"
	"strings"
	"testing"
)

// TestTalliesAreSettled: edits of a large group leave nothing behind once no
// message is under way, and every message is in the ledger of each rule that
// was there, whether it touched the rule or not.
func TestTalliesAreSettled(t *testing.T) {
	sink := new(fired)
	e := open(t, NewMemStore(), binder{"sink": sink}, nil)
	const rules = 4 * fewMembers
	for i := range rules {
		put(t, e, fmt.Sprint("r", i), fmt.Sprintf("SELECT k FROM 'a/b' WHERE k = %d", i), "sink")
	}
	ledger := func() Ledger {
		info, err := e.Rule("r1")
		if err != nil {
			t.Fatal(err)
		}
		return info.Ledger
	}
	before := ledger()
	const edits, each = 50, 3
	for i := range edits {
		put(t, e, "r0", fmt.Sprintf("SELECT k, %d AS n FROM 'a/b' WHERE k = 0", i), "sink")
		for k := range each {
			sink.offer(t, e, fmt.Sprintf(`{"k":%d}`, k))
		}
	}
	en, _ := e.index.Load().rules.Get("r1")
	if n := len(en.part.line.live); n > 2 {
		t.Errorf("%d tallies are live after %d edits", n, edits)
	}
	after := ledger()
	if got := after.Matched - before.Matched; got != edits*each {
		t.Errorf("r1 has met %d messages, want %d", got, edits*each)
	}
	if after.Delivered-before.Delivered != edits || after.Filtered-before.Filtered != edits*(each-1) || after.Matched != after.Delivered+after.Filtered+after.Pending+after.DeadLettered {
		t.Errorf("ledger of r1: %+v, before %+v", after, before)
	}
}

// TestManyConditions: rules with more conditions than the index has bits for.
func TestManyConditions(t *testing.T) {
	sink := new(fired)
	e := open(t, NewMemStore(), binder{"sink": sink}, nil)
	var members []string
	for k := range 70 {
		members = append(members, fmt.Sprintf(`"k%d":%d`, k, k))
	}
	payload := "{" + strings.Join(members, ",") + "}"
	queries, statements := map[string]*Query{}, map[string]string{}
	for i := range 40 {
		var conds []string
		for k := range 70 {
			op, lit := "=", k
			switch {
			case k == 69-i%3:
				lit = k + i%2 // some do not hold, in what the index looks at and beyond
			case k%7 == 3:
				op = "<="
			case k%7 == 5:
				op = "<>"
				lit = -1
			}
			conds = append(conds, fmt.Sprintf("k%d %s %d", k, op, lit))
		}
		name := fmt.Sprint("r", i)
		statements[name] = "SELECT k1 FROM 'a/b' WHERE " + strings.Join(conds, " AND ")
		queries[name] = mustCompile(t, statements[name])
		put(t, e, name, statements[name], "sink")
	}
	want := naive(t, queries, payload)
	if len(want) == 0 || len(want) == len(queries) {
		t.Fatalf("%d of %d rules fire", len(want), len(queries))
	}
	compareFired(t, queries, statements, payload, sink.offer(t, e, payload), want)
}
