package defender

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"unicode/utf8"

	"github.com/thingloom/thingloom/registry"
)

// Metric returns a custom metric, or ErrNotFound.
func (s *Service) Metric(name string) (CustomMetric, error) {
	m, ok := s.config.Load().metrics[name]
	if !ok {
		return m, notFound("custom metric", name)
	}
	return m, nil
}

// UpdateMetric gives a custom metric another display name.
func (s *Service) UpdateMetric(ctx context.Context, name, display string) (m CustomMetric, err error) {
	if n := utf8.RuneCountInString(display); n > 128 {
		return m, invalid("displayName", "has %d characters, more than 128", n)
	}
	err = s.configure(ctx, func(c *config) ([]registry.Op, error) {
		var ok bool
		if m, ok = c.metrics[name]; !ok {
			return nil, notFound("custom metric", name)
		}
		m.DisplayName, m.Modified = display, s.opts.Now()
		c.metrics[name] = m
		op, err := put(keyMetric+name, m)
		return []registry.Op{op}, err
	})
	return m, err
}

// DeleteMetric deletes a custom metric that no profile has (ErrInvalid); one
// that is not there is fine.
func (s *Service) DeleteMetric(ctx context.Context, name string) error {
	return s.configure(ctx, func(c *config) ([]registry.Op, error) {
		for _, p := range c.profiles {
			if slices.ContainsFunc(p.Behaviors, func(b Behavior) bool { return b.Metric == name }) ||
				slices.ContainsFunc(p.Retain, func(r Retained) bool { return r.Metric == name }) {
				return nil, invalid("metricName", "%q is in the security profile %q", name, p.Name)
			}
		}
		delete(c.metrics, name)
		return []registry.Op{remove(keyMetric + name)}, nil
	})
}

// Dimension returns a dimension, or ErrNotFound.
func (s *Service) Dimension(name string) (TopicDimension, error) {
	d, ok := s.config.Load().dimensions[name]
	if !ok {
		return d, notFound("dimension", name)
	}
	return d, nil
}

// UpdateDimension gives a dimension other filters. What was counted by the old
// ones stays.
func (s *Service) UpdateDimension(ctx context.Context, name string, filters []string) (d TopicDimension, err error) {
	err = s.configure(ctx, func(c *config) ([]registry.Op, error) {
		var ok bool
		if d, ok = c.dimensions[name]; !ok {
			return nil, notFound("dimension", name)
		}
		d.Filters, d.Modified = filters, s.opts.Now()
		if err := d.check(); err != nil {
			return nil, err
		}
		c.dimensions[name] = d
		op, err := put(keyDimension+name, d)
		return []registry.Op{op}, err
	})
	return d, err
}

// DeleteDimension deletes a dimension that no profile has (ErrInvalid); one that
// is not there is fine.
func (s *Service) DeleteDimension(ctx context.Context, name string) error {
	named := func(d *Dimension) bool { return d != nil && d.Name == name }
	return s.configure(ctx, func(c *config) ([]registry.Op, error) {
		for _, p := range c.profiles {
			if slices.ContainsFunc(p.Behaviors, func(b Behavior) bool { return named(b.Dimension) }) ||
				slices.ContainsFunc(p.Retain, func(r Retained) bool { return named(r.Dimension) }) {
				return nil, invalid("name", "%q is in the security profile %q", name, p.Name)
			}
		}
		delete(c.dimensions, name)
		return []registry.Op{remove(keyDimension + name)}, nil
	})
}

// ScheduledAudits yields the scheduled audits whose names come after the given
// one, in order.
func (s *Service) ScheduledAudits(ctx context.Context, after string) iter.Seq2[ScheduledAudit, error] {
	return values[ScheduledAudit](ctx, s, keyScheduled, after)
}

// ScheduledAudit returns a scheduled audit, or ErrNotFound.
func (s *Service) ScheduledAudit(ctx context.Context, name string) (a ScheduledAudit, err error) {
	found, err := s.load(ctx, keyScheduled+name, &a)
	if err == nil && !found {
		err = notFound("scheduled audit", name)
	}
	return a, err
}

// UpdateScheduledAudit lets change say when a scheduled audit is made, and what
// it checks.
func (s *Service) UpdateScheduledAudit(ctx context.Context, name string, change func(*ScheduledAudit)) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	a, err := s.ScheduledAudit(ctx, name)
	if err != nil {
		return err
	}
	old := a
	change(&a)
	a.Name, a.Created, a.Last = old.Name, old.Created, old.Last
	if err := errors.Join(a.check(), s.checkChecks(ctx, a.Checks)); err != nil {
		return err
	}
	return s.putScheduled(ctx, a)
}

// DeleteScheduledAudit deletes a scheduled audit, or is ErrNotFound.
func (s *Service) DeleteScheduledAudit(ctx context.Context, name string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	if _, err := s.ScheduledAudit(ctx, name); err != nil {
		return err
	}
	return s.store.Apply(ctx, remove(keyScheduled+name))
}

// putScheduled stores a scheduled audit. It is called with admin held.
func (s *Service) putScheduled(ctx context.Context, a ScheduledAudit) error {
	op, err := put(keyScheduled+a.Name, a)
	if err != nil {
		return err
	}
	return s.store.Apply(ctx, op)
}

// begun notes that a scheduled audit is being made, unless it has been deleted
// or is not due any more.
func (s *Service) begun(ctx context.Context, name string) (a ScheduledAudit, due bool, err error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	a, err = s.ScheduledAudit(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return a, false, nil
	}
	now := s.opts.Now()
	if err != nil || !a.due(now) {
		return a, false, err
	}
	a.Last = now
	return a, true, s.putScheduled(ctx, a)
}

// Audits yields the audits that were made, in the order of their IDs, those
// that come after the given one.
func (s *Service) Audits(ctx context.Context, after string) iter.Seq2[Audit, error] {
	return values[Audit](ctx, s, keyAudit, after)
}

// exists is the error of a name that is taken, nil if it is by the same request
// that came before.
func exists(kind, name, token, before string) error {
	if token != "" && token == before {
		return nil
	}
	return fmt.Errorf("defender: %s %q: %w", kind, name, ErrExists)
}
