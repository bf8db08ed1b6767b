package jobs

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// A continuous job of a dynamic group comes to the things that begin to match,
// and goes from those that match no more; a snapshot has those of its moment.
func TestDynamicGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.things("", "t1", "t2", "t3")
		if _, err := f.reg.CreateDynamicGroup(t.Context(), registry.Group{Name: "low"}, "shadow.reported.battery<10"); err != nil {
			t.Fatal(err)
		}
		// match makes the members those that the query finds, as package dynamicgroup does.
		match := func(things ...string) {
			t.Helper()
			for _, thing := range []string{"t1", "t2", "t3"} {
				var in []string
				if slices.Contains(things, thing) {
					in = []string{"low"}
				}
				if _, err := f.reg.SetDynamicMemberships(t.Context(), thing, in); err != nil {
					t.Fatal(err)
				}
			}
		}
		f.run(func() {
			match("t1")
			f.create("go", func(j *Job) { j.Selection = Continuous }, "thinggroup/low")
			f.create("once", nil, "thinggroup/low")
			f.pass(time.Second)
			f.update("t1", "go", Update{Status: Succeeded})
			match("t1", "t2")
			f.pass(time.Second)
			if e := f.execution("t2", "go"); e.Status != Queued {
				t.Errorf("who began to match has %+v", e)
			}
			match("t3")
			f.pass(time.Second)
			if c := f.counts("go"); c != (Counts{Succeeded: 1, Removed: 1, Queued: 1}) {
				t.Errorf("after two stopped to match: %+v", c)
			}
			if c := f.counts("once"); c != (Counts{Queued: 1}) {
				t.Errorf("the snapshot has %+v", c)
			}
			if j := f.job("go"); j.Status != JobInProgress {
				t.Errorf("the continuous job is %s", j.Status)
			}
		})
		match("t2") // while no Run is there
		f.run(func() {
			if e := f.execution("t2", "go"); e.Status != Queued || e.Number != 2 {
				t.Errorf("who began to match meanwhile has %+v", e)
			}
			if e := f.execution("t3", "go"); e.Status != Removed {
				t.Errorf("who stopped to match meanwhile has %+v", e)
			}
			if err := f.reg.DeleteDynamicGroup(t.Context(), "low", 0); err != nil {
				t.Fatal(err)
			}
			f.pass(time.Second)
			if e := f.execution("t2", "go"); e.Status != Removed {
				t.Errorf("after the group is gone: %+v", e)
			}
		})
		f.checkStep(0, 0, nil)
	})
}
