// Package provisionhttp serves the provisioning operations of the AWS IoT
// control plane: templates with their versions, claims, RegisterThing, and
// registration tasks. The reports of a task are read where their links lead to:
// on this server, by whoever may list them.
//
//	mux := http.NewServeMux()
//	provisionhttp.Mount(mux, service, nil)
package provisionhttp

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/provision"
)

// Options are the optional parts of Mount. A nil *Options is all defaults.
type Options struct {
	// Authorize is asked before each operation, by its AWS name such as
	// "CreateProvisioningClaim". An error refuses it. Nil allows everything.
	Authorize func(r *http.Request, operation string) error
	// Logger is told of internal failures. Nil is silence.
	Logger *slog.Logger
}

// errorRows is the one table from errors to what goes over the wire.
var errorRows = []awshttp.ErrorRow{
	{Err: registry.ErrNotAuthorized, Status: http.StatusUnauthorized, Name: "UnauthorizedException"},
	{Err: provision.ErrConflict, Status: http.StatusConflict, Name: "ConflictingResourceUpdateException"},
	{Err: provision.ErrTemplate, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: provision.ErrInvalid, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: provision.ErrDisabled, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: provision.ErrDenied, Status: http.StatusUnauthorized, Name: "UnauthorizedException"},
	{Err: provision.ErrToken, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: provision.ErrNotFound, Status: http.StatusNotFound, Name: "ResourceNotFoundException"},
	{Err: provision.ErrExists, Status: http.StatusConflict, Name: "ResourceAlreadyExistsException"},
	{Err: provision.ErrVersions, Status: http.StatusConflict, Name: "VersionsLimitExceededException"},
	{Err: provision.ErrInUse, Status: http.StatusConflict, Name: "DeleteConflictException"},
	{Err: registry.ErrNotFound, Status: http.StatusBadRequest, Name: "ResourceRegistrationFailureException"},
	{Err: registry.ErrExists, Status: http.StatusConflict, Name: "ConflictingResourceUpdateException"},
	{Err: registry.ErrVersionConflict, Status: http.StatusConflict, Name: "ConflictingResourceUpdateException"},
	{Err: registry.ErrInvalid, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: registry.ErrLimit, Status: http.StatusBadRequest, Name: "ResourceRegistrationFailureException"},
	{Err: registry.ErrMalformedPolicy, Status: http.StatusBadRequest, Name: "ResourceRegistrationFailureException"},
	{Err: registry.ErrCertificateState, Status: http.StatusBadRequest, Name: "ResourceRegistrationFailureException"},
	{Err: registry.ErrCertificateValidation, Status: http.StatusBadRequest, Name: "ResourceRegistrationFailureException"},
	{Err: registry.ErrNoCA, Status: http.StatusBadRequest, Name: "ResourceRegistrationFailureException"},
}

// Operations returns the names of the operations that are answered.
func Operations() []string { return awshttp.Names((&api{}).operations()) }

// Mount adds the operations of s to mux.
func Mount(mux *http.ServeMux, s *provision.Service, opts *Options) {
	o := awshttp.Options{Errors: errorRows}
	if opts != nil {
		o.Authorize, o.Logger = opts.Authorize, opts.Logger
	}
	a := &api{s}
	awshttp.Mount(mux, append(a.operations(), a.report()), o)
}

type api struct{ s *provision.Service }

const templates = "/provisioning-templates"

func (a *api) operations() []awshttp.Operation {
	return append([]awshttp.Operation{
		{Name: "CreateProvisioningTemplate", Pattern: "POST " + templates, Do: awshttp.With(a.create)},
		{Name: "DescribeProvisioningTemplate", Pattern: "GET " + templates + "/{templateName}", Do: a.describe},
		{Name: "UpdateProvisioningTemplate", Pattern: "PATCH " + templates + "/{templateName}", Do: awshttp.With(a.update)},
		{Name: "DeleteProvisioningTemplate", Pattern: "DELETE " + templates + "/{templateName}", Do: a.remove},
		{Name: "ListProvisioningTemplates", Pattern: "GET " + templates, Do: a.list},
		{Name: "CreateProvisioningTemplateVersion", Pattern: "POST " + templates + "/{templateName}/versions", Do: a.createVersion},
		{Name: "DescribeProvisioningTemplateVersion", Pattern: "GET " + templates + "/{templateName}/versions/{versionId}", Do: a.describeVersion},
		{Name: "DeleteProvisioningTemplateVersion", Pattern: "DELETE " + templates + "/{templateName}/versions/{versionId}", Do: a.removeVersion},
		{Name: "ListProvisioningTemplateVersions", Pattern: "GET " + templates + "/{templateName}/versions", Do: a.listVersions},
		{Name: "CreateProvisioningClaim", Pattern: "POST " + templates + "/{templateName}/provisioning-claim", Do: a.claim},
		{Name: "RegisterThing", Pattern: "POST /things", Do: awshttp.With(a.registerThing)},
	}, a.taskOperations()...)
}

