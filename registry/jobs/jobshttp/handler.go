// Package jobshttp serves jobs over HTTP as AWS IoT does: the control plane,
// and the jobs data plane of devices.
//
//	jobshttp.Mount(mux, svc, nil)     // the control plane
//	device := jobshttp.Device(svc, nil)
//
// The two share paths (GET /things/{thing}/jobs), as they are two hosts at AWS.
// Where they share a port, ForDevice tells whose a request is.
package jobshttp

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/jobs"
)

// Options are the optional parts of Mount and Device. A nil *Options is all defaults.
type Options struct {
	// Authorize is asked before each operation, by its AWS name such as
	// "CreateJob". An error refuses it: UnauthorizedException. Nil allows
	// everything.
	Authorize func(r *http.Request, operation string) error

	// MaxBodyBytes is the largest body accepted. Zero means 1 MiB.
	MaxBodyBytes int64

	// Logger is told of internal errors, whose text clients do not get. Nil
	// is silence.
	Logger *slog.Logger
}

// An operation is one row of an API.
type operation struct {
	name, pattern string
	do            func(c *call) (any, error)
}

func controlOperations() []operation {
	return []operation{
		{"CreateJob", "PUT /jobs/{jobId}", createJob},
		{"DescribeJob", "GET /jobs/{jobId}", describeJob},
		{"GetJobDocument", "GET /jobs/{jobId}/job-document", getJobDocument},
		{"UpdateJob", "PATCH /jobs/{jobId}", updateJob},
		{"CancelJob", "PUT /jobs/{jobId}/cancel", cancelJob},
		{"DeleteJob", "DELETE /jobs/{jobId}", deleteJob},
		{"ListJobs", "GET /jobs", listJobs},
		{"AssociateTargetsWithJob", "POST /jobs/{jobId}/targets", associateTargets},
		{"ListJobExecutionsForJob", "GET /jobs/{jobId}/things", listExecutionsForJob},
		{"ListJobExecutionsForThing", "GET /things/{thingName}/jobs", listExecutionsForThing},
		{"DescribeJobExecution", "GET /things/{thingName}/jobs/{jobId}", describeExecution},
		{"CancelJobExecution", "PUT /things/{thingName}/jobs/{jobId}/cancel", cancelExecution},
		{"DeleteJobExecution", "DELETE /things/{thingName}/jobs/{jobId}/executionNumber/{executionNumber}", deleteExecution},
		{"CreateJobTemplate", "PUT /job-templates/{jobTemplateId}", createTemplate},
		{"DescribeJobTemplate", "GET /job-templates/{jobTemplateId}", describeTemplate},
		{"ListJobTemplates", "GET /job-templates", listTemplates},
		{"DeleteJobTemplate", "DELETE /job-templates/{jobTemplateId}", deleteTemplate},
	}
}

func deviceOperations() []operation {
	return []operation{
		{"GetPendingJobExecutions", "GET /things/{thingName}/jobs", pendingExecutions},
		{"StartNextPendingJobExecution", "PUT /things/{thingName}/jobs/{next}", startNext},
		{"DescribeJobExecution", "GET /things/{thingName}/jobs/{jobId}", deviceDescribe},
		{"UpdateJobExecution", "POST /things/{thingName}/jobs/{jobId}", deviceUpdate},
	}
}

// ControlOperations returns the names of the operations of Control.
func ControlOperations() []string { return names(controlOperations()) }

// DeviceOperations returns the names of the operations of Device.
func DeviceOperations() []string { return names(deviceOperations()) }

func names(ops []operation) []string {
	var out []string
	for _, op := range ops {
		out = append(out, op.name)
	}
	return out
}

// Mount adds the control plane of svc to mux.
func Mount(mux *http.ServeMux, svc *jobs.Service, opts *Options) {
	mount(mux, svc, opts, controlOperations(), controlErrors)
}

// Device serves the jobs data plane of svc. Authorize has to look that a device
// speaks for its own thing: r.PathValue("thingName").
func Device(svc *jobs.Service, opts *Options) http.Handler {
	mux := http.NewServeMux()
	mount(mux, svc, opts, deviceOperations(), deviceErrors)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		awshttp.WriteError(w, http.StatusNotImplemented, "NotImplementedException", "jobshttp: operation not implemented: "+r.Method+" "+r.URL.Path)
	})
	return mux
}

// ForDevice reports whether a request is one for Device: signed for the service
// iot-jobs-data, or of a client with a certificate and not signed at all.
func ForDevice(r *http.Request) bool {
	if auth := r.Header.Get("Authorization"); strings.HasPrefix(auth, "AWS4-") {
		return strings.Contains(auth, "/iot-jobs-data/aws4_request")
	}
	return r.TLS != nil && len(r.TLS.PeerCertificates) > 0
}

func mount(mux *http.ServeMux, svc *jobs.Service, opts *Options, ops []operation, errors []awshttp.ErrorRow) {
	o := awshttp.Options{Errors: errors}
	if opts != nil {
		o.Authorize, o.MaxBodyBytes, o.Logger = opts.Authorize, opts.MaxBodyBytes, opts.Logger
	}
	var all []awshttp.Operation
	for _, op := range ops {
		all = append(all, awshttp.Operation{Name: op.name, Pattern: op.pattern, Do: func(c *awshttp.Call) (any, error) { return op.do(&call{c, svc}) }})
	}
	awshttp.Mount(mux, all, o)
}

// A call is one request being answered.
type call struct {
	*awshttp.Call
	svc *jobs.Service
}

// number reads an integer that is not in the query; absent is zero.
func number(name, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, &awshttp.InputError{Field: name, Reason: strconv.Quote(text) + " is not a number"}
	}
	return n, nil
}

// inNamespace checks that a job is in the namespace of the query, if that has one.
func (c *call) inNamespace(job string) error {
	namespace := c.Query("namespaceId")
	if namespace == "" {
		return nil
	}
	j, err := c.svc.Job(c.Context(), job)
	if err == nil && j.Namespace != namespace {
		err = fmt.Errorf("jobshttp: job %q in namespace %q: %w", job, namespace, jobs.ErrNotFound)
	}
	return err
}

// orNil is t as the control plane has it, or nil for never.
func orNil(t time.Time) *awshttp.Seconds {
	if t.IsZero() {
		return nil
	}
	s := awshttp.Seconds(t)
	return &s
}
