package registryhttp

import (
	"errors"
	"net/http"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
)

// errNotImplemented reports an operation that is not answered here.
var errNotImplemented = errors.New("registryhttp: operation not implemented")

// errorRows is the one table from errors to what goes over the wire. The first
// row that fits counts: what is not authorized is so whatever the reason.
var errorRows = []awshttp.ErrorRow{
	{Err: registry.ErrNotAuthorized, Status: http.StatusUnauthorized, Name: "UnauthorizedException"},
	{Err: registry.ErrUnknownCertificate, Status: http.StatusUnauthorized, Name: "UnauthorizedException"},
	{Err: registry.ErrInactive, Status: http.StatusUnauthorized, Name: "UnauthorizedException"},
	{Err: registry.ErrRevoked, Status: http.StatusUnauthorized, Name: "UnauthorizedException"},
	{Err: registry.ErrExpired, Status: http.StatusUnauthorized, Name: "UnauthorizedException"},
	{Err: registry.ErrNotFound, Status: http.StatusNotFound, Name: "ResourceNotFoundException"},
	{Err: registry.ErrExists, Status: http.StatusConflict, Name: "ResourceAlreadyExistsException"},
	{Err: registry.ErrVersionConflict, Status: http.StatusConflict, Name: "VersionConflictException"},
	{Err: registry.ErrInvalid, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: registry.ErrLimit, Status: http.StatusGone, Name: "LimitExceededException"},
	{Err: registry.ErrDeleteConflict, Status: http.StatusConflict, Name: "DeleteConflictException"},
	{Err: registry.ErrMalformedPolicy, Status: http.StatusBadRequest, Name: "MalformedPolicyException"},
	{Err: registry.ErrVersionsLimit, Status: http.StatusConflict, Name: "VersionsLimitExceededException"},
	{Err: registry.ErrCertificateState, Status: http.StatusNotAcceptable, Name: "CertificateStateException"},
	{Err: registry.ErrCertificateValidation, Status: http.StatusBadRequest, Name: "CertificateValidationException"},
	{Err: registry.ErrRegistrationCode, Status: http.StatusBadRequest, Name: "RegistrationCodeValidationException"},
	{Err: registry.ErrNoCA, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: ErrAuthorizerResponse, Status: http.StatusBadRequest, Name: "InvalidResponseException"},
	{Err: errNotImplemented, Status: http.StatusNotImplemented, Name: "NotImplementedException"},
}

// members says of what exists already which it is.
func members(err error) map[string]string {
	ee, ok := errors.AsType[*registry.ExistsError](err)
	if !ok {
		return nil
	}
	return map[string]string{"resourceId": ee.ID, "resourceArn": ee.ARN}
}
