package registry

import (
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/internal/policy"
)

var (
	// ErrNotFound reports that a thing, type, group, certificate, policy or
	// store key does not exist.
	ErrNotFound = errors.New("registry: not found")

	// ErrExists reports that the name or certificate is taken. The error is
	// an *ExistsError that says by what.
	ErrExists = errors.New("registry: already exists")

	// ErrVersionConflict reports that the stored version is not the one the
	// caller named. Load again and decide; retrying the same write cannot
	// succeed.
	ErrVersionConflict = errors.New("registry: version conflict")

	// ErrInvalid reports input that breaks a rule; it is an *InvalidError
	// that names the field.
	ErrInvalid = errors.New("registry: invalid request")

	// ErrLimit reports that a quota would be exceeded.
	ErrLimit = errors.New("registry: limit exceeded")

	// ErrDeleteConflict reports that something is attached to what shall be
	// deleted. Detach it first.
	ErrDeleteConflict = errors.New("registry: still in use")

	// ErrMalformedPolicy reports a policy document that cannot be read; it is
	// a *PolicyError with the position.
	ErrMalformedPolicy = errors.New("registry: malformed policy")

	// ErrVersionsLimit reports a sixth version of a policy. Delete one first.
	ErrVersionsLimit = errors.New("registry: too many policy versions")

	// ErrCertificateState reports a change that the status of the certificate
	// does not allow.
	ErrCertificateState = errors.New("registry: certificate status does not allow this")

	// ErrCertificateValidation reports a certificate or signing request that
	// is not acceptable: unreadable, weak, or not signed by a known CA.
	ErrCertificateValidation = errors.New("registry: certificate not valid")

	// ErrRegistrationCode reports a verification certificate whose common
	// name is not the registration code.
	ErrRegistrationCode = errors.New("registry: registration code does not match")

	// ErrNoCA reports that the registry was made without a CA and can issue
	// no certificate.
	ErrNoCA = errors.New("registry: no CA to issue certificates")

	// ErrNotAuthorized reports that policies do not allow the access. The
	// error is a *DeniedError that says why.
	ErrNotAuthorized = errors.New("registry: not authorized")

	// ErrUnknownCertificate reports a certificate that is not registered.
	ErrUnknownCertificate = errors.New("registry: certificate not registered")

	// ErrInactive reports a registered certificate that is not ACTIVE and not
	// REVOKED.
	ErrInactive = errors.New("registry: certificate not active")

	// ErrRevoked reports a revoked certificate.
	ErrRevoked = errors.New("registry: certificate revoked")

	// ErrExpired reports a certificate used outside of its validity.
	ErrExpired = errors.New("registry: certificate outside of its validity")
)

// An ExistsError is the ErrExists that names what is in the way.
type ExistsError struct {
	Kind string // "thing", "thing type", "certificate" and so on
	ID   string // what AWS calls resourceId
	ARN  string
}

func (e *ExistsError) Error() string {
	return fmt.Sprintf("registry: %s %s already exists", e.Kind, e.ID)
}

// Unwrap returns ErrExists.
func (e *ExistsError) Unwrap() error { return ErrExists }

// An InvalidError is the ErrInvalid of one field.
type InvalidError struct {
	Field  string // as in the AWS API, such as "thingName"
	Reason string
}

func (e *InvalidError) Error() string { return "registry: " + e.Field + " " + e.Reason }

// Unwrap returns ErrInvalid.
func (e *InvalidError) Unwrap() error { return ErrInvalid }

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// A PolicyError is the ErrMalformedPolicy with the place of the mistake.
type PolicyError struct {
	Path         string // such as "Statement[1].Effect"; empty for the document
	Line, Column int    // from 1; 0 when the document as a whole is meant
	Reason       string
}

func (e *PolicyError) Error() string {
	s := "registry: malformed policy"
	if e.Line > 0 {
		s += fmt.Sprintf(": line %d, column %d", e.Line, e.Column)
	}
	if e.Path != "" {
		s += ": " + e.Path
	}
	return s + ": " + e.Reason
}

// Unwrap returns ErrMalformedPolicy.
func (e *PolicyError) Unwrap() error { return ErrMalformedPolicy }

func policyError(err error) error {
	if se, ok := errors.AsType[*policy.SyntaxError](err); ok {
		return &PolicyError{Path: se.Path, Line: se.Line, Column: se.Column, Reason: se.Reason}
	}
	return fmt.Errorf("%w: %v", ErrMalformedPolicy, err)
}

// A DeniedError is the ErrNotAuthorized that says what decided.
type DeniedError struct {
	Principal, Action, Resource string
	// Explicit is set when a Deny statement applied: then Policy, Version and
	// Statement name it. Otherwise no statement allowed the access.
	Explicit        bool
	Policy, Version string
	Statement       int // index in the document, from 0
}

func (e *DeniedError) Error() string {
	if !e.Explicit {
		return fmt.Sprintf("registry: %s on %s: not authorized: no statement allows it", e.Action, e.Resource)
	}
	return fmt.Sprintf("registry: %s on %s: not authorized: denied by statement %d of policy %s version %s",
		e.Action, e.Resource, e.Statement, e.Policy, e.Version)
}

// Unwrap returns ErrNotAuthorized.
func (e *DeniedError) Unwrap() error { return ErrNotAuthorized }
