package jobs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// released returns in which second of the bubble things got a job.
func (f *fixture) released(job string, start time.Time) map[int]int {
	f.t.Helper()
	seconds := map[int]int{}
	for e, err := range f.svc.ExecutionsOfJob(f.t.Context(), job, "", "") {
		if err != nil {
			f.t.Fatal(err)
		}
		seconds[int(e.Queued.Sub(start)/time.Second)]++
	}
	return seconds
}

func TestConstantRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.things("g", numbered(25)...)
		f.run(func() {
			start := time.Now()
			f.create("a", func(j *Job) { j.Rollout = &Rollout{MaximumPerMinute: 10} }, "thinggroup/g")
			if !f.job("a").Concurrent() {
				t.Error("the rollout is over at once")
			}
			f.pass(5 * time.Minute)
			got := f.released("a", start)
			want := map[int]int{}
			for i := range 25 {
				want[i*6]++ // one each six seconds, the first at once
			}
			if !maps.Equal(got, want) {
				t.Errorf("released at %v, want %v", got, want)
			}
			if f.job("a").Concurrent() {
				t.Error("the rollout is not over")
			}
		})
	})
}

func TestExponentialRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.things("g", numbered(100)...)
		f.run(func() {
			start := time.Now()
			f.create("a", func(j *Job) {
				j.Rollout = &Rollout{MaximumPerMinute: 30, Exponential: &Exponential{10, 2, RateIncrease{Notified: 10}}}
			}, "thinggroup/g")
			f.pass(10 * time.Minute)
			var minutes [10]int
			for second, n := range f.released("a", start) {
				minutes[second/60] += n
			}
			// 10 in the first minute, then 20, then 40 that are capped.
			if want := [10]int{10, 30, 30, 30}; minutes != want {
				t.Errorf("released in minutes %v, want %v", minutes, want)
			}
		})
	})
}

func TestAllowance(t *testing.T) {
	start := time.Unix(1000, 0)
	for rate := 1; rate <= 1000; rate += 37 {
		p := pace{}
		now := start
		perMinute := map[int64]int64{}
		for now.Before(start.Add(3 * time.Minute)) {
			n, again := p.allow(float64(rate), now)
			if !again.After(now) {
				t.Fatalf("rate %d: at %v again at %v", rate, now, again)
			}
			perMinute[int64(now.Sub(start)/time.Minute)] += n
			p.take(n)
			now = again
		}
		for m, n := range perMinute {
			if n != int64(rate) {
				t.Errorf("rate %d: %d in minute %d", rate, n, m)
			}
		}
	}
}

