package registry

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
)

// A Thing is one device as the registry knows it.
type Thing struct {
	Name         string            `json:"name"`
	ID           string            `json:"id"` // a UUID, made by CreateThing
	Type         string            `json:"type,omitempty"`
	Attributes   map[string]string `json:"attributes,omitempty"`
	BillingGroup string            `json:"billing,omitempty"`
	Groups       []string          `json:"groups,omitempty"` // direct groups, in order
	Version      int64             `json:"version"`          // 1 at first, then one more for each update
}

// CreateThing adds a thing. Name is required; Type must exist and not be
// deprecated, BillingGroup must exist; ID, Groups and Version are the registry's to set. If the thing
// exists with the same type, attributes and billing group, it is returned as
// it is; else the error is ErrExists.
func (r *Registry) CreateThing(ctx context.Context, t Thing) (Thing, error) {
	if err := checkName("thingName", t.Name); err != nil {
		return Thing{}, err
	}
	if len(t.Groups) > 0 {
		return Thing{}, invalid("Groups", "cannot be given to CreateThing: use AddThingToGroup")
	}
	if err := checkAttributes(t.Attributes, attributeLimit(t.Type)); err != nil {
		return Thing{}, err
	}
	attrs := mergeAttributes(nil, t.Attributes, false)
	var made Thing
	err := r.update(ctx, func(x *tx) error {
		var old Thing
		found, err := x.get(keyThing+t.Name, &old)
		if err != nil {
			return err
		}
		if found {
			if old.Type == t.Type && old.BillingGroup == t.BillingGroup && maps.Equal(old.Attributes, attrs) {
				made = old
				return nil
			}
			return &ExistsError{Kind: "thing", ID: t.Name, ARN: r.ARN("thing/" + t.Name)}
		}
		made = Thing{Name: t.Name, ID: newID(), Type: t.Type, Attributes: attrs, BillingGroup: t.BillingGroup, Version: 1}
		if err := errors.Join(x.useType(t.Type), x.useBillingGroup(t.BillingGroup)); err != nil {
			return err
		}
		if err := x.putThing(nil, &made); err != nil {
			return err
		}
		if err := x.thingEvent("CREATED", &made); err != nil {
			return err
		}
		return x.association("ADDED", &made, made.Type)
	})
	return made, err
}

func attributeLimit(thingType string) int {
	if thingType == "" {
		return maxAttributesUntyped
	}
	return maxAttributes
}

// Thing returns the thing, or ErrNotFound.
func (r *Registry) Thing(ctx context.Context, name string) (Thing, error) {
	return stored[Thing](ctx, r, keyThing+name, "thing", name)
}

// A ThingUpdate changes one thing. What is zero stays as it is.
type ThingUpdate struct {
	Name string
	// Attributes replace all attributes if not nil. With Merge they are added
	// to them, and an empty value removes the attribute.
	Attributes map[string]string
	Merge      bool
	// Type is the new thing type; RemoveType drops the type.
	Type       string
	RemoveType bool
	// ExpectedVersion, if not 0, must be the version of the thing
	// (ErrVersionConflict).
	ExpectedVersion int64
}

// UpdateThing changes a thing and returns it as it is then, one version on.
func (r *Registry) UpdateThing(ctx context.Context, u ThingUpdate) (Thing, error) {
	if u.RemoveType && u.Type != "" {
		return Thing{}, invalid("removeThingType", "does not go together with thingTypeName")
	}
	var now Thing
	err := r.update(ctx, func(x *tx) error {
		old, err := x.thing(u.Name)
		if err != nil {
			return err
		}
		if u.ExpectedVersion != 0 && u.ExpectedVersion != old.Version {
			return conflict("thing", u.Name, old.Version, u.ExpectedVersion)
		}
		now = old
		now.Version++
		if u.Attributes != nil {
			now.Attributes = mergeAttributes(old.Attributes, u.Attributes, u.Merge)
		}
		switch {
		case u.RemoveType:
			now.Type = ""
		case u.Type != "":
			now.Type = u.Type
		}
		if err := checkAttributes(now.Attributes, attributeLimit(now.Type)); err != nil {
			return err
		}
		if now.Type != old.Type {
			if err := x.useType(now.Type); err != nil {
				return err
			}
		}
		if err := x.putThing(&old, &now); err != nil {
			return err
		}
		if err := x.thingEvent("UPDATED", &now); err != nil {
			return err
		}
		if now.Type == old.Type {
			return nil
		}
		if err := x.association("REMOVED", &old, old.Type); err != nil {
			return err
		}
		return x.association("ADDED", &now, now.Type)
	})
	return now, err
}

// DeleteThing removes a thing and its memberships. A name that does not exist
// is no error, as at AWS. prev, if not 0, must be the version of the thing.
// With principals attached the error is ErrInvalid.
func (r *Registry) DeleteThing(ctx context.Context, name string, prev int64) error {
	return r.update(ctx, func(x *tx) error {
		var old Thing
		found, err := x.get(keyThing+name, &old)
		if err != nil || !found {
			return err
		}
		if prev != 0 && prev != old.Version {
			return conflict("thing", name, old.Version, prev)
		}
		free, err := x.needEmpty(keyThingPrincipal + name + "/")
		if err != nil {
			return err
		}
		if !free {
			return invalid("thingName", "%s has principals attached: detach them first", name)
		}
		for _, g := range old.Groups {
			if err := x.leave(&old, g); err != nil {
				return err
			}
		}
		if err := x.putThing(&old, nil); err != nil {
			return err
		}
		if err := x.thingEvent("DELETED", &old); err != nil {
			return err
		}
		return x.association("REMOVED", &old, old.Type)
	})
}

