package model

import (
	"strings"
	"testing"
	"testing/synctest"
)

// TestEveryWrite cuts the power at each write of the database in turn, while a few clients do one of everything that is
// stored: sessions, subscriptions, messages of both levels for one and for many, marks of exchanges, positions, retained messages,
// wills, and the deletion of all that. What was not synced is kept by a part that depends on the number.
func TestEveryWrite(t *testing.T) {
	each := 1
	if testing.Short() || schedules < 1000 {
		each = 7
	}
	persistent := everyWriteClients(t)
	a, b, c := persistent[0], persistent[1], persistent[2]
	story := []step{
		{kind: "connect", client: a, text: "c", qos: 1},
		{kind: "subscribe", client: a, text: "#", settle: true},
		{kind: "connect", client: b, text: "r/a", qos: 1, flag: true},
		{kind: "subscribe", client: b, text: "a/+", settle: true},
		{kind: "connect", client: clients, settle: true}, // of the shared subscription
		{kind: "subscribe", client: clients, settle: true},
		{kind: "connect", client: c, settle: true},
		{kind: "publish", client: c, text: "a/b", qos: 1, n: 3, settle: true},
		{kind: "silent", client: a},
		{kind: "publish", client: c, text: "a/b", qos: 2, n: 3, settle: true},
		{kind: "retain", client: c, text: "r/a", qos: 1, settle: true},
		{kind: "speak", client: a, settle: true},
		{kind: "cut", client: b, settle: true},
		{kind: "publish", client: c, text: "a/b", qos: 2, n: 4},
		{kind: "publish", client: c, text: "c", qos: 1, n: 2, settle: true},
		{kind: "retain", client: c, text: "r/a", qos: 1, flag: true, settle: true},
		{kind: "connect", client: b, settle: true},
		{kind: "unsubscribe", client: b, text: "a/+", settle: true},
		{kind: "connect", client: a, text: "b/c", qos: 2, n: 5, settle: true},
		{kind: "leave", client: clients, settle: true},
		{kind: "publish", client: c, text: "b/b", qos: 2, n: 2, settle: true},
		{kind: "retain", client: c, text: "r/b", qos: 2, settle: true},
		{kind: "clean", client: b, text: "a", qos: 1, settle: true},
		{kind: "cut", client: b},
		{kind: "connect", client: clients, settle: true},
		{kind: "forget", client: c, settle: true},
		{kind: "sleep", n: 10_000},
	}
	n := 1
	for ; ; n += each {
		var w *world
		synctest.Test(t, func(*testing.T) {
			w = run(everyWriteSeed, append([]step{{kind: "crash", n: n}}, story...), len(story)+1)
		})
		if len(w.faults) > 0 {
			t.Fatalf("write %d: %s\nwhat the clients saw:\n%s", n, strings.Join(w.faults, "\n"), strings.Join(w.trace, "\n"))
		}
		if w.unspent {
			break // there are no more writes
		}
	}
	if n < 50 {
		t.Errorf("the power went at %d writes only", n)
	}
	t.Logf("the power went at each of %d writes", n-1)
}

// everyWriteSeed makes clients of both versions persistent.
const everyWriteSeed = 3

// everyWriteClients are the numbers of three clients with persistent sessions.
func everyWriteClients(t *testing.T) (list []int) {
	t.Helper()
	for i, c := range (&world{}).populate(everyWriteSeed) {
		if c.persistent && i < clients {
			list = append(list, i)
		}
	}
	if len(list) < 3 {
		t.Fatalf("%d clients with persistent sessions", len(list))
	}
	return list
}
