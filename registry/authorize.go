package registry

import (
	"context"
	"fmt"
	"net/netip"
	"unsafe"

	"github.com/thingloom/thingloom/internal/policy"
)

// An Access is one question: may the principal do this? The fields and their
// order are those of broker.Access, so that one converts to the other.
type Access struct {
	Principal string // certificate ID, or another name that policies are attached to
	ClientID  string
	Action    string // such as "iot:Publish"
	Resource  string // last part of the ARN, such as "topic/a/b"; or "*"
	SourceIP  string
	// ConnectAttributes is, for iot:Connect, which of "PersistentConnect" and
	// "LastWill" the client asks for.
	ConnectAttributes []string
	// Thing is the thing of the connection if the caller knows it; it counts
	// only if it is attached to the principal. Empty means the thing named as
	// the client ID, or the one the principal is tied to exclusively.
	Thing string
}

// Allowed decides by the policies of the principal, and of the groups of the
// thing it acts as up the hierarchy. It returns nil, or a *DeniedError
// (ErrNotAuthorized); other errors are the store's and no decision. A
// certificate that is not registered or not active may do nothing.
//
// What decides is cached in compiled form; a change made through this
// Registry counts from the moment the call that made it returns.
func (r *Registry) Allowed(ctx context.Context, a Access) error {
	p, t, err := r.stateFor(ctx, a.Principal, a.thing())
	if err != nil {
		return err
	}
	if p.certificate {
		switch {
		case !p.known:
			return fmt.Errorf("registry: certificate %s: %w: %w", a.Principal, ErrNotAuthorized, ErrUnknownCertificate)
		case p.status == StatusRevoked:
			return fmt.Errorf("registry: certificate %s: %w: %w", a.Principal, ErrNotAuthorized, ErrRevoked)
		case p.status != StatusActive:
			return fmt.Errorf("registry: certificate %s: %w: %w", a.Principal, ErrNotAuthorized, ErrInactive)
		}
	}
	// Decide keeps nothing of the question, so its memory is used again.
	q, _ := r.questions.Get().(*question)
	if q == nil {
		q = new(question)
	}
	defer r.questions.Put(q)
	q.arn = q.arn[:0]
	if a.Resource != "*" {
		q.arn = append(q.arn, r.arns...)
	}
	q.arn = append(q.arn, a.Resource...)
	r.fillContext(&q.context, &a, p, t)
	q.request = policy.Request{Action: a.Action, Resource: unsafe.String(unsafe.SliceData(q.arn), len(q.arn)), Context: &q.context}
	d := t.set.Decide(&q.request)
	if d.Effect == policy.Allow {
		return nil
	}
	return &DeniedError{Principal: a.Principal, Action: a.Action, Resource: a.Resource, Explicit: d.Effect == policy.ExplicitDeny,
		Policy: d.Policy, Version: d.Version, Statement: d.Statement}
}

// A question is the working memory of one Allowed.
type question struct {
	arn     []byte
	context policy.Context
	request policy.Request
}

func (a *Access) thing() string {
	if a.Thing != "" {
		return a.Thing
	}
	return a.ClientID
}

func (r *Registry) fillContext(c *policy.Context, a *Access, p *principalState, t *thingState) {
	*c = policy.Context{ClientID: a.ClientID, SourceIP: a.SourceIP, ConnectAttributes: a.ConnectAttributes,
		Time: r.opts.Now(), Certificate: p.cert}
	if t.attached {
		c.Attached = true
		c.Thing, c.ThingType, c.Attributes = t.thing.Name, t.thing.Type, t.thing.Attributes
	}
}

// Generation is a number that grows whenever an answer of Allowed may have
// changed through this Registry. Who caches answers keeps the number it read
// before asking and asks again when it is another.
func (r *Registry) Generation() uint64 { return r.auth.gen.Load() }

// ThingOf returns the name of the thing that a connection of the principal
// with the client ID acts as: the one it is tied to exclusively, or the one
// of that name if attached, or "".
func (r *Registry) ThingOf(ctx context.Context, principal, clientID string) (string, error) {
	_, t, err := r.stateFor(ctx, principal, clientID)
	if err != nil || t == nil {
		return "", err
	}
	return t.thing.Name, nil
}

// ExclusiveThing returns the name of the thing that the principal is tied to exclusively, or "".
func (r *Registry) ExclusiveThing(ctx context.Context, principal string) (string, error) {
	p, _, err := r.stateFor(ctx, principal, "")
	if err != nil {
		return "", err
	}
	return p.exclusive, nil
}

func ipText(b []byte) string {
	if a, ok := netip.AddrFromSlice(b); ok {
		return a.String()
	}
	return ""
}
