package registry

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A Group is a thing group. Static groups form a forest of at most seven
// levels; policies attached to a group hold for the things of all groups
// below it. See Dynamic for the others.
type Group struct {
	Name        string            `json:"name"`
	ID          string            `json:"id"` // a UUID
	Description string            `json:"description,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	// Path leads from the root to the parent; it is empty for a root.
	Path     []string  `json:"path,omitempty"`
	Children int       `json:"children,omitempty"` // direct ones
	Version  int64     `json:"version"`
	Created  time.Time `json:"created"`
	Dynamic  *Dynamic  `json:"dynamic,omitempty"` // nil of a static group
	// Tags are set at creation and by ChangeTags.
	Tags map[string]string `json:"tags,omitempty"`
}

// Parent returns the name of the group above, or "".
func (g *Group) Parent() string {
	if len(g.Path) == 0 {
		return ""
	}
	return g.Path[len(g.Path)-1]
}

// Root returns the name of the topmost group of the tree, which may be g.
func (g *Group) Root() string {
	if len(g.Path) == 0 {
		return g.Name
	}
	return g.Path[0]
}

func (g *Group) check() error {
	if err := checkName("thingGroupName", g.Name); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(g.Description); n > maxDescription {
		return invalid("thingGroupDescription", "has %d characters, more than %d", n, maxDescription)
	}
	if err := checkTags(g.Tags); err != nil {
		return err
	}
	return checkAttributes(g.Attributes, maxAttributes)
}

// CreateGroup adds a group with Name, Description, Attributes and Tags of g below
// parent, or as a root if parent is empty. The parent cannot change later.
func (r *Registry) CreateGroup(ctx context.Context, g Group, parent string) (Group, error) {
	if err := g.check(); err != nil {
		return Group{}, err
	}
	// A deleted group of this name may still have members to release.
	if err := r.releaseMembers(ctx, g.Name); err != nil {
		return Group{}, err
	}
	var made Group
	err := r.update(ctx, func(x *tx) error {
		var there bool
		var err error
		made, there, err = x.newGroup(&g, func(old *Group) bool { return old.Dynamic == nil && old.Parent() == parent })
		if err != nil || there {
			return err
		}
		if parent == "" {
			if err := x.put(keyGroup+made.Name, made); err != nil {
				return err
			}
			return x.groupEvent("CREATED", &made)
		}
		above, err := x.group(parent)
		if err != nil {
			return err
		}
		if above.Dynamic != nil {
			return invalid("parentGroupName", "%s is a dynamic group", parent)
		}
		made.Path = append(append([]string{}, above.Path...), parent)
		if len(made.Path) >= maxGroupDepth {
			return invalid("parentGroupName", "%s is at level %d, the last one", parent, maxGroupDepth)
		}
		if above.Children >= maxChildren {
			return invalid("parentGroupName", "%s has %d child groups, the most it may have", parent, maxChildren)
		}
		above.Children++
		if err := x.put(keyGroup+parent, above); err != nil {
			return err
		}
		if err := x.put(keyGroup+made.Name, made); err != nil {
			return err
		}
		x.mark(keyChild + parent + "/" + made.Name)
		if err := x.groupEvent("CREATED", &made); err != nil {
			return err
		}
		return x.hierarchyEvent("ADDED", &above, &made)
	})
	return made, err
}

// newGroup makes a group with Name, Description, Attributes and Tags of g, without storing it. Where there is one of that name, it is
// returned if it is the same, also by what same says.
func (t *tx) newGroup(g *Group, same func(old *Group) bool) (made Group, there bool, err error) {
	var old Group
	there, err = t.get(keyGroup+g.Name, &old)
	switch {
	case err != nil:
		return Group{}, false, err
	case there && same(&old) && old.Description == g.Description && sameAttributes(old.Attributes, g.Attributes) && maps.Equal(old.Tags, g.Tags):
		return old, true, nil
	case there:
		return Group{}, false, &ExistsError{Kind: "thing group", ID: g.Name, ARN: t.r.ARN("thinggroup/" + g.Name)}
	}
	return Group{Name: g.Name, ID: newID(), Description: g.Description, Attributes: mergeAttributes(nil, g.Attributes, false),
		Version: 1, Created: t.r.opts.Now().UTC(), Tags: g.Tags}, false, nil
}

func sameAttributes(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// Group returns the group, or ErrNotFound.
func (r *Registry) Group(ctx context.Context, name string) (Group, error) {
	return stored[Group](ctx, r, keyGroup+name, "thing group", name)
}

// A GroupQuery selects groups for Groups. The zero value is all of them.
type GroupQuery struct {
	Prefix    string // of the name
	Parent    string // direct children of this group, with Recursive all below
	Recursive bool
	After     string // groups that come after this name
}

// Groups yields the selected groups in the order of their names.
func (r *Registry) Groups(ctx context.Context, q GroupQuery) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		if q.Parent != "" && !q.Recursive {
			for name, err := range r.names(ctx, keyChild+q.Parent+"/", q.After) {
				var g Group
				found := false
				if err == nil {
					found, _, err = r.load(ctx, keyGroup+name, &g)
				}
				if err != nil {
					yield(Group{}, err)
					return
				}
				if found && strings.HasPrefix(name, q.Prefix) && !yield(g, nil) {
					return
				}
			}
			return
		}
		after := ""
		if q.After != "" {
			after = keyGroup + q.After
		}
		for g, err := range scanFrom[Group](ctx, r, keyGroup+q.Prefix, after) {
			if err == nil && q.Parent != "" && !below(&g, q.Parent) {
				continue
			}
			if !yield(g, err) || err != nil {
				return
			}
		}
	}
}

func below(g *Group, above string) bool {
	for _, name := range g.Path {
		if name == above {
			return true
		}
	}
	return false
}

// A GroupUpdate changes one group. What is nil stays as it is.
type GroupUpdate struct {
	Name        string
	Description *string
	Attributes  map[string]string // as in ThingUpdate
	Merge       bool
	// ExpectedVersion, if not 0, must be the version of the group.
	ExpectedVersion int64
}

// UpdateGroup changes a group and returns it as it is then, one version on.
func (r *Registry) UpdateGroup(ctx context.Context, u GroupUpdate) (Group, error) {
	return r.updateGroup(ctx, u, func(g *Group) error {
		if g.Dynamic != nil {
			return invalid("thingGroupName", "%s is a dynamic group", g.Name)
		}
		return nil
	})
}

// updateGroup is UpdateGroup for a group that more changes, or refuses.
func (r *Registry) updateGroup(ctx context.Context, u GroupUpdate, more func(*Group) error) (Group, error) {
	var g Group
	err := r.update(ctx, func(x *tx) error {
		var err error
		if g, err = x.group(u.Name); err != nil {
			return err
		}
		if u.ExpectedVersion != 0 && u.ExpectedVersion != g.Version {
			return conflict("thing group", u.Name, g.Version, u.ExpectedVersion)
		}
		if err := more(&g); err != nil {
			return err
		}
		if u.Description != nil {
			g.Description = *u.Description
		}
		if u.Attributes != nil {
			g.Attributes = mergeAttributes(g.Attributes, u.Attributes, u.Merge)
		}
		if err := g.check(); err != nil {
			return err
		}
		g.Version++
		if err := x.put(keyGroup+u.Name, g); err != nil {
			return err
		}
		return x.groupEvent("UPDATED", &g)
	})
	return g, err
}

// DeleteGroup removes a group; its things leave it, its policies are
// detached. A name that does not exist is no error. With child groups the
// error is ErrInvalid. prev, if not 0, must be the version of the group.
func (r *Registry) DeleteGroup(ctx context.Context, name string, prev int64) error {
	return r.deleteGroup(ctx, name, prev, false)
}

func (r *Registry) deleteGroup(ctx context.Context, name string, prev int64, dynamic bool) error {
	err := r.update(ctx, func(x *tx) error {
		var g Group
		found, err := x.get(keyGroup+name, &g)
		if err != nil || !found {
			return err
		}
		if prev != 0 && prev != g.Version {
			return conflict("thing group", name, g.Version, prev)
		}
		if dynamic != (g.Dynamic != nil) {
			return invalid("thingGroupName", "%s is another kind of group", name)
		}
		if dynamic {
			names, err := x.dynamicGroups()
			if err != nil {
				return err
			}
			if err := x.put(keyDynamic, slices.DeleteFunc(names, func(n string) bool { return n == name })); err != nil {
				return err
			}
		}
		if g.Children > 0 {
			return invalid("thingGroupName", "%s has %d child groups: delete them first", name, g.Children)
		}
		if err := x.detachAll(r.ARN("thinggroup/" + name)); err != nil {
			return err
		}
		x.delete(keyGroup + name)
		// Members are released after this, a part at a time: a group may
		// have a million. The mark makes sure of it, over a crash too.
		if err := x.put(keyReleased+name, g); err != nil {
			return err
		}
		x.accessChanged(GroupEvents, "DELETED", name, "", "")
		if err := x.groupEvent("DELETED", &g); err != nil {
			return err
		}
		if g.Parent() == "" {
			return nil
		}
		above, err := x.group(g.Parent())
		if err != nil {
			return err
		}
		above.Children--
		x.delete(keyChild + above.Name + "/" + name)
		if err := x.put(keyGroup+above.Name, above); err != nil {
			return err
		}
		return x.hierarchyEvent("REMOVED", &above, &g)
	})
	if err != nil {
		return err
	}
	return r.releaseMembers(ctx, name)
}

// releaseMembers takes the things out of a group that was deleted.
func (r *Registry) releaseMembers(ctx context.Context, name string) error {
	var g Group
	if found, _, err := r.load(ctx, keyReleased+name, &g); err != nil || !found {
		return err
	}
	for thing, err := range r.names(ctx, keyMember+name+"/", "") {
		if err != nil {
			return err
		}
		err := r.update(ctx, func(x *tx) error {
			t, err := x.thing(thing)
			if err != nil {
				return err
			}
			return x.leaveGroup(&t, &g)
		})
		if err != nil && !errors.Is(err, ErrNotFound) { // deleted meanwhile
			return err
		}
	}
	return r.update(ctx, func(x *tx) error {
		empty, err := x.needEmpty(keyMember + name + "/")
		if err == nil && empty {
			x.delete(keyReleased + name)
		}
		return err
	})
}

// group reads a group that has to exist.
func (t *tx) group(name string) (Group, error) {
	return needed[Group](t, keyGroup+name, "thing group", name)
}

func (t *tx) groupEvent(operation string, g *Group) error {
	type ref struct {
		ARN string `json:"groupArn"`
		ID  string `json:"groupId"`
	}
	path := []ref{}
	var parentID string
	for _, name := range g.Path {
		var above Group
		if _, _, err := t.r.load(t.ctx, keyGroup+name, &above); err != nil {
			return err
		}
		path = append(path, ref{t.r.ARN("thinggroup/" + name), above.ID})
		parentID = above.ID
	}
	return t.publishable(GroupEvents, operation, g.Name, "thingGroup/"+g.Name+"/"+strings.ToLower(operation),
		func(h eventHead) any {
			return struct {
				eventHead
				ID          string            `json:"thingGroupId"`
				Name        string            `json:"thingGroupName"`
				Version     int64             `json:"versionNumber"`
				Parent      *string           `json:"parentGroupName"`
				ParentID    *string           `json:"parentGroupId"`
				Description string            `json:"description"`
				Path        []ref             `json:"rootToParentThingGroups"`
				Attributes  map[string]string `json:"attributes"`
				Dynamic     *string           `json:"dynamicGroupMappingId"`
			}{h, g.ID, g.Name, g.Version, orNull(g.Parent()), orNull(parentID), g.Description, path, g.Attributes, g.mappingID()}
		})
}

func (t *tx) hierarchyEvent(operation string, parent, child *Group) error {
	return t.publishable(HierarchyEvents, operation, child.Name,
		"thingGroupHierarchy/thingGroup/"+parent.Name+"/childThingGroup/"+child.Name+"/"+strings.ToLower(operation),
		func(h eventHead) any {
			return struct {
				eventHead
				ID        string `json:"thingGroupId"`
				Name      string `json:"thingGroupName"`
				ChildID   string `json:"childGroupId"`
				ChildName string `json:"childGroupName"`
			}{h, parent.ID, parent.Name, child.ID, child.Name}
		})
}
