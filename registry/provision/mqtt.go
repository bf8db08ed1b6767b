package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/thingloom/thingloom/internal/cbor"
	"github.com/thingloom/thingloom/registry"
)

// A Request is a message that a client published.
type Request struct {
	Topic, ClientID, Principal string
	Payload                    []byte
}

// A Bus is the part of a broker that provisioning needs. Answers hold private
// keys, so that they go to the client that asked and to nobody else who has
// subscribed to their topic.
type Bus interface {
	// Handle calls h for each message of a client on a topic that filter matches.
	Handle(filter string, h func(ctx context.Context, r Request) error) (cancel func(), err error)
	// Answer publishes to one client alone, if it has subscribed to the topic.
	Answer(ctx context.Context, clientID, topic string, payload []byte) error
}

// An Endpoint is fleet provisioning by claim on the reserved topics of a bus
// (AWS IoT contract: device provisioning MQTT API):
//
//	$aws/certificates/create/{json|cbor}
//	$aws/certificates/create-from-csr/{json|cbor}
//	$aws/provisioning-templates/{name}/provision/{json|cbor}
//
// each answered on /accepted and /rejected below.
type Endpoint struct {
	s      *Service
	bus    Bus
	cancel []func()

	requests, rejected, unanswered atomic.Uint64
}

// Stats are the counters of an Endpoint. They only grow.
type Stats struct {
	Requests   uint64 // received
	Rejected   uint64 // answered on a rejected topic
	Unanswered uint64 // whose answer the bus did not take, as from clients that have not subscribed
}

// Serve subscribes to the request topics: when it returns, requests are
// answered. Close undoes it.
func Serve(s *Service, bus Bus) (*Endpoint, error) {
	if s == nil || bus == nil {
		return nil, errors.New("provision: Serve needs a service and a bus")
	}
	e := &Endpoint{s: s, bus: bus}
	for filter, do := range map[string]func(context.Context, Request, []byte) (any, error){
		"$aws/certificates/create/":                e.createKeys,
		"$aws/certificates/create-from-csr/":       e.createFromCSR,
		"$aws/provisioning-templates/+/provision/": e.provision,
	} {
		for _, format := range []string{"json", "cbor"} {
			cancel, err := bus.Handle(filter+format, func(ctx context.Context, r Request) error {
				e.handle(ctx, r, format == "cbor", do)
				return nil
			})
			if err != nil {
				e.Close()
				return nil, err
			}
			e.cancel = append(e.cancel, cancel)
		}
	}
	return e, nil
}

// Close ends the subscriptions.
func (e *Endpoint) Close() {
	for _, cancel := range e.cancel {
		cancel()
	}
	e.cancel = nil
}

// Stats returns the counters.
func (e *Endpoint) Stats() Stats {
	return Stats{e.requests.Load(), e.rejected.Load(), e.unanswered.Load()}
}

func (e *Endpoint) handle(ctx context.Context, r Request, binary bool, do func(context.Context, Request, []byte) (any, error)) {
	e.requests.Add(1)
	body := r.Payload
	var err error
	if binary && len(body) > 0 {
		body, err = cbor.ToJSON(body)
	}
	var out any
	if err == nil {
		out, err = do(ctx, r, body)
	} else {
		err = fmt.Errorf("%w: payload: %w", ErrInvalid, err)
	}
	suffix := "/accepted"
	if err != nil {
		e.rejected.Add(1)
		suffix, out = "/rejected", rejection(err)
		e.s.opts.Logger.Info("provisioning rejected", "topic", r.Topic, "client_id", r.ClientID, "principal", r.Principal, "err", err)
	}
	payload, err := json.Marshal(out)
	if err == nil && binary {
		payload, err = cbor.FromJSON(payload)
	}
	if err == nil {
		err = e.bus.Answer(ctx, r.ClientID, r.Topic+suffix, payload)
	}
	if err != nil {
		e.unanswered.Add(1)
		e.s.opts.Logger.Warn("provisioning answer", "topic", r.Topic+suffix, "client_id", r.ClientID, "err", err)
	}
}

// read decodes a payload; an empty one is {}.
func read(body []byte, v any) error {
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: payload: %w", ErrInvalid, err)
	}
	return nil
}

type created struct {
	ID         string `json:"certificateId"`
	PEM        string `json:"certificatePem"`
	PrivateKey string `json:"privateKey,omitempty"`
	Token      string `json:"certificateOwnershipToken"`
}

func (e *Endpoint) createKeys(ctx context.Context, r Request, body []byte) (any, error) {
	if err := read(body, &struct{}{}); err != nil {
		return nil, err
	}
	made, err := e.s.CreateKeys(ctx, Session{r.Principal, r.ClientID})
	return created{made.Certificate.ID, made.Certificate.PEM, string(made.Keys.PrivatePEM), made.Token}, err
}

func (e *Endpoint) createFromCSR(ctx context.Context, r Request, body []byte) (any, error) {
	var in struct{ CertificateSigningRequest string }
	if err := read(body, &in); err != nil {
		return nil, err
	}
	made, err := e.s.CreateFromCSR(ctx, Session{r.Principal, r.ClientID}, in.CertificateSigningRequest)
	return created{made.Certificate.ID, made.Certificate.PEM, "", made.Token}, err
}

func (e *Endpoint) provision(ctx context.Context, r Request, body []byte) (any, error) {
	var in struct {
		CertificateOwnershipToken string
		Parameters                map[string]string
	}
	if err := read(body, &in); err != nil {
		return nil, err
	}
	name := strings.Split(r.Topic, "/")[2]
	result, err := e.s.Provision(ctx, Session{r.Principal, r.ClientID}, name, in.CertificateOwnershipToken, in.Parameters)
	return struct {
		Device map[string]string `json:"deviceConfiguration"`
		Thing  string            `json:"thingName"`
	}{result.Device, result.Thing}, err
}

// rejections is the one table from errors to what devices are told. What is
// not in it is internal, and its text is not theirs to know.
var rejections = []struct {
	err    error
	status int
	code   string
}{
	{ErrDenied, http.StatusForbidden, "AccessDenied"},
	{ErrToken, http.StatusBadRequest, "InvalidCertificateOwnershipToken"},
	{ErrTemplate, http.StatusBadRequest, "InvalidParameters"},
	{ErrInvalid, http.StatusBadRequest, "InvalidRequest"},
	{ErrDisabled, http.StatusBadRequest, "TemplateDisabled"},
	{ErrConflict, http.StatusConflict, "ResourceConflict"},
	{ErrNotFound, http.StatusNotFound, "ResourceNotFound"},
	{registry.ErrNotFound, http.StatusNotFound, "ResourceNotFound"},
	{registry.ErrInvalid, http.StatusBadRequest, "InvalidRequest"},
	{registry.ErrCertificateValidation, http.StatusBadRequest, "InvalidCertificateSigningRequest"},
	{registry.ErrLimit, http.StatusBadRequest, "LimitExceeded"},
	{registry.ErrMalformedPolicy, http.StatusBadRequest, "InvalidParameters"},
	{registry.ErrExists, http.StatusConflict, "ResourceConflict"},
}

type rejected struct {
	Status  int    `json:"statusCode"`
	Code    string `json:"errorCode"`
	Message string `json:"errorMessage"`
}

func rejection(err error) rejected {
	for _, row := range rejections {
		if errors.Is(err, row.err) {
			return rejected{row.status, row.code, err.Error()}
		}
	}
	return rejected{http.StatusInternalServerError, "InternalFailure", "internal failure"}
}
