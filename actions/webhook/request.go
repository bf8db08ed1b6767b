package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/thingloom/thingloom/actions"
)

func (h *hook) Do(ctx context.Context, r *actions.Request) error {
	u, header, err := h.expand(ctx, r)
	if err != nil {
		return actions.WithResource(err, h.params.URL.String())
	}
	if r.ID != "" && header.Get("X-Request-Id") == "" {
		header.Set("X-Request-Id", r.ID)
	}
	return actions.WithResource(h.post(ctx, u, header, r.Payload), u.String())
}

// expand is where a request goes, and the headers that the rule gives it.
func (h *hook) expand(ctx context.Context, r *actions.Request) (*url.URL, http.Header, error) {
	u, err := h.target(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	header := http.Header{}
	for _, p := range h.params.Headers {
		value, err := p.Value.Expand(ctx, r)
		if err != nil {
			return nil, nil, fmt.Errorf("webhook: header %s: %w", p.Key, err)
		}
		if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return nil, nil, actions.Permanent(fmt.Errorf("webhook: header %s has a control character after substitution", p.Key))
		}
		header.Add(p.Key, value)
	}
	return u, header, nil
}

func (h *hook) target(ctx context.Context, r *actions.Request) (*url.URL, error) {
	confirmed := h.params.ConfirmationURL.String() != ""
	u, base := h.fixed, h.base
	if u != nil && (base != nil || !confirmed) {
		return u, nil // was checked when the rule was put
	}
	var err error
	if u == nil {
		if u, err = parseTemplate(ctx, r, "url", h.params.URL); err != nil {
			return nil, err
		}
	}
	if base == nil {
		if base, err = parseTemplate(ctx, r, "confirmationUrl", h.params.ConfirmationURL); err != nil {
			return nil, err
		}
	}
	if !h.options.allowed(base, u) {
		return nil, actions.Permanent(fmt.Errorf("webhook: url %s is not below %s", u, base))
	}
	return u, nil
}

func parseTemplate(ctx context.Context, r *actions.Request, name string, t actions.Template) (*url.URL, error) {
	text, err := t.Expand(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("webhook: %s: %w", name, err)
	}
	u, err := parse(text)
	if err != nil {
		return nil, actions.Permanent(fmt.Errorf("webhook: %s: %w", name, err))
	}
	return u, nil
}

// post sends one request. header becomes its own.
func (h *hook) post(ctx context.Context, u *url.URL, header http.Header, body []byte) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return actions.Permanent(fmt.Errorf("webhook: %w", err))
	}
	q.Header = header
	if header.Get("Content-Type") == "" {
		contentType := "application/octet-stream"
		if json.Valid(body) {
			contentType = "application/json"
		}
		header.Set("Content-Type", contentType)
	}
	if h.sign != nil {
		if err := h.sign(q, body); err != nil {
			return fmt.Errorf("webhook: sign: %w", err)
		}
	}
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
