package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
)

func marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return b, nil
}

// checkPrincipal checks a principal: a certificate ID or an identity.
func checkPrincipal(s string) error {
	if s == "" || len(s) > maxPrincipalNameBytes {
		return invalid("principal", "has %d bytes, not 1 to %d", len(s), maxPrincipalNameBytes)
	}
	return nil
}

// A target is what policies are attached to: a group or a principal.
type target struct {
	name  string // ARN of the group, or principal
	group string // name of the group
}

// target reads the target of an attachment, in which a certificate may be
// given as its ARN or its ID.
func (r *Registry) target(s string) (target, error) {
	if g, ok := strings.CutPrefix(s, r.arns+"thinggroup/"); ok {
		return target{name: s, group: g}, checkName("target", g)
	}
	s = r.principalName(s)
	return target{name: s}, checkPrincipal(s)
}

// mustExist makes the transaction fail unless the group or certificate is
// there. Other principals are not the registry's to know.
func (t *tx) mustExist(to target) error {
	var err error
	switch {
	case to.group != "":
		var g Group
		if g, err = t.group(to.group); err == nil && g.Dynamic != nil {
			err = invalid("target", "%s is a dynamic group, which takes no policies", to.group)
		}
		t.relax(keyGroup + to.group)
	case isCertificateID(to.name):
		_, err = t.certificate(to.name)
		t.relax(keyCert + to.name)
	}
	return err
}

func (t *tx) attached(name string) ([]string, error) {
	var names []string
	_, err := t.get(keyAttached+escape(name), &names)
	return names, err
}

// AttachPolicy attaches a policy to a target: a certificate (by ID or ARN), a
// thing group (by ARN) or another principal. Attaching twice is fine. A
// certificate takes ten policies, a group two (ErrLimit).
func (r *Registry) AttachPolicy(ctx context.Context, policyName, to string) error {
	tgt, err := r.target(to)
	if err != nil {
		return err
	}
	return r.update(ctx, func(x *tx) error {
		if _, err := x.policy(policyName); err != nil {
			return err
		}
		x.relax(keyPolicy + policyName)
		if err := x.mustExist(tgt); err != nil {
			return err
		}
		names, err := x.attached(tgt.name)
		if err != nil || slices.Contains(names, policyName) {
			return err
		}
		limit := maxPoliciesPerTarget
		if tgt.group != "" {
			limit = maxPoliciesPerGroup
		}
		if len(names) >= limit {
			return fmt.Errorf("registry: %s has %d policies: %w", to, len(names), ErrLimit)
		}
		names = append(names, policyName)
		slices.Sort(names)
		x.mark(keyTarget + policyName + "/" + escape(tgt.name))
		x.attachmentChanged("ADDED", policyName, tgt)
		return x.put(keyAttached+escape(tgt.name), names)
	})
}

// DetachPolicy undoes AttachPolicy. It is fine if the policy is not attached.
func (r *Registry) DetachPolicy(ctx context.Context, policyName, from string) error {
	tgt, err := r.target(from)
	if err != nil {
		return err
	}
	return r.update(ctx, func(x *tx) error {
		if _, err := x.policy(policyName); err != nil {
			return err
		}
		x.relax(keyPolicy + policyName)
		names, err := x.attached(tgt.name)
		if err != nil || !slices.Contains(names, policyName) {
			return err
		}
		names = slices.DeleteFunc(names, func(s string) bool { return s == policyName })
		x.delete(keyTarget + policyName + "/" + escape(tgt.name))
		x.attachmentChanged("REMOVED", policyName, tgt)
		if len(names) == 0 {
			x.delete(keyAttached + escape(tgt.name))
			return nil
		}
		return x.put(keyAttached+escape(tgt.name), names)
	})
}

func (t *tx) attachmentChanged(operation, policyName string, tgt target) {
	principal := tgt.name
	if tgt.group != "" {
		principal = "" // the members are many: everybody's access is looked at anew
	}
	t.accessChanged(PolicyEvents, operation, policyName, principal, "")
}

// detachAll detaches every policy from a target.
func (t *tx) detachAll(name string) error {
	names, err := t.attached(name)
	if err != nil || len(names) == 0 {
		return err
	}
	for _, p := range names {
		t.delete(keyTarget + p + "/" + escape(name))
	}
	t.delete(keyAttached + escape(name))
	return nil
}

// AttachedPolicies returns the names of the policies attached to the target
// itself, in order; a certificate or group that is not there is ErrNotFound.
func (r *Registry) AttachedPolicies(ctx context.Context, to string) ([]string, error) {
	tgt, err := r.target(to)
	switch {
	case err != nil:
	case tgt.group != "":
		_, err = r.Group(ctx, tgt.group)
	case isCertificateID(tgt.name):
		_, err = r.Certificate(ctx, tgt.name)
	}
	if err != nil {
		return nil, err
	}
	var names []string
	_, _, err = r.load(ctx, keyAttached+escape(tgt.name), &names)
	return names, err
}

// PolicyTargets yields what the policy is attached to: ARNs of certificates
// and groups, and other principals as they are.
func (r *Registry) PolicyTargets(ctx context.Context, policyName, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if _, err := r.Policy(ctx, policyName); err != nil {
			yield("", err)
			return
		}
		if after != "" {
			after = escape(r.principalName(after))
		}
		for s, err := range r.names(ctx, keyTarget+policyName+"/", after) {
			name := unescape(s)
			if isCertificateID(name) {
				name = r.ARN("cert/" + name)
			}
			if !yield(name, err) || err != nil {
				return
			}
		}
	}
}

// InheritedPolicies returns the names of the policies attached to the target
// and, for a group, to the groups above it, in order.
func (r *Registry) InheritedPolicies(ctx context.Context, to string) ([]string, error) {
	tgt, err := r.target(to)
	if err != nil {
		return nil, err
	}
	names, err := r.AttachedPolicies(ctx, to)
	if err != nil || tgt.group == "" {
		return names, err
	}
	g, err := r.Group(ctx, tgt.group)
	if err != nil {
		return nil, err
	}
	for _, above := range g.Path {
		more, err := r.AttachedPolicies(ctx, r.ARN("thinggroup/"+above))
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
