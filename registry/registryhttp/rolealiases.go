package registryhttp

import (
	"iter"
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
)

func (c *call) aliasARN(name string) string { return c.reg.ARN("rolealias/" + name) }
func (c *call) aliasName() string           { return c.PathValue("roleAlias") }

// aliasRef is what making and changing a role alias answers.
type aliasRef struct {
	Name string `json:"roleAlias"`
	ARN  string `json:"roleAliasArn"`
}

// duration reads credentialDurationSeconds; absent is zero.
func duration(seconds *int64) (time.Duration, error) {
	if seconds == nil {
		return 0, nil
	}
	if *seconds < 900 || *seconds > 43_200 {
		return 0, &awshttp.InputError{Field: "credentialDurationSeconds", Reason: "is not 900 to 43200"}
	}
	return time.Duration(*seconds) * time.Second, nil
}

func createRoleAlias(c *call, in struct {
	RoleArn                   string
	CredentialDurationSeconds *int64
	Tags                      awshttp.Tags
}) (any, error) {
	valid, err := duration(in.CredentialDurationSeconds)
	if err != nil {
		return nil, err
	}
	a, err := c.reg.CreateRoleAlias(c.Context(), registry.RoleAlias{Name: c.aliasName(), Role: in.RoleArn, Duration: valid, Tags: in.Tags})
	return aliasRef{a.Name, c.aliasARN(a.Name)}, err
}

func describeRoleAlias(c *call) (any, error) {
	a, err := c.reg.RoleAlias(c.Context(), c.aliasName())
	type description struct {
		Name     string          `json:"roleAlias"`
		ARN      string          `json:"roleAliasArn"`
		Role     string          `json:"roleArn"`
		Seconds  int64           `json:"credentialDurationSeconds"`
		Created  awshttp.Seconds `json:"creationDate"`
		Modified awshttp.Seconds `json:"lastModifiedDate"`
	}
	return struct {
		Description description `json:"roleAliasDescription"`
	}{description{a.Name, c.aliasARN(a.Name), a.Role, int64(a.Duration / time.Second), awshttp.Seconds(a.Created), awshttp.Seconds(a.Modified)}}, err
}

func updateRoleAlias(c *call, in struct {
	RoleArn                   string
	CredentialDurationSeconds *int64
}) (any, error) {
	valid, err := duration(in.CredentialDurationSeconds)
	if err != nil {
		return nil, err
	}
	a, err := c.reg.UpdateRoleAlias(c.Context(), c.aliasName(), in.RoleArn, valid)
	return aliasRef{a.Name, c.aliasARN(a.Name)}, err
}

func deleteRoleAlias(c *call) (any, error) {
	return nil, c.reg.DeleteRoleAlias(c.Context(), c.aliasName())
}

func listRoleAliases(c *call) (any, error) {
	name := func(a registry.RoleAlias) string { return a.Name }
	names, marker, err := awshttp.Ordered(c.Call, awshttp.ByMarker,
		func(after string) iter.Seq2[registry.RoleAlias, error] { return c.reg.RoleAliases(c.Context(), after) },
		name, func(a registry.RoleAlias) time.Time { return a.Created }, name)
	return struct {
		Names  []string `json:"roleAliases"`
		Marker string   `json:"nextMarker,omitempty"`
	}{names, marker}, err
}
