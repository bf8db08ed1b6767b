package jobs

import (
	"context"
	"strings"
)

// Tags returns the tags of a job or job template, which is named by the last
// part of its ARN: job/{id} or jobtemplate/{id}.
func (s *Service) Tags(ctx context.Context, resource string) (map[string]string, error) {
	if id, ok := strings.CutPrefix(resource, "jobtemplate/"); ok {
		t, err := s.Template(ctx, id)
		return t.Tags, err
	}
	id, ok := strings.CutPrefix(resource, "job/")
	if !ok {
		return nil, invalid("resourceArn", "%q is no job and no job template", resource)
	}
	j, err := s.Job(ctx, id)
	return j.Tags, err
}

// ChangeTags lets change put and delete tags of a job or job template, named as
// for Tags. Its error ends the call; it may be called more than once.
func (s *Service) ChangeTags(ctx context.Context, resource string, change func(tags map[string]string) error) error {
	if id, ok := strings.CutPrefix(resource, "jobtemplate/"); ok {
		return changeTags(ctx, s, keyTemplate+id, "job template", id, func(t *Template) *map[string]string { return &t.Tags }, change)
	}
	id, ok := strings.CutPrefix(resource, "job/")
	if !ok {
		return invalid("resourceArn", "%q is no job and no job template", resource)
	}
	return changeTags(ctx, s, keyJob+id, "job", id, func(j *Job) *map[string]string { return &j.Tags }, change)
}

func changeTags[T any](ctx context.Context, s *Service, key, kind, id string, tags func(*T) *map[string]string, change func(map[string]string) error) error {
	_, err := s.update(ctx, func(x *tx) error {
		var v T
		found, err := x.get(key, &v)
		if err != nil {
			return err
		}
		if !found {
			return notFound(kind, id)
		}
		at := tags(&v)
		if *at == nil {
			*at = map[string]string{}
		}
		if err := change(*at); err != nil {
			return err
		}
		if err := checkTags(*at); err != nil {
			return err
		}
		return x.put(key, &v)
	})
	return err
}
