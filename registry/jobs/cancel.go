package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

var noTime time.Time

// A Cancellation says how a job is canceled.
type Cancellation struct {
	Force      bool // executions IN_PROGRESS too
	ReasonCode string
	Comment    string
}

// CancelJob cancels a job and its executions that are QUEUED, and with Force
// those IN_PROGRESS. A job that is completed cannot be canceled (ErrInvalid); to
// cancel one again with Force cancels what still runs.
func (s *Service) CancelJob(ctx context.Context, id string, c Cancellation) (Job, error) {
	if err := errors.Join(checkID("jobId", id), checkReason(c.ReasonCode), checkText("comment", c.Comment, 2028)); err != nil {
		return Job{}, err
	}
	t, err := s.update(ctx, func(t *tx) error {
		j, err := t.job(id)
		if err != nil {
			return err
		}
		if j.Status == JobCompleted || j.Status == JobDeleting {
			return invalid("jobId", "names a job that is %s", j.Status)
		}
		counts, err := t.counts(id)
		if err != nil {
			return err
		}
		j.ReasonCode, j.Comment = c.ReasonCode, c.Comment
		sweep := SweepQueued
		if c.Force || j.ForceCanceled {
			sweep, j.ForceCanceled = SweepAll, true
		}
		return t.cancelJob(&j, sweep, counts)
	})
	if err != nil {
		return Job{}, err
	}
	s.tell(ctx, t.events)
	s.proceed(ctx, id)
	return s.Job(ctx, id)
}

// cancelJob puts a job into its canceled status; its executions follow.
func (t *tx) cancelJob(j *Job, sweep Sweep, c Counts) error {
	now := t.s.opts.Now()
	if j.Status != JobCanceled {
		j.Completed = now
	}
	j.Status, j.Updated, j.Progress.Sweep = JobCanceled, now, sweep
	if err := t.jobEvent(j, "cancellation_in_progress", c); err != nil {
		return err
	}
	return t.putJob(j)
}

// DeleteJob deletes a job with its executions. Without force the job has to be
// completed or canceled (else ErrTransition).
func (s *Service) DeleteJob(ctx context.Context, id string, force bool) error {
	if err := checkID("jobId", id); err != nil {
		return err
	}
	t, err := s.update(ctx, func(t *tx) error {
		j, err := t.job(id)
		if err != nil || j.Status == JobDeleting {
			return err
		}
		if !force && j.Status != JobCompleted && j.Status != JobCanceled {
			return fmt.Errorf("%w: job %q is %s; it can be deleted by force", ErrTransition, id, j.Status)
		}
		c, err := t.counts(id)
		if err != nil {
			return err
		}
		j.Status, j.Updated, j.Progress.Sweep = JobDeleting, s.opts.Now(), SweepDelete
		if err := t.jobEvent(&j, "deletion_in_progress", c); err != nil {
			return err
		}
		return t.putJob(&j)
	})
	if err != nil {
		return err
	}
	s.tell(ctx, t.events)
	s.proceed(ctx, id)
	return nil
}

// sweepBatch is how many executions one step of a sweep changes.
const sweepBatch = 1000

// sweep does the next part of what is to be done to all executions of a job. It
// reports whether there is more.
func (s *Service) sweep(ctx context.Context, j Job) (more bool, err error) {
	prefixes := []string{keyStatus + j.ID + "/" + string(Queued) + "/"}
	act := func(thing string) error { return s.cancelSwept(ctx, j.ID, thing, j.ForceCanceled) }
	switch j.Progress.Sweep {
	case SweepAll:
		prefixes = append(prefixes, keyStatus+j.ID+"/"+string(InProgress)+"/")
	case SweepDelete:
		prefixes = []string{keyExecution + j.ID + "/"}
		act = func(thing string) error { return s.drop(ctx, j.ID, thing) }
	}
	var things []string
	for _, prefix := range prefixes {
		for thing, err := range s.keys(ctx, prefix, "") {
			if err != nil {
				return false, err
			}
			if more = len(things) == sweepBatch; more {
				break
			}
			things = append(things, thing)
		}
	}
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, thing := range things {
		g.Go(func() error { return act(thing) })
	}
	if err := g.Wait(); err != nil || more {
		return more, err
	}
	for _, prefix := range s.leftovers(j) {
		if more, err := s.clear(ctx, prefix); err != nil || more {
			return more, err
		}
	}
	return false, s.swept(ctx, j.ID)
}

// leftovers are the prefixes of what else goes with a sweep.
func (s *Service) leftovers(j Job) []string {
	waiting := keyWaiting + j.ID + "/"
	if j.Progress.Sweep == SweepDelete {
		return []string{waiting, keyEarlier + j.ID + "/"}
	}
	return []string{waiting}
}

// clear deletes a thousand keys with the prefix, and reports whether there may be more.
func (s *Service) clear(ctx context.Context, prefix string) (more bool, err error) {
	_, err = s.update(ctx, func(t *tx) error {
		n := 0
		for key, err := range s.keys(ctx, prefix, "") {
			if err != nil {
				return err
			}
			if more = n == sweepBatch; more {
				return nil
			}
			t.delete(prefix + key)
			n++
		}
		return nil
	})
	return more, err
}

// swept notes that a sweep is over, and tells of it.
func (s *Service) swept(ctx context.Context, id string) error {
	t, err := s.update(ctx, func(t *tx) error {
		j, err := t.job(id)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		c, err := t.counts(id)
		if err != nil {
			return err
		}
		if j.Progress.Sweep != SweepDelete {
			j.Progress.Sweep = ""
			if err := t.jobEvent(&j, "canceled", c); err != nil {
				return err
			}
			return t.putJob(&j)
		}
		for shard := range shards {
			t.delete(fmt.Sprint(keyCounts, id, "/", shard))
		}
		for _, prefix := range []string{keyJob, keyActive, keyJoinable, keyPace} {
			t.delete(prefix + id)
		}
		return t.jobEvent(&j, "deleted", c)
	})
	if err == nil {
		s.tell(ctx, t.events)
	}
	return err
}

// cancelSwept cancels the execution of a canceled job.
func (s *Service) cancelSwept(ctx context.Context, job, thing string, force bool) error {
	return s.change(ctx, thing, unlimited, func(t *tx) error {
		old, err := t.execution(job, thing)
		if err != nil || old == nil || old.Status.Terminal() || old.Status == InProgress && !force {
			return err
		}
		e := old.move(Canceled, s.opts.Now())
		e.ForceCanceled = force
		if err := t.replace(old, &e); err != nil {
			return err
		}
		return t.executionEvent(&e, false)
	})
}

// drop deletes the execution of a job that is being deleted.
func (s *Service) drop(ctx context.Context, job, thing string) error {
	return s.change(ctx, thing, unlimited, func(t *tx) error {
		old, err := t.execution(job, thing)
		if err != nil || old == nil {
			return err
		}
		if err := t.replace(old, nil); err != nil {
			return err
		}
		return t.executionEvent(old, true)
	})
}
