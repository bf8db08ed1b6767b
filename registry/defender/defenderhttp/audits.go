package defenderhttp

import (
	"iter"
	"net/url"
	"strconv"
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/defender"
)

func updateAuditConfiguration(c *call) (any, error) {
	var in defender.AuditConfiguration
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	return nil, c.svc.UpdateAuditConfiguration(c.Context(), in)
}

func describeAuditConfiguration(c *call) (any, error) {
	return c.svc.AuditConfiguration(c.Context())
}

func startAudit(c *call) (any, error) {
	var in struct {
		Checks []string `json:"targetCheckNames"`
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	a, err := c.svc.Audit(c.Context(), in.Checks)
	return struct {
		ID string `json:"taskId"`
	}{a.ID}, err
}

func describeAudit(c *call) (any, error) {
	a, err := c.svc.AuditOf(c.Context(), c.PathValue("taskId"))
	if err != nil {
		return nil, err
	}
	type check struct {
		Status       string `json:"checkRunStatus"`
		Compliant    bool   `json:"checkCompliant"`
		Total        int    `json:"totalResourcesCount"`
		NonCompliant int    `json:"nonCompliantResourcesCount"`
	}
	type statistics struct {
		Total        int `json:"totalChecks"`
		InProgress   int `json:"inProgressChecks"`
		Waiting      int `json:"waitingForDataCollectionChecks"`
		Compliant    int `json:"compliantChecks"`
		NonCompliant int `json:"nonCompliantChecks"`
		Failed       int `json:"failedChecks"`
		Canceled     int `json:"canceledChecks"`
	}
	out := struct {
		Status     string           `json:"taskStatus"`
		Type       string           `json:"taskType"`
		Start      awshttp.Seconds  `json:"taskStartTime"`
		Statistics statistics       `json:"taskStatistics"`
		Scheduled  string           `json:"scheduledAuditName,omitempty"`
		Details    map[string]check `json:"auditDetails"`
	}{Status: auditCompleted, Type: auditType(&a), Start: awshttp.Seconds(a.Start), Scheduled: a.Scheduled, Details: map[string]check{}}
	for name, r := range a.Checks {
		out.Statistics.Total++
		status := "COMPLETED_COMPLIANT"
		if r.NonCompliant > 0 {
			status = "COMPLETED_NON_COMPLIANT"
			out.Statistics.NonCompliant++
		} else {
			out.Statistics.Compliant++
		}
		out.Details[name] = check{status, r.NonCompliant == 0, r.Total, r.NonCompliant}
	}
	return out, nil
}

// resource names what a finding is about.
type resource struct {
	Certificate string  `json:"deviceCertificateId,omitempty"`
	CA          string  `json:"caCertificateId,omitempty"`
	Client      string  `json:"clientId,omitempty"`
	Policy      *policy `json:"policyVersionIdentifier,omitempty"`
	Account     string  `json:"account,omitempty"`
	RoleAlias   string  `json:"roleAliasArn,omitempty"`
}

type policy struct {
	Name    string `json:"policyName"`
	Version string `json:"policyVersionId"`
}

func resourceOf(f *defender.Finding) resource {
	switch f.Type {
	case "CA_CERTIFICATE":
		return resource{CA: f.Resource}
	case "CLIENT_ID":
		return resource{Client: f.Resource}
	case "IOT_POLICY":
		return resource{Policy: &policy{f.Resource, f.Version}}
	case "ACCOUNT_SETTINGS":
		return resource{Account: f.Resource}
	case "ROLE_ALIAS":
		return resource{RoleAlias: f.Resource}
	}
	return resource{Certificate: f.Resource}
}

// named is the type of a resource, and its ID or name.
func (r *resource) named() (kind, id string) {
	switch {
	case r.CA != "":
		return "CA_CERTIFICATE", r.CA
	case r.Client != "":
		return "CLIENT_ID", r.Client
	case r.Policy != nil:
		return "IOT_POLICY", r.Policy.Name
	case r.Account != "":
		return "ACCOUNT_SETTINGS", r.Account
	case r.RoleAlias != "":
		return "ROLE_ALIAS", r.RoleAlias
	}
	return "DEVICE_CERTIFICATE", r.Certificate
}

// typed is a resource with its type.
type typed struct {
	Type     string   `json:"resourceType"`
	Resource resource `json:"resourceIdentifier"`
}

type finding struct {
	ID       string          `json:"findingId"`
	Task     string          `json:"taskId"`
	Check    string          `json:"checkName"`
	Start    awshttp.Seconds `json:"taskStartTime"`
	Time     awshttp.Seconds `json:"findingTime"`
	Severity string          `json:"severity"`
	Resource typed           `json:"nonCompliantResource"`
	Related  []typed         `json:"relatedResources,omitempty"`
	Reason   string          `json:"reasonForNonCompliance"`
	Code     string          `json:"reasonForNonComplianceCode"`
}

func findingOf(f defender.Finding) finding {
	out := finding{f.ID, f.Task, f.Check, awshttp.Seconds(f.Start), awshttp.Seconds(f.Time), f.Severity,
		typed{f.Type, resourceOf(&f)}, nil, f.Reason, f.Code}
	for _, client := range f.Related {
		out.Related = append(out.Related, typed{"CLIENT_ID", resource{Client: client}})
	}
	return out
}

func listFindings(c *call) (any, error) {
	var in struct {
		Task     string    `json:"taskId"`
		Check    string    `json:"checkName"`
		Resource *resource `json:"resourceIdentifier"`
		Start    *float64  `json:"startTime"`
		End      *float64  `json:"endTime"`
		Size     int       `json:"maxResults"`
		Token    string    `json:"nextToken"`
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	q := defender.FindingQuery{Task: in.Task, Check: in.Check}
	if in.Resource != nil {
		q.Type, q.Resource = in.Resource.named()
		if q.Resource == "" {
			return nil, &awshttp.InputError{Field: "resourceIdentifier", Reason: "names no certificate, CA certificate, policy or client ID"}
		}
	}
	for v, at := range map[*float64]*time.Time{in.Start: &q.Start, in.End: &q.End} {
		if v != nil {
			*at = fromSeconds(*v)
		}
	}
	// This list has its paging in the body.
	query := url.Values{"nextToken": {in.Token}}
	if in.Size != 0 {
		query.Set("maxResults", strconv.Itoa(in.Size))
	}
	r := c.Request.Clone(c.Context())
	r.URL.RawQuery = query.Encode()
	items, token, err := awshttp.Page(&awshttp.Call{Request: r}, awshttp.ByToken,
		func(after string) iter.Seq2[defender.Finding, error] {
			q.After = after
			return c.svc.Findings(c.Context(), q)
		},
		func(f defender.Finding) string { return f.Key() }, findingOf)
	return struct {
		Findings []finding `json:"findings"`
		Token    string    `json:"nextToken,omitempty"`
	}{items, token}, err
}

func createScheduledAudit(c *call) (any, error) {
	var in struct {
		Frequency  string       `json:"frequency"`
		DayOfMonth string       `json:"dayOfMonth"`
		DayOfWeek  string       `json:"dayOfWeek"`
		Checks     []string     `json:"targetCheckNames"`
		Tags       awshttp.Tags `json:"tags"`
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	name := c.PathValue("scheduledAuditName")
	err := c.svc.CreateScheduledAudit(c.Context(), defender.ScheduledAudit{Name: name, Frequency: in.Frequency, DayOfMonth: in.DayOfMonth, DayOfWeek: in.DayOfWeek, Checks: in.Checks, Tags: in.Tags})
	return struct {
		ARN string `json:"scheduledAuditArn"`
	}{c.svc.ARN("scheduledaudit/" + name)}, err
}
