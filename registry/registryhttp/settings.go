package registryhttp

import (
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
)

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
	if err != nil {
		return nil, err
	}
	times, err := c.reg.EventTimes(c.Context())
	date := func(t time.Time) *awshttp.Seconds {
		if t.IsZero() {
			return nil
		}
		s := awshttp.Seconds(t)
		return &s
	}
	return struct {
		Configurations map[registry.EventKind]switchState `json:"eventConfigurations"`
		Created        *awshttp.Seconds                   `json:"creationDate,omitempty"`
		Modified       *awshttp.Seconds                   `json:"lastModifiedDate,omitempty"`
	}{out, date(times.Created), date(times.Modified)}, err
}

func updateEventConfigurations(c *call, in struct {
	EventConfigurations map[registry.EventKind]switchState
}) (any, error) {
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
