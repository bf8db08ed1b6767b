package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thingloom/thingloom/registry"
)

const (
	expandBatch  = 500  // things found in one transaction
	releaseBatch = 1000 // things that get a job in one step
	parallel     = 16   // of them at once, so that they share an fsync
)

// expand resolves the next targets of a job to things that wait for their
// execution. It reports whether there is more.
func (s *Service) expand(ctx context.Context, j Job) (more bool, err error) {
	// Things that are named one by one come together, a group alone.
	var things []string
	done, last := 0, ""
	for _, arn := range j.Targets[j.Progress.Expanded:] {
		to, err := s.target(arn)
		if err != nil {
			return false, err
		}
		if to.group != "" && done > 0 {
			break
		}
		done++
		if to.group == "" {
			things = append(things, to.thing)
			continue
		}
		for thing, err := range s.reg.ThingsInGroup(ctx, to.group, true, j.Progress.After) {
			if errors.Is(err, registry.ErrNotFound) {
				break // deleted meanwhile: its things are in it no more
			}
			if err != nil {
				return false, err
			}
			if len(things) == expandBatch {
				done, last = 0, things[len(things)-1]
				break
			}
			things = append(things, thing)
		}
		break
	}
	var waiting []string
	for _, thing := range things {
		var e Execution
		found, err := s.load(ctx, executionKey(j.ID, thing), &e)
		if err != nil {
			return false, err
		}
		if !found || e.Status == Removed {
			waiting = append(waiting, thing)
		}
	}
	_, err = s.update(ctx, func(t *tx) error {
		now, err := t.job(j.ID)
		if err != nil {
			return err
		}
		// Somebody else may have changed it; then the next step sees what is so.
		if now.Status != JobInProgress || now.Progress.Expanded != j.Progress.Expanded || now.Progress.After != j.Progress.After {
			more = now.Status == JobInProgress
			return nil
		}
		for _, thing := range waiting {
			t.mark(keyWaiting + j.ID + "/" + thing)
		}
		now.Progress.Expanded += done
		now.Progress.After = last
		more = now.Progress.Expanded < len(now.Targets)
		return t.putJob(&now)
	})
	return more, err
}

// release gives the job to the things whose turn it is, and returns when it is
// the next one's turn, or zero when none waits.
func (s *Service) release(ctx context.Context, j Job) (again time.Time, err error) {
	now := s.opts.Now()
	var p pace
	if _, err := s.load(ctx, keyPace+j.ID, &p); err != nil {
		return again, err
	}
	c := Counts{}
	if j.Rollout != nil && j.Rollout.Exponential != nil {
		if c, err = s.Counts(ctx, j.ID); err != nil {
			return again, err
		}
	}
	n, later := int64(releaseBatch), now
	if rate := j.Rollout.rate(p.Notified, c.Succeeded); rate > 0 {
		n, later = p.allow(rate, now)
		if n > releaseBatch {
			n, later = releaseBatch, now
		}
	}
	var things []string
	more := false
	for thing, err := range s.keys(ctx, keyWaiting+j.ID+"/", "") {
		if err != nil {
			return again, err
		}
		if more = int64(len(things)) == n; more {
			break
		}
		things = append(things, thing)
	}
	if len(things) > 0 {
		// What is allowed counts as used before it is: a crash in between slows
		// the rollout down and never speeds it up.
		p.take(int64(len(things)))
		if _, err := s.update(ctx, func(t *tx) error { return t.put(keyPace+j.ID, p) }); err != nil {
			return again, err
		}
		var g errgroup.Group
		g.SetLimit(parallel)
		for _, thing := range things {
			g.Go(func() error { return s.admit(ctx, j.ID, thing) })
		}
		if err := g.Wait(); err != nil {
			return again, err
		}
	}
	if more {
		return later, nil
	}
	_, err = s.update(ctx, func(t *tx) error {
		now, err := t.job(j.ID)
		if err != nil || now.Status != JobInProgress || now.Progress.Expanded < len(now.Targets) || now.Progress.RolledOut {
			return err
		}
		now.Progress.RolledOut = true
		return t.putJob(&now)
	})
	return time.Time{}, err
}

// admit queues the job for a thing, unless it has it or the job takes none.
func (s *Service) admit(ctx context.Context, job, thing string) error {
	_, err := s.reg.Thing(ctx, thing)
	gone := errors.Is(err, registry.ErrNotFound)
	if err != nil && !gone {
		return err
	}
	return s.change(ctx, thing, unlimited, func(t *tx) error {
		t.delete(keyWaiting + job + "/" + thing)
		j, err := t.job(job)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil || gone || j.Status != JobInProgress || j.Progress.Ended {
			return err
		}
		old, err := t.execution(job, thing)
		if err != nil || old != nil && old.Status != Removed {
			return err
		}
		now := s.opts.Now()
		e := Execution{Job: job, Thing: thing, Namespace: j.Namespace, Number: 1, Version: 1, Status: Queued, Queued: now, Updated: now, Order: s.nextOrder()}
		if old != nil {
			e.Number = old.Number + 1 // it left and came back
		}
		t.released++
		return t.replace(old, &e)
	})
}

// settle ends a job that has nothing left to wait for, or that has to be
// aborted.
func (s *Service) settle(ctx context.Context, id string) error {
	var j Job
	found, err := s.load(ctx, keyJob+id, &j)
	if err != nil || !found || j.Status != JobInProgress || j.Abort == nil && (j.joinable() || !j.Progress.RolledOut) {
		return err
	}
	t, err := s.update(ctx, func(t *tx) error {
		j, err := t.job(id)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil || j.Status != JobInProgress {
			return err
		}
		c, err := t.counts(id)
		if err != nil {
			return err
		}
		now := s.opts.Now()
		if why := j.Abort.met(&c); why != nil {
			j.ReasonCode = "ABORT_CRITERIA_MET"
			j.Comment = fmt.Sprintf("%s reached %v%% of at least %d executions", why.FailureType, why.Percentage, why.MinExecuted)
			return t.cancelJob(&j, SweepQueued, c)
		}
		if j.joinable() || !j.Progress.RolledOut || c.pending() > 0 {
			return nil
		}
		j.Status, j.Completed, j.Updated = JobCompleted, now, now
		if err := t.jobEvent(&j, "completed", c); err != nil {
			return err
		}
		return t.putJob(&j)
	})
	if err != nil {
		return err
	}
	if len(t.ops) > 0 {
		s.agenda.at(id, s.opts.Now())
		s.tell(ctx, t.events)
	}
	return nil
}
