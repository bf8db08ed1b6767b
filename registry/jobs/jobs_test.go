package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// A fixture is a Service in memory, with what it told.
type fixture struct {
	t      *testing.T
	reg    *registry.Registry
	svc    *Service
	mu     sync.Mutex // events of different things come at once
	events []Event
}

func newFixture(t *testing.T, store registry.Store, opts *Options) *fixture {
	t.Helper()
	reg, err := registry.New(registry.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if store == nil {
		store = registry.NewMemStore()
	}
	svc, err := New(store, reg, opts)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, reg: reg, svc: svc}
	svc.Observe(func(_ context.Context, e Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, e)
	})
	return f
}

// things makes things and, if named, a group of them.
func (f *fixture) things(group string, names ...string) {
	f.t.Helper()
	if group != "" {
		if _, err := f.reg.CreateGroup(f.t.Context(), registry.Group{Name: group}, ""); err != nil {
			f.t.Fatal(err)
		}
	}
	for _, name := range names {
		if _, err := f.reg.CreateThing(f.t.Context(), registry.Thing{Name: name}); err != nil {
			f.t.Fatal(err)
		}
		if group != "" {
			f.join(name, group)
		}
	}
}

func (f *fixture) join(thing, group string) {
	f.t.Helper()
	if err := f.reg.AddThingToGroup(f.t.Context(), thing, group); err != nil {
		f.t.Fatal(err)
	}
}

func numbered(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("t%03d", i))
	}
	return out
}

const arns = "arn:aws:iot:us-east-1:123456789012:"

// create makes a job for "thing/x" or "thinggroup/g".
func (f *fixture) create(id string, change func(*Job), targets ...string) Job {
	f.t.Helper()
	j := Job{ID: id, Document: `{"operation":"` + id + `"}`}
	for _, to := range targets {
		j.Targets = append(j.Targets, arns+to)
	}
	if change != nil {
		change(&j)
	}
	j, err := f.svc.CreateJob(f.t.Context(), j)
	if err != nil {
		f.t.Fatal(err)
	}
	return j
}

