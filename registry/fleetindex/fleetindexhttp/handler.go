// Package fleetindexhttp serves the fleet indexing operations of the AWS IoT
// control plane: search, aggregations, the connectivity of a thing, and what is
// indexed.
//
//	fleetindexhttp.Mount(mux, index, registry, nil)
package fleetindexhttp

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleet"
	"github.com/thingloom/thingloom/registry/fleetindex"
)

// Options are the optional parts of Mount. A nil *Options is all defaults.
type Options struct {
	// Authorize is asked before each operation, by its AWS name such as
	// "SearchIndex". An error refuses it. Nil allows everything.
	Authorize func(r *http.Request, operation string) error
	// Connection describes the client named as a thing, for
	// GetThingConnectivityData, and reports whether there is one. Nil answers
	// what is indexed.
	Connection func(ctx context.Context, thing string) (Connection, bool, error)
	// Logger is told of internal failures. Nil is silence.
	Logger *slog.Logger
}

var (
	errIndex = errors.New("fleetindexhttp: no such index")
	errQuery = errors.New("fleetindexhttp: invalid query")
)

// errorRows is the one table from errors to what goes over the wire.
var errorRows = []awshttp.ErrorRow{
	{Err: errIndex, Status: http.StatusNotFound, Name: "ResourceNotFoundException"},
	{Err: errThing, Status: http.StatusNotFound, Name: "ResourceNotFoundException"},
	{Err: errQuery, Status: http.StatusBadRequest, Name: "InvalidQueryException"},
	{Err: fleetindex.ErrAggregation, Status: http.StatusBadRequest, Name: "InvalidAggregationException"},
	{Err: fleetindex.ErrNotReady, Status: http.StatusBadRequest, Name: "IndexNotReadyException"},
	{Err: fleetindex.ErrOff, Status: http.StatusNotFound, Name: "ResourceNotFoundException"},
	{Err: fleetindex.ErrInvalid, Status: http.StatusBadRequest, Name: "InvalidRequestException"},
	{Err: registry.ErrNotAuthorized, Status: http.StatusUnauthorized, Name: "UnauthorizedException"},
}

// Operations returns the names of the operations that are answered.
func Operations() []string { return awshttp.Names((&api{}).operations()) }

// Mount adds the operations to mux. The groups of AWS_ThingGroups are those of
// reg.
func Mount(mux *http.ServeMux, ix *fleetindex.Index, reg *registry.Registry, opts *Options) {
	a := &api{ix: ix, reg: reg}
	if opts != nil {
		a.opts = *opts
	}
	awshttp.Mount(mux, a.operations(), awshttp.Options{Errors: errorRows, Authorize: a.opts.Authorize, Logger: a.opts.Logger})
}

type api struct {
	ix  *fleetindex.Index
	reg *registry.Registry

	opts Options
}

func (a *api) operations() []awshttp.Operation {
	return []awshttp.Operation{
		{Name: "SearchIndex", Pattern: "POST /indices/search", Do: a.search},
		{Name: "GetStatistics", Pattern: "POST /indices/statistics", Do: a.statistics},
		{Name: "GetCardinality", Pattern: "POST /indices/cardinality", Do: a.cardinality},
		{Name: "GetPercentiles", Pattern: "POST /indices/percentiles", Do: a.percentiles},
		{Name: "GetBucketsAggregation", Pattern: "POST /indices/buckets", Do: a.buckets},
		{Name: "ListIndices", Pattern: "GET /indices", Do: a.list},
		{Name: "DescribeIndex", Pattern: "GET /indices/{indexName}", Do: a.describe},
		{Name: "GetThingConnectivityData", Pattern: "POST /things/{thingName}/connectivity-data", Do: a.getConnectivity},
		{Name: "GetIndexingConfiguration", Pattern: "GET /indexing/config", Do: a.config},
		{Name: "UpdateIndexingConfiguration", Pattern: "POST /indexing/config", Do: a.setConfig},
	}
}

// The indexes.
const (
	things = "AWS_Things"
	groups = "AWS_ThingGroups"
)

// A request has the members that search and aggregations share.
type request struct {
	IndexName, QueryString, QueryVersion, AggregationField, NextToken string
	MaxResults                                                        *int
	Percents                                                          []float64
	BucketsAggregationType                                            struct{ TermsAggregation *struct{ MaxBuckets *int } }
}

func read(c *awshttp.Call) (r request, err error) {
	if err := c.Body(&r); err != nil {
		return r, err
	}
	if r.IndexName == "" {
		r.IndexName = things
	}
	switch {
	case r.IndexName != things && r.IndexName != groups:
		return r, fmt.Errorf("%w: %q", errIndex, r.IndexName)
	case r.QueryString == "":
		return r, &awshttp.InputError{Field: "queryString", Reason: "is required"}
	case r.QueryVersion != "" && r.QueryVersion != "2017-09-30":
		return r, fmt.Errorf("%w: there is no version %q of the language", errQuery, r.QueryVersion)
	}
	return r, nil
}

