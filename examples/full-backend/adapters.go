package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/table"
	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/internal/uuid"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/rules"
)

// Everything the packages need to know of one another.

// authenticator lets the registry rule on who a client is.
type authenticator struct {
	*registry.Registry
	plain string // address of the listener without TLS; empty is none
	unix  string // file of the Unix socket; empty is none
}

// localPrincipal is who comes through the listener without TLS, or the Unix socket.
const localPrincipal = "local"

// signedHeader is where the handler of WebSockets puts the principal of a signature that it has verified.
const signedHeader = "X-Thingloom-Signed"

func (a authenticator) Authenticate(ctx context.Context, c broker.Credentials) (string, error) {
	if c.TLS == nil {
		// Only the plain listener, which is bound to loopback, and the Unix socket, whose file's permissions have
		// judged, let clients in without a certificate.
		switch l := c.Conn.LocalAddr().(type) {
		case *net.TCPAddr:
			if a.plain != "" && l.String() == a.plain {
				return localPrincipal, nil
			}
		case *net.UnixAddr:
			if a.unix != "" && l.Name == a.unix {
				return localPrincipal, nil
			}
		}
		return "", broker.ErrNotAuthorized
	}
	if len(c.TLS.PeerCertificates) == 0 {
		if signed := c.Header[signedHeader]; len(signed) == 1 {
			return signed[0], nil
		}
		return "", broker.ErrBadCredentials
	}
	principal, err := a.PrincipalOf(ctx, c.TLS.PeerCertificates[0])
	if err != nil {
		return "", errors.Join(broker.ErrNotAuthorized, err)
	}
	return principal, nil
}

// trusted reports whether somebody may do everything: who is local, and who has the access key. What a custom authorizer
// calls its clients does not count, since its policies decide for them.
func trusted(principal string) bool {
	return principal == localPrincipal || principal == adminPrincipal
}

// Admit says also as which thing a connection acts whose certificate is tied to one alone.
func (a authenticator) Admit(ctx context.Context, c broker.Credentials) (broker.Admission, error) {
	principal, err := a.Authenticate(ctx, c)
	if err != nil || trusted(principal) {
		return broker.Admission{Principal: principal}, err
	}
	thing, err := a.ExclusiveThing(ctx, principal)
	return broker.Admission{Principal: principal, Thing: thing}, err
}

// policy lets the registry rule on what a client may do.
type policy struct {
	*registry.Registry
	denied func(broker.Access)
}

func (p policy) Authorize(ctx context.Context, a broker.Access) error {
	if trusted(a.Principal) {
		return nil
	}
	err := p.Allowed(ctx, registry.Access(a)) // the same fields
	if errors.Is(err, registry.ErrNotAuthorized) {
		p.denied(a)
		return broker.ErrNotAuthorized
	}
	return err
}

// propagate gives a message the user properties that the type of its thing says.
func (b *backend) propagate(ctx context.Context, m *broker.Message) error {
	more, err := b.registry.Propagated(ctx, m.Principal, m.ClientID)
	if err != nil || len(more) == 0 {
		return err
	}
	m.Properties.User = slices.Clone(m.Properties.User) // is the publisher's
	for _, p := range more {
		m.Properties.User = append(m.Properties.User, broker.UserProperty(p))
	}
	return nil
}

// toRules offers every accepted message to the rules.
func toRules(e *rules.Engine) func(context.Context, broker.Message) error {
	return func(ctx context.Context, m broker.Message) error {
		r := &rules.Message{Topic: m.Topic, ClientID: m.ClientID, Principal: m.Principal, SourceIP: m.SourceIP, Payload: m.Payload, Time: m.Time}
		if m.ClientID != "" {
			r.TraceID = uuid.New().String()
		}
		p := m.Properties
		r.Properties = rules.Properties{UTF8: p.PayloadFormat != nil && *p.PayloadFormat == 1, ContentType: p.ContentType,
			ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData}
		for _, u := range p.User {
			r.Properties.User = append(r.Properties.User, rules.UserProperty(u))
		}
		return e.Handle(ctx, r)
	}
}

// binder lets rules fire actions, each behind a queue of its own.
type binder struct {
	*actions.Dispatcher
	batches *batches
}