// A hook is the preProvisioningHook over the wire.
type hook struct {
	PayloadVersion string `json:"payloadVersion,omitempty"`
	TargetArn      string `json:"targetArn"`
}

func (a *api) create(c *awshttp.Call, in struct {
	TemplateName, Description, TemplateBody, ProvisioningRoleArn, Type string
	Enabled                                                            bool
	PreProvisioningHook                                                hook
	Tags                                                               awshttp.Tags
}) (any, error) {
	if in.TemplateBody == "" {
		return nil, &awshttp.InputError{Field: "templateBody", Reason: "is required"}
	}
	if in.ProvisioningRoleArn == "" { // though no role is assumed
		return nil, &awshttp.InputError{Field: "provisioningRoleArn", Reason: "is required"}
	}
	t, err := a.s.CreateTemplate(c.Context(), provision.StoredTemplate{Name: in.TemplateName, Description: in.Description, Enabled: in.Enabled,
		Type: in.Type, Role: in.ProvisioningRoleArn, Hook: in.PreProvisioningHook.TargetArn, HookVersion: in.PreProvisioningHook.PayloadVersion, Tags: in.Tags}, in.TemplateBody)
	return struct {
		ARN     string `json:"templateArn"`
		Name    string `json:"templateName"`
		Version int    `json:"defaultVersionId"`
	}{a.s.ARN(t.Name), t.Name, t.Default}, err
}

func (a *api) describe(c *awshttp.Call) (any, error) {
	t, err := a.s.Template(c.Context(), c.PathValue("templateName"))
	if err != nil {
		return nil, err
	}
	v, err := t.Version(0)
	if err != nil {
		return nil, err
	}
	var h *hook
	if t.Hook != "" {
		h = &hook{t.HookVersion, t.Hook}
	}
	return struct {
		ARN         string          `json:"templateArn"`
		Name        string          `json:"templateName"`
		Description string          `json:"description,omitempty"`
		Created     awshttp.Seconds `json:"creationDate"`
		Modified    awshttp.Seconds `json:"lastModifiedDate"`
		Default     int             `json:"defaultVersionId"`
		Body        string          `json:"templateBody"`
		Enabled     bool            `json:"enabled"`
		Role        string          `json:"provisioningRoleArn,omitempty"`
		Hook        *hook           `json:"preProvisioningHook,omitempty"`
		Type        string          `json:"type"`
	}{a.s.ARN(t.Name), t.Name, t.Description, awshttp.Seconds(t.Created), awshttp.Seconds(t.Modified), t.Default, v.Body, t.Enabled, t.Role, h, t.Type}, nil
}

func (a *api) update(c *awshttp.Call, in struct {
	Description, ProvisioningRoleArn *string
	Enabled                          *bool
	DefaultVersionId                 *int
	PreProvisioningHook              *hook
	RemovePreProvisioningHook        bool
}) (any, error) {
	u := provision.TemplateUpdate{Description: in.Description, Role: in.ProvisioningRoleArn, Enabled: in.Enabled, Default: in.DefaultVersionId}
	if in.RemovePreProvisioningHook {
		u.Hook, u.HookVersion = new(string), new(string)
	} else if h := in.PreProvisioningHook; h != nil {
		u.Hook, u.HookVersion = &h.TargetArn, &h.PayloadVersion
	}
	return nil, a.s.UpdateTemplate(c.Context(), c.PathValue("templateName"), u)
}

func (a *api) remove(c *awshttp.Call) (any, error) {
	return nil, a.s.DeleteTemplate(c.Context(), c.PathValue("templateName"))
}

func (a *api) list(c *awshttp.Call) (any, error) {
	type view struct {
		ARN         string          `json:"templateArn"`
		Name        string          `json:"templateName"`
		Description string          `json:"description,omitempty"`
		Created     awshttp.Seconds `json:"creationDate"`
		Modified    awshttp.Seconds `json:"lastModifiedDate"`
		Enabled     bool            `json:"enabled"`
		Type        string          `json:"type"`
	}
	items, token, err := awshttp.Page(c, awshttp.ByToken,
		func(after string) iter.Seq2[provision.StoredTemplate, error] {
			return a.s.Templates(c.Context(), after)
		},
		func(t provision.StoredTemplate) string { return t.Name },
		func(t provision.StoredTemplate) view {
			return view{a.s.ARN(t.Name), t.Name, t.Description, awshttp.Seconds(t.Created), awshttp.Seconds(t.Modified), t.Enabled, t.Type}
		})
	return struct {
		Templates []view `json:"templates"`
		Token     string `json:"nextToken,omitempty"`
	}{items, token}, err
}

