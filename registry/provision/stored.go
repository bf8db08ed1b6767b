package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/thingloom/thingloom/internal/tagset"
	"github.com/thingloom/thingloom/registry"
)

// The key space of the store:
//
//	t/{template}             StoredTemplate
//	o/{expiry}/{token hash}  ownership of a new certificate; the expiry in
//	                         seconds since 1970 as 10 digits, so that the
//	                         oldest come first
//	c/{expiry}/{certificate} claim certificate of CreateClaim
//	k/{task}                 Task
//	l/{task}/{line}          TaskLine; the number of the line as 10 digits
const (
	keyTemplate = "t/"
	keyOwner    = "o/"
	keyClaim    = "c/"
	keyTask     = "k/"
	keyTaskLine = "l/"
)

// maxVersions is how many versions a template has at most.
const maxVersions = 5

// A StoredTemplate is a template under a name, with its versions.
type StoredTemplate struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Enabled     bool      `json:"enabled"`
	Type        string    `json:"type"` // FLEET_PROVISIONING or JITP
	Role        string    `json:"role,omitempty"`
	Hook        string    `json:"hook,omitempty"` // targetArn of the pre-provisioning hook
	HookVersion string    `json:"hookVersion,omitempty"`
	Default     int       `json:"default"` // version
	Created     time.Time `json:"created"`
	Modified    time.Time `json:"modified"`
	Versions    []Version `json:"versions"` // by ID
	Next        int       `json:"next"`     // ID of the next version
	// Tags are set at creation and by ChangeTags.
	Tags map[string]string `json:"tags,omitempty"`
}

// A Version is one body of a template.
type Version struct {
	ID      int       `json:"id"` // from 1; IDs never come back
	Body    string    `json:"body"`
	Created time.Time `json:"created"`
}

// Version returns the version with that ID; 0 is the default one.
func (t *StoredTemplate) Version(id int) (Version, error) {
	if id == 0 {
		id = t.Default
	}
	for _, v := range t.Versions {
		if v.ID == id {
			return v, nil
		}
	}
	return Version{}, fmt.Errorf("%w: template %s has no version %d", ErrNotFound, t.Name, id)
}

// The types of templates.
const (
	FleetProvisioning = "FLEET_PROVISIONING"
	JITP              = "JITP"
)

var namePattern = regexp.MustCompile(`^[0-9A-Za-z_-]{1,36}$`)

// CreateTemplate stores a template with body as version 1. Name, and what else
// of t is not made by the service (Created, Versions...), is taken from t; an
// empty Type is FleetProvisioning. Errors are ErrInvalid, ErrTemplate, ErrExists.
func (s *Service) CreateTemplate(ctx context.Context, t StoredTemplate, body string) (StoredTemplate, error) {
	if !namePattern.MatchString(t.Name) {
		return t, fmt.Errorf("%w: templateName %q is not 1 to 36 letters, digits, '_' and '-'", ErrInvalid, t.Name)
	}
	if t.Type == "" {
		t.Type = FleetProvisioning
	}
	if t.Type != FleetProvisioning && t.Type != JITP {
		return t, fmt.Errorf("%w: type %q is neither FLEET_PROVISIONING nor JITP", ErrInvalid, t.Type)
	}
	if t.Type == JITP && t.Hook != "" {
		return t, fmt.Errorf("%w: a JITP template has no preProvisioningHook", ErrInvalid)
	}
	if len(t.Description) > 500 {
		return t, fmt.Errorf("%w: description has %d bytes, more than 500", ErrInvalid, len(t.Description))
	}
	if err := tagset.Check(t.Tags); err != nil {
		return t, fmt.Errorf("%w: tags %w", ErrInvalid, err)
	}
	if _, err := Parse([]byte(body)); err != nil {
		return t, err
	}
	now := s.opts.Now().UTC()
	t.Default, t.Created, t.Modified, t.Next = 1, now, now, 2
	t.Versions = []Version{{ID: 1, Body: body, Created: now}}
	err := s.put(ctx, t, 0)
	if errors.Is(err, registry.ErrVersionConflict) {
		return t, fmt.Errorf("%w: %s", ErrExists, t.Name)
	}
	return t, err
}

func (s *Service) put(ctx context.Context, t StoredTemplate, prev int64) error {
	value, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	return s.store.Apply(ctx, registry.Op{Kind: registry.Put, Key: keyTemplate + t.Name, Value: value, Prev: prev})
}

// Template returns the template, or ErrNotFound.
func (s *Service) Template(ctx context.Context, name string) (StoredTemplate, error) {
	t, _, err := s.load(ctx, name)
	return t, err
}

func (s *Service) load(ctx context.Context, name string) (t StoredTemplate, version int64, err error) {
	e, err := s.store.Get(ctx, keyTemplate+name)
	if errors.Is(err, registry.ErrNotFound) {
		return t, 0, fmt.Errorf("%w: template %s", ErrNotFound, name)
	}
	if err != nil {
		return t, 0, err
	}
	return t, e.Version, json.Unmarshal(e.Value, &t)
}

