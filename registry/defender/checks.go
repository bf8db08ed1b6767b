package defender

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// run yields for each resource of a check a finding, or an empty one if it is as
// it should be.
func (s *Service) run(ctx context.Context, check string, how CheckSwitch) iter.Seq2[Finding, error] {
	switch check {
	case PolicyPermissive, PolicyMisconfigured:
		return s.policies(ctx, check)
	case CertificateShared:
		return s.sharedCertificates(ctx)
	case ClientsConflicting:
		return s.conflictingClients
	case LoggingDisabled:
		return func(yield func(Finding, error) bool) { yield(s.logging(ctx)) }
	case RolePermissive, RoleUnused:
		return s.roleAliases(ctx, check)
	case CAKey, CAExpiring, CARevoked:
		return s.caCertificates(ctx, check, how)
	}
	return s.deviceCertificates(ctx, check, how)
}

func (s *Service) policies(ctx context.Context, check string) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) {
		for p, err := range s.reg.Policies(ctx, "") {
			if err != nil {
				yield(Finding{}, err)
				return
			}
			v, _ := p.Version(p.Default)
			f := Finding{Type: "IOT_POLICY", Resource: p.Name, Version: v.ID}
			if check == PolicyPermissive {
				f.Reason, f.Code = permissive(v.Document), "ALLOWS_BROAD_ACCESS_TO_IOT_DATA_PLANE_ACTIONS"
			} else {
				f.Reason, f.Code = misconfigured(v.Document)
			}
			if f.Reason == "" {
				f = Finding{}
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

// sharedCertificates are those of connections; a user with a password may have
// several clients.
func (s *Service) sharedCertificates(ctx context.Context) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) {
		shared, _ := s.live.found(s.opts.Now())
		for _, principal := range slices.Sorted(maps.Keys(shared)) {
			_, err := s.reg.Certificate(ctx, principal)
			if errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrInvalid) {
				continue
			}
			if !yield(Finding{Type: "DEVICE_CERTIFICATE", Resource: principal, Related: shared[principal],
				Reason: "The certificate was used by several connections at once.", Code: "CERTIFICATE_SHARED_BY_MULTIPLE_DEVICES"}, err) || err != nil {
				return
			}
		}
	}
}

func (s *Service) conflictingClients(yield func(Finding, error) bool) {
	_, conflicts := s.live.found(s.opts.Now())
	for _, id := range conflicts {
		if !yield(Finding{Type: "CLIENT_ID", Resource: id, Reason: "Several clients connected under the same client ID.", Code: "DUPLICATE_CLIENT_ID_ACROSS_CONNECTIONS"}, nil) {
			return
		}
	}
}

func (s *Service) deviceCertificates(ctx context.Context, check string, how CheckSwitch) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) {
		revoked, err := s.revocations(ctx, check)
		if err != nil {
			yield(Finding{}, err)
			return
		}
		for c, err := range s.reg.Certificates(ctx, registry.CertificateQuery{}) {
			if err == nil && c.Status != registry.StatusActive {
				continue
			}
			var f Finding
			switch {
			case err != nil:
			case check == IntermediateRevoked:
				if f, err = s.intermediate(ctx, c, revoked); f.Resource == "" && c.CA == "" && err == nil {
					continue // no CA of it is known
				}
			case check == CertificateAge:
				f = s.age(c, how)
			default:
				f = s.certificate(check, how, "DEVICE_CERTIFICATE", c.ID, c.PEM, c.NotAfter, revoked)
			}
			if !yield(f, err) || err != nil {
				return
			}
		}
	}
}

func (s *Service) caCertificates(ctx context.Context, check string, how CheckSwitch) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) {
		revoked, err := s.revocations(ctx, check)
		if err != nil {
			yield(Finding{}, err)
			return
		}
		for c, err := range s.reg.CACertificates(ctx, "") {
			if err == nil && c.Status != registry.StatusActive {
				continue
			}
			if !yield(s.certificate(check, how, "CA_CERTIFICATE", c.ID, c.PEM, c.NotAfter, revoked), err) || err != nil {
				return
			}
		}
	}
}

// age is the check of how long a certificate is known already.
func (s *Service) age(c registry.Certificate, how CheckSwitch) Finding {
	most := how.threshold(CertificateAge, 365*24*time.Hour)
	if s.opts.Now().Sub(c.Created) < most {
		return Finding{}
	}
	return Finding{Type: "DEVICE_CERTIFICATE", Resource: c.ID, Code: "CERTIFICATE_PAST_AGE_THRESHOLD",
		Reason: fmt.Sprintf("The certificate is there since %s, %d days or more.", c.Created.UTC().Format(time.RFC3339), int(most.Hours()/24))}
}

// certificate is a check of one certificate.
func (s *Service) certificate(check string, how CheckSwitch, kind, id, text string, end time.Time, revoked revocations) Finding {
	f := Finding{Type: kind, Resource: id}
	if check == CertificateExpiring || check == CAExpiring {
		now := s.opts.Now()
		if end.After(now.Add(how.threshold(check, s.opts.Expiring))) {
			return Finding{}
		}
		f.Reason, f.Code = "The certificate expires at "+end.UTC().Format(time.RFC3339)+".", "CERTIFICATE_APPROACHING_EXPIRATION"
		if !end.After(now) {
			f.Code = "CERTIFICATE_PAST_EXPIRATION"
		}
		return f
	}
	cert := parseCertificate(text)
	if cert == nil {
		return Finding{}
	}
	if check == CertificateRevoked || check == CARevoked {
		if !revoked.has(cert) {
			return Finding{}
		}
		f.Reason, f.Code = "The certificate is revoked by its issuer, and active here.", "CERTIFICATE_REVOKED_BY_ISSUER"
		return f
	}
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			f.Reason, f.Code = fmt.Sprintf("The RSA key has %d bits.", key.N.BitLen()), "CERTIFICATE_KEY_VULNERABILITY_OTHER"
			return f
		}
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize < 256 {
			f.Reason, f.Code = fmt.Sprintf("The key is of a curve of %d bits.", key.Curve.Params().BitSize), "CERTIFICATE_KEY_VULNERABILITY_OTHER"
			return f
		}
	}
	if cert.SignatureAlgorithm == x509.SHA1WithRSA || cert.SignatureAlgorithm == x509.ECDSAWithSHA1 {
		f.Reason, f.Code = "The certificate is signed by SHA-1.", "CERTIFICATE_KEY_VULNERABILITY_OTHER"
		return f
	}
	return Finding{}
}

// parseCertificate reads the first certificate of a PEM text, or is nil.
func parseCertificate(text string) *x509.Certificate {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}