// A ThingQuery selects things for Things. The zero value is all of them.
type ThingQuery struct {
	Type string // only things of this type
	// Attribute, if set, selects things whose attribute has this Value, or
	// begins with it if Prefix is set.
	Attribute, Value string
	Prefix           bool
	BillingGroup     string
	After            string // things that come after this name
}

// Things yields the selected things in the order of their names (by Attribute
// with Prefix: in the order of values, then names; After is then the last
// thing seen).
func (r *Registry) Things(ctx context.Context, q ThingQuery) iter.Seq2[Thing, error] {
	return func(yield func(Thing, error) bool) {
		if q.Attribute == "" && q.Type == "" && q.BillingGroup == "" {
			for t, err := range scan[Thing](ctx, r, keyThing, q.After) {
				if !yield(t, err) {
					return
				}
			}
			return
		}
		for name, err := range r.thingNames(ctx, q) {
			if err != nil {
				yield(Thing{}, err)
				return
			}
			var t Thing
			found, _, err := r.load(ctx, keyThing+name, &t)
			if err != nil {
				yield(Thing{}, err)
				return
			}
			// The index was read earlier than the thing.
			if found && q.matches(&t) && !yield(t, nil) {
				return
			}
		}
	}
}

// thingNames walks the index that narrows q down most.
func (r *Registry) thingNames(ctx context.Context, q ThingQuery) iter.Seq2[string, error] {
	switch {
	case q.Attribute != "" && !q.Prefix:
		return r.names(ctx, attributeKey(q.Attribute, q.Value, ""), q.After)
	case q.Attribute != "":
		return func(yield func(string, error) bool) {
			prefix := keyByAttr + escape(q.Attribute) + "/"
			after := ""
			if q.After != "" {
				last, err := r.Thing(ctx, q.After)
				if err != nil {
					yield("", err)
					return
				}
				after = attributeKey(q.Attribute, last.Attributes[q.Attribute], last.Name)
			}
			for e, err := range r.store.Scan(ctx, prefix+escape(q.Value), after) {
				if !yield(e.Key[strings.LastIndexByte(e.Key, '/')+1:], err) || err != nil {
					return
				}
			}
		}
	case q.Type != "":
		return r.names(ctx, keyByType+q.Type+"/", q.After)
	default:
		return r.names(ctx, keyByBilling+q.BillingGroup+"/", q.After)
	}
}

func (q *ThingQuery) matches(t *Thing) bool {
	if q.Type != "" && t.Type != q.Type || q.BillingGroup != "" && t.BillingGroup != q.BillingGroup {
		return false
	}
	if q.Attribute == "" {
		return true
	}
	v, ok := t.Attributes[q.Attribute]
	return ok && (v == q.Value || q.Prefix && strings.HasPrefix(v, q.Value))
}

func attributeKey(name, value, thing string) string {
	return keyByAttr + escape(name) + "/" + escape(value) + "/" + thing
}

// thing reads a thing that has to exist.
func (t *tx) thing(name string) (Thing, error) {
	return needed[Thing](t, keyThing+name, "thing", name)
}

// putThing writes a thing and its indexes; old is nil for a new one, now for
// one that is deleted.
func (t *tx) putThing(old, now *Thing) error {
	before, after := indexKeys(old), indexKeys(now)
	for _, key := range before {
		if !slices.Contains(after, key) {
			t.delete(key)
		}
	}
	for _, key := range after {
		if !slices.Contains(before, key) {
			t.mark(key)
		}
	}
	if old != nil && now != nil {
		t.things = append(t.things, old.Name)
	}
	if now == nil {
		t.delete(keyThing + old.Name)
		return nil
	}
	return t.put(keyThing+now.Name, now)
}

func indexKeys(t *Thing) []string {
	if t == nil {
		return nil
	}
	var keys []string
	if t.Type != "" {
		keys = append(keys, keyByType+t.Type+"/"+t.Name)
	}
	if t.BillingGroup != "" {
		keys = append(keys, keyByBilling+t.BillingGroup+"/"+t.Name)
	}
	for name, value := range t.Attributes {
		keys = append(keys, attributeKey(name, value, t.Name))
	}
	return keys
}

func (t *tx) thingEvent(operation string, v *Thing) error {
	return t.publishable(ThingEvents, operation, v.Name, "thing/"+v.Name+"/"+strings.ToLower(operation),
		func(h eventHead) any {
			return struct {
				eventHead
				ThingID       string            `json:"thingId"`
				ThingName     string            `json:"thingName"`
				VersionNumber int64             `json:"versionNumber"`
				ThingTypeName *string           `json:"thingTypeName"`
				Attributes    map[string]string `json:"attributes"`
			}{h, v.ID, v.Name, v.Version, orNull(v.Type), v.Attributes}
		})
}

func (t *tx) association(operation string, v *Thing, thingType string) error {
	if thingType == "" {
		return nil
	}
	return t.publishable(ThingTypeAssociationEvents, operation, v.Name,
		"thingTypeAssociation/thing/"+v.Name+"/thingType/"+thingType+"/"+strings.ToLower(operation),
		func(h eventHead) any {
			return struct {
				eventHead
				ThingID       string `json:"thingId"`
				ThingName     string `json:"thingName"`
				ThingTypeName string `json:"thingTypeName"`
			}{h, v.ID, v.Name, thingType}
		})
}
