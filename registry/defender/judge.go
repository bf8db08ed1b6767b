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
	event, changed, err := s.count(ctx, p, normal)
	if err != nil {
		return err
	}
	if changed {
		s.opts.Changed(ctx, p.thing)
	}
	if event != nil {
		s.tell(ctx, *event)
	}
	return nil
}

// count takes one data point more of a behavior, and tells whether the active
// violations are others now.
func (s *Service) count(ctx context.Context, p point, normal bool) (event *ViolationEvent, changed bool, err error) {
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
	active := s.active[p.thing][key]
	switch {
	case active == nil && run.bad >= max(1, p.behavior.Criteria.ToAlarm) && s.config.Load().has(p.profile, p.behavior):
		v := &Violation{rand.Text(), p.thing, p.profile, p.behavior, p.value, now, now}
		s.violations.Add(1)
		event, err = s.change(ctx, p.thing, key, v, InAlarm, now)
	case active != nil && !normal:
		v := *active
		v.Value, v.Last = p.value, now
		_, err = s.change(ctx, p.thing, key, &v, "", now)
	case active != nil && run.good >= max(1, p.behavior.Criteria.ToClear):
		event, err = s.change(ctx, p.thing, key, nil, Cleared, now)
	default:
		return nil, false, nil
	}
	return event, err == nil, err
}

// setActive notes a violation, or its end. It is called with eval held.
func (s *Service) setActive(thing string, key streakKey, v *Violation) {
	mine := s.active[thing]
	switch {
	case v == nil:
		if delete(mine, key); len(mine) == 0 {
			delete(s.active, thing)
		}
	case mine == nil:
		s.active[thing] = map[streakKey]*Violation{key: v}
	default:
		mine[key] = v
	}
}

// change stores a violation, nil for its end, and the event if there is one. It
// is called with eval held.
func (s *Service) change(ctx context.Context, thing string, key streakKey, v *Violation, event string, now time.Time) (*ViolationEvent, error) {
	stored := keyViolation + escape(thing) + "/" + key.profile + "/" + key.behavior
	about := v
	ops := []registry.Op{remove(stored)}
	if v == nil {
		about = s.active[thing][key]
	} else {
		op, err := put(stored, v)
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
	s.setActive(thing, key, v)
	return e, nil
}

// invalidate ends the violations of behaviors that are not what they were, or
// no longer speak of the thing.
func (s *Service) invalidate(ctx context.Context) error {
	c := s.config.Load()
	return s.end(ctx, func(v *Violation) (bool, error) {
		if !c.has(v.Profile, v.Behavior) {
			return true, nil
		}
		profiles, err := s.profilesFor(ctx, c, v.Thing)
		return !slices.Contains(profiles, c.profiles[v.Profile]), err
	})
}

// has reports whether a profile has a behavior just like that. What judges with
// an older configuration begins no violation that invalidate would not see.
func (c *config) has(profile string, behavior Behavior) bool {
	p := c.profiles[profile]
	return p != nil && slices.ContainsFunc(p.Behaviors, func(b Behavior) bool { return reflect.DeepEqual(b, behavior) })
}

// stale ends the violations that no data point has confirmed for long.
func (s *Service) stale(ctx context.Context) error {
	before := s.opts.Now().Add(-s.opts.Stale)
	return s.end(ctx, func(v *Violation) (bool, error) { return v.Last.Before(before), nil })
}

func (s *Service) end(ctx context.Context, over func(*Violation) (bool, error)) error {
	events, err := s.endActive(ctx, over)
	for i, e := range events {
		if i == 0 || events[i-1].Thing != e.Thing {
			s.opts.Changed(ctx, e.Thing)
		}
		s.tell(ctx, e)
	}
	return err
}

// endActive ends the violations that are over, and returns the events, those of
// one thing after one another.
func (s *Service) endActive(ctx context.Context, over func(*Violation) (bool, error)) (events []ViolationEvent, err error) {
	s.eval.Lock()
	defer s.eval.Unlock()
	for thing, mine := range s.active {
		for key, v := range mine {
			ends, err := over(v)
			if err != nil {
				return events, err
			}
			if !ends {
				continue
			}
			e, err := s.change(ctx, thing, key, nil, Invalidated, s.opts.Now())
			if err != nil {
				return events, err
			}
			s.watch.look(thing, func(t *watched) { delete(t.streaks, key) })
			events = append(events, *e)
		}
	}
	return events, nil
}
