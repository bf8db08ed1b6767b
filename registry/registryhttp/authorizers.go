package registryhttp

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
)

func (c *call) authorizerName() string { return c.PathValue("authorizerName") }

// The statuses of an authorizer.
const (
	active   = "ACTIVE"
	inactive = "INACTIVE"
)

// authorizerRef names an authorizer.
type authorizerRef struct {
	Name string `json:"authorizerName"`
	ARN  string `json:"authorizerArn"`
}

func (c *call) authorizerRef(name string) authorizerRef {
	return authorizerRef{name, c.reg.ARN("authorizer/" + name)}
}

// isActive reads a status; an absent one is fallback.
func isActive(status string, fallback bool) (bool, error) {
	switch status {
	case "":
		return fallback, nil
	case active, inactive:
		return status == active, nil
	}
	return false, &awshttp.InputError{Field: "status", Reason: fmt.Sprintf("%q is neither %s nor %s", status, active, inactive)}
}

func createAuthorizer(c *call, in struct {
	AuthorizerFunctionArn, TokenKeyName, Status string
	TokenSigningPublicKeys                      map[string]string
	SigningDisabled, EnableCachingForHttp       bool
	Tags                                        awshttp.Tags
}) (any, error) {
	on, err := isActive(in.Status, false)
	if err != nil {
		return nil, err
	}
	a, err := c.reg.CreateAuthorizer(c.Context(), registry.Authorizer{Name: c.authorizerName(), Function: in.AuthorizerFunctionArn, TokenKey: in.TokenKeyName,
		Keys: in.TokenSigningPublicKeys, Unsigned: in.SigningDisabled, Active: on, Caching: in.EnableCachingForHttp, Tags: in.Tags})
	return c.authorizerRef(a.Name), err
}

func (c *call) authorizerDescription(a registry.Authorizer, err error) (any, error) {
	type description struct {
		authorizerRef
		Function string            `json:"authorizerFunctionArn"`
		TokenKey string            `json:"tokenKeyName,omitempty"`
		Keys     map[string]string `json:"tokenSigningPublicKeys,omitempty"`
		Status   string            `json:"status"`
		Created  awshttp.Seconds   `json:"creationDate"`
		Modified awshttp.Seconds   `json:"lastModifiedDate"`
		Unsigned bool              `json:"signingDisabled"`
		Caching  bool              `json:"enableCachingForHttp"`
	}
	status := inactive
	if a.Active {
		status = active
	}
	return struct {
		Description description `json:"authorizerDescription"`
	}{description{c.authorizerRef(a.Name), a.Function, a.TokenKey, a.Keys, status, awshttp.Seconds(a.Created), awshttp.Seconds(a.Modified), a.Unsigned, a.Caching}}, err
}

func describeAuthorizer(c *call) (any, error) {
	return c.authorizerDescription(c.reg.Authorizer(c.Context(), c.authorizerName()))
}

func updateAuthorizer(c *call, in struct {
	AuthorizerFunctionArn, TokenKeyName, Status string
	TokenSigningPublicKeys                      map[string]string
	EnableCachingForHttp                        *bool
}) (any, error) {
	if _, err := isActive(in.Status, false); err != nil {
		return nil, err
	}
	a, err := c.reg.UpdateAuthorizer(c.Context(), c.authorizerName(), func(a *registry.Authorizer) {
		if in.AuthorizerFunctionArn != "" {
			a.Function = in.AuthorizerFunctionArn
		}
		if in.TokenKeyName != "" {
			a.TokenKey = in.TokenKeyName
		}
		if in.TokenSigningPublicKeys != nil {
			a.Keys = in.TokenSigningPublicKeys
		}
		if in.Status != "" {
			a.Active = in.Status == active
		}
		if in.EnableCachingForHttp != nil {
			a.Caching = *in.EnableCachingForHttp
		}
	})
	return c.authorizerRef(a.Name), err
}

func deleteAuthorizer(c *call) (any, error) {
	return nil, c.reg.DeleteAuthorizer(c.Context(), c.authorizerName())
}

func listAuthorizers(c *call) (any, error) {
	status, err := c.OneOf("status", active, inactive)
	if err != nil {
		return nil, err
	}
	items, marker, err := awshttp.Ordered(c.Call, awshttp.ByMarker,
		func(after string) iter.Seq2[registry.Authorizer, error] {
			return func(yield func(registry.Authorizer, error) bool) {
				for a, err := range c.reg.Authorizers(c.Context(), after) {
					if err == nil && status != "" && a.Active != (status == active) {
						continue
					}
					if !yield(a, err) {
						return
					}
				}
			}
		},
		func(a registry.Authorizer) string { return a.Name },
		func(a registry.Authorizer) time.Time { return a.Created },
		func(a registry.Authorizer) authorizerRef { return c.authorizerRef(a.Name) })
	return struct {
		Authorizers []authorizerRef `json:"authorizers"`
		Marker      string          `json:"nextMarker,omitempty"`
	}{items, marker}, err
}

func setDefaultAuthorizer(c *call, in struct{ AuthorizerName string }) (any, error) {
	if in.AuthorizerName == "" {
		return nil, &awshttp.InputError{Field: "authorizerName", Reason: "is missing"}
	}
	return c.authorizerRef(in.AuthorizerName), c.reg.SetDefaultAuthorizer(c.Context(), in.AuthorizerName)
}

func describeDefaultAuthorizer(c *call) (any, error) {
	return c.authorizerDescription(c.reg.DefaultAuthorizer(c.Context()))
}

func clearDefaultAuthorizer(c *call) (any, error) {
	return nil, c.reg.ClearDefaultAuthorizer(c.Context())
}

// An AuthorizerTest is what TestInvokeAuthorizer shows an authorizer in the
// place of a client. What is nil is not shown.
type AuthorizerTest struct {
	Token          string `json:"token"`
	TokenSignature string `json:"tokenSignature"` // base64
	HTTP           *struct {
		Headers     map[string]string `json:"headers"`
		QueryString string            `json:"queryString"`
	} `json:"httpContext"`
	MQTT *struct {
		Username string `json:"username"`
		Password []byte `json:"password"` // base64 over the wire
		ClientID string `json:"clientId"`
	} `json:"mqttContext"`
	TLS *struct {
		ServerName string `json:"serverName"`
	} `json:"tlsContext"`
}

// An AuthorizerResult is what the function of an authorizer answered.
type AuthorizerResult struct {
	Authenticated   bool     `json:"isAuthenticated"`
	Principal       string   `json:"principalId,omitempty"`
	Policies        []string `json:"policyDocuments,omitempty"`
	RefreshAfter    int      `json:"refreshAfterInSeconds,omitempty"`
	DisconnectAfter int      `json:"disconnectAfterInSeconds,omitempty"`
}

// ErrAuthorizerResponse is what Options.TestAuthorizer returns where the function
// of an authorizer failed, or answered what no authorizer may: InvalidResponseException.
var ErrAuthorizerResponse = errors.New("registryhttp: the authorizer's response is not valid")

func testInvokeAuthorizer(c *call) (any, error) {
	if c.opts.TestAuthorizer == nil {
		return nil, fmt.Errorf("%w: TestInvokeAuthorizer", errNotImplemented)
	}
	var in AuthorizerTest
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	a, err := c.reg.Authorizer(c.Context(), c.authorizerName())
	if err != nil {
		return nil, err
	}
	if (in.Token == "") != (in.TokenSignature == "") {
		return nil, &awshttp.InputError{Field: "tokenSignature", Reason: "and token go together"}
	}
	return c.opts.TestAuthorizer(c.Context(), a, in)
}
