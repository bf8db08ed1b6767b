package registry

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A ThingType is what things of one model have in common.
type ThingType struct {
	Name        string   `json:"name"`
	ID          string   `json:"id"` // a UUID
	Description string   `json:"description,omitempty"`
	Searchable  []string `json:"searchable,omitempty"` // at most 3 attribute names
	// Propagating attributes are added to what things of this type publish,
	// as MQTT 5 user properties.
	Propagating []PropagatingAttribute `json:"propagating,omitempty"`
	Created     time.Time              `json:"created"`
	Deprecated  time.Time              `json:"deprecated,omitzero"` // zero: not deprecated
	Tags        map[string]string      `json:"tags,omitempty"`      // see ChangeTags
}

// A PropagatingAttribute names a user property and where its value is from:
// one of Thing, an attribute of the thing, and Connection, "iot:ClientId" or
// "iot:Thing.ThingName".
type PropagatingAttribute struct {
	Key        string `json:"userPropertyKey"`
	Thing      string `json:"thingAttribute,omitempty"`
	Connection string `json:"connectionAttribute,omitempty"`
}

// deprecationDelay is how long a type is deprecated before it may be deleted.
const deprecationDelay = 5 * time.Minute

func (t *ThingType) check() error {
	if err := checkName("thingTypeName", t.Name); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(t.Description); n > maxDescription {
		return invalid("thingTypeDescription", "has %d characters, more than %d", n, maxDescription)
	}
	if len(t.Searchable) > maxSearchable {
		return invalid("searchableAttributes", "has %d names, more than %d", len(t.Searchable), maxSearchable)
	}
	for _, name := range t.Searchable {
		if err := checkChars("searchableAttributes", name, attributeNameChars, maxName); err != nil {
			return err
		}
	}
	if len(t.Propagating) > maxPropagating {
		return invalid("propagatingAttributes", "has %d entries, more than %d", len(t.Propagating), maxPropagating)
	}
	for _, p := range t.Propagating {
		if p.Key == "" || len(p.Key) > maxName {
			return invalid("userPropertyKey", "%q is empty or longer than %d", p.Key, maxName)
		}
		switch {
		case (p.Thing == "") == (p.Connection == ""):
			return invalid("propagatingAttributes", "%q needs one of thingAttribute and connectionAttribute", p.Key)
		case p.Connection != "" && p.Connection != "iot:ClientId" && p.Connection != "iot:Thing.ThingName":
			return invalid("connectionAttribute", "%q is unknown", p.Connection)
		}
	}
	return checkTags(t.Tags)
}

func (t *ThingType) same(u *ThingType) bool {
	return maps.Equal(t.Tags, u.Tags) && t.Description == u.Description && slices.Equal(t.Searchable, u.Searchable) && slices.Equal(t.Propagating, u.Propagating)
}

// CreateThingType adds a type. Creating the same again returns what is there;
// with other properties or tags the error is ErrExists.
func (r *Registry) CreateThingType(ctx context.Context, t ThingType) (ThingType, error) {
	if err := t.check(); err != nil {
		return ThingType{}, err
	}
	var made ThingType
	err := r.update(ctx, func(x *tx) error {
		var old ThingType
		found, err := x.get(keyType+t.Name, &old)
		if err != nil {
			return err
		}
		if found {
			if old.same(&t) {
				made = old
				return nil
			}
			return &ExistsError{Kind: "thing type", ID: t.Name, ARN: r.ARN("thingtype/" + t.Name)}
		}
		made = t
		made.ID, made.Created, made.Deprecated = newID(), r.opts.Now().UTC(), time.Time{}
		if err := x.put(keyType+t.Name, made); err != nil {
			return err
		}
		return x.typeEvent("CREATED", &made)
	})
	return made, err
}

// ThingType returns the type, or ErrNotFound.
func (r *Registry) ThingType(ctx context.Context, name string) (ThingType, error) {
	return stored[ThingType](ctx, r, keyType+name, "thing type", name)
}

