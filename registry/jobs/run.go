package jobs

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// retryAfter is when a step that failed is tried again.
const retryAfter = time.Second

// Run rolls jobs out, times executions out, and gives continuous jobs to things
// that join, until ctx is done. One Run works for a Service; without it jobs go
// no further than CreateJob takes them. It returns an error only if it cannot
// begin.
func (s *Service) Run(ctx context.Context) error {
	cancel := s.reg.Observe(s.fleetChanged)
	defer cancel()
	if err := s.resume(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	for ctx.Err() == nil {
		now := s.opts.Now()
		for _, id := range s.agenda.due(now) {
			s.proceed(ctx, id)
		}
		done := s.reconcileDirty(ctx)
		s.agenda.scanning()
		next, err := s.expire(ctx)
		if err != nil && ctx.Err() == nil {
			s.fault("timeouts not looked at", "", err)
		}
		if err != nil || !done {
			next = earliest(next, s.opts.Now().Add(retryAfter))
		}
		s.agenda.wait(ctx, s.opts.Now, next)
	}
	return nil
}

// proceed does the next piece of work for a job, and notes when to go on.
func (s *Service) proceed(ctx context.Context, id string) {
	again, err := s.step(ctx, id)
	if err != nil {
		if ctx.Err() == nil {
			s.fault("job not rolled out, tried again", id, err)
		}
		again = s.opts.Now().Add(retryAfter)
	}
	s.agenda.at(id, again)
}

// step does a bounded piece of the work for a job. It returns when there is
// more, or zero.
func (s *Service) step(ctx context.Context, id string) (again time.Time, err error) {
	unlock, _ := s.steps.lock(id, unlimited)
	defer unlock()
	j, err := s.Job(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return again, nil
	}
	if err != nil {
		return again, err
	}
	now := s.opts.Now()
	if j.Progress.Sweep != "" {
		more, err := s.sweep(ctx, j)
		if more {
			again = now
		}
		return again, err
	}
	end := j.Schedule.end()
	if !end.IsZero() && !now.Before(end) && !j.Progress.Ended && (j.Status == JobInProgress || j.Status == JobScheduled) {
		return now, s.end(ctx, id)
	}
	if start := j.Schedule.start(); j.Status == JobScheduled {
		if now.Before(start) {
			return start, nil
		}
		if err := s.begin(ctx, id); err != nil {
			return again, err
		}
		j.Status = JobInProgress
	}
	if j.Status != JobInProgress {
		return again, nil
	}
	if j.Progress.Expanded < len(j.Targets) {
		for range releaseBatch / expandBatch {
			more, err := s.expand(ctx, j)
			if err != nil {
				return again, err
			}
			if j, err = s.Job(ctx, id); err != nil {
				return again, err
			}
			if !more {
				break
			}
		}
		if j.Progress.Expanded < len(j.Targets) {
			return now, nil
		}
	}
	if !j.Progress.RolledOut {
		if open, next := j.Schedule.open(now); !open {
			again = next
		} else if again, err = s.release(ctx, j); err != nil {
			return again, err
		}
	}
	if err := s.settle(ctx, id); err != nil {
		return again, err
	}
	if j.Progress.Ended {
		return again, nil
	}
	return earliest(again, end), nil
}

// begin starts a scheduled job.
func (s *Service) begin(ctx context.Context, id string) error {
	_, err := s.update(ctx, func(t *tx) error {
		j, err := t.job(id)
		if err != nil || j.Status != JobScheduled {
			return err
		}
		j.Status, j.Updated = JobInProgress, s.opts.Now()
		return t.putJob(&j)
	})
	return err
}

// end does what a schedule wants at its end.
func (s *Service) end(ctx context.Context, id string) error {
	t, err := s.update(ctx, func(t *tx) error {
		j, err := t.job(id)
		if err != nil || j.Progress.Ended {
			return err
		}
		j.Progress.Ended = true
		if j.Schedule.EndBehavior != "STOP_ROLLOUT" {
			c, err := t.counts(id)
			if err != nil {
				return err
			}
			j.ReasonCode, j.Comment = "SCHEDULE_ENDED", "the job reached its endTime"
			sweep := SweepQueued
			if j.Schedule.EndBehavior == "FORCE_CANCEL" {
				sweep, j.ForceCanceled = SweepAll, true
			}
			return t.cancelJob(&j, sweep, c)
		}
		j.Status, j.Updated = JobInProgress, s.opts.Now() // for one that never began
		j.Progress.Expanded, j.Progress.RolledOut = len(j.Targets), true
		return t.putJob(&j)
	})
	if err != nil {
		return err
	}
	s.tell(ctx, t.events)
	for more := true; more && err == nil; {
		more, err = s.clear(ctx, keyWaiting+id+"/")
	}
	return errors.Join(err, s.settle(ctx, id))
}

// earliest returns the earlier of two times of which zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// expire times out what is due, and returns the next deadline.
func (s *Service) expire(ctx context.Context) (next time.Time, err error) {
	now := s.opts.Now()
	var g errgroup.Group
	g.SetLimit(parallel)
	for key, err := range s.keys(ctx, keyDeadline, "") {
		if err != nil {
			return next, errors.Join(err, g.Wait())
		}
		at, rest, _ := strings.Cut(key, "/")
		job, thing, _ := strings.Cut(rest, "/")
		nanos, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return next, errors.Join(err, g.Wait())
		}
		if next = time.Unix(0, nanos); next.After(now) {
			return next, g.Wait()
		}
		g.Go(func() error { return s.timeOut(ctx, job, thing) })
	}
	return time.Time{}, g.Wait()
}