// queried makes errors of the query what they are over the wire.
func queried(err error) error {
	if se := (*fleet.SyntaxError)(nil); errors.As(err, &se) {
		return fmt.Errorf("%w: %w", errQuery, err)
	}
	return err
}

func (a *api) search(c *awshttp.Call) (any, error) {
	r, err := read(c)
	if err != nil {
		return nil, err
	}
	limit := 100
	if r.MaxResults != nil {
		limit = *r.MaxResults
	}
	if limit < 1 || limit > 500 {
		return nil, &awshttp.InputError{Field: "maxResults", Reason: fmt.Sprintf("is %d, not 1 to 500", limit)}
	}
	limit = min(limit, maxPage)
	after, ok := awshttp.OpenToken(r.search(), r.NextToken)
	if !ok {
		return nil, &awshttp.InputError{Field: "nextToken", Reason: "is not one that was given out"}
	}
	if r.IndexName == groups {
		return a.searchGroups(c, r, after, limit)
	}
	hits, next, err := a.ix.Search(c.Context(), r.QueryString, after, limit)
	if err != nil {
		return nil, queried(err)
	}
	type connectivity struct {
		Connected bool   `json:"connected"`
		Timestamp int64  `json:"timestamp,omitempty"`
		Reason    string `json:"disconnectReason,omitempty"`
	}
	type view struct {
		Name         string            `json:"thingName"`
		ID           string            `json:"thingId,omitempty"`
		Type         string            `json:"thingTypeName,omitempty"`
		Groups       []string          `json:"thingGroupNames,omitempty"`
		Attributes   map[string]string `json:"attributes,omitempty"`
		Shadow       string            `json:"shadow,omitempty"`
		Defender     string            `json:"deviceDefender,omitempty"`
		Connectivity *connectivity     `json:"connectivity,omitempty"`
	}
	all := []view{}
	for _, h := range hits {
		v := view{Name: h.Name, ID: h.ID, Type: h.Type, Groups: h.Groups, Attributes: h.Attributes, Shadow: string(h.Shadow), Defender: string(h.Defender)}
		if p := h.Connectivity; p != nil {
			v.Connectivity = &connectivity{p.Connected, p.Timestamp, p.DisconnectReason}
		}
		all = append(all, v)
	}
	return struct {
		Things []view `json:"things"`
		Token  string `json:"nextToken,omitempty"`
	}{all, r.token(next)}, nil
}

// maxPage is how many results a page has at most, also where more are asked for, which the model allows.
const maxPage = 100

// search names what is paged through: a token is of one search.
func (r *request) search() string { return "SearchIndex " + r.IndexName + " " + r.QueryString }

// token is that of the page after next, or "" if there is none.
func (r *request) token(next string) string {
	if next == "" {
		return ""
	}
	return awshttp.SealToken(r.search(), next)
}

// searchGroups goes through the groups: there are few of them.
func (a *api) searchGroups(c *awshttp.Call, r request, after string, limit int) (any, error) {
	q, err := fleet.Parse(r.QueryString)
	if err != nil {
		return nil, queried(err)
	}
	type view struct {
		Name        string            `json:"thingGroupName"`
		ID          string            `json:"thingGroupId,omitempty"`
		Description string            `json:"thingGroupDescription,omitempty"`
		Attributes  map[string]string `json:"attributes,omitempty"`
		Parents     []string          `json:"parentGroupNames,omitempty"`
	}
	all, next := []view{}, ""
	for g, err := range a.reg.Groups(c.Context(), registry.GroupQuery{After: after}) {
		if err != nil {
			return nil, err
		}
		if !q.Match(fleet.NewGroupDocument(fleet.Group{Name: g.Name, Description: g.Description, Parents: g.Path, Attributes: g.Attributes})) {
			continue
		}
		if len(all) == limit {
			next = all[limit-1].Name
			break
		}
		all = append(all, view{g.Name, g.ID, g.Description, g.Attributes, g.Path})
	}
	return struct {
		Groups []view `json:"thingGroups"`
		Token  string `json:"nextToken,omitempty"`
	}{all, r.token(next)}, nil
}

// aggregated reads the request of an aggregation, which is over things.
func aggregated(c *awshttp.Call) (request, error) {
	r, err := read(c)
	if err == nil && r.IndexName != things {
		err = &awshttp.InputError{Field: "indexName", Reason: "can be AWS_Things alone"}
	}
	return r, err
}

