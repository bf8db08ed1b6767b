// Package webhook is the action plugin "webhook": it posts what a rule
// selected to a URL.
//
//	{"webhook": {"url": "https://api.example/sensors/${topic(2)}",
//	             "confirmationUrl": "https://api.example/sensors/",
//	             "headers": [{"key": "X-Thing", "value": "${topic(2)}"}]}}
//
// The parameters are those of the http action of AWS IoT, less batching and
// its signature. The content type is application/json for a payload that is
// JSON, else application/octet-stream; a header of the rule overrides it.
// X-Request-Id names the request over all its attempts, for receivers that
// drop what they have seen.
//
// # What is tried again
//
// An answer of 2xx is success. 429 and 5xx are tried again by the dispatcher's
// policy, not before Retry-After; so is a connection that fails or times out,
// since nobody knows what the other side did. Any other answer, and one longer
// than Options.MaxResponseBytes, is final.
//
// # Where requests go
//
// A URL with substitutions needs a confirmationUrl, and the URL after
// substitution has to lie below it: same scheme, same host, same path or
// deeper, so that no message can send requests elsewhere. Redirects are
// followed within one origin and only where they keep the method.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/thingloom/thingloom/actions"
)

// Options are the optional parts of the plugin. A nil *Options is all defaults.
type Options struct {
	// Name is what rules call the action by. Empty means "webhook"; "http"
	// takes rules from AWS as they are.
	Name string
	// Client sends the requests, and decides on redirects. Nil means a client
	// of the plugin's own, see the package's story.
	Client *http.Client
	// MaxResponseBytes is how long an answer may be. Zero means 16384, the limit of the service.
	MaxResponseBytes int64
	// Timeout bounds one attempt. Zero means the dispatcher's; the service has 3 s.
	Timeout time.Duration
	// Retry is the policy of this action. Nil means the dispatcher's.
	Retry *actions.RetryPolicy
}

// Params are the parameters of the action.
type Params struct {
	URL             actions.Template `json:"url" required:"true" doc:"http or https URL to post to"`
	ConfirmationURL string           `json:"confirmationUrl" doc:"where the URL has to lie below; required if it has substitutions"`
	Headers         []Header         `json:"headers" doc:"headers of the request, at most 100"`
}

// A Header is one header of the request.
type Header struct {
	Key   string           `json:"key" required:"true" doc:"name, at most 256 bytes"`
	Value actions.Template `json:"value" required:"true" doc:"value"`
}

// The limits of the service.
const (
	maxHeaders  = 100
	maxKeyBytes = 256
	maxURLBytes = 2048
)

// Spec returns the plugin.
func Spec(opts *Options) actions.Spec {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Name == "" {
		o.Name = "webhook"
	}
	if o.MaxResponseBytes == 0 {
		o.MaxResponseBytes = 16384
	}
	if o.Client == nil {
		o.Client = &http.Client{CheckRedirect: sameOrigin}
	}
	s := actions.NewSpec(o.Name, "post the payload to a URL", func(_ context.Context, p *Params) (actions.Action, error) {
		return open(&o, p)
	})
	s.Timeout, s.Retry = o.Timeout, o.Retry
	return s
}

// sameOrigin is the redirect policy of the plugin's own client.
func sameOrigin(next *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || next.Method != first.Method || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

func open(o *Options, p *Params) (actions.Action, error) {
	a := &hook{options: o, params: p}
	text, constant := p.URL.Constant()
	switch {
	case constant:
		u, err := parse(text)
		if err != nil {
			return nil, &actions.ParamError{Path: "url", Err: err}
		}
		a.fixed = u
	case p.ConfirmationURL == "":
		return nil, &actions.ParamError{Path: "confirmationUrl", Err: errors.New("required, since url has substitutions")}
	}
	if p.ConfirmationURL != "" {
		base, err := parse(p.ConfirmationURL)
		if err != nil {
			return nil, &actions.ParamError{Path: "confirmationUrl", Err: err}
		}
		a.base = base
		if a.fixed != nil && !below(base, a.fixed) {
			return nil, &actions.ParamError{Path: "url", Err: fmt.Errorf("%s is not below %s", a.fixed, base)}
		}
	}
	if len(p.Headers) > maxHeaders {
		return nil, &actions.ParamError{Path: "headers", Err: fmt.Errorf("%d, at most %d are allowed", len(p.Headers), maxHeaders)}
	}
	for i, h := range p.Headers {
		if err := checkKey(h.Key); err != nil {
			return nil, &actions.ParamError{Path: "headers[" + strconv.Itoa(i) + "].key", Err: err}
		}
	}
	return a, nil
}

func parse(text string) (*url.URL, error) {
	if len(text) > maxURLBytes {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(text), maxURLBytes)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no http or https URL", text)
	}
	if u.User != nil {
		return nil, fmt.Errorf("a URL with credentials; use a header")
	}
	return u, nil
}

