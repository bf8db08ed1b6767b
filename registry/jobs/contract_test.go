package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/registry"
)

func TestAbortArithmetic(t *testing.T) {
	failed := func(percent float64, atLeast int) *Abort {
		return &Abort{[]AbortCriterion{{"FAILED", "CANCEL", percent, atLeast}}}
	}
	for name, c := range map[string]struct {
		abort *Abort
		c     Counts
		want  bool
	}{
		"none":                              {nil, Counts{Failed: 9}, false},
		"nothing executed":                  {failed(0.01, 1), Counts{Queued: 9, InProgress: 9}, false},
		"exactly the percentage":            {failed(50, 4), Counts{Failed: 2, Succeeded: 2}, true},
		"below the percentage":              {failed(50, 4), Counts{Failed: 1, Succeeded: 3}, false},
		"below the number":                  {failed(50, 4), Counts{Failed: 3}, false},
		"others count as executed":          {failed(50, 4), Counts{Failed: 2, Rejected: 1, TimedOut: 1}, true},
		"pending ones do not":               {failed(50, 4), Counts{Failed: 2, Succeeded: 1, Queued: 5, InProgress: 5}, false},
		"removed and canceled ones not":     {failed(50, 4), Counts{Failed: 2, Succeeded: 1, Removed: 5, Canceled: 5}, false},
		"another failure":                   {failed(10, 1), Counts{Rejected: 5, TimedOut: 5}, false},
		"all failures":                      {&Abort{[]AbortCriterion{{"ALL", "CANCEL", 75, 4}}}, Counts{Failed: 1, Rejected: 1, TimedOut: 1, Succeeded: 1}, true},
		"the second criterion":              {&Abort{[]AbortCriterion{{"FAILED", "CANCEL", 90, 1}, {"TIMED_OUT", "CANCEL", 10, 1}}}, Counts{TimedOut: 1, Succeeded: 9}, true},
		"0.07 of 10,000, which floats miss": {failed(0.07, 1), Counts{Failed: 7, Succeeded: 9993}, true},
		"1.1 of 1,000, likewise":            {failed(1.1, 1), Counts{Failed: 11, Succeeded: 989}, true},
		"just below 33.34":                  {failed(33.34, 3), Counts{Failed: 1, Succeeded: 2}, false},
		"above 33.33":                       {failed(33.33, 3), Counts{Failed: 1, Succeeded: 2}, true},
		"all of them":                       {failed(100, 1), Counts{Failed: 1 << 40, Succeeded: 0}, true},
	} {
		if got := c.abort.met(&c.c) != nil; got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if err := failed(10.999, 1).check(); !errors.Is(err, ErrInvalid) {
		t.Errorf("three digits: %v", err)
	}
	for hundredths := 1; hundredths <= 10000; hundredths++ {
		if err := failed(float64(hundredths)/100, 1).check(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRolloutArithmetic(t *testing.T) {
	grows := func(base int, factor float64, c RateIncrease, most int) *Rollout {
		return &Rollout{MaximumPerMinute: most, Exponential: &Exponential{base, factor, c}}
	}
	for name, c := range map[string]struct {
		r                   *Rollout
		notified, succeeded int64
		want                float64
	}{
		"no configuration":        {nil, 5, 5, 0},
		"constant":                {&Rollout{MaximumPerMinute: 7}, 500, 500, 7},
		"at first the base":       {grows(50, 2, RateIncrease{Notified: 1000}, 0), 999, 999, 50},
		"after one threshold":     {grows(50, 2, RateIncrease{Notified: 1000}, 0), 1000, 0, 100},
		"after three":             {grows(50, 2, RateIncrease{Notified: 1000}, 0), 3999, 0, 400},
		"by successes":            {grows(10, 1.5, RateIncrease{Succeeded: 10}, 0), 1000, 25, 22.5},
		"successes do not notify": {grows(10, 1.5, RateIncrease{Notified: 10}, 0), 9, 1000, 10},
		"capped":                  {grows(50, 5, RateIncrease{Notified: 1}, 300), 10, 0, 300},
	} {
		if got := c.r.rate(c.notified, c.succeeded); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// A zero that is written is refused, and one that is absent is the default.
func TestExplicitZeros(t *testing.T) {
	for text, field := range map[string]string{
		`{"timeoutConfig":{"inProgressTimeoutInMinutes":0}}`:                           "timeoutConfig.inProgressTimeoutInMinutes",
		`{"jobExecutionsRolloutConfig":{"maximumPerMinute":0}}`:                        "jobExecutionsRolloutConfig.maximumPerMinute",
		`{"presignedUrlConfig":{"expiresInSec":0,"roleArn":"r"}}`:                      "presignedUrlConfig.expiresInSec",
		`{"timeoutConfig":{},"jobExecutionsRolloutConfig":{},"presignedUrlConfig":{}}`: "",
		`{"timeoutConfig":{"inProgressTimeoutInMinutes":null}}`:                        "",
	} {
		var c Config
		err := json.Unmarshal([]byte(text), &c)
		if ie, _ := errors.AsType[*InvalidError](err); field == "" && err != nil || field != "" && (ie == nil || ie.Field != field) {
			t.Errorf("%s: %v", text, err)
		}
	}
	var c Config
	whole := Config{Presign: &Presign{"role", 60}, Rollout: &Rollout{5, &Exponential{1, 2, RateIncrease{Notified: 3}}}, Timeout: &Timeout{7}}
	text, err := json.Marshal(whole)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if again, _ := json.Marshal(c); err != nil || string(again) != string(text) {
		t.Errorf("%s became %s, %v", text, again, err)
	}
}

// IN_PROGRESS first, then QUEUED, each by the time of queueing, which for an
// attempt is its own; a notification names the first ten.
func TestOrder(t *testing.T) {
	f := newFixture(t, nil, nil)
	f.things("", "t1")
	var ids []string
	for i := range 12 {
		id := fmt.Sprintf("j%c", 'z'-i) // not the order of names
		ids = append(ids, id)
		f.create(id, func(j *Job) { j.Retry = &Retry{[]RetryCriterion{{"FAILED", 1}}} }, "thing/t1")
	}
	order := func() (out []string) {
		t.Helper()
		running, queued, err := f.svc.Pending(t.Context(), "t1", "")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range slices.Concat(running, queued) {
			out = append(out, e.Job)
		}
		return out
	}
	if got := order(); !slices.Equal(got, ids) {
		t.Errorf("queued as %q, want %q", got, ids)
	}
	f.update("t1", ids[7], Update{Status: InProgress})
	f.update("t1", ids[3], Update{Status: InProgress})
	f.update("t1", ids[7], Update{Status: InProgress}) // once more changes nothing in the order
	want := slices.Concat([]string{ids[3], ids[7]}, ids[:3], ids[4:7], ids[8:])
	if got := order(); !slices.Equal(got, want) {
		t.Errorf("begun, the order is %q, want %q", got, want)
	}
	f.take()
	f.update("t1", ids[0], Update{Status: Failed}) // and is queued again, last
	want = slices.Concat([]string{ids[3], ids[7]}, ids[1:3], ids[4:7], ids[8:], ids[:1])
	if got := order(); !slices.Equal(got, want) {
		t.Errorf("after a retry the order is %q, want %q", got, want)
	}
	var list struct {
		Jobs map[string][]struct{ JobID string }
	}
	if err := json.Unmarshal(f.events[0].Payload, &list); err != nil || !strings.HasSuffix(f.events[0].Topic, "/notify") {
		t.Fatalf("%s: %v", f.events[0].Topic, err)
	}
	var named []string
	for _, e := range slices.Concat(list.Jobs["IN_PROGRESS"], list.Jobs["QUEUED"]) {
		named = append(named, e.JobID)
	}
	if !slices.Equal(named, want[:10]) {
		t.Errorf("notified of %q, want %q", named, want[:10])
	}
}

func TestListFilters(t *testing.T) {
	f := newFixture(t, nil, nil)
	f.things("g", "t1")
	f.things("h")
	f.create("a", nil, "thinggroup/g")
	f.create("b", func(j *Job) { j.Selection = Continuous }, "thinggroup/g")
	f.create("c", nil, "thing/t1")
	f.update("t1", "a", Update{Status: Succeeded})
	g, err := f.reg.Group(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		q    JobQuery
		want string
		err  error
	}{
		"all":               {JobQuery{}, "a b c", nil},
		"beyond one":        {JobQuery{After: "a"}, "b c", nil},
		"completed":         {JobQuery{Status: JobCompleted}, "a", nil},
		"continuous":        {JobQuery{Selection: Continuous}, "b", nil},
		"of a group":        {JobQuery{Group: "g"}, "a b", nil},
		"of a group by ID":  {JobQuery{GroupID: g.ID}, "a b", nil},
		"of an empty group": {JobQuery{Group: "h"}, "", nil},
		"of no group":       {JobQuery{Group: "x"}, "", ErrNotFound},
		"of no group by ID": {JobQuery{GroupID: "x"}, "", ErrNotFound},
		"by both":           {JobQuery{Group: "g", GroupID: g.ID}, "", ErrInvalid},
		"of an odd status":  {JobQuery{Status: "QUEUED"}, "", ErrInvalid},
		"of no selection":   {JobQuery{Selection: "ALL"}, "", ErrInvalid},
	} {
		var got []string
		var err error
		for j, e := range f.svc.Jobs(t.Context(), c.q) {
			if err = e; err == nil {
				got = append(got, j.ID)
			}
		}
		if strings.Join(got, " ") != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, err := range f.svc.ExecutionsOfJob(t.Context(), "a", "DONE", "") {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("executions of an odd status: %v", err)
		}
	}
	for _, err := range f.svc.ExecutionsOfThing(t.Context(), "t1", ExecutionQuery{Status: "DONE"}) {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("executions of an odd status: %v", err)
		}
	}
}

func TestQuotaOfConcurrentJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, &Options{MaxConcurrent: 2})
		f.things("g", "t1", "t2")
		f.run(func() {
			f.create("done", nil, "thing/t1") // rolled out, so not concurrent
			f.create("slow", func(j *Job) { j.Rollout = &Rollout{MaximumPerMinute: 1} }, "thinggroup/g")
			f.create("ever", func(j *Job) { j.Selection = Continuous }, "thinggroup/g")
			if _, err := f.svc.CreateJob(t.Context(), Job{ID: "more", Document: "{}", Targets: []string{arns + "thing/t1"}}); !errors.Is(err, ErrLimit) {
				t.Errorf("a third one: %v", err)
			}
			f.pass(2 * time.Minute)
			f.create("more", nil, "thing/t1")
		})
	})
}

// The rate is for those who were there; who joins gets the job at once, but one
// who waits for its turn does not gain by joining something else.
func TestJoiningAndRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil, nil)
		f.things("g", numbered(5)...)
		f.things("h", "late")
		f.run(func() {
			f.create("a", func(j *Job) {
				j.Selection = Continuous
				j.Rollout = &Rollout{MaximumPerMinute: 1}
			}, "thinggroup/g")
			for _, thing := range numbered(5) {
				f.join(thing, "h")
			}
			f.pass(time.Second)
			if c := f.counts("a"); c.Total() != 1 {
				t.Errorf("waiting ones got it by joining: %+v", c)
			}
			f.join("late", "g")
			f.pass(time.Second)
			if e := f.execution("late", "a"); e.Status != Queued {
				t.Errorf("who joined has %+v", e)
			}
			f.pass(10 * time.Minute)
			if c := f.counts("a"); c != (Counts{Queued: 6}) {
				t.Errorf("in the end %+v", c)
			}
		})
	})
}

