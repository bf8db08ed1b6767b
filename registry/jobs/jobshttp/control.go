// Package jobshttp serves jobs over HTTP as AWS IoT does: the control plane,
// and the jobs data plane of devices.
//
//	control, err := jobshttp.Control(svc, nil)
//	device, err := jobshttp.Device(svc, nil)
//
// The two share paths (GET /things/{thing}/jobs), as they are two hosts at AWS.
// Where they share a port, ForDevice tells whose a request is.
package jobshttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/thingloom/thingloom/registry/jobs"
)

// Options are the optional parts of a handler. A nil *Options is all defaults.
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

// ControlPatterns returns the patterns of http.ServeMux that Control answers,
// for a mux that also serves other control planes.
func ControlPatterns() []string {
	var out []string
	for _, op := range controlOperations() {
		out = append(out, op.pattern)
	}
	return out
}

// Control serves the control plane of svc.
func Control(svc *jobs.Service, opts *Options) (http.Handler, error) {
	return handler(svc, opts, controlOperations(), controlErrors)
}

// Device serves the jobs data plane of svc. Authorize has to look that a device
// speaks for its own thing: r.PathValue("thingName").
func Device(svc *jobs.Service, opts *Options) (http.Handler, error) {
	return handler(svc, opts, deviceOperations(), deviceErrors)
}

// ForDevice reports whether a request is one for Device: signed for the service
// iot-jobs-data, or of a client with a certificate and not signed at all.
func ForDevice(r *http.Request) bool {
	if auth := r.Header.Get("Authorization"); strings.HasPrefix(auth, "AWS4-") {
		return strings.Contains(auth, "/iot-jobs-data/aws4_request")
	}
	return r.TLS != nil && len(r.TLS.PeerCertificates) > 0
}

func handler(svc *jobs.Service, opts *Options, ops []operation, table []row) (http.Handler, error) {
	if svc == nil {
		return nil, errors.New("jobshttp: a handler needs a service")
	}
	s := &server{svc: svc, table: table}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.MaxBodyBytes < 0 {
		return nil, errors.New("jobshttp: Options.MaxBodyBytes is negative")
	}
	if s.opts.MaxBodyBytes == 0 {
		s.opts.MaxBodyBytes = 1 << 20
	}
	if s.opts.Logger == nil {
		s.opts.Logger = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	for _, op := range ops {
		mux.HandleFunc(op.pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, op) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, fmt.Errorf("%w: %s %s", errNotImplemented, r.Method, r.URL.Path))
	})
	return mux, nil
}

type server struct {
	svc   *jobs.Service
	opts  Options
	table []row
}

// A call is one request being answered.
type call struct {
	*http.Request
	svc *jobs.Service
	max int64
}

// none is the answer of operations without output.
type none struct{}

func (s *server) serve(w http.ResponseWriter, r *http.Request, op operation) {
	if s.opts.Authorize != nil {
		if err := s.opts.Authorize(r, op.name); err != nil {
			s.fail(w, r, fmt.Errorf("%w: %s: %w", errUnauthorized, op.name, err))
			return
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.opts.MaxBodyBytes)
	out, err := op.do(&call{r, s.svc, s.opts.MaxBodyBytes})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	body, err := json.Marshal(out)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

func (c *call) text() ([]byte, error) {
	text, err := io.ReadAll(c.Body)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &jobs.InvalidError{Field: "body", Reason: fmt.Sprintf("has more than %d bytes", c.max)}
	}
	if err != nil {
		return nil, fmt.Errorf("jobshttp: read body: %w", err)
	}
	return text, nil
}

// body decodes the JSON body into v; an empty one leaves it as it is.
func (c *call) body(v any) error {
	text, err := c.text()
	if err != nil || len(text) == 0 {
		return err
	}
	err = json.Unmarshal(text, v)
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &jobs.InvalidError{Field: te.Field, Reason: fmt.Sprintf("cannot be a JSON %s", te.Value)}
	}
	if err != nil {
		return &jobs.InvalidError{Field: "body", Reason: fmt.Sprintf("is not JSON: %v", err)}
	}
	return nil
}

// query returns a parameter of the query.
func (c *call) query(name string) string { return c.URL.Query().Get(name) }

// flag reads a boolean parameter.
func (c *call) flag(name string) (bool, error) {
	s := c.query(name)
	if s == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, &jobs.InvalidError{Field: name, Reason: fmt.Sprintf("%q is not true or false", s)}
	}
	return b, nil
}

// number reads an integer; absent is zero.
func (c *call) number(name, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, &jobs.InvalidError{Field: name, Reason: fmt.Sprintf("%q is not a number", text)}
	}
	return n, nil
}

// noNamespace refuses what there is not.
func noNamespace(id string) error {
	if id != "" {
		return &jobs.InvalidError{Field: "namespaceId", Reason: "is not supported"}
	}
	return nil
}

// seconds is a time as the control plane has it: seconds since 1970 with a
// fraction of milliseconds; null for never.
type seconds time.Time

func (s seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(s).UnixMilli())/1000, 'f', -1, 64), nil
}

// orNil is t, or nil for never.
func orNil(t time.Time) *seconds {
	if t.IsZero() {
		return nil
	}
	s := seconds(t)
	return &s
}