func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.things("", "t1", "t2", "t3", "t4")
		f.run(func() {
			f.create("a", func(j *Job) { j.Timeout = &Timeout{10} }, "thing/t1", "thing/t2", "thing/t3", "thing/t4")
			for _, thing := range []string{"t1", "t2", "t3"} {
				f.update(thing, "a", Update{Status: InProgress})
			}
			f.update("t2", "a", Update{Status: InProgress, StepMinutes: 4})
			f.update("t3", "a", Update{Status: InProgress, StepMinutes: 4})
			e := f.execution("t1", "a")
			if left := e.SecondsLeft(f.svc.Now()); left == nil || *left != 600 {
				t.Errorf("seconds left: %v", left)
			}
			f.pass(3 * time.Minute)
			f.update("t2", "a", Update{Status: InProgress, StepMinutes: 60}) // never outlasts the whole
			f.update("t3", "a", Update{Status: InProgress, StepMinutes: -1})
			f.pass(7*time.Minute - time.Second)
			if c := f.counts("a"); c != (Counts{InProgress: 3, Queued: 1}) {
				t.Errorf("before: %+v", c)
			}
			f.pass(time.Second)
			if c := f.counts("a"); c != (Counts{TimedOut: 3, Queued: 1}) {
				t.Errorf("after: %+v", c)
			}
			f.pass(time.Hour)
			if c := f.counts("a"); c != (Counts{TimedOut: 3, Queued: 1}) {
				t.Errorf("a queued one timed out: %+v", c)
			}
			f.update("t4", "a", Update{Status: InProgress, StepMinutes: 1})
			f.pass(time.Minute)
			if j := f.job("a"); j.Status != JobCompleted {
				t.Errorf("job is %s", j.Status)
			}
		})
	})
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.things("", "t1")
		f.run(func() {
			f.create("a", func(j *Job) {
				j.Timeout = &Timeout{1}
				j.Retry = &Retry{[]RetryCriterion{{"FAILED", 1}, {"TIMED_OUT", 1}}}
			}, "thing/t1")
			f.take()
			if e := f.update("t1", "a", Update{Status: Failed, Details: map[string]string{"why": "x"}}); e.Status != Failed || e.Version != 2 {
				t.Errorf("answer is %+v", e)
			}
			if got, want := f.take(), []string{"things/t1/jobs/notify", "things/t1/jobs/notify-next", "events/jobExecution/a/failed"}; !slices.Equal(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
			e := f.execution("t1", "a")
			if e.Status != Queued || e.Number != 2 || e.Version != 1 || e.RetryAttempt() != 1 || len(e.Details) > 0 {
				t.Errorf("next attempt is %+v", e)
			}
			f.update("t1", "a", Update{Status: InProgress})
			f.pass(time.Minute)
			if e := f.execution("t1", "a"); e.Status != Queued || e.Number != 3 || e.RetryAttempt() != 2 {
				t.Errorf("third attempt is %+v", e)
			}
			f.update("t1", "a", Update{Status: Failed})
			if j, c := f.job("a"), f.counts("a"); j.Status != JobCompleted || c != (Counts{Failed: 1}) {
				t.Errorf("job %s with %+v", j.Status, c)
			}
			for number, want := range []ExecutionStatus{1: Failed, 2: TimedOut, 3: Failed} {
				if number == 0 {
					continue
				}
				if e, err := f.svc.Execution(t.Context(), "t1", "a", int64(number)); err != nil || e.Status != want {
					t.Errorf("attempt %d is %+v, %v", number, e, err)
				}
			}
		})
	})
}

func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.things("g", numbered(10)...)
		f.run(func() {
			f.create("a", func(j *Job) { j.Abort = &Abort{[]AbortCriterion{{"FAILED", "CANCEL", 50, 4}}} }, "thinggroup/g")
			f.update("t009", "a", Update{Status: InProgress})
			for i, status := range []ExecutionStatus{Failed, Succeeded, Failed} {
				f.update(fmt.Sprintf("t%03d", i), "a", Update{Status: status})
			}
			f.pass(time.Second)
			if j := f.job("a"); j.Status != JobInProgress {
				t.Fatalf("aborted too early: %+v", j)
			}
			f.update("t003", "a", Update{Status: Rejected})
			f.pass(time.Second)
			if j, c := f.job("a"), f.counts("a"); j.Status != JobCanceled || j.Concurrent() || c != (Counts{Failed: 2, Succeeded: 1, Rejected: 1, InProgress: 1, Canceled: 5}) {
				t.Errorf("job %s, %+v", j.Status, c)
			}
		})
	})
}

