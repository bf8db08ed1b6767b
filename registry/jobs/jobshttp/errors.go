package jobshttp

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/thingloom/thingloom/registry/jobs"
)

var (
	// errNotImplemented reports an operation that is not answered here.
	errNotImplemented = errors.New("jobshttp: operation not implemented")

	// errUnauthorized reports what Options.Authorize refused.
	errUnauthorized = errors.New("jobshttp: not authorized")
)

// A row says what an error is over the wire.
type row struct {
	err    error
	status int
	name   string
}

// controlErrors is the table of the control plane. The first row that fits counts.
var controlErrors = []row{
	{errUnauthorized, http.StatusUnauthorized, "UnauthorizedException"},
	{errNotImplemented, http.StatusNotImplemented, "NotImplementedException"},
	{jobs.ErrInvalid, http.StatusBadRequest, "InvalidRequestException"},
	{jobs.ErrNotFound, http.StatusNotFound, "ResourceNotFoundException"},
	{jobs.ErrExists, http.StatusConflict, "ResourceAlreadyExistsException"},
	{jobs.ErrTransition, http.StatusConflict, "InvalidStateTransitionException"},
	{jobs.ErrVersion, http.StatusConflict, "VersionConflictException"},
	{jobs.ErrTerminal, http.StatusConflict, "InvalidStateTransitionException"},
	{jobs.ErrLimit, http.StatusGone, "LimitExceededException"},
	{jobs.ErrThrottled, http.StatusBadRequest, "ThrottlingException"},
}

// deviceErrors is the table of the data plane, whose model has no version
// conflict: a version that does not match is a transition that is not possible.
var deviceErrors = []row{
	{errUnauthorized, http.StatusUnauthorized, "UnauthorizedException"},
	{errNotImplemented, http.StatusNotImplemented, "NotImplementedException"},
	{jobs.ErrInvalid, http.StatusBadRequest, "InvalidRequestException"},
	{jobs.ErrNotFound, http.StatusNotFound, "ResourceNotFoundException"},
	{jobs.ErrExists, http.StatusBadRequest, "InvalidRequestException"},
	{jobs.ErrTransition, http.StatusConflict, "InvalidStateTransitionException"},
	{jobs.ErrVersion, http.StatusConflict, "InvalidStateTransitionException"},
	{jobs.ErrTerminal, http.StatusGone, "TerminalStateException"},
	{jobs.ErrLimit, http.StatusTooManyRequests, "ThrottlingException"},
	{jobs.ErrThrottled, http.StatusTooManyRequests, "ThrottlingException"},
}

func classify(table []row, err error) (status int, name string) {
	for _, r := range table {
		if errors.Is(err, r.err) {
			return r.status, r.name
		}
	}
	return http.StatusInternalServerError, "InternalFailureException"
}

// fail answers with an error.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, name := classify(s.table, err)
	message := err.Error()
	if status == http.StatusInternalServerError {
		s.opts.Logger.Error("jobs", "method", r.Method, "path", r.URL.Path, "error", err)
		message = "internal failure"
	}
	text, err := json.Marshal(struct {
		Message string `json:"message"`
	}{message})
	if err != nil {
		text = []byte(`{}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("x-amzn-ErrorType", name)
	w.WriteHeader(status)
	w.Write(text)
}
