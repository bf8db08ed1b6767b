package registryhttp

import (
	"iter"
	"strings"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
)

// groupProperties are the properties of a group on the wire.
type groupProperties struct {
	Description *string           `json:"thingGroupDescription,omitempty"`
	Attributes  *attributePayload `json:"attributePayload,omitempty"`
}

// groupRef names a group.
type groupRef struct {
	Name string `json:"groupName"`
	ARN  string `json:"groupArn"`
}

func (c *call) groupRef(name string) groupRef { return groupRef{name, c.reg.ARN("thinggroup/" + name)} }

func createThingGroup(c *call, in struct {
	ParentGroupName      string
	ThingGroupProperties groupProperties
	Tags                 awshttp.Tags
}) (any, error) {
	g := registry.Group{Name: c.PathValue("thingGroupName"), Tags: in.Tags}
	if p := in.ThingGroupProperties; p.Description != nil {
		g.Description = *p.Description
	}
	if p := in.ThingGroupProperties; p.Attributes != nil {
		g.Attributes = p.Attributes.Attributes
	}
	g, err := c.reg.CreateGroup(c.Context(), g, in.ParentGroupName)
	return struct {
		Name string `json:"thingGroupName"`
		ARN  string `json:"thingGroupArn"`
		ID   string `json:"thingGroupId"`
	}{g.Name, c.reg.ARN("thinggroup/" + g.Name), g.ID}, err
}

func updateThingGroup(c *call, in struct {
	ThingGroupProperties *groupProperties
	ExpectedVersion      int64
}) (any, error) {
	if in.ThingGroupProperties == nil {
		return nil, &awshttp.InputError{Field: "thingGroupProperties", Reason: "is missing"}
	}
	u := registry.GroupUpdate{Name: c.PathValue("thingGroupName"), Description: in.ThingGroupProperties.Description, ExpectedVersion: in.ExpectedVersion}
	if a := in.ThingGroupProperties.Attributes; a != nil {
		u.Attributes, u.Merge = a.Attributes, a.Merge
	}
	g, err := c.reg.UpdateGroup(c.Context(), u)
	return struct {
		Version int64 `json:"version"`
	}{g.Version}, err
}

func deleteThingGroup(c *call) (any, error) {
	version, err := c.Number("expectedVersion")
	if err != nil {
		return nil, err
	}
	return nil, c.reg.DeleteGroup(c.Context(), c.PathValue("thingGroupName"), version)
}

func describeThingGroup(c *call) (any, error) {
	g, err := c.reg.Group(c.Context(), c.PathValue("thingGroupName"))
	if err != nil {
		return nil, err
	}
	type metadata struct {
		Parent  string          `json:"parentGroupName,omitempty"`
		Path    []groupRef      `json:"rootToParentThingGroups,omitempty"`
		Created awshttp.Seconds `json:"creationDate"`
	}
	m := metadata{Parent: g.Parent(), Created: awshttp.Seconds(g.Created)}
	for _, name := range g.Path {
		m.Path = append(m.Path, c.groupRef(name))
	}
	properties := groupProperties{Attributes: &attributePayload{Attributes: orEmpty(g.Attributes)}}
	if g.Description != "" {
		properties.Description = &g.Description
	}
	type dynamic struct {
		Index        string               `json:"indexName"`
		Query        string               `json:"queryString"`
		QueryVersion string               `json:"queryVersion"`
		Status       registry.GroupStatus `json:"status"`
	}
	var d *dynamic
	if g.Dynamic != nil {
		d = &dynamic{"AWS_Things", g.Dynamic.Query, "2017-09-30", g.Dynamic.Status}
	}
	return struct {
		Name       string          `json:"thingGroupName"`
		ID         string          `json:"thingGroupId"`
		ARN        string          `json:"thingGroupArn"`
		Version    int64           `json:"version"`
		Properties groupProperties `json:"thingGroupProperties"`
		Metadata   metadata        `json:"thingGroupMetadata"`
		*dynamic
	}{g.Name, g.ID, c.reg.ARN("thinggroup/" + g.Name), g.Version, properties, m, d}, nil
}

