package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Dynamic is what makes a Group a dynamic one: its members are the things that a query over the fleet index finds.
// Who keeps them is registry/dynamicgroup; this package stores what it says, and checks no query.
//
// A dynamic group is no part of a hierarchy, takes no policies, and nobody adds or removes its things.
type Dynamic struct {
	Query  string      `json:"query"`
	Status GroupStatus `json:"status"`
}

// A GroupStatus says whether all members of a dynamic group are known.
type GroupStatus string

// The statuses.
const (
	GroupBuilding   GroupStatus = "BUILDING"
	GroupActive     GroupStatus = "ACTIVE"
	GroupRebuilding GroupStatus = "REBUILDING" // another query, not yet asked about all things
)

// maxDynamic bounds the dynamic groups of an account.
const maxDynamic = 100

// keyDynamic holds the names of the dynamic groups, the oldest first.
const keyDynamic = "gd"

// CreateDynamicGroup adds a group with Name, Description, Attributes and Tags of g for what query finds. Above 100 dynamic
// groups it is ErrLimit.
func (r *Registry) CreateDynamicGroup(ctx context.Context, g Group, query string) (Group, error) {
	if err := g.check(); err != nil {
		return Group{}, err
	}
	if err := r.releaseMembers(ctx, g.Name); err != nil {
		return Group{}, err
	}
	var made Group
	err := r.update(ctx, func(x *tx) error {
		var there bool
		var err error
		made, there, err = x.newGroup(&g, func(old *Group) bool { return old.Dynamic != nil && old.Dynamic.Query == query })
		if err != nil || there {
			return err
		}
		names, err := x.dynamicGroups()
		if err != nil {
			return err
		}
		if len(names) >= maxDynamic {
			return fmt.Errorf("registry: there are %d dynamic thing groups: %w", len(names), ErrLimit)
		}
		made.Dynamic = &Dynamic{Query: query, Status: GroupBuilding}
		if err := errors.Join(x.put(keyGroup+made.Name, made), x.put(keyDynamic, append(names, made.Name))); err != nil {
			return err
		}
		return x.groupEvent("CREATED", &made)
	})
	return made, err
}

// UpdateDynamicGroup changes a dynamic group, with another query if that is not nil.
func (r *Registry) UpdateDynamicGroup(ctx context.Context, u GroupUpdate, query *string) (Group, error) {
	return r.updateGroup(ctx, u, func(g *Group) error {
		if g.Dynamic == nil {
			return invalid("thingGroupName", "%s is a static group", g.Name)
		}
		if query != nil && *query != g.Dynamic.Query {
			g.Dynamic = &Dynamic{Query: *query, Status: GroupRebuilding}
		}
		return nil
	})
}

// DeleteDynamicGroup removes a dynamic group; its things leave it. Otherwise it is as DeleteGroup.
func (r *Registry) DeleteDynamicGroup(ctx context.Context, name string, prev int64) error {
	return r.deleteGroup(ctx, name, prev, true)
}

// DynamicGroups returns the dynamic groups, the oldest first.
func (r *Registry) DynamicGroups(ctx context.Context) ([]Group, error) {
	var names []string
	if _, _, err := r.load(ctx, keyDynamic, &names); err != nil {
		return nil, err
	}
	all := make([]Group, 0, len(names))
	for _, name := range names {
		g, err := r.Group(ctx, name)
		if errors.Is(err, ErrNotFound) {
			continue // deleted between the two reads
		}
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

// DynamicGroupBuilt notes that all things were asked about the query of g, unless it has another one by now.
func (r *Registry) DynamicGroupBuilt(ctx context.Context, g Group) error {
	return r.update(ctx, func(x *tx) error {
		now, err := x.group(g.Name)
		if err != nil || now.ID != g.ID || now.Dynamic == nil || now.Dynamic.Query != g.Dynamic.Query || now.Dynamic.Status == GroupActive {
			return err
		}
		now.Dynamic.Status = GroupActive
		return x.put(keyGroup+g.Name, now)
	})
}

// SetDynamicMemberships makes the thing a member of the dynamic groups named, and of no other. Where static groups and
// these are more than a thing can be in, the youngest of these are left out, and returned. A name that is no dynamic group
// is left out in silence: it was deleted meanwhile.
func (r *Registry) SetDynamicMemberships(ctx context.Context, thing string, groups []string) (out []string, err error) {
	err = r.update(ctx, func(x *tx) error {
		all, err := x.dynamicGroups()
		if err != nil {
			return err
		}
		old, err := x.thing(thing)
		if err != nil {
			return err
		}
		static := slices.DeleteFunc(slices.Clone(old.Groups), func(g string) bool { return slices.Contains(all, g) })
		now := old
		now.Groups, out = static, nil
		for _, g := range all { // the oldest first
			switch {
			case !slices.Contains(groups, g):
			case len(now.Groups) < maxGroupsPerThing:
				now.Groups = append(now.Groups, g)
			default:
				out = append(out, g)
			}
		}
		slices.Sort(now.Groups)
		if slices.Equal(now.Groups, old.Groups) {
			return nil
		}
		if err := x.putThing(&old, &now); err != nil {
			return err
		}
		for _, g := range old.Groups {
			if !slices.Contains(now.Groups, g) {
				if err := x.leave(&now, g); err != nil {
					return err
				}
			}
		}
		for _, name := range now.Groups {
			if slices.Contains(old.Groups, name) {
				continue
			}
			g, err := x.group(name)
			if err != nil {
				return err
			}
			x.relax(keyGroup + name)
			if err := x.join(&now, &g); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// dynamicGroups are the names of the dynamic groups, the oldest first.
func (t *tx) dynamicGroups() ([]string, error) {
	var names []string
	_, err := t.get(keyDynamic, &names)
	return names, err
}

// youngestDynamic is the youngest dynamic group among groups, empty if there is none.
func (t *tx) youngestDynamic(groups []string) (string, error) {
	all, err := t.dynamicGroups()
	for _, g := range slices.Backward(all) {
		if slices.Contains(groups, g) {
			return g, err
		}
	}
	return "", err
}

// mappingID is what events call the query of a group.
func (g *Group) mappingID() *string {
	if g.Dynamic == nil {
		return nil
	}
	return &g.ID
}
