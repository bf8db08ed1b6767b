package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/registry"
)

// Next names, in place of a job, the first pending execution of a thing.
const Next = "$next"

// needThing checks that a thing is registered.
func (s *Service) needThing(ctx context.Context, thing string) error {
	if err := CheckThing(thing); err != nil {
		return err
	}
	_, err := s.reg.Thing(ctx, thing)
	if errors.Is(err, registry.ErrNotFound) {
		return notFound("thing", thing)
	}
	return err
}

// maxPending bounds the lists that Pending returns.
const maxPending = 1000

// Pending returns the executions of a thing in a namespace, "" for none, that
// are not over, each list by the time they were queued; at most a thousand.
func (s *Service) Pending(ctx context.Context, thing, namespace string) (inProgress, queued []Execution, err error) {
	if err := s.needThing(ctx, thing); err != nil {
		return nil, nil, err
	}
	if err := checkNamespace(namespace); err != nil {
		return nil, nil, err
	}
	all, err := s.pending(ctx, thing, namespace, maxPending)
	for _, e := range all {
		if e.Status == InProgress {
			inProgress = append(inProgress, e)
		} else {
			queued = append(queued, e)
		}
	}
	return inProgress, queued, err
}

// A Start is a request to begin with the next pending execution.
type Start struct {
	Details map[string]string // nil leaves them
	// StepMinutes is the step timer: 1 to 10080 sets it, -1 removes it, 0 leaves it.
	StepMinutes int64
}

// checkStep checks a step timer.
func checkStep(minutes int64) error {
	if minutes == 0 || minutes == -1 {
		return nil
	}
	return between("stepTimeoutInMinutes", minutes, 1, maxMinutes)
}

// StartNext returns the first pending execution of a thing in no namespace, nil
// if there is none. One that is QUEUED becomes IN_PROGRESS by it; one that is IN_PROGRESS
// already stays as it is, but for its step timer.
func (s *Service) StartNext(ctx context.Context, thing string, r Start) (*Execution, error) {
	if err := errors.Join(CheckDetails(r.Details), checkStep(r.StepMinutes)); err != nil {
		return nil, err
	}
	if err := s.needThing(ctx, thing); err != nil {
		return nil, err
	}
	var next *Execution
	err := s.change(ctx, thing, s.opts.MaxInFlight, func(t *tx) error {
		next = nil
		id, err := s.head(ctx, thing)
		if err != nil || id == "" {
			return err
		}
		old, err := t.execution(last(id), thing)
		if err != nil || old == nil {
			return err
		}
		if next = old; old.Status == InProgress && r.StepMinutes == 0 {
			return nil
		}
		j, err := t.job(old.Job)
		if err != nil {
			return err
		}
		a := advance{InProgress, r.Details, r.StepMinutes}
		if old.Status == InProgress {
			a.details = nil
		}
		e := old.advanced(a, j.Timeout, s.opts.Now())
		next = &e
		return t.replace(old, &e)
	})
	return next, err
}

// Describe is DescribeIn for jobs of all namespaces; Next is the first in none.
func (s *Service) Describe(ctx context.Context, thing, job string, number int64) (*Execution, error) {
	return s.DescribeIn(ctx, thing, "", job, number)
}

// DescribeIn returns an execution that a device asks for: that of a job in a
// namespace, or with Next the first pending one, nil if there is none. Number is
// that of the attempt, 0 the present one. The error is ErrTerminal if the
// execution is over.
func (s *Service) DescribeIn(ctx context.Context, thing, namespace, job string, number int64) (*Execution, error) {
	if err := s.needThing(ctx, thing); err != nil {
		return nil, err
	}
	if err := checkNamespace(namespace); err != nil {
		return nil, err
	}
	if job == Next {
		list, err := s.pending(ctx, thing, namespace, 1)
		if err != nil || len(list) == 0 {
			return nil, err
		}
		if number != 0 && list[0].Number != number {
			return nil, absent(list[0].Job, thing)
		}
		return &list[0], nil
	}
	e, err := s.Execution(ctx, thing, job, number)
	if err != nil {
		return nil, err
	}
	if namespace != "" && e.Namespace != namespace {
		return nil, absent(job, thing)
	}
	if e.Status.Terminal() {
		return nil, &StateError{ErrTerminal, "it is over", e}
	}
	return &e, nil
}

// An Update is what a device says about its execution.
type Update struct {
	Status          ExecutionStatus   // IN_PROGRESS, SUCCEEDED, FAILED or REJECTED
	Details         map[string]string // nil leaves them
	ExpectedVersion int64             // 0 is any
	Number          int64             // of the attempt; 0 is the present one
	StepMinutes     int64             // as in Start
	Namespace       string            // that the job must be in; empty is any
}

// Update changes an execution as its device says, and returns it as it is then:
// a failed one as it failed, even if it is queued again. When it returns without an
// error the change is as durable as the store makes it. Errors are ErrInvalid,
// ErrNotFound, ErrTransition and ErrVersion with a *StateError, ErrThrottled.
func (s *Service) Update(ctx context.Context, thing, job string, u Update) (Execution, error) {
	if err := errors.Join(CheckDetails(u.Details), checkStep(u.StepMinutes), checkStatus(u.Status)); err != nil {
		return Execution{}, err
	}
	if u.ExpectedVersion < 0 || u.Number < 0 {
		return Execution{}, invalid("expectedVersion", "or executionNumber is negative")
	}
	if err := errors.Join(CheckThing(thing), checkID("jobId", job)); err != nil {
		return Execution{}, err
	}
	var e Execution
	err := s.change(ctx, thing, s.opts.MaxInFlight, func(t *tx) error {
		old, err := t.execution(job, thing)
		if err != nil {
			return err
		}
		if old == nil || u.Number != 0 && u.Number != old.Number || u.Namespace != "" && u.Namespace != old.Namespace {
			return absent(job, thing)
		}
		if u.ExpectedVersion != 0 && u.ExpectedVersion != old.Version {
			return &StateError{ErrVersion, fmt.Sprintf("version %d is expected", u.ExpectedVersion), *old}
		}
		if !old.Status.deviceMay(u.Status) {
			return &StateError{ErrTransition, "it cannot become " + string(u.Status), *old}
		}
		j, err := t.job(job)
		if err != nil {
			return err
		}
		e = old.advanced(advance{u.Status, u.Details, u.StepMinutes}, j.Timeout, s.opts.Now())
		if !e.Status.Terminal() {
			return t.replace(old, &e)
		}
		return t.finish(&j, old, e)
	})
	if err != nil {
		return Execution{}, err
	}
	return e, nil
}

func checkStatus(status ExecutionStatus) error {
	if status == "" {
		return invalid("status", "is missing")
	}
	var all []string
	for _, s := range statuses {
		all = append(all, string(s))
	}
	return oneOf("status", string(status), all...)
}

// finish makes an execution end, and begins the next attempt if the job grants one.
func (t *tx) finish(j *Job, old *Execution, ended Execution) error {
	if err := t.replace(old, &ended); err != nil {
		return err
	}
	if err := t.executionEvent(&ended, false); err != nil {
		return err
	}
	if j.Status == JobInProgress && !j.Progress.Ended {
		if next, ok := ended.retry(j.Retry, t.s.opts.Now()); ok {
			next.Order = t.s.nextOrder()
			t.retries++
			return t.replace(&ended, &next)
		}
	}
	t.ended = append(t.ended, j.ID)
	return nil
}
