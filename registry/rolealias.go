package registry

import (
	"context"
	"iter"
	"strings"
	"time"
)

// A RoleAlias is a name for a role that certificates may ask credentials of
// (iot:AssumeRoleWithCertificate on rolealias/{name}). The registry keeps it;
// there is no credentials provider.
type RoleAlias struct {
	Name string `json:"name"` // 1 to 128 of a-z, A-Z, 0-9 and _=,@-
	Role string `json:"role"` // ARN, of 20 to 2048 characters
	// Duration is how long credentials are valid: 15 minutes to 12 hours in
	// whole seconds. Zero means an hour.
	Duration time.Duration `json:"duration"`
	Created  time.Time     `json:"created"`
	Modified time.Time     `json:"modified"`
	// Tags are set at creation and by ChangeTags.
	Tags map[string]string `json:"tags,omitempty"`
}

func (a *RoleAlias) check() error {
	if err := checkChars("roleAlias", a.Name, aliasChars, maxName); err != nil {
		return err
	}
	if n := len(a.Role); n < 20 || n > 2048 || !strings.HasPrefix(a.Role, "arn:") || !strings.Contains(a.Role, ":role/") {
		return invalid("roleArn", "%.80q is not the ARN of a role", a.Role)
	}
	if a.Duration == 0 {
		a.Duration = time.Hour
	}
	if a.Duration < 15*time.Minute || a.Duration > 12*time.Hour {
		return invalid("credentialDurationSeconds", "is %d, not 900 to 43200", int(a.Duration.Seconds()))
	}
	return checkTags(a.Tags)
}

// CreateRoleAlias adds a role alias (ErrExists).
func (r *Registry) CreateRoleAlias(ctx context.Context, a RoleAlias) (RoleAlias, error) {
	if err := a.check(); err != nil {
		return RoleAlias{}, err
	}
	a.Created = r.opts.Now().UTC()
	a.Modified = a.Created
	err := r.update(ctx, func(x *tx) error {
		found, err := x.get(keyRoleAlias+a.Name, nil)
		if err != nil {
			return err
		}
		if found {
			return &ExistsError{Kind: "role alias", ID: a.Name, ARN: r.ARN("rolealias/" + a.Name)}
		}
		return x.put(keyRoleAlias+a.Name, a)
	})
	return a, err
}

// RoleAlias returns the role alias, or ErrNotFound.
func (r *Registry) RoleAlias(ctx context.Context, name string) (RoleAlias, error) {
	return stored[RoleAlias](ctx, r, keyRoleAlias+name, "role alias", name)
}

// RoleAliases yields the role aliases whose names come after the given one, in order.
func (r *Registry) RoleAliases(ctx context.Context, after string) iter.Seq2[RoleAlias, error] {
	return scan[RoleAlias](ctx, r, keyRoleAlias, after)
}

// UpdateRoleAlias changes role and duration; what is zero stays as it is.
func (r *Registry) UpdateRoleAlias(ctx context.Context, name, role string, duration time.Duration) (RoleAlias, error) {
	var a RoleAlias
	err := r.update(ctx, func(x *tx) error {
		a = RoleAlias{}
		found, err := x.get(keyRoleAlias+name, &a)
		if err != nil {
			return err
		}
		if !found {
			return notFound("role alias", name)
		}
		if role != "" {
			a.Role = role
		}
		if duration != 0 {
			a.Duration = duration
		}
		a.Modified = r.opts.Now().UTC()
		if err := a.check(); err != nil {
			return err
		}
		return x.put(keyRoleAlias+name, a)
	})
	return a, err
}

// DeleteRoleAlias removes a role alias (ErrNotFound).
func (r *Registry) DeleteRoleAlias(ctx context.Context, name string) error {
	return r.update(ctx, func(x *tx) error {
		found, err := x.get(keyRoleAlias+name, nil)
		if err == nil && !found {
			err = notFound("role alias", name)
		}
		if err == nil {
			x.delete(keyRoleAlias + name)
		}
		return err
	})
}
