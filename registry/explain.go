package registry

import (
	"context"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/internal/policy"
)

// An EffectivePolicy is a policy that counts for somebody.
type EffectivePolicy struct {
	Name, Version, Document string
}

// EffectivePolicies returns the policies, in their default version, of the
// principal and, if a thing is named, of its groups and their ancestors.
// Either may be empty. The ARN of a thing group is a principal too: its
// policies and those of the groups above.
func (r *Registry) EffectivePolicies(ctx context.Context, principal, thing string) ([]EffectivePolicy, error) {
	list, err := r.collect(ctx, r.principalName(principal), thing)
	if err != nil {
		return nil, err
	}
	out := make([]EffectivePolicy, 0, len(list))
	for _, p := range list {
		stored, err := r.Policy(ctx, p.Name)
		if err != nil {
			return nil, err
		}
		v, ok := stored.Version(p.Version)
		if !ok {
			return nil, notFound("policy version", p.Name+"/"+p.Version)
		}
		out = append(out, EffectivePolicy{Name: p.Name, Version: p.Version, Document: v.Document})
	}
	return out, nil
}

func (r *Registry) collect(ctx context.Context, principal, thing string) ([]policy.Policy, error) {
	if isCertificateID(principal) {
		if _, err := r.Certificate(ctx, principal); err != nil {
			return nil, err
		}
	}
	list, group, err := r.policiesOfGroup(ctx, principal)
	if err == nil && !group && principal != "" {
		list, err = r.policiesOf(ctx, principal, nil)
	}
	if err != nil {
		return nil, err
	}
	if thing == "" {
		return list, nil
	}
	t, err := r.Thing(ctx, thing)
	if err != nil {
		return nil, err
	}
	return r.groupPolicies(ctx, &t, list)
}

// policiesOfGroup returns the policies of the group and of those above it, if
// that is what the principal is.
func (r *Registry) policiesOfGroup(ctx context.Context, principal string) (list []policy.Policy, group bool, err error) {
	name, group := strings.CutPrefix(principal, r.arns+"thinggroup/")
	if !group {
		return nil, false, nil
	}
	if _, err := r.Group(ctx, name); err != nil {
		return nil, true, err
	}
	list, err = r.groupPolicies(ctx, &Thing{Groups: []string{name}}, nil)
	return list, true, err
}

// A Decision is the outcome of TestAuthorization for one access.
type Decision struct {
	// Decision is "ALLOWED", "EXPLICIT_DENY" or "IMPLICIT_DENY".
	Decision string
	// By names the statement that decided; nil for an implicit deny.
	By *StatementRef
	// Allow and Deny are all statements that apply.
	Allow, Deny []StatementRef
	// Policies are the names of the policies that were asked.
	Policies []string
	// Missing are variables and condition keys that the policies ask for and
	// that have no value.
	Missing []string
}

// A StatementRef names one statement of one policy version.
type StatementRef struct {
	Policy, Version string
	Statement       int // index, from 0
	Sid             string
}

// TestAuthorization answers as Allowed would, and says why: a dry run. With
// add and skip the named policies are added to those attached, or left out.
// It does not ask for the status of a certificate.
func (r *Registry) TestAuthorization(ctx context.Context, a Access, add, skip []string) (Decision, error) {
	a.Principal = r.principalName(a.Principal)
	p, t, err := r.stateToTest(ctx, &a)
	if err != nil {
		return Decision{}, err
	}
	if p.certificate && !p.known {
		return Decision{}, notFound("certificate", a.Principal)
	}
	list := slices.DeleteFunc(slices.Clone(t.set.Policies()), func(p policy.Policy) bool { return slices.Contains(skip, p.Name) })
	for _, name := range add {
		if slices.ContainsFunc(list, func(p policy.Policy) bool { return p.Name == name }) {
			continue
		}
		stored, err := r.Policy(ctx, name)
		if err != nil {
			return Decision{}, err
		}
		v, _ := stored.Version(stored.Default)
		doc, err := parsePolicy(v.Document)
		if err != nil {
			return Decision{}, err
		}
		list = append(list, policy.Policy{Name: name, Version: v.ID, Doc: doc})
	}
	var c policy.Context
	r.fillContext(&c, &a, p, t)
	resource := r.ARN(a.Resource)
	if a.Resource == "*" {
		resource = "*"
	}
	set := policy.NewSet(list...)
	req := policy.Request{Action: a.Action, Resource: resource, Context: &c}
	out := Decision{Decision: "IMPLICIT_DENY", Missing: set.Missing(a.Action, &c)}
	for _, p := range list {
		out.Policies = append(out.Policies, p.Name)
	}
	for _, d := range set.All(&req) {
		if ref := refOf(d); d.Effect == policy.Allow {
			out.Allow = append(out.Allow, ref)
		} else {
			out.Deny = append(out.Deny, ref)
		}
	}
	if d := set.Decide(&req); d.Effect != policy.ImplicitDeny {
		ref := refOf(d)
		out.By = &ref
		if out.Decision = "ALLOWED"; d.Effect == policy.ExplicitDeny {
			out.Decision = "EXPLICIT_DENY"
		}
	}
	return out, nil
}

// stateToTest is stateFor for principals that may be groups.
func (r *Registry) stateToTest(ctx context.Context, a *Access) (*principalState, *thingState, error) {
	list, group, err := r.policiesOfGroup(ctx, a.Principal)
	if group {
		return &principalState{}, &thingState{set: policy.NewSet(list...)}, err
	}
	return r.stateFor(ctx, a.Principal, a.thing())
}

func refOf(d policy.Decision) StatementRef {
	return StatementRef{Policy: d.Policy, Version: d.Version, Statement: d.Statement, Sid: d.Sid}
}
