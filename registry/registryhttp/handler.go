package registryhttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
)

// Options are the optional parts of a Handler. A nil *Options is all defaults.
type Options struct {
	// Authorize is asked before each operation, by its AWS name such as
	// "CreateThing". An error refuses it: UnauthorizedException, or what the
	// table of errors says of it. Nil allows everything.
	Authorize func(r *http.Request, operation string) error

	// Endpoint answers DescribeEndpoint, for a type such as "iot:Data-ATS".
	// Nil leaves the operation out.
	Endpoint func(endpointType string) (address string, err error)

	// CheckRegistration checks the provisioning template that a CA
	// certificate is to have. Nil refuses registration configurations.
	CheckRegistration func(ctx context.Context, c registry.RegistrationConfig) error

	// Taggers have the tags of what other packages keep, by the kind that its
	// ARNs have: "job", "rule" and so on. Nil means that only what the registry
	// keeps has tags.
	Taggers map[string]Tagger

	// TestAuthorizer asks the function of an authorizer, as it would be for a
	// client. Nil leaves TestInvokeAuthorizer out.
	TestAuthorizer func(ctx context.Context, a registry.Authorizer, t AuthorizerTest) (AuthorizerResult, error)

	// MaxBodyBytes is the largest body accepted. Zero means 1 MiB.
	MaxBodyBytes int64

	// Logger is told of internal errors, whose text clients do not get. Nil
	// is silence.
	Logger *slog.Logger
}

// Operations returns the names of the operations that are answered, in order.
func Operations() []string {
	var out []string
	for _, op := range operations() {
		out = append(out, op.name)
	}
	return out
}

// Handler serves the control plane of reg.
func Handler(reg *registry.Registry, opts *Options) (http.Handler, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.MaxBodyBytes < 0 {
		return nil, errors.New("registryhttp: Options.MaxBodyBytes is negative")
	}
	var all []awshttp.Operation
	for _, op := range operations() {
		if op.name == "DescribeEndpoint" && o.Endpoint == nil {
			continue
		}
		all = append(all, awshttp.Operation{Name: op.name, Pattern: op.pattern, Do: func(c *awshttp.Call) (any, error) { return op.do(&call{c, reg, &o}) }})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", awshttp.NotImplemented)
	awshttp.Mount(mux, all, awshttp.Options{Authorize: o.Authorize, Errors: errorRows, Members: members, MaxBodyBytes: o.MaxBodyBytes, Logger: o.Logger})
	return mux, nil
}

// An operation is one row of the API.
type operation struct {
	name, pattern string
	do            func(c *call) (any, error)
}

// A call is one request being answered.
type call struct {
	*awshttp.Call
	reg  *registry.Registry
	opts *Options
}
