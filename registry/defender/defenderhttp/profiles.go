package defenderhttp

import (
	"errors"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/defender"
)

type identifier struct {
	Name string `json:"name"`
	ARN  string `json:"arn"`
}

func (c *call) identify(name string) identifier {
	return identifier{name, c.svc.ARN("securityprofile/" + name)}
}

// profileRequest is what creates or changes a profile.
type profileRequest struct {
	Description  *string                         `json:"securityProfileDescription"`
	Behaviors    []defender.Behavior             `json:"behaviors"`
	AlertTargets map[string]defender.AlertTarget `json:"alertTargets"`
	Retain       []string                        `json:"additionalMetricsToRetain"`
	RetainV2     []defender.Retained             `json:"additionalMetricsToRetainV2"`
	Tags         awshttp.Tags                    `json:"tags"`
	NoBehaviors  bool                            `json:"deleteBehaviors"`
	NoAlerts     bool                            `json:"deleteAlertTargets"`
	NoRetain     bool                            `json:"deleteAdditionalMetricsToRetain"`
	ExportConfig any                             `json:"metricsExportConfig"`
	NoExport     bool                            `json:"deleteMetricsExportConfig"`
}

func (c *call) profileRequest() (r profileRequest, err error) {
	if err := c.Body(&r); err != nil {
		return r, err
	}
	if r.ExportConfig != nil {
		return r, &awshttp.InputError{Field: "metricsExportConfig", Reason: "is not supported: events are on topics"}
	}
	for _, metric := range r.Retain { // the older form
		r.RetainV2 = append(r.RetainV2, defender.Retained{Metric: metric})
	}
	return r, nil
}

// apply changes a profile; what is not given stays.
func (r *profileRequest) apply(p *defender.Profile) {
	if r.Description != nil {
		p.Description = *r.Description
	}
	if r.Behaviors != nil || r.NoBehaviors {
		p.Behaviors = r.Behaviors
	}
	if r.AlertTargets != nil || r.NoAlerts {
		p.AlertTargets = r.AlertTargets
	}
	if r.RetainV2 != nil || r.NoRetain {
		p.Retain = r.RetainV2
	}
}

func createProfile(c *call) (any, error) {
	r, err := c.profileRequest()
	if err != nil {
		return nil, err
	}
	p := defender.Profile{Name: c.PathValue("securityProfileName"), Tags: r.Tags}
	r.apply(&p)
	p, err = c.svc.CreateProfile(c.Context(), p)
	return struct {
		Name string `json:"securityProfileName"`
		ARN  string `json:"securityProfileArn"`
	}{p.Name, c.identify(p.Name).ARN}, err
}

// profile is a profile on the wire.
func (c *call) profile(p defender.Profile, err error) (any, error) {
	var metrics []string
	for _, r := range p.Retain {
		metrics = append(metrics, r.Metric)
	}
	return struct {
		Name         string                          `json:"securityProfileName"`
		ARN          string                          `json:"securityProfileArn"`
		Description  string                          `json:"securityProfileDescription,omitempty"`
		Behaviors    []defender.Behavior             `json:"behaviors,omitempty"`
		AlertTargets map[string]defender.AlertTarget `json:"alertTargets,omitempty"`
		Retain       []string                        `json:"additionalMetricsToRetain,omitempty"`
		RetainV2     []defender.Retained             `json:"additionalMetricsToRetainV2,omitempty"`
		Version      int64                           `json:"version"`
		Created      awshttp.Seconds                 `json:"creationDate"`
		Modified     awshttp.Seconds                 `json:"lastModifiedDate"`
	}{p.Name, c.identify(p.Name).ARN, p.Description, p.Behaviors, p.AlertTargets, metrics, p.Retain, p.Version,
		awshttp.Seconds(p.Created), awshttp.Seconds(p.Modified)}, err
}

func updateProfile(c *call) (any, error) {
	r, err := c.profileRequest()
	version, verr := c.Number("expectedVersion")
	if err := errors.Join(err, verr); err != nil {
		return nil, err
	}
	return c.profile(c.svc.UpdateProfile(c.Context(), c.PathValue("securityProfileName"), version, r.apply))
}

func describeProfile(c *call) (any, error) {
	return c.profile(c.svc.Profile(c.PathValue("securityProfileName")))
}

func deleteProfile(c *call) (any, error) {
	version, err := c.Number("expectedVersion")
	if err != nil {
		return nil, err
	}
	return nil, c.svc.DeleteProfile(c.Context(), c.PathValue("securityProfileName"), version)
}

func listProfiles(c *call) (any, error) {
	all := c.svc.Profiles(c.Query("dimensionName"), c.Query("metricName"))
	key := func(p defender.Profile) string { return p.Name }
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken, list(all, key), key,
		func(p defender.Profile) identifier { return c.identify(p.Name) })
	return struct {
		Identifiers []identifier `json:"securityProfileIdentifiers"`
		Token       string       `json:"nextToken,omitempty"`
	}{items, token}, err
}

func self(s string) string { return s }

type target struct {
	ARN string `json:"arn"`
}

func listProfilesForTarget(c *call) (any, error) {
	recursive, err := c.Flag("recursive")
	if err != nil {
		return nil, err
	}
	all, err := c.svc.Attachments(c.Context(), c.Query("securityProfileTargetArn"), recursive)
	if err != nil {
		return nil, err
	}
	type mapping struct {
		Profile identifier `json:"securityProfileIdentifier"`
		Target  target     `json:"target"`
	}
	key := func(a defender.Attachment) string { return a.Target + "\x00" + a.Profile }
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken, list(all, key), key,
		func(a defender.Attachment) mapping { return mapping{c.identify(a.Profile), target{a.Target}} })
	return struct {
		Mappings []mapping `json:"securityProfileTargetMappings"`
		Token    string    `json:"nextToken,omitempty"`
	}{items, token}, err
}

func attachProfile(c *call) (any, error) {
	return nil, c.svc.Attach(c.Context(), c.PathValue("securityProfileName"), c.Query("securityProfileTargetArn"))
}

func detachProfile(c *call) (any, error) {
	return nil, c.svc.Detach(c.Context(), c.PathValue("securityProfileName"), c.Query("securityProfileTargetArn"))
}

func listTargets(c *call) (any, error) {
	arns, err := c.svc.Targets(c.PathValue("securityProfileName"))
	if err != nil {
		return nil, err
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken, list(arns, self), self, func(arn string) target { return target{arn} })
	return struct {
		Targets []target `json:"securityProfileTargets"`
		Token   string   `json:"nextToken,omitempty"`
	}{items, token}, err
}

func validateBehaviors(c *call) (any, error) {
	var in struct {
		Behaviors []defender.Behavior `json:"behaviors"`
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	type failure struct {
		Message string `json:"errorMessage"`
	}
	out := struct {
		Valid  bool      `json:"valid"`
		Errors []failure `json:"validationErrors"`
	}{Errors: []failure{}}
	for _, err := range c.svc.ValidateBehaviors(in.Behaviors) {
		out.Errors = append(out.Errors, failure{err.Error()})
	}
	out.Valid = len(out.Errors) == 0
	return out, nil
}

func createMetric(c *call) (any, error) {
	var in struct {
		DisplayName string       `json:"displayName"`
		Type        string       `json:"metricType"`
		Tags        awshttp.Tags `json:"tags"`
		Token       string       `json:"clientRequestToken"`
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	if err := checkToken(in.Token); err != nil {
		return nil, err
	}
	name := c.PathValue("metricName")
	err := c.svc.CreateMetric(c.Context(), defender.CustomMetric{Name: name, DisplayName: in.DisplayName, Type: in.Type, Tags: in.Tags, Token: in.Token})
	return struct {
		Name string `json:"metricName"`
		ARN  string `json:"metricArn"`
	}{name, c.svc.ARN("custommetric/" + name)}, err
}

// checkToken checks a clientRequestToken, which clients of AWS make themselves.
func checkToken(token string) error {
	if n := len(token); n < 1 || n > 64 {
		return &awshttp.InputError{Field: "clientRequestToken", Reason: "is missing or longer than 64 characters"}
	}
	return nil
}

func createDimension(c *call) (any, error) {
	var in struct {
		Type   string       `json:"type"`
		Values []string     `json:"stringValues"`
		Tags   awshttp.Tags `json:"tags"`
		Token  string       `json:"clientRequestToken"`
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	if in.Type != "TOPIC_FILTER" {
		return nil, &awshttp.InputError{Field: "type", Reason: "is not TOPIC_FILTER"}
	}
	if err := checkToken(in.Token); err != nil {
		return nil, err
	}
	name := c.PathValue("name")
	err := c.svc.CreateDimension(c.Context(), defender.TopicDimension{Name: name, Filters: in.Values, Tags: in.Tags, Token: in.Token})
	return identifier{name, c.svc.ARN("dimension/" + name)}, err
}
