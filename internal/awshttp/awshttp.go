// Package awshttp is the part of the REST-JSON protocol of AWS that every
// endpoint has: operations on method and path, members in path, query and
// body, pages, and errors by name in a header with the message in the body.
package awshttp

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Operation is one row of an API.
type Operation struct {
	Name    string // as the service model has it
	Pattern string // of http.ServeMux
	Do      func(*Call) (any, error)
}

// An ErrorRow says what an error is over the wire.
type ErrorRow struct {
	Err    error
	Status int
	Name   string
}

// Options are what endpoints differ in.
type Options struct {
	// Authorize is asked before each operation. Nil allows everything.
	Authorize func(r *http.Request, operation string) error
	// Errors is the table of errors; the first row that fits counts. What is
	// in none is an internal failure, whose text goes to the log only.
	Errors []ErrorRow
	// Members are what the body of an error has beside its message. Nil is
	// nothing.
	Members func(err error) map[string]string
	// MaxBodyBytes is the largest body accepted. Zero means 1 MiB.
	MaxBodyBytes int64
	// Logger is told of internal failures. Nil is silence.
	Logger *slog.Logger
}

// Names are those of the operations, in their order.
func Names(operations []Operation) []string {
	names := make([]string, len(operations))
	for i, op := range operations {
		names[i] = op.Name
	}
	return names
}

// Mount adds the operations to mux.
func Mount(mux *http.ServeMux, operations []Operation, opts Options) {
	if opts.MaxBodyBytes == 0 {
		opts.MaxBodyBytes = 1 << 20
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{opts}
	for _, op := range operations {
		mux.HandleFunc(op.Pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, op) })
	}
}

type server struct{ opts Options }

// RequestID is the header that names a request: clients show it with an error,
// and what is logged of an internal failure has it.
const RequestID = "x-amzn-RequestId"

// identify names the request.
func identify(w http.ResponseWriter) {
	if w.Header().Get(RequestID) == "" {
		w.Header().Set(RequestID, rand.Text())
	}
}

func (s *server) serve(w http.ResponseWriter, r *http.Request, op Operation) {
	identify(w)
	if s.opts.Authorize != nil {
		if err := s.opts.Authorize(r, op.Name); err != nil {
			if status, _ := s.classify(err); status == http.StatusInternalServerError {
				s.opts.Logger.Warn("not authorized", "operation", op.Name, "err", err)
				WriteError(w, http.StatusUnauthorized, "UnauthorizedException", "not authorized: "+op.Name)
				return
			}
			s.fail(w, r, err)
			return
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.opts.MaxBodyBytes)
	out, err := op.Do(&Call{r})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if raw, ok := out.(Raw); ok {
		if err := raw(w); err != nil {
			s.opts.Logger.Error("answer cut short", "method", r.Method, "path", r.URL.Path, "err", err)
			panic(http.ErrAbortHandler) // who reads must not take it for the whole
		}
		return
	}
	if out == nil {
		out = struct{}{}
	}
	body, err := json.Marshal(out)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

func (s *server) classify(err error) (status int, name string) { return Classify(s.opts.Errors, err) }

// Classify returns the status and name of an error by a table.
func Classify(rows []ErrorRow, err error) (status int, name string) {
	if _, ok := errors.AsType[*InputError](err); ok {
		return http.StatusBadRequest, "InvalidRequestException"
	}
	for _, row := range rows {
		if errors.Is(err, row.Err) {
			return row.Status, row.Name
		}
	}
	return http.StatusInternalServerError, "InternalFailureException"
}

func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, name := s.classify(err)
	message, members := err.Error(), map[string]string(nil)
	if s.opts.Members != nil {
		members = s.opts.Members(err)
	}
	if status == http.StatusInternalServerError {
		s.opts.Logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "request_id", w.Header().Get(RequestID), "err", err)
		message, members = "internal failure", nil
	}
	writeError(w, status, name, message, members)
}

// NotImplemented answers as the service does where nothing answers an
// operation.
func NotImplemented(w http.ResponseWriter, r *http.Request) {
	WriteError(w, http.StatusNotImplemented, "NotImplementedException", "operation not implemented: "+r.Method+" "+r.URL.Path)
}

// WriteError answers with an error in the shape that AWS clients read.
func WriteError(w http.ResponseWriter, status int, name, message string) {
	writeError(w, status, name, message, nil)
}

func writeError(w http.ResponseWriter, status int, name, message string, members map[string]string) {
	all := map[string]string{}
	maps.Copy(all, members)
	all["message"] = message
	body, err := json.Marshal(all)
	if err != nil {
		body = []byte(`{}`)
	}
	identify(w)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("x-amzn-ErrorType", name)
	w.WriteHeader(status)
	w.Write(body)
}

// An InputError is a request that breaks a rule: 400.
type InputError struct{ Field, Reason string }

func (e *InputError) Error() string { return e.Field + " " + e.Reason }

// A Raw is an answer that an operation writes itself, where it is no JSON
// object. An error cuts it short.
type Raw func(w http.ResponseWriter) error

// A Call is one request being answered.
type Call struct{ *http.Request }

// Body decodes the JSON body into v; an empty one leaves it as it is.
func (c *Call) Body(v any) error {
	text, err := io.ReadAll(c.Request.Body)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &InputError{"body", fmt.Sprintf("has more than %d bytes", tooLarge.Limit)}
	}
	if err != nil {
		return &InputError{"body", fmt.Sprintf("cannot be read: %v", err)}
	}
	if len(text) == 0 {
		return nil
	}
	err = json.Unmarshal(text, v)
	if in, ok := errors.AsType[*InputError](err); ok { // of a member that checks itself
		return in
	}
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &InputError{te.Field, fmt.Sprintf("cannot be a JSON %s", te.Value)}
	}
	if se, ok := errors.AsType[*json.SyntaxError](err); ok {
		return &InputError{"body", fmt.Sprintf("is not JSON at byte %d: %v", se.Offset, se)}
	}
	if err != nil {
		return &InputError{"body", err.Error()}
	}
	return nil
}

// With makes an operation of a function that is given the body, decoded.
func With[C interface{ Body(v any) error }, In any](do func(c C, in In) (any, error)) func(C) (any, error) {
	return func(c C) (any, error) {
		var in In
		if err := c.Body(&in); err != nil {
			return nil, err
		}
		return do(c, in)
	}
}

// Query returns a parameter of the query.
func (c *Call) Query(name string) string { return c.URL.Query().Get(name) }

// OneOf reads a parameter that has one of some values; absent is "".
func (c *Call) OneOf(name string, values ...string) (string, error) {
	s := c.Query(name)
	if s != "" && !slices.Contains(values, s) {
		return "", &InputError{name, fmt.Sprintf("%q is none of %s", s, strings.Join(values, ", "))}
	}
	return s, nil
}

// Flag reads a boolean parameter; absent is false.
func (c *Call) Flag(name string) (bool, error) {
	s := c.Query(name)
	if s == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, &InputError{name, fmt.Sprintf("%q is not true or false", s)}
	}
	return b, nil
}

// Number reads an integer parameter; absent is zero.
func (c *Call) Number(name string) (int64, error) {
	s := c.Query(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, &InputError{name, fmt.Sprintf("%q is not a number", s)}
	}
	return n, nil
}

// Seconds is a time as the protocol has it: seconds since 1970 with a fraction
// of milliseconds.
type Seconds time.Time

// MarshalJSON writes the number.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(s).UnixMilli())/1000, 'f', -1, 64), nil
}
