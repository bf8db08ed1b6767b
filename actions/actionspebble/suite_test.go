package actionspebble

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/actionstest"
)

func TestConformance(t *testing.T) {
	actionstest.TestQueues(t, func(t *testing.T) actionstest.Backend {
		fs := vfs.NewMem()
		db := open(t, fs)
		t.Cleanup(func() { db.Close() })
		return actionstest.Backend{Queues: New(db, "q/", nil), Reopen: func() (actions.Queues, error) {
			if err := db.Close(); err != nil {
				return nil, err
			}
			db = open(t, fs)
			return New(db, "q/", nil), nil
		}}
	})
}

// Two Queues in one database, one prefix the beginning of the other's.
func TestPrefixes(t *testing.T) {
	db := open(t, vfs.NewMem())
	defer db.Close()
	a, b := New(db, "q/", nil), New(db, "q/i", nil)
	oa, ob := openQueue(t, a, actions.Limits{}), openQueue(t, b, actions.Limits{})
	push(t, oa, "a")
	push(t, ob, "b", "b")
	if n, _ := oa.Size(); n != 1 {
		t.Errorf("size %d", n)
	}
	if e := pop(t, oa, 1); e[0].Request.ID != "a" {
		t.Errorf("got %q", e[0].Request.ID)
	}
}
