// Package webhook is the action plugin "webhook": it posts what a rule
// selected to a URL.
//
//	{"webhook": {"url": "https://api.example/sensors/${topic(2)}",
//	             "confirmationUrl": "https://api.example/sensors/",
//	             "headers": [{"key": "X-Thing", "value": "${topic(2)}"}]}}
//
// The parameters are those of the http action of AWS IoT, and HTTPSpec is that
// action. The content type is application/json for a payload that is JSON,
// else application/octet-stream; a header of the rule overrides it.
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
// deeper, so that no message can send requests elsewhere. A confirmationUrl may
// have substitutions itself, behind scheme, host and the slash after it.
// Nobody is asked to confirm anything. Redirects are
// followed within one origin and only where they keep the method.
//
// # Batches
//
// With enableBatching several payloads of one rule and URL, and unless
// batchAcrossTopics is set of one topic, are one request: a JSON array of them,
// sent when the first of the limits of batchConfig is reached. Headers are those
// of the payload added last; there is no X-Request-Id. A payload that is not
// JSON fails for good. What a request meets its payloads meet, as one
// [*BatchError]: each is tried again by itself, in other batches perhaps.
//
// # Signatures
//
// With auth.sigv4 each attempt is signed by what Options.Sign returns; a rule
// that asks for it where nothing is set is refused.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/thingloom/thingloom/actions"
)

// Options are the optional parts of the plugin. A nil *Options is all defaults.
type Options struct {
	// Name is what rules call the action by. Empty means "webhook", or "http"
	// for HTTPSpec.
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
	// Sign answers auth.sigv4 of a rule when the rule is put: with what signs
	// a request as that role, by setting headers of it, or with an error that
	// refuses the rule. Body is that of the request. Nil refuses all.
	Sign func(a SigV4) (sign func(q *http.Request, body []byte) error, err error)

	prefix bool // confirmationUrl is one of the URL's text, as AWS has it
}

// Params are the parameters of the action.
type Params struct {
	URL             actions.Template `json:"url" required:"true" doc:"http or https URL to post to"`
	ConfirmationURL actions.Template `json:"confirmationUrl" doc:"where the URL has to lie below; required if it has substitutions"`
	Headers         []Header         `json:"headers" doc:"headers of the request, at most 100"`
	Auth            *Auth            `json:"auth" doc:"how requests are signed; by default not"`
	EnableBatching  bool             `json:"enableBatching" doc:"send several payloads as one JSON array"`
	BatchConfig     *BatchConfig     `json:"batchConfig" doc:"when a batch is sent: at the first limit reached; not in an error action"`
}

// A Header is one header of the request.
type Header struct {
	Key   string           `json:"key" required:"true" doc:"name, at most 256 bytes"`
	Value actions.Template `json:"value" required:"true" doc:"value"`
}

// An Auth says how requests are signed.
type Auth struct {
	SigV4 SigV4 `json:"sigv4" required:"true" doc:"Signature Version 4"`
}

// A SigV4 says for whom and as whom a request is signed.
type SigV4 struct {
	RoleARN       actions.RoleARN `json:"roleArn" required:"true" doc:"role whose credentials sign"`
	ServiceName   string          `json:"serviceName" required:"true" doc:"service of the signature's scope"`
	SigningRegion string          `json:"signingRegion" required:"true" doc:"region of the signature's scope"`
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
	return o.spec("webhook")
}

// HTTPSpec returns the plugin "http": the action of AWS IoT, so that rules can
// be copied. It is Spec, but for confirmationUrl, which is a prefix of the URL's
// text here, as with AWS: behind scheme and host it need not end where an
// element of the path does.
func HTTPSpec(opts *Options) actions.Spec {
	var o Options
	if opts != nil {
		o = *opts
	}
	o.prefix = true
	return o.spec("http")
}

func (o Options) spec(name string) actions.Spec {
	if o.Name == "" {
		o.Name = name
	}
	if o.MaxResponseBytes == 0 {
		o.MaxResponseBytes = 16384
	}
	if o.Client == nil {
		o.Client = &http.Client{CheckRedirect: sameOrigin}
	}
	s := actions.NewSpec(o.Name, "post the payload to a URL", func(ctx context.Context, p *Params) (actions.Action, error) {
		return open(ctx, &o, p)
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

func open(ctx context.Context, o *Options, p *Params) (actions.Action, error) {
	h := &hook{options: o, params: p}
	if err := h.openURL(); err != nil {
		return nil, err
	}
	if len(p.Headers) > maxHeaders {
		return nil, &actions.ParamError{Path: "headers", Err: fmt.Errorf("%d, at most %d are allowed", len(p.Headers), maxHeaders)}
	}
	for i, header := range p.Headers {
		if err := checkKey(header.Key); err != nil {
			return nil, &actions.ParamError{Path: "headers[" + strconv.Itoa(i) + "].key", Err: err}
		}
	}
	if p.Auth != nil {
		if o.Sign == nil {
			return nil, &actions.ParamError{Path: "auth", Err: errors.New("this program signs no requests")}
		}
		sign, err := o.Sign(p.Auth.SigV4)
		if err != nil {
			return nil, &actions.ParamError{Path: "auth.sigv4", Err: err}
		}
		h.sign = sign
	}
	if p.BatchConfig != nil && actions.ForErrorAction(ctx) {
		return nil, &actions.ParamError{Path: "batchConfig", Err: errors.New("not allowed in an error action")}
	}
	limits, err := p.BatchConfig.limits()
	if err != nil {
		return nil, err
	}
	if p.EnableBatching {
		return &batcher{hook: h, limits: limits, open: map[batchKey]*batch{}}, nil
	}
	return h, nil
}

type hook struct {
	options *Options
	params  *Params
	fixed   *url.URL // nil with substitutions
	base    *url.URL // nil without confirmationUrl, or where that has substitutions
	sign    func(q *http.Request, body []byte) error
}

var _ actions.Action = (*hook)(nil)

// openURL checks what is known of URL and confirmationUrl before there is a message.
func (h *hook) openURL() error {
	p := h.params
	text, constant := p.URL.Constant()
	if constant {
		u, err := parse(text)
		if err != nil {
			return &actions.ParamError{Path: "url", Err: err}
		}
		h.fixed = u
	} else if p.ConfirmationURL.String() == "" {
		return &actions.ParamError{Path: "confirmationUrl", Err: errors.New("required, since url has substitutions")}
	}
	if p.ConfirmationURL.String() == "" {
		return nil
	}
	text, constant = p.ConfirmationURL.Constant()
	if !constant {
		// Where requests go at all is said by the rule alone.
		text = p.ConfirmationURL.Prefix()
		if _, rest, ok := strings.Cut(text, "://"); !ok || !strings.Contains(rest, "/") {
			return &actions.ParamError{Path: "confirmationUrl", Err: errors.New("substitutions may stand behind scheme, host and a slash only")}
		}
	}
	base, err := parse(text)
	if err != nil {
		return &actions.ParamError{Path: "confirmationUrl", Err: err}
	}
	if constant {
		h.base = base
	}
	if constant && h.fixed != nil && !h.options.allowed(base, h.fixed) {
		return &actions.ParamError{Path: "url", Err: fmt.Errorf("%s is not below %s", h.fixed, base)}
	}
	return nil
}
