package fleetindexhttp

import (
	"fmt"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/fleetindex"
)

// A thingConfig is the configuration of AWS_Things over the wire.
type thingConfig struct {
	Mode          string             `json:"thingIndexingMode"`
	Connectivity  string             `json:"thingConnectivityIndexingMode"`
	Defender      string             `json:"deviceDefenderIndexingMode"`
	NamedShadow   string             `json:"namedShadowIndexingMode"`
	ManagedFields []fleetindex.Field `json:"managedFields"`
	CustomFields  []fleetindex.Field `json:"customFields,omitempty"`
	Filter        *filter            `json:"filter,omitempty"`
}

type filter struct {
	NamedShadowNames []string `json:"namedShadowNames,omitempty"`
}

type groupConfig struct {
	Mode          string             `json:"thingGroupIndexingMode"`
	ManagedFields []fleetindex.Field `json:"managedFields"`
}

// groupFields are those of AWS_ThingGroups.
var groupFields = []fleetindex.Field{{Name: "thingGroupName", Type: fleetindex.String}, {Name: "thingGroupId", Type: fleetindex.String},
	{Name: "description", Type: fleetindex.String}, {Name: "parentGroupNames", Type: fleetindex.String}, {Name: "version", Type: fleetindex.Number}}

func onOff(on bool, name string) string {
	if on {
		return name
	}
	return "OFF"
}

func (a *api) config(*awshttp.Call) (any, error) {
	c := a.ix.Config()
	mode := onOff(c.Things, "REGISTRY")
	if c.Shadows {
		mode = "REGISTRY_AND_SHADOW"
	}
	t := thingConfig{Mode: mode, Connectivity: onOff(c.Connectivity, "STATUS"), Defender: onOff(c.Defender, "VIOLATIONS"),
		NamedShadow: onOff(c.NamedShadows, "ON"), ManagedFields: c.ManagedFields(), CustomFields: c.CustomFields}
	if len(c.OnlyNamed) > 0 {
		t.Filter = &filter{c.OnlyNamed}
	}
	return struct {
		Things thingConfig `json:"thingIndexingConfiguration"`
		Groups groupConfig `json:"thingGroupIndexingConfiguration"`
	}{t, groupConfig{"ON", groupFields}}, nil
}

func (a *api) setConfig(c *awshttp.Call) (any, error) {
	var in struct {
		ThingIndexingConfiguration *struct {
			ThingIndexingMode, ThingConnectivityIndexingMode, DeviceDefenderIndexingMode, NamedShadowIndexingMode string
			CustomFields                                                                                          []fleetindex.Field
			Filter                                                                                                filter
		}
		ThingGroupIndexingConfiguration *struct{ ThingGroupIndexingMode string }
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	if g := in.ThingGroupIndexingConfiguration; g != nil && g.ThingGroupIndexingMode != "ON" {
		return nil, &awshttp.InputError{Field: "thingGroupIndexingMode", Reason: "cannot be other than ON: groups are always found"}
	}
	t := in.ThingIndexingConfiguration
	if t == nil {
		return nil, nil
	}
	out := fleetindex.Config{CustomFields: t.CustomFields, OnlyNamed: t.Filter.NamedShadowNames}
	switch t.ThingIndexingMode {
	case "OFF":
	case "REGISTRY":
		out.Things = true
	case "REGISTRY_AND_SHADOW":
		out.Things, out.Shadows = true, true
	default:
		return nil, &awshttp.InputError{Field: "thingIndexingMode", Reason: fmt.Sprintf("is %q, not OFF, REGISTRY or REGISTRY_AND_SHADOW", t.ThingIndexingMode)}
	}
	for _, m := range []struct {
		field, value, on string
		to               *bool
	}{
		{"thingConnectivityIndexingMode", t.ThingConnectivityIndexingMode, "STATUS", &out.Connectivity},
		{"deviceDefenderIndexingMode", t.DeviceDefenderIndexingMode, "VIOLATIONS", &out.Defender},
		{"namedShadowIndexingMode", t.NamedShadowIndexingMode, "ON", &out.NamedShadows},
	} {
		switch m.value {
		case "", "OFF":
		case m.on:
			*m.to = true
		default:
			return nil, &awshttp.InputError{Field: m.field, Reason: fmt.Sprintf("is %q, not OFF or %s", m.value, m.on)}
		}
	}
	return nil, a.ix.SetConfig(c.Context(), out)
}