func (a *api) createVersion(c *awshttp.Call) (any, error) {
	var in struct{ TemplateBody string }
	setDefault, err := c.Flag("setAsDefault")
	if err == nil {
		err = c.Body(&in)
	}
	if err != nil {
		return nil, err
	}
	name := c.PathValue("templateName")
	v, err := a.s.CreateVersion(c.Context(), name, in.TemplateBody, setDefault)
	return struct {
		ARN     string `json:"templateArn"`
		Name    string `json:"templateName"`
		ID      int    `json:"versionId"`
		Default bool   `json:"isDefaultVersion"`
	}{a.s.ARN(name), name, v.ID, setDefault}, err
}

// version reads the version of the path.
func version(c *awshttp.Call) (int, error) {
	id, err := strconv.Atoi(c.PathValue("versionId"))
	if err != nil || id < 1 {
		return 0, &awshttp.InputError{Field: "versionId", Reason: "is not a number from 1"}
	}
	return id, nil
}

func (a *api) describeVersion(c *awshttp.Call) (any, error) {
	id, err := version(c)
	if err != nil {
		return nil, err
	}
	t, err := a.s.Template(c.Context(), c.PathValue("templateName"))
	if err != nil {
		return nil, err
	}
	v, err := t.Version(id)
	return struct {
		ID      int             `json:"versionId"`
		Created awshttp.Seconds `json:"creationDate"`
		Body    string          `json:"templateBody"`
		Default bool            `json:"isDefaultVersion"`
	}{v.ID, awshttp.Seconds(v.Created), v.Body, v.ID == t.Default}, err
}

func (a *api) removeVersion(c *awshttp.Call) (any, error) {
	id, err := version(c)
	if err != nil {
		return nil, err
	}
	return nil, a.s.DeleteVersion(c.Context(), c.PathValue("templateName"), id)
}

func (a *api) listVersions(c *awshttp.Call) (any, error) {
	t, err := a.s.Template(c.Context(), c.PathValue("templateName"))
	if err != nil {
		return nil, err
	}
	type view struct {
		ID      int             `json:"versionId"`
		Created awshttp.Seconds `json:"creationDate"`
		Default bool            `json:"isDefaultVersion"`
	}
	key := func(v provision.Version) string { return fmt.Sprintf("%010d", v.ID) }
	items, token, err := awshttp.Page(c, awshttp.ByToken, func(after string) iter.Seq2[provision.Version, error] {
		return func(yield func(provision.Version, error) bool) {
			for _, v := range t.Versions {
				if key(v) > after && !yield(v, nil) {
					return
				}
			}
		}
	}, key, func(v provision.Version) view { return view{v.ID, awshttp.Seconds(v.Created), v.ID == t.Default} })
	return struct {
		Versions []view `json:"versions"`
		Token    string `json:"nextToken,omitempty"`
	}{items, token}, err
}

func (a *api) claim(c *awshttp.Call) (any, error) {
	made, err := a.s.CreateClaim(c.Context(), c.PathValue("templateName"))
	type keyPair struct {
		Public  string `json:"PublicKey"`
		Private string `json:"PrivateKey"`
	}
	return struct {
		ID      string          `json:"certificateId"`
		PEM     string          `json:"certificatePem"`
		Keys    keyPair         `json:"keyPair"`
		Expires awshttp.Seconds `json:"expiration"`
	}{made.Certificate.ID, made.Certificate.PEM, keyPair{string(made.Keys.PublicPEM), string(made.Keys.PrivatePEM)}, awshttp.Seconds(made.Expires)}, err
}

func (a *api) registerThing(c *awshttp.Call, in struct {
	TemplateBody string
	Parameters   map[string]string
}) (any, error) {
	r, err := a.s.RegisterThing(c.Context(), in.TemplateBody, in.Parameters)
	if err != nil {
		return nil, err
	}
	return struct {
		PEM  string            `json:"certificatePem,omitempty"`
		ARNs map[string]string `json:"resourceArns"`
	}{r.CertificatePEM, a.s.ARNs(r)}, nil
}

// CheckRegistration checks the template of a CA certificate, for
// registryhttp.Options.
func CheckRegistration(s *provision.Service) func(context.Context, registry.RegistrationConfig) error {
	return func(ctx context.Context, c registry.RegistrationConfig) error {
		if c.Template != "" {
			_, err := s.Template(ctx, c.Template)
			return err
		}
		_, err := provision.Parse([]byte(c.Body))
		return err
	}
}
