package registryhttp

import (
	"fmt"
	"iter"
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
)

// policyRef names a policy.
type policyRef struct {
	Name string `json:"policyName"`
	ARN  string `json:"policyArn"`
}

func (c *call) policyARN(name string) string    { return c.reg.ARN("policy/" + name) }
func (c *call) policyRef(name string) policyRef { return policyRef{name, c.policyARN(name)} }
func (c *call) policyName() string              { return c.PathValue("policyName") }
func policyNameOf(p registry.Policy) string     { return p.Name }

func createPolicy(c *call, in struct {
	PolicyDocument string
	Tags           awshttp.Tags
}) (any, error) {
	p, err := c.reg.CreateTaggedPolicy(c.Context(), c.policyName(), in.PolicyDocument, in.Tags)
	return struct {
		Name     string `json:"policyName"`
		ARN      string `json:"policyArn"`
		Document string `json:"policyDocument"`
		Version  string `json:"policyVersionId"`
	}{p.Name, c.policyARN(p.Name), in.PolicyDocument, p.Default}, err
}

func getPolicy(c *call) (any, error) {
	p, err := c.reg.Policy(c.Context(), c.policyName())
	v, _ := p.Version(p.Default)
	return struct {
		Name       string          `json:"policyName"`
		ARN        string          `json:"policyArn"`
		Document   string          `json:"policyDocument"`
		Version    string          `json:"defaultVersionId"`
		Created    awshttp.Seconds `json:"creationDate"`
		Modified   awshttp.Seconds `json:"lastModifiedDate"`
		Generation string          `json:"generationId"`
	}{p.Name, c.policyARN(p.Name), v.Document, p.Default, awshttp.Seconds(p.Created), awshttp.Seconds(p.Modified), generation(p)}, err
}

// generation is another after every change of the policy.
func generation(p registry.Policy) string { return fmt.Sprintf("%d-%d", p.Next, p.Modified.UnixNano()) }

func deletePolicy(c *call) (any, error) {
	return nil, c.reg.DeletePolicy(c.Context(), c.policyName())
}

func listPolicies(c *call) (any, error) {
	items, marker, err := awshttp.Ordered(c.Call, awshttp.ByMarker,
		func(after string) iter.Seq2[registry.Policy, error] { return c.reg.Policies(c.Context(), after) },
		policyNameOf, func(p registry.Policy) time.Time { return p.Created }, func(p registry.Policy) policyRef { return c.policyRef(p.Name) })
	return policies{items, marker}, err
}

type policies struct {
	Policies []policyRef `json:"policies"`
	Marker   string      `json:"nextMarker,omitempty"`
}

func createPolicyVersion(c *call) (any, error) {
	setDefault, err := c.Flag("setAsDefault")
	if err != nil {
		return nil, err
	}
	var in struct{ PolicyDocument string }
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	v, err := c.reg.CreatePolicyVersion(c.Context(), c.policyName(), in.PolicyDocument, setDefault)
	return struct {
		ARN      string `json:"policyArn"`
		Document string `json:"policyDocument"`
		Version  string `json:"policyVersionId"`
		Default  bool   `json:"isDefaultVersion"`
	}{c.policyARN(c.policyName()), in.PolicyDocument, v.ID, setDefault}, err
}

func getPolicyVersion(c *call) (any, error) {
	p, err := c.reg.Policy(c.Context(), c.policyName())
	if err != nil {
		return nil, err
	}
	id := c.PathValue("policyVersionId")
	v, ok := p.Version(id)
	if !ok {
		return nil, fmt.Errorf("registryhttp: policy %s version %q: %w", p.Name, id, registry.ErrNotFound)
	}
	return struct {
		ARN        string          `json:"policyArn"`
		Name       string          `json:"policyName"`
		Document   string          `json:"policyDocument"`
		Version    string          `json:"policyVersionId"`
		Default    bool            `json:"isDefaultVersion"`
		Created    awshttp.Seconds `json:"creationDate"`
		Modified   awshttp.Seconds `json:"lastModifiedDate"`
		Generation string          `json:"generationId"`
	}{c.policyARN(p.Name), p.Name, v.Document, v.ID, v.ID == p.Default, awshttp.Seconds(v.Created), awshttp.Seconds(v.Created), generation(p)}, nil
}

func deletePolicyVersion(c *call) (any, error) {
	return nil, c.reg.DeletePolicyVersion(c.Context(), c.policyName(), c.PathValue("policyVersionId"))
}

