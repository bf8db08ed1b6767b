package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/thingloom/thingloom/internal/policy"
)

// A Policy is a named policy with up to five versions of its document, one
// of which is in force.
type Policy struct {
	Name     string          `json:"name"`
	Default  string          `json:"default"` // ID of the version in force
	Created  time.Time       `json:"created"`
	Modified time.Time       `json:"modified"`
	Versions []PolicyVersion `json:"versions"` // oldest first
	Next     int             `json:"next"`     // number of the next version
	// Tags are set at creation and by ChangeTags.
	Tags map[string]string `json:"tags,omitempty"`
}

// A PolicyVersion is one document of a policy.
type PolicyVersion struct {
	ID       string    `json:"id"` // "1", "2", ...; never used twice
	Document string    `json:"document"`
	Created  time.Time `json:"created"`
}

// Version returns the version with the ID.
func (p *Policy) Version(id string) (PolicyVersion, bool) {
	for _, v := range p.Versions {
		if v.ID == id {
			return v, true
		}
	}
	return PolicyVersion{}, false
}

// parsePolicy checks and compiles a document (*PolicyError).
func parsePolicy(document string) (*policy.Document, error) {
	if len(document) > maxPolicyBytes {
		return nil, &PolicyError{Reason: fmt.Sprintf("has %d bytes, more than %d", len(document), maxPolicyBytes)}
	}
	if n := policy.Characters([]byte(document)); n > maxPolicyCharacters {
		return nil, &PolicyError{Reason: fmt.Sprintf("has %d characters besides white space, more than %d", n, maxPolicyCharacters)}
	}
	doc, err := policy.Parse([]byte(document))
	if err != nil {
		return nil, policyError(err)
	}
	return doc, nil
}

// CreatePolicy adds a policy whose version 1 is the document.
func (r *Registry) CreatePolicy(ctx context.Context, name, document string) (Policy, error) {
	return r.CreateTaggedPolicy(ctx, name, document, nil)
}

// CreateTaggedPolicy is CreatePolicy with tags.
func (r *Registry) CreateTaggedPolicy(ctx context.Context, name, document string, tags map[string]string) (Policy, error) {
	if err := errors.Join(checkPolicyName(name), checkTags(tags)); err != nil {
		return Policy{}, err
	}
	if _, err := parsePolicy(document); err != nil {
		return Policy{}, err
	}
	now := r.opts.Now().UTC()
	p := Policy{Name: name, Default: "1", Created: now, Modified: now, Next: 2, Tags: tags,
		Versions: []PolicyVersion{{ID: "1", Document: document, Created: now}}}
	err := r.update(ctx, func(x *tx) error {
		found, err := x.get(keyPolicy+name, nil)
		if err != nil {
			return err
		}
		if found {
			return &ExistsError{Kind: "policy", ID: name, ARN: r.ARN("policy/" + name)}
		}
		x.emit(Event{Kind: PolicyEvents, Operation: "CREATED", Time: now, Name: name})
		return x.put(keyPolicy+name, p)
	})
	return p, err
}

// Policy returns the policy, or ErrNotFound.
func (r *Registry) Policy(ctx context.Context, name string) (Policy, error) {
	return stored[Policy](ctx, r, keyPolicy+name, "policy", name)
}

// Policies yields the policies whose names come after the given one, in order.
func (r *Registry) Policies(ctx context.Context, after string) iter.Seq2[Policy, error] {
	return scan[Policy](ctx, r, keyPolicy, after)
}

// CreatePolicyVersion adds a version and, with setDefault, puts it in force.
// A policy has five versions at most (ErrVersionsLimit).
func (r *Registry) CreatePolicyVersion(ctx context.Context, name, document string, setDefault bool) (PolicyVersion, error) {
	if _, err := parsePolicy(document); err != nil {
		return PolicyVersion{}, err
	}
	var made PolicyVersion
	err := r.changePolicy(ctx, name, func(p *Policy) (access bool, err error) {
		if len(p.Versions) >= maxPolicyVersions {
			return false, fmt.Errorf("registry: policy %s has %d versions: %w", name, len(p.Versions), ErrVersionsLimit)
		}
		made = PolicyVersion{ID: strconv.Itoa(p.Next), Document: document, Created: r.opts.Now().UTC()}
		p.Next++
		p.Versions = append(p.Versions, made)
		if setDefault {
			p.Default = made.ID
		}
		return setDefault, nil
	})
	return made, err
}

// SetDefaultPolicyVersion puts the version in force.
func (r *Registry) SetDefaultPolicyVersion(ctx context.Context, name, version string) error {
	return r.changePolicy(ctx, name, func(p *Policy) (access bool, err error) {
		if _, ok := p.Version(version); !ok {
			return false, notFound("policy version", name+"/"+version)
		}
		access = p.Default != version
		p.Default = version
		return access, nil
	})
}

// DeletePolicyVersion removes a version that is not in force (ErrInvalid).
func (r *Registry) DeletePolicyVersion(ctx context.Context, name, version string) error {
	return r.changePolicy(ctx, name, func(p *Policy) (access bool, err error) {
		if _, ok := p.Version(version); !ok {
			return false, notFound("policy version", name+"/"+version)
		}
		if p.Default == version {
			return false, invalid("policyVersionId", "%s is the default version: set another first, or delete the policy", version)
		}
		p.Versions = slices.DeleteFunc(p.Versions, func(v PolicyVersion) bool { return v.ID == version })
		return false, nil
	})
}

func (r *Registry) changePolicy(ctx context.Context, name string, change func(*Policy) (access bool, err error)) error {
	return r.update(ctx, func(x *tx) error {
		p, err := x.policy(name)
		if err != nil {
			return err
		}
		access, err := change(&p)
		if err != nil {
			return err
		}
		p.Modified = r.opts.Now().UTC()
		if access {
			x.accessChanged(PolicyEvents, "UPDATED", name, "", "")
		} else {
			x.emit(Event{Kind: PolicyEvents, Operation: "UPDATED", Time: p.Modified, Name: name})
		}
		return x.put(keyPolicy+name, p)
	})
}

// DeletePolicy removes a policy that is attached to nothing and has no
// version but the default (ErrDeleteConflict).
func (r *Registry) DeletePolicy(ctx context.Context, name string) error {
	return r.update(ctx, func(x *tx) error {
		p, err := x.policy(name)
		if err != nil {
			return err
		}
		if len(p.Versions) > 1 {
			return fmt.Errorf("registry: policy %s has %d versions: %w", name, len(p.Versions), ErrDeleteConflict)
		}
		free, err := x.needEmpty(keyTarget + name + "/")
		if err != nil {
			return err
		}
		if !free {
			return fmt.Errorf("registry: policy %s is attached: %w", name, ErrDeleteConflict)
		}
		x.delete(keyPolicy + name)
		x.accessChanged(PolicyEvents, "DELETED", name, "", "")
		return nil
	})
}

func (t *tx) policy(name string) (Policy, error) {
	return needed[Policy](t, keyPolicy+name, "policy", name)
}
