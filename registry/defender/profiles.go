package defender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/registry"
)

// CreateProfile adds a profile.
func (s *Service) CreateProfile(ctx context.Context, p Profile) (Profile, error) {
	err := s.configure(ctx, func(c *config) ([]registry.Op, error) {
		if err := p.check(c); err != nil {
			return nil, err
		}
		if c.profiles[p.Name] != nil {
			return nil, fmt.Errorf("defender: security profile %q: %w", p.Name, ErrExists)
		}
		now := s.opts.Now()
		p.Version, p.Created, p.Modified = 1, now, now
		c.profiles[p.Name], c.targets[p.Name] = &p, map[string]bool{}
		op, err := put(keyProfile+p.Name, &p)
		return []registry.Op{op}, err
	})
	return p, err
}

// Profile returns a profile.
func (s *Service) Profile(name string) (Profile, error) {
	p := s.config.Load().profiles[name]
	if p == nil {
		return Profile{}, notFound("security profile", name)
	}
	return *p, nil
}

// Profiles returns the profiles in the order of their names; if dimension or
// metric are given, those with a behavior that has it.
func (s *Service) Profiles(dimension, metric string) (out []Profile) {
	c := s.config.Load()
	for _, name := range slices.Sorted(maps.Keys(c.profiles)) {
		p := c.profiles[name]
		if dimension == "" && metric == "" || slices.ContainsFunc(p.Behaviors, func(b Behavior) bool {
			return (metric == "" || b.Metric == metric) && (dimension == "" || b.Dimension != nil && b.Dimension.Name == dimension)
		}) {
			out = append(out, *p)
		}
	}
	return out
}

// UpdateProfile lets change make a new version of a profile, if it is at the
// version expected; 0 is any. Violations of behaviors that changed or are gone
// are invalidated.
func (s *Service) UpdateProfile(ctx context.Context, name string, expected int64, change func(*Profile)) (Profile, error) {
	var now Profile
	err := s.configure(ctx, func(c *config) ([]registry.Op, error) {
		old, err := c.profile(name, expected)
		if err != nil {
			return nil, err
		}
		now = *old
		change(&now)
		now.Name, now.Version, now.Created, now.Modified = name, old.Version+1, old.Created, s.opts.Now()
		if err := now.check(c); err != nil {
			return nil, err
		}
		c.profiles[name] = &now
		op, err := put(keyProfile+name, &now)
		return []registry.Op{op}, err
	})
	if err != nil {
		return Profile{}, err
	}
	return now, s.invalidate(ctx)
}

func (c *config) profile(name string, expected int64) (*Profile, error) {
	p := c.profiles[name]
	if p == nil {
		return nil, notFound("security profile", name)
	}
	if expected != 0 && expected != p.Version {
		return nil, fmt.Errorf("defender: security profile %q is at version %d, not %d: %w", name, p.Version, expected, ErrVersion)
	}
	return p, nil
}

// DeleteProfile deletes a profile with its attachments; one that is not there
// is fine.
func (s *Service) DeleteProfile(ctx context.Context, name string, expected int64) error {
	err := s.configure(ctx, func(c *config) ([]registry.Op, error) {
		if _, err := c.profile(name, expected); err != nil {
			if errors.Is(err, ErrNotFound) {
				return nil, nil
			}
			return nil, err
		}
		ops := []registry.Op{remove(keyProfile + name)}
		for arn := range c.targets[name] {
			ops = append(ops, remove(keyTarget+name+"/"+arn))
		}
		delete(c.profiles, name)
		delete(c.targets, name)
		return ops, nil
	})
	if err != nil {
		return err
	}
	return s.invalidate(ctx)
}

// The targets that are no group: all things, those registered and the others.
const (
	allThings          = "all/things"
	registeredThings   = "all/registered-things"
	unregisteredThings = "all/unregistered-things"
)

func (s *Service) checkTarget(ctx context.Context, arn string) error {
	for _, all := range []string{allThings, registeredThings, unregisteredThings} {
		if arn == s.reg.ARN(all) {
			return nil
		}
	}
	group, ok := strings.CutPrefix(arn, s.reg.ARN("thinggroup/"))
	if !ok {
		return invalid("securityProfileTargetArn", "%q is neither a thing group nor one of all/things, all/registered-things, all/unregistered-things", arn)
	}
	_, err := s.reg.Group(ctx, group)
	if errors.Is(err, registry.ErrNotFound) {
		return notFound("thing group", group)
	}
	return err
}

