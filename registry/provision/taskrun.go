package provision

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/thingloom/thingloom/registry"
)

// runner is the one task that is being done.
type runner struct {
	wake chan struct{} // something is to be done

	mu      sync.Mutex
	current Task // none if its ID is empty
	cancel  context.CancelFunc
}

// ask has Run look for tasks.
func (r *runner) ask() {
	select {
	case r.wake <- struct{}{}:
	default: // asked for already
	}
}

// stop ends the task if it is the one being done.
func (r *runner) stop(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current.ID == id {
		r.cancel()
	}
}

// overlay puts the counts of now into the task that is being done.
func (r *runner) overlay(t *Task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current.ID == t.ID && !t.Status.final() {
		t.Lines, t.Registered, t.Failed = r.current.Lines, r.current.Registered, r.current.Failed
	}
}

func (r *runner) update(f func(*Task)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.current)
}

// runTasks does tasks, the oldest first, until ctx is done. Those that an
// earlier process began go on with the lines that it did not note as done.
func (s *Service) runTasks(ctx context.Context) {
	s.tasks.ask()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.tasks.wake:
		}
		var pending []string
		for t, err := range s.Tasks(ctx, "") {
			if err != nil && ctx.Err() == nil {
				s.opts.Logger.Error("provision: registration tasks", "err", err)
			}
			if err == nil && !t.Status.final() {
				pending = append(pending, t.ID)
			}
		}
		for _, id := range pending {
			if err := s.runTask(ctx, id); err != nil && ctx.Err() == nil {
				s.opts.Logger.Error("provision: registration task", "task", id, "err", err)
			}
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// runTask does one task, and stores how it ended, unless ctx ends it: then it
// goes on in the next process. The error is that of the store.
func (s *Service) runTask(ctx context.Context, id string) error {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	s.tasks.update(func(now *Task) { *now, s.tasks.cancel = Task{ID: id}, cancel })
	defer s.tasks.update(func(now *Task) { *now = Task{} })
	for l, err := range s.taskLines(ctx, id) { // of an earlier process
		if err != nil {
			return err
		}
		s.tasks.update(func(now *Task) { now.count(l.Error != "") })
	}
	// Who stops it from here on finds it.
	t, _, err := s.loadTask(ctx, id)
	if err != nil {
		return err
	}
	var failed error
	if t.Status == TaskInProgress {
		failed = s.doTask(reading, t)
	}
	if ctx.Err() != nil {
		return nil
	}
	_, err = s.changeTask(ctx, id, func(t *Task) error {
		s.tasks.overlay(t)
		switch {
		case t.Status == TaskCancelling:
			t.Status = TaskCancelled
		case failed != nil:
			t.Status, t.Message = TaskFailed, causeOf(failed)
		default:
			t.Status = TaskCompleted
		}
		return nil
	})
	return err
}

// doTask reads lines until ctx is done, and does to its end each that it has
// begun: a device is not left half provisioned.
func (s *Service) doTask(ctx context.Context, t Task) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines, err := s.countLines(ctx, &t)
	if err != nil {
		return err
	}
	s.tasks.update(func(now *Task) { now.Lines = lines })
	template, err := s.template(t.Body)
	if err != nil {
		return err
	}
	file, err := s.opts.Input(ctx, t.Bucket, t.Key)
	if err != nil {
		return fmt.Errorf("provision: open %s: %w", t.Key, err)
	}
	defer file.Close()
	var mu sync.Mutex
	var failed error
	work := context.WithoutCancel(ctx)
	err = eachLine(ctx, file, taskWorkers, func(line int, text []byte, long error) {
		if err := s.taskLine(work, &t, template, line, text, long); err != nil {
			mu.Lock()
			defer mu.Unlock()
			failed = err
			cancel()
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

const taskWorkers = 8

// count counts one line more.
func (t *Task) count(failed bool) {
	if failed {
		t.Failed++
	} else {
		t.Registered++
	}
}

// taskLine does a line, if it is not noted as done, and notes it. After a crash
// between the two it is done again, which makes the same thing and, for a line
// with a signing request, one certificate more.
func (s *Service) taskLine(ctx context.Context, t *Task, template *Template, line int, text []byte, long error) error {
	key := taskLineKey(t.ID, line)
	if _, err := s.store.Get(ctx, key); !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	done := TaskLine{Line: line}
	if result, err := s.bulkLine(ctx, template, text, long); err != nil {
		done.Error = err.Error()
	} else {
		done.ARNs, done.CertificatePEM = s.ARNs(result), result.CertificatePEM
	}
	value, err := json.Marshal(done)
	if err == nil {
		err = s.store.Apply(ctx, registry.Op{Kind: registry.Put, Key: key, Value: value, Prev: registry.Any})
	}
	if err == nil {
		s.tasks.update(func(now *Task) { now.count(done.Error != "") })
	}
	return err
}

// countLines counts the lines of a task's file that are not empty.
func (s *Service) countLines(ctx context.Context, t *Task) (n int, err error) {
	file, err := s.opts.Input(ctx, t.Bucket, t.Key)
	if err != nil {
		return 0, fmt.Errorf("provision: open %s: %w", t.Key, err)
	}
	defer file.Close()
	err = eachLine(ctx, file, 0, func(int, []byte, error) { n++ })
	return n, err
}

// eachLine calls fn with the lines that are not empty and their numbers, with
// so many workers at a time, or in their order with none. It ends when ctx is
// done, with its error, once fn has returned.
//
// A line that is longer than maxLine comes without its text, with an error.
func eachLine(ctx context.Context, r io.Reader, workers int, fn func(line int, text []byte, err error)) error {
	type line struct {
		n    int
		text []byte
		err  error
	}
	do := func(l line) { fn(l.n, l.text, l.err) }
	var wg sync.WaitGroup
	if workers > 0 {
		work := make(chan line)
		for range workers {
			wg.Go(func() {
				for l := range work {
					fn(l.n, l.text, l.err)
				}
			})
		}
		defer wg.Wait()
		defer close(work)
		do = func(l line) {
			l.text = bytes.Clone(l.text)
			work <- l
		}
	}
	in := bufio.NewReaderSize(r, maxLine+1) // a line with its end
	for n := 1; ctx.Err() == nil; n++ {
		text, err := in.ReadSlice('\n')
		l := line{n: n}
		for errors.Is(err, bufio.ErrBufferFull) {
			l.err = fmt.Errorf("%w: the line has more than %d bytes", ErrInvalid, maxLine)
			_, err = in.ReadSlice('\n')
		}
		if n == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff")) // which some editors write
		}
		if l.err == nil {
			l.text = bytes.TrimSpace(text)
		}
		if len(l.text) > 0 || l.err != nil {
			do(l)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("provision: line %d: %w", n, err)
		}
	}
	return ctx.Err()
}
