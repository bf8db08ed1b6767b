package registry

import (
	"context"
	"errors"
	"iter"
	"maps"
	"time"
	"unicode/utf8"
)

// A BillingGroup is a label for things with a name of its own: things are
// counted by it, and nothing else depends on it.
type BillingGroup struct {
	Name        string    `json:"name"`
	ID          string    `json:"id"` // a UUID
	Description string    `json:"description,omitempty"`
	Version     int64     `json:"version"`
	Created     time.Time `json:"created"`
	// Tags are set at creation and by ChangeTags.
	Tags map[string]string `json:"tags,omitempty"`
}

func (g *BillingGroup) check() error {
	if err := checkName("billingGroupName", g.Name); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(g.Description); n > maxDescription {
		return invalid("billingGroupDescription", "has %d characters, more than %d", n, maxDescription)
	}
	return checkTags(g.Tags)
}

// CreateBillingGroup adds a billing group with Name, Description and Tags of g.
// Creating the same again returns what is there; with another description or tags the
// error is ErrExists.
func (r *Registry) CreateBillingGroup(ctx context.Context, g BillingGroup) (BillingGroup, error) {
	if err := g.check(); err != nil {
		return BillingGroup{}, err
	}
	var made BillingGroup
	err := r.update(ctx, func(x *tx) error {
		var old BillingGroup
		found, err := x.get(keyBillingGroup+g.Name, &old)
		if err != nil {
			return err
		}
		if found {
			if old.Description == g.Description && maps.Equal(old.Tags, g.Tags) {
				made = old
				return nil
			}
			return &ExistsError{Kind: "billing group", ID: g.Name, ARN: r.ARN("billinggroup/" + g.Name)}
		}
		made = BillingGroup{Name: g.Name, ID: newID(), Description: g.Description, Version: 1, Created: r.opts.Now().UTC(), Tags: g.Tags}
		return x.put(keyBillingGroup+g.Name, made)
	})
	return made, err
}

// BillingGroup returns the billing group, or ErrNotFound.
func (r *Registry) BillingGroup(ctx context.Context, name string) (BillingGroup, error) {
	return stored[BillingGroup](ctx, r, keyBillingGroup+name, "billing group", name)
}

// BillingGroups yields the billing groups whose names have the prefix and come
// after the given one, in order.
func (r *Registry) BillingGroups(ctx context.Context, prefix, after string) iter.Seq2[BillingGroup, error] {
	if after != "" {
		after = keyBillingGroup + after
	}
	return scanFrom[BillingGroup](ctx, r, keyBillingGroup+prefix, after)
}

// UpdateBillingGroup replaces the description and returns the billing group as
// it is then, one version on. expected, if not 0, must be its version
// (ErrVersionConflict).
func (r *Registry) UpdateBillingGroup(ctx context.Context, name, description string, expected int64) (BillingGroup, error) {
	var g BillingGroup
	err := r.update(ctx, func(x *tx) error {
		var err error
		if g, err = x.billingGroup(name); err != nil {
			return err
		}
		if expected != 0 && expected != g.Version {
			return conflict("billing group", name, g.Version, expected)
		}
		g.Description = description
		if err := g.check(); err != nil {
			return err
		}
		g.Version++
		return x.put(keyBillingGroup+name, g)
	})
	return g, err
}

// DeleteBillingGroup removes a billing group. A name that does not exist is no
// error. expected, if not 0, must be its version. With things in it the error is
// ErrInvalid (our choice).
func (r *Registry) DeleteBillingGroup(ctx context.Context, name string, expected int64) error {
	return r.update(ctx, func(x *tx) error {
		g, err := x.billingGroup(name)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if expected != 0 && expected != g.Version {
			return conflict("billing group", name, g.Version, expected)
		}
		free, err := x.needEmpty(keyByBilling + name + "/")
		if err != nil {
			return err
		}
		if !free {
			return invalid("billingGroupName", "%s still has things", name)
		}
		x.delete(keyBillingGroup + name)
		return nil
	})
}

// SetBillingGroup puts a thing into a billing group, out of the one it was in:
// a thing has one at most. An empty group takes it out.
func (r *Registry) SetBillingGroup(ctx context.Context, thing, group string) error {
	return r.update(ctx, func(x *tx) error {
		if err := x.useBillingGroup(group); err != nil {
			return err
		}
		return x.setBillingGroup(thing, func(string) string { return group })
	})
}

// LeaveBillingGroup takes a thing out of a billing group, which has to exist;
// it is fine if the thing is in none, or in another.
func (r *Registry) LeaveBillingGroup(ctx context.Context, thing, group string) error {
	return r.update(ctx, func(x *tx) error {
		if _, err := x.billingGroup(group); err != nil {
			return err
		}
		x.relax(keyBillingGroup + group)
		return x.setBillingGroup(thing, func(old string) string {
			if old == group {
				return ""
			}
			return old
		})
	})
}

func (t *tx) setBillingGroup(thing string, group func(old string) string) error {
	old, err := t.thing(thing)
	if err != nil {
		return err
	}
	now := old
	if now.BillingGroup = group(old.BillingGroup); now.BillingGroup == old.BillingGroup {
		return nil
	}
	return t.putThing(&old, &now)
}

// ThingsInBillingGroup yields the names of the things in a billing group that
// come after the given one, in order.
func (r *Registry) ThingsInBillingGroup(ctx context.Context, group, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if _, err := r.BillingGroup(ctx, group); err != nil {
			yield("", err)
			return
		}
		r.names(ctx, keyByBilling+group+"/", after)(yield)
	}
}

func (t *tx) billingGroup(name string) (BillingGroup, error) {
	return needed[BillingGroup](t, keyBillingGroup+name, "billing group", name)
}

// useBillingGroup checks that a billing group is there and stays; that of no
// group is empty.
func (t *tx) useBillingGroup(name string) error {
	if name == "" {
		return nil
	}
	_, err := t.billingGroup(name)
	t.relax(keyBillingGroup + name)
	return err
}