// below reports whether u is base or deeper. A path that climbs is below nothing.
func below(base, u *url.URL) bool {
	if u.Scheme != base.Scheme || !strings.EqualFold(u.Host, base.Host) {
		return false
	}
	for elem := range strings.SplitSeq(u.Path, "/") { // decoded: %2e%2e is two points
		if elem == ".." {
			return false
		}
	}
	rest, ok := strings.CutPrefix(u.Path, base.Path)
	return ok && (rest == "" || rest[0] == '/' || base.Path == "" || strings.HasSuffix(base.Path, "/"))
}

// checkKey accepts a token of RFC 9110, 5.6.2, that is not the transport's business.
func checkKey(key string) error {
	if len(key) < 1 || len(key) > maxKeyBytes {
		return fmt.Errorf("%d bytes, 1 to %d are allowed", len(key), maxKeyBytes)
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return fmt.Errorf("%q is no header name", key)
		}
	}
	switch http.CanonicalHeaderKey(key) {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Trailer", "Te":
		return fmt.Errorf("%s cannot be set", key)
	}
	return nil
}

type hook struct {
	options *Options
	params  *Params
	fixed   *url.URL // nil with substitutions
	base    *url.URL // nil without confirmationUrl
}

var _ actions.Action = (*hook)(nil)

func (h *hook) Do(ctx context.Context, r *actions.Request) error {
	q, err := h.request(ctx, r)
	if err != nil {
		return actions.WithResource(err, h.params.URL.String())
	}
	return actions.WithResource(h.send(q), q.URL.String())
}

func (h *hook) send(q *http.Request) error {
	answer, err := h.options.Client.Do(q)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	defer answer.Body.Close()
	// Read to its end, so that the connection can be used again.
	text, err := io.ReadAll(io.LimitReader(answer.Body, h.options.MaxResponseBytes+1))
	switch {
	case int64(len(text)) > h.options.MaxResponseBytes:
		return actions.Permanent(fmt.Errorf("webhook: answer %s is longer than %d bytes", answer.Status, h.options.MaxResponseBytes))
	case answer.StatusCode/100 == 2 && err != nil:
		return fmt.Errorf("webhook: answer %s: %w", answer.Status, err)
	}
	return actions.HTTPError("webhook", answer, text)
}

func (h *hook) request(ctx context.Context, r *actions.Request) (*http.Request, error) {
	u := h.fixed
	if u == nil {
		text, err := h.params.URL.Expand(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("webhook: url: %w", err)
		}
		if u, err = parse(text); err != nil {
			return nil, actions.Permanent(fmt.Errorf("webhook: url: %w", err))
		}
		if !below(h.base, u) {
			return nil, actions.Permanent(fmt.Errorf("webhook: url %s is not below %s", u, h.base))
		}
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(r.Payload))
	if err != nil {
		return nil, actions.Permanent(fmt.Errorf("webhook: %w", err))
	}
	if r.ID != "" {
		q.Header.Set("X-Request-Id", r.ID)
	}
	for _, header := range h.params.Headers {
		value, err := header.Value.Expand(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("webhook: header %s: %w", header.Key, err)
		}
		if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return nil, actions.Permanent(fmt.Errorf("webhook: header %s has a control character after substitution", header.Key))
		}
		q.Header.Add(header.Key, value)
	}
	if q.Header.Get("Content-Type") == "" {
		contentType := "application/octet-stream"
		if json.Valid(r.Payload) {
			contentType = "application/json"
		}
		q.Header.Set("Content-Type", contentType)
	}
	return q, nil
}
