package registry

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"time"
)

// A KeyType is a kind of key pair.
type KeyType uint8

// The key types.
const (
	RSA2048 KeyType = iota // as AWS
	ECP256                 // much cheaper to make and to use
)

// A KeyPair is what CreateKeysAndCertificate made. The registry does not keep it.
type KeyPair struct {
	PublicPEM, PrivatePEM []byte
}

// KeyOptions are the optional parts of CreateKeysAndCertificate. A nil
// *KeyOptions is all defaults.
type KeyOptions struct {
	Type KeyType
	// Status of the new certificate. Empty means StatusInactive, as at AWS.
	Status CertificateStatus
	// CommonName is the subject. Empty means "Thingloom certificate".
	CommonName string
	// NotAfter is the end of the validity. Zero means the end of 2049, as at
	// AWS; it is never after that of the CA.
	NotAfter time.Time
}

// CreateKeysAndCertificate makes a key pair and registers a certificate of
// the backend's CA for it (ErrNoCA).
func (r *Registry) CreateKeysAndCertificate(ctx context.Context, opts *KeyOptions) (Certificate, KeyPair, error) {
	var o KeyOptions
	if opts != nil {
		o = *opts
	}
	if o.CommonName == "" {
		o.CommonName = "Thingloom certificate"
	}
	if r.opts.CA == nil {
		return Certificate{}, KeyPair{}, ErrNoCA
	}
	var key crypto.Signer
	var err error
	switch o.Type {
	case RSA2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case ECP256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return Certificate{}, KeyPair{}, invalid("KeyOptions.Type", "%d is unknown", o.Type)
	}
	if err != nil {
		return Certificate{}, KeyPair{}, fmt.Errorf("registry: key: %w", err)
	}
	cert, err := r.issue(ctx, pkix.Name{CommonName: o.CommonName}, key.Public(), o.Status, o.NotAfter)
	if err != nil {
		return Certificate{}, KeyPair{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return Certificate{}, KeyPair{}, fmt.Errorf("registry: public key: %w", err)
	}
	private, err := encodeKey(key)
	return cert, KeyPair{PublicPEM: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), PrivatePEM: private}, err
}

// CreateCertificateFromCSR registers a certificate of the backend's CA for
// the key and subject of a PEM certificate signing request. status may be
// empty for StatusInactive.
func (r *Registry) CreateCertificateFromCSR(ctx context.Context, csrPEM []byte, status CertificateStatus) (Certificate, error) {
	if r.opts.CA == nil {
		return Certificate{}, ErrNoCA
	}
	block, _ := pem.Decode(csrPEM)
	if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
		return Certificate{}, invalid("certificateSigningRequest", "has no PEM block CERTIFICATE REQUEST")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return Certificate{}, invalid("certificateSigningRequest", "is not readable: %v", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return Certificate{}, invalid("certificateSigningRequest", "is not signed with its key: %v", err)
	}
	if err := checkKey(csr.PublicKey); err != nil {
		return Certificate{}, invalid("certificateSigningRequest", "%v", err)
	}
	return r.issue(ctx, csr.Subject, csr.PublicKey, status, time.Time{})
}

func (r *Registry) issue(ctx context.Context, subject pkix.Name, public any, status CertificateStatus, end time.Time) (Certificate, error) {
	if status == "" {
		status = StatusInactive
	}
	if status != StatusActive && status != StatusInactive && status != StatusPendingActivation {
		return Certificate{}, invalid("status", "%q cannot be given to a new certificate", status)
	}
	if end.IsZero() {
		end = endOfTime
	}
	if ca := r.opts.CA.cert.NotAfter; ca.Before(end) {
		end = ca
	}
	der, err := r.opts.CA.sign(&x509.Certificate{Subject: subject, NotAfter: end,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, public)
	if err != nil {
		return Certificate{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return Certificate{}, fmt.Errorf("registry: issued certificate: %w", err)
	}
	return r.register(ctx, cert, status, "", "DEFAULT")
}