// Templates yields the templates whose names come after the given one, in order.
func (s *Service) Templates(ctx context.Context, after string) iter.Seq2[StoredTemplate, error] {
	if after != "" {
		after = keyTemplate + after
	}
	return func(yield func(StoredTemplate, error) bool) {
		for e, err := range s.store.Scan(ctx, keyTemplate, after) {
			var t StoredTemplate
			if err == nil {
				err = json.Unmarshal(e.Value, &t)
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// change stores what f makes of a template, with no other change between.
func (s *Service) change(ctx context.Context, name string, f func(*StoredTemplate) error) error {
	for {
		t, version, err := s.load(ctx, name)
		if err != nil {
			return err
		}
		if err := f(&t); err != nil {
			return err
		}
		err = s.put(ctx, t, version)
		if !errors.Is(err, registry.ErrVersionConflict) || ctx.Err() != nil {
			return err
		}
	}
}

// A TemplateUpdate changes a template. What is nil stays as it is.
type TemplateUpdate struct {
	Description, Role *string
	Enabled           *bool
	Default           *int // version
	// Hook is the targetArn; an empty one removes the hook.
	Hook, HookVersion *string
}

// UpdateTemplate changes a template. Errors are ErrNotFound, also of the
// default version, and ErrInvalid.
func (s *Service) UpdateTemplate(ctx context.Context, name string, u TemplateUpdate) error {
	return s.change(ctx, name, func(t *StoredTemplate) error {
		if u.Default != nil {
			if _, err := t.Version(*u.Default); err != nil || *u.Default == 0 {
				return fmt.Errorf("%w: template %s has no version %d", ErrNotFound, name, *u.Default)
			}
			t.Default = *u.Default
		}
		if u.Hook != nil && *u.Hook != "" && t.Type == JITP {
			return fmt.Errorf("%w: a JITP template has no preProvisioningHook", ErrInvalid)
		}
		set(&t.Description, u.Description)
		set(&t.Role, u.Role)
		set(&t.Hook, u.Hook)
		set(&t.HookVersion, u.HookVersion)
		set(&t.Enabled, u.Enabled)
		t.Modified = s.opts.Now().UTC()
		return nil
	})
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Tags returns the tags of a template, which is named by the last part of its
// ARN: provisioningtemplate/{name}.
func (s *Service) Tags(ctx context.Context, resource string) (map[string]string, error) {
	t, err := s.Template(ctx, strings.TrimPrefix(resource, kindTemplate))
	return t.Tags, err
}

// ChangeTags lets change put and delete tags of a template, named as for Tags.
// Its error ends the call; it may be called more than once.
func (s *Service) ChangeTags(ctx context.Context, resource string, change func(tags map[string]string) error) error {
	return s.change(ctx, strings.TrimPrefix(resource, kindTemplate), func(t *StoredTemplate) error {
		if t.Tags == nil {
			t.Tags = map[string]string{}
		}
		if err := change(t.Tags); err != nil {
			return err
		}
		if err := tagset.Check(t.Tags); err != nil {
			return fmt.Errorf("%w: tags %w", ErrInvalid, err)
		}
		return nil
	})
}

// kindTemplate begins the last part of the ARN of a template.
const kindTemplate = "provisioningtemplate/"

// DeleteTemplate removes a template with all of its versions, or ErrNotFound.
func (s *Service) DeleteTemplate(ctx context.Context, name string) error {
	err := s.store.Apply(ctx, registry.Op{Kind: registry.Delete, Key: keyTemplate + name, Prev: registry.Present})
	if errors.Is(err, registry.ErrVersionConflict) {
		return fmt.Errorf("%w: template %s", ErrNotFound, name)
	}
	return err
}

// CreateVersion adds a version. Errors are ErrNotFound, ErrTemplate, ErrVersions.
func (s *Service) CreateVersion(ctx context.Context, name, body string, setDefault bool) (v Version, err error) {
	if _, err := Parse([]byte(body)); err != nil {
		return v, err
	}
	err = s.change(ctx, name, func(t *StoredTemplate) error {
		if len(t.Versions) >= maxVersions {
			return fmt.Errorf("%w: template %s has %d", ErrVersions, name, len(t.Versions))
		}
		v = Version{ID: t.Next, Body: body, Created: s.opts.Now().UTC()}
		t.Versions = append(t.Versions, v)
		t.Next++
		if setDefault {
			t.Default = v.ID
		}
		t.Modified = v.Created
		return nil
	})
	return v, err
}

// DeleteVersion removes a version that is not the default one (ErrInUse).
func (s *Service) DeleteVersion(ctx context.Context, name string, id int) error {
	return s.change(ctx, name, func(t *StoredTemplate) error {
		if _, err := t.Version(id); err != nil || id == 0 {
			return fmt.Errorf("%w: template %s has no version %d", ErrNotFound, name, id)
		}
		if id == t.Default {
			return fmt.Errorf("%w: version %d of template %s", ErrInUse, id, name)
		}
		t.Versions = slices.DeleteFunc(t.Versions, func(v Version) bool { return v.ID == id })
		t.Modified = s.opts.Now().UTC()
		return nil
	})
}

// ARN is the ARN of a template.
func (s *Service) ARN(name string) string { return s.reg.ARN(kindTemplate + name) }

// lastPart is what follows the last '/' of a key.
func lastPart(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }
