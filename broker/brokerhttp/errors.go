package brokerhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/thingloom/thingloom/broker"
)

// ErrUnauthenticated is for Options.Authorize: the caller shows nothing that
// says who it is, or something wrong. It is told 401.
var ErrUnauthenticated = errors.New("brokerhttp: not authenticated")

// ErrForbidden is for Options.Authorize: the caller may not do that. It is
// told 403.
var ErrForbidden = errors.New("brokerhttp: forbidden")

// ErrRequest reports a request that says something wrong; it is in every
// [*RequestError].
var ErrRequest = errors.New("brokerhttp: invalid request")

// ErrNotFound reports that a topic has no retained message, or a path no operation.
var ErrNotFound = errors.New("brokerhttp: not found")

// ErrMethod reports a method that a path does not have.
var ErrMethod = errors.New("brokerhttp: method not allowed")

// ErrTooLarge reports a payload above Options.MaxPayloadBytes.
var ErrTooLarge = errors.New("brokerhttp: payload too large")

// errNotImplemented reports an operation of the service that is not answered.
var errNotImplemented = errors.New("brokerhttp: operation not implemented")

// A RequestError tells which part of a request is wrong.
type RequestError struct {
	Part   string // "topic", "query parameter qos", "header X-Amz-Mqtt5-User-Properties"
	Reason string
}

func (e *RequestError) Error() string { return fmt.Sprintf("%s: %s", e.Part, e.Reason) }

func (e *RequestError) Unwrap() error { return ErrRequest }

// answers is the table from error to answer; the first row that fits counts.
// Where text is empty the error's own is told.
var answers = []struct {
	err    error
	status int
	name   string
	text   string
}{
	{ErrRequest, http.StatusBadRequest, "InvalidRequestException", ""},
	{broker.ErrTopic, http.StatusBadRequest, "InvalidRequestException", ""},
	{broker.ErrTooDeep, http.StatusBadRequest, "InvalidRequestException", ""},
	{broker.ErrProtocol, http.StatusBadRequest, "InvalidRequestException", ""},
	{ErrUnauthenticated, http.StatusUnauthorized, "UnauthorizedException", "Not authenticated"},
	{broker.ErrBadCredentials, http.StatusUnauthorized, "UnauthorizedException", "Not authenticated"},
	{ErrForbidden, http.StatusForbidden, "ForbiddenException", "Forbidden"},
	{broker.ErrNotAuthorized, http.StatusForbidden, "ForbiddenException", "Forbidden"},
	{ErrNotFound, http.StatusNotFound, "ResourceNotFoundException", "Not found"},
	{broker.ErrNotFound, http.StatusNotFound, "ResourceNotFoundException", "Not found"},
	{ErrMethod, http.StatusMethodNotAllowed, "MethodNotAllowedException", "Method not allowed"},
	{ErrTooLarge, http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "The payload is too large"},
	{broker.ErrTooLarge, http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "The payload is too large"},
	{broker.ErrQueueFull, http.StatusTooManyRequests, "ThrottlingException", "A queue is full: try again later"},
	{errNotImplemented, http.StatusNotImplemented, "NotImplementedException", ""},
	{broker.ErrMemory, http.StatusTooManyRequests, "ThrottlingException", "No room for more retained messages"},
	{context.Canceled, http.StatusServiceUnavailable, "ServiceUnavailableException", "Interrupted"},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "ServiceUnavailableException", "Timed out"},
}

// fail answers with err.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, trace string, err error) {
	status, name, text := http.StatusInternalServerError, "InternalFailureException", "Internal failure"
	for _, a := range answers {
		if errors.Is(err, a.err) {
			status, name, text = a.status, a.name, a.text
			break
		}
	}
	if text == "" {
		text = err.Error()
	}
	if status >= 500 && status != http.StatusNotImplemented {
		h.opts.Logger.Error("request failed", "method", r.Method, "path", r.URL.EscapedPath(), "trace_id", trace, "err", err)
	}
	w.Header().Set("X-Amzn-Errortype", name)
	h.answer(w, r, trace, status, message{text, trace})
}

// A message is the answer to a publish, and to what went wrong.
type message struct {
	Message string `json:"message"`
	TraceID string `json:"traceId"`
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, trace string, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only types of this package come here
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Requestid", trace)
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		h.opts.Logger.Debug("answer not written", "path", r.URL.EscapedPath(), "trace_id", trace, "err", err)
	}
}
