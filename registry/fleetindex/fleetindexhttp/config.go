package fleetindexhttp

import (
	"fmt"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/fleetindex"
)

// A thingConfig is the configuration of AWS_Things over the wire. Custom
// fields are accepted and need not be named: any field can be aggregated.
type thingConfig struct {
	Mode         string `json:"thingIndexingMode"`
	Connectivity string `json:"thingConnectivityIndexingMode"`
	Defender     string `json:"deviceDefenderIndexingMode"`
	NamedShadow  string `json:"namedShadowIndexingMode"`
}

type groupConfig struct {
	Mode string `json:"thingGroupIndexingMode"`
}

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
	return struct {
		Things thingConfig `json:"thingIndexingConfiguration"`
		Groups groupConfig `json:"thingGroupIndexingConfiguration"`
	}{thingConfig{mode, onOff(c.Connectivity, "STATUS"), onOff(c.Defender, "VIOLATIONS"), onOff(c.NamedShadows, "ON")}, groupConfig{"ON"}}, nil
}

func (a *api) setConfig(c *awshttp.Call) (any, error) {
	var in struct {
		ThingIndexingConfiguration *struct {
			ThingIndexingMode, ThingConnectivityIndexingMode, DeviceDefenderIndexingMode, NamedShadowIndexingMode string
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
	var out fleetindex.Config
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
