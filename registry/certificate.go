package registry

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"iter"
	"strings"
	"time"
)

// A CertificateStatus says what a certificate may be used for. Only
// StatusActive may connect.
type CertificateStatus string

// The statuses.
const (
	StatusActive            CertificateStatus = "ACTIVE"
	StatusInactive          CertificateStatus = "INACTIVE"
	StatusRevoked           CertificateStatus = "REVOKED"
	StatusPendingActivation CertificateStatus = "PENDING_ACTIVATION"
	StatusPendingTransfer   CertificateStatus = "PENDING_TRANSFER"
	StatusRegisterInactive  CertificateStatus = "REGISTER_INACTIVE"
)

// A Certificate is a registered certificate. Its ID is its principal.
type Certificate struct {
	ID     string            `json:"id"` // lower-case hex SHA-256 of the DER encoding
	PEM    string            `json:"pem"`
	Status CertificateStatus `json:"status"`
	// CA is the ID of the registered CA certificate that signed it; empty for
	// certificates of the backend's own CA and those registered without CA.
	CA string `json:"ca,omitempty"`
	// Mode is "DEFAULT", or "SNI_ONLY" for one registered without CA.
	Mode      string    `json:"mode"`
	Created   time.Time `json:"created"`
	Modified  time.Time `json:"modified"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	Version   int       `json:"version"` // 1, then one more for each change of status
}

// CertificateID returns the ID of a certificate, which is its principal.
func CertificateID(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// isCertificateID reports whether a principal is a certificate.
func isCertificateID(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}

// Certificate returns the certificate, or ErrNotFound.
func (r *Registry) Certificate(ctx context.Context, id string) (Certificate, error) {
	return stored[Certificate](ctx, r, keyCert+id, "certificate", id)
}

// A CertificateQuery selects certificates. The zero value is all of them.
type CertificateQuery struct {
	CA    string // signed by this registered CA certificate
	After string // certificates that come after this ID
}

// Certificates yields the selected certificates in the order of their IDs.
func (r *Registry) Certificates(ctx context.Context, q CertificateQuery) iter.Seq2[Certificate, error] {
	if q.CA == "" {
		return scan[Certificate](ctx, r, keyCert, q.After)
	}
	return func(yield func(Certificate, error) bool) {
		for id, err := range r.names(ctx, keyByCA+q.CA+"/", q.After) {
			var c Certificate
			found := false
			if err == nil {
				found, _, err = r.load(ctx, keyCert+id, &c)
			}
			if err != nil {
				yield(Certificate{}, err)
				return
			}
			if found && !yield(c, nil) {
				return
			}
		}
	}
}

// register adds a certificate. caID is the registered CA that signed it, if any.
func (r *Registry) register(ctx context.Context, cert *x509.Certificate, status CertificateStatus, caID, mode string) (Certificate, error) {
	if err := checkSignature(cert.SignatureAlgorithm); err != nil {
		return Certificate{}, err
	}
	now := r.opts.Now().UTC()
	c := Certificate{ID: CertificateID(cert), PEM: string(encodeCert(cert.Raw)), Status: status, CA: caID, Mode: mode,
		Created: now, Modified: now, NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(), Version: 1}
	err := r.update(ctx, func(x *tx) error {
		found, err := x.get(keyCert+c.ID, nil)
		if err != nil {
			return err
		}
		if found {
			return &ExistsError{Kind: "certificate", ID: c.ID, ARN: r.ARN("cert/" + c.ID)}
		}
		if caID != "" {
			if _, err := x.caCertificate(caID); err != nil {
				return err
			}
			x.relax(keyCA + caID)
			x.mark(keyByCA + caID + "/" + c.ID)
		}
		// Nobody's access changes: nothing was decided for it but refusals,
		// and those are not cached.
		x.emit(Event{Kind: CertificateEvents, Operation: "CREATED", Time: now, Name: c.ID, Principal: c.ID, Status: status})
		return x.put(keyCert+c.ID, c)
	})
	return c, err
}

// UpdateCertificate sets the status to StatusActive, StatusInactive or
// StatusRevoked. Sessions of the certificate are the application's to end:
// see Event.
func (r *Registry) UpdateCertificate(ctx context.Context, id string, status CertificateStatus) error {
	switch status {
	case StatusActive, StatusInactive, StatusRevoked:
	case StatusPendingTransfer, StatusRegisterInactive, StatusPendingActivation:
		return fmt.Errorf("registry: certificate %s: to %s: %w", id, status, ErrCertificateState)
	default:
		return invalid("newStatus", "%q is unknown", status)
	}
	return r.update(ctx, func(x *tx) error {
		c, err := x.certificate(id)
		if err != nil {
			return err
		}
		if c.Status == StatusPendingTransfer || c.Status == StatusPendingActivation && status == StatusRevoked {
			return fmt.Errorf("registry: certificate %s: from %s to %s: %w", id, c.Status, status, ErrCertificateState)
		}
		if c.Status == status {
			return nil
		}
		c.Status, c.Modified = status, r.opts.Now().UTC()
		c.Version++
		x.accessChanged(CertificateEvents, "UPDATED", id, id, status)
		return x.put(keyCert+id, c)
	})
}

// DeleteCertificate removes a certificate that is inactive or revoked
// (ErrCertificateState) and has neither things nor policies
// (ErrDeleteConflict). With force policies are detached, and things too.
func (r *Registry) DeleteCertificate(ctx context.Context, id string, force bool) error {
	return r.update(ctx, func(x *tx) error {
		c, err := x.certificate(id)
		if err != nil {
			return err
		}
		if c.Status == StatusActive || c.Status == StatusPendingTransfer {
			return fmt.Errorf("registry: certificate %s is %s: %w", id, c.Status, ErrCertificateState)
		}
		if force {
			if err := x.detachAll(id); err != nil {
				return err
			}
			if err := x.detachThings(id); err != nil {
				return err
			}
		} else {
			policies, err := x.attached(id)
			if err != nil {
				return err
			}
			if len(policies) > 0 {
				return fmt.Errorf("registry: certificate %s has policies attached: %w", id, ErrDeleteConflict)
			}
			free, err := x.needEmpty(keyPrincipalThing + id + "/")
			if err != nil {
				return err
			}
			if !free {
				return fmt.Errorf("registry: certificate %s has things attached: %w", id, ErrDeleteConflict)
			}
		}
		x.delete(keyCert + id)
		if c.CA != "" {
			x.delete(keyByCA + c.CA + "/" + id)
		}
		x.accessChanged(CertificateEvents, "DELETED", id, id, "")
		return nil
	})
}

func (t *tx) certificate(id string) (Certificate, error) {
	return needed[Certificate](t, keyCert+id, "certificate", id)
}

// PrincipalOf returns the principal of a client that proved to have the key
// of cert, which is what a TLS server that asks for a client certificate
// knows of it once hands are shaken. Which certificates are trusted is
// decided here and by the registry alone, not by a chain:
// ErrUnknownCertificate, ErrRevoked, ErrInactive, ErrExpired.
//
// An unknown certificate of a CA with automatic registration is registered,
// pending activation, which is observed as a CertificateEvents event; the
// answer is ErrInactive until somebody activates it.
func (r *Registry) PrincipalOf(ctx context.Context, cert *x509.Certificate) (principal string, err error) {
	known, err := r.admit(ctx, cert)
	if err != nil {
		return "", err
	}
	id := CertificateID(cert)
	if !known {
		if err := r.registerOnConnect(ctx, cert); err != nil {
			return "", err
		}
		return "", fmt.Errorf("registry: certificate %s was registered and waits for activation: %w", id, ErrInactive)
	}
	return id, nil
}

// CheckCertificate refuses what PrincipalOf refuses and changes nothing: a
// certificate that PrincipalOf would register passes. It is for the time
// before a client has proved to have the key, as in
// tls.Config.VerifyConnection, which crypto/tls calls with what was shown:
// anybody can show a certificate.
func (r *Registry) CheckCertificate(ctx context.Context, cert *x509.Certificate) error {
	known, err := r.admit(ctx, cert)
	if err == nil && !known {
		_, err = r.newcomerOf(ctx, cert)
	}
	return err
}

// admit refuses a registered certificate that may not connect.
func (r *Registry) admit(ctx context.Context, cert *x509.Certificate) (known bool, err error) {
	if cert == nil {
		return false, fmt.Errorf("registry: no certificate: %w", ErrUnknownCertificate)
	}
	id := CertificateID(cert)
	state, err := r.certState(ctx, id)
	if err != nil || !state.known {
		return false, err
	}
	switch state.status {
	case StatusActive:
	case StatusRevoked:
		return true, fmt.Errorf("registry: certificate %s: %w", id, ErrRevoked)
	default:
		return true, fmt.Errorf("registry: certificate %s is %s: %w", id, state.status, ErrInactive)
	}
	if now := r.opts.Now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return true, fmt.Errorf("registry: certificate %s is valid from %s to %s: %w", id,
			cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339), ErrExpired)
	}
	return true, nil
}

// principalName takes an ARN of a certificate for its ID.
func (r *Registry) principalName(s string) string {
	return strings.TrimPrefix(s, r.arns+"cert/")
}
