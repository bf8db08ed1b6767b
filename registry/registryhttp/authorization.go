package registryhttp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
)

// actionTypes are the actions that TestAuthorization may ask for.
var actionTypes = map[string]string{"CONNECT": "iot:Connect", "PUBLISH": "iot:Publish", "SUBSCRIBE": "iot:Subscribe", "RECEIVE": "iot:Receive"}

type authInfo struct {
	Action    string   `json:"actionType"`
	Resources []string `json:"resources"`
}

type policyRefs struct {
	Policies []policyRef `json:"policies"`
}

type authResult struct {
	Info    authInfo   `json:"authInfo"`
	Allowed policyRefs `json:"allowed"`
	Denied  struct {
		Implicit policyRefs `json:"implicitDeny"`
		Explicit policyRefs `json:"explicitDeny"`
	} `json:"denied"`
	Decision string   `json:"authDecision"`
	Missing  []string `json:"missingContextValues"`
}

func testAuthorization(c *call, in struct {
	Principal, CognitoIdentityPoolId    string
	AuthInfos                           []authInfo
	PolicyNamesToAdd, PolicyNamesToSkip []string
}) (any, error) {
	if err := noCognito(in.CognitoIdentityPoolId); err != nil {
		return nil, err
	}
	if len(in.AuthInfos) < 1 || len(in.AuthInfos) > 10 {
		return nil, &awshttp.InputError{Field: "authInfos", Reason: fmt.Sprintf("has %d entries, not 1 to 10", len(in.AuthInfos))}
	}
	results := []authResult{}
	for _, info := range in.AuthInfos {
		a := registry.Access{Principal: in.Principal, ClientID: c.Query("clientId")}
		var ok bool
		if a.Action, ok = actionTypes[info.Action]; !ok {
			return nil, &awshttp.InputError{Field: "actionType", Reason: fmt.Sprintf("%q is unknown", info.Action)}
		}
		res, err := c.authorize(a, info, in.PolicyNamesToAdd, in.PolicyNamesToSkip)
		if err != nil {
			return nil, err
		}
		results = append(results, res)
	}
	return struct {
		Results []authResult `json:"authResults"`
	}{results}, nil
}

// noCognito refuses the pools of another service, which would count for
// nothing.
func noCognito(pool string) error {
	if pool != "" {
		return &awshttp.InputError{Field: "cognitoIdentityPoolId", Reason: "is not supported: there are no Cognito identities here"}
	}
	return nil
}

// authorize decides one entry: it is allowed if all of its resources are.
func (c *call) authorize(a registry.Access, info authInfo, add, skip []string) (authResult, error) {
	out := authResult{Info: info, Decision: "ALLOWED", Missing: []string{}}
	out.Allowed.Policies, out.Denied.Implicit.Policies, out.Denied.Explicit.Policies = []policyRef{}, []policyRef{}, []policyRef{}
	if len(info.Resources) == 0 {
		return out, &awshttp.InputError{Field: "resources", Reason: "is empty"}
	}
	for _, resource := range info.Resources {
		var ok bool
		if a.Resource, ok = strings.CutPrefix(resource, c.reg.ARN("")); !ok {
			return out, &awshttp.InputError{Field: "resources", Reason: resource + " is not an ARN of this account"}
		}
		d, err := c.reg.TestAuthorization(c.Context(), a, add, skip)
		if err != nil {
			return out, err
		}
		c.merge(&out.Allowed, d.Allow)
		c.merge(&out.Denied.Explicit, d.Deny)
		for _, m := range d.Missing {
			if !slices.Contains(out.Missing, m) {
				out.Missing = append(out.Missing, m)
			}
		}
		switch {
		case d.Decision == "IMPLICIT_DENY":
			for _, name := range d.Policies {
				c.merge(&out.Denied.Implicit, []registry.StatementRef{{Policy: name}})
			}
			if out.Decision == "ALLOWED" {
				out.Decision = d.Decision
			}
		case d.Decision == "EXPLICIT_DENY":
			out.Decision = d.Decision
		}
	}
	return out, nil
}

func (c *call) merge(to *policyRefs, refs []registry.StatementRef) {
	for _, s := range refs {
		if ref := c.policyRef(s.Policy); !slices.Contains(to.Policies, ref) {
			to.Policies = append(to.Policies, ref)
		}
	}
}