func TestContinuous(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.things("g", "t1", "t2")
		f.things("", "t3", "t4")
		f.run(func() {
			f.create("a", func(j *Job) { j.Selection = Continuous }, "thinggroup/g")
			f.create("snap", nil, "thinggroup/g")
			f.join("t3", "g")
			f.pass(time.Second)
			if e := f.execution("t3", "a"); e.Status != Queued || e.Number != 1 {
				t.Errorf("who joined has %+v", e)
			}
			if c := f.counts("snap"); c.Total() != 2 {
				t.Errorf("the snapshot has %+v", c)
			}
			f.update("t1", "a", Update{Status: Succeeded})
			f.update("t2", "a", Update{Status: InProgress})
			for _, thing := range []string{"t1", "t2"} {
				if err := f.reg.RemoveThingFromGroup(t.Context(), thing, "g"); err != nil {
					t.Fatal(err)
				}
			}
			f.pass(time.Second)
			if c := f.counts("a"); c != (Counts{Succeeded: 1, Removed: 1, Queued: 1}) {
				t.Errorf("after two left: %+v", c)
			}
			f.join("t2", "g")
			f.pass(time.Second)
			if e := f.execution("t2", "a"); e.Status != Queued || e.Number != 2 {
				t.Errorf("who came back has %+v", e)
			}
			if err := f.reg.DeleteThing(t.Context(), "t3", 0); err != nil {
				t.Fatal(err)
			}
			f.pass(time.Second)
			if e := f.execution("t3", "a"); e.Status != Removed {
				t.Errorf("a deleted thing has %+v", e)
			}
			if _, err := f.svc.AssociateTargets(t.Context(), "a", []string{arns + "thing/t4"}, "more"); err != nil {
				t.Fatal(err)
			}
			if e := f.execution("t4", "a"); e.Status != Queued {
				t.Errorf("an added target has %+v", e)
			}
			if _, err := f.svc.AssociateTargets(t.Context(), "snap", []string{arns + "thing/t4"}, ""); err == nil {
				t.Error("a snapshot took a target")
			}
		})
		// While no Run is there, one joins and one leaves.
		f.things("", "t5")
		f.join("t5", "g")
		if err := f.reg.RemoveThingFromGroup(t.Context(), "t2", "g"); err != nil {
			t.Fatal(err)
		}
		f.run(func() {
			if e := f.execution("t5", "a"); e.Status != Queued {
				t.Errorf("who joined meanwhile has %+v", e)
			}
			if e := f.execution("t2", "a"); e.Status != Removed {
				t.Errorf("who left meanwhile has %+v", e)
			}
			if j := f.job("a"); j.Status != JobInProgress || j.Concurrent() {
				t.Errorf("job is %+v", j)
			}
		})
	})
}

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at 2000-01-01 00:00, a Saturday
		f := newFixture(t, nil, nil)
		f.things("g", "t1", "t2", "t3")
		f.run(func() {
			j := f.create("a", func(j *Job) {
				j.Schedule = &Schedule{StartTime: "2000-01-01 01:00", EndTime: "2000-01-01 02:00", EndBehavior: "FORCE_CANCEL"}
			}, "thinggroup/g")
			if j.Status != JobScheduled || f.counts("a").Total() != 0 {
				t.Errorf("before: %+v", j)
			}
			w := f.create("w", func(j *Job) {
				j.Schedule = &Schedule{Windows: []Window{{"cron(30 2 ? * SUN *)", 60}}}
				j.Rollout = &Rollout{MaximumPerMinute: 1}
			}, "thinggroup/g")
			if got := w.Schedule.Rollouts(f.svc.Now()); len(got) != 7 || got[0] != "2000-01-02 02:30" || got[1] != "2000-01-09 02:30" {
				t.Errorf("windows %q", got)
			}
			f.pass(time.Hour)
			if j, c := f.job("a"), f.counts("a"); j.Status != JobInProgress || c.Queued != 3 {
				t.Errorf("started: %s %+v", j.Status, c)
			}
			f.update("t1", "a", Update{Status: InProgress})
			f.pass(time.Hour)
			if j, c := f.job("a"), f.counts("a"); j.Status != JobCanceled || c != (Counts{Canceled: 3}) {
				t.Errorf("ended: %s %+v", j.Status, c)
			}
			if c := f.counts("w"); c.Total() != 0 {
				t.Errorf("outside of the window: %+v", c)
			}
			f.pass(24*time.Hour + 31*time.Minute)
			if c := f.counts("w"); c.Queued != 2 {
				t.Errorf("in the window: %+v", c)
			}
		})
	})
}

func TestStopRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.things("g", numbered(10)...)
		f.run(func() {
			f.create("a", func(j *Job) {
				j.Selection = Continuous
				j.Rollout = &Rollout{MaximumPerMinute: 1}
				j.Schedule = &Schedule{EndTime: "2000-01-01 00:03"}
			}, "thinggroup/g")
			f.pass(10 * time.Minute)
			if j, c := f.job("a"), f.counts("a"); j.Status != JobInProgress || j.Concurrent() || c != (Counts{Queued: 3}) {
				t.Errorf("stopped: %+v %+v", j, c)
			}
			for _, thing := range numbered(3) {
				f.update(thing, "a", Update{Status: Succeeded})
			}
			if j := f.job("a"); j.Status != JobCompleted {
				t.Errorf("job is %s", j.Status)
			}
		})
	})
}

// More things than one step takes.
func TestLargeJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		var names []string
		for i := range 2500 {
			names = append(names, fmt.Sprintf("thing-%04d", i))
		}
		f.things("g", names...)
		f.run(func() {
			f.create("a", nil, "thinggroup/g")
			f.pass(time.Second)
			if c := f.counts("a"); c != (Counts{Queued: 2500}) {
				t.Fatalf("counts %+v", c)
			}
			if _, err := f.svc.CancelJob(t.Context(), "a", Cancellation{}); err != nil {
				t.Fatal(err)
			}
			f.pass(time.Second)
			if j, c := f.job("a"), f.counts("a"); c != (Counts{Canceled: 2500}) || j.Concurrent() {
				t.Errorf("counts %+v", c)
			}
			if err := f.svc.DeleteJob(t.Context(), "a", false); err != nil {
				t.Fatal(err)
			}
			f.pass(time.Second)
			for key := range f.svc.keys(t.Context(), "", "") {
				t.Fatalf("left behind: %q", key)
			}
		})
	})
}

func TestCron(t *testing.T) {
	at := time.Date(2026, 2, 28, 12, 30, 30, 0, time.UTC) // a Saturday
	for text, want := range map[string]string{
		"cron(0 18 ? * MON *)":          "2026-03-02 18:00",
		"cron(0 0 18 ? * MON *)":        "2026-03-02 18:00",
		"cron(*/15 * * * ? *)":          "2026-02-28 12:45",
		"cron(0/20 12-13 * * ? *)":      "2026-02-28 12:40",
		"cron(0 0 29 2 ? *)":            "2028-02-29 00:00",
		"cron(5 4 1 JAN,JUL ? 2027)":    "2027-01-01 04:05",
		"cron(30 12 ? * SAT *)":         "2026-03-07 12:30",
		"cron(59 23 31 12 ? 2020-2025)": "never",
		"cron(0 8 ? * 2-6 *)":           "2026-03-02 08:00",
		"cron(0 0 30 2 ? *)":            "never",
		"cron(0 10 * * ? *":             "error: is not cron",
		"cron(0 10 * * ?)":              "error: has 5 fields",
		"cron(60 10 * * ? *)":           "error: minutes",
		"cron(0 10 1 * MON *)":          "error: both given",
		"cron(0 10 * FOO ? *)":          "error: month",
		"cron(0 10 9-8 * ? *)":          "error: backwards",
		"cron(0 10/0 * * ? *)":          "error: no step",
		"cron(1 0 18 ? * MON *)":        "error: seconds",
		"cron(0 10 * * ? 1969)":         "error: year",
		"cron(0 10 * * 8 *)":            "error: day of week",
	} {
		c, err := parseCron(text)
		got := ""
		switch {
		case err != nil:
			got = "error: " + err.Error()
		case c.next(at).IsZero():
			got = "never"
		default:
			got = c.next(at).Format(scheduleLayout)
		}
		if rest, ok := strings.CutPrefix(want, "error: "); ok && err != nil && strings.Contains(got, rest) {
			continue
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