func (s *Service) timeOut(ctx context.Context, job, thing string) error {
	return s.change(ctx, thing, unlimited, func(t *tx) error {
		old, err := t.execution(job, thing)
		if err != nil || old == nil {
			return err
		}
		now := s.opts.Now()
		if at := old.Deadline(); at.IsZero() || at.After(now) {
			return nil // the device was faster
		}
		j, err := t.job(job)
		if err != nil {
			return err
		}
		if err := t.finish(&j, old, old.move(TimedOut, now)); err != nil {
			return err
		}
		s.stats.timedOut.Add(1)
		return nil
	})
}

// An agenda is what Run has to do when.
type agenda struct {
	mu     sync.Mutex
	jobs   map[string]time.Time
	things map[string]bool // whose membership may have changed
	lost   bool            // there were too many: all have to be looked at
	first  time.Time       // the first deadline, if it is known
	known  bool
	wake   chan struct{}
}

// maxDirty bounds the things that are remembered one by one.
const maxDirty = 1 << 16

func (a *agenda) init() {
	a.jobs, a.things, a.wake = map[string]time.Time{}, map[string]bool{}, make(chan struct{}, 1)
}

func (a *agenda) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// at notes when there is work for a job; zero is never.
func (a *agenda) at(job string, when time.Time) {
	a.mu.Lock()
	if when.IsZero() {
		delete(a.jobs, job)
	} else {
		a.jobs[job] = when
	}
	a.mu.Unlock()
	a.poke()
}

func (a *agenda) due(now time.Time) (jobs []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, at := range a.jobs {
		if !at.After(now) {
			jobs = append(jobs, id)
			delete(a.jobs, id)
		}
	}
	return jobs
}

func (a *agenda) dirty(thing string) {
	a.mu.Lock()
	if len(a.things) < maxDirty {
		a.things[thing] = true
	} else {
		a.lost = true
	}
	a.mu.Unlock()
	a.poke()
}

func (a *agenda) takeDirty() (things map[string]bool, lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	things, lost = a.things, a.lost
	a.things, a.lost = map[string]bool{}, false
	return things, lost
}

// putBack notes what could not be looked at, for another try.
func (a *agenda) putBack(things map[string]bool, lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost = a.lost || lost
	for thing := range things {
		a.things[thing] = true
	}
}

// deadline notes that an execution may time out at a time.
func (a *agenda) deadline(at time.Time) {
	a.mu.Lock()
	news := !a.known || a.first.IsZero() || at.Before(a.first)
	a.mu.Unlock()
	if news {
		a.poke()
	}
}

// scanning says that the first deadline is being looked for.
func (a *agenda) scanning() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known = false
}

// wait returns when there may be something to do.
func (a *agenda) wait(ctx context.Context, now func() time.Time, deadline time.Time) {
	a.mu.Lock()
	a.first, a.known = deadline, true
	next := deadline
	for _, at := range a.jobs {
		next = earliest(next, at)
	}
	a.mu.Unlock()
	var timer <-chan time.Time
	if !next.IsZero() {
		// Behind it, for clocks that are read with less precision than timers have.
		t := time.NewTimer(max(0, next.Sub(now())))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
	case <-timer:
	case <-a.wake:
	}
}
