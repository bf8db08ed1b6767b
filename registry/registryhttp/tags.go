package registryhttp

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/internal/tagset"
	"github.com/thingloom/thingloom/registry"
)

// A Tagger has resources with tags. They are named by the last part of their
// ARN, such as "job/upgrade-7". The errors are those of the registry: ErrNotFound,
// ErrInvalid. A *registry.Registry is one.
type Tagger interface {
	Tags(ctx context.Context, resource string) (map[string]string, error)
	// ChangeTags lets change put and delete tags. An error of change ends the
	// call and is returned.
	ChangeTags(ctx context.Context, resource string, change func(tags map[string]string) error) error
}

// tagger finds out who has a resource.
func (c *call) tagger(arn string) (to Tagger, resource string, err error) {
	resource, ok := strings.CutPrefix(arn, c.reg.ARN(""))
	if !ok {
		return nil, "", &awshttp.InputError{Field: "resourceArn", Reason: fmt.Sprintf("%q is not an ARN of this account", arn)}
	}
	kind, _, _ := strings.Cut(resource, "/")
	if other, ok := c.opts.Taggers[kind]; ok {
		return other, resource, nil
	}
	return c.reg, resource, nil
}

func tagResource(c *call, in struct {
	ResourceArn string
	Tags        awshttp.Tags
}) (any, error) {
	if len(in.Tags) == 0 {
		return nil, &awshttp.InputError{Field: "tags", Reason: "is missing"}
	}
	to, resource, err := c.tagger(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return nil, to.ChangeTags(c.Context(), resource, func(all map[string]string) error {
		for key, value := range in.Tags {
			all[key] = value
		}
		if len(all) > tagset.Max {
			return fmt.Errorf("registryhttp: %s would have %d tags, more than %d: %w", resource, len(all), tagset.Max, registry.ErrLimit)
		}
		return nil
	})
}

func untagResource(c *call, in struct {
	ResourceArn string
	TagKeys     []string
}) (any, error) {
	if len(in.TagKeys) == 0 {
		return nil, &awshttp.InputError{Field: "tagKeys", Reason: "is missing"}
	}
	to, resource, err := c.tagger(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return nil, to.ChangeTags(c.Context(), resource, func(all map[string]string) error {
		for _, key := range in.TagKeys {
			delete(all, key)
		}
		return nil
	})
}

func listTagsForResource(c *call) (any, error) {
	to, resource, err := c.tagger(c.Query("resourceArn"))
	if err != nil {
		return nil, err
	}
	tags, err := to.Tags(c.Context(), resource)
	if err != nil {
		return nil, err
	}
	list, token, err := awshttp.Page(c.Call, awshttp.ByToken, func(after string) iter.Seq2[tagset.Tag, error] {
		return func(yield func(tagset.Tag, error) bool) {
			for _, t := range tagset.Of(tags) {
				if t.Key > after && !yield(t, nil) {
					return
				}
			}
		}
	}, func(t tagset.Tag) string { return t.Key }, func(t tagset.Tag) tagset.Tag { return t })
	return struct {
		Tags  []tagset.Tag `json:"tags"`
		Token string       `json:"nextToken,omitempty"`
	}{list, token}, err
}
