package registryhttp

import "github.com/thingloom/thingloom/registry"

// switchState is the configuration of one kind of events.
type switchState struct {
	Enabled bool `json:"Enabled"`
}

func describeEventConfigurations(c *call) (any, error) {
	on, err := c.reg.EventConfigurations(c.Context())
	out := map[registry.EventKind]switchState{}
	for kind, enabled := range on {
		out[kind] = switchState{enabled}
	}
	return struct {
		Configurations map[registry.EventKind]switchState `json:"eventConfigurations"`
	}{out}, err
}

func updateEventConfigurations(c *call) (any, error) {
	var in struct {
		EventConfigurations map[registry.EventKind]switchState
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	changes := map[registry.EventKind]bool{}
	for kind, s := range in.EventConfigurations {
		changes[kind] = s.Enabled
	}
	return nil, c.reg.SetEventConfigurations(c.Context(), changes)
}

func describeEndpoint(c *call) (any, error) {
	address, err := c.opts.Endpoint(c.Query("endpointType"))
	return struct {
		Address string `json:"endpointAddress"`
	}{address}, err
}
