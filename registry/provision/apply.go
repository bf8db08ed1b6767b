package provision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/thingloom/thingloom/registry"
)

// A Result is what a template has made or found.
type Result struct {
	Thing         string // name; empty if the template has no thing
	CertificateID string
	// CertificatePEM is empty if the template has no certificate.
	CertificatePEM string
	Policies       []string
	Device         map[string]string // DeviceConfiguration, never nil
}

// Apply makes what p says, in this order: certificate, thing, policies, their
// attachments, and the status of the certificate last, so that a device never
// connects half provisioned. It is not a transaction: when it fails, what it
// has made stays, the certificate not active, and another Apply of the same
// plan goes on from there. Errors are ErrConflict, and those of the registry.
func (s *Service) Apply(ctx context.Context, p *Plan) (Result, error) {
	out := Result{Device: p.Device}
	var cert registry.Certificate
	var known bool
	var err error
	if p.Certificate != nil {
		if cert, known, err = s.applyCertificate(ctx, p.Certificate); err != nil {
			return out, err
		}
		out.CertificateID, out.CertificatePEM = cert.ID, cert.PEM
	}
	if p.Thing != nil {
		if err := s.applyThing(ctx, p.Thing); err != nil {
			return out, err
		}
		out.Thing = p.Thing.Name
	}
	for _, one := range p.Policies {
		if err := s.applyPolicy(ctx, one); err != nil {
			return out, err
		}
		out.Policies = append(out.Policies, one.Name)
	}
	if cert.ID == "" {
		return out, nil
	}
	for _, name := range out.Policies {
		if err := s.reg.AttachPolicy(ctx, name, cert.ID); err != nil {
			return out, err
		}
	}
	if out.Thing != "" {
		if err := s.reg.AttachPrincipal(ctx, out.Thing, cert.ID); err != nil {
			return out, err
		}
	}
	// A certificate that waits for activation is what this is all about; of
	// others the template says whether their status is touched.
	if known && cert.Status != registry.StatusPendingActivation && cert.Status != p.Certificate.Status {
		switch p.Certificate.OverrideStatus {
		case Replace:
		case Fail:
			return out, fmt.Errorf("%w: certificate %s is %s", ErrConflict, cert.ID, cert.Status)
		default:
			return out, nil
		}
	}
	if cert.Status == p.Certificate.Status {
		return out, nil
	}
	return out, s.reg.UpdateCertificate(ctx, cert.ID, p.Certificate.Status)
}

// applyCertificate returns the certificate, and whether it was there before.
func (s *Service) applyCertificate(ctx context.Context, p *CertificatePlan) (cert registry.Certificate, known bool, err error) {
	switch {
	case p.ID != "":
		cert, err = s.reg.Certificate(ctx, p.ID)
		return cert, true, err
	case p.CSR != "":
		cert, err = s.reg.CreateCertificateFromCSR(ctx, []byte(p.CSR), registry.StatusInactive)
		return cert, false, err
	}
	cert, err = s.reg.RegisterCertificate(ctx, []byte(p.PEM), []byte(p.CAPEM), registry.StatusInactive)
	if exists, ok := errors.AsType[*registry.ExistsError](err); ok {
		cert, err = s.reg.Certificate(ctx, exists.ID)
		return cert, true, err
	}
	return cert, false, err
}

func (s *Service) applyThing(ctx context.Context, p *ThingPlan) error {
	made, err := s.reg.CreateThing(ctx, registry.Thing{Name: p.Name, Type: p.Type, Attributes: p.Attributes, BillingGroup: p.BillingGroup})
	if errors.Is(err, registry.ErrExists) {
		return s.overrideThing(ctx, p)
	}
	if err != nil {
		return err
	}
	// Also for one that was there, exactly so: it may lack groups.
	for _, g := range p.Groups {
		if !slices.Contains(made.Groups, g) {
			if err := s.reg.AddThingToGroup(ctx, p.Name, g); err != nil {
				return err
			}
		}
	}
	return nil
}

// overrideThing brings a thing that exists and is another to what p says.
func (s *Service) overrideThing(ctx context.Context, p *ThingPlan) error {
	old, err := s.reg.Thing(ctx, p.Name)
	if err != nil {
		return err
	}
	conflict := func(what string) error {
		return fmt.Errorf("%w: thing %s has another %s", ErrConflict, p.Name, what)
	}
	u := registry.ThingUpdate{Name: p.Name}
	if !maps.Equal(old.Attributes, p.Attributes) {
		switch p.OverrideAttributes {
		case Fail:
			return conflict("AttributePayload")
		case Merge:
			u.Attributes, u.Merge = p.Attributes, true
		case Replace:
			u.Attributes = p.Attributes
			if u.Attributes == nil {
				u.Attributes = map[string]string{}
			}
		}
	}
	if old.Type != p.Type {
		switch p.OverrideType {
		case Fail:
			return conflict("ThingTypeName")
		case Replace:
			u.Type, u.RemoveType = p.Type, p.Type == ""
		}
	}
	join, leave, err := groupChanges(p, old.Groups)
	if err != nil {
		return err
	}
	if u.Attributes != nil || u.Type != "" || u.RemoveType {
		if _, err := s.reg.UpdateThing(ctx, u); err != nil {
			return err
		}
	}
	for _, g := range leave {
		if err := s.reg.RemoveThingFromGroup(ctx, p.Name, g); err != nil {
			return err
		}
	}
	for _, g := range join {
		if err := s.reg.AddThingToGroup(ctx, p.Name, g); err != nil {
			return err
		}
	}
	return nil
}

func groupChanges(p *ThingPlan, old []string) (join, leave []string, err error) {
	for _, g := range p.Groups {
		if !slices.Contains(old, g) {
			join = append(join, g)
		}
	}
	for _, g := range old {
		if !slices.Contains(p.Groups, g) {
			leave = append(leave, g)
		}
	}
	switch {
	case p.OverrideGroups == Replace:
		return join, leave, nil
	case p.OverrideGroups == Merge:
		return join, nil, nil
	case p.OverrideGroups == Fail && len(join)+len(leave) > 0:
		return nil, nil, fmt.Errorf("%w: thing %s has other ThingGroups", ErrConflict, p.Name)
	}
	return nil, nil, nil
}

// applyPolicy makes the policy of a document. Its name is a hash of that: one
// that exists is the same.
func (s *Service) applyPolicy(ctx context.Context, p PolicyPlan) error {
	if p.Document == "" {
		_, err := s.reg.Policy(ctx, p.Name)
		return err
	}
	_, err := s.reg.CreatePolicy(ctx, p.Name, p.Document)
	if errors.Is(err, registry.ErrExists) {
		return nil
	}
	return err
}
