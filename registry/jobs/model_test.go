package jobs

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// The oracle of transitions: who may bring an execution from where to where.
var transitions = map[ExecutionStatus][]ExecutionStatus{
	Queued:     {InProgress, Succeeded, Failed, Rejected, Canceled, Removed},
	InProgress: {InProgress, Succeeded, Failed, Rejected, Canceled, Removed, TimedOut},
	// A retry, and a thing that comes back, begin again with the next number.
	Failed: {Queued}, TimedOut: {Queued}, Removed: {Queued},
}

// TestModel lets devices, operators and time do as they like, and checks after
// each step: that no execution made a transition that is not in the table, that
// versions grow by one and numbers too, that a device's update is refused
// exactly where the table refuses it, that the counts of a job are those of its
// executions, and that all indexes agree with them.
func TestModel(t *testing.T) {
	for seed := range uint64(25) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			f := newFixture(t, nil, nil)
			f.things("g", numbered(4)...)
			f.things("h", "u0", "u1")
			things := append(numbered(4), "u0", "u1")
			f.run(func() {
				before := map[string]Execution{}
				for step := range 300 {
					f.randomStep(r, step, things)
					synctest.Wait()
					before = f.checkStep(seed, step, before)
				}
			})
		})
	}
}

func (f *fixture) randomStep(r *rand.Rand, step int, things []string) {
	t := f.t
	job := fmt.Sprint("j", r.IntN(3))
	thing := things[r.IntN(len(things))]
	switch r.IntN(12) {
	case 0:
		j := Job{ID: job, Document: "{}", Targets: []string{arns + "thinggroup/g"}, Config: Config{
			Retry: &Retry{[]RetryCriterion{{"ALL", r.IntN(3)}}}, Timeout: &Timeout{int64(1 + r.IntN(5))}}}
		if r.IntN(2) == 0 {
			j.Selection = Continuous
		}
		if r.IntN(2) == 0 {
			j.Rollout = &Rollout{MaximumPerMinute: 1 + r.IntN(4)}
		}
		if r.IntN(3) == 0 {
			j.Abort = &Abort{[]AbortCriterion{{"ALL", "CANCEL", 60, 3}}}
		}
		if _, err := f.svc.CreateJob(t.Context(), j); err != nil && !errors.Is(err, ErrExists) {
			t.Error(err)
		}
	case 1:
		if _, err := f.svc.CancelJob(t.Context(), job, Cancellation{Force: r.IntN(2) == 0}); err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	case 2:
		if r.IntN(3) > 0 {
			break
		}
		if err := f.svc.DeleteJob(t.Context(), job, r.IntN(2) == 0); err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrTransition) {
			t.Error(err)
		}
	case 3:
		if err := f.reg.AddThingToGroup(t.Context(), thing, "g"); err != nil {
			t.Error(err)
		}
	case 4:
		if err := f.reg.RemoveThingFromGroup(t.Context(), thing, "g"); err != nil {
			t.Error(err)
		}
	case 5:
		f.pass(time.Duration(r.IntN(100)) * time.Second)
	case 6:
		if err := f.svc.CancelExecution(t.Context(), thing, job, ExecutionCancellation{Force: r.IntN(2) == 0}); err != nil &&
			!errors.Is(err, ErrNotFound) && !errors.Is(err, ErrTransition) {
			t.Error(err)
		}
	case 7:
		if _, err := f.svc.StartNext(t.Context(), thing, Start{StepMinutes: int64(r.IntN(3))}); err != nil {
			t.Error(err)
		}
	default:
		f.randomUpdate(r, thing, job)
	}
}

// randomUpdate is a device's update, checked against the table.
func (f *fixture) randomUpdate(r *rand.Rand, thing, job string) {
	status := statuses[r.IntN(len(statuses))]
	expected := int64(r.IntN(3))
	old, err := f.svc.Execution(f.t.Context(), thing, job, 0)
	want := error(nil)
	switch {
	case err != nil:
		want = ErrNotFound
	case expected != 0 && expected != old.Version:
		want = ErrVersion
	case old.Status.Terminal() || status == Queued || status == TimedOut || status == Removed || status == Canceled:
		want = ErrTransition
	}
	now, err := f.svc.Update(f.t.Context(), thing, job, Update{Status: status, ExpectedVersion: expected})
	if !errors.Is(err, want) || want == nil && (err != nil || now.Status != status || now.Version != old.Version+1) {
		f.t.Errorf("update of %+v to %s at %d: %+v, %v, want %v", old, status, expected, now, err, want)
	}
}

// checkStep compares all that is stored with what was, and with itself.
func (f *fixture) checkStep(seed uint64, step int, before map[string]Execution) map[string]Execution {
	t := f.t
	t.Helper()
	after := map[string]Execution{}
	counts := map[string]*Counts{}
	want := map[string]bool{} // index keys
	for e, err := range values[Execution](t.Context(), f.svc, keyExecution, "") {
		if err != nil {
			t.Fatal(err)
		}
		after[e.Job+"/"+e.Thing] = e
		for _, key := range indexes(&e) {
			want[key] = true
		}
		if counts[e.Job] == nil {
			counts[e.Job] = &Counts{}
		}
		*counts[e.Job].of(e.Status)++
	}
	for id, now := range after {
		if old, ok := before[id]; ok && now.Queued.Equal(old.Queued) && !allowed(old, now) {
			t.Fatalf("seed %d, step %d: %+v became %+v", seed, step, old, now)
		}
	}
	for j, err := range f.svc.Jobs(t.Context(), JobQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		c := f.counts(j.ID)
		mine := counts[j.ID]
		if mine == nil {
			mine = &Counts{}
		}
		if c != *mine {
			t.Fatalf("seed %d, step %d: job %s counts %+v, and has %+v", seed, step, j.ID, c, *mine)
		}
		if j.Status == JobCompleted && c.pending() > 0 || j.Status == JobCanceled && !j.Concurrent() && c.Queued > 0 {
			t.Fatalf("seed %d, step %d: job %s is %s with %+v", seed, step, j.ID, j.Status, c)
		}
		delete(counts, j.ID)
	}
	if len(counts) > 0 {
		t.Fatalf("seed %d, step %d: executions without a job: %v", seed, step, counts)
	}
	got := map[string]bool{}
	for _, prefix := range []string{keyStatus, keyByIt, keyPending, keyDeadline} {
		for key, err := range f.svc.keys(t.Context(), prefix, "") {
			if err != nil {
				t.Fatal(err)
			}
			got[prefix+key] = true
		}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("seed %d, step %d: indexes are\n%v, want\n%v", seed, step, got, want)
	}
	return after
}

// allowed reports whether one attempt may have become what it is now by one or more steps.
func allowed(old, now Execution) bool {
	if old.Number != now.Number {
		return now.Number > old.Number
	}
	if now.Version == old.Version {
		return now.Status == old.Status
	}
	if now.Version < old.Version {
		return false
	}
	reached := map[ExecutionStatus]bool{old.Status: true}
	for range now.Version - old.Version {
		next := map[ExecutionStatus]bool{}
		for s := range reached {
			for _, to := range transitions[s] {
				next[to] = true
			}
		}
		reached = next
	}
	return reached[now.Status]
}
