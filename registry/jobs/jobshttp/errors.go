package jobshttp

import (
	"errors"
	"net/http"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/jobs"
)

// A taken is the name of a template that exists: the model has no
// ResourceAlreadyExistsException for CreateJobTemplate.
type taken struct{ error }

// errTaken is what a taken is.
var errTaken = errors.New("jobshttp: template exists")

func (t taken) Is(target error) bool { return target == errTaken }
func (t taken) Unwrap() error        { return t.error }

// controlErrors is the table of the control plane. The first row that fits counts.
var controlErrors = []awshttp.ErrorRow{
	{Err: errTaken, Status: http.StatusConflict, Name: "ConflictException"},
	{Err: jobs.ErrInvalid, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: jobs.ErrNotFound, Status: http.StatusNotFound, Name: "ResourceNotFoundException"},
	{Err: jobs.ErrExists, Status: http.StatusConflict, Name: "ResourceAlreadyExistsException"},
	{Err: jobs.ErrTransition, Status: http.StatusConflict, Name: "InvalidStateTransitionException"},
	{Err: jobs.ErrVersion, Status: http.StatusConflict, Name: "VersionConflictException"},
	{Err: jobs.ErrTerminal, Status: http.StatusConflict, Name: "InvalidStateTransitionException"},
	{Err: jobs.ErrLimit, Status: http.StatusGone, Name: "LimitExceededException"},
	{Err: jobs.ErrThrottled, Status: http.StatusBadRequest, Name: "ThrottlingException"},
}

// deviceErrors is the table of the data plane, whose model has no version
// conflict: a version that does not match is a transition that is not possible.
var deviceErrors = []awshttp.ErrorRow{
	{Err: jobs.ErrInvalid, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: jobs.ErrNotFound, Status: http.StatusNotFound, Name: "ResourceNotFoundException"},
	{Err: jobs.ErrExists, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: jobs.ErrTransition, Status: http.StatusConflict, Name: "InvalidStateTransitionException"},
	{Err: jobs.ErrVersion, Status: http.StatusConflict, Name: "InvalidStateTransitionException"},
	{Err: jobs.ErrTerminal, Status: http.StatusGone, Name: "TerminalStateException"},
	{Err: jobs.ErrLimit, Status: http.StatusTooManyRequests, Name: "ThrottlingException"},
	{Err: jobs.ErrThrottled, Status: http.StatusTooManyRequests, Name: "ThrottlingException"},
}
