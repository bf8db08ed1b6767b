package registry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"
)

// A CACertificate is a registered CA of somebody else, whose certificates can
// be registered.
type CACertificate struct {
	ID           string            `json:"id"` // as of Certificate
	PEM          string            `json:"pem"`
	Status       CertificateStatus `json:"status"`         // StatusActive or StatusInactive
	AutoRegister bool              `json:"auto,omitempty"` // register certificates when they first connect
	Mode         string            `json:"mode"`           // "DEFAULT" or "SNI_ONLY"
	Created      time.Time         `json:"created"`
	Modified     time.Time         `json:"modified"`
	NotBefore    time.Time         `json:"notBefore"`
	NotAfter     time.Time         `json:"notAfter"`
	Version      int               `json:"version"`
	// Registration says how certificates are provisioned that connect for the
	// first time. The registry only keeps it.
	Registration RegistrationConfig `json:"registration,omitzero"`
	// Tags are set at registration and by ChangeTags.
	Tags map[string]string `json:"tags,omitempty"`
}

// A RegistrationConfig names a provisioning template, or has its body.
type RegistrationConfig struct {
	Template string `json:"template,omitempty"` // templateName
	Body     string `json:"body,omitempty"`     // templateBody
	Role     string `json:"role,omitempty"`     // roleArn, kept and not used
}

func (c *RegistrationConfig) check() error {
	switch {
	case c.Template != "" && c.Body != "":
		return invalid("registrationConfig", "has templateName and templateBody, not one of them")
	case len(c.Body) > maxTemplateBytes:
		return invalid("registrationConfig", "has a templateBody of %d bytes, at most %d are allowed", len(c.Body), maxTemplateBytes)
	}
	return nil
}

// maxTemplateBytes is the longest body of a provisioning template.
const maxTemplateBytes = 10240

// A CARegistration is the input of RegisterCACertificate.
type CARegistration struct {
	PEM []byte
	// VerificationPEM is a certificate that the CA signed, with the
	// registration code as common name, which proves that its key is held.
	// It is needed unless Mode is "SNI_ONLY".
	VerificationPEM []byte
	Mode            string // empty means "DEFAULT"
	Active          bool
	AutoRegister    bool
	Registration    RegistrationConfig
	Tags            map[string]string
}

// RegistrationCode returns the code that verification certificates name. It
// is made at the first call and stays until DeleteRegistrationCode.
func (r *Registry) RegistrationCode(ctx context.Context) (string, error) {
	var code string
	err := r.update(ctx, func(x *tx) error {
		if found, err := x.get(keyRegistration, &code); err != nil || found {
			return err
		}
		var b [32]byte
		rand.Read(b[:])
		code = hex.EncodeToString(b[:])
		return x.put(keyRegistration, code)
	})
	return code, err
}

// DeleteRegistrationCode forgets the code.
func (r *Registry) DeleteRegistrationCode(ctx context.Context) error {
	return r.update(ctx, func(x *tx) error {
		if found, err := x.get(keyRegistration, nil); err != nil {
			return err
		} else if !found {
			return notFound("registration code", "")
		}
		x.delete(keyRegistration)
		return nil
	})
}

// RegisterCACertificate adds a CA.
func (r *Registry) RegisterCACertificate(ctx context.Context, in CARegistration) (CACertificate, error) {
	cert, err := parseCert("caCertificate", in.PEM)
	if err != nil {
		return CACertificate{}, err
	}
	if !cert.IsCA {
		return CACertificate{}, fmt.Errorf("%w: caCertificate %v", ErrCertificateValidation, errNotCA)
	}
	switch in.Mode {
	case "":
		in.Mode = "DEFAULT"
	case "DEFAULT", "SNI_ONLY":
	default:
		return CACertificate{}, invalid("certificateMode", "%q is unknown", in.Mode)
	}
	if in.Mode == "DEFAULT" || len(in.VerificationPEM) > 0 {
		if err := r.verifyRegistration(ctx, cert, in.VerificationPEM); err != nil {
			return CACertificate{}, err
		}
	}
	if err := errors.Join(in.Registration.check(), checkTags(in.Tags)); err != nil {
		return CACertificate{}, err
	}
	now := r.opts.Now().UTC()
	ca := CACertificate{ID: CertificateID(cert), PEM: string(encodeCert(cert.Raw)), Status: StatusInactive, AutoRegister: in.AutoRegister,
		Mode: in.Mode, Created: now, Modified: now, NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(), Version: 1,
		Registration: in.Registration, Tags: in.Tags}
	if in.Active {
		ca.Status = StatusActive
	}
	subject := subjectKey(cert.RawSubject)
	err = r.update(ctx, func(x *tx) error {
		found, err := x.get(keyCA+ca.ID, nil)
		if err != nil {
			return err
		}
		if found {
			return &ExistsError{Kind: "CA certificate", ID: ca.ID, ARN: r.ARN("cacert/" + ca.ID)}
		}
		same := 0
		for _, err := range r.names(ctx, subject, "") {
			if err != nil {
				return err
			}
			same++
		}
		if same >= maxCASubjects {
			return fmt.Errorf("registry: %d CA certificates with the subject %s: %w", same, cert.Subject, ErrLimit)
		}
		x.mark(subject + ca.ID)
		x.emit(Event{Kind: CACertificateEvents, Operation: "CREATED", Time: now, Name: ca.ID})
		return x.put(keyCA+ca.ID, ca)
	})
	return ca, err
}

