package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/thingloom/thingloom/internal/tagset"
)

// Tags are kept with what has them, so they come and go with it: each type
// below has a field Tags. At most 50; keys have 1 to 128 characters, values at
// most 256.

// tagged maps the kinds of resources that have tags, as ARNs have them, to
// their keys.
var tagged = map[string]string{
	"thinggroup": keyGroup, "thingtype": keyType, "billinggroup": keyBillingGroup, "policy": keyPolicy, "cacert": keyCA,
	"authorizer": keyAuthorizer, "rolealias": keyRoleAlias,
}

func checkTags(tags map[string]string) error {
	if err := tagset.Check(tags); err != nil {
		return invalid("tags", "%v", err)
	}
	return nil
}

// taggedKey is the key of a resource that may have tags.
func taggedKey(resource string) (string, error) {
	kind, name, _ := strings.Cut(resource, "/")
	prefix, ok := tagged[kind]
	if !ok || name == "" || strings.Contains(name, "/") {
		return "", invalid("resourceArn", "%q is no resource that has tags", resource)
	}
	return prefix + name, nil
}

// Tags returns the tags of a resource, which is named by the last part of its
// ARN: thinggroup, thingtype, billinggroup, policy, cacert, authorizer or
// rolealias, a slash and the name (ErrNotFound).
func (r *Registry) Tags(ctx context.Context, resource string) (map[string]string, error) {
	key, err := taggedKey(resource)
	if err != nil {
		return nil, err
	}
	var v struct{ Tags map[string]string }
	found, _, err := r.load(ctx, key, &v)
	if err == nil && !found {
		err = notFound("resource", resource)
	}
	return v.Tags, err
}

// ChangeTags lets change put and delete tags of a resource, named as for Tags.
// Its error ends the call; it may be called more than once. The resource does
// not get a new version by it.
func (r *Registry) ChangeTags(ctx context.Context, resource string, change func(tags map[string]string) error) error {
	key, err := taggedKey(resource)
	if err != nil {
		return err
	}
	return r.update(ctx, func(x *tx) error {
		// Whatever else the entry holds stays as it is.
		var entry map[string]json.RawMessage
		found, err := x.get(key, &entry)
		if err != nil {
			return err
		}
		if !found {
			return notFound("resource", resource)
		}
		tags := map[string]string{}
		if raw, ok := entry["tags"]; ok {
			if err := json.Unmarshal(raw, &tags); err != nil {
				return fmt.Errorf("registry: key %q: %w", key, err)
			}
		}
		before := maps.Clone(tags)
		if err := change(tags); err != nil {
			return err
		}
		if err := checkTags(tags); err != nil || maps.Equal(before, tags) {
			return err
		}
		delete(entry, "tags")
		if len(tags) > 0 {
			if entry["tags"], err = json.Marshal(tags); err != nil {
				return fmt.Errorf("registry: key %q: %w", key, err)
			}
		}
		return x.put(key, entry)
	})
}