// Who joins a continuous job outside of its windows waits for the next.
func TestJoiningAndWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at 2000-01-01 00:00
		f := newFixture(t, nil, nil)
		f.things("g", "t1")
		f.things("", "t2", "t3")
		f.run(func() {
			f.create("a", func(j *Job) {
				j.Selection = Continuous
				j.Schedule = &Schedule{Windows: []Window{{"cron(0 1 * * ? *)", 30}}}
			}, "thinggroup/g")
			f.pass(70 * time.Minute)
			if c := f.counts("a"); c != (Counts{Queued: 1}) {
				t.Errorf("in the window %+v", c)
			}
			f.join("t2", "g")
			f.pass(time.Second)
			if c := f.counts("a"); c != (Counts{Queued: 2}) {
				t.Errorf("joined in the window %+v", c)
			}
			f.pass(30 * time.Minute)
			f.join("t3", "g")
			f.pass(23 * time.Hour)
			if c := f.counts("a"); c != (Counts{Queued: 2}) {
				t.Errorf("joined outside of it %+v", c)
			}
			f.pass(time.Hour)
			if c := f.counts("a"); c != (Counts{Queued: 3}) {
				t.Errorf("in the next window %+v", c)
			}
		})
	})
}

func TestEndBehaviors(t *testing.T) {
	for behavior, want := range map[string]struct {
		status Status
		counts Counts
	}{
		"":             {JobInProgress, Counts{Queued: 1, InProgress: 1}},
		"STOP_ROLLOUT": {JobInProgress, Counts{Queued: 1, InProgress: 1}},
		"CANCEL":       {JobCanceled, Counts{Canceled: 1, InProgress: 1}},
		"FORCE_CANCEL": {JobCanceled, Counts{Canceled: 2}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, nil, nil)
			f.things("g", "t1", "t2", "t3")
			f.run(func() {
				f.create("a", func(j *Job) {
					j.Rollout = &Rollout{MaximumPerMinute: 1}
					j.Schedule = &Schedule{EndTime: "2000-01-01 00:02", EndBehavior: behavior}
				}, "thinggroup/g")
				f.update("t1", "a", Update{Status: InProgress})
				f.pass(5 * time.Minute)
				if j, c := f.job("a"), f.counts("a"); j.Status != want.status || c != want.counts || j.Concurrent() {
					t.Errorf("%q: %s with %+v", behavior, j.Status, c)
				}
			})
		})
	}
}

