package provision

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/registry"
)

// A Plan is a template filled with values: what shall be there.
type Plan struct {
	Thing       *ThingPlan       // nil: no thing
	Certificate *CertificatePlan // nil: no certificate
	Policies    []PolicyPlan
	Device      map[string]string // DeviceConfiguration
}

// A ThingPlan is a thing to be made, or to be changed as the overrides say.
type ThingPlan struct {
	Name, Type   string
	Attributes   map[string]string
	Groups       []string
	BillingGroup string // of a thing that is made: one that exists keeps its own

	OverrideAttributes, OverrideType, OverrideGroups Override
}

// A CertificatePlan is a certificate to be issued for a CSR, registered (PEM)
// or found (ID).
type CertificatePlan struct {
	CSR, ID, PEM, CAPEM string
	Status              registry.CertificateStatus // active or inactive
	OverrideStatus      Override
}

// A PolicyPlan is a policy that exists, or one to be made from a document,
// under a name that is a hash of it.
type PolicyPlan struct{ Name, Document string }

// Resolve fills in values. A declared parameter without value and default, a
// value of an undeclared parameter, and a function that fails are
// *TemplateErrors. Names that begin with AWS::IoT:: may be given as well.
func (t *Template) Resolve(params map[string]string) (*Plan, error) {
	s := &scope{params: map[string]string{}, mappings: t.mappings}
	for _, name := range slices.Sorted(maps.Keys(t.params)) {
		if v, ok := params[name]; ok {
			s.params[name] = v
		} else if def := t.params[name]; def != nil {
			s.params[name] = *def
		} else {
			return nil, invalidTemplate("Parameters."+name, "has neither a value nor a default")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if strings.HasPrefix(name, builtIn) {
			s.params[name] = params[name]
		} else if _, ok := t.params[name]; !ok {
			return nil, invalidTemplate("Parameters."+name, "is not declared")
		}
	}
	p := &Plan{Device: map[string]string{}}
	var err error
	if p.Thing, err = t.thing.resolve(s); err != nil {
		return nil, err
	}
	if p.Certificate, err = t.cert.resolve(s); err != nil {
		return nil, err
	}
	for _, r := range t.policies {
		one, err := r.resolve(s)
		if err != nil {
			return nil, err
		}
		p.Policies = append(p.Policies, one)
	}
	for name, e := range t.device {
		if p.Device[name], err = textOf(e, s, "DeviceConfiguration."+name); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// A slot is where the text of an expression goes.
type slot struct {
	to *string
	e  expr // nil leaves it as it is
}

func fill(s *scope, path string, slots ...slot) error {
	for _, one := range slots {
		if one.e == nil {
			continue
		}
		text, err := textOf(one.e, s, path)
		if err != nil {
			return err
		}
		*one.to = text
	}
	return nil
}

func (r *thingResource) resolve(s *scope) (*ThingPlan, error) {
	if r == nil {
		return nil, nil
	}
	p := &ThingPlan{OverrideAttributes: r.overrideAttributes, OverrideType: r.overrideType, OverrideGroups: r.overrideGroups}
	if err := fill(s, "ThingName", slot{&p.Name, r.name}, slot{&p.Type, r.thingType}, slot{&p.BillingGroup, r.billing}); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.attributes)) {
		text, err := textOf(r.attributes[name], s, "AttributePayload."+name)
		if err != nil {
			return nil, err
		}
		if p.Attributes == nil {
			p.Attributes = map[string]string{}
		}
		p.Attributes[name] = text
	}
	if r.groups != nil {
		groups, err := elementsOf(r.groups, s, "ThingGroups")
		if err != nil {
			return nil, err
		}
		p.Groups = groups
	}
	return p, nil
}

func (r *certResource) resolve(s *scope) (*CertificatePlan, error) {
	if r == nil {
		return nil, nil
	}
	p := &CertificatePlan{OverrideStatus: r.overrideStatus}
	status := "ACTIVE"
	if err := fill(s, "the certificate", slot{&p.CSR, r.csr}, slot{&p.ID, r.id}, slot{&p.PEM, r.pem}, slot{&p.CAPEM, r.caPEM}, slot{&status, r.status}); err != nil {
		return nil, err
	}
	p.Status = registry.CertificateStatus(strings.ToUpper(status))
	if p.Status != registry.StatusActive && p.Status != registry.StatusInactive {
		return nil, invalidTemplate("Status", "is %q, not ACTIVE or INACTIVE", status)
	}
	return p, nil
}

func (r *policyResource) resolve(s *scope) (p PolicyPlan, err error) {
	if err = fill(s, "the policy", slot{&p.Name, r.name}, slot{&p.Document, r.document}); err == nil && p.Document != "" {
		sum := sha256.Sum256([]byte(p.Document))
		p.Name = "provisioned-" + hex.EncodeToString(sum[:16])
	}
	return p, err
}
