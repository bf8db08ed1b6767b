package registryhttp

import (
	"fmt"
	"iter"
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry"
)

// issued is what creating a certificate answers.
type issued struct {
	ARN  string   `json:"certificateArn"`
	ID   string   `json:"certificateId"`
	PEM  string   `json:"certificatePem,omitempty"`
	Keys *keyPair `json:"keyPair,omitempty"`
}

type keyPair struct {
	Public  string `json:"PublicKey"`
	Private string `json:"PrivateKey"`
}

type validity struct {
	NotBefore awshttp.Seconds `json:"notBefore"`
	NotAfter  awshttp.Seconds `json:"notAfter"`
}

func (c *call) certARN(id string) string { return c.reg.ARN("cert/" + id) }

// status reads setAsActive.
func (c *call) status() (registry.CertificateStatus, error) {
	active, err := c.Flag("setAsActive")
	if active {
		return registry.StatusActive, err
	}
	return registry.StatusInactive, err
}

func createKeysAndCertificate(c *call) (any, error) {
	status, err := c.status()
	if err != nil {
		return nil, err
	}
	cert, keys, err := c.reg.CreateKeysAndCertificate(c.Context(), &registry.KeyOptions{Status: status})
	return issued{c.certARN(cert.ID), cert.ID, cert.PEM, &keyPair{string(keys.PublicPEM), string(keys.PrivatePEM)}}, err
}

func createCertificateFromCsr(c *call) (any, error) {
	var in struct{ CertificateSigningRequest string }
	status, err := c.status()
	if err == nil {
		err = c.Body(&in)
	}
	if err != nil {
		return nil, err
	}
	cert, err := c.reg.CreateCertificateFromCSR(c.Context(), []byte(in.CertificateSigningRequest), status)
	return issued{c.certARN(cert.ID), cert.ID, cert.PEM, nil}, err
}

func registerCertificate(c *call) (any, error) {
	var in struct {
		CertificatePem, CaCertificatePem string
		Status                           registry.CertificateStatus
	}
	status, err := c.status()
	if err == nil {
		err = c.Body(&in)
	}
	if err != nil {
		return nil, err
	}
	if in.Status != "" {
		status = in.Status
	}
	cert, err := c.reg.RegisterCertificate(c.Context(), []byte(in.CertificatePem), []byte(in.CaCertificatePem), status)
	return issued{ARN: c.certARN(cert.ID), ID: cert.ID}, err
}

func registerCertificateWithoutCA(c *call, in struct {
	CertificatePem string
	Status         registry.CertificateStatus
}) (any, error) {
	cert, err := c.reg.RegisterCertificateWithoutCA(c.Context(), []byte(in.CertificatePem), in.Status)
	return issued{ARN: c.certARN(cert.ID), ID: cert.ID}, err
}

func describeCertificate(c *call) (any, error) {
	cert, err := c.reg.Certificate(c.Context(), c.PathValue("certificateId"))
	type description struct {
		ARN        string          `json:"certificateArn"`
		ID         string          `json:"certificateId"`
		CA         string          `json:"caCertificateId,omitempty"`
		Status     string          `json:"status"`
		PEM        string          `json:"certificatePem"`
		Created    awshttp.Seconds `json:"creationDate"`
		Modified   awshttp.Seconds `json:"lastModifiedDate"`
		Version    int             `json:"customerVersion"`
		Generation string          `json:"generationId"`
		Validity   validity        `json:"validity"`
		Mode       string          `json:"certificateMode"`
	}
	return struct {
		Description description `json:"certificateDescription"`
	}{description{c.certARN(cert.ID), cert.ID, cert.CA, string(cert.Status), cert.PEM, awshttp.Seconds(cert.Created), awshttp.Seconds(cert.Modified),
		cert.Version, fmt.Sprint(cert.Version), validity{awshttp.Seconds(cert.NotBefore), awshttp.Seconds(cert.NotAfter)}, cert.Mode}}, err
}

func updateCertificate(c *call) (any, error) {
	return nil, c.reg.UpdateCertificate(c.Context(), c.PathValue("certificateId"), registry.CertificateStatus(c.Query("newStatus")))
}

