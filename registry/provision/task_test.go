package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/registry"
)

const taskBody = `{"Parameters":{"n":{"Type":"String"}},"Resources":{"t":{"Type":"AWS::IoT::Thing","Properties":{"ThingName":{"Ref":"n"},"ThingGroups":["sensors"]}}}}`

// files are what tasks read, by key.
type files map[string]string

func (f files) open(_ context.Context, bucket, key string) (io.ReadCloser, error) {
	text, ok := f[key]
	if !ok || bucket != "in" {
		return nil, fmt.Errorf("no %s in %s", key, bucket)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"n\":\"t%d\"}\n", i+1)
	}
	return b.String()
}

// run runs s until the function that it returns is called.
func (f *fixture) run(s *Service) (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	}
}

func (f *fixture) start(key string) string {
	f.t.Helper()
	t, err := f.StartTask(f.t.Context(), Task{Body: taskBody, Bucket: "in", Key: key, Status: TaskFailed, Registered: 9})
	f.ok(err)
	if t.Status != TaskInProgress || t.Registered != 0 {
		f.t.Errorf("started %+v", t)
	}
	return t.ID
}

// state is a task in a line.
func (f *fixture) state(s *Service, id string) string {
	f.t.Helper()
	t, err := s.Task(f.t.Context(), id)
	f.ok(err)
	return fmt.Sprintf("%s %d+%d/%d %d%% %s", t.Status, t.Registered, t.Failed, t.Lines, t.Percent(), t.Message)
}

func (f *fixture) expect(id, want string) {
	f.t.Helper()
	if got := f.state(f.Service, id); got != want {
		f.t.Errorf("the task is %q, want %q", got, want)
	}
}

func TestTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, Options{Input: files{
			"good": numbered(100),
			"bad":  "{\"n\":\"x\"}\n\n nonsense \n{\"n\":\"a b\"}\n{\"m\":\"y\"}\n",
			"long": "\ufeff{\"n\":\"z\"}\n" + strings.Repeat("x", 3*maxLine) + "\n{\"n\":\"zz\"}",
			"none": "",
		}.open})
		ids := map[string]string{}
		for _, key := range []string{"good", "bad", "gone", "long", "none"} {
			ids[key] = f.start(key)
			f.now = f.now.Add(time.Millisecond)
		}
		stop := f.run(f.Service)
		synctest.Wait()
		f.expect(ids["good"], "Completed 100+0/100 100% ")
		f.expect(ids["bad"], "Completed 1+3/4 100% ")
		f.expect(ids["gone"], "Failed 0+0/0 0% provision: open gone: no gone in in")
		f.expect(ids["long"], "Completed 2+1/3 100% ")
		f.expect(ids["none"], "Completed 0+0/0 100% ")
		var errs, good []string
		for l, err := range f.TaskLines(t.Context(), ids["bad"], true) {
			f.ok(err)
			errs = append(errs, fmt.Sprint(l.Line, " ", l.Error != "", " ", l.ARNs))
		}
		for l, err := range f.TaskLines(t.Context(), ids["bad"], false) {
			f.ok(err)
			good = append(good, fmt.Sprint(l.Line, " ", l.Error, l.ARNs["thing"]))
		}
		if got := strings.Join(errs, "|") + "|" + strings.Join(good, "|"); got != "3 true map[]|4 true map[]|5 true map[]|1 arn:aws:iot:us-east-1:123456789012:thing/x" {
			t.Errorf("the report is %s", got)
		}
		last, listed := "", 0
		for task, err := range f.Tasks(t.Context(), "") {
			f.ok(err)
			if task.ID <= last {
				t.Errorf("%s after %s", task.ID, last)
			}
			last, listed = task.ID, listed+1
		}
		if listed != 5 {
			t.Errorf("%d tasks", listed)
		}
		if err := f.StopTask(t.Context(), ids["good"]); !errors.Is(err, ErrInvalid) {
			t.Errorf("stop of one that has ended: %v", err)
		}

		// They go with their reports in due time.
		stop()
		f.now = f.now.Add(31 * 24 * time.Hour)
		defer f.run(f.Service)()
		synctest.Wait()
		if _, err := f.Task(t.Context(), ids["good"]); !errors.Is(err, ErrNotFound) {
			t.Errorf("an old task: %v", err)
		}
		for e, err := range f.store.Scan(t.Context(), "", "") {
			t.Errorf("left in the store: %s, %v", e.Key, err)
		}
	})
}