func (f *fixture) update(thing, job string, u Update) Execution {
	f.t.Helper()
	e, err := f.svc.Update(f.t.Context(), thing, job, u)
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

func (f *fixture) job(id string) Job {
	f.t.Helper()
	j, err := f.svc.Job(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return j
}

func (f *fixture) counts(id string) Counts {
	f.t.Helper()
	c, err := f.svc.Counts(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fixture) execution(thing, job string) Execution {
	f.t.Helper()
	e, err := f.svc.Execution(f.t.Context(), thing, job, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

// take returns the topics told since the last call, without "$aws/".
func (f *fixture) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, e := range f.events {
		out = append(out, strings.TrimPrefix(e.Topic, "$aws/"))
	}
	f.events = nil
	return out
}

// run runs the service in the bubble until the test's function is over.
func (f *fixture) run(fn func()) {
	ctx, stop := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- f.svc.Run(ctx) }()
	synctest.Wait()
	fn()
	stop()
	if err := <-done; err != nil {
		f.t.Error(err)
	}
}

func (f *fixture) pass(d time.Duration) {
	time.Sleep(d) // the bubble's clock
	synctest.Wait()
}

func TestLifeOfAnExecution(t *testing.T) {
	f := newFixture(t, nil, nil)
	f.things("", "t1")
	f.create("a", nil, "thing/t1")
	f.create("b", nil, "thing/t1")
	if got, want := f.take(), []string{"things/t1/jobs/notify", "things/t1/jobs/notify-next", "things/t1/jobs/notify"}; !slices.Equal(got, want) {
		t.Errorf("creating told %q, want %q", got, want)
	}
	e, err := f.svc.StartNext(t.Context(), "t1", Start{Details: map[string]string{"step": "1"}})
	if err != nil || e == nil || e.Job != "a" || e.Status != InProgress || e.Version != 2 || e.Details["step"] != "1" {
		t.Fatalf("started %+v, %v", e, err)
	}
	again, err := f.svc.StartNext(t.Context(), "t1", Start{Details: map[string]string{"step": "2"}})
	if err != nil || again.Version != 2 || again.Details["step"] != "1" {
		t.Errorf("started again %+v, %v", again, err)
	}
	if got := f.take(); len(got) > 0 {
		t.Errorf("starting the first told %q", got)
	}
	// The second one, begun out of order, does not become the first.
	f.update("t1", "b", Update{Status: InProgress})
	if got := f.take(); len(got) > 0 {
		t.Errorf("starting another told %q", got)
	}
	inProgress, queued, err := f.svc.Pending(t.Context(), "t1", "")
	if err != nil || len(queued) > 0 || len(inProgress) != 2 || inProgress[0].Job != "a" {
		t.Errorf("pending %v %v %v", inProgress, queued, err)
	}
	f.update("t1", "a", Update{Status: Succeeded, ExpectedVersion: 2})
	want := []string{"things/t1/jobs/notify", "things/t1/jobs/notify-next", "events/jobExecution/a/succeeded", "events/job/a/completed"}
	if got := f.take(); !slices.Equal(got, want) {
		t.Errorf("success told %q, want %q", got, want)
	}
	if j := f.job("a"); j.Status != JobCompleted || j.Completed.IsZero() {
		t.Errorf("job is %+v", j)
	}
	f.update("t1", "b", Update{Status: Rejected})
	f.take()
	if e, err := f.svc.StartNext(t.Context(), "t1", Start{}); e != nil || err != nil {
		t.Errorf("started %+v, %v", e, err)
	}
}

// A later one that begins while the first is only queued comes before it.
func TestNextChangesByOrder(t *testing.T) {
	f := newFixture(t, nil, nil)
	f.things("", "t1")
	f.create("a", nil, "thing/t1")
	f.create("b", nil, "thing/t1")
	f.take()
	f.update("t1", "b", Update{Status: InProgress})
	if len(f.events) != 1 || f.events[0].Topic != "$aws/things/t1/jobs/notify-next" || !f.events[0].Enabled {
		t.Fatalf("told %+v", f.events)
	}
	var m struct {
		Execution struct {
			JobID       string
			JobDocument struct{ Operation string }
		}
	}
	if err := json.Unmarshal(f.events[0].Payload, &m); err != nil || m.Execution.JobID != "b" || m.Execution.JobDocument.Operation != "b" {
		t.Errorf("next is %s, %v", f.events[0].Payload, err)
	}
	f.take()
	f.update("t1", "b", Update{Status: Failed})
	f.update("t1", "a", Update{Status: Failed})
	f.events = slices.DeleteFunc(f.events, func(e Event) bool { return e.Kind != Notification })
	if n := len(f.events); n != 4 || string(f.events[n-1].Payload) != fmt.Sprintf(`{"timestamp":%d}`, f.svc.Now().Unix()) ||
		!strings.HasSuffix(string(f.events[n-2].Payload), `"jobs":{}}`) {
		t.Errorf("the end is told by %s and %s", f.events[n-2].Payload, f.events[n-1].Payload)
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t, nil, nil)
	f.things("", "t1")
	f.create("a", nil, "thing/t1")
	f.update("t1", "a", Update{Status: InProgress})
	for name, c := range map[string]struct {
		job  string
		u    Update
		want error
	}{
		"no such job":               {"x", Update{Status: Failed}, ErrNotFound},
		"another attempt":           {"a", Update{Status: Failed, Number: 2}, ErrNotFound},
		"an old version":            {"a", Update{Status: Failed, ExpectedVersion: 1}, ErrVersion},
		"back to queued":            {"a", Update{Status: Queued}, ErrTransition},
		"canceled by a device":      {"a", Update{Status: Canceled}, ErrTransition},
		"no status":                 {"a", Update{}, ErrInvalid},
		"an unknown status":         {"a", Update{Status: "DONE"}, ErrInvalid},
		"a long step":               {"a", Update{Status: InProgress, StepMinutes: 10081}, ErrInvalid},
		"eleven details":            {"a", Update{Status: InProgress, Details: eleven()}, ErrInvalid},
		"an odd key of details":     {"a", Update{Status: InProgress, Details: map[string]string{"a b": "c"}}, ErrInvalid},
		"an empty value of details": {"a", Update{Status: InProgress, Details: map[string]string{"a": ""}}, ErrInvalid},
		"an odd job":                {"a/b", Update{Status: InProgress}, ErrInvalid},
	} {
		if _, err := f.svc.Update(t.Context(), "t1", c.job, c.u); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	var se *StateError
	if _, err := f.svc.Update(t.Context(), "t1", "a", Update{Status: Failed, ExpectedVersion: 9}); !errors.As(err, &se) || se.Execution.Version != 2 {
		t.Errorf("state of the refusal is %+v, %v", se, err)
	}
	f.update("t1", "a", Update{Status: Succeeded})
	if _, err := f.svc.Update(t.Context(), "t1", "a", Update{Status: Failed}); !errors.Is(err, ErrTransition) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := f.svc.Describe(t.Context(), "t1", "a", 0); !errors.Is(err, ErrTerminal) {
		t.Errorf("describe after the end: %v", err)
	}
	if _, _, err := f.svc.Pending(t.Context(), "nobody", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("pending of nobody: %v", err)
	}
}

func eleven() map[string]string {
	m := map[string]string{}
	for i := range 11 {
		m[fmt.Sprint("k", i)] = "v"
	}
	return m
}

func TestCreateRefusals(t *testing.T) {
	f := newFixture(t, nil, &Options{MaxActive: 1})
	f.things("g", "t1")
	good := func() Job {
		return Job{ID: "a", Document: "{}", Targets: []string{arns + "thing/t1"}}
	}
	for name, c := range map[string]struct {
		change func(*Job)
		want   error
		field  string
	}{
		"no ID":               {func(j *Job) { j.ID = "" }, ErrInvalid, "jobId"},
		"an odd ID":           {func(j *Job) { j.ID = "a:b" }, ErrInvalid, "jobId"},
		"no document":         {func(j *Job) { j.Document = "" }, ErrInvalid, "document"},
		"an array":            {func(j *Job) { j.Document = "[]" }, ErrInvalid, "document"},
		"broken JSON":         {func(j *Job) { j.Document = `{"a":}` }, ErrInvalid, "document"},
		"a large document":    {func(j *Job) { j.Document = `{"a":"` + strings.Repeat("x", 32<<10) + `"}` }, ErrInvalid, "document"},
		"no presigner":        {func(j *Job) { j.Document = `{"a":"${aws:iot:s3-presigned-url:https://x/y}"}` }, ErrInvalid, "document"},
		"no source":           {func(j *Job) { j.Document, j.DocumentSource = "", "https://x" }, ErrInvalid, "documentSource"},
		"a missing parameter": {func(j *Job) { j.Document = `{"a":"${aws:iot:parameter:p}"}` }, ErrInvalid, "documentParameters"},
		"no targets":          {func(j *Job) { j.Targets = nil }, ErrInvalid, "targets"},
		"a foreign target":    {func(j *Job) { j.Targets = []string{"arn:aws:iot:x:1:thing/t1"} }, ErrInvalid, "targets"},
		"an unknown thing":    {func(j *Job) { j.Targets = []string{arns + "thing/t2"} }, ErrNotFound, ""},
		"an unknown group":    {func(j *Job) { j.Targets = []string{arns + "thinggroup/h"} }, ErrNotFound, ""},
		"an unknown template": {func(j *Job) { j.Template = arns + "jobtemplate/x" }, ErrNotFound, ""},
		"an odd selection":    {func(j *Job) { j.Selection = "SOME" }, ErrInvalid, "targetSelection"},
		"a rate of zero":      {func(j *Job) { j.Rollout = &Rollout{MaximumPerMinute: -1} }, ErrInvalid, "jobExecutionsRolloutConfig.maximumPerMinute"},
		"a small factor": {func(j *Job) { j.Rollout = &Rollout{Exponential: &Exponential{10, 1.05, RateIncrease{Notified: 1}}} }, ErrInvalid,
			"jobExecutionsRolloutConfig.exponentialRate.incrementFactor"},
		"two criteria": {func(j *Job) { j.Rollout = &Rollout{Exponential: &Exponential{10, 2, RateIncrease{1, 1}}} }, ErrInvalid,
			"jobExecutionsRolloutConfig.exponentialRate.rateIncreaseCriteria"},
		"no abort action":  {func(j *Job) { j.Abort = &Abort{[]AbortCriterion{{"ALL", "", 1, 1}}} }, ErrInvalid, "abortConfig.criteriaList[0].action"},
		"a long timeout":   {func(j *Job) { j.Timeout = &Timeout{10081} }, ErrInvalid, "timeoutConfig.inProgressTimeoutInMinutes"},
		"eleven retries":   {func(j *Job) { j.Retry = &Retry{[]RetryCriterion{{"FAILED", 6}, {"TIMED_OUT", 5}}} }, ErrInvalid, "jobExecutionsRetryConfig.criteriaList"},
		"all and failed":   {func(j *Job) { j.Retry = &Retry{[]RetryCriterion{{"FAILED", 1}, {"ALL", 1}}} }, ErrInvalid, "jobExecutionsRetryConfig.criteriaList"},
		"an odd start":     {func(j *Job) { j.Schedule = &Schedule{StartTime: "soon"} }, ErrInvalid, "schedulingConfig.startTime"},
		"a past end":       {func(j *Job) { j.Schedule = &Schedule{EndTime: "2001-01-01 00:00"} }, ErrInvalid, "schedulingConfig.endTime"},
		"a window of zero": {func(j *Job) { j.Schedule = &Schedule{Windows: []Window{{"cron(0 1 * * ? *)", 0}}} }, ErrInvalid, "schedulingConfig.maintenanceWindows[0].durationInMinutes"},
		"an odd cron":      {func(j *Job) { j.Schedule = &Schedule{Windows: []Window{{"daily", 5}}} }, ErrInvalid, "schedulingConfig.maintenanceWindows[0].startTime"},
	} {
		j := good()
		c.change(&j)
		_, err := f.svc.CreateJob(t.Context(), j)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if ie, ok := errors.AsType[*InvalidError](err); c.field != "" && (!ok || ie.Field != c.field) {
			t.Errorf("%s: the error is %v, not about %s", name, err, c.field)
		}
	}
	if _, err := f.svc.CreateJob(t.Context(), good()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.svc.CreateJob(t.Context(), good()); !errors.Is(err, ErrLimit) {
		t.Errorf("a second active job: %v", err)
	}
	f.update("t1", "a", Update{Status: Succeeded})
	if _, err := f.svc.CreateJob(t.Context(), good()); !errors.Is(err, ErrExists) {
		t.Errorf("the same again: %v", err)
	}
}

func TestCancelAndDelete(t *testing.T) {
	f := newFixture(t, nil, nil)
	f.things("g", "t1", "t2", "t3")
	f.create("a", nil, "thinggroup/g", "thing/t1")
	if c := f.counts("a"); c != (Counts{Queued: 3}) {
		t.Fatalf("counts %+v", c)
	}
	f.update("t1", "a", Update{Status: InProgress})
	if err := f.svc.DeleteJob(t.Context(), "a", false); !errors.Is(err, ErrTransition) {
		t.Errorf("delete of a running job: %v", err)
	}
	f.take()
	j, err := f.svc.CancelJob(t.Context(), "a", Cancellation{Comment: "no", ReasonCode: "WHY"})
	if err != nil || j.Status != JobCanceled || j.Concurrent() || j.ReasonCode != "WHY" {
		t.Errorf("canceled %+v, %v", j, err)
	}
	if c := f.counts("a"); c != (Counts{Canceled: 2, InProgress: 1}) {
		t.Errorf("counts %+v", c)
	}
	told := f.take()
	if told[0] != "events/job/a/cancellation_in_progress" || told[len(told)-1] != "events/job/a/canceled" ||
		!slices.Contains(told, "events/jobExecution/a/canceled") || !slices.Contains(told, "things/t2/jobs/notify-next") {
		t.Errorf("told %q", told)
	}
	if err := f.svc.CancelExecution(t.Context(), "t1", "a", ExecutionCancellation{}); !errors.Is(err, ErrTransition) {
		t.Errorf("cancel of one in progress: %v", err)
	}
	if err := f.svc.CancelExecution(t.Context(), "t1", "a", ExecutionCancellation{Force: true, ExpectedVersion: 7}); !errors.Is(err, ErrVersion) {
		t.Errorf("cancel of another version: %v", err)
	}
	if err := f.svc.CancelExecution(t.Context(), "t1", "a", ExecutionCancellation{Force: true, ExpectedVersion: 2}); err != nil {
		t.Error(err)
	}
	if err := f.svc.DeleteExecution(t.Context(), "t1", "a", 1, false); err != nil {
		t.Error(err)
	}
	if c := f.counts("a"); c != (Counts{Canceled: 2}) {
		t.Errorf("counts %+v", c)
	}
	f.take()
	if err := f.svc.DeleteJob(t.Context(), "a", false); err != nil {
		t.Fatal(err)
	}
	if _, err := f.svc.Job(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after the deletion: %v", err)
	}
	told = f.take()
	if told[0] != "events/job/a/deletion_in_progress" || told[len(told)-1] != "events/job/a/deleted" || len(told) != 4 {
		t.Errorf("told %q", told)
	}
	for key, err := range f.svc.keys(t.Context(), "", "") {
		t.Errorf("left behind: %q, %v", key, err)
	}
}

func TestTemplatesAndDocuments(t *testing.T) {
	f := newFixture(t, nil, &Options{Presigner: presigner{}, Source: func(_ context.Context, url string) ([]byte, error) {
		if url != "https://s3/doc" {
			return nil, errors.New("no such object")
		}
		return []byte(`{"from":"s3"}`), nil
	}})
	f.things("", "t1")
	document := `{"url":"${aws:iot:s3-presigned-url:https://s3/b/k}","p":"${aws:iot:parameter:p}","other":"${aws:x}"}`
	tpl, err := f.svc.CreateTemplate(t.Context(), Template{ID: "tpl", Description: "d", Document: document, Config: Config{Timeout: &Timeout{5}}}, "")
	if err != nil || tpl.Created.IsZero() {
		t.Fatal(err)
	}
	if _, err := f.svc.CreateTemplate(t.Context(), Template{ID: "tpl", Description: "d", Document: "{}"}, ""); !errors.Is(err, ErrExists) {
		t.Errorf("the same template: %v", err)
	}
	j := f.create("a", func(j *Job) {
		j.Document, j.Template, j.Parameters = "", arns+"jobtemplate/tpl", map[string]string{"p": `say "hi"`}
		j.Presign = &Presign{RoleARN: "role", ExpiresInSec: 60}
	}, "thing/t1")
	if j.Timeout == nil || j.Timeout.InProgressMinutes != 5 || j.Description != "d" {
		t.Errorf("made %+v", j)
	}
	for thing, want := range map[string]string{
		"":   `{"url":"${aws:iot:s3-presigned-url:https://s3/b/k}","p":"say \"hi\"","other":"${aws:x}"}`,
		"t1": `{"url":"https://s3/b/k?thing=t1;role=role;expires=1m0s","p":"say \"hi\"","other":"${aws:x}"}`,
	} {
		if got, err := f.svc.Document(t.Context(), "a", thing); err != nil || string(got) != want {
			t.Errorf("document for %q is %s, %v", thing, got, err)
		}
	}
	if _, err := f.svc.CreateTemplate(t.Context(), Template{ID: "of-job", Description: "d"}, arns+"job/a"); err != nil {
		t.Error(err)
	}
	if got, err := f.svc.Template(t.Context(), "of-job"); err != nil || got.Document != document || got.Timeout.InProgressMinutes != 5 {
		t.Errorf("template of the job is %+v, %v", got, err)
	}
	if err := f.svc.DeleteTemplate(t.Context(), "tpl"); err != nil {
		t.Error(err)
	}
	if err := f.svc.DeleteTemplate(t.Context(), "tpl"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	b := f.create("b", func(j *Job) { j.Document, j.DocumentSource = "", "https://s3/doc" }, "thing/t1")
	if b.Document != `{"from":"s3"}` {
		t.Errorf("fetched %s", b.Document)
	}
}

type presigner struct{}

func (presigner) Presign(_ context.Context, r PresignRequest) (string, error) {
	return fmt.Sprintf("%s?thing=%s;role=%s;expires=%s", r.URL, r.Thing, r.RoleARN, r.Expires), nil
}

// A device that acts as soon as it is told, from within the delivery.
func TestObserverMayCallTheService(t *testing.T) {
	f := newFixture(t, nil, nil)
	f.things("", "t1")
	f.svc.Observe(func(ctx context.Context, e Event) {
		if strings.HasSuffix(e.Topic, "notify-next") && e.Job != "" {
			if _, err := f.svc.Update(ctx, e.Thing, e.Job, Update{Status: Succeeded}); err != nil {
				t.Error(err)
			}
		}
	})
	f.create("a", nil, "thing/t1")
	if j := f.job("a"); j.Status != JobCompleted {
		t.Errorf("job is %+v, execution %+v", j, f.execution("t1", "a"))
	}
}
