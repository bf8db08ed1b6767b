package ruleshttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/rules"
)

// Handler serves the topic rule operations on the rules of e. It dispatches on
// the escaped path itself, so it may be mounted as "/rules" and "/rules/" on
// any mux, or alone.
func Handler(e *rules.Engine, opts *Options) http.Handler {
	return &handler{e, opts.withDefaults()}
}

type handler struct {
	engine *rules.Engine
	opts   Options
}

// An operation answers one request: with a body, or nil for {}.
type operation struct {
	name string
	run  func(h *handler, r *http.Request, rule string, body []byte) (any, error)
}

var operations = map[string]operation{
	"POST name":         {"CreateTopicRule", create},
	"GET name":          {"GetTopicRule", get},
	"PATCH name":        {"ReplaceTopicRule", replace},
	"DELETE name":       {"DeleteTopicRule", remove},
	"POST name/enable":  {"EnableTopicRule", enable},
	"POST name/disable": {"DisableTopicRule", disable},
	"GET ":              {"ListTopicRules", list},
}

// Operations returns the names of the operations that are answered, in order.
func Operations() []string {
	var out []string
	for _, op := range operations {
		out = append(out, op.name)
	}
	slices.Sort(out)
	return out
}

// ServeHTTP finds the operation, asks Authorize, reads the body within its
// limit, and runs it.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shape, rule, err := route(r.URL.EscapedPath())
	op, ok := operations[r.Method+" "+shape]
	switch {
	case err != nil:
		h.fail(w, r, rule, err)
		return
	case !ok:
		h.fail(w, r, rule, fmt.Errorf("%w: %s %s", errNoOperation, r.Method, r.URL.Path))
		return
	}
	if err := h.opts.Authorize(r, "iot:"+op.name, h.resource(rule)); err != nil {
		h.fail(w, r, rule, fmt.Errorf("%w: %w", errUnauthorized, err))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.opts.MaxBodyBytes))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if !errors.As(err, &tooLarge) {
			err = requestError{fmt.Errorf("the body cannot be read: %w", err)}
		}
		h.fail(w, r, rule, err)
		return
	}
	out, err := op.run(h, r, rule, body)
	if err != nil {
		h.fail(w, r, rule, unchanged(op.name, err))
		return
	}
	if out == nil {
		out = struct{}{}
	}
	h.write(w, http.StatusOK, out)
}

// route takes /rules, /rules/{name} or /rules/{name}/{verb} apart. A name that
// no rule can have is let through, for the engine to refuse.
func route(escaped string) (shape, rule string, err error) {
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(escaped, "/"), "/"), "/")
	if parts[0] != "rules" || len(parts) > 3 {
		return "-", "", nil // no operation has it
	}
	switch len(parts) {
	case 1:
		return "", "", nil
	case 2:
		shape = "name"
	default:
		shape = "name/" + parts[2]
	}
	rule, err = url.PathUnescape(parts[1])
	if err != nil {
		return "", "", requestError{fmt.Errorf("the path cannot be read: %w", err)}
	}
	return shape, rule, nil
}

func (h *handler) resource(rule string) string {
	if rule == "" {
		return "*"
	}
	return h.arn(rule)
}

func (h *handler) arn(rule string) string {
	return "arn:aws:iot:" + h.opts.Region + ":" + h.opts.Account + ":rule/" + rule
}
