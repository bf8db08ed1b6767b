package registryhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

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
	s := &server{reg: reg}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.MaxBodyBytes < 0 {
		return nil, errors.New("registryhttp: Options.MaxBodyBytes is negative")
	}
	if s.opts.MaxBodyBytes == 0 {
		s.opts.MaxBodyBytes = 1 << 20
	}
	if s.opts.Logger == nil {
		s.opts.Logger = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	for _, op := range operations() {
		if op.name == "DescribeEndpoint" && s.opts.Endpoint == nil {
			continue
		}
		mux.HandleFunc(op.pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, op) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, fmt.Errorf("%w: %s %s", errNotImplemented, r.Method, r.URL.Path))
	})
	return mux, nil
}

type server struct {
	reg  *registry.Registry
	opts Options
}

// An operation is one row of the API.
type operation struct {
	name, pattern string
	do            func(c *call) (any, error)
}

// A call is one request being answered.
type call struct {
	*http.Request
	s   *server
	reg *registry.Registry
}

// none is the answer of operations without output.
type none struct{}

func (s *server) serve(w http.ResponseWriter, r *http.Request, op operation) {
	if s.opts.Authorize != nil {
		if err := s.opts.Authorize(r, op.name); err != nil {
			if status, _ := classify(err); status == http.StatusInternalServerError {
				err = fmt.Errorf("%w: %s", registry.ErrNotAuthorized, op.name)
			}
			s.fail(w, r, err)
			return
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.opts.MaxBodyBytes)
	out, err := op.do(&call{Request: r, s: s, reg: s.reg})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	body, err := json.Marshal(out)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

// body decodes the JSON body into v; an empty one leaves it as it is.
func (c *call) body(v any) error {
	text, err := io.ReadAll(c.Body)
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return &registry.InvalidError{Field: "body", Reason: fmt.Sprintf("has more than %d bytes", c.s.opts.MaxBodyBytes)}
		}
		return fmt.Errorf("registryhttp: read body: %w", err)
	}
	if len(text) == 0 {
		return nil
	}
	err = json.Unmarshal(text, v)
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &registry.InvalidError{Field: te.Field, Reason: fmt.Sprintf("cannot be a JSON %s", te.Value)}
	}
	if se, ok := errors.AsType[*json.SyntaxError](err); ok {
		return &registry.InvalidError{Field: "body", Reason: fmt.Sprintf("is not JSON at byte %d: %v", se.Offset, se)}
	}
	if err != nil {
		return &registry.InvalidError{Field: "body", Reason: err.Error()}
	}
	return nil
}

// query returns a parameter of the query.
func (c *call) query(name string) string { return c.URL.Query().Get(name) }

// flag reads a boolean parameter.
func (c *call) flag(name string) (bool, error) {
	s := c.query(name)
	if s == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, &registry.InvalidError{Field: name, Reason: fmt.Sprintf("%q is not true or false", s)}
	}
	return b, nil
}

// number reads an integer parameter; absent is zero.
func (c *call) number(name string) (int64, error) {
	s := c.query(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, &registry.InvalidError{Field: name, Reason: fmt.Sprintf("%q is not a number", s)}
	}
	return n, nil
}

// seconds is a time as the protocol has it: seconds since 1970 with a
// fraction of milliseconds.
type seconds time.Time

func (s seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(s).UnixMilli())/1000, 'f', -1, 64), nil
}