// Attach attaches a profile to a target: the ARN of a group, or of all/things,
// all/registered-things, all/unregistered-things. A target has five profiles
// at most (ErrLimit).
func (s *Service) Attach(ctx context.Context, profile, arn string) error {
	if err := s.checkTarget(ctx, arn); err != nil {
		return err
	}
	return s.configure(ctx, func(c *config) ([]registry.Op, error) {
		if _, err := c.profile(profile, 0); err != nil {
			return nil, err
		}
		n := 0
		for name, targets := range c.targets {
			if targets[arn] && name != profile {
				n++
			}
		}
		if n >= maxTargetProfiles {
			return nil, fmt.Errorf("%w: %s has %d security profiles", ErrLimit, arn, n)
		}
		c.targets[profile] = maps.Clone(c.targets[profile])
		c.targets[profile][arn] = true
		return []registry.Op{{Kind: registry.Put, Key: keyTarget + profile + "/" + arn, Prev: registry.Any}}, nil
	})
}

// Detach undoes Attach.
func (s *Service) Detach(ctx context.Context, profile, arn string) error {
	err := s.configure(ctx, func(c *config) ([]registry.Op, error) {
		if _, err := c.profile(profile, 0); err != nil {
			return nil, err
		}
		c.targets[profile] = maps.Clone(c.targets[profile])
		delete(c.targets[profile], arn)
		return []registry.Op{remove(keyTarget + profile + "/" + arn)}, nil
	})
	if err != nil {
		return err
	}
	return s.invalidate(ctx)
}

// Targets returns the ARNs that a profile is attached to, in order.
func (s *Service) Targets(profile string) ([]string, error) {
	c := s.config.Load()
	if _, err := c.profile(profile, 0); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(c.targets[profile])), nil
}

// An Attachment is a profile on a target.
type Attachment struct{ Profile, Target string }

// Attachments returns the profiles that are attached to a target and, with
// recursive, to the groups below it, by target and name.
func (s *Service) Attachments(ctx context.Context, arn string, recursive bool) ([]Attachment, error) {
	if err := s.checkTarget(ctx, arn); err != nil {
		return nil, err
	}
	arns := map[string]bool{arn: true}
	if group, ok := strings.CutPrefix(arn, s.reg.ARN("thinggroup/")); ok && recursive {
		for g, err := range s.reg.Groups(ctx, registry.GroupQuery{Parent: group, Recursive: true}) {
			if err != nil {
				return nil, err
			}
			arns[s.reg.ARN("thinggroup/"+g.Name)] = true
		}
	}
	var out []Attachment
	for name, targets := range s.config.Load().targets {
		for to := range targets {
			if arns[to] {
				out = append(out, Attachment{name, to})
			}
		}
	}
	slices.SortFunc(out, func(a, b Attachment) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Profile, b.Profile))
	})
	return out, nil
}

// ValidateBehaviors returns what is wrong with behaviors, none if they are fine.
func (s *Service) ValidateBehaviors(all []Behavior) []error {
	return s.config.Load().checkBehaviors(all)
}

// CreateMetric defines a custom metric.
func (s *Service) CreateMetric(ctx context.Context, m CustomMetric) error {
	if err := errors.Join(checkName("metricName", m.Name), oneOf("metricType", m.Type, "string-list", "ip-address-list", "number-list", "number"), checkTags(m.Tags)); err != nil {
		return err
	}
	if strings.HasPrefix(m.Name, "aws:") {
		return invalid("metricName", "%q begins with aws:", m.Name)
	}
	m.Created = s.opts.Now()
	return s.configure(ctx, func(c *config) ([]registry.Op, error) {
		if old, ok := c.metrics[m.Name]; ok {
			return nil, exists("custom metric", m.Name, m.Token, old.Token)
		}
		c.metrics[m.Name] = m
		op, err := put(keyMetric+m.Name, m)
		return []registry.Op{op}, err
	})
}

// CreateDimension defines a dimension.
func (s *Service) CreateDimension(ctx context.Context, d TopicDimension) error {
	if err := d.check(); err != nil {
		return err
	}
	d.Created = s.opts.Now()
	return s.configure(ctx, func(c *config) ([]registry.Op, error) {
		if old, ok := c.dimensions[d.Name]; ok {
			return nil, exists("dimension", d.Name, d.Token, old.Token)
		}
		c.dimensions[d.Name] = d
		op, err := put(keyDimension+d.Name, d)
		return []registry.Op{op}, err
	})
}

// Metrics returns the custom metrics by name.
func (s *Service) Metrics() map[string]CustomMetric { return maps.Clone(s.config.Load().metrics) }

// Dimensions returns the dimensions by name.
func (s *Service) Dimensions() map[string]TopicDimension {
	return maps.Clone(s.config.Load().dimensions)
}