func listThingGroups(c *call) (any, error) {
	recursive := true
	if c.Query("recursive") != "" {
		var err error
		if recursive, err = c.Flag("recursive"); err != nil {
			return nil, err
		}
	}
	q := registry.GroupQuery{Prefix: c.Query("namePrefixFilter"), Parent: c.Query("parentGroup"), Recursive: recursive}
	if q.Parent != "" {
		if _, err := c.reg.Group(c.Context(), q.Parent); err != nil {
			return nil, err
		}
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken,
		func(after string) iter.Seq2[registry.Group, error] {
			q.After = after
			return func(yield func(registry.Group, error) bool) {
				for g, err := range c.reg.Groups(c.Context(), q) {
					// Without a parent, not recursive means the roots.
					if err == nil && !recursive && q.Parent == "" && g.Parent() != "" {
						continue
					}
					if !yield(g, err) {
						return
					}
				}
			}
		},
		func(g registry.Group) string { return g.Name },
		func(g registry.Group) groupRef { return c.groupRef(g.Name) })
	return struct {
		Groups []groupRef `json:"thingGroups"`
		Token  string     `json:"nextToken,omitempty"`
	}{items, token}, err
}

// membership reads thing and group, each by name or ARN.
func (c *call) membership() (thing, group string, override bool, err error) {
	var in struct {
		ThingGroupName, ThingGroupArn, ThingName, ThingArn string
		OverrideDynamicGroups                              bool
	}
	if err := c.Body(&in); err != nil {
		return "", "", false, err
	}
	if thing, err = c.named("thing", in.ThingName, in.ThingArn); err != nil {
		return "", "", false, err
	}
	group, err = c.named("thingGroup", in.ThingGroupName, in.ThingGroupArn)
	return thing, group, in.OverrideDynamicGroups, err
}

// named returns what a request names by name, ARN or both.
func (c *call) named(field, name, arn string) (string, error) {
	fromARN, ok := strings.CutPrefix(arn, c.reg.ARN(strings.ToLower(field)+"/"))
	switch {
	case arn != "" && !ok:
		return "", &awshttp.InputError{Field: field + "Arn", Reason: arn + " is not one of this account"}
	case name == "" && arn == "":
		return "", &awshttp.InputError{Field: field + "Name", Reason: "is missing"}
	case name != "" && arn != "" && name != fromARN:
		return "", &awshttp.InputError{Field: field + "Arn", Reason: "names another than " + field + "Name"}
	case name != "":
		return name, nil
	}
	return fromARN, nil
}

// add makes the thing a member.
func (c *call) add(thing, group string, override bool) error {
	if override {
		return c.reg.AddThingToGroupOverriding(c.Context(), thing, group)
	}
	return c.reg.AddThingToGroup(c.Context(), thing, group)
}

func addThingToThingGroup(c *call) (any, error) {
	thing, group, override, err := c.membership()
	if err != nil {
		return nil, err
	}
	return nil, c.add(thing, group, override)
}

func removeThingFromThingGroup(c *call) (any, error) {
	thing, group, _, err := c.membership()
	if err != nil {
		return nil, err
	}
	return nil, c.reg.RemoveThingFromGroup(c.Context(), thing, group)
}

func updateThingGroupsForThing(c *call, in struct {
	ThingName                             string
	ThingGroupsToAdd, ThingGroupsToRemove []string
	OverrideDynamicGroups                 bool
}) (any, error) {
	if in.ThingName == "" {
		return nil, &awshttp.InputError{Field: "thingName", Reason: "is missing"}
	}
	for _, g := range in.ThingGroupsToRemove {
		if err := c.reg.RemoveThingFromGroup(c.Context(), in.ThingName, g); err != nil {
			return nil, err
		}
	}
	for _, g := range in.ThingGroupsToAdd {
		if err := c.add(in.ThingName, g, in.OverrideDynamicGroups); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func listThingsInThingGroup(c *call) (any, error) {
	recursive, err := c.Flag("recursive")
	if err != nil {
		return nil, err
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken, func(after string) iter.Seq2[string, error] {
		return c.reg.ThingsInGroup(c.Context(), c.PathValue("thingGroupName"), recursive, after)
	}, self, self)
	return struct {
		Things []string `json:"things"`
		Token  string   `json:"nextToken,omitempty"`
	}{items, token}, err
}

func listThingGroupsForThing(c *call) (any, error) {
	t, err := c.reg.Thing(c.Context(), c.PathValue("thingName"))
	if err != nil {
		return nil, err
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken, slice(t.Groups), self, c.groupRef)
	return struct {
		Groups []groupRef `json:"thingGroups"`
		Token  string     `json:"nextToken,omitempty"`
	}{items, token}, err
}
