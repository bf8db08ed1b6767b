package defender

import (
	"context"
	"crypto/rand"
	"reflect"
	"slices"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// judge takes a data point into account.
func (s *Service) judge(ctx context.Context, p point, threshold float64) error {
	normal := p.behavior.Criteria.normal(p.value, threshold)
	event, err := s.count(ctx, p, normal)
	if err == nil && event != nil {
		s.tell(ctx, *event)
	}
	return err
}

func (s *Service) count(ctx context.Context, p point, normal bool) (*ViolationEvent, error) {
	s.eval.Lock()
	defer s.eval.Unlock()
	now := s.opts.Now()
	key := streakKey{p.profile, p.behavior.Name}
	var run streak
	s.watch.with(p.thing, now, func(t *watched) {
		if t.streaks == nil {
			t.streaks = map[streakKey]streak{}
		}
		if run = t.streaks[key]; normal {
			run = streak{good: run.good + 1}
		} else {
			run = streak{bad: run.bad + 1}
		}
		t.streaks[key] = run
	})
	id := streakKeyOf{p.thing, key}
	active := s.active[id]
	switch {
	case active == nil && run.bad >= max(1, p.behavior.Criteria.ToAlarm):
		v := &Violation{rand.Text(), p.thing, p.profile, p.behavior, p.value, now, now}
		s.violations.Add(1)
		return s.change(ctx, id, v, InAlarm, now)
	case active != nil && !normal:
		v := *active
		v.Value, v.Last = p.value, now
		_, err := s.change(ctx, id, &v, "", now)
		return nil, err
	case active != nil && run.good >= max(1, p.behavior.Criteria.ToClear):
		return s.change(ctx, id, nil, Cleared, now)
	}
	return nil, nil
}

// change stores a violation, nil for its end, and the event if there is one. It
// is called with eval held.
func (s *Service) change(ctx context.Context, id streakKeyOf, v *Violation, event string, now time.Time) (*ViolationEvent, error) {
	key := keyViolation + escape(id.thing) + "/" + id.profile + "/" + id.behavior
	about := v
	ops := []registry.Op{remove(key)}
	if v == nil {
		about = s.active[id]
	} else {
		op, err := put(key, v)
		if err != nil {
			return nil, err
		}
		ops[0] = op
	}
	var e *ViolationEvent
	if event != "" {
		e = &ViolationEvent{*about, event, now}
		op, err := put(keyEvent+stamp(now)+"/"+about.ID+"/"+event, e)
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	if err := s.store.Apply(ctx, ops...); err != nil {
		return nil, err
	}
	if v == nil {
		delete(s.active, id)
	} else {
		s.active[id] = v
	}
	return e, nil
}

// invalidate ends the violations of behaviors that are not what they were, or
// no longer speak of the thing.
func (s *Service) invalidate(ctx context.Context) error {
	c := s.config.Load()
	return s.end(ctx, func(v *Violation) (bool, error) {
		p := c.profiles[v.Profile]
		if p == nil || !slices.ContainsFunc(p.Behaviors, func(b Behavior) bool { return reflect.DeepEqual(b, v.Behavior) }) {
			return true, nil
		}
		profiles, err := s.profilesFor(ctx, c, v.Thing)
		return !slices.Contains(profiles, p), err
	})
}

// stale ends the violations that no data point has confirmed for long.
func (s *Service) stale(ctx context.Context) error {
	before := s.opts.Now().Add(-s.opts.Stale)
	return s.end(ctx, func(v *Violation) (bool, error) { return v.Last.Before(before), nil })
}

func (s *Service) end(ctx context.Context, over func(*Violation) (bool, error)) error {
	s.eval.Lock()
	var events []ViolationEvent
	var err error
	for id, v := range s.active {
		var ends bool
		if ends, err = over(v); err != nil {
			break
		}
		if !ends {
			continue
		}
		var e *ViolationEvent
		if e, err = s.change(ctx, id, nil, Invalidated, s.opts.Now()); err != nil {
			break
		}
		s.watch.look(id.thing, func(t *watched) { delete(t.streaks, id.streakKey) })
		events = append(events, *e)
	}
	s.eval.Unlock()
	for _, e := range events {
		s.tell(ctx, e)
	}
	return err
}
