package registryhttp

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/thingloom/thingloom/registry"
)

// errNotImplemented reports an operation that is not answered here.
var errNotImplemented = errors.New("registryhttp: operation not implemented")

// statuses is the one table from errors to what goes over the wire. The first
// row that fits counts: what is not authorized is so whatever the reason.
var statuses = []struct {
	err    error
	status int
	name   string
}{
	{registry.ErrNotAuthorized, http.StatusUnauthorized, "UnauthorizedException"},
	{registry.ErrUnknownCertificate, http.StatusUnauthorized, "UnauthorizedException"},
	{registry.ErrInactive, http.StatusUnauthorized, "UnauthorizedException"},
	{registry.ErrRevoked, http.StatusUnauthorized, "UnauthorizedException"},
	{registry.ErrExpired, http.StatusUnauthorized, "UnauthorizedException"},
	{registry.ErrNotFound, http.StatusNotFound, "ResourceNotFoundException"},
	{registry.ErrExists, http.StatusConflict, "ResourceAlreadyExistsException"},
	{registry.ErrVersionConflict, http.StatusConflict, "VersionConflictException"},
	{registry.ErrInvalid, http.StatusBadRequest, "InvalidRequestException"},
	{registry.ErrLimit, http.StatusGone, "LimitExceededException"},
	{registry.ErrDeleteConflict, http.StatusConflict, "DeleteConflictException"},
	{registry.ErrMalformedPolicy, http.StatusBadRequest, "MalformedPolicyException"},
	{registry.ErrVersionsLimit, http.StatusConflict, "VersionsLimitExceededException"},
	{registry.ErrCertificateState, http.StatusNotAcceptable, "CertificateStateException"},
	{registry.ErrCertificateValidation, http.StatusBadRequest, "CertificateValidationException"},
	{registry.ErrRegistrationCode, http.StatusBadRequest, "RegistrationCodeValidationException"},
	{registry.ErrNoCA, http.StatusBadRequest, "InvalidRequestException"},
	{errNotImplemented, http.StatusNotImplemented, "NotImplementedException"},
}

// classify returns the status and name of an error.
func classify(err error) (status int, name string) {
	for _, row := range statuses {
		if errors.Is(err, row.err) {
			return row.status, row.name
		}
	}
	return http.StatusInternalServerError, "InternalFailureException"
}

// fail answers with an error.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, name := classify(err)
	body := struct {
		Message     string `json:"message"`
		ResourceID  string `json:"resourceId,omitempty"`
		ResourceARN string `json:"resourceArn,omitempty"`
	}{Message: err.Error()}
	if status == http.StatusInternalServerError {
		s.opts.Logger.Error("control plane", "method", r.Method, "path", r.URL.Path, "error", err)
		body.Message = "internal failure"
	}
	if ee, ok := errors.AsType[*registry.ExistsError](err); ok {
		body.ResourceID, body.ResourceARN = ee.ID, ee.ARN
	}
	text, err := json.Marshal(body)
	if err != nil {
		text = []byte(`{}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("x-amzn-ErrorType", name)
	w.WriteHeader(status)
	w.Write(text)
}
