package jobsmqtt_test

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

	"github.com/thingloom/thingloom/internal/topic"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/jobs"
	"github.com/thingloom/thingloom/registry/jobs/jobsmqtt"
)

// A bus is a broker in memory: Publish calls the handlers that match.
type bus struct {
	mu       sync.Mutex
	handlers map[string]func(context.Context, string, []byte) error
	messages []message
	fail     error
}

type message struct{ topic, payload string }

func (b *bus) Publish(ctx context.Context, name string, payload []byte) error {
	b.mu.Lock()
	b.messages = append(b.messages, message{name, string(payload)})
	var matching []func(context.Context, string, []byte) error
	for filter, h := range b.handlers {
		if topic.Match(filter, name) {
			matching = append(matching, h)
		}
	}
	err := b.fail
	b.mu.Unlock()
	for _, h := range matching {
		err = errors.Join(err, h(ctx, name, payload))
	}
	return err
}

func (b *bus) Subscribe(filter string, h func(context.Context, string, []byte) error) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.handlers == nil {
		b.handlers = map[string]func(context.Context, string, []byte) error{}
	}
	b.handlers[filter] = h
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.handlers, filter)
	}, nil
}

const arns = "arn:aws:iot:us-east-1:123456789012:"

func newService(t testing.TB, things ...string) (*registry.Registry, *jobs.Service) {
	t.Helper()
	ca, err := registry.NewCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.New(registry.NewMemStore(), &registry.Options{CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	for _, thing := range things {
		if _, err := reg.CreateThing(context.Background(), registry.Thing{Name: thing}); err != nil {
			t.Fatal(err)
		}
	}
	svc, err := jobs.New(registry.NewMemStore(), reg, &jobs.Options{Now: func() time.Time { return time.Unix(1700000000, 500_000_000) }})
	if err != nil {
		t.Fatal(err)
	}
	return reg, svc
}

func create(t testing.TB, svc *jobs.Service, id string, timeout int64) {
	t.Helper()
	j := jobs.Job{ID: id, Document: `{"operation":"o","n":1}`, Targets: []string{arns + "thing/t1"}}
	if timeout > 0 {
		j.Timeout = &jobs.Timeout{InProgressMinutes: timeout}
	}
	if _, err := svc.CreateJob(context.Background(), j); err != nil {
		t.Fatal(err)
	}
}

// A slow store holds writes back until it is told to go on.
type slowStore struct {
	registry.Store
	hold chan struct{} // nil is at once
}

func (s *slowStore) Apply(ctx context.Context, ops ...registry.Op) error {
	if s.hold != nil {
		<-s.hold
	}
	return s.Store.Apply(ctx, ops...)
}

type brokenPresigner struct{}

func (brokenPresigner) Presign(context.Context, jobs.PresignRequest) (string, error) {
	return "", errors.New("the key is in /etc/keys")
}

// The two codes that are nobody's fault: what fails inside, whose text devices
// do not get, and too many requests at once.
func TestInternalErrorAndThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, _ := newService(t, "t1")
		store := &slowStore{Store: registry.NewMemStore()}
		svc, err := jobs.New(store, reg, &jobs.Options{MaxInFlight: 1, Presigner: brokenPresigner{}})
		if err != nil {
			t.Fatal(err)
		}
		b := &bus{}
		e, err := jobsmqtt.New(svc, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if _, err := svc.CreateJob(t.Context(), jobs.Job{ID: "j", Document: `{"u":"${aws:iot:s3-presigned-url:https://s3.amazonaws.com/b/k}"}`, Targets: []string{arns + "thing/t1"}}); err != nil {
			t.Fatal(err)
		}
		const update = "$aws/things/t1/jobs/j/update"
		ask := func(topic, payload string) string {
			if err := b.Publish(t.Context(), topic, []byte(payload)); err != nil {
				t.Error(err)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			m := b.messages[len(b.messages)-1]
			return strings.TrimPrefix(m.topic, topic+"/") + " " + m.payload
		}
		if got := ask("$aws/things/t1/jobs/$next/get", `{"clientToken":"k"}`); !strings.HasPrefix(got, `rejected {"code":"InternalError","message":"internal failure","timestamp":`) || !strings.HasSuffix(got, `,"clientToken":"k"}`) {
			t.Errorf("a presigner that fails: %s", got)
		}
		store.hold = make(chan struct{})
		var waiting sync.WaitGroup
		waiting.Go(func() { ask(update, `{"status":"IN_PROGRESS"}`) })
		synctest.Wait()
		if got := ask(update, `{"status":"IN_PROGRESS","clientToken":"k"}`); !strings.HasPrefix(got, `rejected {"code":"RequestThrottled",`) || !strings.HasSuffix(got, `,"clientToken":"k"}`) {
			t.Errorf("a second request: %s", got)
		}
		close(store.hold)
		waiting.Wait()
		if got := ask(update, `{"status":"SUCCEEDED","expectedVersion":2}`); !strings.HasPrefix(got, "accepted ") {
			t.Errorf("after the first: %s", got)
		}
	})
}

// A job of a namespace is asked for on topics of its own.
func TestNamespaceTopics(t *testing.T) {
	_, svc := newService(t, "t1")
	b := &bus{}
	e, err := jobsmqtt.New(svc, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	create(t, svc, "plain", 0)
	if _, err := svc.CreateJob(t.Context(), jobs.Job{ID: "j", Document: `{}`, Namespace: "ns", Targets: []string{arns + "thing/t1"}}); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, m := range b.messages[2:] {
		told = append(told, strings.TrimPrefix(m.topic, "$aws/things/t1/jobs/"))
	}
	if want := []string{"notify-namespace-ns", "notify-next-namespace-ns"}; !slices.Equal(told, want) {
		t.Errorf("told on %q", told)
	}
	for _, step := range []struct{ topic, payload, want string }{
		{"$next/namespace-ns/get", `{"clientToken":"k"}`, `accepted {"execution":{"jobId":"j","thingName":"t1","status":"QUEUED",`},
		{"j/namespace-ns/get", `{}`, `accepted {"execution":{"jobId":"j"`},
		{"$next/get", `{}`, `accepted {"execution":{"jobId":"plain"`},
		{"get", `{}`, `accepted {"inProgressJobs":[],"queuedJobs":[{"jobId":"plain"`},
		{"$next/namespace-other/get", `{"clientToken":"k"}`, `accepted {"timestamp":1700000000,"clientToken":"k"}`},
		{"j/namespace-other/get", `{}`, `rejected {"code":"ResourceNotFound"`},
		{"plain/namespace-ns/update", `{"status":"FAILED"}`, `rejected {"code":"ResourceNotFound"`},
		{"j/space-ns/get", `{}`, `rejected {"code":"InvalidTopic"`},
		{"j/namespace-/get", `{}`, `rejected {"code":"InvalidTopic"`},
		{"j/namespace-a b/update", `{}`, `rejected {"code":"InvalidTopic"`},
		{"j/namespace-ns/update", `{"status":"SUCCEEDED","includeJobExecutionState":true}`, `accepted {"executionState":{"status":"SUCCEEDED"`},
	} {
		if err := b.Publish(t.Context(), "$aws/things/t1/jobs/"+step.topic, []byte(step.payload)); err != nil {
			t.Fatal(err)
		}
		last := b.messages[len(b.messages)-1]
		if got := strings.TrimPrefix(last.topic, "$aws/things/t1/jobs/"+step.topic+"/") + " " + last.payload; !strings.HasPrefix(got, step.want) {
			t.Errorf("%s: %s, want %s", step.topic, got, step.want)
		}
	}
}

// TestConversation has each request of a device and the exact answer.
func TestConversation(t *testing.T) {
	_, svc := newService(t, "t1")
	b := &bus{}
	e, err := jobsmqtt.New(svc, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, step := range []struct{ topic, payload, want string }{
		{"get", ``, `get/accepted {"inProgressJobs":[],"queuedJobs":[],"timestamp":1700000000}`},
		{"$next/get", `{"clientToken":"c"}`, `$next/get/accepted {"timestamp":1700000000,"clientToken":"c"}`},
		{"start-next", `{}`, `start-next/accepted {"timestamp":1700000000}`},
		{"create j1", "5", `notify {"timestamp":1700000000,"jobs":{"QUEUED":[{"jobId":"j1","queuedAt":1700000000,"lastUpdatedAt":1700000000,"versionNumber":1,"executionNumber":1}]}}
notify-next {"timestamp":1700000000,"execution":{"jobId":"j1","thingName":"t1","status":"QUEUED","queuedAt":1700000000,"lastUpdatedAt":1700000000,"versionNumber":1,"executionNumber":1,"jobDocument":{"operation":"o","n":1}}}`},
		{"create j2", "0", `notify {"timestamp":1700000000,"jobs":{"QUEUED":[{"jobId":"j1","queuedAt":1700000000,"lastUpdatedAt":1700000000,"versionNumber":1,"executionNumber":1},{"jobId":"j2","queuedAt":1700000000,"lastUpdatedAt":1700000000,"versionNumber":1,"executionNumber":1}]}}`},
		{"start-next", `{"statusDetails":{"a":"b"},"clientToken":"c"}`, `start-next/accepted {"execution":{"jobId":"j1","thingName":"t1","status":"IN_PROGRESS","statusDetails":{"a":"b"},"queuedAt":1700000000,"startedAt":1700000000,"lastUpdatedAt":1700000000,"approximateSecondsBeforeTimedOut":300,"versionNumber":2,"executionNumber":1,"jobDocument":{"operation":"o","n":1}},"timestamp":1700000000,"clientToken":"c"}`},
		{"get", `{}`, `get/accepted {"inProgressJobs":[{"jobId":"j1","queuedAt":1700000000,"startedAt":1700000000,"lastUpdatedAt":1700000000,"versionNumber":2,"executionNumber":1}],"queuedJobs":[{"jobId":"j2","queuedAt":1700000000,"lastUpdatedAt":1700000000,"versionNumber":1,"executionNumber":1}],"timestamp":1700000000}`},
		{"j2/get", `{"includeJobDocument":false,"executionNumber":1}`, `j2/get/accepted {"execution":{"jobId":"j2","thingName":"t1","status":"QUEUED","queuedAt":1700000000,"lastUpdatedAt":1700000000,"versionNumber":1,"executionNumber":1},"timestamp":1700000000}`},
		{"j2/get", `{"executionNumber":2}`, `j2/get/rejected ResourceNotFound`},
		{"j1/update", `{"status":"IN_PROGRESS","expectedVersion":1,"clientToken":"c"}`, `j1/update/rejected {"code":"VersionMismatch","message":"jobs: version mismatch: execution of j1 on t1 is IN_PROGRESS at version 2: version 1 is expected","timestamp":1700000000,"clientToken":"c","executionState":{"status":"IN_PROGRESS","statusDetails":{"a":"b"},"versionNumber":2}}`},
		{"j1/update", `{"status":"IN_PROGRESS","expectedVersion":2,"statusDetails":{"c":"d"},"includeJobExecutionState":true,"includeJobDocument":true}`, `j1/update/accepted {"executionState":{"status":"IN_PROGRESS","statusDetails":{"c":"d"},"versionNumber":3},"jobDocument":{"operation":"o","n":1},"timestamp":1700000000}`},
		{"j1/update", `{"status":"SUCCEEDED"}`, `notify {"timestamp":1700000000,"jobs":{"QUEUED":[{"jobId":"j2","queuedAt":1700000000,"lastUpdatedAt":1700000000,"versionNumber":1,"executionNumber":1}]}}
notify-next {"timestamp":1700000000,"execution":{"jobId":"j2","thingName":"t1","status":"QUEUED","queuedAt":1700000000,"lastUpdatedAt":1700000000,"versionNumber":1,"executionNumber":1,"jobDocument":{"operation":"o","n":1}}}
j1/update/accepted {"timestamp":1700000000}`},
		{"j1/update", `{"status":"FAILED"}`, `j1/update/rejected InvalidStateTransition`},
		{"j1/get", `{}`, `j1/get/rejected TerminalStateReached`},
		{"j3/update", `{"status":"FAILED"}`, `j3/update/rejected ResourceNotFound`},
		{"j2/update", `{"status":"DONE"}`, `j2/update/rejected InvalidRequest`},
		{"j2/update", `{"status":"FAILED","stepTimeoutInMinutes":0}`, `j2/update/rejected InvalidRequest`},
		{"j2/update", `{"status":7}`, `j2/update/rejected InvalidRequest`},
		{"j2/update", `{"status":`, `j2/update/rejected InvalidJson`},
		{"j2/update", "{\"status\":\"FAILED\",\"statusDetails\":{\"a\":\"\xff\"}}", `j2/update/rejected InvalidJson`},
		{"j2/update", `{"status":"FAILED","clientToken":7}`, `j2/update/rejected InvalidRequest`},
		{"j2/update", `{"status":"FAILED","clientToken":"` + strings.Repeat("x", 65) + `"}`, `j2/update/rejected InvalidRequest`},
		{"j2/update", `{"status":7,"clientToken":"c"}`, `j2/update/rejected {"code":"InvalidRequest","message":"jobs: status cannot be a JSON number","timestamp":1700000000,"clientToken":"c"}`},
		{"$next/update", `{"status":"FAILED"}`, `$next/update/rejected InvalidRequest`},
		{"j2/update", `{"status":"FAILED","x":"` + strings.Repeat("x", 128<<10) + `"}`, `j2/update/rejected InvalidRequest`},
		{"a b/update", `{"status":"FAILED"}`, `a b/update/rejected InvalidTopic`},
	} {
		b.messages = nil
		if id, ok := strings.CutPrefix(step.topic, "create "); ok {
			timeout := int64(0)
			fmt.Sscan(step.payload, &timeout)
			create(t, svc, id, timeout)
		} else {
			if err := b.Publish(t.Context(), "$aws/things/t1/jobs/"+step.topic, []byte(step.payload)); err != nil {
				t.Fatal(err)
			}
			b.messages = b.messages[1:]
		}
		var got []string
		for _, m := range b.messages {
			payload := m.payload
			if !strings.Contains(step.want, "{") { // only the code is compared
				var r struct{ Code string }
				if err := json.Unmarshal([]byte(payload), &r); err != nil {
					t.Fatal(err)
				}
				payload = r.Code
			}
			got = append(got, strings.TrimPrefix(m.topic, "$aws/things/t1/jobs/")+" "+payload)
		}
		if all := strings.Join(got, "\n"); all != step.want {
			t.Errorf("%s %.60s:\n got %s\nwant %s", step.topic, step.payload, all, step.want)
		}
	}
	if s := e.Stats(); s.Rejected != 16 || s.Failed != 0 || s.Requests != 24 {
		t.Errorf("stats are %+v", s)
	}
}

func TestAnswersToOneClient(t *testing.T) {
	_, svc := newService(t, "t1")
	b := &bus{}
	type client struct{}
	var answered []string
	e, err := jobsmqtt.New(svc, b, &jobsmqtt.Options{Answer: func(ctx context.Context, topic string, _ []byte) error {
		answered = append(answered, ctx.Value(client{}).(string)+" "+topic)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithValue(t.Context(), client{}, "c1")
	for _, thing := range []string{"t1", "nobody"} {
		if err := b.Publish(ctx, "$aws/things/"+thing+"/jobs/get", nil); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"c1 $aws/things/t1/jobs/get/accepted", "c1 $aws/things/nobody/jobs/get/rejected"}; !slices.Equal(answered, want) || len(b.messages) != 2 {
		t.Errorf("answered %q, published %v", answered, b.messages)
	}
	e.Close()
	e.Close()
	if len(b.handlers) > 0 {
		t.Error("still subscribed")
	}
}

func TestEventsAreSwitched(t *testing.T) {
	reg, svc := newService(t, "t1")
	b := &bus{}
	e, err := jobsmqtt.New(svc, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	events := func() (out []string) {
		for _, m := range b.messages {
			if rest, ok := strings.CutPrefix(m.topic, "$aws/events/"); ok {
				out = append(out, rest)
			}
		}
		b.messages = nil
		return out
	}
	finish := func(id string) {
		create(t, svc, id, 0)
		if _, err := svc.Update(t.Context(), "t1", id, jobs.Update{Status: jobs.Succeeded}); err != nil {
			t.Fatal(err)
		}
	}
	finish("j1")
	if got := events(); len(got) > 0 {
		t.Errorf("events are off, and there are %q", got)
	}
	if err := reg.SetEventConfigurations(t.Context(), map[registry.EventKind]bool{registry.JobEvents: true, registry.JobExecutionEvents: true}); err != nil {
		t.Fatal(err)
	}
	finish("j2")
	if got, want := events(), []string{"jobExecution/j2/succeeded", "job/j2/completed"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestFailingBus(t *testing.T) {
	_, svc := newService(t, "t1")
	b := &bus{fail: errors.New("down")}
	e, err := jobsmqtt.New(svc, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	create(t, svc, "j1", 0)
	if _, err := svc.Update(t.Context(), "t1", "j1", jobs.Update{Status: jobs.Succeeded}); err != nil {
		t.Errorf("the update is stored, but failed: %v", err)
	}
	if s := e.Stats(); s.Failed == 0 || s.Published != 0 {
		t.Errorf("stats are %+v", s)
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{`{}`, `{"status":"FAILED","statusDetails":{"a":"b"}}`, `{"expectedVersion":1e400}`, `[]`, `null`} {
		f.Add("t1", "j1", "update", []byte(s))
	}
	f.Add("t1", "$next", "get", []byte(`{"clientToken":"é"}`))
	f.Fuzz(func(t *testing.T, thing, job, op string, payload []byte) {
		_, svc := newService(t, "t1")
		b := &bus{}
		e, err := jobsmqtt.New(svc, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		create(t, svc, "j1", 0)
		b.messages = nil
		name := "$aws/things/" + thing + "/jobs/" + job + "/" + op
		if topic.CheckName(name) != nil || !topic.Match("$aws/things/+/jobs/+/get", name) && !topic.Match("$aws/things/+/jobs/+/update", name) {
			return
		}
		if err := b.Publish(t.Context(), name, payload); err != nil {
			t.Fatal(err)
		}
		last := b.messages[len(b.messages)-1]
		if !strings.HasPrefix(last.topic, name+"/") || !json.Valid([]byte(last.payload)) {
			t.Errorf("answered %v", last)
		}
	})
}