func deleteCertificate(c *call) (any, error) {
	force, err := c.Flag("forceDelete")
	if err != nil {
		return nil, err
	}
	return nil, c.reg.DeleteCertificate(c.Context(), c.PathValue("certificateId"), force)
}

// listCertificates serves ListCertificates and, with a CA in the path,
// ListCertificatesByCA.
func listCertificates(c *call) (any, error) {
	q := registry.CertificateQuery{CA: c.PathValue("caCertificateId")}
	if q.CA != "" {
		if _, err := c.reg.CACertificate(c.Context(), q.CA); err != nil {
			return nil, err
		}
	}
	type view struct {
		ARN     string          `json:"certificateArn"`
		ID      string          `json:"certificateId"`
		Status  string          `json:"status"`
		Mode    string          `json:"certificateMode"`
		Created awshttp.Seconds `json:"creationDate"`
	}
	items, marker, err := awshttp.Ordered(c.Call, awshttp.ByMarker,
		func(after string) iter.Seq2[registry.Certificate, error] {
			q.After = after
			return c.reg.Certificates(c.Context(), q)
		},
		func(cert registry.Certificate) string { return cert.ID },
		func(cert registry.Certificate) time.Time { return cert.Created },
		func(cert registry.Certificate) view {
			return view{c.certARN(cert.ID), cert.ID, string(cert.Status), cert.Mode, awshttp.Seconds(cert.Created)}
		})
	return struct {
		Certificates []view `json:"certificates"`
		Marker       string `json:"nextMarker,omitempty"`
	}{items, marker}, err
}

func autoStatus(on bool) string {
	if on {
		return "ENABLE"
	}
	return "DISABLE"
}

func registerCACertificate(c *call) (any, error) {
	var in struct {
		CaCertificate, VerificationCertificate, CertificateMode string
		RegistrationConfig                                      registrationConfig
		Tags                                                    awshttp.Tags
	}
	active, err := c.Flag("setAsActive")
	if err != nil {
		return nil, err
	}
	auto, err := c.Flag("allowAutoRegistration")
	if err == nil {
		err = c.Body(&in)
	}
	if err != nil {
		return nil, err
	}
	config, err := c.registration(in.RegistrationConfig)
	if err != nil {
		return nil, err
	}
	ca, err := c.reg.RegisterCACertificate(c.Context(), registry.CARegistration{PEM: []byte(in.CaCertificate),
		VerificationPEM: []byte(in.VerificationCertificate), Mode: in.CertificateMode, Active: active, AutoRegister: auto, Registration: config, Tags: in.Tags})
	return issued{ARN: c.reg.ARN("cacert/" + ca.ID), ID: ca.ID}, err
}

// A registrationConfig is a registry.RegistrationConfig over the wire.
type registrationConfig struct {
	TemplateBody string `json:"templateBody,omitempty"`
	RoleArn      string `json:"roleArn,omitempty"`
	TemplateName string `json:"templateName,omitempty"`
}

// registration reads a configuration, and has its template checked.
func (c *call) registration(in registrationConfig) (registry.RegistrationConfig, error) {
	config := registry.RegistrationConfig{Template: in.TemplateName, Body: in.TemplateBody, Role: in.RoleArn}
	if in == (registrationConfig{}) {
		return config, nil
	}
	if c.opts.CheckRegistration == nil {
		return config, fmt.Errorf("%w: registrationConfig", errNotImplemented)
	}
	if err := c.opts.CheckRegistration(c.Context(), config); err != nil {
		return config, &awshttp.InputError{Field: "registrationConfig", Reason: err.Error()}
	}
	return config, nil
}

