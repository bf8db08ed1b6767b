package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Execution returns the execution of a job on a thing; number is that of the
// attempt, 0 the present one.
func (s *Service) Execution(ctx context.Context, thing, job string, number int64) (Execution, error) {
	if err := errors.Join(CheckThing(thing), checkID("jobId", job)); err != nil {
		return Execution{}, err
	}
	var e Execution
	found, err := s.load(ctx, executionKey(job, thing), &e)
	if err != nil {
		return Execution{}, err
	}
	if found && (number == 0 || number == e.Number) {
		return e, nil
	}
	if number > 0 {
		e = Execution{Job: job, Thing: thing, Number: number}
		if found, err = s.load(ctx, earlierKey(&e), &e); err != nil || found {
			return e, err
		}
	}
	return Execution{}, absent(job, thing)
}

// ExecutionsOfJob yields the present executions of a job in the order of the
// things' names, those beyond the thing after; with a status only those in it.
func (s *Service) ExecutionsOfJob(ctx context.Context, job string, status ExecutionStatus, after string) iter.Seq2[Execution, error] {
	return func(yield func(Execution, error) bool) {
		_, err := s.Job(ctx, job)
		if status != "" {
			err = errors.Join(err, checkStatus(status))
		}
		if err != nil {
			yield(Execution{}, err)
			return
		}
		if status == "" {
			values[Execution](ctx, s, keyExecution+job+"/", after)(yield)
			return
		}
		for thing, err := range s.keys(ctx, keyStatus+job+"/"+string(status)+"/", after) {
			if !s.yieldExecution(ctx, job, thing, status, err, yield) {
				return
			}
		}
	}
}

// An ExecutionQuery selects executions of a thing; zero fields select all.
type ExecutionQuery struct {
	Status ExecutionStatus
	Job    string
	After  string // jobs with a greater ID
	// Namespace is that of the jobs.
	Namespace string
}

// ExecutionsOfThing yields the present executions of a thing in the order of
// the jobs' IDs.
func (s *Service) ExecutionsOfThing(ctx context.Context, thing string, q ExecutionQuery) iter.Seq2[Execution, error] {
	return func(yield func(Execution, error) bool) {
		err := s.needThing(ctx, thing)
		if q.Status != "" {
			err = errors.Join(err, checkStatus(q.Status))
		}
		if err != nil {
			yield(Execution{}, err)
			return
		}
		for job, err := range s.keys(ctx, keyByIt+thing+"/", q.After) {
			if err == nil && q.Job != "" && job != q.Job {
				continue
			}
			if !s.yieldExecution(ctx, job, thing, q.Status, err, func(e Execution, err error) bool {
				return err == nil && q.Namespace != "" && e.Namespace != q.Namespace || yield(e, err)
			}) {
				return
			}
		}
	}
}

// yieldExecution yields what an index leads to, if it is still so.
func (s *Service) yieldExecution(ctx context.Context, job, thing string, status ExecutionStatus, err error, yield func(Execution, error) bool) bool {
	var e Execution
	found := false
	if err == nil {
		found, err = s.load(ctx, executionKey(job, thing), &e)
	}
	if err != nil {
		yield(Execution{}, err)
		return false
	}
	if !found || status != "" && e.Status != status {
		return true
	}
	return yield(e, nil)
}

// An ExecutionCancellation says how an execution is canceled.
type ExecutionCancellation struct {
	Force           bool              // also one that is IN_PROGRESS
	ExpectedVersion int64             // 0 is any
	Details         map[string]string // nil leaves them
}

// CancelExecution cancels an execution that is QUEUED, or with Force one that
// is IN_PROGRESS. Errors are ErrTransition and ErrVersion with a *StateError.
func (s *Service) CancelExecution(ctx context.Context, thing, job string, c ExecutionCancellation) error {
	if err := errors.Join(CheckThing(thing), checkID("jobId", job), CheckDetails(c.Details)); err != nil {
		return err
	}
	return s.change(ctx, thing, s.opts.MaxInFlight, func(t *tx) error {
		old, err := t.execution(job, thing)
		if err != nil {
			return err
		}
		if old == nil {
			return absent(job, thing)
		}
		if c.ExpectedVersion != 0 && c.ExpectedVersion != old.Version {
			return &StateError{ErrVersion, fmt.Sprintf("version %d is expected", c.ExpectedVersion), *old}
		}
		if old.Status.Terminal() || old.Status == InProgress && !c.Force {
			return &StateError{ErrTransition, "it cannot be canceled", *old}
		}
		j, err := t.job(job)
		if err != nil {
			return err
		}
		e := old.move(Canceled, s.opts.Now())
		e.ForceCanceled = c.Force
		if c.Details != nil {
			e.Details = c.Details
		}
		return t.finish(&j, old, e)
	})
}

// DeleteExecution deletes an attempt of a job on a thing. One that is not over
// is deleted by force only (else ErrTransition).
func (s *Service) DeleteExecution(ctx context.Context, thing, job string, number int64, force bool) error {
	if err := errors.Join(CheckThing(thing), checkID("jobId", job)); err != nil {
		return err
	}
	if number < 1 {
		return invalid("executionNumber", "is %d, not 1 or more", number)
	}
	return s.change(ctx, thing, s.opts.MaxInFlight, func(t *tx) error {
		old, err := t.execution(job, thing)
		if err != nil {
			return err
		}
		if old == nil || old.Number != number {
			e := Execution{Job: job, Thing: thing, Number: number}
			key := earlierKey(&e)
			found, err := t.get(key, &e)
			if err != nil {
				return err
			}
			if !found {
				return absent(job, thing)
			}
			t.delete(key)
			return t.executionEvent(&e, true)
		}
		if !old.Status.Terminal() && !force {
			return &StateError{ErrTransition, "it can be deleted by force", *old}
		}
		if err := t.replace(old, nil); err != nil {
			return err
		}
		t.ended = append(t.ended, job)
		return t.executionEvent(old, true)
	})
}
