package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/defender"
	"github.com/thingloom/thingloom/registry/jobs"
	"github.com/thingloom/thingloom/registry/provision"
	"github.com/thingloom/thingloom/registry/registryhttp"
	"github.com/thingloom/thingloom/rules"
)

// taggers are who keeps the tags of what is not the registry's.
func (b *backend) taggers() map[string]registryhttp.Tagger {
	ofJobs := foreignTags{b.jobs, jobs.ErrNotFound, jobs.ErrInvalid}
	ofDefender := foreignTags{b.defender, defender.ErrNotFound, defender.ErrInvalid}
	return map[string]registryhttp.Tagger{
		"rule": foreignTags{ruleTags{b.engine}, rules.ErrNotFound, rules.ErrInvalid},
		"job":  ofJobs, "jobtemplate": ofJobs,
		"securityprofile": ofDefender, "custommetric": ofDefender, "dimension": ofDefender, "scheduledaudit": ofDefender,
		"provisioningtemplate": foreignTags{b.provisioning, provision.ErrNotFound, provision.ErrInvalid},
	}
}

// foreignTags makes errors of another package the registry's.
type foreignTags struct {
	registryhttp.Tagger
	notFound, invalid error
}

func (f foreignTags) translate(err error) error {
	switch {
	case errors.Is(err, f.notFound):
		return fmt.Errorf("%w: %w", registry.ErrNotFound, err)
	case errors.Is(err, f.invalid):
		return fmt.Errorf("%w: %w", registry.ErrInvalid, err)
	}
	return err
}

func (f foreignTags) Tags(ctx context.Context, resource string) (map[string]string, error) {
	tags, err := f.Tagger.Tags(ctx, resource)
	return tags, f.translate(err)
}

func (f foreignTags) ChangeTags(ctx context.Context, resource string, change func(tags map[string]string) error) error {
	return f.translate(f.Tagger.ChangeTags(ctx, resource, change))
}

// ruleTags are the tags of rules, whose engine knows no ARNs.
type ruleTags struct{ engine *rules.Engine }

func ruleOf(resource string) string { return strings.TrimPrefix(resource, "rule/") }

func (r ruleTags) Tags(_ context.Context, resource string) (map[string]string, error) {
	info, err := r.engine.Rule(ruleOf(resource))
	return info.Tags, err
}

func (r ruleTags) ChangeTags(ctx context.Context, resource string, change func(tags map[string]string) error) error {
	return r.engine.ChangeTags(ctx, ruleOf(resource), change)
}
