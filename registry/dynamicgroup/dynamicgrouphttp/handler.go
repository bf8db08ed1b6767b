// Package dynamicgrouphttp serves the operations of dynamic thing groups of the AWS IoT control plane. The others that
// take a group, from DescribeThingGroup on, are registryhttp's.
//
//	dynamicgrouphttp.Mount(mux, groups, registry, nil)
package dynamicgrouphttp

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/dynamicgroup"
)

// Options are the optional parts of Mount. A nil *Options is all defaults.
type Options struct {
	// Authorize is asked before each operation, by its AWS name such as
	// "CreateDynamicThingGroup". An error refuses it. Nil allows everything.
	Authorize func(r *http.Request, operation string) error
	// Logger is told of internal failures. Nil is silence.
	Logger *slog.Logger
}

// errorRows is the one table from errors to what goes over the wire.
var errorRows = []awshttp.ErrorRow{
	{Err: registry.ErrNotAuthorized, Status: http.StatusUnauthorized, Name: "UnauthorizedException"},
	{Err: registry.ErrNotFound, Status: http.StatusNotFound, Name: "ResourceNotFoundException"},
	{Err: registry.ErrExists, Status: http.StatusConflict, Name: "ResourceAlreadyExistsException"},
	{Err: registry.ErrVersionConflict, Status: http.StatusConflict, Name: "VersionConflictException"},
	{Err: registry.ErrInvalid, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: registry.ErrLimit, Status: http.StatusGone, Name: "LimitExceededException"},
	{Err: dynamicgroup.ErrQuery, Status: http.StatusBadRequest, Name: "InvalidQueryException"},
	{Err: dynamicgroup.ErrOff, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: dynamicgroup.ErrNeeded, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
}

// Operations returns the names of the operations that are answered.
func Operations() []string { return awshttp.Names((&api{}).operations()) }

// Mount adds the operations to mux.
func Mount(mux *http.ServeMux, groups *dynamicgroup.Service, reg *registry.Registry, opts *Options) {
	o := awshttp.Options{Errors: errorRows}
	if opts != nil {
		o.Authorize, o.Logger = opts.Authorize, opts.Logger
	}
	awshttp.Mount(mux, (&api{groups, reg}).operations(), o)
}

type api struct {
	groups *dynamicgroup.Service
	reg    *registry.Registry
}

func (a *api) operations() []awshttp.Operation {
	return []awshttp.Operation{
		{Name: "CreateDynamicThingGroup", Pattern: "POST /dynamic-thing-groups/{thingGroupName}", Do: a.create},
		{Name: "UpdateDynamicThingGroup", Pattern: "PATCH /dynamic-thing-groups/{thingGroupName}", Do: a.update},
		{Name: "DeleteDynamicThingGroup", Pattern: "DELETE /dynamic-thing-groups/{thingGroupName}", Do: a.delete},
	}
}

// The index and the language, of which there is one each.
const (
	index   = "AWS_Things"
	version = "2017-09-30"
)

// A request is that of creating and updating.
type request struct {
	ThingGroupProperties *struct {
		ThingGroupDescription *string
		AttributePayload      *struct {
			Attributes map[string]string
			Merge      bool
		}
	}
	ExpectedVersion         int64
	IndexName, QueryVersion string
	QueryString             *string
	Tags                    awshttp.Tags
}

func read(c *awshttp.Call) (r request, err error) {
	if err := c.Body(&r); err != nil {
		return r, err
	}
	switch {
	case r.IndexName != "" && r.IndexName != index:
		return r, fmt.Errorf("index %q: %w", r.IndexName, registry.ErrNotFound)
	case r.QueryVersion != "" && r.QueryVersion != version:
		return r, fmt.Errorf("%w: there is no version %q of the language", dynamicgroup.ErrQuery, r.QueryVersion)
	}
	return r, nil
}

func (a *api) create(c *awshttp.Call) (any, error) {
	r, err := read(c)
	if err != nil {
		return nil, err
	}
	if r.QueryString == nil {
		return nil, &awshttp.InputError{Field: "queryString", Reason: "is required"}
	}
	g := registry.Group{Name: c.PathValue("thingGroupName"), Tags: r.Tags}
	if p := r.ThingGroupProperties; p != nil {
		if p.ThingGroupDescription != nil {
			g.Description = *p.ThingGroupDescription
		}
		if p.AttributePayload != nil {
			g.Attributes = p.AttributePayload.Attributes
		}
	}
	if g, err = a.groups.Create(c.Context(), g, *r.QueryString); err != nil {
		return nil, err
	}
	return struct {
		Name    string `json:"thingGroupName"`
		ARN     string `json:"thingGroupArn"`
		ID      string `json:"thingGroupId"`
		Index   string `json:"indexName"`
		Query   string `json:"queryString"`
		Version string `json:"queryVersion"`
	}{g.Name, a.reg.ARN("thinggroup/" + g.Name), g.ID, index, g.Dynamic.Query, version}, nil
}

func (a *api) update(c *awshttp.Call) (any, error) {
	r, err := read(c)
	if err != nil {
		return nil, err
	}
	p := r.ThingGroupProperties
	if p == nil {
		return nil, &awshttp.InputError{Field: "thingGroupProperties", Reason: "is required"}
	}
	u := registry.GroupUpdate{Name: c.PathValue("thingGroupName"), Description: p.ThingGroupDescription, ExpectedVersion: r.ExpectedVersion}
	if p.AttributePayload != nil {
		u.Attributes, u.Merge = p.AttributePayload.Attributes, p.AttributePayload.Merge
	}
	g, err := a.groups.Update(c.Context(), u, r.QueryString)
	return struct {
		Version int64 `json:"version"`
	}{g.Version}, err
}

func (a *api) delete(c *awshttp.Call) (any, error) {
	prev, err := c.Number("expectedVersion")
	if err != nil {
		return nil, err
	}
	return struct{}{}, a.groups.Delete(c.Context(), c.PathValue("thingGroupName"), prev)
}
