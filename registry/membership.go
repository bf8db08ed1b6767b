package registry

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
)

// AddThingToGroup makes the thing a member; it is fine if it is one. A thing
// can be in ten groups, and in one group of a tree (else ErrInvalid).
func (r *Registry) AddThingToGroup(ctx context.Context, thing, group string) error {
	return r.addThingToGroup(ctx, thing, group, false)
}

// AddThingToGroupOverriding is AddThingToGroup that makes room where there is none: the thing
// leaves the youngest dynamic group that it is in.
func (r *Registry) AddThingToGroupOverriding(ctx context.Context, thing, group string) error {
	return r.addThingToGroup(ctx, thing, group, true)
}

func (r *Registry) addThingToGroup(ctx context.Context, thing, group string, override bool) error {
	if err := r.releaseMembers(ctx, group); err != nil {
		return err
	}
	return r.update(ctx, func(x *tx) error {
		g, err := x.group(group)
		if err != nil {
			return err
		}
		if g.Dynamic != nil {
			return invalid("thingGroupName", "%s is a dynamic group, which its query fills", group)
		}
		// Only that the group is there matters, not what else changes in it.
		x.relax(keyGroup + group)
		old, err := x.thing(thing)
		if err != nil || slices.Contains(old.Groups, group) {
			return err
		}
		left := ""
		if len(old.Groups) >= maxGroupsPerThing && override {
			if left, err = x.youngestDynamic(old.Groups); err != nil {
				return err
			}
		}
		if len(old.Groups) >= maxGroupsPerThing && left == "" {
			return invalid("thingName", "%s is in %d groups, the most it may be", thing, maxGroupsPerThing)
		}
		for _, name := range old.Groups {
			other, err := r.Group(ctx, name)
			if errors.Is(err, ErrNotFound) {
				continue // deleted, and the thing not yet released
			}
			if err != nil {
				return err
			}
			if other.Root() == g.Root() {
				return invalid("thingGroupName", "%s is in the same tree as %s, which %s is in", group, name, thing)
			}
		}
		now := old
		now.Groups = append(slices.DeleteFunc(slices.Clone(old.Groups), func(g string) bool { return g == left }), group)
		slices.Sort(now.Groups)
		if err := x.putThing(&old, &now); err != nil {
			return err
		}
		if left != "" {
			if err := x.leave(&now, left); err != nil {
				return err
			}
		}
		return x.join(&now, &g)
	})
}

// RemoveThingFromGroup ends the membership; it is fine if there is none.
func (r *Registry) RemoveThingFromGroup(ctx context.Context, thing, group string) error {
	return r.update(ctx, func(x *tx) error {
		g, err := x.group(group)
		if err != nil {
			return err
		}
		if g.Dynamic != nil {
			return invalid("thingGroupName", "%s is a dynamic group, which its query fills", group)
		}
		x.relax(keyGroup + group)
		old, err := x.thing(thing)
		if err != nil || !slices.Contains(old.Groups, group) {
			return err
		}
		now := old
		now.Groups = slices.DeleteFunc(slices.Clone(old.Groups), func(g string) bool { return g == group })
		if err := x.putThing(&old, &now); err != nil {
			return err
		}
		return x.leave(&now, group)
	})
}

// join begins a membership without writing the thing.
func (t *tx) join(thing *Thing, g *Group) error {
	member := newID()
	if err := t.put(keyMember+g.Name+"/"+thing.Name, member); err != nil {
		return err
	}
	return t.membershipEvent("ADDED", g, thing, member)
}

// leave ends a membership without writing the thing.
func (t *tx) leave(thing *Thing, group string) error {
	var g Group
	if found, err := t.get(keyGroup+group, &g); err != nil {
		return err
	} else if !found {
		if _, err := t.get(keyReleased+group, &g); err != nil {
			return err
		}
	}
	t.relax(keyGroup + group)
	return t.endMembership(thing, &g)
}

func (t *tx) endMembership(thing *Thing, g *Group) error {
	var member string
	key := keyMember + g.Name + "/" + thing.Name
	if _, err := t.get(key, &member); err != nil {
		return err
	}
	t.delete(key)
	return t.membershipEvent("REMOVED", g, thing, member)
}

// leaveGroup takes the thing out of a group that is gone.
func (t *tx) leaveGroup(old *Thing, g *Group) error {
	now := *old
	now.Groups = slices.DeleteFunc(slices.Clone(old.Groups), func(name string) bool { return name == g.Name })
	if err := t.putThing(old, &now); err != nil {
		return err
	}
	return t.endMembership(&now, g)
}

// ThingsInGroup yields the names of the members that come after the given
// one, in order; with recursive also those of all groups below (a thing is in
// one group of a tree, so none comes twice).
func (r *Registry) ThingsInGroup(ctx context.Context, group string, recursive bool, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if _, err := r.Group(ctx, group); err != nil {
			yield("", err)
			return
		}
		if !recursive {
			r.names(ctx, keyMember+group+"/", after)(yield)
			return
		}
		lists := []string{group}
		for g, err := range r.Groups(ctx, GroupQuery{Parent: group, Recursive: true}) {
			if err != nil {
				yield("", err)
				return
			}
			lists = append(lists, g.Name)
		}
		r.mergedMembers(ctx, lists, after)(yield)
	}
}

// mergedMembers yields the members of several groups in one order of names.
func (r *Registry) mergedMembers(ctx context.Context, groups []string, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		type head struct {
			name string
			next func() (string, error, bool)
		}
		var heads []head
		for _, g := range groups {
			next, stop := iter.Pull2(r.names(ctx, keyMember+g+"/", after))
			defer stop()
			name, err, ok := next()
			if err != nil {
				yield("", err)
				return
			}
			if ok {
				heads = append(heads, head{name, next})
			}
		}
		for len(heads) > 0 {
			i := 0
			for j := range heads {
				if heads[j].name < heads[i].name {
					i = j
				}
			}
			if !yield(heads[i].name, nil) {
				return
			}
			name, err, ok := heads[i].next()
			if err != nil {
				yield("", err)
				return
			}
			if heads[i].name = name; !ok {
				heads = slices.Delete(heads, i, i+1)
			}
		}
	}
}

func (t *tx) membershipEvent(operation string, g *Group, thing *Thing, member string) error {
	return t.publishable(MembershipEvents, operation, thing.Name,
		"thingGroupMembership/thingGroup/"+g.Name+"/thing/"+thing.Name+"/"+strings.ToLower(operation),
		func(h eventHead) any {
			return struct {
				eventHead
				GroupARN     string `json:"groupArn"`
				GroupID      string `json:"groupId"`
				ThingARN     string `json:"thingArn"`
				ThingID      string `json:"thingId"`
				MembershipID string `json:"membershipId"`
			}{h, t.r.ARN("thinggroup/" + g.Name), g.ID, t.r.ARN("thing/" + thing.Name), thing.ID, member}
		})
}