func TestTaskRefusals(t *testing.T) {
	f := setup(t, Options{})
	if _, err := f.StartTask(t.Context(), Task{Body: taskBody, Bucket: "in", Key: "k"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("without files: %v", err)
	}
	f = setup(t, Options{Input: files{}.open})
	for _, c := range []struct {
		task Task
		want error
	}{
		{Task{Body: "{}", Bucket: "in", Key: "k"}, ErrTemplate},
		{Task{Body: taskBody, Key: "k"}, ErrInvalid},
		{Task{Body: taskBody, Bucket: "in"}, ErrInvalid},
		{Task{Body: taskBody, Bucket: "in", Key: strings.Repeat("k", 1025)}, ErrInvalid},
	} {
		if _, err := f.StartTask(t.Context(), c.task); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c.task, err)
		}
	}
	if err := f.StopTask(t.Context(), "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("stop of none: %v", err)
	}
	for _, err := range f.TaskLines(t.Context(), "none", true) {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("lines of none: %v", err)
		}
	}
}

// A gate is a file whose second reading stops where the test wants it to.
type gate struct {
	text   string
	at     int
	mu     sync.Mutex
	opened int
	free   chan struct{}
}

func (g *gate) open(ctx context.Context, _, _ string) (io.ReadCloser, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened++; g.opened%2 == 1 { // lines are counted
		return io.NopCloser(strings.NewReader(g.text)), nil
	}
	return io.NopCloser(io.MultiReader(strings.NewReader(g.text[:g.at]), waiting{ctx, g.free}, strings.NewReader(g.text[g.at:]))), nil
}

type waiting struct {
	ctx  context.Context
	free chan struct{}
}

func (w waiting) Read([]byte) (int, error) {
	select {
	case <-w.free:
		return 0, io.EOF
	case <-w.ctx.Done():
		return 0, w.ctx.Err()
	}
}

func (f *fixture) things() (n int) {
	for _, err := range f.reg.ThingsInGroup(f.t.Context(), "sensors", false, "") {
		f.ok(err)
		n++
	}
	return n
}

// A task shows how far it is, is stopped where it is, and one that waits for it
// is stopped too.
func TestStopTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := numbered(10)
		g := &gate{text: text, at: strings.Index(text, `{"n":"t5"}`), free: make(chan struct{})}
		f := setup(t, Options{Input: g.open})
		first := f.start("k")
		f.now = f.now.Add(time.Millisecond)
		second := f.start("k")
		defer f.run(f.Service)()
		synctest.Wait()
		f.expect(first, "InProgress 4+0/10 40% ")
		f.expect(second, "InProgress 0+0/0 0% ")
		f.ok(f.StopTask(t.Context(), second))
		f.expect(second, "Cancelling 0+0/0 0% ")
		f.ok(f.StopTask(t.Context(), first))
		synctest.Wait()
		f.expect(first, "Cancelled 4+0/10 40% ")
		f.expect(second, "Cancelled 0+0/0 0% ")
		if n := f.things(); n != 4 {
			t.Errorf("%d things", n)
		}
	})
}

// A task that its process has left goes on in the next one where it was, and
// what was being stopped is stopped.
func TestTaskGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := numbered(10)
		g := &gate{text: text, at: strings.Index(text, `{"n":"t8"}`), free: make(chan struct{})}
		f := setup(t, Options{Input: g.open})
		stop := f.run(f.Service)
		id := f.start("k")
		synctest.Wait()
		f.expect(id, "InProgress 7+0/10 70% ")
		stop()
		waits := f.start("k")
		f.ok(f.StopTask(t.Context(), waits))
		// What is done already is not done again.
		f.ok(f.reg.RemoveThingFromGroup(t.Context(), "t3", "sensors"))
		close(g.free)
		next, err := New(f.reg, f.store, &f.opts)
		f.ok(err)
		defer f.run(next)()
		synctest.Wait()
		if got := f.state(next, id); got != "Completed 10+0/10 100% " {
			t.Errorf("in the next process: %s", got)
		}
		if got := f.state(next, waits); got != "Cancelled 0+0/0 0% " {
			t.Errorf("stopped before: %s", got)
		}
		if n := f.things(); n != 9 {
			t.Errorf("%d things in the group", n)
		}
	})
}

// failing is a store that takes no lines of tasks any more.
type failing struct {
	registry.Store
	mu   sync.Mutex
	left int
}

func (s *failing) Apply(ctx context.Context, ops ...registry.Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(ops[0].Key, keyTaskLine) {
		if s.left--; s.left < 0 {
			return errors.New("the disk is full")
		}
	}
	return s.Store.Apply(ctx, ops...)
}

func TestTaskWhoseStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, Options{Input: files{"k": numbered(1000)}.open})
		f.store = &failing{Store: f.store, left: 3}
		defer f.run(f.Service)()
		id := f.start("k")
		synctest.Wait()
		task, err := f.Task(t.Context(), id)
		f.ok(err)
		if task.Status != TaskFailed || task.Message != "the disk is full" || task.Registered != 3 || f.things() > 3+2*taskWorkers {
			t.Errorf("%+v and %d things", task, f.things())
		}
	})
}
