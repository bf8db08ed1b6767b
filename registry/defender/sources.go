package defender

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/thingloom/thingloom/registry"
)

// A RoleAlias is what devices get credentials of another service for.
type RoleAlias struct {
	ARN string
	// Policy is the document of what the role may do.
	Policy string
	// Unused are the services that the role may use and has not used for a year.
	Unused []string
}

// revocations are serial numbers by the raw name of their issuer.
type revocations map[string]map[string]bool

// revocations loads what a check about revoked certificates compares with.
func (s *Service) revocations(ctx context.Context, check string) (revocations, error) {
	if check != CertificateRevoked && check != CARevoked && check != IntermediateRevoked {
		return nil, nil
	}
	lists, err := s.opts.Revocations(ctx)
	if err != nil {
		return nil, fmt.Errorf("defender: revocation lists: %w", err)
	}
	all := revocations{}
	for _, list := range lists {
		issuer := string(list.RawIssuer)
		if all[issuer] == nil {
			all[issuer] = map[string]bool{}
		}
		for _, entry := range list.RevokedCertificateEntries {
			if entry.ReasonCode != removeFromCRL {
				all[issuer][entry.SerialNumber.String()] = true
			}
		}
	}
	return all, nil
}

// removeFromCRL is the reason of an entry that takes another back [RFC 5280 5.3.1].
const removeFromCRL = 8

func (r revocations) has(cert *x509.Certificate) bool {
	return r[string(cert.RawIssuer)][cert.SerialNumber.String()]
}

// intermediate is the check whether the registered CA that signed a certificate
// is revoked by a CA above it.
func (s *Service) intermediate(ctx context.Context, c registry.Certificate, revoked revocations) (Finding, error) {
	if c.CA == "" {
		return Finding{}, nil
	}
	ca, err := s.reg.CACertificate(ctx, c.CA)
	if errors.Is(err, registry.ErrNotFound) {
		return Finding{}, nil // the CA has been deleted since
	}
	if err != nil {
		return Finding{}, err
	}
	cert := parseCertificate(ca.PEM)
	if cert == nil || !revoked.has(cert) {
		return Finding{}, nil
	}
	return Finding{Type: "DEVICE_CERTIFICATE", Resource: c.ID, Code: "INTERMEDIATE_CA_REVOKED_BY_ISSUER",
		Reason: fmt.Sprintf("The CA %s, which signed the certificate, is revoked by its issuer.", ca.ID)}, nil
}

// logging is the check whether the backend keeps logs.
func (s *Service) logging(ctx context.Context) (Finding, error) {
	on, err := s.opts.Logging(ctx)
	if err != nil || on {
		return Finding{}, err
	}
	account := strings.Split(s.reg.ARN("x"), ":")[4]
	return Finding{Type: "ACCOUNT_SETTINGS", Resource: account, Reason: "Logging is disabled.", Code: "LOGGING_DISABLED"}, nil
}

func (s *Service) roleAliases(ctx context.Context, check string) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) {
		all, err := s.opts.RoleAliases(ctx)
		if err != nil {
			yield(Finding{}, fmt.Errorf("defender: role aliases: %w", err))
			return
		}
		for _, alias := range all {
			f := Finding{Type: "ROLE_ALIAS", Resource: alias.ARN}
			if check == RolePermissive {
				f.Reason, f.Code = permissive(alias.Policy), "ALLOWS_BROAD_ACCESS_TO_IOT_DATA_PLANE_ACTIONS"
			} else if len(alias.Unused) > 0 {
				f.Reason, f.Code = "The role may use "+strings.Join(alias.Unused, ", ")+", and has not for a year.", "ALLOWS_ACCESS_TO_UNUSED_SERVICES"
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
