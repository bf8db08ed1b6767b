package ruleshttp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/rules"
)

var (
	errUnauthorized = errors.New("not authorized")
	errNoOperation  = errors.New("operation not implemented")
)

// A requestError is something wrong with the request itself; its text is meant
// for the client.
type requestError struct{ error }

// An answer is how an error is said on the wire.
type answer struct {
	status  int
	name    string
	message string // empty: the text of the error
}

// table maps errors to answers; the first entry that fits counts. What is not
// in it is an InternalException.
var table = []struct {
	is error // found by errors.Is
	answer
}{
	{context.Canceled, answer{http.StatusServiceUnavailable, "ServiceUnavailableException", "the request was cancelled"}},
	{context.DeadlineExceeded, answer{http.StatusServiceUnavailable, "ServiceUnavailableException", "the request took too long"}},
	{rules.ErrNotFound, answer{http.StatusUnauthorized, "UnauthorizedException", ""}}, // message: see answerOf
	{errUnauthorized, answer{http.StatusUnauthorized, "UnauthorizedException", ""}},
	{rules.ErrExists, answer{http.StatusConflict, "ResourceAlreadyExistsException", ""}},
	{rules.ErrVersionConflict, answer{http.StatusConflict, "ConflictingResourceUpdateException", ""}},
	{rules.ErrInvalid, answer{http.StatusBadRequest, "InvalidRequestException", ""}},
	{rules.ErrCycle, answer{http.StatusBadRequest, "InvalidRequestException", ""}},
	{rules.ErrTooMany, answer{http.StatusGone, "LimitExceededException", ""}},
	{rules.ErrClosed, answer{http.StatusServiceUnavailable, "ServiceUnavailableException", "the rules engine has been closed"}},
	{errNoOperation, answer{http.StatusNotImplemented, "NotImplementedException", ""}},
}

// unchanged adds to the refusal of a rule that cannot work what there is now.
func unchanged(operation string, err error) error {
	var bad *rules.RuleError
	if !errors.As(err, &bad) {
		return err
	}
	switch operation {
	case "CreateTopicRule":
		return fmt.Errorf("%w; nothing was stored", err)
	case "ReplaceTopicRule":
		return fmt.Errorf("%w; the rule is as it was", err)
	}
	return err
}

func answerOf(err error, rule string) answer {
	var syntax *rules.SyntaxError
	if errors.As(err, &syntax) {
		return answer{http.StatusBadRequest, "SqlParseException", syntax.Error()}
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return answer{http.StatusBadRequest, "InvalidRequestException", "the body is too large"}
	}
	var request requestError
	if errors.As(err, &request) {
		return answer{http.StatusBadRequest, "InvalidRequestException", request.Error()}
	}
	for _, row := range table {
		if !errors.Is(err, row.is) {
			continue
		}
		a := row.answer
		switch {
		case a.name == "UnauthorizedException":
			// The same words whether the rule is absent or forbidden: who may
			// not see a rule need not know whether there is one.
			a.message = "Access to topic rule '" + rule + "' was denied"
			if rule == "" {
				a.message = "Access was denied"
			}
		case a.message == "":
			a.message = err.Error()
		}
		return a
	}
	return answer{http.StatusInternalServerError, "InternalException", "an internal error occurred"}
}

func (h *handler) fail(w http.ResponseWriter, r *http.Request, rule string, err error) {
	a := answerOf(err, rule)
	log := h.opts.Logger.InfoContext
	if a.status == http.StatusInternalServerError {
		log = h.opts.Logger.ErrorContext
	}
	log(r.Context(), "request refused", "method", r.Method, "rule", rule, "status", a.status, "error", err)
	w.Header().Set("x-amzn-ErrorType", a.name)
	body := struct {
		Message string `json:"message"`
	}{a.message}
	h.write(w, a.status, body)
}

func (h *handler) write(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // all bodies are structs of strings, numbers and checked JSON
		panic("ruleshttp: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set(awshttp.RequestID, rand.Text())
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client has gone: nobody is left to tell
}