func (b binder) Bind(ctx context.Context, s rules.ActionSpec) (rules.Action, error) {
	a, err := b.OpenFor(ctx, rules.BoundRule(ctx), s.Type, s.Params)
	if err != nil {
		return nil, err
	}
	return firing{a, b.batches}, nil
}

type firing struct {
	actions.Action
	batches *batches
}

// Invoke hands a firing over. The outcome comes by Done, also for inline
// actions, which call it before Do returns.
func (f firing) Invoke(ctx context.Context, r rules.Firing) error {
	m := r.Message
	request := &actions.Request{ID: r.ID(), Rule: r.Rule, Topic: m.Topic, ClientID: m.ClientID, Principal: m.Principal,
		SourceIP: m.SourceIP, TraceID: r.Trace, Time: m.Time, Payload: r.Output, Source: m.Payload, Hops: r.Hops,
		Done: func(err error) { f.batches.done(r, err) }}
	if p := &m.Properties; p.UTF8 || p.ContentType != "" || p.ResponseTopic != "" || p.CorrelationData != nil || p.User != nil {
		request.Properties = &actions.Properties{UTF8: p.UTF8, ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData}
		for _, u := range p.User {
			request.Properties.User = append(request.Properties.User, actions.UserProperty(u))
		}
	}
	for _, v := range r.Variables {
		request.Vars = append(request.Vars, actions.Var(v))
	}
	if err := f.Do(ctx, request); err != nil {
		if actions.IsPermanent(err) {
			return permanent{err}
		}
		return err
	}
	return rules.ErrPending
}

// atDepth gives an attempt the context of the message it belongs to, which a queue does not keep: how often rules and
// handlers have passed it on. What an action publishes is cut by that, see rules.Options.MaxHops and broker.MaxDepth.
func atDepth(next actions.Action) actions.Action {
	return actions.Func(func(ctx context.Context, r *actions.Request) error {
		if rules.Hops(ctx) < r.Hops {
			ctx = rules.WithHops(broker.WithDepth(ctx, max(r.Hops, broker.Depth(ctx))), r.Hops)
		}
		return next.Do(ctx, r)
	})
}

// Settles says that outcomes may also come by Engine.Settle: a durable queue
// delivers what an earlier process took, and keeps so many callbacks and no more.
func (f firing) Settles() bool { return true }

// outcome translates the end of a request for the rules' ledger.
func outcome(err error) error {
	if failed := (*actions.FailedError)(nil); errors.As(err, &failed) && failed.DeadLettered {
		return fmt.Errorf("%w: %w", rules.ErrDeadLettered, err)
	}
	return err
}

func (f firing) Close() error {
	if c, ok := f.Action.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// permanent says to the rules what actions.Permanent says to dispatchers.
type permanent struct{ error }

func (p permanent) Permanent() bool { return true }
func (p permanent) Unwrap() error   { return p.error }

// deadLetters keeps what finally failed in a table.
type deadLetters struct{ tables *table.Tables }

func (d deadLetters) Do(ctx context.Context, r *actions.Request) error {
	var record actions.DeadLetterRecord
	if err := json.Unmarshal(r.Payload, &record); err != nil {
		return actions.Permanent(err)
	}
	return d.tables.Put(ctx, "dead-letters", record.Action, record.ID, r.Payload)
}

// publisher lets rules republish at either QoS and with properties.
type publisher struct{ *broker.Broker }

func (p publisher) PublishQoS(ctx context.Context, topic string, payload []byte, qos byte) error {
	return p.PublishMessage(ctx, broker.Message{Topic: topic, Payload: payload, QoS: qos})
}

func (p publisher) PublishProperties(ctx context.Context, topic string, payload []byte, qos byte, given actions.Properties, expiry time.Duration) error {
	m := broker.Message{Topic: topic, Payload: payload, QoS: qos, Properties: broker.Properties{Expiry: expiry, ContentType: given.ContentType,
		ResponseTopic: given.ResponseTopic, CorrelationData: given.CorrelationData}}
	if given.UTF8 {
		m.Properties.PayloadFormat = new(byte)
		*m.Properties.PayloadFormat = 1
	}
	for _, u := range given.User {
		m.Properties.User = append(m.Properties.User, broker.UserProperty(u))
	}
	return p.PublishMessage(ctx, m)
}
