package jobs

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A namespace is a list of its own, with its own notifications: neither hears
// of the other.
func TestNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.things("g", "t1")
		in := func(j *Job) {
			j.Namespace = "ns"
			j.Retry = &Retry{[]RetryCriterion{{"FAILED", 1}}}
		}
		pending := func(namespace string) (ids string) {
			t.Helper()
			running, queued, err := f.svc.Pending(t.Context(), "t1", namespace)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range slices.Concat(running, queued) {
				ids += e.Job
			}
			return ids
		}
		told := func(want ...string) {
			t.Helper()
			for i := range want {
				want[i] = strings.ReplaceAll(want[i], "~", "things/t1/jobs/notify")
			}
			if got := f.take(); !slices.Equal(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		f.run(func() {
			f.create("a", nil, "thing/t1")
			told("~", "~-next")
			f.create("b", in, "thing/t1")
			told("~-namespace-ns", "~-next-namespace-ns")
			f.create("c", in, "thing/t1")
			told("~-namespace-ns")
			if pending("") != "a" || pending("ns") != "bc" || pending("other") != "" {
				t.Errorf("pending %q, %q, %q", pending(""), pending("ns"), pending("other"))
			}
			// Next is that of the list; by its ID a job is found without the namespace too.
			for _, c := range []struct{ namespace, job, want string }{{"", Next, "a"}, {"ns", Next, "b"}, {"ns", "c", "c"}, {"", "c", "c"}, {"ns", "a", ""}, {"other", "b", ""}} {
				e, err := f.svc.DescribeIn(t.Context(), "t1", c.namespace, c.job, 0)
				if c.want == "" && !errors.Is(err, ErrNotFound) || c.want != "" && (err != nil || e.Job != c.want) {
					t.Errorf("%s in %q: %+v, %v", c.job, c.namespace, e, err)
				}
			}
			if e, err := f.svc.DescribeIn(t.Context(), "t1", "other", Next, 0); e != nil || err != nil {
				t.Errorf("next of an empty list: %+v, %v", e, err)
			}
			if _, err := f.svc.Update(t.Context(), "t1", "b", Update{Status: InProgress, Namespace: "other"}); !errors.Is(err, ErrNotFound) {
				t.Errorf("update in another namespace: %v", err)
			}
			if e, err := f.svc.StartNext(t.Context(), "t1", Start{}); err != nil || e.Job != "a" {
				t.Errorf("started %+v, %v", e, err)
			}
			told()
			f.update("t1", "b", Update{Status: Failed, Namespace: "ns"}) // and is queued again
			told("~-namespace-ns", "~-next-namespace-ns", "events/jobExecution/b/failed")
			if pending("ns") != "cb" || f.execution("t1", "b").Namespace != "ns" {
				t.Errorf("pending %q", pending("ns"))
			}
			// Joining, and leaving by being deleted.
			f.create("d", func(j *Job) { j.Selection, j.Namespace = Continuous, "ns" }, "thinggroup/g")
			f.pass(time.Second)
			if pending("ns") != "cbd" {
				t.Errorf("pending %q", pending("ns"))
			}
			f.take()
			f.checkStep(0, 0, nil)
			if err := f.reg.DeleteThing(t.Context(), "t1", 0); err != nil {
				t.Fatal(err)
			}
			f.pass(time.Second)
			for _, id := range []string{"a", "b", "c", "d"} {
				if e := f.execution("t1", id); e.Status != Removed {
					t.Errorf("%s is %s", id, e.Status)
				}
			}
			f.checkStep(0, 1, nil)
		})
		var ids string
		for j, err := range f.svc.Jobs(t.Context(), JobQuery{Namespace: "ns"}) {
			if err != nil {
				t.Fatal(err)
			}
			ids += j.ID
		}
		if ids != "bcd" {
			t.Errorf("jobs of the namespace: %q", ids)
		}
		if _, err := f.svc.CreateJob(t.Context(), Job{ID: "x", Document: "{}", Namespace: "a b", Targets: []string{arns + "thinggroup/g"}}); !errors.Is(err, ErrInvalid) {
			t.Errorf("an odd namespace: %v", err)
		}
	})
}
