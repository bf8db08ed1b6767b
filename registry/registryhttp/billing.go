package registryhttp

import (
	"iter"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
)

// billingProperties are the properties of a billing group on the wire.
type billingProperties struct {
	Description string `json:"billingGroupDescription,omitempty"`
}

func (c *call) billingARN(name string) string { return c.reg.ARN("billinggroup/" + name) }
func (c *call) billingName() string           { return c.PathValue("billingGroupName") }

func createBillingGroup(c *call, in struct {
	BillingGroupProperties billingProperties
	Tags                   awshttp.Tags
}) (any, error) {
	g, err := c.reg.CreateBillingGroup(c.Context(), registry.BillingGroup{Name: c.billingName(), Description: in.BillingGroupProperties.Description, Tags: in.Tags})
	return struct {
		Name string `json:"billingGroupName"`
		ARN  string `json:"billingGroupArn"`
		ID   string `json:"billingGroupId"`
	}{g.Name, c.billingARN(g.Name), g.ID}, err
}

func updateBillingGroup(c *call, in struct {
	BillingGroupProperties *billingProperties
	ExpectedVersion        int64
}) (any, error) {
	if in.BillingGroupProperties == nil {
		return nil, &awshttp.InputError{Field: "billingGroupProperties", Reason: "is missing"}
	}
	g, err := c.reg.UpdateBillingGroup(c.Context(), c.billingName(), in.BillingGroupProperties.Description, in.ExpectedVersion)
	return struct {
		Version int64 `json:"version"`
	}{g.Version}, err
}

func deleteBillingGroup(c *call) (any, error) {
	version, err := c.Number("expectedVersion")
	if err != nil {
		return nil, err
	}
	return nil, c.reg.DeleteBillingGroup(c.Context(), c.billingName(), version)
}

func describeBillingGroup(c *call) (any, error) {
	g, err := c.reg.BillingGroup(c.Context(), c.billingName())
	type metadata struct {
		Created awshttp.Seconds `json:"creationDate"`
	}
	return struct {
		Name       string            `json:"billingGroupName"`
		ID         string            `json:"billingGroupId"`
		ARN        string            `json:"billingGroupArn"`
		Version    int64             `json:"version"`
		Properties billingProperties `json:"billingGroupProperties"`
		Metadata   metadata          `json:"billingGroupMetadata"`
	}{g.Name, g.ID, c.billingARN(g.Name), g.Version, billingProperties{g.Description}, metadata{awshttp.Seconds(g.Created)}}, err
}

func listBillingGroups(c *call) (any, error) {
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken,
		func(after string) iter.Seq2[registry.BillingGroup, error] {
			return c.reg.BillingGroups(c.Context(), c.Query("namePrefixFilter"), after)
		},
		func(g registry.BillingGroup) string { return g.Name },
		func(g registry.BillingGroup) groupRef { return groupRef{g.Name, c.billingARN(g.Name)} })
	return struct {
		Groups []groupRef `json:"billingGroups"`
		Token  string     `json:"nextToken,omitempty"`
	}{items, token}, err
}

// billed reads thing and billing group, each by name or ARN.
func (c *call) billed() (thing, group string, err error) {
	var in struct{ BillingGroupName, BillingGroupArn, ThingName, ThingArn string }
	if err := c.Body(&in); err != nil {
		return "", "", err
	}
	if thing, err = c.named("thing", in.ThingName, in.ThingArn); err != nil {
		return "", "", err
	}
	group, err = c.named("billingGroup", in.BillingGroupName, in.BillingGroupArn)
	return thing, group, err
}

func addThingToBillingGroup(c *call) (any, error) {
	thing, group, err := c.billed()
	if err != nil {
		return nil, err
	}
	return nil, c.reg.SetBillingGroup(c.Context(), thing, group)
}

func removeThingFromBillingGroup(c *call) (any, error) {
	thing, group, err := c.billed()
	if err != nil {
		return nil, err
	}
	return nil, c.reg.LeaveBillingGroup(c.Context(), thing, group)
}

func listThingsInBillingGroup(c *call) (any, error) {
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken, func(after string) iter.Seq2[string, error] {
		return c.reg.ThingsInBillingGroup(c.Context(), c.billingName(), after)
	}, self, self)
	return struct {
		Things []string `json:"things"`
		Token  string   `json:"nextToken,omitempty"`
	}{items, token}, err
}