func (a *api) statistics(c *awshttp.Call) (any, error) {
	r, err := aggregated(c)
	if err != nil {
		return nil, err
	}
	s, err := a.ix.Statistics(c.Context(), r.QueryString, r.AggregationField)
	if err != nil {
		return nil, queried(err)
	}
	type view struct {
		Count        int      `json:"count"`
		Average      *float64 `json:"average,omitempty"`
		Sum          *float64 `json:"sum,omitempty"`
		Minimum      *float64 `json:"minimum,omitempty"`
		Maximum      *float64 `json:"maximum,omitempty"`
		SumOfSquares *float64 `json:"sumOfSquares,omitempty"`
		Variance     *float64 `json:"variance,omitempty"`
		StdDeviation *float64 `json:"stdDeviation,omitempty"`
	}
	v := view{Count: s.Count}
	if s.Numeric || s.Boolean {
		v.Average, v.Sum, v.Minimum, v.Maximum = &s.Average, &s.Sum, &s.Minimum, &s.Maximum
	}
	if s.Numeric {
		v.SumOfSquares, v.Variance, v.StdDeviation = &s.SumOfSquares, &s.Variance, &s.StdDeviation
	}
	return struct {
		Statistics view `json:"statistics"`
	}{v}, nil
}

func (a *api) cardinality(c *awshttp.Call) (any, error) {
	r, err := aggregated(c)
	if err != nil {
		return nil, err
	}
	n, err := a.ix.Cardinality(c.Context(), r.QueryString, r.AggregationField)
	return struct {
		Cardinality int `json:"cardinality"`
	}{n}, queried(err)
}

func (a *api) percentiles(c *awshttp.Call) (any, error) {
	r, err := aggregated(c)
	if err != nil {
		return nil, err
	}
	if len(r.Percents) > 100 {
		return nil, &awshttp.InputError{Field: "percents", Reason: "has more than 100"}
	}
	for _, p := range r.Percents {
		if p < 0 || p > 100 {
			return nil, &awshttp.InputError{Field: "percents", Reason: fmt.Sprintf("has %v, not 0 to 100", p)}
		}
	}
	list, err := a.ix.Percentiles(c.Context(), r.QueryString, r.AggregationField, r.Percents)
	type view struct {
		Percent float64 `json:"percent"`
		Value   float64 `json:"value"`
	}
	all := []view{}
	for _, p := range list {
		all = append(all, view(p))
	}
	return struct {
		Percentiles []view `json:"percentiles"`
	}{all}, queried(err)
}

func (a *api) buckets(c *awshttp.Call) (any, error) {
	r, err := aggregated(c)
	if err != nil {
		return nil, err
	}
	t := r.BucketsAggregationType.TermsAggregation
	most := 10
	switch {
	case r.AggregationField == "":
		return nil, &awshttp.InputError{Field: "aggregationField", Reason: "is required"}
	case t == nil:
		return nil, &awshttp.InputError{Field: "bucketsAggregationType", Reason: "has no termsAggregation"}
	case t.MaxBuckets != nil:
		most = *t.MaxBuckets
	}
	if most < 1 || most > 10_000 {
		return nil, &awshttp.InputError{Field: "maxBuckets", Reason: fmt.Sprintf("is %d, not 1 to 10000", most)}
	}
	list, total, err := a.ix.Buckets(c.Context(), r.QueryString, r.AggregationField, most)
	type view struct {
		Value string `json:"keyValue"`
		Count int    `json:"count"`
	}
	all := []view{}
	for _, b := range list {
		all = append(all, view(b))
	}
	return struct {
		Total   int    `json:"totalCount"`
		Buckets []view `json:"buckets"`
	}{total, all}, queried(err)
}

func (a *api) list(c *awshttp.Call) (any, error) {
	self := func(s string) string { return s }
	names, token, err := awshttp.Page(c, awshttp.ByToken, func(after string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for _, name := range []string{groups, things} { // in order
				if name <= after || name == things && !a.ix.Config().Things {
					continue
				}
				if !yield(name, nil) {
					return
				}
			}
		}
	}, self, self)
	return struct {
		Names []string `json:"indexNames"`
		Token string   `json:"nextToken,omitempty"`
	}{names, token}, err
}

func (a *api) describe(c *awshttp.Call) (any, error) {
	type view struct {
		Name   string            `json:"indexName"`
		Status fleetindex.Status `json:"indexStatus"`
		Schema string            `json:"schema"`
	}
	switch name := c.PathValue("indexName"); {
	case name == groups:
		return view{groups, fleetindex.Active, "THING_GROUPS"}, nil
	case name == things && a.ix.Config().Things:
		return view{things, a.ix.Status(), schema(a.ix.Config())}, nil
	default:
		return nil, fmt.Errorf("%w: %q", errIndex, name)
	}
}

// schema names what is indexed.
func schema(c fleetindex.Config) string {
	switch {
	case c.NamedShadows || c.Defender:
		return "MULTI_INDEXING_MODE"
	case c.Shadows && c.Connectivity:
		return "REGISTRY_AND_SHADOW_AND_CONNECTIVITY_STATUS"
	case c.Shadows:
		return "REGISTRY_AND_SHADOW"
	case c.Connectivity:
		return "REGISTRY_AND_CONNECTIVITY_STATUS"
	}
	return "REGISTRY"
}