// ThingTypes yields the types whose names come after the given one, in order.
func (r *Registry) ThingTypes(ctx context.Context, after string) iter.Seq2[ThingType, error] {
	return scan[ThingType](ctx, r, keyType, after)
}

// UpdateThingType replaces description, searchable and propagating attributes.
func (r *Registry) UpdateThingType(ctx context.Context, t ThingType) (ThingType, error) {
	if err := t.check(); err != nil {
		return ThingType{}, err
	}
	var now ThingType
	err := r.update(ctx, func(x *tx) error {
		var err error
		if now, err = x.thingType(t.Name); err != nil {
			return err
		}
		now.Description, now.Searchable, now.Propagating = t.Description, t.Searchable, t.Propagating
		if err := x.put(keyType+t.Name, now); err != nil {
			return err
		}
		return x.typeEvent("UPDATED", &now)
	})
	return now, err
}

// DeprecateThingType stops new things of this type, or with undo allows them
// again. Things that have it keep it.
func (r *Registry) DeprecateThingType(ctx context.Context, name string, undo bool) error {
	return r.update(ctx, func(x *tx) error {
		t, err := x.thingType(name)
		if err != nil || t.Deprecated.IsZero() == undo {
			return err
		}
		if t.Deprecated = r.opts.Now().UTC(); undo {
			t.Deprecated = time.Time{}
		}
		if err := x.put(keyType+name, t); err != nil {
			return err
		}
		return x.typeEvent("UPDATED", &t)
	})
}

// DeleteThingType removes a type that has been deprecated for five minutes
// and that no thing has (else ErrInvalid).
func (r *Registry) DeleteThingType(ctx context.Context, name string) error {
	return r.update(ctx, func(x *tx) error {
		t, err := x.thingType(name)
		if err != nil {
			return err
		}
		if t.Deprecated.IsZero() {
			return invalid("thingTypeName", "%s is not deprecated: deprecate it first", name)
		}
		if since := r.opts.Now().Sub(t.Deprecated); since < deprecationDelay {
			return invalid("thingTypeName", "%s has been deprecated for %s, less than %s", name, since.Round(time.Second), deprecationDelay)
		}
		free, err := x.needEmpty(keyByType + name + "/")
		if err != nil {
			return err
		}
		if !free {
			return invalid("thingTypeName", "%s still has things", name)
		}
		x.delete(keyType + name)
		return x.typeEvent("DELETED", &t)
	})
}

func (t *tx) thingType(name string) (ThingType, error) {
	return needed[ThingType](t, keyType+name, "thing type", name)
}

// useType checks that things may get the type; that of no type is empty.
func (t *tx) useType(name string) error {
	if name == "" {
		return nil
	}
	v, err := t.thingType(name)
	if err == nil && !v.Deprecated.IsZero() {
		err = invalid("thingTypeName", "%s is deprecated", name)
	}
	return err
}

func (t *tx) typeEvent(operation string, v *ThingType) error {
	return t.publishable(ThingTypeEvents, operation, v.Name, "thingType/"+v.Name+"/"+strings.ToLower(operation),
		func(h eventHead) any {
			var deprecated *int64
			if !v.Deprecated.IsZero() {
				ms := v.Deprecated.UnixMilli()
				deprecated = &ms
			}
			return struct {
				eventHead
				ID          string                 `json:"thingTypeId"`
				Name        string                 `json:"thingTypeName"`
				Deprecated  bool                   `json:"isDeprecated"`
				Date        *int64                 `json:"deprecationDate"`
				Searchable  []string               `json:"searchableAttributes"`
				Propagating []PropagatingAttribute `json:"propagatingAttributes"`
				Description string                 `json:"description"`
			}{h, v.ID, v.Name, deprecated != nil, deprecated, append([]string{}, v.Searchable...),
				append([]PropagatingAttribute{}, v.Propagating...), v.Description}
		})
}
