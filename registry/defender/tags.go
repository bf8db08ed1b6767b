package defender

import (
	"context"
	"maps"
	"strings"

	"github.com/thingloom/thingloom/internal/tagset"
	"github.com/thingloom/thingloom/registry"
)

// The kinds of what has tags, as ARNs have them.
const (
	kindProfile   = "securityprofile"
	kindMetric    = "custommetric"
	kindDimension = "dimension"
	kindScheduled = "scheduledaudit"
)

func checkTags(tags map[string]string) error {
	if err := tagset.Check(tags); err != nil {
		return invalid("tags", "%v", err)
	}
	return nil
}

// Tags returns the tags of a resource, which is named by the last part of its
// ARN: securityprofile, custommetric, dimension or scheduledaudit, a slash and
// the name.
func (s *Service) Tags(ctx context.Context, resource string) (map[string]string, error) {
	kind, name, _ := strings.Cut(resource, "/")
	switch kind {
	case kindProfile:
		p, err := s.Profile(name)
		return maps.Clone(p.Tags), err
	case kindMetric:
		m, err := s.Metric(name)
		return maps.Clone(m.Tags), err
	case kindDimension:
		d, err := s.Dimension(name)
		return maps.Clone(d.Tags), err
	case kindScheduled:
		a, err := s.ScheduledAudit(ctx, name)
		return a.Tags, err
	}
	return nil, invalid("resourceArn", "%q is nothing that has tags here", resource)
}

// ChangeTags lets change put and delete tags of a resource, named as for Tags.
// Its error ends the call. What has them gets no new version.
func (s *Service) ChangeTags(ctx context.Context, resource string, change func(tags map[string]string) error) error {
	kind, name, _ := strings.Cut(resource, "/")
	// changed leaves alone what others may be reading.
	changed := func(old map[string]string) (map[string]string, error) {
		tags := maps.Clone(old)
		if tags == nil {
			tags = map[string]string{}
		}
		if err := change(tags); err != nil {
			return nil, err
		}
		return tags, checkTags(tags)
	}
	if kind == kindScheduled {
		s.admin.Lock()
		defer s.admin.Unlock()
		a, err := s.ScheduledAudit(ctx, name)
		if err != nil {
			return err
		}
		if a.Tags, err = changed(a.Tags); err != nil {
			return err
		}
		return s.putScheduled(ctx, a)
	}
	return s.configure(ctx, func(c *config) (ops []registry.Op, err error) {
		var key string
		var value any
		switch kind {
		case kindProfile:
			old, err := c.profile(name, 0)
			if err != nil {
				return nil, err
			}
			p := *old
			if p.Tags, err = changed(p.Tags); err != nil {
				return nil, err
			}
			c.profiles[name] = &p
			key, value = keyProfile+name, &p
		case kindMetric:
			m, ok := c.metrics[name]
			if !ok {
				return nil, notFound("custom metric", name)
			}
			if m.Tags, err = changed(m.Tags); err != nil {
				return nil, err
			}
			c.metrics[name] = m
			key, value = keyMetric+name, m
		case kindDimension:
			d, ok := c.dimensions[name]
			if !ok {
				return nil, notFound("dimension", name)
			}
			if d.Tags, err = changed(d.Tags); err != nil {
				return nil, err
			}
			c.dimensions[name] = d
			key, value = keyDimension+name, d
		default:
			return nil, invalid("resourceArn", "%q is nothing that has tags here", resource)
		}
		op, err := put(key, value)
		return []registry.Op{op}, err
	})
}
