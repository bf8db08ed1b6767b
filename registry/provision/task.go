package provision

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// A Task is a bulk registration that is stored and run by Run: a template
// applied to each line of a file.
type Task struct {
	ID       string     `json:"id"` // a UUID; later ones sort later
	Body     string     `json:"body"`
	Bucket   string     `json:"bucket"`
	Key      string     `json:"key"`
	Role     string     `json:"role,omitempty"`
	Status   TaskStatus `json:"status"`
	Message  string     `json:"message,omitempty"` // why it failed
	Created  time.Time  `json:"created"`
	Modified time.Time  `json:"modified"`

	Lines      int `json:"lines,omitempty"` // of the file that are not empty; 0 until they are counted
	Registered int `json:"registered,omitempty"`
	Failed     int `json:"failed,omitempty"`
}

// Percent is how much of the file is done.
func (t *Task) Percent() int {
	if t.Lines == 0 {
		if t.Status == TaskCompleted {
			return 100
		}
		return 0
	}
	return min(100, (t.Registered+t.Failed)*100/t.Lines)
}

// A TaskStatus is where a task is.
type TaskStatus string

// The statuses. The last three are final.
const (
	TaskInProgress TaskStatus = "InProgress"
	TaskCancelling TaskStatus = "Cancelling"
	TaskCompleted  TaskStatus = "Completed" // lines that failed are in the report
	TaskFailed     TaskStatus = "Failed"    // could not go on: Message says why
	TaskCancelled  TaskStatus = "Cancelled"
)

func (s TaskStatus) final() bool {
	return s == TaskCompleted || s == TaskFailed || s == TaskCancelled
}

// An Input opens the file that a task names. It is opened twice: lines are
// counted first.
type Input func(ctx context.Context, bucket, key string) (io.ReadCloser, error)

// StartTask stores a task with Body, Bucket, Key and Role of t, and has Run do
// it: tasks are done one after the other, the oldest first. Errors are ErrInvalid
// and ErrTemplate.
func (s *Service) StartTask(ctx context.Context, t Task) (Task, error) {
	if s.opts.Input == nil {
		return Task{}, fmt.Errorf("%w: there are no files to register from", ErrInvalid)
	}
	for _, field := range []struct{ name, value string }{{"inputFileBucket", t.Bucket}, {"inputFileKey", t.Key}} {
		if n := len(field.value); n < 1 || n > 1024 {
			return Task{}, fmt.Errorf("%w: %s has %d bytes, not 1 to 1024", ErrInvalid, field.name, n)
		}
	}
	if _, err := s.template(t.Body); err != nil {
		return Task{}, err
	}
	now := s.opts.Now().UTC()
	made := Task{ID: taskID(now), Body: t.Body, Bucket: t.Bucket, Key: t.Key, Role: t.Role, Status: TaskInProgress, Created: now, Modified: now}
	if err := s.putTask(ctx, made, 0); err != nil {
		return Task{}, err
	}
	s.tasks.ask()
	return made, nil
}

// taskID is a UUID of version 7: it begins with the time.
func taskID(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixMilli())<<16)
	rand.Read(b[6:])
	b[6], b[8] = b[6]&0x0f|0x70, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// StopTask ends a task: the lines under way are done, and no more. One that has
// ended already is ErrInvalid.
func (s *Service) StopTask(ctx context.Context, id string) error {
	t, err := s.changeTask(ctx, id, func(t *Task) error {
		if t.Status.final() {
			return fmt.Errorf("%w: task %s is %s", ErrInvalid, id, t.Status)
		}
		t.Status = TaskCancelling
		return nil
	})
	if err == nil {
		s.tasks.stop(t.ID)
		s.tasks.ask() // one that waits is ended by Run as well
	}
	return err
}

// Task returns a task as it is now, or ErrNotFound.
func (s *Service) Task(ctx context.Context, id string) (Task, error) {
	t, _, err := s.loadTask(ctx, id)
	if err == nil {
		s.tasks.overlay(&t)
	}
	return t, err
}