func setDefaultPolicyVersion(c *call) (any, error) {
	return nil, c.reg.SetDefaultPolicyVersion(c.Context(), c.policyName(), c.PathValue("policyVersionId"))
}

func listPolicyVersions(c *call) (any, error) {
	p, err := c.reg.Policy(c.Context(), c.policyName())
	type view struct {
		ID      string          `json:"versionId"`
		Default bool            `json:"isDefaultVersion"`
		Created awshttp.Seconds `json:"createDate"`
	}
	list := []view{}
	for _, v := range p.Versions {
		list = append(list, view{v.ID, v.ID == p.Default, awshttp.Seconds(v.Created)})
	}
	return struct {
		Versions []view `json:"policyVersions"`
	}{list}, err
}

func (c *call) target() (string, error) {
	var in struct{ Target string }
	err := c.Body(&in)
	return in.Target, err
}

func attachPolicy(c *call) (any, error) {
	target, err := c.target()
	if err != nil {
		return nil, err
	}
	return nil, c.reg.AttachPolicy(c.Context(), c.policyName(), target)
}

func detachPolicy(c *call) (any, error) {
	target, err := c.target()
	if err != nil {
		return nil, err
	}
	return nil, c.reg.DetachPolicy(c.Context(), c.policyName(), target)
}

func listAttachedPolicies(c *call) (any, error) {
	return c.attachedPolicies(c.PathValue("target"))
}

func (c *call) attachedPolicies(target string) (any, error) {
	recursive, err := c.Flag("recursive")
	if err != nil {
		return nil, err
	}
	list := c.reg.AttachedPolicies
	if recursive {
		list = c.reg.InheritedPolicies
	}
	names, err := list(c.Context(), target)
	if err != nil {
		return nil, err
	}
	items, marker, err := awshttp.Ordered(c.Call, awshttp.ByMarker, slice(names), self, undated, c.policyRef)
	return policies{items, marker}, err
}

func (c *call) policyTargets(name string) ([]string, string, error) {
	return awshttp.Ordered(c.Call, awshttp.ByMarker, func(after string) iter.Seq2[string, error] {
		return c.reg.PolicyTargets(c.Context(), name, after)
	}, self, undated, self)
}

func listTargetsForPolicy(c *call) (any, error) {
	items, marker, err := c.policyTargets(c.policyName())
	return struct {
		Targets []string `json:"targets"`
		Marker  string   `json:"nextMarker,omitempty"`
	}{items, marker}, err
}

// The older operations for principals name them in another header.
const (
	iotPrincipalHeader = "x-amzn-iot-principal"
	iotPolicyHeader    = "x-amzn-iot-policy"
)

func attachPrincipalPolicy(c *call) (any, error) {
	p, err := c.principal(iotPrincipalHeader)
	if err != nil {
		return nil, err
	}
	return nil, c.reg.AttachPolicy(c.Context(), c.policyName(), p)
}

func detachPrincipalPolicy(c *call) (any, error) {
	p, err := c.principal(iotPrincipalHeader)
	if err != nil {
		return nil, err
	}
	return nil, c.reg.DetachPolicy(c.Context(), c.policyName(), p)
}

func listPrincipalPolicies(c *call) (any, error) {
	p, err := c.principal(iotPrincipalHeader)
	if err != nil {
		return nil, err
	}
	return c.attachedPolicies(p)
}

func listPolicyPrincipals(c *call) (any, error) {
	name := c.Header.Get(iotPolicyHeader)
	if name == "" {
		return nil, &awshttp.InputError{Field: "policyName", Reason: "is missing: header " + iotPolicyHeader}
	}
	items, marker, err := c.policyTargets(name)
	return struct {
		Principals []string `json:"principals"`
		Marker     string   `json:"nextMarker,omitempty"`
	}{items, marker}, err
}

func getEffectivePolicies(c *call, in struct{ Principal, CognitoIdentityPoolId string }) (any, error) {
	if err := noCognito(in.CognitoIdentityPoolId); err != nil {
		return nil, err
	}
	list, err := c.reg.EffectivePolicies(c.Context(), in.Principal, c.Query("thingName"))
	type view struct {
		Name     string `json:"policyName"`
		ARN      string `json:"policyArn"`
		Document string `json:"policyDocument"`
	}
	items := []view{}
	for _, p := range list {
		items = append(items, view{p.Name, c.policyARN(p.Name), p.Document})
	}
	return struct {
		Policies []view `json:"effectivePolicies"`
	}{items}, err
}