func subjectKey(raw []byte) string {
	sum := sha256.Sum256(raw)
	return keyBySubject + hex.EncodeToString(sum[:16]) + "/"
}

// verifyRegistration checks that the CA signed a certificate that names the
// registration code.
func (r *Registry) verifyRegistration(ctx context.Context, ca *x509.Certificate, text []byte) error {
	if len(text) == 0 {
		return invalid("verificationCertificate", "is needed unless certificateMode is SNI_ONLY")
	}
	cert, err := parseCert("verificationCertificate", text)
	if err != nil {
		return err
	}
	if err := cert.CheckSignatureFrom(ca); err != nil {
		return fmt.Errorf("%w: verificationCertificate: %v", ErrCertificateValidation, err)
	}
	code, err := r.RegistrationCode(ctx)
	if err != nil {
		return err
	}
	if cert.Subject.CommonName != code {
		return fmt.Errorf("%w: common name %q", ErrRegistrationCode, cert.Subject.CommonName)
	}
	return nil
}

// CACertificate returns the CA certificate, or ErrNotFound.
func (r *Registry) CACertificate(ctx context.Context, id string) (CACertificate, error) {
	return stored[CACertificate](ctx, r, keyCA+id, "CA certificate", id)
}

// CACertificates yields the CA certificates that come after the given ID, in order.
func (r *Registry) CACertificates(ctx context.Context, after string) iter.Seq2[CACertificate, error] {
	return scan[CACertificate](ctx, r, keyCA, after)
}

// A CAUpdate changes a CA certificate. What is zero stays as it is.
type CAUpdate struct {
	Status       CertificateStatus // StatusActive or StatusInactive
	AutoRegister *bool
	Registration *RegistrationConfig
}

// UpdateCACertificate changes a CA certificate.
func (r *Registry) UpdateCACertificate(ctx context.Context, id string, u CAUpdate) error {
	if u.Status != "" && u.Status != StatusActive && u.Status != StatusInactive {
		return invalid("newStatus", "%q is not ACTIVE or INACTIVE", u.Status)
	}
	if u.Registration != nil {
		if err := u.Registration.check(); err != nil {
			return err
		}
	}
	return r.update(ctx, func(x *tx) error {
		ca, err := x.caCertificate(id)
		if err != nil {
			return err
		}
		if u.Status != "" {
			ca.Status = u.Status
		}
		if u.AutoRegister != nil {
			ca.AutoRegister = *u.AutoRegister
		}
		if u.Registration != nil {
			ca.Registration = *u.Registration
		}
		ca.Modified = r.opts.Now().UTC()
		ca.Version++
		x.emit(Event{Kind: CACertificateEvents, Operation: "UPDATED", Time: ca.Modified, Name: id})
		return x.put(keyCA+id, ca)
	})
}

// DeleteCACertificate removes an inactive CA. What it signed stays registered.
func (r *Registry) DeleteCACertificate(ctx context.Context, id string) error {
	return r.update(ctx, func(x *tx) error {
		ca, err := x.caCertificate(id)
		if err != nil {
			return err
		}
		if ca.Status == StatusActive {
			return fmt.Errorf("registry: CA certificate %s is ACTIVE: %w", id, ErrCertificateState)
		}
		cert, err := parseCert("caCertificate", []byte(ca.PEM))
		if err != nil {
			return err
		}
		x.delete(keyCA + id)
		x.delete(subjectKey(cert.RawSubject) + id)
		x.emit(Event{Kind: CACertificateEvents, Operation: "DELETED", Time: r.opts.Now(), Name: id})
		return nil
	})
}

func (t *tx) caCertificate(id string) (CACertificate, error) {
	return needed[CACertificate](t, keyCA+id, "CA certificate", id)
}

// signer finds the registered, active CA that signed cert.
func (r *Registry) signer(ctx context.Context, cert *x509.Certificate) (CACertificate, error) {
	for id, err := range r.names(ctx, subjectKey(cert.RawIssuer), "") {
		if err != nil {
			return CACertificate{}, err
		}
		ca, err := r.CACertificate(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return CACertificate{}, err
		}
		parsed, err := parseCert("caCertificate", []byte(ca.PEM))
		if err != nil {
			return CACertificate{}, err
		}
		if ca.Status == StatusActive && cert.CheckSignatureFrom(parsed) == nil {
			return ca, nil
		}
	}
	return CACertificate{}, fmt.Errorf("%w: no registered and active CA has signed it", ErrCertificateValidation)
}