// Tasks yields the tasks whose IDs come after the given one, the oldest first.
func (s *Service) Tasks(ctx context.Context, after string) iter.Seq2[Task, error] {
	if after != "" {
		after = keyTask + after
	}
	return func(yield func(Task, error) bool) {
		for e, err := range s.store.Scan(ctx, keyTask, after) {
			var t Task
			if err == nil {
				err = json.Unmarshal(e.Value, &t)
			}
			if err == nil {
				s.tasks.overlay(&t)
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// A TaskLine is what became of one line of a task.
type TaskLine struct {
	Line           int               `json:"lineNumber"` // from 1
	ARNs           map[string]string `json:"resourceArns,omitempty"`
	CertificatePEM string            `json:"certificatePem,omitempty"`
	Error          string            `json:"errorMessage,omitempty"` // empty for one that was registered
}

// TaskLines yields what became of the lines of a task so far, in their order:
// those that failed, or the others.
func (s *Service) TaskLines(ctx context.Context, id string, failed bool) iter.Seq2[TaskLine, error] {
	return func(yield func(TaskLine, error) bool) {
		if _, _, err := s.loadTask(ctx, id); err != nil {
			yield(TaskLine{}, err)
			return
		}
		for l, err := range s.taskLines(ctx, id) {
			if err == nil && (l.Error != "") != failed {
				continue
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

func (s *Service) taskLines(ctx context.Context, id string) iter.Seq2[TaskLine, error] {
	return func(yield func(TaskLine, error) bool) {
		for e, err := range s.store.Scan(ctx, keyTaskLine+id+"/", "") {
			var l TaskLine
			if err == nil {
				err = json.Unmarshal(e.Value, &l)
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

func taskLineKey(id string, line int) string { return fmt.Sprintf("%s%s/%010d", keyTaskLine, id, line) }

func (s *Service) putTask(ctx context.Context, t Task, prev int64) error {
	value, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("provision: task: %w", err)
	}
	return s.store.Apply(ctx, registry.Op{Kind: registry.Put, Key: keyTask + t.ID, Value: value, Prev: prev})
}

func (s *Service) loadTask(ctx context.Context, id string) (t Task, version int64, err error) {
	e, err := s.store.Get(ctx, keyTask+id)
	if errors.Is(err, registry.ErrNotFound) {
		return t, 0, fmt.Errorf("%w: task %s", ErrNotFound, id)
	}
	if err != nil {
		return t, 0, err
	}
	return t, e.Version, json.Unmarshal(e.Value, &t)
}

// changeTask stores what f makes of a task, with no other change between.
func (s *Service) changeTask(ctx context.Context, id string, f func(*Task) error) (Task, error) {
	for {
		t, version, err := s.loadTask(ctx, id)
		if err != nil {
			return t, err
		}
		if err := f(&t); err != nil {
			return t, err
		}
		t.Modified = s.opts.Now().UTC()
		err = s.putTask(ctx, t, version)
		if !errors.Is(err, registry.ErrVersionConflict) || ctx.Err() != nil {
			return t, err
		}
	}
}

// purgeTasks deletes the tasks that ended before a time, with their lines.
func (s *Service) purgeTasks(ctx context.Context, before time.Time) error {
	for t, err := range s.Tasks(ctx, "") {
		if err != nil {
			return err
		}
		if !t.Status.final() || !t.Modified.Before(before) {
			continue
		}
		var ops []registry.Op
		for e, err := range s.store.Scan(ctx, keyTaskLine+t.ID+"/", "") {
			if err != nil {
				return err
			}
			if ops = append(ops, registry.Op{Kind: registry.Delete, Key: e.Key, Prev: registry.Any}); len(ops) < 500 {
				continue
			}
			if err := s.store.Apply(ctx, ops...); err != nil {
				return err
			}
			ops = ops[:0]
		}
		// The task last: after a crash the next purge finds it.
		if err := s.store.Apply(ctx, append(ops, registry.Op{Kind: registry.Delete, Key: keyTask + t.ID, Prev: registry.Any})...); err != nil {
			return err
		}
	}
	return nil
}

// causeOf is the message of a task that could not go on.
func causeOf(err error) string {
	const most = 2048
	text := err.Error()
	return text[:min(len(text), most)]
}
