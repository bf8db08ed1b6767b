package provision

import (
	"errors"
	"fmt"
)

var (
	// ErrTemplate reports a template that cannot be read, or values that it
	// cannot be filled with; it is a *TemplateError with the place.
	ErrTemplate = errors.New("provision: invalid template")

	// ErrConflict reports a resource that exists and that the template says
	// to FAIL on (ResourceConflictsException).
	ErrConflict = errors.New("provision: resource exists")

	// ErrDenied reports that the hook did not allow the provisioning, or gave
	// no answer in time.
	ErrDenied = errors.New("provision: denied by the pre-provisioning hook")

	// ErrToken reports an ownership token that is unknown, has expired, or
	// belongs to another claim session.
	ErrToken = errors.New("provision: invalid certificate ownership token")

	// ErrDisabled reports a template that is not enabled.
	ErrDisabled = errors.New("provision: template is disabled")

	// ErrInvalid reports input that breaks a rule; the text says which.
	ErrInvalid = errors.New("provision: invalid request")

	// ErrNotFound reports that there is no such template or version.
	ErrNotFound = errors.New("provision: not found")

	// ErrExists reports that the name of a template is taken.
	ErrExists = errors.New("provision: template exists")

	// ErrVersions reports a sixth version of a template. Delete one first.
	ErrVersions = errors.New("provision: too many versions")

	// ErrInUse reports the deletion of the default version.
	ErrInUse = errors.New("provision: is the default version")
)

// A TemplateError is the ErrTemplate with the place of the mistake.
type TemplateError struct {
	Path         string // such as "Resources.thing.Properties.ThingName"; empty for the whole
	Line, Column int    // from 1, for a template that is not JSON
	Reason       string
}

func (e *TemplateError) Error() string {
	s := "provision: invalid template"
	if e.Line > 0 {
		s += fmt.Sprintf(": line %d, column %d", e.Line, e.Column)
	}
	if e.Path != "" {
		s += ": " + e.Path
	}
	return s + ": " + e.Reason
}

// Unwrap returns ErrTemplate.
func (e *TemplateError) Unwrap() error { return ErrTemplate }

func invalidTemplate(path, format string, args ...any) error {
	return &TemplateError{Path: path, Reason: fmt.Sprintf(format, args...)}
}