func describeCACertificate(c *call) (any, error) {
	ca, err := c.reg.CACertificate(c.Context(), c.PathValue("caCertificateId"))
	type description struct {
		ARN        string          `json:"certificateArn"`
		ID         string          `json:"certificateId"`
		Status     string          `json:"status"`
		PEM        string          `json:"certificatePem"`
		Created    awshttp.Seconds `json:"creationDate"`
		Auto       string          `json:"autoRegistrationStatus"`
		Modified   awshttp.Seconds `json:"lastModifiedDate"`
		Version    int             `json:"customerVersion"`
		Generation string          `json:"generationId"`
		Validity   validity        `json:"validity"`
		Mode       string          `json:"certificateMode"`
	}
	var config *registrationConfig
	if r := ca.Registration; r != (registry.RegistrationConfig{}) {
		config = &registrationConfig{r.Body, r.Role, r.Template}
	}
	return struct {
		Description  description         `json:"certificateDescription"`
		Registration *registrationConfig `json:"registrationConfig,omitempty"`
	}{description{c.reg.ARN("cacert/" + ca.ID), ca.ID, string(ca.Status), ca.PEM, awshttp.Seconds(ca.Created), autoStatus(ca.AutoRegister),
		awshttp.Seconds(ca.Modified), ca.Version, fmt.Sprint(ca.Version), validity{awshttp.Seconds(ca.NotBefore), awshttp.Seconds(ca.NotAfter)}, ca.Mode}, config}, err
}

func updateCACertificate(c *call, in struct {
	RegistrationConfig     *registrationConfig
	RemoveAutoRegistration bool
}) (any, error) {
	u := registry.CAUpdate{Status: registry.CertificateStatus(c.Query("newStatus"))}
	switch s := c.Query("newAutoRegistrationStatus"); s {
	case "":
	case "ENABLE", "DISABLE":
		on := s == "ENABLE"
		u.AutoRegister = &on
	default:
		return nil, &awshttp.InputError{Field: "newAutoRegistrationStatus", Reason: fmt.Sprintf("%q is not ENABLE or DISABLE", s)}
	}
	if in.RegistrationConfig != nil {
		config, err := c.registration(*in.RegistrationConfig)
		if err != nil {
			return nil, err
		}
		u.Registration = &config
	}
	if in.RemoveAutoRegistration {
		u.AutoRegister, u.Registration = new(bool), &registry.RegistrationConfig{}
	}
	return nil, c.reg.UpdateCACertificate(c.Context(), c.PathValue("caCertificateId"), u)
}

func deleteCACertificate(c *call) (any, error) {
	return nil, c.reg.DeleteCACertificate(c.Context(), c.PathValue("caCertificateId"))
}

// ofTemplate leaves the CA certificates that have the template the query asks for.
func (c *call) ofTemplate(list iter.Seq2[registry.CACertificate, error]) iter.Seq2[registry.CACertificate, error] {
	template := c.Query("templateName")
	return func(yield func(registry.CACertificate, error) bool) {
		for ca, err := range list {
			if err == nil && template != "" && ca.Registration.Template != template {
				continue
			}
			if !yield(ca, err) {
				return
			}
		}
	}
}

func listCACertificates(c *call) (any, error) {
	type view struct {
		ARN     string          `json:"certificateArn"`
		ID      string          `json:"certificateId"`
		Status  string          `json:"status"`
		Created awshttp.Seconds `json:"creationDate"`
	}
	items, marker, err := awshttp.Ordered(c.Call, awshttp.ByMarker,
		func(after string) iter.Seq2[registry.CACertificate, error] {
			return c.ofTemplate(c.reg.CACertificates(c.Context(), after))
		},
		func(ca registry.CACertificate) string { return ca.ID },
		func(ca registry.CACertificate) time.Time { return ca.Created },
		func(ca registry.CACertificate) view {
			return view{c.reg.ARN("cacert/" + ca.ID), ca.ID, string(ca.Status), awshttp.Seconds(ca.Created)}
		})
	return struct {
		Certificates []view `json:"certificates"`
		Marker       string `json:"nextMarker,omitempty"`
	}{items, marker}, err
}

func getRegistrationCode(c *call) (any, error) {
	code, err := c.reg.RegistrationCode(c.Context())
	return struct {
		Code string `json:"registrationCode"`
	}{code}, err
}

func deleteRegistrationCode(c *call) (any, error) {
	return nil, c.reg.DeleteRegistrationCode(c.Context())
}
