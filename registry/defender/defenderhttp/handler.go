// Package defenderhttp serves the Device Defender operations of the AWS IoT
// control plane: security profiles, violations, custom metrics, dimensions and
// audits.
//
//	mux := http.NewServeMux()
//	defenderhttp.Mount(mux, svc, nil)
package defenderhttp

import (
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/defender"
)

// Options are the optional parts of Mount. A nil *Options is all defaults.
type Options struct {
	// Authorize is asked before each operation, by its AWS name such as
	// "CreateSecurityProfile". An error refuses it. Nil allows everything.
	Authorize func(r *http.Request, operation string) error
	// Logger is told of internal failures. Nil is silence.
	Logger *slog.Logger
}

// errorRows is the one table from errors to what goes over the wire.
var errorRows = []awshttp.ErrorRow{
	{Err: defender.ErrInvalid, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: defender.ErrNotFound, Status: http.StatusNotFound, Name: "ResourceNotFoundException"},
	{Err: defender.ErrExists, Status: http.StatusConflict, Name: "ResourceAlreadyExistsException"},
	{Err: defender.ErrVersion, Status: http.StatusConflict, Name: "VersionConflictException"},
	{Err: defender.ErrLimit, Status: http.StatusGone, Name: "LimitExceededException"},
	{Err: defender.ErrThrottled, Status: http.StatusBadRequest, Name: "ThrottlingException"},
}

type operation struct {
	name, pattern string
	do            func(*call) (any, error)
}

func operations() []operation {
	const profile = "/security-profiles/{securityProfileName}"
	return []operation{
		{"CreateSecurityProfile", "POST " + profile, createProfile},
		{"UpdateSecurityProfile", "PATCH " + profile, updateProfile},
		{"DescribeSecurityProfile", "GET " + profile, describeProfile},
		{"DeleteSecurityProfile", "DELETE " + profile, deleteProfile},
		{"ListSecurityProfiles", "GET /security-profiles", listProfiles},
		{"ListSecurityProfilesForTarget", "GET /security-profiles-for-target", listProfilesForTarget},
		{"AttachSecurityProfile", "PUT " + profile + "/targets", attachProfile},
		{"DetachSecurityProfile", "DELETE " + profile + "/targets", detachProfile},
		{"ListTargetsForSecurityProfile", "GET " + profile + "/targets", listTargets},
		{"ValidateSecurityProfileBehaviors", "POST /security-profile-behaviors/validate", validateBehaviors},
		{"ListActiveViolations", "GET /active-violations", listActiveViolations},
		{"ListViolationEvents", "GET /violation-events", listViolationEvents},
		{"PutVerificationStateOnViolation", "POST /violations/verification-state/{violationId}", putVerification},
		{"ListMetricValues", "GET /metric-values", listMetricValues},
		{"CreateCustomMetric", "POST /custom-metric/{metricName}", createMetric},
		{"CreateDimension", "POST /dimensions/{name}", createDimension},
		{"DescribeCustomMetric", "GET /custom-metric/{metricName}", describeMetric},
		{"UpdateCustomMetric", "PATCH /custom-metric/{metricName}", updateMetric},
		{"DeleteCustomMetric", "DELETE /custom-metric/{metricName}", deleteMetric},
		{"ListCustomMetrics", "GET /custom-metrics", listMetrics},
		{"DescribeDimension", "GET /dimensions/{name}", describeDimension},
		{"UpdateDimension", "PATCH /dimensions/{name}", updateDimension},
		{"DeleteDimension", "DELETE /dimensions/{name}", deleteDimension},
		{"ListDimensions", "GET /dimensions", listDimensions},
		{"UpdateAccountAuditConfiguration", "PATCH /audit/configuration", updateAuditConfiguration},
		{"DescribeAccountAuditConfiguration", "GET /audit/configuration", describeAuditConfiguration},
		{"StartOnDemandAuditTask", "POST /audit/tasks", startAudit},
		{"DescribeAuditTask", "GET /audit/tasks/{taskId}", describeAudit},
		{"ListAuditFindings", "POST /audit/findings", listFindings},
		{"ListAuditTasks", "GET /audit/tasks", listAudits},
		{"CreateScheduledAudit", "POST /audit/scheduledaudits/{scheduledAuditName}", createScheduledAudit},
		{"DescribeScheduledAudit", "GET /audit/scheduledaudits/{scheduledAuditName}", describeScheduledAudit},
		{"UpdateScheduledAudit", "PATCH /audit/scheduledaudits/{scheduledAuditName}", updateScheduledAudit},
		{"DeleteScheduledAudit", "DELETE /audit/scheduledaudits/{scheduledAuditName}", deleteScheduledAudit},
		{"ListScheduledAudits", "GET /audit/scheduledaudits", listScheduledAudits},
	}
}

// Operations returns the names of the operations that are answered.
func Operations() []string {
	var out []string
	for _, op := range operations() {
		out = append(out, op.name)
	}
	return out
}

// Mount adds the operations of svc to mux.
func Mount(mux *http.ServeMux, svc *defender.Service, opts *Options) {
	o := awshttp.Options{Errors: errorRows}
	if opts != nil {
		o.Authorize, o.Logger = opts.Authorize, opts.Logger
	}
	var all []awshttp.Operation
	for _, op := range operations() {
		all = append(all, awshttp.Operation{Name: op.name, Pattern: op.pattern, Do: func(c *awshttp.Call) (any, error) { return op.do(&call{c, svc}) }})
	}
	awshttp.Mount(mux, all, o)
}

// A call is one request being answered.
type call struct {
	*awshttp.Call
	svc *defender.Service
}

// time reads a time of the query: RFC 3339 as clients send it, or seconds since 1970.
func (c *call) time(name string) (time.Time, error) {
	s := c.Query(name)
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 || n > 1e11 {
		return time.Time{}, &awshttp.InputError{Field: name, Reason: fmt.Sprintf("%q is not a time", s)}
	}
	return fromSeconds(n), nil
}

func fromSeconds(n float64) time.Time { return time.UnixMilli(int64(n * 1000)) }

// list makes pages of what is in memory, by its key.
func list[T any](all []T, key func(T) string) func(after string) iter.Seq2[T, error] {
	return func(after string) iter.Seq2[T, error] {
		return func(yield func(T, error) bool) {
			for _, v := range all {
				if key(v) > after && !yield(v, nil) {
					return
				}
			}
		}
	}
}
