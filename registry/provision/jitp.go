package provision

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/registry"
)

// JustInTime provisions certificates by the template of their CA when the
// registry has registered them at their first connection (AWS IoT contract:
// just-in-time provisioning). That connection is refused; the next one finds
// the certificate as the template left it. Certificates of a CA without
// template are left to those who observe the registration event.
//
// The templates' parameters are AWS::IoT::Certificate:: and Country,
// Organization, OrganizationalUnit, DistinguishedNameQualifier, StateName,
// CommonName, SerialNumber of the certificate's subject, and Id.
//
// What failed is logged; the certificate stays pending. So does one whose
// provisioning a crash has interrupted: Resume takes it up.
func (s *Service) JustInTime() (cancel func()) {
	return s.reg.Observe(func(ctx context.Context, e registry.Event) {
		if e.Kind != registry.CertificateEvents || e.Operation != "REGISTERED" {
			return
		}
		if err := s.provisionCertificate(ctx, e.Name); err != nil {
			s.opts.Logger.Warn("just-in-time provisioning", "certificate", e.Name, "err", err)
		}
	})
}

// Resume provisions again what is pending below CAs with a template. It
// returns how many it has tried and joins what failed.
func (s *Service) Resume(ctx context.Context) (tried int, err error) {
	var errs []error
	for ca, err := range s.reg.CACertificates(ctx, "") {
		if err != nil {
			return tried, errors.Join(append(errs, err)...)
		}
		if ca.Registration.Template == "" && ca.Registration.Body == "" {
			continue
		}
		for cert, err := range s.reg.Certificates(ctx, registry.CertificateQuery{CA: ca.ID}) {
			if err != nil {
				return tried, errors.Join(append(errs, err)...)
			}
			if cert.Status != registry.StatusPendingActivation {
				continue
			}
			tried++
			if err := s.provisionCertificate(ctx, cert.ID); err != nil {
				errs = append(errs, fmt.Errorf("certificate %s: %w", cert.ID, err))
			}
		}
	}
	return tried, errors.Join(errs...)
}

// provisionCertificate applies the template of the CA that signed it, if any.
func (s *Service) provisionCertificate(ctx context.Context, id string) error {
	cert, err := s.reg.Certificate(ctx, id)
	if err != nil || cert.CA == "" {
		return err
	}
	ca, err := s.reg.CACertificate(ctx, cert.CA)
	if err != nil {
		return err
	}
	body := ca.Registration.Body
	if name := ca.Registration.Template; name != "" {
		stored, err := s.Template(ctx, name)
		if err != nil {
			return err
		}
		if !stored.Enabled {
			return fmt.Errorf("%w: %s", ErrDisabled, name)
		}
		v, err := stored.Version(0)
		if err != nil {
			return err
		}
		body = v.Body
	}
	if body == "" {
		return nil
	}
	t, err := s.template(body)
	if err != nil {
		return err
	}
	params, err := subjectOf(cert)
	if err != nil {
		return err
	}
	plan, err := t.Resolve(params)
	if err != nil {
		return err
	}
	if plan.Certificate == nil || plan.Certificate.ID != id {
		return invalidTemplate("CertificateId", "is not {\"Ref\": \"AWS::IoT::Certificate::Id\"}")
	}
	_, err = s.Apply(ctx, plan)
	return err
}

// dnQualifier is the attribute type of RFC 4519 2.8.
var dnQualifier = asn1.ObjectIdentifier{2, 5, 4, 46}

// subjectOf are the parameters that a certificate gives. What its subject does
// not have is absent, and a template that needs it fails.
func subjectOf(c registry.Certificate) (map[string]string, error) {
	block, _ := pem.Decode([]byte(c.PEM))
	if block == nil {
		return nil, fmt.Errorf("provision: certificate %s is not PEM", c.ID)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	subject := cert.Subject
	params := map[string]string{builtIn + "Certificate::Id": c.ID}
	add := func(name string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			params[builtIn+"Certificate::"+name] = values[0]
		}
	}
	add("Country", subject.Country...)
	add("Organization", subject.Organization...)
	add("OrganizationalUnit", subject.OrganizationalUnit...)
	add("StateName", subject.Province...)
	add("CommonName", subject.CommonName)
	add("SerialNumber", subject.SerialNumber)
	for _, name := range subject.Names {
		if text, ok := name.Value.(string); ok && name.Type.Equal(dnQualifier) {
			add("DistinguishedNameQualifier", text)
		}
	}
	return params, nil
}
