// Package shadowhttp serves shadows over HTTP, on the paths, bodies and errors
// of the AWS IoT data plane:
//
//	GET, POST, DELETE /things/{thing}/shadow[?name=shadow]
//	GET /api/things/shadow/ListNamedShadowsForThing/{thing}[?pageSize=&nextToken=]
//
// Errors have the body {"message":"...","traceId":"..."} and the name of the
// exception in the header x-amzn-ErrorType, from which SDKs make their types.
package shadowhttp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/shadow"
)

// The actions that Options.Authorize is asked for.
const (
	ActionGet    = "iot:GetThingShadow"
	ActionUpdate = "iot:UpdateThingShadow"
	ActionDelete = "iot:DeleteThingShadow"
	ActionList   = "iot:ListNamedShadowsForThing"
)

// Options are the optional parts of a Handler. A nil *Options is all defaults,
// and refuses everybody.
type Options struct {
	// Authorize decides whether the caller may do action on resource, which is
	// "thing/{thing}" or "thing/{thing}/{shadow}". It returns who the caller is,
	// for the history of the shadow, or shadow.ErrUnauthorized (no valid
	// identity, 401), shadow.ErrForbidden (403), or another error (500). Nil
	// refuses everybody; see AllowAll.
	Authorize func(r *http.Request, action, resource string) (principal string, err error)

	// Logger hears of requests that failed for no fault of the caller's. Nil is silence.
	Logger *slog.Logger
}

// AllowAll lets everybody do everything, for handlers behind an authentication
// of the application's own.
func AllowAll(*http.Request, string, string) (string, error) { return "", nil }

// Handler returns the handler of svc.
func Handler(svc *shadow.Service, opts *Options) http.Handler {
	h := &handler{svc: svc}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.Authorize == nil {
		h.opts.Authorize = func(*http.Request, string, string) (string, error) { return "", shadow.ErrUnauthorized }
	}
	if h.opts.Logger == nil {
		h.opts.Logger = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/things/{thing}/shadow", h.shadow)
	mux.HandleFunc("/api/things/shadow/ListNamedShadowsForThing/{thing}", h.list)
	return mux
}

type handler struct {
	svc  *shadow.Service
	opts Options
}

func (h *handler) shadow(w http.ResponseWriter, r *http.Request) {
	ref := shadow.Ref{Thing: r.PathValue("thing"), Name: r.URL.Query().Get("name")}
	serve, action := h.get, ActionGet
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		serve, action = h.update, ActionUpdate
	case http.MethodDelete:
		serve, action = h.delete, ActionDelete
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		h.fail(w, r, errMethod)
		return
	}
	resource := "thing/" + ref.Thing
	if ref.Name != "" {
		resource += "/" + ref.Name
	}
	principal, err := h.opts.Authorize(r, action, resource)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	body, err := serve(shadow.WithPrincipal(r.Context(), principal), ref, w, r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, body)
}

func (h *handler) get(ctx context.Context, ref shadow.Ref, _ http.ResponseWriter, _ *http.Request) ([]byte, error) {
	doc, err := h.svc.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	return doc.Answer(h.svc.Now(), "")
}

func (h *handler) update(ctx context.Context, ref shadow.Ref, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(h.svc.Limits().MaxRequestBytes)))
	if err != nil {
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			return nil, shadow.ErrTooLarge
		}
		return nil, &shadow.RequestError{Err: shadow.ErrInvalidRequest, Message: "The body could not be read", Detail: err.Error()}
	}
	c, err := h.svc.Update(ctx, ref, body)
	if err != nil {
		return nil, err
	}
	return c.Accepted(), nil
}

func (h *handler) delete(ctx context.Context, ref shadow.Ref, _ http.ResponseWriter, _ *http.Request) ([]byte, error) {
	c, err := h.svc.Delete(ctx, ref)
	if err != nil {
		return nil, err
	}
	return c.Accepted(), nil
}

// The bounds of pageSize, and what it is when absent.
const defaultPage, maxPage = 25, 100

func (h *handler) list(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		h.fail(w, r, errMethod)
		return
	}
	thing := r.PathValue("thing")
	if _, err := h.opts.Authorize(r, ActionList, "thing/"+thing); err != nil {
		h.fail(w, r, err)
		return
	}
	size := defaultPage
	if text := r.URL.Query().Get("pageSize"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			h.fail(w, r, &shadow.RequestError{Err: shadow.ErrInvalidRequest, Message: "pageSize must be 1 to 100"})
			return
		}
		size = n
	}
	names := "ListNamedShadowsForThing " + thing
	after, ok := awshttp.OpenToken(names, r.URL.Query().Get("nextToken"))
	if !ok {
		h.fail(w, r, &shadow.RequestError{Err: shadow.ErrInvalidRequest, Message: "Invalid nextToken"})
		return
	}
	page := struct {
		Results   []string `json:"results"`
		NextToken string   `json:"nextToken,omitempty"`
		Timestamp int64    `json:"timestamp"`
	}{Results: []string{}, Timestamp: h.svc.Now().Unix()}
	for name, err := range h.svc.Names(r.Context(), thing, after) {
		if err != nil {
			h.fail(w, r, err)
			return
		}
		if len(page.Results) == size {
			page.NextToken = awshttp.SealToken(names, page.Results[size-1])
			break
		}
		page.Results = append(page.Results, name)
	}
	body, err := json.Marshal(page)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, body)
}

var errMethod = errors.New("shadowhttp: method not allowed")

// exceptions are the names of the codes that shadow.Code gives.
var exceptions = map[int]string{
	400: "InvalidRequestException",
	401: "UnauthorizedException",
	403: "ForbiddenException",
	404: "ResourceNotFoundException",
	405: "MethodNotAllowedException",
	409: "ConflictException",
	413: "RequestEntityTooLargeException",
	415: "UnsupportedDocumentEncodingException",
	429: "ThrottlingException",
	500: "InternalFailureException",
}

func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	code, message := shadow.Code(err)
	if errors.Is(err, errMethod) {
		code, message = 405, "Method not allowed"
	}
	trace := rand.Text()
	if code == 500 {
		h.opts.Logger.Error("shadow request failed", "method", r.Method, "path", r.URL.Path, "trace", trace, "err", err)
	}
	body, err := json.Marshal(map[string]string{"message": message, "traceId": trace})
	if err != nil {
		body = []byte("{}")
	}
	w.Header().Set("x-amzn-ErrorType", exceptions[code])
	w.Header().Set("x-amzn-RequestId", trace)
	answer(w, code, body)
}

func answer(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(body)
}

// Operations returns the names of the operations that are answered.
func Operations() []string {
	return []string{"DeleteThingShadow", "GetThingShadow", "ListNamedShadowsForThing", "UpdateThingShadow"}
}