// RegisterCertificate adds a certificate that a registered and active CA, or
// the backend's own, has signed (else ErrCertificateValidation). caPEM, if
// not empty, names that CA. status may be empty for StatusInactive.
func (r *Registry) RegisterCertificate(ctx context.Context, certPEM, caPEM []byte, status CertificateStatus) (Certificate, error) {
	cert, err := parseCert("certificatePem", certPEM)
	if err != nil {
		return Certificate{}, err
	}
	if status, err = registrationStatus(status); err != nil {
		return Certificate{}, err
	}
	if own := r.opts.CA; own != nil && len(caPEM) == 0 && cert.CheckSignatureFrom(own.cert) == nil {
		return r.register(ctx, cert, status, "", "DEFAULT")
	}
	ca, err := r.signer(ctx, cert)
	if err != nil {
		return Certificate{}, err
	}
	if len(caPEM) > 0 {
		named, err := parseCert("caCertificatePem", caPEM)
		if err != nil {
			return Certificate{}, err
		}
		if CertificateID(named) != ca.ID {
			return Certificate{}, fmt.Errorf("%w: caCertificatePem has not signed it", ErrCertificateValidation)
		}
	}
	return r.register(ctx, cert, status, ca.ID, "DEFAULT")
}

// RegisterCertificateWithoutCA adds any certificate. status may be empty for
// StatusInactive.
func (r *Registry) RegisterCertificateWithoutCA(ctx context.Context, certPEM []byte, status CertificateStatus) (Certificate, error) {
	cert, err := parseCert("certificatePem", certPEM)
	if err != nil {
		return Certificate{}, err
	}
	if status, err = registrationStatus(status); err != nil {
		return Certificate{}, err
	}
	return r.register(ctx, cert, status, "", "SNI_ONLY")
}

func registrationStatus(s CertificateStatus) (CertificateStatus, error) {
	switch s {
	case "":
		return StatusInactive, nil
	case StatusActive, StatusInactive, StatusRegisterInactive:
		return s, nil
	case StatusRevoked, StatusPendingActivation, StatusPendingTransfer:
		return s, fmt.Errorf("registry: register as %s: %w", s, ErrCertificateState)
	}
	return s, invalid("status", "%q is unknown", s)
}

// newcomerOf returns the CA that registers cert at its first connection, if
// there is one: just-in-time registration.
func (r *Registry) newcomerOf(ctx context.Context, cert *x509.Certificate) (CACertificate, error) {
	unknown := fmt.Errorf("registry: certificate %s: %w", CertificateID(cert), ErrUnknownCertificate)
	if checkKey(cert.PublicKey) != nil {
		return CACertificate{}, unknown
	}
	ca, err := r.signer(ctx, cert)
	if errors.Is(err, ErrCertificateValidation) {
		return CACertificate{}, unknown
	}
	if err != nil {
		return CACertificate{}, err
	}
	if now := r.opts.Now(); !ca.AutoRegister || now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return CACertificate{}, unknown
	}
	return ca, nil
}

// registerOnConnect registers a certificate that connected for the first
// time, if its CA asks for that.
func (r *Registry) registerOnConnect(ctx context.Context, cert *x509.Certificate) error {
	ca, err := r.newcomerOf(ctx, cert)
	if err != nil {
		return err
	}
	c, err := r.register(ctx, cert, StatusPendingActivation, ca.ID, "DEFAULT")
	if errors.Is(err, ErrExists) {
		return nil // another connection was first
	}
	if err != nil {
		return err
	}
	return r.announceRegistration(ctx, c)
}

// announceRegistration tells the observers of a just-in-time registration.
func (r *Registry) announceRegistration(ctx context.Context, c Certificate) error {
	payload, err := marshal(struct {
		CertificateID string            `json:"certificateId"`
		CAID          string            `json:"caCertificateId"`
		Timestamp     int64             `json:"timestamp"`
		Status        CertificateStatus `json:"certificateStatus"`
		AccountID     string            `json:"awsAccountId"`
		Registered    int64             `json:"certificateRegistrationTimestamp"`
	}{c.ID, c.CA, r.opts.Now().UnixMilli(), c.Status, r.opts.Account, c.Created.UnixMilli()})
	if err != nil {
		return err
	}
	r.notify(ctx, []Event{{Kind: CertificateEvents, Operation: "REGISTERED", Time: c.Created, Name: c.ID,
		Topic: "$aws/events/certificates/registered/" + c.CA, Payload: payload,
		// Not subject to the event configurations: without it a registration
		// would go unnoticed.
		Enabled: true, Principal: c.ID, Status: c.Status}})
	return nil
}
