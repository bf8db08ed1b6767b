package registry

import (
	"context"
	"errors"

	"github.com/thingloom/thingloom/internal/policy"
)

// A principalState is what is known of one principal. It is immutable; a
// state with one thing more is a new one.
type principalState struct {
	known       bool // a registered certificate
	certificate bool // the principal has the form of one
	status      CertificateStatus
	cert        *policy.Certificate
	policies    []policy.Policy
	exclusive   string // the thing the principal is tied to
	// things by name, for those asked about; nothing is the state without a
	// thing.
	things  map[string]*thingState
	nothing *thingState
}

// maxCachedThings is how many things of one principal are kept.
const maxCachedThings = 64

// A thingState is what decides for a principal as one of its things.
type thingState struct {
	set      *policy.Set
	attached bool
	thing    Thing
}

// certState returns the state of a certificate.
func (r *Registry) certState(ctx context.Context, id string) (*principalState, error) {
	if s := r.auth.get(id); s != nil {
		return s, nil
	}
	at := r.auth.stamp(id)
	s, err := r.loadPrincipal(ctx, id)
	if err != nil {
		return nil, err
	}
	if s.known {
		r.auth.put(id, s, at)
	}
	return s, nil
}

func (r *Registry) loadPrincipal(ctx context.Context, principal string) (*principalState, error) {
	s := &principalState{certificate: isCertificateID(principal)}
	if s.certificate {
		c, err := r.Certificate(ctx, principal)
		if errors.Is(err, ErrNotFound) {
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		parsed, err := parseCert("certificate", []byte(c.PEM))
		if parsed == nil {
			return nil, err
		}
		s.known, s.status, s.cert = true, c.Status, certificateContext(principal, parsed)
	}
	var err error
	if s.policies, err = r.policiesOf(ctx, principal, nil); err != nil {
		return nil, err
	}
	if _, _, err := r.load(ctx, keyExclusive+escape(principal), &s.exclusive); err != nil {
		return nil, err
	}
	s.nothing = &thingState{set: policy.NewSet(s.policies...)}
	return s, nil
}

// policiesOf appends the compiled default versions of what is attached to
// the target, without those that are there already.
func (r *Registry) policiesOf(ctx context.Context, name string, to []policy.Policy) ([]policy.Policy, error) {
	var names []string
	if _, _, err := r.load(ctx, keyAttached+escape(name), &names); err != nil {
		return nil, err
	}
next:
	for _, n := range names {
		for _, have := range to {
			if have.Name == n {
				continue next
			}
		}
		p, err := r.Policy(ctx, n)
		if errors.Is(err, ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		v, _ := p.Version(p.Default)
		doc, err := r.auth.compile(v.Document)
		if err != nil {
			return nil, err
		}
		to = append(to, policy.Policy{Name: n, Version: v.ID, Doc: doc})
	}
	return to, nil
}

// stateFor returns the states of a principal and of the thing it acts as,
// which may be nil for none.
func (r *Registry) stateFor(ctx context.Context, principal, thing string) (*principalState, *thingState, error) {
	at := r.auth.stamp(principal)
	p := r.auth.get(principal)
	cached := p != nil
	if !cached {
		var err error
		if p, err = r.loadPrincipal(ctx, principal); err != nil {
			return nil, nil, err
		}
	}
	if p.certificate && !p.known {
		return p, nil, nil
	}
	if p.exclusive != "" {
		thing = p.exclusive
	}
	if thing == "" {
		if !cached {
			r.auth.put(principal, p, at)
		}
		return p, p.nothing, nil
	}
	if t := p.things[thing]; t != nil {
		return p, t, nil
	}
	t, err := r.loadThing(ctx, p, principal, thing)
	if err != nil {
		return nil, nil, err
	}
	with := *p
	with.things = make(map[string]*thingState, len(p.things)+1)
	if len(p.things) < maxCachedThings {
		for k, v := range p.things {
			with.things[k] = v
		}
	}
	with.things[thing] = t
	r.auth.put(principal, &with, at)
	return &with, t, nil
}

// loadThing makes the state of a principal as a thing: if it is attached,
// the policies of the groups of the thing and of the groups above count too.
func (r *Registry) loadThing(ctx context.Context, p *principalState, principal, name string) (*thingState, error) {
	attached, _, err := r.load(ctx, keyThingPrincipal+name+"/"+escape(principal), nil)
	if err != nil {
		return nil, err
	}
	if !attached {
		return p.nothing, nil
	}
	t := &thingState{attached: true}
	if t.thing, err = r.Thing(ctx, name); err != nil {
		return nil, err
	}
	policies, err := r.groupPolicies(ctx, &t.thing, append([]policy.Policy(nil), p.policies...))
	t.set = policy.NewSet(policies...)
	return t, err
}

// groupPolicies appends the policies of the thing's groups and their ancestors.
func (r *Registry) groupPolicies(ctx context.Context, t *Thing, to []policy.Policy) ([]policy.Policy, error) {
	for _, name := range t.Groups {
		g, err := r.Group(ctx, name)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, name := range append([]string{g.Name}, g.Path...) {
			if to, err = r.policiesOf(ctx, r.ARN("thinggroup/"+name), to); err != nil {
				return nil, err
			}
		}
	}
	return to, nil
}
