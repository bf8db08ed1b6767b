package jobs

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/thingloom/thingloom/registry"
)

// fleetChanged hears of every change of the registry while Run works.
func (s *Service) fleetChanged(_ context.Context, e registry.Event) {
	if e.Kind == registry.MembershipEvents || e.Kind == registry.ThingEvents && e.Operation == "DELETED" {
		s.agenda.dirty(e.Name)
	}
}

// resume puts all jobs with work on the agenda. What changed in groups while no
// Run was there to hear of it is found out: the targets of continuous jobs are
// resolved again, and executions of things that left are removed.
func (s *Service) resume(ctx context.Context) error {
	now := s.opts.Now()
	for id, err := range s.keys(ctx, keyActive, "") {
		if err != nil {
			return err
		}
		s.agenda.at(id, now)
	}
	for id, err := range s.keys(ctx, keyJoinable, "") {
		if err != nil {
			return err
		}
		_, err = s.update(ctx, func(t *tx) error {
			j, err := t.job(id)
			if err != nil || !j.joinable() {
				return err
			}
			j.Progress.Expanded, j.Progress.After, j.Progress.RolledOut = 0, "", false
			return t.putJob(&j)
		})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		for _, status := range []ExecutionStatus{Queued, InProgress} {
			for thing, err := range s.keys(ctx, keyStatus+id+"/"+string(status)+"/", "") {
				if err != nil {
					return err
				}
				if err := s.reconcile(ctx, thing); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// reconcileDirty looks at the things whose membership may have changed. False
// says that something is left for another try.
func (s *Service) reconcileDirty(ctx context.Context) (done bool) {
	things, lost := s.agenda.takeDirty()
	if lost {
		if err := s.resume(ctx); err != nil {
			if ctx.Err() == nil {
				s.fault("continuous jobs not looked at", "", err)
			}
			s.agenda.putBack(things, true)
			return false
		}
	}
	for thing := range things {
		if err := s.reconcile(ctx, thing); err != nil {
			if ctx.Err() == nil {
				s.fault("membership not followed, tried again", "", err)
			}
			s.agenda.putBack(things, false)
			return false
		}
		delete(things, thing)
	}
	return true
}

// reconcile makes the executions of a thing agree with the groups it is in.
func (s *Service) reconcile(ctx context.Context, thing string) error {
	t, err := s.reg.Thing(ctx, thing)
	if errors.Is(err, registry.ErrNotFound) {
		return s.removeAll(ctx, thing)
	}
	if err != nil {
		return err
	}
	groups, err := s.groupsOf(ctx, t)
	if err != nil {
		return err
	}
	for id, err := range s.keys(ctx, keyJoinable, "") {
		if err != nil {
			return err
		}
		j, err := s.Job(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		isTarget := func(arn string) bool {
			to, err := s.target(arn)
			return err == nil && (to.thing == thing || to.group != "" && groups[to.group])
		}
		if slices.ContainsFunc(j.Targets, isTarget) {
			err = s.join(ctx, &j, thing)
		} else {
			err = s.remove(ctx, id, thing)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// join gives a job to a thing that has become a target of it: at once, as the
// rate is for those that were there before, but not outside of the maintenance
// windows. One that waits for its turn already goes on waiting.
func (s *Service) join(ctx context.Context, j *Job, thing string) error {
	waiting := keyWaiting + j.ID + "/" + thing
	if found, err := s.load(ctx, waiting, nil); err != nil || found {
		return err
	}
	if open, _ := j.Schedule.open(s.opts.Now()); open {
		return s.admit(ctx, j.ID, thing)
	}
	var e Execution
	if found, err := s.load(ctx, executionKey(j.ID, thing), &e); err != nil || found && e.Status != Removed {
		return err
	}
	_, err := s.update(ctx, func(t *tx) error {
		now, err := t.job(j.ID)
		if errors.Is(err, ErrNotFound) || err == nil && !now.joinable() {
			return nil
		}
		if err != nil {
			return err
		}
		t.mark(waiting)
		now.Progress.RolledOut = false
		return t.putJob(&now)
	})
	if err == nil {
		s.agenda.at(j.ID, s.opts.Now())
	}
	return err
}

// groupsOf returns the groups of a thing, those above them too.
func (s *Service) groupsOf(ctx context.Context, t registry.Thing) (map[string]bool, error) {
	all := map[string]bool{}
	for _, name := range t.Groups {
		g, err := s.reg.Group(ctx, name)
		if errors.Is(err, registry.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all[name] = true
		for _, above := range g.Path {
			all[above] = true
		}
	}
	return all, nil
}

// removeAll ends what a thing that is deleted had to do.
func (s *Service) removeAll(ctx context.Context, thing string) error {
	jobs := map[string]bool{}
	for _, lanes := range []string{thing + "/", thing + "@"} {
		for key, err := range s.keys(ctx, keyPending+lanes, "") {
			if err != nil {
				return err
			}
			jobs[last(key)] = true
		}
	}
	for id := range maps.Keys(jobs) {
		if err := s.remove(ctx, id, thing); err != nil {
			return err
		}
	}
	return nil
}

// remove ends the execution of a thing that is no target any more.
func (s *Service) remove(ctx context.Context, job, thing string) error {
	waiting := keyWaiting + job + "/" + thing
	e, err := s.store.Get(ctx, executionKey(job, thing))
	w, werr := s.store.Get(ctx, waiting)
	if e.Version == 0 && w.Version == 0 { // as a rule; one look costs less than a change
		return errors.Join(ignoreAbsent(err), ignoreAbsent(werr))
	}
	return s.change(ctx, thing, unlimited, func(t *tx) error {
		if found, err := t.get(waiting, nil); err != nil {
			return err
		} else if found {
			t.delete(waiting)
		}
		old, err := t.execution(job, thing)
		if err != nil || old == nil || old.Status.Terminal() {
			return err
		}
		j, err := t.job(job)
		if err != nil {
			return err
		}
		return t.finish(&j, old, old.move(Removed, s.opts.Now()))
	})
}

func ignoreAbsent(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return err
}