// The events of jobs and executions, member by member (specification A4).
func TestEventPayloads(t *testing.T) {
	at := time.Unix(1700000000, 900_000_000)
	f := newFixture(t, nil, &Options{Now: func() time.Time { return at }})
	f.things("", "t1", "t2")
	f.create("a", func(j *Job) { j.Description = "d" }, "thing/t1", "thing/t2")
	f.update("t1", "a", Update{Status: Rejected, Details: map[string]string{"why": "x"}})
	at = at.Add(time.Minute)
	if _, err := f.svc.CancelJob(t.Context(), "a", Cancellation{Comment: "no", ReasonCode: "WHY"}); err != nil {
		t.Fatal(err)
	}
	if err := f.svc.DeleteJob(t.Context(), "a", false); err != nil {
		t.Fatal(err)
	}
	job := func(operation, status, details string) string {
		return `{"eventType":"JOB","eventId":"ID","timestamp":1700000060,"operation":"` + operation + `","jobId":"a","status":"` + status +
			`","targetSelection":"SNAPSHOT","targets":["` + arns + `thing/t1","` + arns + `thing/t2"],"description":"d","createdAt":1700000000,"lastUpdatedAt":1700000060,` +
			`"completedAt":1700000060,"comment":"no","reasonCode":"WHY","jobProcessDetails":{` + details + `,"numberOfFailedThings":0,"numberOfRemovedThings":0,"numberOfSucceededThings":0,"numberOfTimedOutThings":0}}`
	}
	execution := func(operation, second, thing, status, details string) string {
		return `{"eventType":"JOB_EXECUTION","eventId":"ID","timestamp":17000000` + second + `,"operation":"` + operation + `","jobId":"a","thingArn":"` + arns + `thing/` + thing + `","status":"` + status + `"` + details + `}`
	}
	rejected, both := `"numberOfCanceledThings":0,"numberOfRejectedThings":1`, `"numberOfCanceledThings":1,"numberOfRejectedThings":1`
	want := []string{
		"$aws/events/jobExecution/a/rejected " + execution("rejected", "00", "t1", "REJECTED", `,"statusDetails":{"why":"x"}`),
		"$aws/events/job/a/cancellation_in_progress " + job("cancellation_in_progress", "CANCELED", rejected),
		"$aws/events/jobExecution/a/canceled " + execution("canceled", "60", "t2", "CANCELED", ""),
		"$aws/events/job/a/canceled " + job("canceled", "CANCELED", both),
		"$aws/events/job/a/deletion_in_progress " + job("deletion_in_progress", "DELETION_IN_PROGRESS", both),
		"$aws/events/jobExecution/a/deleted " + execution("deleted", "60", "t1", "REJECTED", `,"statusDetails":{"why":"x"}`),
		"$aws/events/jobExecution/a/deleted " + execution("deleted", "60", "t2", "CANCELED", ""),
		"$aws/events/job/a/deleted " + job("deleted", "DELETION_IN_PROGRESS", strings.Replace(both, "1", "0", 2)),
	}
	ids := map[string]bool{}
	var got []string
	for _, e := range f.events {
		if e.Kind == Notification {
			continue
		}
		if want := map[bool]registry.EventKind{true: registry.JobEvents, false: registry.JobExecutionEvents}[e.Thing == ""]; e.Kind != want || e.Enabled || e.Job != "a" {
			t.Errorf("%+v", e)
		}
		var head struct{ EventID string }
		if err := json.Unmarshal(e.Payload, &head); err != nil || len(head.EventID) != 36 || ids[head.EventID] {
			t.Errorf("event %s: %v", e.Payload, err)
		}
		ids[head.EventID] = true
		got = append(got, e.Topic+" "+strings.Replace(string(e.Payload), head.EventID, "ID", 1))
	}
	slices.Sort(got[5:min(7, len(got))]) // of two things, in either order
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Errorf("event %d:\n got %v\nwant %v", i, got[min(i, len(got)):min(i+1, len(got))], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
}
