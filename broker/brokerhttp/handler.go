package brokerhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/internal/uuid"
)

// A Broker is what the requests need of one; [*broker.Broker] has it.
type Broker interface {
	PublishMessage(ctx context.Context, m broker.Message) error
	Retained(ctx context.Context, filter string) iter.Seq2[broker.Message, error]
}

var _ Broker = (*broker.Broker)(nil)

// Connections is what the requests about clients need of a Broker: one without it answers
// them with 404. [*broker.Broker] has it.
type Connections interface {
	Client(clientID string) (broker.ClientInfo, error)
	Disconnect(clientID string, o broker.DisconnectOptions) error
	Subscriptions(clientID string) ([]broker.Subscription, error)
}

var _ Connections = (*broker.Broker)(nil)

// A Handler serves the paths of the package comment, and 404 for all others.
type Handler struct {
	broker Broker
	opts   Options
}

var _ http.Handler = (*Handler)(nil)

// New returns a Handler over b.
func New(b Broker, opts *Options) (*Handler, error) {
	if b == nil {
		return nil, errors.New("brokerhttp: no broker")
	}
	o, err := opts.filled()
	if err != nil {
		return nil, err
	}
	return &Handler{b, o}, nil
}

const (
	topicsPath   = "/topics/"
	retainedPath = "/retainedMessage"
	connections  = "/connections/"
)

// Serves tells whether a Handler has the request's path.
func Serves(r *http.Request) bool {
	path := r.URL.EscapedPath()
	return strings.HasPrefix(path, topicsPath) || path == retainedPath || strings.HasPrefix(path, connections) || strings.HasPrefix(path, retainedPath+"/")
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	trace := uuid.New().String()
	path := r.URL.EscapedPath()
	var answer any
	var err error
	switch {
	case strings.HasPrefix(path, topicsPath):
		if err = method(w, r, http.MethodPost); err == nil {
			answer, err = message{"OK", trace}, h.publish(w, r, path[len(topicsPath):])
		}
	case path == retainedPath, path == retainedPath+"/":
		if err = method(w, r, http.MethodGet); err == nil {
			answer, err = h.list(r)
		}
	case strings.HasPrefix(path, retainedPath+"/"):
		if err = method(w, r, http.MethodGet); err == nil {
			answer, err = h.retained(r, path[len(retainedPath)+1:])
		}
	case strings.HasPrefix(path, connections):
		answer, err = h.connection(w, r, path[len(connections):])
	default:
		err = fmt.Errorf("path %q: %w", path, ErrNotFound)
	}
	if err != nil {
		h.fail(w, r, trace, err)
		return
	}
	h.answer(w, r, trace, http.StatusOK, answer)
}

func method(w http.ResponseWriter, r *http.Request, want ...string) error {
	if slices.Contains(want, r.Method) {
		return nil
	}
	w.Header().Set("Allow", strings.Join(want, ", "))
	return ErrMethod
}

// topicName is the topic in the rest of an escaped path. The broker judges its
// length and depth.
func topicName(escaped string) (string, error) {
	name, err := url.PathUnescape(escaped)
	reason := ""
	switch {
	case err != nil:
		reason = err.Error()
	case name == "":
		reason = "empty"
	case strings.ContainsAny(name, "+#"):
		reason = fmt.Sprintf("wildcard at byte %d", strings.IndexAny(name, "+#"))
	case strings.ContainsRune(name, 0):
		reason = fmt.Sprintf("NUL at byte %d", strings.IndexByte(name, 0))
	case !utf8.ValidString(name):
		reason = "not UTF-8"
	default:
		return name, nil
	}
	return "", &RequestError{"topic", reason}
}

func (h *Handler) publish(w http.ResponseWriter, r *http.Request, escaped string) error {
	m, err := h.messageOf(r, escaped)
	if err != nil {
		return err
	}
	m.Principal, err = h.opts.Authorize(r, Access{Action: ActionPublish, Topic: m.Topic})
	if err == nil && m.Retain {
		_, err = h.opts.Authorize(r, Access{Action: ActionRetainPublish, Topic: m.Topic})
	}
	if err != nil {
		return err
	}
	if r.ContentLength > int64(h.opts.MaxPayloadBytes) {
		return ErrTooLarge
	}
	m.Payload, err = io.ReadAll(http.MaxBytesReader(w, r.Body, int64(h.opts.MaxPayloadBytes)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return ErrTooLarge
	case err != nil:
		return &RequestError{"body", err.Error()}
	}
	if f := m.Properties.PayloadFormat; f != nil && *f == 1 && !utf8.Valid(m.Payload) {
		return &RequestError{"body", "not UTF-8, as " + formatHeader + " says"}
	}
	return h.broker.PublishMessage(r.Context(), m)
}

// Operations returns the names of the operations that are answered.
func Operations() []string {
	return []string{"DeleteConnection", "GetConnection", "GetRetainedMessage", "ListRetainedMessages", "ListSubscriptions", "Publish"}
}
