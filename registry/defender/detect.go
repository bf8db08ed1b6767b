package defender

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// A point is one value of a thing that a behavior speaks of.
type point struct {
	thing    string
	profile  string
	behavior Behavior
	value    Value
}

// targetsOf returns the ARNs that mean a thing.
func (s *Service) targetsOf(ctx context.Context, thing string) (map[string]bool, error) {
	all := map[string]bool{s.reg.ARN(allThings): true}
	t, err := s.reg.Thing(ctx, thing)
	if errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrInvalid) {
		all[s.reg.ARN(unregisteredThings)] = true
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	all[s.reg.ARN(registeredThings)] = true
	for _, name := range t.Groups {
		g, err := s.reg.Group(ctx, name)
		if errors.Is(err, registry.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, above := range append(slices.Clone(g.Path), name) {
			all[s.reg.ARN("thinggroup/"+above)] = true
		}
	}
	return all, nil
}

// profilesFor returns the profiles that speak of a thing.
func (s *Service) profilesFor(ctx context.Context, c *config, thing string) (out []*Profile, err error) {
	if len(c.profiles) == 0 {
		return nil, nil
	}
	means, err := s.targetsOf(ctx, thing)
	if err != nil {
		return nil, err
	}
	for name, targets := range c.targets {
		for arn := range targets {
			if means[arn] {
				out = append(out, c.profiles[name])
				break
			}
		}
	}
	return out, nil
}

// window is the duration of a behavior in slots.
func (b *Behavior) window() int64 {
	return max(1, int64(time.Duration(b.Criteria.Seconds)*time.Second/slotLength))
}

// Run judges what was observed every five minutes, purges what is old and
// makes the scheduled audits, until ctx is done.
func (s *Service) Run(ctx context.Context) error {
	for {
		now := s.opts.Now()
		next := time.Unix(0, (slotOf(now)+1)*int64(slotLength))
		timer := time.NewTimer(max(0, next.Sub(now)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		work := map[string]func(context.Context) error{"observations not judged": s.Evaluate, "scheduled audit failed": s.runScheduled}
		if slotOf(next)%slots == 0 { // each hour
			work["old entries not purged"] = s.purge
		}
		for what, do := range work {
			if err := do(ctx); err != nil && ctx.Err() == nil {
				s.fault(what, err)
			}
		}
	}
}

// Evaluate judges the slot of five minutes that ended last: behaviors on cloud
// metrics whose duration ends with it, for the things seen within a day. Run
// calls it; who does without Run calls it in each slot. A slot is judged once.
func (s *Service) Evaluate(ctx context.Context) error {
	now := s.opts.Now()
	last := slotOf(now) - 1
	if s.judged.Swap(last) == last {
		return nil // a timer may fire a little early
	}
	c := s.config.Load()
	var points []point
	kept := keeper{s: s, now: now}
	values := map[streakKey][]float64{}
	for _, thing := range s.watch.names(now) {
		profiles, err := s.profilesFor(ctx, c, thing)
		if err != nil {
			return err
		}
		for _, p := range profiles {
			for _, b := range p.Behaviors {
				m := metrics[b.Metric]
				if m.cloud && (last+1)%b.window() != 0 || !m.cloud && b.Criteria.Statistic == nil {
					continue
				}
				v, ok := s.valueOf(thing, &b, last, now)
				if !ok {
					continue
				}
				if b.Criteria.Statistic != nil {
					n, _ := v.number()
					key := streakKey{p.Name, b.Name}
					values[key] = append(values[key], n)
				}
				if m.cloud {
					points = append(points, point{thing, p.Name, b, v})
				}
			}
			if err := kept.retain(ctx, p, thing, last); err != nil {
				return err
			}
		}
	}
	if err := kept.flush(ctx); err != nil {
		return err
	}
	thresholds := map[streakKey]float64{}
	for key, all := range values {
		slices.Sort(all)
		for _, b := range c.profiles[key.profile].Behaviors {
			if b.Name == key.behavior {
				thresholds[key] = percentile(b.Criteria.Statistic.Name, all)
			}
		}
	}
	s.thresholds.Store(&thresholds)
	for _, p := range points {
		if err := s.judge(ctx, p, thresholds[streakKey{p.profile, p.behavior.Name}]); err != nil {
			return err
		}
	}
	return s.stale(ctx)
}

// valueOf returns the value of a behavior's metric at the end of a slot. Device
// metrics are those of the latest report.
func (s *Service) valueOf(thing string, b *Behavior, last int64, now time.Time) (v Value, ok bool) {
	key := series{metric: b.Metric}
	if b.Dimension != nil {
		key.dimension = *b.Dimension
	}
	s.watch.look(thing, func(t *watched) {
		m := metrics[b.Metric]
		switch {
		case b.Metric == "aws:source-ip-address":
			v = Value{CIDRs: t.addresses(last, b.window())}
			ok = len(v.CIDRs) > 0
		case b.Metric == "aws:message-byte-size":
			// Where there is no message there is no size, which is not one of 0.
			ok = t.sum(series{"aws:num-messages-sent", key.dimension}, last, b.window()) > 0
			v = count(t.largest(key, last, b.window()))
		case b.Metric == "aws:disconnect-duration":
			away := int64(0)
			if !t.away.IsZero() {
				away = int64(now.Sub(t.away) / time.Second)
			}
			v, ok = count(away), true
		case m.cloud:
			v, ok = count(t.sum(key, last, b.window())), true
		case m.sum:
			if _, ok = t.latest[b.Metric]; ok {
				v = count(t.sum(key, last, b.window()))
			}
		default:
			v, ok = t.latest[b.Metric]
		}
	})
	return v, ok
}
