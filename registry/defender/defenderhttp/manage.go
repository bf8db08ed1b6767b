package defenderhttp

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/defender"
)

// metric is a custom metric on the wire.
type metric struct {
	Name     string          `json:"metricName"`
	ARN      string          `json:"metricArn"`
	Type     string          `json:"metricType"`
	Display  string          `json:"displayName,omitempty"`
	Created  awshttp.Seconds `json:"creationDate"`
	Modified awshttp.Seconds `json:"lastModifiedDate"`
}

// later is when something was changed, or made if it never was.
func later(created, modified time.Time) awshttp.Seconds {
	if modified.IsZero() {
		return awshttp.Seconds(created)
	}
	return awshttp.Seconds(modified)
}

func (c *call) metric(m defender.CustomMetric) metric {
	return metric{m.Name, c.svc.ARN("custommetric/" + m.Name), m.Type, m.DisplayName, awshttp.Seconds(m.Created), later(m.Created, m.Modified)}
}

func describeMetric(c *call) (any, error) {
	m, err := c.svc.Metric(c.PathValue("metricName"))
	return c.metric(m), err
}

func updateMetric(c *call) (any, error) {
	var in struct {
		Display *string `json:"displayName"`
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	if in.Display == nil {
		return nil, &awshttp.InputError{Field: "displayName", Reason: "is missing"}
	}
	m, err := c.svc.UpdateMetric(c.Context(), c.PathValue("metricName"), *in.Display)
	return c.metric(m), err
}

func deleteMetric(c *call) (any, error) {
	return nil, c.svc.DeleteMetric(c.Context(), c.PathValue("metricName"))
}

func listMetrics(c *call) (any, error) {
	names, token, err := awshttp.Page(c.Call, awshttp.ByToken, list(slices.Sorted(maps.Keys(c.svc.Metrics())), self), self, self)
	return struct {
		Names []string `json:"metricNames"`
		Token string   `json:"nextToken,omitempty"`
	}{names, token}, err
}

// dimension is a dimension on the wire.
type dimension struct {
	Name     string          `json:"name"`
	ARN      string          `json:"arn"`
	Type     string          `json:"type"`
	Values   []string        `json:"stringValues"`
	Created  awshttp.Seconds `json:"creationDate"`
	Modified awshttp.Seconds `json:"lastModifiedDate"`
}

func (c *call) dimension(d defender.TopicDimension) dimension {
	return dimension{d.Name, c.svc.ARN("dimension/" + d.Name), "TOPIC_FILTER", d.Filters, awshttp.Seconds(d.Created), later(d.Created, d.Modified)}
}

func describeDimension(c *call) (any, error) {
	d, err := c.svc.Dimension(c.PathValue("name"))
	return c.dimension(d), err
}

func updateDimension(c *call) (any, error) {
	var in struct {
		Values []string `json:"stringValues"`
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	d, err := c.svc.UpdateDimension(c.Context(), c.PathValue("name"), in.Values)
	return c.dimension(d), err
}

func deleteDimension(c *call) (any, error) {
	return nil, c.svc.DeleteDimension(c.Context(), c.PathValue("name"))
}

func listDimensions(c *call) (any, error) {
	names, token, err := awshttp.Page(c.Call, awshttp.ByToken, list(slices.Sorted(maps.Keys(c.svc.Dimensions())), self), self, self)
	return struct {
		Names []string `json:"dimensionNames"`
		Token string   `json:"nextToken,omitempty"`
	}{names, token}, err
}

// scheduled is a scheduled audit on the wire.
type scheduled struct {
	Name       string   `json:"scheduledAuditName"`
	ARN        string   `json:"scheduledAuditArn"`
	Frequency  string   `json:"frequency"`
	DayOfMonth string   `json:"dayOfMonth,omitempty"`
	DayOfWeek  string   `json:"dayOfWeek,omitempty"`
	Checks     []string `json:"targetCheckNames,omitempty"`
}

func (c *call) scheduledARN(name string) string { return c.svc.ARN("scheduledaudit/" + name) }

func describeScheduledAudit(c *call) (any, error) {
	a, err := c.svc.ScheduledAudit(c.Context(), c.PathValue("scheduledAuditName"))
	return scheduled{a.Name, c.scheduledARN(a.Name), a.Frequency, a.DayOfMonth, a.DayOfWeek, a.Checks}, err
}

func updateScheduledAudit(c *call) (any, error) {
	var in struct {
		Frequency  string   `json:"frequency"`
		DayOfMonth string   `json:"dayOfMonth"`
		DayOfWeek  string   `json:"dayOfWeek"`
		Checks     []string `json:"targetCheckNames"`
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	name := c.PathValue("scheduledAuditName")
	err := c.svc.UpdateScheduledAudit(c.Context(), name, func(a *defender.ScheduledAudit) {
		a.Frequency, a.DayOfMonth, a.DayOfWeek = cmp.Or(in.Frequency, a.Frequency), cmp.Or(in.DayOfMonth, a.DayOfMonth), cmp.Or(in.DayOfWeek, a.DayOfWeek)
		if len(in.Checks) > 0 {
			a.Checks = in.Checks
		}
	})
	return struct {
		ARN string `json:"scheduledAuditArn"`
	}{c.scheduledARN(name)}, err
}

func deleteScheduledAudit(c *call) (any, error) {
	return nil, c.svc.DeleteScheduledAudit(c.Context(), c.PathValue("scheduledAuditName"))
}

func listScheduledAudits(c *call) (any, error) {
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken,
		func(after string) iter.Seq2[defender.ScheduledAudit, error] {
			return c.svc.ScheduledAudits(c.Context(), after)
		},
		func(a defender.ScheduledAudit) string { return a.Name },
		func(a defender.ScheduledAudit) scheduled {
			return scheduled{a.Name, c.scheduledARN(a.Name), a.Frequency, a.DayOfMonth, a.DayOfWeek, nil}
		})
	return struct {
		Audits []scheduled `json:"scheduledAudits"`
		Token  string      `json:"nextToken,omitempty"`
	}{items, token}, err
}

// The types of audit tasks, and the status of all that are stored.
const (
	onDemandAudit  = "ON_DEMAND_AUDIT_TASK"
	scheduledAudit = "SCHEDULED_AUDIT_TASK"
	auditCompleted = "COMPLETED"
)

func auditType(a *defender.Audit) string {
	if a.Scheduled != "" {
		return scheduledAudit
	}
	return onDemandAudit
}

func listAudits(c *call) (any, error) {
	start, err := c.time("startTime")
	if err != nil {
		return nil, err
	}
	end, err := c.time("endTime")
	if err != nil {
		return nil, err
	}
	kind, status := c.Query("taskType"), c.Query("taskStatus")
	if kind != "" && kind != onDemandAudit && kind != scheduledAudit {
		return nil, &awshttp.InputError{Field: "taskType", Reason: fmt.Sprintf("%q is unknown", kind)}
	}
	type task struct {
		ID     string `json:"taskId"`
		Status string `json:"taskStatus"`
		Type   string `json:"taskType"`
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken,
		func(after string) iter.Seq2[defender.Audit, error] {
			return func(yield func(defender.Audit, error) bool) {
				for a, err := range c.svc.Audits(c.Context(), after) {
					if err == nil && (a.Start.Before(start) || !a.Start.Before(end) || kind != "" && kind != auditType(&a) || status != "" && status != auditCompleted) {
						continue
					}
					if !yield(a, err) {
						return
					}
				}
			}
		},
		func(a defender.Audit) string { return a.ID },
		func(a defender.Audit) task { return task{a.ID, auditCompleted, auditType(&a)} })
	return struct {
		Tasks []task `json:"tasks"`
		Token string `json:"nextToken,omitempty"`
	}{items, token}, err
}
